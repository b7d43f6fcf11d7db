"""Number formats by name: what a bit pattern means, without saying how to compute with it.

A descriptor holds names, widths and ranges. Encoding and decoding are written twice, in Amaranth
under :mod:`systolith.hdl` and in numpy under :mod:`systolith.sim`, and meet only in tests.
"""

import re
from dataclasses import dataclass

from systolith.hdl.errors import ConfigError

MAX_INTEGER_BITS = 64


@dataclass(frozen=True)
class IntegerFormat:
    """Two's complement (``int<bits>``) or unsigned (``uint<bits>``) integer.

    Attributes
    ----------
    bits : int
        Width of a code, 1 to 64.
    signed : bool
    lsb_exponent : int
        The least significant bit is worth ``2**lsb_exponent``; always 0 for an integer.
    """

    bits: int
    signed: bool
    lsb_exponent: int = 0

    @property
    def name(self) -> str:
        return f"{'int' if self.signed else 'uint'}{self.bits}"

    @property
    def low(self) -> int:
        """The smallest value."""
        return -(1 << (self.bits - 1)) if self.signed else 0

    @property
    def high(self) -> int:
        """The largest value."""
        return (1 << (self.bits - self.signed)) - 1

    def __str__(self) -> str:
        return self.name


def parse_format(name: str) -> IntegerFormat:
    """Return the format called ``name``.

    Raises
    ------
    ConfigError
        If no format has that name.
    """
    if match := re.fullmatch(r"(u?)int([1-9][0-9]?)", name):
        bits = int(match[2])
        if bits <= MAX_INTEGER_BITS:
            return IntegerFormat(bits, signed=not match[1])
    raise ConfigError(f"unknown number format {name!r}; formats are int<bits> and uint<bits>, "
                      f"1 to {MAX_INTEGER_BITS} bits")
