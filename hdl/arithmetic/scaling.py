"""Sums of blocks times the scales of their blocks."""

from amaranth import Cat, Const, Module, Mux, Shape, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from systolith.hdl.arithmetic.decoders import FloatDecoder
from systolith.hdl.arithmetic.multiplier import Multiplier
from systolith.hdl.arithmetic.rounding import FloatEncoder
from systolith.hdl.arithmetic.steps import counter, shape, signal_of
from systolith.hdl.formats import (
    FP32,
    SCALE_BIAS,
    SCALE_BITS,
    SCALE_NAN,
    FloatFormat,
    IntegerFormat,
)


class PowerScaler(wiring.Component):
    """Times powers of two (E8M0 scales), rounded once to fp32.

    A scale X is worth 2^(X − 127); a scale of 255 makes the result NaN.

    Parameters
    ----------
    source : IntegerFormat or FloatFormat
        Of the sum: fixed point, or a float.
    scales : int
        How many scales there are, 1 or 2.

    Members
    -------
    value : In(source.bits)
    scales : In(8 * scales)
        The first in the low bits.
    result : Out(32)
        Code of the product.

    Timing
    ------
    Latency :attr:`latency` cycles, one sum per cycle.
    """

    latency = 1 + FloatEncoder.STEPS

    def __init__(self, source: IntegerFormat | FloatFormat, scales: int):
        self.source, self.count = source, scales
        super().__init__({"value": In(source.bits), "scales": In(SCALE_BITS * scales),
                          "result": Out(FP32.bits)})

    def elaborate(self, platform):
        m = Module()
        codes = [self.scales[SCALE_BITS * index:][:SCALE_BITS] for index in range(self.count)]
        number = _Number.of(m, self.source, self.value)
        most = 2 * SCALE_BIAS * self.count + number.shift_high
        exponent = Signal(counter(most), reset_less=True)
        nan = Signal(reset_less=True)
        invalid = [code == SCALE_NAN for code in codes] + [number.nan] * (number.shift_high > 0)
        exponents = [*codes, number.exponent] if number.shift_high else codes
        m.d.sync += [exponent.eq(sum(exponents[1:], exponents[0])), nan.eq(Cat(*invalid).any())]
        lsb = number.lsb_exponent - SCALE_BIAS * self.count
        infinite = isinstance(self.source, FloatFormat)
        m.submodules.encode = encode = FloatEncoder(
            FP32, len(number.magnitude), range(lsb, lsb + most + 1), FloatEncoder.STEPS,
            specials={"nan", "inf"} if infinite else {"nan"})
        for port, value in ((encode.magnitude, number.magnitude), (encode.sign, number.sign),
                            *([(encode.inf, number.inf)] if infinite else [])):
            register = Signal(len(value), name=f"{port.name}_s1", reset_less=True)
            m.d.sync += register.eq(value)
            m.d.comb += port.eq(register)
        m.d.comb += [encode.exponent.eq(exponent), encode.nan.eq(nan),
                     self.result.eq(encode.code)]
        return m


class IntegerScaler(wiring.Component):
    """Times integers (the int8 scales of bitmod): exact, or rounded once to fp32.

    Parameters
    ----------
    source : IntegerFormat or FloatFormat
        Of the sum: fixed point, or a float.
    scales : int
        How many scales there are, 1 or 2.
    target : IntegerFormat or FP32
        Of the result; an integer one must hold every product, and a float gives none.
    technology : str
        As in :class:`Multiplier`.

    Members
    -------
    value : In(source.bits)
    scales : In(8 * scales)
        Two's complement, the first in the low bits.
    result : Out(target.bits)
        Code of the product. A float's Inf times 0 is NaN; a product of 0 has the sign of its
        factors where the source is a float, and is +0 otherwise.

    Timing
    ------
    Latency :meth:`latency_to` cycles, one sum per cycle.
    """

    #: Of the product of the scales, of the product with the sum, and of that.
    PRODUCT_STAGES = 3

    def __init__(self, source: IntegerFormat | FloatFormat, scales: int,
                 target: IntegerFormat | FloatFormat, technology: str = "generic"):
        self.source, self.count, self.target = source, scales, target
        self.latency, self.technology = self.latency_to(target), technology
        super().__init__({"value": In(source.bits), "scales": In(SCALE_BITS * scales),
                          "result": Out(target.bits)})

    @classmethod
    def latency_to(cls, target: IntegerFormat | FloatFormat) -> int:
        """Cycles from the sum and its scales to a result of that kind."""
        return cls.PRODUCT_STAGES + (FloatEncoder.STEPS if isinstance(target, FloatFormat) else 0)

    def elaborate(self, platform):
        m = Module()
        factors = [self.scales[SCALE_BITS * index:][:SCALE_BITS].as_signed()
                   for index in range(self.count)]
        first = Shape(SCALE_BITS, True)
        if self.count == 1:
            factor = Signal(first, name="factor", reset_less=True)
            m.d.sync += factor.eq(factors[0])
        else:
            m.submodules.scale = scale = Multiplier(first, first, 1, self.technology)
            m.d.comb += [scale.a.eq(factors[0]), scale.b.eq(factors[1])]
            factor = scale.p
        if isinstance(self.target, FloatFormat):
            self._rounded(m, factor)
            return m
        value = Signal(shape(self.source), name="value_s1", reset_less=True)
        m.submodules.multiply = multiply = Multiplier(
            value.shape(), factor.shape(), self.PRODUCT_STAGES - 1, self.technology)
        m.d.sync += value.eq(self.value)
        m.d.comb += [multiply.a.eq(value), multiply.b.eq(factor), self.result.eq(multiply.p)]
        return m

    def _rounded(self, m: Module, factor: Signal):
        number = _Number.of(m, self.source, self.value)
        factor_bits = SCALE_BITS * self.count
        magnitude = Signal(len(number.magnitude), reset_less=True)
        m.d.sync += magnitude.eq(number.magnitude)
        scale_magnitude = signal_of(m, Mux(factor[-1], -factor, factor)[:factor_bits],
                                    "scale_magnitude")
        m.submodules.multiply = multiply = Multiplier(
            magnitude.shape(), scale_magnitude.shape(), self.PRODUCT_STAGES - 1, self.technology)
        sign, inf, nan = (Signal(name=f"{name}_s1", reset_less=True)
                          for name in ("sign", "inf", "nan"))
        exponent = Signal(counter(number.shift_high), name="exponent_s1", reset_less=True)
        m.d.sync += [sign.eq(number.sign), inf.eq(number.inf), nan.eq(number.nan),
                     exponent.eq(number.exponent)]
        zero_has_sign = isinstance(self.source, FloatFormat)
        beside = (signal_of(m, (sign ^ factor[-1]) if zero_has_sign
                            else (sign ^ factor[-1]) & magnitude.any() & factor.any(), "signed"),
                  exponent, inf, signal_of(m, nan | (inf & ~factor.any()), "invalid"))
        for stage in range(2, self.PRODUCT_STAGES + 1):
            registers = tuple(Signal(len(signal), name=f"{signal.name}_p{stage}", reset_less=True)
                              for signal in beside)
            m.d.sync += [register.eq(signal)
                         for register, signal in zip(registers, beside, strict=True)]
            beside = registers
        m.submodules.encode = encode = FloatEncoder(
            FP32, len(multiply.p), range(number.lsb_exponent,
                                         number.lsb_exponent + number.shift_high + 1),
            FloatEncoder.STEPS)
        m.d.comb += [
            multiply.a.eq(magnitude),
            multiply.b.eq(scale_magnitude),
            encode.magnitude.eq(multiply.p),
            self.result.eq(encode.code),
        ]
        m.d.comb += [port.eq(signal) for port, signal in zip(
            (encode.sign, encode.exponent, encode.inf, encode.nan), beside, strict=True)]


class _Number:
    """A sum taken apart: sign, magnitude · 2^(exponent + lsb_exponent), Inf or NaN."""

    def __init__(self, sign, magnitude, exponent, inf, nan, shift_high, lsb_exponent):
        self.sign, self.magnitude, self.exponent = sign, magnitude, exponent
        self.inf, self.nan = inf, nan
        self.shift_high, self.lsb_exponent = shift_high, lsb_exponent

    @classmethod
    def of(cls, m: Module, source: IntegerFormat | FloatFormat, code: Signal) -> "_Number":
        if isinstance(source, FloatFormat):
            m.submodules.decode = decode = FloatDecoder(source)
            m.d.comb += decode.code.eq(code)
            return cls(decode.sign, decode.significand, decode.exponent, decode.inf, decode.nan,
                       source.shift_high, source.lsb_exponent)
        value = code.as_signed() if source.signed else code
        sign = code[-1] if source.signed else Const(0, 1)
        magnitude = Signal(source.bits, name="magnitude_of_sum")
        m.d.comb += magnitude.eq(Mux(sign, -value, value))
        return cls(sign, magnitude, Const(0, 1), Const(0, 1), Const(0, 1), 0, source.lsb_exponent)
