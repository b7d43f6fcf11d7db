"""What the algorithms with real exponents share: e^x as a pair of mantissa and exponent, and the
quotient of such a pair and a sum.

A logit times the register ``scale`` is the exponent z of a power of two; the pair is
mantissa · 2^⌊z⌋. Weights are relative to 2^top with top an integer, so that a sum of them is scaled
by shifts alone.
"""

from amaranth import Cat, Const, Module, Mux, Shape, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from systolith.hdl.arithmetic.config import ExponentialParameters, InverseParameters
from systolith.hdl.arithmetic.exponential import Exponential, exponential_latency
from systolith.hdl.arithmetic.inverse import Inverse, inverse_latency
from systolith.hdl.arithmetic.multiplier import Multiplier
from systolith.hdl.arithmetic.steps import counter, shape, signal_of
from systolith.hdl.softmax.config import SCALE_BITS, SoftmaxConfig
from systolith.hdl.softmax.passes import (
    Latency,
    control,
    delayed,
    logit_beat_bits,
    pass_members,
    split,
)
from systolith.hdl.structure.linear_array import LinearArray

MULTIPLIER_STAGES = 2


def exponential_parameters(config: SoftmaxConfig) -> ExponentialParameters:
    """Of the powers of two."""
    return ExponentialParameters(config.z, config.precision, "2")


def inverse_parameters(config: SoftmaxConfig) -> InverseParameters:
    """Of the inverse of a sum."""
    return InverseParameters(config.total_bits, config.precision)


def power_latency(config: SoftmaxConfig) -> int:
    """Cycles of a :class:`PowerLane`."""
    return MULTIPLIER_STAGES + exponential_latency(exponential_parameters(config))


class PowerLane(wiring.Component):
    """2^(x · scale) of one logit as mantissa · 2^exponent.

    Members
    -------
    x : In
    scale : In(SCALE_BITS)
        The register, constant while rows are in flight.
    mantissa, exponent : Out
        As of :class:`~systolith.hdl.arithmetic.exponential.Exponential`.

    Timing
    ------
    Latency :func:`power_latency`, one logit per cycle.
    """

    def __init__(self, config: SoftmaxConfig):
        self.config = config
        parameters = exponential_parameters(config)
        super().__init__({"x": In(shape(config.x)), "scale": In(SCALE_BITS),
                          "mantissa": Out(shape(parameters.mantissa)),
                          "exponent": Out(shape(parameters.exponent))})

    def elaborate(self, platform):
        m = Module()
        config = self.config
        m.submodules.multiply = multiply = Multiplier(
            shape(config.x), Shape(SCALE_BITS), MULTIPLIER_STAGES, config.technology)
        m.submodules.power = power = Exponential(exponential_parameters(config),
                                               config.technology)
        m.d.comb += [
            multiply.a.eq(self.x),
            multiply.b.eq(self.scale),
            power.x.eq(multiply.p),
            self.mantissa.eq(power.mantissa),
            self.exponent.eq(power.exponent),
        ]
        return m


class AlignLane(wiring.Component):
    """The weight of one element relative to 2^top, in units of the sum, cut.

    Members
    -------
    key, payload : In
        Exponent and mantissa of its power.
    top : In
        Not below ``key`` where the element counts.
    keep : In(1)
    weight : Out(weight_bits)

    Timing
    ------
    Latency 2 cycles.
    """

    latency = 2

    def __init__(self, config: SoftmaxConfig):
        self.config = config
        parameters = exponential_parameters(config)
        exponent = shape(parameters.exponent)
        super().__init__({"key": In(exponent), "top": In(exponent), "keep": In(1),
                          "payload": In(shape(parameters.mantissa)),
                          "weight": Out(config.weight_bits)})

    def elaborate(self, platform):
        m = Module()
        amount = Signal(counter(self.config.weight_bits), reset_less=True)
        mantissa = Signal.like(self.payload, name="mantissa", reset_less=True)
        keep = Signal(reset_less=True)
        weight = Signal.like(self.weight, name="weight", reset_less=True)
        m.d.sync += [
            amount.eq(limited(m, self.top - self.key, self.config.weight_bits, "distance")),
            mantissa.eq(self.payload),
            keep.eq(self.keep),
            weight.eq(Mux(keep, Cat(Const(0, self.config.guard), mantissa) >> amount, 0)),
        ]
        m.d.comb += self.weight.eq(weight)
        return m


def limited(m: Module, distance, most: int, name: str):
    """A number that is not below 0, or ``most`` where it exceeds that."""
    exact = Signal(len(distance), name=name)
    m.d.comb += exact.eq(distance)
    return Mux(exact > most, most, exact) if most < (1 << len(exact)) - 1 else exact


class RowInverse(wiring.Component):
    """The record of a row for :class:`PowerNormalizer`: inverse of its sum, and top.

    The mantissa of the inverse is lowered by at least 7 · 2^−precision of itself, which outweighs
    every error that could have made it, or a mantissa, too large: what is computed with it is not
    above the true quotient.

    Members
    -------
    done, top, total : In
        A row, the exponent its weights are relative to, and their sum.
    record_valid, record : Out

    Timing
    ------
    Latency :meth:`cycles`, one row per cycle.
    """

    def __init__(self, config: SoftmaxConfig):
        self.config = config
        exponent = shape(exponential_parameters(config).exponent)
        super().__init__({"done": In(1), "top": In(exponent), "total": In(config.total_bits),
                          "record_valid": Out(1), "record": Out(record_bits(config))})

    @staticmethod
    def cycles(config: SoftmaxConfig) -> int:
        return inverse_latency(inverse_parameters(config)) + 1

    def elaborate(self, platform):
        m = Module()
        config = self.config
        m.submodules.inverse = inverse = Inverse(inverse_parameters(config),
                                               config.technology)
        mantissa = Signal.like(inverse.mantissa, name="mantissa", reset_less=True)
        shift = Signal(shift_bits(config), reset_less=True)
        slack = inverse.mantissa[config.precision - 3:]
        above = signal_of(m, inverse.exponent - lowest_exponent(config), "above_lowest")
        m.d.sync += [
            mantissa.eq(inverse.mantissa - slack),
            shift.eq(above[:len(shift)]),
        ]
        latency = self.cycles(config)
        m.d.comb += [
            inverse.x.eq(self.total),
            self.record_valid.eq(delayed(m, "done", latency, self.done, reset=True)),
            self.record.eq(Cat(mantissa, shift, delayed(m, "top", latency, self.top))),
        ]
        return m


def lowest_exponent(config: SoftmaxConfig) -> int:
    """The lowest exponent of an inverse: a sum is at least 1, but for the error of a mantissa."""
    return config.precision + config.guard - 1


def shift_bits(config: SoftmaxConfig) -> int:
    """Width of how far the exponent of an inverse is above the lowest."""
    return (inverse_parameters(config).exponent_high - lowest_exponent(config)).bit_length()


def record_bits(config: SoftmaxConfig) -> int:
    """Width of a record: mantissa and exponent of the inverse, top."""
    return (inverse_parameters(config).mantissa.bits + shift_bits(config)
            + exponential_parameters(config).exponent.bits)


class QuotientLane(wiring.Component):
    """The power of one logit times the inverse of the sum, cut.

    Members
    -------
    x, scale, keep : In
    mantissa, shift, top : In
        The record of the row; it comes with the logit.
    y : Out

    Timing
    ------
    Latency :meth:`cycles`, one logit per cycle.
    """

    def __init__(self, config: SoftmaxConfig):
        self.config = config
        super().__init__({
            "x": In(shape(config.x)), "scale": In(SCALE_BITS), "keep": In(1),
            "mantissa": In(shape(inverse_parameters(config).mantissa)),
            "shift": In(shift_bits(config)),
            "top": In(shape(exponential_parameters(config).exponent)), "y": Out(shape(config.y))})

    @staticmethod
    def cycles(config: SoftmaxConfig) -> int:
        return power_latency(config) + MULTIPLIER_STAGES + 1

    def elaborate(self, platform):
        m = Module()
        config = self.config
        before = power_latency(config)
        m.submodules.power = power = PowerLane(config)
        m.submodules.multiply = multiply = Multiplier(
            power.mantissa.shape(), self.mantissa.shape(), MULTIPLIER_STAGES,
            config.technology)
        # In units of 2^−bits the product is 2^(2·precision − bits) too large, for the lowest shift.
        dropped = 2 * config.precision - config.y.bits
        most = len(multiply.p) - dropped
        shift, top = (delayed(m, name, before, value)
                      for name, value in (("shift", self.shift), ("top", self.top)))
        amount = Signal(counter(most), reset_less=True)
        m.d.comb += [
            power.x.eq(self.x),
            power.scale.eq(self.scale),
            multiply.a.eq(power.mantissa),
            multiply.b.eq(delayed(m, "mantissa", before, self.mantissa)),
        ]
        m.d.sync += amount.eq(limited(m, (top - power.exponent) + shift, most, "distance"))
        amount = delayed(m, "amount", MULTIPLIER_STAGES - 1, amount)
        keep = delayed(m, "keep", before + MULTIPLIER_STAGES, self.keep)
        quotient = signal_of(m, multiply.p[dropped:] >> amount, "quotient")
        y = Signal.like(self.y, name="y", reset_less=True)
        m.d.sync += y.eq(Mux(keep, quotient[:config.y.bits], 0))
        m.d.comb += self.y.eq(y)
        return m


class PowerNormalizer(wiring.Component):
    """Last pass: the probabilities of a row whose record is known.

    Members are those of :func:`~systolith.hdl.softmax.passes.pass_members`, and ``scale``.

    Timing
    ------
    :meth:`timing`; one beat per cycle.
    """

    def __init__(self, config: SoftmaxConfig):
        self.config = config
        super().__init__(pass_members(logit_beat_bits(config), record_bits(config),
                                      config.lanes * config.y.bits, 0)
                         | {"scale": In(SCALE_BITS)})

    @staticmethod
    def timing(config: SoftmaxConfig) -> Latency:
        return Latency(QuotientLane.cycles(config))

    def elaborate(self, platform):
        m = Module()
        config = self.config
        data, keep = split(config, self.beat)
        m.submodules.lanes = lanes = LinearArray(
            lambda: QuotientLane(config), config.lanes, name="lane",
            broadcast=("scale", "mantissa", "shift", "top"))
        valid, last = control(m, "control", QuotientLane.cycles(config), self.valid, self.last)
        m.d.comb += [
            lanes.x.eq(data),
            lanes.keep.eq(keep),
            lanes.scale.eq(self.scale),
            Cat(lanes.mantissa, lanes.shift, lanes.top).eq(self.row),
            self.o_valid.eq(valid),
            self.o_last.eq(last),
            self.o_beat.eq(lanes.y),
        ]
        return m
