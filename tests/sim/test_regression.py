"""``verify`` passes a right core, and says what is wrong with broken ones."""

import re
import shutil

import pytest

from systolith.hdl.errors import Error
from systolith.sim.simulators import regression
from systolith.sim.simulators.errors import ToolError


def verify(core, folder, **options):
    return regression.verify(core.sources[0], core.manifest, core.model_path, directory=folder,
                             **{"frames": 25, **options})


def test_right_core_passes_twice(make_adder, tmp_path):
    core = make_adder()
    steps = []
    report = verify(core, tmp_path / "out", progress=steps.append)
    assert report.passed and not (tmp_path / "out").exists()
    assert report.simulators[0] == "verilator"
    assert report.simulators[1] == ("icarus" if shutil.which("iverilog") else "cxxrtl")
    assert {check.simulator for check in report.checks} == set(report.simulators)
    assert {check.name for check in report.checks} >= {
        "without_stalls", "random_stalls", "back_to_back", "reset_in_frames", "bad_traffic",
        "registers", "counters"}
    assert {"verilator: building adder", "verilator: testing adder, seed 1"} <= set(steps)

    again = verify(core, tmp_path / "out")
    strip = [(check.name, check.cycles, check.beats) for check in report.checks]
    assert strip == [(check.name, check.cycles, check.beats) for check in again.checks]


def test_cxxrtl_where_there_is_no_icarus(make_adder, tmp_path, monkeypatch):
    which = shutil.which
    monkeypatch.setattr(shutil, "which", lambda name: None if name in ("iverilog", "vvp") else
                        which(name))
    core = make_adder()
    report = verify(core, tmp_path)
    assert report.passed and report.simulators == ("verilator", "cxxrtl")
    with pytest.raises(ToolError, match=r"^iverilog: not found on PATH\nto install it: "):
        verify(core, tmp_path, simulator="icarus")

    wrong = make_adder(change=lambda text: text.replace("negate ? -sum", "negate ? ~sum"))
    message = next(check.message for check in verify(wrong, tmp_path).failures
                   if check.simulator == "cxxrtl")
    assert "y[0, 0] expected" in message


MUTATIONS = {
    "value": ("negate ? -sum", "negate ? ~sum", "without_stalls", r"y\[0, 0\] expected"),
    "sign": ("{{8{a[7]}}, a}", "{8'd0, a}", "without_stalls", r"y\[0, 0\] expected -256, got 0 "
             r"\(stream y, frame 0, beat 0, cycle 1, lane 0; 3 of 3 beats differ\)"),
    "tlast": ("m_axis_y_tlast <= s_axis_a_tlast;", "m_axis_y_tlast <= 1'b1;", "without_stalls",
              r"tlast expected 0, got 1 \(stream y, frame 0, beat 0, cycle 1\)"),
    "lost beat": ("(~m_axis_y_tvalid | m_axis_y_tready);", "1'b1;", "random_stalls", "hangs.*owed"),
    "withdrawn": ("m_axis_y_tvalid & m_axis_y_tready;", "m_axis_y_tvalid;", "random_stalls",
                  "with pauses"),
    "slow": ("wire accept = ", "reg skip; always @(posedge clk) skip <= ~rst & ~skip & accept;\n"
             "  wire accept = ~skip & ", "without_stalls", "cycles, the cycle model says"),
    "reset": ("      framing <= 1'b0;", "",     # depends on what the simulator starts with
              "reset_in_frames|registers", "busy after reset|status is 0x1 after reset"),
    "counter": ("frames <= frames + 1;", "frames <= frames + 2;", "without_stalls",
                "counter frames is 2, not 1"),
    "flag": ("(s_axis_a_tlast ^ s_axis_b_tlast)", "s_axis_a_tlast", "without_stalls",
             "error flags are 0b1, not 0b0"),
    "w1c": ("s_axil_wstrb[0] && s_axil_wdata[0]) mismatch", "s_axil_wstrb[0]) mismatch",
            "bad_traffic", "writing zeros changed the error flags"),
    "reset value": ("offset <= 8'd3;", "offset <= 8'd4;", "registers", "offset is 0x4 after reset"),
    "address": ("s_axil_awaddr[11:2] == 10'h20", "s_axil_awaddr[7:2] == 6'h20", "registers",
                "writing to a hole"),
    "hash": ("s_axil_rdata <= HASH;", "s_axil_rdata <= ~HASH;", "registers", "config_hash is"),
}


@pytest.mark.parametrize("name", MUTATIONS)
def test_broken_core_is_caught(make_adder, tmp_path, name):
    old, new, test, message = MUTATIONS[name]

    def mutate(text):
        assert text.count(old) == 1
        return text.replace(old, new)

    out = tmp_path / "out"
    simulator = "icarus" if shutil.which("iverilog") else "verilator"    # builds in no time
    report = verify(make_adder(change=mutate), out, simulator=simulator)
    assert not report.passed
    caught = {check.name: check.message for check in report.failures}
    assert any(re.fullmatch(test, name) and re.search(message, text)
               for name, text in caught.items()), caught
    assert [path.suffix for path in sorted(out.iterdir())] == [
        *([".fst"] if simulator == "icarus" else []), ".log",
        *([".vcd"] if simulator == "verilator" else [])]


@pytest.mark.parametrize(("options", "message"), [
    ({"simulator": "modelsim"}, "^simulator must be verilator or icarus, not 'modelsim'$"),
    ({"frames": 0}, "^frames must be at least 1, not 0$"),
    ({"seed": -1}, "^seed must be at least 0, not -1$"),
])
def test_wrong_arguments(make_adder, tmp_path, options, message):
    with pytest.raises(Error, match=message):
        verify(make_adder(), tmp_path, **options)
