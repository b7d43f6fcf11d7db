"""What every number format says about itself."""

from dataclasses import dataclass


class Format:
    """A number format: what the bit patterns of an element mean.

    A descriptor holds names, widths and ranges. What a code decodes to and how a number is rounded
    is written twice, in Amaranth under :mod:`systolith.hdl.arithmetic` and in numpy under
    :mod:`systolith.sim.formats`, and the two meet only in tests.

    Every descriptor is immutable, compares by value, and prints as its name.

    Attributes
    ----------
    name : str
        The canonical name, which :func:`parse_format` reads.
    bits : int
        Width of the code of one element.
    signed : bool
        Whether a finite value can be below zero.
    low, high : float
        The smallest and the largest finite value of an element, without its block's scale; ``int``
        where all values are integers.
    lsb_exponent : int
        Every finite value is a multiple of ``2**lsb_exponent``.
    """

    name: str
    bits: int
    signed: bool
    low: float
    high: float
    lsb_exponent: int

    @property
    def fixed(self) -> "IntegerFormat":
        """The narrowest fixed-point integer that holds every finite value exactly."""
        return IntegerFormat.holding(self.low, self.high, self.lsb_exponent)

    @property
    def term(self) -> "IntegerFormat":
        """The integer of an element that is decoded to integer · 2^(exponent + lsb_exponent)."""
        return self.fixed

    @property
    def shift_high(self) -> int:
        """The largest exponent of such an element."""
        return 0

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True)
class IntegerFormat(Format):
    """Two's complement (``int<bits>``) or unsigned (``uint<bits>``) integer.

    Attributes
    ----------
    bits : int
        Width of a code; 1 to 64 by name, any width for an accumulator.
    signed : bool
    lsb_exponent : int
        The least significant bit is worth ``2**lsb_exponent``: 0 for an integer, otherwise the
        number is in fixed point.
    """

    bits: int
    signed: bool
    lsb_exponent: int = 0

    @classmethod
    def holding(cls, low: float, high: float, lsb_exponent: int = 0) -> "IntegerFormat":
        """The narrowest format for ``low`` to ``high``, both multiples of ``2**lsb_exponent``."""
        low, high = (_scaled(value, lsb_exponent) for value in (low, high))
        if low < 0:
            return cls(1 + max((~low).bit_length(), max(high, 0).bit_length()), True, lsb_exponent)
        return cls(max(high.bit_length(), 1), False, lsb_exponent)

    @property
    def name(self) -> str:
        return f"{'int' if self.signed else 'uint'}{self.bits}"

    @property
    def code_low(self) -> int:
        """The smallest value, in units of the least significant bit."""
        return -(1 << (self.bits - 1)) if self.signed else 0

    @property
    def code_high(self) -> int:
        """The largest value, in units of the least significant bit."""
        return (1 << (self.bits - self.signed)) - 1

    @property
    def low(self) -> float:
        """The smallest value; an ``int`` where the format is one of integers."""
        return _worth(self.code_low, self.lsb_exponent)

    @property
    def high(self) -> float:
        """The largest value; an ``int`` where the format is one of integers."""
        return _worth(self.code_high, self.lsb_exponent)

    @property
    def fixed(self) -> "IntegerFormat":
        return self

    def sum_of(self, terms: int) -> "IntegerFormat":
        """The narrowest format that holds every sum of so many terms."""
        exact = IntegerFormat.holding(self.code_low * terms, self.code_high * terms)
        return IntegerFormat(exact.bits, exact.signed, self.lsb_exponent)


def product_format(a: Format, b: Format, terms: int = 1) -> IntegerFormat:
    """The narrowest fixed point for every sum of ``terms`` products of finite values, exactly."""
    ends = [_scaled(x, a.lsb_exponent) * _scaled(y, b.lsb_exponent)
            for x in (a.low, a.high) for y in (b.low, b.high)]
    exact = IntegerFormat.holding(min(ends) * terms, max(ends) * terms)
    return IntegerFormat(exact.bits, exact.signed, a.lsb_exponent + b.lsb_exponent)


def _worth(code: int, lsb_exponent: int) -> float:
    return code << lsb_exponent if lsb_exponent >= 0 else code / (1 << -lsb_exponent)


def _scaled(value: float, lsb_exponent: int) -> int:
    """``value / 2**lsb_exponent``, which must be an integer, without rounding."""
    numerator, denominator = value.as_integer_ratio()
    numerator <<= max(-lsb_exponent, 0)
    denominator <<= max(lsb_exponent, 0)
    quotient, rest = divmod(numerator, denominator)
    if rest:
        raise ValueError(f"{value!r} is not a multiple of 2**{lsb_exponent}")
    return quotient
