"""Signed numbers with exponents: shifts that round, and sums."""

from amaranth import Cat, Const, Module, Mux, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from systolith.hdl.arithmetic.rounding import round_up
from systolith.hdl.arithmetic.shifting import Shifter
from systolith.hdl.arithmetic.steps import Steps, check_stages, counter, signal_of


class RoundingShifter(wiring.Component):
    """Divides an integer by a power of two.

    Parameters
    ----------
    width : int
        Bits of the integer.
    most : int
        The largest amount.
    rounding : "trunc" or "rne"
        Down, or to nearest even.
    result_bits : int, optional
        Of the result, where every amount leaves no more; ``width`` by default.

    Members
    -------
    word : In(signed(width))
    amount : In
    floor : Out(signed(result_bits))
        Rounded down, modulo 2^result_bits.
    up : Out(1)
        To be added to it; constant 0 with ``trunc``.

    Timing
    ------
    Combinational.
    """

    latency = 0

    def __init__(self, width: int, most: int, rounding: str, result_bits: int | None = None):
        self.width, self.most, self.rounding = width, most, rounding
        self.result_bits = result_bits or width
        super().__init__({"word": In(signed(width)), "amount": In(counter(most)),
                          "floor": Out(signed(self.result_bits)), "up": Out(1)})

    def elaborate(self, platform):
        m = Module()
        # Beyond `width` nothing but the sign is left, and no half.
        bits = self.width.bit_length()
        amount = self.amount
        if len(amount) > bits:
            far = signal_of(m, amount[bits:].any(), "far")
            amount = signal_of(m, Mux(far, (1 << bits) - 1, amount[:bits]), "near_amount")
        word, half, sticky = self.word, None, None
        for bit in range(len(amount)):
            distance, chosen = 1 << bit, amount[bit]
            reach = min(distance, len(word))
            sign = word[-1]
            # What the shifts that follow cannot bring into the result is not kept.
            kept = min(self.width, self.result_bits + (1 << len(amount)) - 2 * distance)
            moved = Cat(word[reach:], sign.replicate(reach))[:kept]
            if self.rounding == "rne":
                below = word[:reach - 1].any() if reach > 1 else None
                if reach < distance:                     # the first bits dropped are signs
                    top, below = sign, word[:reach].any()
                else:
                    top = word[reach - 1]
                for part in (half, sticky):
                    if part is not None:
                        below = part if below is None else below | part
                old_half = 0 if half is None else half
                old_sticky = 0 if sticky is None else sticky
                half, sticky = (
                    signal_of(m, Mux(chosen, top, old_half), f"half_{distance}"),
                    signal_of(m, Mux(chosen, 0 if below is None else below, old_sticky),
                              f"sticky_{distance}"))
            word = signal_of(m, Mux(chosen, moved, word[:kept]).as_signed(), f"word_{distance}")
        m.d.comb += self.floor.eq(word)
        if self.rounding == "rne":
            m.d.comb += self.up.eq(round_up(word[0], half, sticky, "rne"))
        return m


class SignificandShifter(wiring.Component):
    """Divides a significand by a power of two, to nearest with halves to even, and gives it its
    sign.

    Parameters
    ----------
    width : int
        Bits of the significand.
    most : int
        The largest amount.

    Members
    -------
    sign : In(1)
    significand : In(width)
    amount : In
        0 to ``most``.
    value : Out(signed(width + 1))

    Timing
    ------
    Combinational.
    """

    latency = 0

    def __init__(self, width: int, most: int):
        self.width, self.most = width, most
        super().__init__({"sign": In(1), "significand": In(width), "amount": In(counter(most)),
                          "value": Out(signed(width + 1))})

    def elaborate(self, platform):
        m = Module()
        # Two places below the last bit and what the shifter loses say how to round.
        m.submodules.shift = shift = Shifter(self.width + 2, self.most, left=False)
        m.d.comb += [shift.word.eq(Cat(Const(0, 2), self.significand)),
                     shift.amount.eq(self.amount)]
        kept = shift.result[2:]
        up = round_up(kept[0], shift.result[1], shift.result[0] | shift.lost, "rne")
        magnitude = signal_of(m, kept + up, "magnitude")
        m.d.comb += self.value.eq(Mux(self.sign, -magnitude, magnitude))
        return m


class AlignedAdder(wiring.Component):
    """Adds two mantissas with exponents: the one of the smaller exponent is shifted.

    The sum is shifted right until its magnitude has no more than ``magnitude_bits``; it is never
    shifted left.

    Parameters
    ----------
    a_bits, b_bits : int
        Of the mantissas.
    exponent_bits : int
    magnitude_bits : int
    sum_bits : int
        Of the mantissa of the result.
    largest : int
        Largest magnitude of the sum of two mantissas.
    rounding : "trunc" or "rne"
        What becomes of bits that are shifted out: rounded down, or to nearest even. Rounded up, a
        magnitude can reach 2^magnitude_bits.
    stages : int
        Registers, 0 to 5.
    b_exponent_high : int, optional
        The largest exponent of b, by default that of ``exponent_bits``.

    Members
    -------
    a, b : In
        Mantissas.
    a_exponent, b_exponent : In(exponent_bits)
    total : Out
        Mantissa.
    total_exponent : Out(exponent_bits)

    Timing
    ------
    Latency ``stages`` cycles, one sum per cycle.
    """

    STEPS = 5

    def __init__(self, a_bits: int, b_bits: int, exponent_bits: int, magnitude_bits: int,
                 sum_bits: int, largest: int, rounding: str, stages: int = 0,
                 b_exponent_high: int | None = None):
        check_stages(stages, self.STEPS)
        exponent_high = (1 << exponent_bits) - 1
        #: How far each of them may be shifted: to the exponent of the other one.
        self.distances = (exponent_high if b_exponent_high is None else b_exponent_high,
                          exponent_high)
        self.widths, self.latency = (a_bits, b_bits), stages
        self.magnitude_bits, self.largest, self.rounding = magnitude_bits, largest, rounding
        super().__init__({
            "a": In(signed(a_bits)), "b": In(signed(b_bits)),
            "a_exponent": In(exponent_bits), "b_exponent": In(exponent_bits),
            "total": Out(signed(sum_bits)), "total_exponent": Out(exponent_bits),
        })

    def elaborate(self, platform):
        m = Module()
        steps = Steps(m, self.STEPS, self.latency)
        # Both differences at once; the sign of one tells which of them is a distance.
        bits = len(self.a_exponent)
        a_above = Signal(signed(bits + 1))
        b_above = Signal(bits)
        exponent = Signal(bits)
        distances = [Signal(counter(most), name=f"{name}_distance")
                     for name, most in zip("ab", self.distances, strict=True)]
        m.d.comb += [
            a_above.eq(self.a_exponent - self.b_exponent),
            b_above.eq(self.b_exponent - self.a_exponent),
            exponent.eq(Mux(a_above[-1], self.b_exponent, self.a_exponent)),
            distances[0].eq(Mux(a_above[-1], b_above, 0)),
            distances[1].eq(Mux(a_above[-1], 0, a_above[:-1])),
        ]
        exponent, *operands = steps.after(exponent, self.a, self.b, *distances)

        aligned = []
        for name, width, mantissa, distance, most in zip(
                "ab", self.widths, operands[:2], operands[2:], self.distances, strict=True):
            m.submodules[f"align_{name}"] = shift = RoundingShifter(width, most, self.rounding)
            m.d.comb += [shift.word.eq(mantissa), shift.amount.eq(distance)]
            aligned += [signal_of(m, shift.floor, f"{name}_aligned"),
                        signal_of(m, shift.up, f"{name}_up")]
        exponent, a, a_up, b, b_up = steps.after(exponent, *aligned)

        width = self.largest.bit_length()
        wide = Signal(signed(width + 1))
        up = a_up | b_up                                 # only one of them is shifted
        m.d.comb += wide.eq((Cat(Const(1, 1), a).as_signed() + Cat(up, b).as_signed()) >> 1)
        exponent, wide = steps.after(exponent, wide)

        # The excess of a negative sum is that of its complement, and one more where only the
        # magnitude, a power of two, is too large for it.
        most = width - self.magnitude_bits
        low, high = wide[:self.magnitude_bits], wide[self.magnitude_bits:-1]
        flipped = signal_of(m, high ^ wide[-1].replicate(most), "flipped")
        power = Signal()
        excess = Signal(counter(most))
        bits_over = Signal(counter(most))
        m.d.comb += power.eq(wide[-1] & ~low.any() & ~(flipped & (flipped + 1)[:most]).any())
        for count in range(1, most + 1):
            with m.If(flipped[count - 1]):
                m.d.comb += bits_over.eq(count)
        m.d.comb += excess.eq(Mux(power, bits_over + 1, bits_over))
        exponent, wide, excess = steps.after(exponent, wide, excess)

        m.submodules.normalize = normalize = RoundingShifter(width + 1, most, self.rounding,
                                                             len(self.total))
        total = Signal.like(self.total, name="normalized")
        total_exponent = Signal.like(exponent, name="normalized_exponent")
        m.d.comb += [
            normalize.word.eq(wide),
            normalize.amount.eq(excess),
            total.eq(normalize.floor + normalize.up),
            total_exponent.eq(exponent + excess),
        ]
        total, total_exponent = steps.after(total, total_exponent)
        m.d.comb += [self.total.eq(total), self.total_exponent.eq(total_exponent)]
        return m
