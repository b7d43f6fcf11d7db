"""From floating point to fixed point."""

from amaranth import Cat, Const, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from systolith.hdl.arithmetic.decoders import FloatDecoder
from systolith.hdl.arithmetic.rounding import FixedRounder, Rounding
from systolith.hdl.arithmetic.shifting import Shifter
from systolith.hdl.arithmetic.steps import counter, shape, signal_of
from systolith.hdl.formats import FloatFormat, IntegerFormat
from systolith.hdl.structure.delay import Delay


class FixedEncoder(wiring.Component):
    """Rounds magnitude · 2^exponent to fixed point, once; saturates.

    Parameters
    ----------
    target : IntegerFormat
    width : int
        Bits of the magnitude.
    exponents : range
        What the exponent of the magnitude's least significant bit can be.
    rounding : "rne", "half_away" or "toward_zero"

    Members
    -------
    sign : In(1)
    exponent : In
        That exponent, counted from the first in ``exponents``.
    magnitude : In(width)
        Its highest bit is set, except with the first exponent, or if it is 0, or if no magnitude
        with any exponent is beyond the range.
    value : Out
        Bits of ``target``.
    saturated : Out(1)
        The number was beyond the range.

    Timing
    ------
    Latency 4 cycles, one number per cycle.
    """

    latency = 4

    def __init__(self, target: IntegerFormat, width: int, exponents: range,
                 rounding: Rounding = "rne"):
        self.target, self.width, self.exponents = target, width, exponents
        self.rounding = rounding
        super().__init__({
            "sign": In(1), "exponent": In(counter(len(exponents) - 1)), "magnitude": In(width),
            "value": Out(shape(target)), "saturated": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        target = self.target
        # The top of the word is above the largest value, and above the magnitude with the first
        # exponent; its lowest bit is a half, or below.
        digits = target.bits - target.signed
        top = max(target.lsb_exponent + digits + 1, self.exponents.start + self.width)
        width = max(top - target.lsb_exponent + 1, self.width)
        lsb = top - width
        # With this exponent the magnitude stands at the top of the word; beyond, it leaves it.
        highest = top - self.width - self.exponents.start
        most = min(highest, width)
        beyond = Signal(reset_less=True)
        distance = Signal(range(most + 1), reset_less=True)
        below = Signal(range(highest - len(self.exponents), highest + 1))
        magnitude = Signal(self.width, name="kept", reset_less=True)
        sign = Signal(name="negative", reset_less=True)
        m.d.comb += below.eq(highest - self.exponent)
        m.d.sync += [
            beyond.eq((below < 0) & self.magnitude.any()),
            distance.eq(Mux(below < 0, 0, Mux(below > most, most, below))),
            magnitude.eq(self.magnitude),
            sign.eq(self.sign),
        ]

        m.submodules.shift = shift = Shifter(width, most, left=False)
        shifted = Signal(width + 1, reset_less=True)
        sign_shifted = Signal(reset_less=True)
        m.d.comb += [
            shift.word.eq(Cat(Const(0, width - self.width), magnitude)),
            shift.amount.eq(distance),
        ]
        m.d.sync += [
            shifted.eq(Mux(beyond, -1, Cat(shift.lost, shift.result))),
            sign_shifted.eq(sign),
        ]

        # Rounded first, and saturated a cycle later: each has a carry chain.
        exact = IntegerFormat(width + 1, False, lsb - 1)
        whole = IntegerFormat(max(width + 1 - (target.lsb_exponent - lsb + 1), 1) + 1, False,
                              target.lsb_exponent)
        m.submodules.round = rounder = FixedRounder(exact, whole, self.rounding)
        rounded = Signal(shape(whole), name="rounded", reset_less=True)
        sign_rounded = Signal(reset_less=True)
        value = Signal.like(self.value, name="limited", reset_less=True)
        saturated = Signal(name="over", reset_less=True)
        over = signal_of(m, Mux(sign_rounded, rounded > -target.code_low,
                                rounded > target.code_high), "beyond_range")
        m.d.comb += [
            rounder.value.eq(shifted),
            self.value.eq(value),
            self.saturated.eq(saturated),
        ]
        m.d.sync += [
            rounded.eq(rounder.result),
            sign_rounded.eq(sign_shifted),
            value.eq(Mux(over, Mux(sign_rounded, target.code_low, target.code_high),
                         Mux(sign_rounded, -rounded, rounded))),
            saturated.eq(over),
        ]
        return m


class FloatToFixed(wiring.Component):
    """Rounds a float to fixed point, to nearest with halves to even, and saturates.

    Parameters
    ----------
    source : FloatFormat
    target : IntegerFormat
    infinities : bool
        Whether an infinity becomes the end of the range, or 0.

    Members
    -------
    code : In(source.bits)
    value : Out
        Bits of ``target``; 0 for NaN.
    inf, nan : Out(1)
        What the code was, if not a finite number.
    saturated : Out(1)
        A finite number was beyond the range.

    Timing
    ------
    Latency 4 cycles, one number per cycle.
    """

    latency = FixedEncoder.latency

    def __init__(self, source: FloatFormat, target: IntegerFormat, *, infinities: bool = False):
        self.source, self.target, self.infinities = source, target, infinities
        super().__init__({"code": In(source.bits), "value": Out(shape(target)), "inf": Out(1),
                          "nan": Out(1), "saturated": Out(1)})

    def elaborate(self, platform):
        m = Module()
        source = self.source
        m.submodules.decode = decode = FloatDecoder(source)
        # An infinity is a number beyond every range.
        reach = max(self.target.lsb_exponent + self.target.bits - source.lsb_exponent + 1,
                    source.shift_high + 1)
        lsb = source.lsb_exponent
        exponents = range(lsb, lsb + (reach if self.infinities else source.shift_high) + 1)
        m.submodules.encode = encode = FixedEncoder(self.target, 1 + source.fraction_bits,
                                                    exponents)
        m.submodules.beside = beside = Delay(2, self.latency)
        infinite = signal_of(m, decode.inf if self.infinities else Const(0, 1), "infinite")
        m.d.comb += [
            decode.code.eq(self.code),
            encode.sign.eq(decode.sign),
            encode.exponent.eq(Mux(infinite, len(exponents) - 1, decode.exponent)),
            encode.magnitude.eq(Mux(infinite, 1 << source.fraction_bits, decode.significand)),
            beside.i.eq(Cat(decode.inf, decode.nan)),
            self.value.eq(encode.value),
            Cat(self.inf, self.nan).eq(beside.o),
            self.saturated.eq(encode.saturated & ~self.inf),
        ]
        return m
