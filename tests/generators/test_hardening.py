"""Triple redundancy: on the netlist, under upsets, at the command line."""

import json
import re

import pytest
from amaranth import Module, Signal
from amaranth.hdl import ClockSignal, Instance
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from systolith import spec
from systolith.cli import run
from systolith.fpga.design import Design
from systolith.fpga.synthesis import synthesize
from systolith.generators import registry
from systolith.generators.core import elaborate
from systolith.generators.verilog import EmitError, emit
from systolith.hdl.bus.axi_stream import Fifo, Signature
from systolith.hdl.errors import Error
from systolith.signoff.faults import measure

DOT = registry.get("dot")
CONFIG = DOT.config.parse({"lanes": 1, "x_format": "int4", "y_format": "int4"})
LEVELS = (pytest.param("tmr-registers", marks=pytest.mark.nightly), "tmr")


def hardened(level: str):
    return elaborate(DOT, CONFIG, "core", level)


def flip_flops(source) -> float:
    return synthesize(source, "ecp5-12k").resources["ff"]


@pytest.mark.parametrize("level", LEVELS)
def test_every_flip_flop_is_there_three_times_after_synthesis(level):
    # Of the plain core, Yosys removes registers that only ever hold a constant.
    plain, three = flip_flops(hardened("none")), flip_flops(hardened(level))
    assert 3 * plain <= three <= 3 * plain_bits()


@pytest.mark.parametrize("depth", [8, 512])
def test_memories_are_there_three_times_after_synthesis(depth):
    def resources(level):
        text = emit(Fifo(Signature(17), depth), name="fifo", hardening=level).text
        return synthesize(Design("fifo", text), "ecp5-12k").resources

    plain, three = resources("none"), resources("tmr")
    for resource in ("lutram", "bram", "ff"):
        assert three[resource] == 3 * plain[resource], resource
    assert plain["bram" if depth > 64 else "lutram"] > 0


@pytest.mark.parametrize("level", LEVELS)
def test_no_upset_of_a_hardened_core_is_seen(level):
    found = measure(hardened(level), count=10_000, seed=2)
    assert found.counts()["masked"] == 10_000
    assert found.bits(memory=False) == 3 * plain_bits()


def plain_bits() -> int:
    return measure(hardened("none"), count=1, seed=2).bits(memory=False)


def test_upsets_of_a_plain_core_are_seen():
    found = measure(hardened("none"), count=3000, seed=2).counts()
    assert all(found[outcome] > 0 for outcome in ("masked", "silent", "detected", "miscounted"))


def test_every_register_has_its_turn_before_one_has_a_second():
    found = measure(hardened("none"), count=plain_bits(), seed=2)
    assert len({(upset.place.name, upset.bit) for upset in found.upsets}) == plain_bits()


def test_a_voter_that_does_not_vote_is_found(monkeypatch):
    from systolith.generators.verilog import hardening

    monkeypatch.setattr(hardening, "majority", lambda a, b, c: a)
    found = measure(hardened("tmr"), count=3000, seed=2).counts()
    assert found["silent"] > 0


def test_the_core_stays_the_same_otherwise():
    plain, three = hardened("none"), hardened("tmr")
    assert plain.manifest["hardening"] == "none" and three.manifest["hardening"] == "tmr"
    for key in plain.manifest.keys() - {"hardening", "sha256"}:
        assert plain.manifest[key] == three.manifest[key], key
    assert "keep" not in plain.verilog


class Block(wiring.Component):
    """A clocked block; its second output may only feed a cascade."""

    cascade_from: str | None = None

    def __init__(self):
        super().__init__({"a": In(2), "o": Out(2)})

    def elaborate(self, platform):
        m = Module()
        p, carry, p2 = (Signal(2, name=name) for name in ("p", "carry", "p2"))
        m.submodules.first = Instance("BLOCK", i_CLK=ClockSignal(), i_A=self.a, o_P=p,
                                      o_PCOUT=carry)
        source = {"PCOUT": carry, "P": p}[self.cascade_from or "PCOUT"]
        m.submodules.second = Instance("BLOCK", i_CLK=ClockSignal(), i_A=p, i_PCIN=source, o_P=p2)
        m.d.comb += self.o.eq(p2)
        return m


def test_clocked_blocks_are_tripled_and_cascades_stay_within_a_copy():
    text = emit(Block(), name="top", hardening="tmr").text
    assert len(re.findall(r"^  BLOCK", text, re.M)) == 6
    for copy in "abc":
        assert f".PCOUT(carry_{copy})" in text and f".PCIN(carry_{copy})" in text
    assert re.search(r"assign p = \(p_a & p_b\)", text)


def test_a_cascade_from_elsewhere_is_refused():
    class Wrong(Block):
        cascade_from = "P"

    with pytest.raises(EmitError, match="cascade into PCIN does not start in the same module"):
        emit(Wrong(), name="top", hardening="tmr")


def test_levels_are_checked(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(Error, match="^harden must be none, tmr-registers or tmr, not 'tmx' "
                                    r"\(did you mean 'tmr'\?\)$"):
        spec.from_values("dot", {}, harden="tmx")
    path = tmp_path / "hard.yaml"
    path.write_text("template: dot\nharden: [tmr]\n")
    with pytest.raises(Error, match=r"hard.yaml:2:9: harden must be none, tmr-registers or tmr, "
                                    r"not \['tmr'\]"):
        spec.resolve("hard.yaml")
    path.write_text("template: dot\nharden: tmr\n")
    assert spec.resolve("hard.yaml").hardening == "tmr"
    assert spec.resolve("hard.yaml", harden="none").hardening == "none"
    assert spec.from_values("hard.yaml", {"lanes": 2}).hardening == "tmr"


def test_what_was_generated_generates_the_same(tmp_path, capsys):
    first, second = tmp_path / "first", tmp_path / "second"
    assert run(["generate", "dot", "--harden", "tmr", "-o", str(first)]) == 0
    assert run(["generate", str(first / "dot.yaml"), "-o", str(second)]) == 0
    capsys.readouterr()
    for path in first.iterdir():
        assert path.read_bytes() == (second / path.name).read_bytes()
    assert json.loads((first / "dot.json").read_text())["hardening"] == "tmr"


@pytest.mark.nightly
@pytest.mark.parametrize("template", registry.TEMPLATES, ids=lambda template: template.name)
def test_every_template_masks_every_upset(template):
    values = next(iter(template.presets.values()))
    core = elaborate(template, template.config.parse(dict(values)), "core", "tmr")
    assert measure(core, count=10_000, seed=1).counts()["masked"] == 10_000
