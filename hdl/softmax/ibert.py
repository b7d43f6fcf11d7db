"""The datapaths of ``ibert``: the integer softmax of I-BERT.

An exponential is a parabola between two powers of two, halved as often as ln 2 fits into the
distance from the maximum of the row. Its constants are registers, since they follow from the scale
of the logits.
"""

from amaranth import Cat, Const, Module, Mux, Shape, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from systolith.hdl.arithmetic.division import Divider
from systolith.hdl.arithmetic.multiplier import Multiplier
from systolith.hdl.arithmetic.rounding import saturate
from systolith.hdl.arithmetic.shifting import capped
from systolith.hdl.arithmetic.steps import exceeds, shape, signal_of
from systolith.hdl.softmax.config import HALVINGS, SoftmaxConfig
from systolith.hdl.softmax.passes import (
    Latency,
    control,
    delayed,
    logit_beat_bits,
    pass_members,
    split,
)
from systolith.hdl.softmax.row_results import RowDivision, RowMaximum, RowTotal
from systolith.hdl.softmax.rows import rows_between
from systolith.hdl.structure.linear_array import LinearArray

MULTIPLIER_STAGES = 2
QUOTIENT_BITS = HALVINGS.bit_length()


def constant_members(config: SoftmaxConfig) -> dict:
    """The registers with the constants of the exponential, constant while rows are in flight."""
    return {register.name: In(register.fields[0].bits) for register in config.registers}


class ExponentialLane(wiring.Component):
    """e^(x − top) of one element in units of 2^−precision · exp_c / 2^width of it.

    With d = min(top − x, 30 · exp_ln2), z = ⌊d / exp_ln2⌋ and r = d mod exp_ln2 it is
    exp_c − r · (exp_b − r), not below 0 nor above the range of exp_c, times
    2^(precision − z − width of exp_c), cut.

    Members
    -------
    x, top : In
        The logit and the maximum of its row.
    keep : In(1)
    exp_ln2, exp_b, exp_c : In
    e : Out(precision)
        0 where the element does not count.

    Timing
    ------
    Latency :attr:`latency` cycles, one element per cycle.
    """

    latency = 2 + QUOTIENT_BITS + 1 + MULTIPLIER_STAGES + 2

    def __init__(self, config: SoftmaxConfig):
        self.config = config
        x = shape(config.logit)
        super().__init__({"x": In(x), "top": In(x), "keep": In(1), "e": Out(config.precision)}
                         | constant_members(config))

    def elaborate(self, platform):
        m = Module()
        config = self.config
        ln2, b, c = self.exp_ln2, self.exp_b, self.exp_c
        m.submodules.divider = divider = Divider(
            len(ln2) + QUOTIENT_BITS, len(ln2), quotient_bits=QUOTIENT_BITS)
        distance = Signal(config.logit.bits, reset_less=True)
        most = Signal(len(divider.dividend), reset_less=True)
        limited = Signal(len(divider.dividend), reset_less=True)
        # HALVINGS times ln2, which is one subtraction so.
        m.d.sync += [
            distance.eq(self.top - self.x),
            most.eq((ln2 << QUOTIENT_BITS) - ln2 * ((1 << QUOTIENT_BITS) - HALVINGS)),
            limited.eq(Mux(exceeds(distance, most), most, distance)),
        ]
        m.d.comb += [divider.dividend.eq(limited), divider.divisor.eq(Mux(ln2 == 0, 1, ln2))]

        slope = Signal(Shape(len(b) + 1, True), reset_less=True)
        rest = Signal(len(ln2), reset_less=True)
        m.d.sync += [slope.eq(b - divider.remainder), rest.eq(divider.remainder)]
        m.submodules.multiply = multiply = Multiplier(
            rest.shape(), slope.shape(), MULTIPLIER_STAGES, config.technology)
        m.d.comb += [multiply.a.eq(rest), multiply.b.eq(slope)]
        exact = signal_of(m, c - multiply.p, "exact")
        parabola = Signal(len(c), reset_less=True)
        m.d.sync += parabola.eq(Mux(exact < 0, 0, capped(exact[:-1], len(c))))

        halvings = delayed(m, "halvings", 2 + MULTIPLIER_STAGES, divider.quotient)
        keep = delayed(m, "keep", self.latency - 1, self.keep)
        scaled = Cat(Const(0, config.precision - len(c)), parabola)[-config.precision:] \
            if config.precision > len(c) else parabola[len(c) - config.precision:]
        e = Signal.like(self.e, name="exponential", reset_less=True)
        m.d.sync += e.eq(Mux(keep, scaled >> halvings, 0))
        m.d.comb += self.e.eq(e)
        return m


class IbertPass(wiring.Component):
    """A pass of ``ibert`` that lets beats of logits pass through."""

    def __init__(self, config: SoftmaxConfig, row_bits: int, record_bits: int):
        self.config = config
        beat_bits = logit_beat_bits(config)
        super().__init__(pass_members(beat_bits, row_bits, beat_bits, record_bits)
                         | constant_members(config))

    def _pass_through(self, m: Module):
        m.d.comb += [
            self.o_valid.eq(self.valid),
            self.o_last.eq(self.last),
            self.o_beat.eq(self.beat),
        ]


class IbertMaximum(IbertPass):
    """First pass: the maximum of a row.

    Members are those of :func:`~systolith.hdl.softmax.passes.pass_members`, and the registers.

    Timing
    ------
    :meth:`timing`; one beat per cycle.
    """

    def __init__(self, config: SoftmaxConfig):
        super().__init__(config, 0, config.logit.bits)

    @staticmethod
    def timing(config: SoftmaxConfig) -> Latency:
        return Latency(0, RowMaximum.cycles(config.lanes))

    def elaborate(self, platform):
        m = Module()
        self._pass_through(m)
        data, keep = split(self.config, self.beat)
        m.submodules.maximum = maximum = RowMaximum(self.config.lanes, shape(self.config.logit))
        m.d.comb += [
            maximum.valid.eq(self.valid),
            maximum.last.eq(self.last),
            maximum.x.eq(data),
            maximum.keep.eq(keep),
            self.record_valid.eq(maximum.done),
            self.record.eq(maximum.maximum),
        ]
        return m


class IbertSum(IbertPass):
    """Second pass: the sum of the exponentials of a row, and its inverse.

    Members are those of :func:`~systolith.hdl.softmax.passes.pass_members`, and the registers; the
    record is ⌊2^(2·precision) / sum⌋, then the maximum. A sum below 2^(precision − 8) counts as
    that.

    Timing
    ------
    :meth:`timing`; one beat per cycle. A serial divider takes a row for as many cycles as the
    inverse has bits, and one.
    """

    def __init__(self, config: SoftmaxConfig):
        super().__init__(config, config.logit.bits, config.factor_bits + config.logit.bits)

    @staticmethod
    def timing(config: SoftmaxConfig) -> Latency:
        return Latency(0, ExponentialLane.latency + RowTotal.cycles(config.lanes) + 1
                       + RowDivision.cycles(config.dividers, config.factor_bits))

    def elaborate(self, platform):
        m = Module()
        config = self.config
        self._pass_through(m)
        data, keep = split(config, self.beat)
        m.submodules.lanes = lanes = LinearArray(
            lambda: ExponentialLane(config), config.lanes, name="lane",
            broadcast=("top", *constant_members(config)))
        m.submodules.total = total = RowTotal(
            config.lanes, config.precision, config.ibert_total_bits)
        m.submodules.division = division = RowDivision(
            config.dividers, 1 << 2 * config.precision, config.ibert_total_bits,
            config.factor_bits, config.logit.bits,
            rows_between(config, 1, self.timing(config).record))
        valid, last = control(m, "lanes", ExponentialLane.latency, self.valid, self.last)
        least = 1 << config.precision - 8
        divisor = Signal(config.ibert_total_bits, reset_less=True)
        m.d.sync += divisor.eq(Mux(total.total < least, least, total.total))
        behind = ExponentialLane.latency + RowTotal.cycles(config.lanes) + 1
        m.d.comb += [
            lanes.x.eq(data),
            lanes.keep.eq(keep),
            lanes.top.eq(self.row),
            *(getattr(lanes, name).eq(getattr(self, name)) for name in constant_members(config)),
            total.valid.eq(valid),
            total.last.eq(last),
            total.weights.eq(lanes.e),
            division.valid.eq(delayed(m, "done", 1, total.done, reset=True)),
            division.divisor.eq(divisor),
            division.tag.eq(delayed(m, "row_top", behind, self.row)),
            self.record_valid.eq(division.done),
            self.record.eq(Cat(division.quotient, division.tag_out)),
        ]
        return m


class IbertQuotientLane(wiring.Component):
    """The exponential of one element times the inverse of the sum, cut; 1 becomes the highest
    number.

    Members
    -------
    x, top, keep, factor : In
    exp_ln2, exp_b, exp_c : In
    y : Out

    Timing
    ------
    Latency :attr:`latency` cycles.
    """

    latency = ExponentialLane.latency + MULTIPLIER_STAGES + 1

    def __init__(self, config: SoftmaxConfig):
        self.config = config
        x = shape(config.logit)
        super().__init__({"x": In(x), "top": In(x), "keep": In(1),
                          "factor": In(config.factor_bits), "y": Out(shape(config.y))}
                         | constant_members(config))

    def elaborate(self, platform):
        m = Module()
        config = self.config
        m.submodules.exponential = exponential = ExponentialLane(config)
        m.submodules.multiply = multiply = Multiplier(
            exponential.e.shape(), self.factor.shape(), MULTIPLIER_STAGES, config.technology)
        drop = 2 * config.precision - config.y.bits
        y = Signal.like(self.y, name="y", reset_less=True)
        quotient = signal_of(m, multiply.p[drop:], "quotient")
        m.d.comb += [
            exponential.x.eq(self.x),
            exponential.top.eq(self.top),
            exponential.keep.eq(self.keep),
            *(getattr(exponential, name).eq(getattr(self, name))
              for name in constant_members(config)),
            multiply.a.eq(exponential.e),
            multiply.b.eq(delayed(m, "factor", ExponentialLane.latency, self.factor)),
            self.y.eq(y),
        ]
        limited, _ = saturate(m, quotient, config.y, "limited")
        m.d.sync += y.eq(limited)
        return m


class IbertNormalizer(wiring.Component):
    """Last pass: the probabilities of a row whose maximum and inverse sum are known.

    Members are those of :func:`~systolith.hdl.softmax.passes.pass_members`, and the registers.

    Timing
    ------
    :meth:`timing`; one beat per cycle.
    """

    def __init__(self, config: SoftmaxConfig):
        self.config = config
        row_bits = config.factor_bits + config.logit.bits
        super().__init__(pass_members(logit_beat_bits(config), row_bits,
                                      config.lanes * config.y.bits, 0)
                         | constant_members(config))

    @staticmethod
    def timing(config: SoftmaxConfig) -> Latency:
        return Latency(IbertQuotientLane.latency)

    def elaborate(self, platform):
        m = Module()
        config = self.config
        data, keep = split(config, self.beat)
        m.submodules.lanes = lanes = LinearArray(
            lambda: IbertQuotientLane(config), config.lanes, name="lane",
            broadcast=("top", "factor", *constant_members(config)))
        valid, last = control(m, "control", IbertQuotientLane.latency, self.valid, self.last)
        m.d.comb += [
            lanes.x.eq(data),
            lanes.keep.eq(keep),
            Cat(lanes.factor, lanes.top).eq(self.row),
            *(getattr(lanes, name).eq(getattr(self, name)) for name in constant_members(config)),
            self.o_valid.eq(valid),
            self.o_last.eq(last),
            self.o_beat.eq(lanes.y),
        ]
        return m
