"""From codes to numbers: sign, exponent and significand, or fixed point."""

from amaranth import Cat, Const, Module, Mux, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from systolith.hdl.arithmetic.shifting import Shifter
from systolith.hdl.arithmetic.steps import counter, shape, signal_of
from systolith.hdl.formats import (
    BinaryFormat,
    BipolarFormat,
    BitmodFormat,
    FloatFormat,
    Format,
    IntegerFormat,
    PairFormat,
    TernaryFormat,
)


class FloatDecoder(wiring.Component):
    """Splits the code of a float.

    A finite number is worth (−1)^sign · significand · 2^(exponent + lsb_exponent), with the
    format's ``lsb_exponent``; the significand includes the hidden bit.

    Parameters
    ----------
    format : FloatFormat

    Members
    -------
    code : In(format.bits)
    sign : Out(1)
    exponent : Out(format.exponent_bits)
        From 0; subnormals have 0, as the smallest normal numbers do.
    significand : Out(1 + format.fraction_bits)
        0 if the code is not a finite number.
    inf, nan : Out(1)
        What else the code can be; constant 0 where the format has none.

    Timing
    ------
    Combinational.
    """

    latency = 0

    def __init__(self, format: FloatFormat):
        self.format = format
        super().__init__({
            "code": In(format.bits), "sign": Out(1), "exponent": Out(format.exponent_bits),
            "significand": Out(1 + format.fraction_bits), "inf": Out(1), "nan": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        format = self.format
        fraction = self.code[:format.fraction_bits]
        field = self.code[format.fraction_bits:-1]
        normal = signal_of(m, field.any(), "normal")
        finite = Const(1, 1)
        match format.specials:
            case "ieee":
                top = signal_of(m, field.all(), "top")
                some = signal_of(m, fraction.any(), "some")
                m.d.comb += [
                    self.inf.eq(top & ~some),
                    self.nan.eq(top & some),
                ]
                finite = ~top
            case "fn":
                m.d.comb += self.nan.eq(self.code[:-1].all())
                finite = ~self.nan
        whole = Cat(fraction, normal)
        m.d.comb += [
            self.sign.eq(self.code[-1]),
            self.exponent.eq(field - normal),
            self.significand.eq(whole if format.specials == "finite" else Mux(finite, whole, 0)),
        ]
        return m


class FixedDecoder(wiring.Component):
    """Decodes an element to fixed point: the integer value / 2^lsb_exponent.

    Parameters
    ----------
    format : Format
        Integers, levels or floats: elements that stand for themselves.

    Members
    -------
    code : In(format.bits)
    value : Out
        Bits of ``format.fixed``; 0 if the code is not a finite number.
    invalid : Out(1)
        The code is NaN, Inf or illegal; constant 0 where the format has no such code.

    Timing
    ------
    Combinational.
    """

    latency = 0

    def __init__(self, format: Format):
        self.format = format
        super().__init__({
            "code": In(format.bits), "value": Out(shape(format.fixed)), "invalid": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        code = self.code
        match self.format:
            case IntegerFormat():
                m.d.comb += self.value.eq(code)
            case BipolarFormat():
                # 2u - (2^n - 1) is 2u + 1 with the sign bit, worth -2^n, inverted.
                m.d.comb += self.value.eq(Cat(Const(1, 1), code[:-1], ~code[-1]))
            case BinaryFormat():
                m.d.comb += self.value.eq(Cat(Const(1, 1), ~code))
            case TernaryFormat():
                m.d.comb += [
                    self.invalid.eq(code == self.format.illegal),
                    self.value.eq(Mux(self.invalid, 0, code)),
                ]
            case FloatFormat():
                self._float(m, self.format)
            case _:
                raise TypeError(f"{self.format} does not decode element by element")
        return m

    def _float(self, m: Module, format: FloatFormat):
        m.submodules.decode = decode = FloatDecoder(format)
        width = len(self.value) - 1
        m.submodules.shift = shift = Shifter(width, format.shift_high, left=True)
        magnitude = shift.result
        m.d.comb += [
            decode.code.eq(self.code),
            self.invalid.eq(decode.inf | decode.nan),
            shift.word.eq(decode.significand),
            shift.amount.eq(decode.exponent),
            self.value.eq(Mux(decode.sign, -magnitude, magnitude)),
        ]


class PairDecoder(wiring.Component):
    """Decodes an outlier-victim pair to factors and exponents, worth factor · 2^exponent.

    Parameters
    ----------
    format : PairFormat

    Members
    -------
    first, second : In(format.bits)
        Codes of the pair.
    first_exponent, second_exponent : Out
        0 to ``format.shift_high``.
    first_factor, second_factor : Out(signed(format.bits))
    illegal : Out(1)
        The pair is illegal; exponents and factors are 0.

    Timing
    ------
    Combinational.
    """

    latency = 0

    def __init__(self, format: PairFormat):
        self.format = format
        exponent, integer = counter(format.shift_high), signed(format.bits)
        super().__init__({
            "first": In(format.bits), "second": In(format.bits),
            "first_exponent": Out(exponent), "first_factor": Out(integer),
            "second_exponent": Out(exponent), "second_factor": Out(integer),
            "illegal": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        format = self.format
        fraction_bits = format.fraction_bits
        first_victim = signal_of(m, self.first == format.identifier, "first_victim")
        second_victim = signal_of(m, self.second == format.identifier, "second_victim")

        # At most one of the two is an outlier, so they share one decoder.
        outlier = signal_of(m, Mux(first_victim, self.second, self.first), "outlier")
        fraction = outlier[:fraction_bits]
        field = outlier[fraction_bits:-1]
        significand = Cat(fraction, Const(1, 1))
        exponent = Signal.like(self.first_exponent, name="exponent")
        m.d.comb += exponent.eq(field + format.bias)
        integer = Signal(signed(format.bits))
        m.d.comb += integer.eq(Mux(outlier[-1], -significand, significand))
        bad = ~outlier[:-1].any()
        limit = format.shift_high - format.bias
        if limit < (1 << format.exponent_bits) - 1:
            # The largest outlier is a power of two: its fraction is 0.
            bad |= (field > limit) | ((field == limit) & fraction.any())
        m.d.comb += self.illegal.eq((first_victim | second_victim) & bad)

        for code, victim, other, exponent_out, integer_out in (
            (self.first, first_victim, second_victim, self.first_exponent, self.first_factor),
            (self.second, second_victim, first_victim, self.second_exponent, self.second_factor),
        ):
            with m.If(self.illegal | victim):
                m.d.comb += [exponent_out.eq(0), integer_out.eq(0)]
            with m.Elif(other):
                m.d.comb += [exponent_out.eq(exponent), integer_out.eq(integer)]
            with m.Else():
                m.d.comb += [exponent_out.eq(0), integer_out.eq(code)]
        return m


class BitmodDecoder(wiring.Component):
    """Decodes an element of a group with a special value to fixed point, in units of 0.5.

    Parameters
    ----------
    format : BitmodFormat

    Members
    -------
    code : In(format.bits)
    special : In(signed(6))
        The group's special value in units of 0.5, −16 to 16.
    value : Out(signed(6))

    Timing
    ------
    Combinational.
    """

    latency = 0

    def __init__(self, format: BitmodFormat):
        self.format = format
        number = shape(format.fixed)
        super().__init__({"code": In(format.bits), "special": In(number), "value": Out(number)})

    def elaborate(self, platform):
        m = Module()
        magnitude = Signal(range(17))
        with m.Switch(self.code[:-1]):
            for code, value in enumerate(self.format.magnitudes):
                with m.Case(code):
                    m.d.comb += magnitude.eq(int(value / 2.0**self.format.lsb_exponent))
        with m.If(self.code == self.format.special_code):
            m.d.comb += self.value.eq(self.special)
        with m.Else():
            m.d.comb += self.value.eq(Mux(self.code[-1], -magnitude, magnitude))
        return m
