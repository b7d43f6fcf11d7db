"""Instantiated blocks, with their models, do what the generic parts do: proven by Yosys."""

import pytest
from amaranth.hdl import Module, Shape
from amaranth.lib import wiring
from amaranth.lib.wiring import In

from systolith.generators.verilog import emit
from systolith.hdl.arithmetic.multiplier import Multiplier
from systolith.hdl.structure.block_memory import BlockMemory
from systolith.sim.cells import models


def pair(prover, build, technology, change=str):
    """The generic part as RTLIL; the instantiated one and its models as Verilog."""
    emitted = emit(build(technology), name="gate")
    assert emitted.cells
    text = change(models(emitted.cells)) + emitted.text
    return prover.rtlil_of(build("generic")), text


def multiplier(a, b, stages, **options):
    return lambda technology: Multiplier(Shape(*a), Shape(*b), stages, technology, **options)


MULTIPLIERS = [
    multiplier((4, True), (4, True), 0),
    multiplier((4, True), (3, False), 1),
    multiplier((2, False), (5, True), 2),
    multiplier((3, False), (3, False), 3),
    multiplier((3, True), (2, True), 5),
    multiplier((18, False), (2, True), 1),
    *(multiplier((3, True), (4, False), stages, operand_registers=True, held=held)
      for stages, held in ((0, ""), (1, "a"), (2, "ab"), (4, "b"))),
]


@pytest.mark.parametrize("technology", ["ecp5"])
def test_multipliers(prover, technology):
    prover.prove_pairs([pair(prover, build, technology) for build in MULTIPLIERS], steps=8)


class GuardedMemory(wiring.Component):
    """A memory that is not read where it is being written."""

    def __init__(self, width, depth, technology):
        self.memory = BlockMemory(width, depth, technology)
        self.ports = dict(self.memory.signature.members)
        super().__init__(self.ports)

    def elaborate(self, platform):
        m = Module()
        m.submodules.memory = memory = self.memory
        for name, member in self.ports.items():
            ours, inside = getattr(self, name), getattr(memory, name)
            if name == "write_enable":
                m.d.comb += inside.eq(ours & (self.write_address != self.read_address))
            else:
                m.d.comb += inside.eq(ours) if member.flow == In else ours.eq(inside)
        return m


@pytest.mark.parametrize(("width", "depth"), [(2, 4), (37, 2)])
def test_memories(prover, width, depth):
    def build(technology):
        return GuardedMemory(width, depth, technology)

    prover.prove_pairs([pair(prover, build, "ecp5")], steps=6)


@pytest.mark.parametrize(("old", "new"), [
    ("SIGNEDA & a_used[17]", "a_used[17]"),
    ("REG_INPUTB_CE == \"CE1\" ? CE1 : CE0", "CE0"),
    ("between = REG_PIPELINE_CLK == \"CLK0\"", "between = 1'b0"),
])
def test_another_multiplier_is_refuted(prover, old, new):
    def change(text):
        assert old in text
        return text.replace(old, new)

    build = multiplier((18, False), (2, True), 2, operand_registers=True)
    result = prover.run([pair(prover, build, "ecp5", change)], steps=6)
    assert result.returncode and "proof did fail" in result.stdout, result.stdout[-2000:]
