"""Formats whose elements share something with their neighbours."""

from dataclasses import dataclass
from functools import cached_property

from systolith.hdl.formats.base import Format, IntegerFormat
from systolith.hdl.formats.floating import FloatFormat

SCALE_BITS = 8
SCALE_BIAS = 127
#: A scale that makes every element of its block NaN.
SCALE_NAN = 0xFF
#: Of the number of a group's special value.
SELECT_BITS = 2

DEFAULT_BLOCK = 32
DEFAULT_GROUP = 128


@dataclass(frozen=True)
class BlockFormat(Format):
    """Blocks of elements with one power-of-two scale: ``mx<element>`` and ``bfp<bits>``.

    A scale is an E8M0 code X and worth 2^(X − 127); X = 255 makes the whole block NaN. Element i
    of a block is worth 2^(X − 127) times its own value. The elements of ``mx`` are floats or
    integers, those of ``bfp`` integers; the leading bit of an integer is its sign and the next is
    worth 1, so that ``int8`` elements run from −2 to 1 63/64 (``lsb_exponent`` −6).

    Ranges are those of an element, without the scale.

    Attributes
    ----------
    element : FloatFormat or IntegerFormat
    block : int
        Elements that share a scale.
    symmetric : bool
        Whether the most negative integer is left unused when numbers are quantized.
    """

    element: FloatFormat | IntegerFormat
    block: int = DEFAULT_BLOCK
    symmetric: bool = True

    @classmethod
    def of_integers(cls, bits: int, block: int, *, symmetric: bool) -> "BlockFormat":
        """Blocks of ``bits``-bit integers."""
        return cls(IntegerFormat(bits, True, 2 - bits), block, symmetric)

    @property
    def name(self) -> str:
        integer_blocks = isinstance(self.element, IntegerFormat) and not self.symmetric
        stem = f"bfp{self.bits}" if integer_blocks else f"mx{self.element}"
        return stem if self.block == DEFAULT_BLOCK else f"{stem}/{self.block}"

    @property
    def bits(self) -> int:
        return self.element.bits

    @property
    def signed(self) -> bool:
        return True

    @property
    def low(self) -> float:
        return self.element.low

    @property
    def high(self) -> float:
        return self.element.high

    @property
    def lsb_exponent(self) -> int:
        return self.element.lsb_exponent

    @property
    def exponent_high(self) -> int:
        """Exponent of the largest element, to which the scale brings the largest number."""
        return self.element.exponent_high if isinstance(self.element, FloatFormat) else 0

    @property
    def shared_by(self) -> int:
        """Elements that share a scale."""
        return self.block

    @property
    def select_bits(self) -> int:
        """Beside a scale: none."""
        return 0


@dataclass(frozen=True)
class PairFormat(Format):
    """``ovp4``, ``ovp8``: pairs of an outlier and its victim (OliVe).

    Elements go in pairs, the first in the low half of the pair's code. An element is an integer
    in two's complement, but for the code 10…0: that is the identifier. It stands for 0 (the
    victim) and says that the other element of the pair is an outlier: a sign s, an exponent e and
    a fraction f worth (−1)^s · (2^M + f) · 2^(e + bias).

    A pair of two identifiers is illegal, and so is an outlier with e = f = 0 or above
    ``outlier_high``; an illegal pair is (0, 0).

    Attributes
    ----------
    bits : int
        4 or 8.
    """

    bits: int

    @property
    def name(self) -> str:
        return f"ovp{self.bits}"

    @property
    def signed(self) -> bool:
        return True

    @property
    def normal(self) -> IntegerFormat:
        """The integers of normal elements; the most negative one is the identifier."""
        return IntegerFormat(self.bits, True)

    @property
    def normal_high(self) -> int:
        """The largest magnitude of a normal element."""
        return self.normal.code_high

    @property
    def identifier(self) -> int:
        """The code that marks a victim."""
        return 1 << (self.bits - 1)

    @property
    def exponent_bits(self) -> int:
        """Of an outlier."""
        return {4: 2, 8: 4}[self.bits]

    @property
    def fraction_bits(self) -> int:
        """Of an outlier."""
        return self.bits - 1 - self.exponent_bits

    @property
    def bias(self) -> int:
        """Added to an outlier's exponent field, so that outliers begin where integers end."""
        return {4: 2, 8: 4}[self.bits]

    @property
    def outlier_low(self) -> int:
        """The smallest magnitude of an outlier."""
        return ((1 << self.fraction_bits) + 1) << self.bias

    @property
    def outlier_high(self) -> int:
        """The largest magnitude of an outlier; 2^15 at most, so that products fit 32 bits."""
        top = ((2 << self.fraction_bits) - 1) << ((1 << self.exponent_bits) - 1 + self.bias)
        return min(top, 1 << 15)

    @property
    def low(self) -> int:
        return -self.outlier_high

    @property
    def high(self) -> int:
        return self.outlier_high

    @property
    def lsb_exponent(self) -> int:
        return 0

    @property
    def term(self) -> IntegerFormat:
        """A normal integer, or the significand of an outlier."""
        return self.normal

    @property
    def shift_high(self) -> int:
        return self.outlier_high.bit_length() - 1 - self.fraction_bits


@dataclass(frozen=True)
class BitmodFormat(Format):
    """``bitmod3``, ``bitmod4``: sign and magnitude, with −0 redefined per group (BitMoD).

    A group has a scale and selects one of four special values; the code 10…0, which would be −0,
    stands for it.

    Attributes
    ----------
    bits : int
        3 or 4.
    group : int
        Elements that share a scale and a special value.
    special_values : tuple of four numbers, optional
        In the order of their selection: multiples of 0.5, −8 to 8.
    """

    bits: int
    group: int = DEFAULT_GROUP
    special_values: tuple[float, float, float, float] | None = None

    def __post_init__(self):
        if self.special_values is None:
            defaults = {3: (3.0, -3.0, 6.0, -6.0), 4: (5.0, -5.0, 8.0, -8.0)}
            object.__setattr__(self, "special_values", defaults[self.bits])

    @property
    def name(self) -> str:
        stem = f"bitmod{self.bits}"
        return stem if self.group == DEFAULT_GROUP else f"{stem}/{self.group}"

    @property
    def signed(self) -> bool:
        return True

    @cached_property
    def magnitudes(self) -> tuple[float, ...]:
        """The magnitude for each value of the bits below the sign."""
        return {3: (0.0, 1.0, 2.0, 4.0), 4: (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0)}[self.bits]

    @property
    def shared_by(self) -> int:
        """Elements that share a scale and a special value."""
        return self.group

    @property
    def select_bits(self) -> int:
        """Beside a scale: of the number of the special value."""
        return SELECT_BITS

    @property
    def special_code(self) -> int:
        """The code that stands for the group's special value."""
        return 1 << (self.bits - 1)

    @property
    def low(self) -> float:
        return min(*self.special_values, -self.magnitudes[-1])

    @property
    def high(self) -> float:
        return max(*self.special_values, self.magnitudes[-1])

    @property
    def lsb_exponent(self) -> int:
        """−1 for both widths: every special value is a multiple of 0.5."""
        return -1

    @property
    def fixed(self) -> IntegerFormat:
        """Holds any special value, −8 to 8 in steps of 0.5; they can be changed at run time."""
        return IntegerFormat.holding(-8, 8, self.lsb_exponent)
