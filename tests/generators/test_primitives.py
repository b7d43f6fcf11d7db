"""Instantiated blocks, with their models, do what the generic parts do: proven by Yosys.

Where Yosys ships a simulation cell of a block, the same is proven with that cell.
"""

import re
from importlib.resources import files
from itertools import product

import pytest
from amaranth.hdl import Module, Shape
from amaranth.lib import wiring
from amaranth.lib.wiring import In

from systolith.generators.verilog import emit
from systolith.hdl.arithmetic.multiplier import Multiplier, PairMultiplier
from systolith.hdl.arithmetic.packed_products import PackedProducts
from systolith.hdl.primitives import config
from systolith.hdl.structure.block_memory import BlockMemory
from systolith.sim.cells import models

#: Where Yosys has simulation cells.
SHIPPED = {"ice40": "ice40/cells_sim.v", "xilinx7": "xilinx/cells_sim.v"}


def shipped(technology):
    """Models of cells as Yosys ships them, for the cells that a design is made of."""
    text = (files("pyosys") / "share" / SHIPPED[technology]).read_text()

    def of(cells):
        return "\n".join(re.search(rf"^module {cell} .*?^endmodule$", text, re.M | re.S)[0]
                         for cell in cells)
    return of


def pair(prover, build, technology, change=str, cell_models=models):
    """The generic part as RTLIL; the instantiated one and its models as Verilog."""
    emitted = emit(build(technology), name="gate")
    assert emitted.cells
    text = change(cell_models(emitted.cells)) + "\n`default_nettype none\n" + emitted.text
    return prover.rtlil_of(build("generic")), text


def multiplier(a, b, stages, **options):
    return lambda technology: Multiplier(Shape(*a), Shape(*b), stages, technology, **options)


class WholePair(wiring.Component):
    """A pair of products, put right."""

    def __init__(self, *arguments, **options):
        self.pair = PairMultiplier(*arguments, **options)
        self.ports = {name: member for name, member in self.pair.signature.members.items()
                      if name != "carry"}
        super().__init__(self.ports)

    def elaborate(self, platform):
        m = Module()
        m.submodules.pair = pair = self.pair
        for name, member in self.ports.items():
            ours, inside = getattr(self, name), getattr(pair, name)
            if name == "p":
                width = pair.shape.width
                m.d.comb += [ours[:width].eq(inside[:width]),
                             ours[width:].eq(inside[width:] + pair.carry)]
            else:
                m.d.comb += inside.eq(ours) if member.flow == In else ours.eq(inside)
        return m


def products(a, b, stages, **options):
    return lambda technology: WholePair(Shape(*a), Shape(*b), stages, technology, **options)


MULTIPLIERS = [
    multiplier((4, True), (4, True), 0),
    multiplier((4, True), (3, False), 1),
    multiplier((2, False), (5, True), 2),
    multiplier((3, False), (3, False), 3),
    multiplier((3, True), (2, True), 5),
    *(multiplier((3, True), (4, False), stages, operand_registers=True, held=held)
      for stages, held in ((0, ""), (1, "a"), (2, "ab"), (4, "b"))),
]
WIDEST = {"ecp5": multiplier((18, False), (2, True), 1),
          "ice40": multiplier((10, False), (2, True), 1),
          "gowin": multiplier((18, False), (2, True), 1),
          "xilinx7": multiplier((1, False), (18, False), 1, operand_registers=True)}

PAIRS = [
    products((4, True), (3, True), 0),
    products((3, False), (3, True), 1),
    products((3, True), (3, False), 2, operand_registers=True, held="a"),
    products((2, False), (2, False), 4),
    products((3, True), (2, True), 1, operand_registers=True, held="ab"),
    products((2, True), (3, True), 3, operand_registers=True, held="a"),
]


@pytest.mark.parametrize("technology", ["ecp5", "ice40", "gowin", "xilinx7"])
def test_multipliers(prover, technology):
    pairs = {"gowin": [], "xilinx7": PAIRS[:3]}.get(technology, PAIRS)
    builds = [*MULTIPLIERS, WIDEST[technology], *pairs]
    prover.prove_pairs([pair(prover, build, technology) for build in builds], steps=8)


def test_multipliers_in_pieces(prover, monkeypatch):
    """As if a block took 3 bits: the solver does not manage 19."""
    monkeypatch.setitem(config.PIECE_BITS, "ecp5", 3)
    monkeypatch.setattr("systolith.hdl.arithmetic.multiplier.fits_multiplier",
                        lambda technology, a, b: technology == "ecp5" and max(
                            a.width, b.width) <= 3)
    signs = list(product((False, True), repeat=2))
    builds = {
        2: [*(multiplier((5, a), (2, b), 2) for a, b in signs),
            multiplier((2, True), (4, False), 3),
            multiplier((5, False), (2, True), 2, operand_registers=True, held="b")],
        4: [multiplier((5, a), (4, b), 2) for a, b in signs],
    }
    for pieces, several in builds.items():
        pairs = [pair(prover, build, "ecp5") for build in several]
        assert all(len(re.findall(r"^ +MULT18X18D ", text, re.M)) == pieces for _, text in pairs)
        prover.prove_pairs(pairs, steps=6)


@pytest.mark.parametrize("technology", SHIPPED)
def test_multipliers_with_the_cells_of_yosys(prover, technology):
    cells = shipped(technology)
    prover.prove_pairs([pair(prover, build, technology, cell_models=cells)
                        for build in (MULTIPLIERS[2], MULTIPLIERS[7], PAIRS[1])], steps=6)


@pytest.mark.nightly
@pytest.mark.parametrize("technology", SHIPPED)
def test_all_multipliers_with_the_cells_of_yosys(prover, technology):
    cells = shipped(technology)
    prover.prove_pairs([pair(prover, build, technology, cell_models=cells)
                        for build in [*MULTIPLIERS, WIDEST[technology], *PAIRS]], steps=8)


class SumOfPairs(wiring.Component):
    """A packed sum of products."""

    def __init__(self, technology):
        self.products = PackedProducts(1, 2, technology, 2)
        super().__init__(dict(self.products.signature.members))

    def elaborate(self, platform):
        m = Module()
        m.submodules.products = products = self.products
        m.d.comb += [products.w.eq(self.w), products.a.eq(self.a), self.total.eq(products.total)]
        return m


@pytest.mark.parametrize(("technology", "cells"), [
    pytest.param("ice40", shipped("ice40"), id="ice40"),
    pytest.param("ecp5", models, id="ecp5", marks=pytest.mark.nightly)])
def test_packed_products(prover, technology, cells):
    """Two int8 tokens to a block, for a weight of two bits."""
    prover.prove_pairs([pair(prover, SumOfPairs, technology, cell_models=cells)], steps=5)


class GuardedMemory(wiring.Component):
    """A memory that is not read where it is being written."""

    def __init__(self, width, depth, technology, enables):
        self.memory = BlockMemory(width, depth, technology, enables=enables)
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


@pytest.mark.parametrize(("width", "depth", "enables"), [(2, 4, False), (37, 2, False),
                                                         (2, 4, True)])
def test_memories(prover, width, depth, enables):
    def build(technology):
        return GuardedMemory(width, depth, technology, enables)

    prover.prove_pairs([pair(prover, build, "ecp5")], steps=6)


def test_a_pair_without_its_carry_is_refuted(prover):
    build = products((4, True), (3, True), 0)
    generic, text = pair(prover, build, "ecp5")
    changed = text.replace("assign carry = ", "assign carry = 1'b0 & ")
    assert changed != text
    result = prover.run([(generic, changed)], steps=6)
    assert result.returncode and "proof did fail" in result.stdout, result.stdout[-2000:]


@pytest.mark.parametrize(("stages", "old", "new"), [
    (1, "SIGNEDA & a_used[17]", "a_used[17]"),
    (1, "REG_INPUTB_CE == \"CE1\" ? CE1 : CE0", "CE0"),
    (4, "between = REG_PIPELINE_CLK == \"CLK0\"", "between = 1'b0"),
])
def test_another_multiplier_is_refuted(prover, stages, old, new):
    def change(text):
        assert old in text
        return text.replace(old, new)

    build = multiplier((18, False), (2, True), stages, operand_registers=True)
    result = prover.run([pair(prover, build, "ecp5", change)], steps=8)
    assert result.returncode and "proof did fail" in result.stdout, result.stdout[-2000:]
