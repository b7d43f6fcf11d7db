"""The datapaths of ``base2``: the hardware-friendly softmax of Softermax.

Weights are powers of two of fixed-point logits, relative to the maximum rounded up to an integer,
so that a new maximum only shifts the sum.
"""

from amaranth import Cat, Module, Mux, Shape, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from systolith.hdl.arithmetic.config import InverseParameters
from systolith.hdl.arithmetic.inverse import Inverse, inverse_latency
from systolith.hdl.arithmetic.multiplier import Multiplier
from systolith.hdl.arithmetic.rounding import FixedRounder
from systolith.hdl.arithmetic.shifting import capped
from systolith.hdl.arithmetic.steps import counter, shape, signal_of
from systolith.hdl.formats import IntegerFormat
from systolith.hdl.softmax.config import SoftmaxConfig
from systolith.hdl.softmax.passes import (
    Latency,
    control,
    delayed,
    logit_beat_bits,
    pass_members,
    split,
)
from systolith.hdl.softmax.running_sum import ShiftedSum
from systolith.hdl.structure.linear_array import LinearArray

MULTIPLIER_STAGES = 2


def ceiling_shape(config: SoftmaxConfig) -> Shape:
    """Of a logit rounded up to an integer."""
    return Shape(config.logit.bits - config.in_fraction + 1, config.logit.signed)


def inverse_parameters(config: SoftmaxConfig) -> InverseParameters:
    """Of the inverse of a sum."""
    return InverseParameters(config.sum_integer + config.sum_fraction, config.y.bits - 1)


def record_bits(config: SoftmaxConfig) -> int:
    """Width of a record: mantissa and exponent of the inverse, ceiling of the maximum."""
    inverse = inverse_parameters(config)
    return (inverse.mantissa.bits + counter(inverse.exponent_high).width
            + ceiling_shape(config).width)


class Ceiling(wiring.Component):
    """A logit as its ceiling and its fraction.

    Members
    -------
    x : In
    ceiling : Out
    fraction : Out(in_fraction)
        Of x, not of what was added; absent where a logit has no fraction.

    Timing
    ------
    Latency 1 cycle.
    """

    latency = 1

    def __init__(self, config: SoftmaxConfig):
        self.fraction_bits = config.in_fraction
        members = {"x": In(shape(config.logit)), "ceiling": Out(ceiling_shape(config))}
        if config.in_fraction:
            members["fraction"] = Out(config.in_fraction)
        super().__init__(members)

    def elaborate(self, platform):
        m = Module()
        bits = self.fraction_bits
        ceiling = Signal.like(self.ceiling, name="ceiling", reset_less=True)
        m.d.comb += self.ceiling.eq(ceiling)
        if not bits:
            m.d.sync += ceiling.eq(self.x)
            return m
        fraction = Signal(bits, name="fraction", reset_less=True)
        x, whole = self.x.shape(), self.ceiling.shape()
        m.submodules.round_up = rounder = FixedRounder(
            IntegerFormat(x.width, x.signed), IntegerFormat(whole.width, whole.signed, bits),
            "ceiling")
        m.d.comb += rounder.value.eq(self.x)
        m.d.sync += [ceiling.eq(rounder.result), fraction.eq(self.x[:bits])]
        m.d.comb += self.fraction.eq(fraction)
        return m


def power_members(config: SoftmaxConfig) -> dict:
    """Inputs of a :class:`PowerLane`."""
    integer = ceiling_shape(config)
    members = {"key": In(integer), "top": In(integer), "keep": In(1)}
    if config.in_fraction:
        members["payload"] = In(config.in_fraction)
    return members


class PowerLane(wiring.Component):
    """2^(x − top) of one element, from a table for the fraction and a shift for the rest.

    Members
    -------
    key, payload : In
        Ceiling and fraction of the logit.
    top : In
        Ceiling of the maximum, not below ``key``.
    keep : In(1)
    weight : Out(precision + 1)
        0 where the element does not count.

    Timing
    ------
    Latency 2 cycles.
    """

    latency = 2

    def __init__(self, config: SoftmaxConfig):
        self.config = config
        super().__init__(power_members(config) | {"weight": Out(config.precision + 1)})

    def elaborate(self, platform):
        m = Module()
        precision, bits = self.config.precision, self.config.in_fraction
        gone = precision + 1                             # by which any power is
        distance = Signal(self.key.shape().width + 1)
        power = Signal(precision + 1)
        m.d.comb += distance.eq(self.top - self.key)
        if bits:
            whole = Signal.like(distance, name="whole")
            m.d.comb += whole.eq(distance + self.payload.any())
            with m.Switch(self.payload):
                for fraction in range(1 << bits):
                    with m.Case(fraction):
                        m.d.comb += power.eq(power_of_two(fraction, bits, precision))
        else:
            whole = distance
            m.d.comb += power.eq(1 << precision)
        amount = Signal(counter(gone), reset_less=True)
        power_held = Signal.like(power, name="power_held", reset_less=True)
        keep = Signal(reset_less=True)
        weight = Signal.like(self.weight, name="weight", reset_less=True)
        m.d.sync += [
            amount.eq(capped(whole, len(amount))),
            power_held.eq(power),
            keep.eq(self.keep),
            weight.eq(Mux(keep, power_held >> amount, 0)),
        ]
        m.d.comb += self.weight.eq(weight)
        return m


def power_of_two(fraction: int, bits: int, precision: int) -> int:
    """2^(fraction / 2^bits) in units of 2^−precision, to nearest."""
    return round(2.0 ** (fraction / (1 << bits) + precision))


class Base2RunningSum(ShiftedSum):
    """Ceiling of the maximum of a row and the sum of its powers, while it streams by.

    The powers of a beat are added exactly, and their sum is cut to the fraction of the sum.
    """

    lane_latency = PowerLane.latency
    saturates = True

    def __init__(self, config: SoftmaxConfig):
        super().__init__(config, ceiling_shape(config), config.in_fraction, config.precision + 1,
                         config.sum_integer + config.sum_fraction, saturated=Out(1))

    def lane(self) -> wiring.Component:
        return PowerLane(self.config)

    def halvings(self, m: Module, rise):
        return rise

    def summand(self, weights):
        return weights[self.config.precision - self.config.sum_fraction:]


class Base2Sum(wiring.Component):
    """First pass: ceiling of the maximum, sum and inverse of the sum of a row.

    Members are those of :func:`~systolith.hdl.softmax.passes.pass_members`; beats pass through, the
    record is mantissa and exponent of the inverse, then the ceiling of the maximum. ``saturated``
    is high when a sum reached its end.

    Timing
    ------
    :meth:`timing`; one beat per cycle.
    """

    def __init__(self, config: SoftmaxConfig):
        self.config = config
        beat_bits = logit_beat_bits(config)
        super().__init__(pass_members(beat_bits, 0, beat_bits, record_bits(config))
                         | {"saturated": Out(1)})

    @staticmethod
    def timing(config: SoftmaxConfig) -> Latency:
        return Latency(0, Ceiling.latency + Base2RunningSum.cycles(config.lanes)
                       + inverse_latency(inverse_parameters(config)))

    def elaborate(self, platform):
        m = Module()
        config = self.config
        data, keep = split(config, self.beat)
        m.submodules.ceilings = ceilings = LinearArray(
            lambda: Ceiling(config), config.lanes, name="ceiling")
        m.submodules.running = running = Base2RunningSum(config)
        m.submodules.inverse = inverse = Inverse(inverse_parameters(config),
                                               config.technology)
        valid, last = control(m, "beat", Ceiling.latency, self.valid, self.last)
        m.d.comb += [
            self.o_valid.eq(self.valid),
            self.o_last.eq(self.last),
            self.o_beat.eq(self.beat),
            ceilings.x.eq(data),
            running.valid.eq(valid),
            running.last.eq(last),
            running.keys.eq(ceilings.ceiling),
            running.keep.eq(delayed(m, "keep", Ceiling.latency, keep)),
            inverse.x.eq(running.total),
            self.record_valid.eq(
                delayed(m, "done", inverse.latency, running.done, reset=True)),
            self.record.eq(Cat(inverse.mantissa, inverse.exponent,
                               delayed(m, "row_top", inverse.latency, running.top))),
            self.saturated.eq(running.saturated),
        ]
        if config.in_fraction:
            m.d.comb += running.payloads.eq(ceilings.fraction)
        return m


class QuotientLane(wiring.Component):
    """The power of one element times the inverse of the sum.

    Members
    -------
    key, payload, top, keep : In
        As of :class:`PowerLane`.
    mantissa, exponent : In
        Of the inverse; they come with the element.
    y : Out

    Timing
    ------
    Latency :attr:`latency` cycles.
    """

    latency = PowerLane.latency + MULTIPLIER_STAGES + 1

    def __init__(self, config: SoftmaxConfig):
        self.config = config
        inverse = inverse_parameters(config)
        super().__init__(power_members(config) | {
            "mantissa": In(shape(inverse.mantissa)),
            "exponent": In(counter(inverse.exponent_high)), "y": Out(shape(config.y))})

    def elaborate(self, platform):
        m = Module()
        config = self.config
        m.submodules.power = power = PowerLane(config)
        m.d.comb += [
            power.key.eq(self.key),
            power.top.eq(self.top),
            power.keep.eq(self.keep),
        ]
        if config.in_fraction:
            m.d.comb += power.payload.eq(self.payload)
        m.submodules.multiply = multiply = Multiplier(
            power.weight.shape(), self.mantissa.shape(), MULTIPLIER_STAGES,
            config.technology)
        m.d.comb += [
            multiply.a.eq(power.weight),
            multiply.b.eq(delayed(m, "mantissa", PowerLane.latency, self.mantissa)),
        ]
        exponent = delayed(m, "exponent", PowerLane.latency + MULTIPLIER_STAGES, self.exponent)
        # Units: 2^−precision of the power, 2^−bits of the mantissa, 2^−sum_fraction of the sum.
        fixed = config.precision - config.sum_fraction + 1
        y = Signal.like(self.y, name="y", reset_less=True)
        quotient = signal_of(m, multiply.p[fixed:] >> exponent, "quotient")
        m.d.sync += y.eq(quotient[:config.y.bits])
        m.d.comb += self.y.eq(y)
        return m


class Base2Normalizer(wiring.Component):
    """Second pass: the probabilities of a row whose maximum and inverse sum are known.

    Members are those of :func:`~systolith.hdl.softmax.passes.pass_members`.

    Timing
    ------
    :meth:`timing`; one beat per cycle.
    """

    def __init__(self, config: SoftmaxConfig):
        self.config = config
        super().__init__(pass_members(logit_beat_bits(config), record_bits(config),
                                      config.lanes * config.y.bits, 0))

    @staticmethod
    def timing(config: SoftmaxConfig) -> Latency:
        return Latency(Ceiling.latency + QuotientLane.latency)

    def elaborate(self, platform):
        m = Module()
        config = self.config
        data, keep = split(config, self.beat)
        m.submodules.ceilings = ceilings = LinearArray(
            lambda: Ceiling(config), config.lanes, name="ceiling")
        m.submodules.lanes = lanes = LinearArray(
            lambda: QuotientLane(config), config.lanes, name="lane",
            broadcast=("top", "mantissa", "exponent"))
        row = delayed(m, "row", Ceiling.latency, self.row)
        valid, last = control(m, "control", self.timing(config).beat, self.valid, self.last)
        m.d.comb += [
            ceilings.x.eq(data),
            lanes.key.eq(ceilings.ceiling),
            lanes.keep.eq(delayed(m, "keep", Ceiling.latency, keep)),
            Cat(lanes.mantissa, lanes.exponent, lanes.top).eq(row),
            self.o_valid.eq(valid),
            self.o_last.eq(last),
            self.o_beat.eq(lanes.y),
        ]
        if config.in_fraction:
            m.d.comb += lanes.payload.eq(ceilings.fraction)
        return m
