"""IEEE 754 arithmetic in round-to-nearest-even, with subnormals, infinities and NaN."""

from amaranth import Cat, Const, Module, Mux, Signal, unsigned
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from systolith.hdl.arithmetic.decoders import FloatDecoder
from systolith.hdl.arithmetic.multiplier import Multiplier
from systolith.hdl.arithmetic.rounding import FloatEncoder, Rounding
from systolith.hdl.arithmetic.shifting import Shifter
from systolith.hdl.arithmetic.steps import Steps, check_stages, counter, signal_of, spread
from systolith.hdl.formats import FloatFormat


class FloatConverter(wiring.Component):
    """Converts from one float format to another, rounding once.

    Parameters
    ----------
    source, target : FloatFormat
    stages : int
        Registers, 0 to 4.
    rounding : "rne", "half_away" or "toward_zero"
    saturate : bool
        What becomes of numbers beyond the range; see :class:`FloatEncoder`.

    Members
    -------
    a : In(source.bits)
    result : Out(target.bits)
    overflow, invalid : Out(1)
        As :class:`FloatEncoder` gives them.

    Timing
    ------
    Latency ``stages`` cycles, one conversion per cycle.
    """

    def __init__(self, source: FloatFormat, target: FloatFormat, stages: int = 0,
                 rounding: Rounding = "rne", *, saturate: bool = False):
        check_stages(stages, FloatEncoder.STEPS)
        self.source, self.target, self.latency = source, target, stages
        self.rounding, self.saturate = rounding, saturate
        super().__init__({"a": In(source.bits), "result": Out(target.bits), "overflow": Out(1),
                          "invalid": Out(1)})

    def elaborate(self, platform):
        m = Module()
        source = self.source
        m.submodules.decode = decode = FloatDecoder(source)
        exponents = range(source.lsb_exponent, source.lsb_exponent + source.shift_high + 1)
        m.submodules.encode = encode = FloatEncoder(
            self.target, 1 + source.fraction_bits, exponents, self.latency, self.rounding,
            saturate=self.saturate)
        m.d.comb += [
            decode.code.eq(self.a),
            encode.sign.eq(decode.sign),
            encode.exponent.eq(decode.exponent),
            encode.magnitude.eq(decode.significand),
            encode.inf.eq(decode.inf),
            encode.nan.eq(decode.nan),
            self.result.eq(encode.code),
            self.overflow.eq(encode.overflow),
            self.invalid.eq(encode.invalid),
        ]
        return m


class FloatMultiplier(wiring.Component):
    """Product of two floats, rounded once to a third format.

    0 · Inf is NaN. A NaN is the result's one NaN, or 0 where the format has none. A product beyond
    the range is Inf, or NaN where the format has no Inf, or else the largest number.

    Parameters
    ----------
    a_format, b_format, result_format : FloatFormat
    stages : int
        Registers, 0 to 6.
    technology : str
        As in :class:`Multiplier`.

    Members
    -------
    a, b : In
        Codes of the factors.
    result : Out(result_format.bits)
        Code of the product.

    Timing
    ------
    Latency ``stages`` cycles, one product per cycle.
    """

    STEPS = 2 + FloatEncoder.STEPS

    def __init__(self, a_format: FloatFormat, b_format: FloatFormat, result_format: FloatFormat,
                 stages: int = 0, technology: str = "generic"):
        check_stages(stages, self.STEPS)
        self.a_format, self.b_format, self.result_format = a_format, b_format, result_format
        self.latency, self.technology = stages, technology
        super().__init__({"a": In(a_format.bits), "b": In(b_format.bits),
                          "result": Out(result_format.bits)})

    def elaborate(self, platform):
        m = Module()
        registered = spread(self.STEPS, self.latency)
        decode_stage, product_stage = (int(step in registered) for step in (1, 2))
        m.submodules.decode_a = a = FloatDecoder(self.a_format)
        m.submodules.decode_b = b = FloatDecoder(self.b_format)
        m.d.comb += [a.code.eq(self.a), b.code.eq(self.b)]

        a_zero = signal_of(m, ~(a.significand.any() | a.inf | a.nan), "a_zero")
        b_zero = signal_of(m, ~(b.significand.any() | b.inf | b.nan), "b_zero")
        lsb = self.a_format.lsb_exponent + self.b_format.lsb_exponent
        exponents = range(lsb, lsb + self.a_format.shift_high + self.b_format.shift_high + 1)
        exponent = Signal(counter(len(exponents) - 1))
        sign = signal_of(m, a.sign ^ b.sign, "sign")
        inf = signal_of(m, a.inf | b.inf, "inf")
        nan = signal_of(m, a.nan | b.nan | (a.inf & b_zero) | (b.inf & a_zero), "nan")
        m.d.comb += exponent.eq(a.exponent + b.exponent)

        front = Steps(m, 1, decode_stage)
        a_factor, b_factor, exponent, sign, inf, nan = front.after(
            a.significand, b.significand, exponent, sign, inf, nan)
        m.submodules.multiply = multiply = Multiplier(
            unsigned(len(a_factor)), unsigned(len(b_factor)), product_stage, self.technology)
        m.d.comb += [multiply.a.eq(a_factor), multiply.b.eq(b_factor)]
        beside = Steps(m, 1, product_stage, prefix="product_")
        exponent, sign, inf, nan = beside.after(exponent, sign, inf, nan)

        m.submodules.encode = encode = FloatEncoder(
            self.result_format, len(multiply.p), exponents,
            self.latency - decode_stage - product_stage)
        m.d.comb += [
            encode.sign.eq(sign),
            encode.exponent.eq(exponent),
            encode.magnitude.eq(multiply.p),
            encode.inf.eq(inf),
            encode.nan.eq(nan),
            self.result.eq(encode.code),
        ]
        return m


class FloatAdder(wiring.Component):
    """Sum of two floats of one format.

    Inf − Inf is NaN. A NaN is the format's one NaN, or 0 where it has none. An exact zero is +0,
    but (−0) + (−0) is −0. A sum beyond the range is Inf, or NaN where the format has no Inf, or
    else the largest number.

    Parameters
    ----------
    format : FloatFormat
    stages : int
        Registers, 0 to 7.

    Members
    -------
    a, b : In(format.bits)
        Codes of the terms.
    result : Out(format.bits)
        Code of the sum.

    Timing
    ------
    Latency ``stages`` cycles, one sum per cycle.
    """

    STEPS = 3 + FloatEncoder.STEPS
    #: Below the last bit: two that rounding looks at, and one for all that alignment shifts out.
    GUARD_BITS = 3

    def __init__(self, format: FloatFormat, stages: int = 0):
        check_stages(stages, self.STEPS)
        self.format, self.latency = format, stages
        super().__init__({"a": In(format.bits), "b": In(format.bits), "result": Out(format.bits)})

    def elaborate(self, platform):
        m = Module()
        format = self.format
        front_stages = sum(step <= 3 for step in spread(self.STEPS, self.latency))
        steps = Steps(m, 3, front_stages)
        m.submodules.decode_a = a = FloatDecoder(format)
        m.submodules.decode_b = b = FloatDecoder(format)
        m.d.comb += [a.code.eq(self.a), b.code.eq(self.b)]

        # Codes without their signs are in order of magnitude.
        swap = signal_of(m, self.a[:-1] < self.b[:-1], "swap")
        large = signal_of(m, Mux(swap, b.significand, a.significand), "large")
        small = signal_of(m, Mux(swap, a.significand, b.significand), "small")
        exponent = signal_of(m, Mux(swap, b.exponent, a.exponent), "exponent")
        distance = Signal(format.exponent_bits)
        m.d.comb += distance.eq(Mux(swap, b.exponent - a.exponent, a.exponent - b.exponent))
        sign = signal_of(m, Mux(swap, b.sign, a.sign), "sign")
        subtract = signal_of(m, a.sign ^ b.sign, "subtract")
        both_negative = signal_of(m, a.sign & b.sign, "both_negative")
        inf = signal_of(m, a.inf | b.inf, "inf")
        nan = signal_of(m, a.nan | b.nan | (a.inf & b.inf & subtract), "nan")
        large, small, exponent, distance, sign, subtract, both_negative, inf, nan = steps.after(
            large, small, exponent, distance, sign, subtract, both_negative, inf, nan)

        width = len(small) + self.GUARD_BITS - 1
        m.submodules.align = align = Shifter(width, min(width, format.shift_high), left=False)
        far = signal_of(m, distance > align.most, "far")
        m.d.comb += [
            align.word.eq(Cat(Const(0, self.GUARD_BITS - 1), small)),
            align.amount.eq(Mux(far, align.most, distance)),
        ]
        aligned = signal_of(m, Cat(align.lost, align.result), "aligned")
        large, aligned, exponent, sign, subtract, both_negative, inf, nan = steps.after(
            large, aligned, exponent, sign, subtract, both_negative, inf, nan)

        wide = signal_of(m, Cat(Const(0, self.GUARD_BITS), large), "wide")
        total = Signal(len(aligned) + 1)
        m.d.comb += total.eq(Mux(subtract, wide - aligned, wide + aligned))
        sign = signal_of(m, Mux(total.any() | inf, sign, both_negative), "sum_sign")
        total, exponent, sign, inf, nan = steps.after(total, exponent, sign, inf, nan)

        lsb = format.lsb_exponent - self.GUARD_BITS
        m.submodules.encode = encode = FloatEncoder(
            format, len(total), range(lsb, lsb + format.shift_high + 1),
            self.latency - front_stages)
        m.d.comb += [
            encode.sign.eq(sign),
            encode.exponent.eq(exponent),
            encode.magnitude.eq(total),
            encode.inf.eq(inf),
            encode.nan.eq(nan),
            self.result.eq(encode.code),
        ]
        return m
