"""From floating point to fixed point."""

from amaranth import Cat, Const, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from systolith.hdl.arithmetic.decoders import FloatDecoder
from systolith.hdl.arithmetic.rounding import FixedRounder
from systolith.hdl.arithmetic.shifting import Shifter
from systolith.hdl.arithmetic.steps import shape, signal_of
from systolith.hdl.formats import FloatFormat, IntegerFormat


class FloatToFixed(wiring.Component):
    """Rounds a float to fixed point, to nearest with halves to even, and saturates.

    Parameters
    ----------
    source : FloatFormat
    target : IntegerFormat
        Signed.

    Members
    -------
    code : In(source.bits)
    value : Out
        Bits of ``target``; 0 for NaN and infinities.
    invalid : Out(1)
        NaN or infinity.
    saturated : Out(1)
        A finite number was beyond the range.

    Timing
    ------
    Latency 3 cycles, one number per cycle.
    """

    latency = 3

    def __init__(self, source: FloatFormat, target: IntegerFormat):
        if not target.signed:
            raise ValueError(f"target must be signed, not {target}")
        self.source, self.target = source, target
        super().__init__({"code": In(source.bits), "value": Out(shape(target)), "invalid": Out(1),
                          "saturated": Out(1)})

    def elaborate(self, platform):
        m = Module()
        source, target = self.source, self.target
        digits = 1 + source.fraction_bits
        # The highest bit of the word is twice that of the largest value; the lowest bit is a half,
        # or below.
        width = max(target.bits + 1, digits)
        lsb = target.lsb_exponent + target.bits - width
        # From this exponent on, the significand shifts left out of the word.
        highest = lsb + width - digits - source.lsb_exponent

        m.submodules.decode = decode = FloatDecoder(source)
        m.d.comb += decode.code.eq(self.code)
        most = min(max(highest, 0), width)
        beyond = Signal(reset_less=True)
        distance = Signal(range(most + 1), reset_less=True)
        below = Signal(range(highest - (1 << len(decode.exponent)), max(highest, 0) + 1))
        significand = Signal(digits, reset_less=True)
        sign = Signal(reset_less=True)
        invalid = Signal(reset_less=True)
        m.d.comb += below.eq(highest - decode.exponent)
        m.d.sync += [
            beyond.eq((below < 0) & decode.significand.any()),
            distance.eq(Mux(below < 0, 0, Mux(below > most, most, below))),
            significand.eq(decode.significand),
            sign.eq(decode.sign),
            invalid.eq(decode.inf | decode.nan),
        ]

        m.submodules.shift = shift = Shifter(width, most, left=False)
        magnitude = Signal(width + 1, reset_less=True)
        negative = Signal(reset_less=True)
        invalid_shifted = Signal(reset_less=True)
        m.d.comb += [
            shift.word.eq(Cat(Const(0, width - digits), significand)),
            shift.amount.eq(distance),
        ]
        m.d.sync += [
            magnitude.eq(Mux(beyond, -1, Cat(shift.lost, shift.result))),
            negative.eq(sign),
            invalid_shifted.eq(invalid),
        ]

        exact = IntegerFormat(width + 2, True, lsb - 1)
        m.submodules.round = rounder = FixedRounder(exact, target)
        signed_value = signal_of(m, Mux(negative, -magnitude, magnitude), "signed_value")
        value = Signal.like(self.value, name="rounded", reset_less=True)
        saturated = Signal(reset_less=True)
        invalid_rounded = Signal(reset_less=True)
        m.d.comb += rounder.value.eq(signed_value)
        m.d.sync += [
            value.eq(rounder.result),
            saturated.eq(rounder.saturated),
            invalid_rounded.eq(invalid_shifted),
        ]
        m.d.comb += [
            self.value.eq(value),
            self.saturated.eq(saturated),
            self.invalid.eq(invalid_rounded),
        ]
        return m
