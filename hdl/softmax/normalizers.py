"""The last pass of the algorithms with real exponents: probabilities, or their logarithms, of a row
whose record is known."""

import math

from amaranth import Cat, Const, Module, Mux, Shape, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from systolith.hdl.arithmetic.multiplier import Multiplier
from systolith.hdl.arithmetic.rounding import FixedRounder, FloatEncoder
from systolith.hdl.arithmetic.shifting import capped
from systolith.hdl.arithmetic.steps import counter, shape, signal_of
from systolith.hdl.formats import IntegerFormat
from systolith.hdl.softmax.config import LN2_BITS, SCALE_BITS, STEP, SoftmaxConfig
from systolith.hdl.softmax.passes import (
    Latency,
    control,
    delayed,
    logit_beat_bits,
    pass_members,
    split,
)
from systolith.hdl.softmax.powers import (
    MULTIPLIER_STAGES,
    STEP_BITS,
    PowerLane,
    key_shape,
    power_latency,
)
from systolith.hdl.softmax.records import (
    inverse_bits,
    level_format,
    row_record,
    shift_bits,
)
from systolith.hdl.structure.linear_array import LinearArray


class QuotientLane(wiring.Component):
    """The power of one logit times the inverse of the sum: cut to an integer, or rounded to a float
    to nearest, halves to even.

    Members
    -------
    x, scale, keep : In
    undefined : In(1)
        The row has no probabilities; only where logits are floats.
    mantissa, shift, top : In
        The record of the row; it comes with the logit.
    y : Out(config.y.bits)

    Timing
    ------
    Latency :meth:`cycles`, one logit per cycle.
    """

    broadcast = ("scale", "mantissa", "shift", "top")

    def __init__(self, config: SoftmaxConfig):
        self.config = config
        super().__init__(lane_members(config) | {
            "mantissa": In(inverse_bits(config)),
            "shift": In(shift_bits(config)),
            "top": In(key_shape(config))})

    @staticmethod
    def cycles(config: SoftmaxConfig) -> int:
        rounding = FloatEncoder.STEPS if config.float_out else 1
        return power_latency(config) + MULTIPLIER_STAGES + rounding

    def elaborate(self, platform):
        m = Module()
        config = self.config
        before = power_latency(config)
        m.submodules.power = power = PowerLane(config)
        m.submodules.multiply = multiply = Multiplier(
            power.mantissa.shape(), self.mantissa.shape(), MULTIPLIER_STAGES,
            config.technology)
        m.d.comb += [
            power.x.eq(self.x),
            power.scale.eq(self.scale),
            multiply.a.eq(power.mantissa),
            multiply.b.eq(delayed(m, "mantissa", before, self.mantissa)),
        ]
        # The product is worth 2^(−2·precision − least − amount), beside which it comes. An integer
        # has no bit for a quotient of 1: its product, of 1 and more, is halved at least.
        least = 0 if config.float_out else 1
        shift, top = (delayed(m, name, before, value)
                      for name, value in (("shift", self.shift), ("top", self.top)))
        # The lowest inverse is of a sum of 2^(1 − STEP).
        far = (top << STEP_BITS) - power.exponent
        distance = Signal(far.shape(), name="distance", reset_less=True)
        excess = Signal(Shape(len(shift) + 1, True), name="excess", reset_less=True)
        m.d.sync += [distance.eq(far), excess.eq(shift - (STEP - 1 + least))]
        # By which anything is gone, and up to the next power of two.
        most = 4 - config.y.lsb_exponent if config.float_out else \
            len(multiply.p) - 2 * config.precision - least + config.y.bits
        amount = Signal(counter(most), reset_less=True)
        most = (1 << len(amount)) - 1
        m.d.sync += amount.eq(capped(signal_of(m, distance + excess, "far"), len(amount)))
        keep = delayed(m, "keep", before + MULTIPLIER_STAGES, self.keep)
        undefined = delayed(m, "undefined", before + MULTIPLIER_STAGES, self.undefined) \
            if config.float_in else Const(0, 1)
        if config.float_out:
            self._encode(m, multiply.p, amount, most, keep, undefined)
        else:
            dropped = 2 * config.precision + least - config.y.bits
            quotient = signal_of(m, multiply.p[dropped:] >> amount, "quotient")
            y = Signal.like(self.y, name="y", reset_less=True)
            m.d.sync += y.eq(Mux(keep & ~undefined, quotient[:config.y.bits], 0))
            m.d.comb += self.y.eq(y)
        return m

    def _encode(self, m: Module, product, amount, most: int, keep, undefined):
        """The product to a float, with as many of its bits as rounding needs."""
        config = self.config
        cut = 2 * config.precision - config.y.fraction_bits - 3
        lsb = cut - 2 * config.precision
        m.submodules.encode = encode = FloatEncoder(
            config.y, len(product) - cut, range(lsb - most, lsb + 1), FloatEncoder.STEPS)
        m.d.comb += [
            encode.magnitude.eq(Mux(keep, product[cut:], 0)),
            encode.sticky.eq(keep & product[:cut].any()),
            encode.exponent.eq(most - amount),
            encode.nan.eq(keep & undefined),
            self.y.eq(encode.code),
        ]


class LogarithmLane(wiring.Component):
    """The natural logarithm of the probability of one logit, to nearest, halves to even.

    ln 2 times the distance of x · scale below the logarithm of the sum.

    Members
    -------
    x, scale, keep, undefined : In
        As of :class:`QuotientLane`.
    level : In
        The record of the row; it comes with the logit.
    y : Out(config.y.bits)
    saturated : Out(1)
        y was below the range of an integer format; absent of floats.

    Timing
    ------
    Latency :meth:`cycles`, one logit per cycle.
    """

    broadcast = ("scale", "level")

    def __init__(self, config: SoftmaxConfig):
        self.config = config
        members = lane_members(config) | {"level": In(shape(level_format(config)))}
        if not config.float_out:
            members["saturated"] = Out(1)
        super().__init__(members)

    @staticmethod
    def cycles(config: SoftmaxConfig) -> int:
        return 2 * MULTIPLIER_STAGES + 1 + (FloatEncoder.STEPS if config.float_out else 2)

    def elaborate(self, platform):
        m = Module()
        config = self.config
        m.submodules.scaling = scaling = Multiplier(
            self.x.shape(), Shape(SCALE_BITS), MULTIPLIER_STAGES, config.technology)
        level = delayed(m, "level", MULTIPLIER_STAGES, self.level)
        cut = -config.z.lsb_exponent - config.precision
        z = scaling.p.shift_right(cut) if cut > 0 else scaling.p.shift_left(-cut)
        below = signal_of(m, level - z, "below")
        distance = Signal(len(below) - 1, name="distance", reset_less=True)
        factor = Const(round(math.log(2) * (1 << LN2_BITS)), LN2_BITS)
        m.submodules.multiply = multiply = Multiplier(
            distance.shape(), factor.shape(), MULTIPLIER_STAGES, config.technology)
        m.d.comb += [
            scaling.a.eq(self.x),
            scaling.b.eq(self.scale),
            multiply.a.eq(distance),
            multiply.b.eq(factor),
        ]
        # Errors could make a probability more than one.
        m.d.sync += distance.eq(Mux(below < 0, 0, below))
        age = 2 * MULTIPLIER_STAGES + 1
        keep = delayed(m, "keep", age, self.keep)
        undefined = delayed(m, "undefined", age, self.undefined) if config.float_in else Const(0, 1)
        lsb = -config.precision - LN2_BITS
        if config.float_out:
            some = Signal(name="some", reset_less=True)
            m.d.sync += some.eq(distance.any())
            m.submodules.encode = encode = FloatEncoder(
                config.y, len(multiply.p), range(lsb, lsb + 1), FloatEncoder.STEPS)
            m.d.comb += [
                encode.magnitude.eq(multiply.p),
                encode.sign.eq(delayed(m, "some", MULTIPLIER_STAGES - 1, some) | ~keep),
                encode.inf.eq(~keep),
                encode.nan.eq(keep & undefined),
                self.y.eq(encode.code),
            ]
            return m
        self._limit(m, multiply.p, lsb, keep, undefined)
        return m

    def _limit(self, m: Module, product, lsb: int, keep, undefined):
        """Rounded, then negated and limited."""
        y = self.config.y
        exact = IntegerFormat(len(product), False, lsb)
        whole = IntegerFormat(max(len(product) - (y.lsb_exponent - lsb), 1) + 1, False,
                              y.lsb_exponent)
        m.submodules.round = rounder = FixedRounder(exact, whole)
        rounded = Signal(shape(whole), name="rounded", reset_less=True)
        counts, nothing = (Signal(name=name, reset_less=True) for name in ("counts", "nothing"))
        result = Signal(shape(y), name="result", reset_less=True)
        saturated = Signal(name="beyond", reset_less=True)
        over = signal_of(m, rounded > -y.code_low, "over")
        m.d.comb += [
            rounder.value.eq(product),
            self.y.eq(result),
            self.saturated.eq(saturated),
        ]
        m.d.sync += [
            rounded.eq(rounder.result),
            counts.eq(keep & ~undefined),
            nothing.eq(~keep | undefined),
            result.eq(Mux(over | nothing, y.code_low, -rounded)),
            saturated.eq(over & counts),
        ]


def lane_members(config: SoftmaxConfig) -> dict:
    """What every lane of the last pass has."""
    members = {"x": In(shape(config.logit)), "scale": In(SCALE_BITS), "keep": In(1),
               "y": Out(config.y.bits)}
    if config.float_in:
        members["undefined"] = In(1)
    return members


class PowerNormalizer(wiring.Component):
    """Last pass: what becomes of the logits of a row whose record is known.

    Members are those of :func:`~systolith.hdl.softmax.passes.pass_members`, ``scale``, and

    undefined : In(1)
        The row of the beat has no probabilities; only where logits are floats.
    saturated : Out(1)
        A pulse: a logarithm was below its range; only of integers.

    Timing
    ------
    :meth:`timing`; one beat per cycle.
    """

    def __init__(self, config: SoftmaxConfig):
        self.config = config
        self.lane = normalizing_lane(config)
        members = pass_members(logit_beat_bits(config), row_record(config).bits(config),
                               config.lanes * config.y.bits, 0) | {"scale": In(SCALE_BITS)}
        if config.float_in:
            members["undefined"] = In(1)
        if config.output == "log" and not config.float_out:
            members["saturated"] = Out(1)
        super().__init__(members)

    @staticmethod
    def timing(config: SoftmaxConfig) -> Latency:
        return Latency(normalizing_lane(config).cycles(config))

    def elaborate(self, platform):
        m = Module()
        config = self.config
        data, keep = split(config, self.beat)
        undefined = ("undefined",) if config.float_in else ()
        m.submodules.lanes = lanes = LinearArray(
            lambda: self.lane(config), config.lanes, name="lane",
            broadcast=(*self.lane.broadcast, *undefined))
        valid, last = control(m, "control", self.lane.cycles(config), self.valid, self.last)
        record = [getattr(lanes, name) for name in self.lane.broadcast[1:]]
        m.d.comb += [
            lanes.x.eq(data),
            lanes.keep.eq(keep),
            lanes.scale.eq(self.scale),
            Cat(*record).eq(self.row),
            *(getattr(lanes, name).eq(getattr(self, name)) for name in undefined),
            self.o_valid.eq(valid),
            self.o_last.eq(last),
            self.o_beat.eq(lanes.y),
        ]
        if hasattr(self, "saturated"):
            m.d.comb += self.saturated.eq(valid & lanes.saturated.any())
        return m


def normalizing_lane(config: SoftmaxConfig) -> type[QuotientLane | LogarithmLane]:
    """What a lane of the last pass is."""
    return LogarithmLane if config.output == "log" else QuotientLane
