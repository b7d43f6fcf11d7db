"""Netlists of cells, spelled out: they run as the core does, and what is broken in them is seen."""

from dataclasses import replace

import pytest

from systolith.fpga.core_netlist import TARGETS, netlist, targets_of
from systolith.generators import registry
from systolith.generators.core import elaborate
from systolith.proofs import engine
from systolith.signoff import netlist as rung
from systolith.signoff.rung import Options

DOT = registry.get("dot")


@pytest.fixture(scope="module")
def core():
    return elaborate(DOT, DOT.config.parse({"lanes": 1, "x_format": "int2", "y_format": "int2"}),
                     "core")


def simulated(core, made, tmp_path):
    results = list(rung.simulated(core, made, Options(directory=tmp_path, frames=20)))
    return next((message for message, _, _ in results if message), None)


def test_a_netlist_of_look_up_tables_is_the_core(core, tmp_path):
    made = netlist(core, TARGETS["ice40"])
    assert made.cells["SB_LUT4"] > 100
    assert not [line for line in made.verilog.splitlines() if line.startswith("  SB_")]
    assert simulated(core, made, tmp_path) is None
    assert rung.compared(core, made) == ("proven", "")


def test_a_broken_netlist_is_refuted(core):
    made = netlist(core, TARGETS["ice40"])
    assert rung.compared(core, replace(made, verilog=_break(made.verilog)))[0] == "REFUTED"


def test_flip_flops_that_start_as_they_are_reset_are_compared_from_zero(tmp_path):
    source = """module one (input clk, input rst, output reg q);
  always @(posedge clk) q <= rst | ~q;
endmodule
"""
    cells = source.replace("  always", "  initial q = 1'b1;\n  always")
    assert engine.equivalent(source, cells, "one", tmp_path, 10, 100).status == "proven"
    other = source.replace("rst | ~q", "rst | q")
    assert engine.equivalent(source, other, "one", tmp_path, 10, 100).status == "refuted"


@pytest.mark.nightly
def test_a_broken_netlist_gives_wrong_values(core, tmp_path):
    made = netlist(core, TARGETS["ice40"])
    assert simulated(core, replace(made, verilog=_break(made.verilog)), tmp_path) is not None


def _break(text: str) -> str:
    """Invert what is written to the bit that marks a sum as there."""
    lines = text.splitlines()
    for index, line in enumerate(lines):
        if "<=" in line and "beat_valid" in line.partition("<=")[0] and "1'h0" not in line:
            left, _, right = line.partition("<=")
            lines[index] = f"{left}<= ~({right.strip().rstrip(';')});"
            return "\n".join(lines)
    raise AssertionError("no such register")


def test_a_core_of_blocks_is_mapped_to_their_family():
    core = elaborate(DOT, DOT.config.parse({}), "core")
    assert [target.name for target in targets_of(core)] == list(TARGETS)
    template = registry.get("systolic")
    blocks = elaborate(template, template.config.parse({"rows": 2, "cols": 2,
                                                        "technology": "ecp5"}), "core")
    assert [target.name for target in targets_of(blocks)] == ["ecp5"]


@pytest.mark.parametrize("surely, synthesized", [(2, False), (10**6, True)])
def test_a_large_netlist_is_skipped_with_its_size(surely, synthesized, core, tmp_path, monkeypatch):
    monkeypatch.setattr(rung, "MOST_CELLS", 100)
    monkeypatch.setattr(rung, "SURELY", surely)
    monkeypatch.setattr(rung, "targets_of", lambda core: [TARGETS["gates"], TARGETS["gowin"]])
    if not synthesized:
        monkeypatch.setattr(rung, "netlist", None)
    found = rung.run(core, Options(directory=tmp_path), print)
    assert found.status == "skipped"
    assert all("are simulated: sign a smaller instance off" in outcome.skipped
               and outcome.skipped.startswith("about ") is not synthesized
               for outcome in found.outcomes)
    assert [(row[0], row[1] > 100) for row in found.tables[0].rows] == [
        ("gates", synthesized), ("gowin", False)]        # which is not even synthesized


@pytest.mark.nightly
@pytest.mark.parametrize("target", TARGETS)
def test_every_family(core, target, tmp_path):
    made = netlist(core, TARGETS[target])
    assert simulated(core, made, tmp_path) is None


@pytest.mark.nightly
def test_blocks_that_a_core_instantiates(tmp_path):
    template = registry.get("systolic")
    core = elaborate(template, template.config.parse({
        "rows": 2, "cols": 2, "technology": "ecp5", "max_k": 8}), "core")
    assert simulated(core, netlist(core, TARGETS["ecp5"]), tmp_path) is None


@pytest.mark.nightly
@pytest.mark.parametrize("level", ["tmr-registers", "tmr"])
def test_a_hardened_core(level, tmp_path):
    core = elaborate(DOT, DOT.config.parse({"lanes": 1, "x_format": "int2", "y_format": "int2"}),
                     "core", level)
    assert simulated(core, netlist(core, TARGETS["ice40"]), tmp_path) is None
