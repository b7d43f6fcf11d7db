"""Sum and spread of rows that arrive a beat per cycle."""

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from systolith.hdl.arithmetic.inverse import Inverse, inverse_latency
from systolith.hdl.arithmetic.multiplier import Multiplier
from systolith.hdl.arithmetic.products import AdderTree
from systolith.hdl.arithmetic.steps import counter, shape, signal_of
from systolith.hdl.formats import IntegerFormat
from systolith.hdl.norm.config import EPSILON_FRACTION, NormConfig
from systolith.hdl.structure.delay import Delay
from systolith.hdl.structure.linear_array import LinearArray

MULTIPLIER_STAGES = 2


class RowStatistics(wiring.Component):
    """Sum of a row, and 1/√(n·Σx² − (Σx)² + epsilon), in one pass.

    Parameters
    ----------
    config : NormConfig

    Members
    -------
    x : In
        One beat; elements that do not count are 0.
    valid : In(1)
    last : In(1)
        With ``valid``: the row ends.
    length, center, epsilon : In
        Constant while rows are in flight; without ``center`` the sum counts as 0.
    done : Out(1)
        The statistics of a row are there.
    total, mantissa, exponent : Out
    flat : Out(1)
        With ``done``: there is no spread, and the reciprocal root has no meaning.

    Timing
    ------
    Latency :attr:`latency` cycles from the last beat of a row, one beat per cycle.
    """

    def __init__(self, config: NormConfig):
        self.config = config
        self.latency = statistics_latency(config)
        super().__init__({
            "x": In(config.lanes * config.fixed.bits), "valid": In(1), "last": In(1),
            "length": In(counter(config.max_length)), "center": In(1),
            "epsilon": In(config.epsilon.bits), "done": Out(1), "total": Out(shape(config.total)),
            "mantissa": Out(shape(config.inverse.mantissa)),
            "exponent": Out(counter(config.inverse.exponent_high)), "flat": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        config = self.config
        element = IntegerFormat(config.fixed.bits, config.fixed.signed)
        levels = (config.lanes - 1).bit_length()

        m.submodules.squares = squares = LinearArray(
            lambda: Multiplier(shape(element), shape(element), MULTIPLIER_STAGES,
                               config.technology), config.lanes, name="square")
        m.submodules.sum = row_sum = AdderTree(element, config.lanes, levels)
        m.submodules.sum_beside = sum_beside = Delay(row_sum.format.bits, MULTIPLIER_STAGES)
        square = config.squares_of(1)
        m.submodules.sum_of_squares = square_sum = AdderTree(square, config.lanes, levels)
        m.submodules.valid_beside = beside = Delay(2, MULTIPLIER_STAGES + levels, reset=True)
        valid, last = beside.o
        m.d.comb += [
            squares.a.eq(self.x),
            squares.b.eq(self.x),
            square_sum.terms.eq(Cat(squares.p.word_select(lane, 2 * element.bits)[:square.bits]
                                    for lane in range(config.lanes))),
            row_sum.terms.eq(self.x),
            sum_beside.i.eq(row_sum.total),
            beside.i[0].eq(self.valid),
            beside.i[1].eq(self.last),
        ]
        beat_total = Signal(shape(row_sum.format))
        m.d.comb += beat_total.eq(sum_beside.o)

        first = Signal(init=1)
        done = Signal()
        total = Signal(shape(config.total), reset_less=True)
        total_squares = Signal(shape(config.squares), reset_less=True)
        with m.If(valid):
            m.d.sync += [
                first.eq(last),
                total.eq(Mux(first, 0, total) + beat_total),
                total_squares.eq(Mux(first, 0, total_squares) + square_sum.total),
            ]
        m.d.sync += done.eq(valid & last)

        centered = Signal.like(total, name="centered")
        m.submodules.by_length = by_length = Multiplier(
            shape(config.squares), self.length.shape(), MULTIPLIER_STAGES, config.technology)
        m.submodules.squared = squared = Multiplier(
            total.shape(), total.shape(), MULTIPLIER_STAGES, config.technology)
        m.d.comb += [
            centered.eq(Mux(self.center, total, 0)),
            by_length.a.eq(total_squares),
            by_length.b.eq(self.length),
            squared.a.eq(centered),
            squared.b.eq(centered),
        ]
        # Never negative: (Σx)² ≤ n·Σx².
        difference = signal_of(m, by_length.p - squared.p, "difference")
        variance = Signal(config.spread.bits - EPSILON_FRACTION, reset_less=True)
        spread = Signal(config.spread.bits, reset_less=True)
        m.d.sync += [
            variance.eq(difference[:len(variance)]),
            spread.eq((variance << EPSILON_FRACTION) + self.epsilon),
        ]

        m.submodules.inverse = inverse = Inverse(config.inverse, config.technology)
        after = MULTIPLIER_STAGES + 2 + inverse.latency
        m.submodules.total_beside = total_beside = Delay(len(total), after)
        m.submodules.done_beside = done_beside = Delay(1, after, reset=True)
        m.d.comb += [
            inverse.x.eq(spread),
            total_beside.i.eq(centered),
            done_beside.i.eq(done),
            self.done.eq(done_beside.o),
            self.total.eq(total_beside.o),
            self.mantissa.eq(inverse.mantissa),
            self.exponent.eq(inverse.exponent),
            self.flat.eq(inverse.zero),
        ]
        return m


def statistics_latency(config: NormConfig) -> int:
    """Cycles that :class:`RowStatistics` takes behind the last beat of a row."""
    levels = (config.lanes - 1).bit_length()
    sums = MULTIPLIER_STAGES + levels + 1
    return sums + MULTIPLIER_STAGES + 2 + inverse_latency(config.inverse)
