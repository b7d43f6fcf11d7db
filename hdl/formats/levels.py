"""Integers of few bits whose codes are not two's complement."""

from dataclasses import dataclass

from systolith.hdl.formats.base import Format


@dataclass(frozen=True)
class BipolarFormat(Format):
    """``bipolar<bits>``: every bit of the code is worth −2^i or +2^i.

    Code u, read as unsigned, is 2u − (2^bits − 1): the odd integers from −(2^bits − 1) to
    2^bits − 1. There is no zero and there are no special codes.

    Attributes
    ----------
    bits : int
        1 to 16.
    """

    bits: int

    @property
    def name(self) -> str:
        return f"bipolar{self.bits}"

    @property
    def signed(self) -> bool:
        return True

    @property
    def low(self) -> int:
        return -self.high

    @property
    def high(self) -> int:
        return (1 << self.bits) - 1

    @property
    def lsb_exponent(self) -> int:
        return 0


@dataclass(frozen=True)
class TernaryFormat(Format):
    """``ternary``: −1, 0 and +1 in two bits of two's complement; code 10 is illegal."""

    @property
    def name(self) -> str:
        return "ternary"

    @property
    def bits(self) -> int:
        return 2

    @property
    def signed(self) -> bool:
        return True

    @property
    def low(self) -> int:
        return -1

    @property
    def high(self) -> int:
        return 1

    @property
    def lsb_exponent(self) -> int:
        return 0

    @property
    def illegal(self) -> int:
        """The code that means nothing."""
        return 0b10


@dataclass(frozen=True)
class BinaryFormat(Format):
    """``binary``: code 0 is −1, code 1 is +1."""

    @property
    def name(self) -> str:
        return "binary"

    @property
    def bits(self) -> int:
        return 1

    @property
    def signed(self) -> bool:
        return True

    @property
    def low(self) -> int:
        return -1

    @property
    def high(self) -> int:
        return 1

    @property
    def lsb_exponent(self) -> int:
        return 0
