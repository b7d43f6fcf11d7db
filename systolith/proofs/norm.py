"""The statistics of a row against their specification: what is rounded away later shows here."""

from functools import reduce
from operator import add

from amaranth.hdl import Mux, Signal, signed

from systolith.hdl.norm.config import EPSILON_FRACTION
from systolith.hdl.norm.statistics import RowStatistics
from systolith.proofs.arithmetic import inverted
from systolith.proofs.harness import Edit, Harness, integer
from systolith.proofs.timing import ago, settled


def row_statistics(component: RowStatistics, edit: Edit) -> Harness:
    """The sum of a row, and the reciprocal root of its spread."""
    h, config = Harness(component, edit), component.config
    ports, fixed, lanes = h.ports, config.fixed, config.lanes
    length, center, epsilon = (h.constant(len(getattr(ports, name)), name)
                               for name in ("length", "center", "epsilon"))
    for name, value in (("length", length), ("center", center), ("epsilon", epsilon)):
        h.drive(name, value)

    # What there is of the row, this beat included. Beyond the longest row nothing is owed.
    elements = [integer(ports.x.word_select(lane, fixed.bits), fixed.signed)
                for lane in range(lanes)]
    bits = config.squares.bits + lanes.bit_length() + 1
    total_so_far = h.register(signed(bits), "total_so_far")
    squares_so_far = h.register(bits, "squares_so_far")
    beats_so_far = h.register(range(config.max_beats + 2), "beats_so_far")
    total, squares = Signal(signed(bits), name="sum_of_row"), Signal(bits, name="squares_of_row")
    beats = Signal.like(beats_so_far, name="beats_of_row")
    h.m.d.comb += [
        total.eq(total_so_far + reduce(add, elements)),
        squares.eq(squares_so_far + reduce(add, (element * element for element in elements))),
        beats.eq(Mux(beats_so_far > config.max_beats, beats_so_far, beats_so_far + 1)),
    ]
    for register, value in ((total_so_far, total), (squares_so_far, squares),
                            (beats_so_far, beats)):
        h.step(register, Mux(ports.valid, Mux(ports.last, 0, value), register))

    late = component.latency
    centered = Signal.like(total, name="centered_sum")
    h.m.d.comb += centered.eq(Mux(center, total, 0))
    difference = Signal(signed(2 * bits + 1), name="variance")
    h.m.d.comb += difference.eq(length * squares - centered * centered)
    is_row = ((length <= config.max_length) & (beats <= config.max_beats) & (difference >= 0)
              & (squares <= config.squares.code_high)
              & (total >= config.total.code_low) & (total <= config.total.code_high))
    spread = Signal(config.spread.bits, name="spread_of_row")
    h.m.d.comb += spread.eq((difference << EPSILON_FRACTION) + epsilon)

    known = settled(h, late)
    done = ago(h, ports.valid & ports.last, late, "done")
    owed = known & done & ago(h, is_row, late, "is_row")
    row_spread = ago(h, spread, late, "spread")
    mantissa, exponent = inverted(h, config.inverse, row_spread)
    h.check("done", ~known | (ports.done == done))
    h.check("sum", ~owed | (integer(ports.total, config.total.signed)
                            == ago(h, centered, late, "centered")))
    h.check("flat", ~owed | (ports.flat == (row_spread == 0)))
    h.check("reciprocal root", ~owed | (row_spread == 0) | (
        (ports.mantissa == mantissa) & (ports.exponent == exponent)))
    # Where a solver need not multiply: it finds what hides behind a carry of many places.
    of_one = Signal.like(spread, name="spread_of_one")
    h.m.d.comb += of_one.eq((length - center << EPSILON_FRACTION) + epsilon)
    one = ago(h, ports.valid & ports.last & (beats_so_far == 0) & (ports.x == 1), late, "one")
    mantissa, exponent = inverted(h, config.inverse, of_one)
    h.check("reciprocal root of a row of one 1", ~known | ~one | (length == 0) | (of_one == 0) | (
        (ports.mantissa == mantissa) & (ports.exponent == exponent)))
    h.cover("a row of two beats", owed & (row_spread != 0)
            & ago(h, beats == min(2, config.max_beats), late, "two_beats"))
    return h
