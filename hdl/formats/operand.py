"""What a multiplier takes of an element."""

from dataclasses import dataclass

from systolith.hdl.formats.base import Format, IntegerFormat
from systolith.hdl.formats.block import PairFormat
from systolith.hdl.formats.floating import FloatFormat

#: A float whose fixed point has no more bits is decoded to it: its multiplier is that of an int8,
#: and there is nothing to shift.
FIXED_BITS = 8


@dataclass(frozen=True)
class Operand(Format):
    """A decoded element, worth factor · 2^(exponent + lsb_exponent).

    Integers, levels and narrow floats are factors alone, in fixed point. Other floats have their
    significand with the hidden bit and the sign as the factor; outlier-victim pairs as well.

    Its code has the factor in the low bits, then the exponent, then, where ``specials``, a bit
    for Inf (the factor has its sign) and a bit for NaN. The code of zero is 0.

    Attributes
    ----------
    format : Format
        Of the element.
    specials : bool
        Inf and NaN are kept; otherwise they are 0.
    """

    format: Format
    specials: bool = False

    @classmethod
    def of(cls, format: Format, *, keep_specials: bool = False) -> "Operand":
        """The operand of a format; ``keep_specials`` has an effect where it has Inf or NaN."""
        return cls(format, keep_specials and isinstance(format, FloatFormat)
                   and format.specials != "finite")

    @property
    def has_exponent(self) -> bool:
        """Whether there is more than a factor."""
        if isinstance(self.format, FloatFormat):
            return self.specials or self.format.fixed.bits > FIXED_BITS
        return isinstance(self.format, PairFormat)

    @property
    def term(self) -> IntegerFormat:
        return self.format.term if self.has_exponent else self.format.fixed

    @property
    def shift_high(self) -> int:
        return self.format.shift_high if self.has_exponent else 0

    @property
    def exponent_bits(self) -> int:
        """Of the code."""
        return self.shift_high.bit_length()

    @property
    def group(self) -> int:
        """Elements that are decoded together: 2 for pairs, otherwise 1."""
        return 2 if isinstance(self.format, PairFormat) else 1

    @property
    def name(self) -> str:
        return self.format.name

    @property
    def bits(self) -> int:
        return self.term.bits + self.exponent_bits + 2 * self.specials

    @property
    def signed(self) -> bool:
        return self.format.signed

    @property
    def low(self) -> float:
        return self.format.low

    @property
    def high(self) -> float:
        return self.format.high

    @property
    def lsb_exponent(self) -> int:
        return self.format.lsb_exponent
