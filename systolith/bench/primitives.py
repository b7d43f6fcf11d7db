"""Figures of the multiplier blocks: clock rates between registers."""

from collections.abc import Iterator

from amaranth.hdl import Shape

from systolith.bench.results import Figure, Progress, Table
from systolith.fpga.synthesis import synthesize
from systolith.hdl.arithmetic.multiplier import Multiplier, PairMultiplier

INT8 = Shape(8, signed=True)


def tables(progress: Progress, *, quick: bool) -> Iterator[Table]:
    """Measure everything, a table at a time."""
    yield _blocks(progress)


def _blocks(progress: Progress) -> Table:
    """Blocks between registers: their operand and product registers, nothing else."""
    figures = []
    for technology, device in (("ecp5", "ecp5-85k"), ("ice40", "ice40-up5k")):
        for what, part in (
                ("int8 product", Multiplier(INT8, INT8, 1, technology, operand_registers=True)),
                ("int8 x int4, two products",
                 PairMultiplier(INT8, Shape(4, signed=True), 1, technology,
                                operand_registers=True))):
            found = synthesize(part, device, pnr=True, progress=progress)
            figures.append(Figure(f"{what} in a block, {device}", found.timing.fmax_mhz, "MHz"))
    return Table("Blocks between registers", tuple(figures),
                 "Operand and product registers of the block, seed 1. The model of the tools "
                 "counts blocks of the UP5K as registered.")
