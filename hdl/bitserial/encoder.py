"""Codes of weights to terms: a sign and a power of two each."""

from amaranth import Cat, Const, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from systolith.hdl.arithmetic.steps import signal_of
from systolith.hdl.bitserial.config import CODE_BITS, SPECIAL, TYPE_BITS, TYPES
from systolith.hdl.formats import IntegerFormat

#: Highest magnitude that two terms reach, in units of 0.5.
TERMS_HIGH = 16
#: Bits of a term: present, exponent, sign.
TERM_BITS = 4


def two_terms(magnitude: int, decode: str) -> tuple[int, int] | None:
    """Split a magnitude in units of 0.5 into powers of two: low, of 1 to 8, and high, of 2 to 16.

    Either may be 0; with ``decode="naf"`` low may be negative. None if there are no such two.
    """
    high = 1 << magnitude.bit_length() - 1 if magnitude > 1 else 0
    low = magnitude - high
    if low & (low - 1) == 0 and high <= TERMS_HIGH:
        return low, high
    if decode == "naf":
        high *= 2
        low = high - magnitude
        if low & (low - 1) == 0 and high <= TERMS_HIGH:
            return -low, high
    return None


class TermEncoder(wiring.Component):
    """Gives the terms of one weight, one after the other.

    Integers go as radix-4 Booth digits, digit i in units of 4^i. Weights of 4 or 3 bits with a
    special value are magnitudes in units of 0.5: the lower of two powers of two first, then the
    higher, halved.

    Parameters
    ----------
    special_decode : "lod" or "naf"

    Members
    -------
    code : In(8)
    kind : In(3)
        A valid one.
    index : In(2)
        Of the term.
    special : In(signed(6))
        What the special code stands for, in units of 0.5.
    term : Out(4)
        Sign, exponent (2 bits) and whether there is a term at all.
    bad_code : Out(1)
        The code has bits beyond its type.
    bad_special : Out(1)
        The code is the special one and ``special`` is no sum of two terms: it counts as 0.

    Timing
    ------
    Latency 1 cycle, one term per cycle.
    """

    latency = 1

    def __init__(self, special_decode: str):
        self.special_decode = special_decode
        super().__init__({
            "code": In(CODE_BITS), "kind": In(TYPE_BITS), "index": In(2),
            "special": In(SPECIAL.bits), "term": Out(TERM_BITS),
            "bad_code": Out(1), "bad_special": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        sign_extended = Signal(CODE_BITS)
        magnitude = Signal(SPECIAL.bits)
        negative = Signal()
        is_special = Signal()
        mixture = Signal()
        special_magnitude = Signal(SPECIAL.bits)
        bad_code = Signal()
        special = self.special.as_signed()
        m.d.comb += special_magnitude.eq(Mux(special[-1], -special, special))
        with m.Switch(self.kind):
            for number, kind in enumerate(TYPES):
                bits = kind.format.bits
                low, high = self.code[:bits], self.code[bits:]
                # The last one is what is left.
                with m.Case(number) if number < len(TYPES) - 1 else m.Default():
                    if isinstance(kind.format, IntegerFormat):
                        extension = low[-1].replicate(CODE_BITS - bits)
                        m.d.comb += sign_extended.eq(Cat(low, extension))
                        if bits < CODE_BITS:
                            m.d.comb += bad_code.eq(high != extension)
                        continue
                    m.d.comb += [
                        mixture.eq(1),
                        bad_code.eq(high.any()),
                        is_special.eq(low == kind.format.special_code),
                        negative.eq(low[-1]),
                    ]
                    with m.Switch(low[:-1]):
                        for code, value in enumerate(kind.format.magnitudes):
                            with m.Case(code):
                                m.d.comb += magnitude.eq(int(2 * value))

        # Booth: digit i from bits 2i+1, 2i and 2i−1.
        digit = Signal(2, name="digit_low")
        upper = Signal(name="digit_high")
        below = Cat(Const(0, 1), sign_extended)
        with m.Switch(self.index):
            for index in range(CODE_BITS // 2):
                with m.Case(index):
                    m.d.comb += Cat(digit, upper).eq(below[2 * index:2 * index + 3])
        double = (digit == 0b11) & ~upper | (digit == 0b00) & upper
        present = (digit.any() | upper) & ~(digit.all() & upper)
        booth = Cat(present, double, Const(0, 1), upper & present)

        chosen = Signal.like(magnitude, name="chosen", reset_less=True)
        sign = Signal(reset_less=True)
        booth_term = Signal(TERM_BITS, reset_less=True)
        two = Signal(reset_less=True)                    # of two terms
        second = Signal(reset_less=True)
        m.d.sync += [
            chosen.eq(Mux(is_special, special_magnitude, magnitude)),
            sign.eq(Mux(is_special, special[-1], negative)),
            booth_term.eq(booth),
            two.eq(mixture),
            second.eq(self.index[0]),
            self.bad_code.eq(bad_code),
        ]
        pair = Signal(2 * TERM_BITS)
        representable = Signal()
        with m.Switch(chosen):
            for value in range(TERMS_HIGH + 1):
                terms = two_terms(value, self.special_decode)
                if terms is not None:
                    low, high = terms
                    halves = (_term(low), _term(high // 2))
                    with m.Case(value):
                        m.d.comb += [representable.eq(1),
                                     pair.eq(halves[0] | halves[1] << TERM_BITS)]
        half = signal_of(m, Mux(second, pair[TERM_BITS:], pair[:TERM_BITS]), "half")
        m.d.comb += [
            self.term.eq(Mux(two, half ^ ((sign & half[0]) << 3), booth_term)),
            self.bad_special.eq(two & ~representable),
        ]
        return m


def _term(power: int) -> int:
    """The bits of a signed power of two, or of 0."""
    if not power:
        return 0
    return 1 | (abs(power).bit_length() - 1) << 1 | (power < 0) << 3
