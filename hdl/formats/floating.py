"""Floating-point formats: sign, biased exponent, fraction."""

import math
from dataclasses import dataclass
from typing import Literal

from systolith.hdl.formats.base import Format, IntegerFormat

_SHORT_NAMES = {(5, 10): "fp16", (8, 7): "bf16", (8, 23): "fp32"}


@dataclass(frozen=True)
class FloatFormat(Format):
    """``fp<bits>e<E>m<M>``: a sign bit, E exponent bits, M fraction bits, most significant first.

    With exponent field e and fraction f the value is (−1)^s · 2^(e − bias) · (1 + f/2^M), and
    (−1)^s · 2^(1 − bias) · f/2^M for e = 0: subnormals and both zeros exist.
    The bias is 2^(E − 1) − 1.

    Attributes
    ----------
    exponent_bits, fraction_bits : int
        E and M.
    specials : "ieee", "fn" or "finite"
        ``"ieee"``: the largest exponent field holds Inf (f = 0) and NaN (f ≠ 0; none for M = 0).
        ``"fn"``: no Inf; only the code of all ones is NaN, of either sign.
        ``"finite"``: every code is a finite number.
    """

    exponent_bits: int
    fraction_bits: int
    specials: Literal["ieee", "fn", "finite"] = "ieee"

    @property
    def name(self) -> str:
        split = self.exponent_bits, self.fraction_bits
        return _SHORT_NAMES.get(split) or f"fp{self.bits}e{split[0]}m{split[1]}"

    @property
    def bits(self) -> int:
        return 1 + self.exponent_bits + self.fraction_bits

    @property
    def signed(self) -> bool:
        return True

    @property
    def bias(self) -> int:
        return (1 << (self.exponent_bits - 1)) - 1

    @property
    def exponent_low(self) -> int:
        """Exponent of the smallest normal number, and of the subnormals."""
        return 1 - self.bias

    @property
    def exponent_high(self) -> int:
        """Exponent of the largest number."""
        return math.frexp(self.high)[1] - 1

    @property
    def lsb_exponent(self) -> int:
        """Exponent of the smallest subnormal number."""
        return self.exponent_low - self.fraction_bits

    @property
    def term(self) -> IntegerFormat:
        """The significand with the hidden bit and the sign."""
        return IntegerFormat(2 + self.fraction_bits, True)

    @property
    def shift_high(self) -> int:
        return max((self.high_code >> self.fraction_bits) - 1, 0)

    @property
    def sign_code(self) -> int:
        """The code with only the sign bit set: −0."""
        return 1 << (self.bits - 1)

    @property
    def high_code(self) -> int:
        """Code of the largest finite number; positive codes up to it are in order of value."""
        top = self.sign_code - 1
        match self.specials:
            case "ieee":
                return top - (1 << self.fraction_bits)
            case "fn":
                return top - 1
            case "finite":
                return top

    @property
    def inf_code(self) -> int | None:
        """Code of +Inf; None where there is none."""
        return self.high_code + 1 if self.specials == "ieee" else None

    @property
    def nan_code(self) -> int | None:
        """The NaN that operations give; None where there is none.

        ``"ieee"``: positive, only the top fraction bit set. ``"fn"``: the positive one.
        """
        if self.specials == "fn":
            return self.sign_code - 1
        if self.specials == "ieee" and self.fraction_bits:
            return self.inf_code | 1 << (self.fraction_bits - 1)
        return None

    @property
    def high(self) -> float:
        field, fraction = divmod(self.high_code, 1 << self.fraction_bits)
        if not field:
            return math.ldexp(fraction, self.lsb_exponent)
        return math.ldexp(fraction | 1 << self.fraction_bits, self.lsb_exponent + field - 1)

    @property
    def low(self) -> float:
        return -self.high

    @property
    def smallest_normal(self) -> float | None:
        """The smallest positive normal number; None where all numbers are subnormal."""
        return math.ldexp(1, self.exponent_low) if self.high_code >> self.fraction_bits else None

    @property
    def smallest_subnormal(self) -> float | None:
        """The smallest positive subnormal number; None for M = 0."""
        return math.ldexp(1, self.lsb_exponent) if self.fraction_bits else None


FP16 = FloatFormat(5, 10)
BF16 = FloatFormat(8, 7)
FP32 = FloatFormat(8, 23)
