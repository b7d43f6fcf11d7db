"""Parameters of the online pruning unit, and what follows from them."""

from functools import cached_property
from typing import Literal

from pydantic import field_validator, model_validator

from systolith.hdl.config import CoreConfig, param
from systolith.hdl.errors import ConfigError
from systolith.hdl.formats import IntegerFormat, parse_format
from systolith.hdl.formats.patterns import PATTERNS, Pattern
from systolith.hdl.interface import Stream, UserField

OPERAND_BITS = range(2, 17)


class TopNConfig(CoreConfig):
    """Prunes a stream to N:M: of each group of M elements the N largest magnitudes, with indices.

    A lane takes an element per cycle. The pattern is chosen frame by frame.
    """

    lanes: int = param(8, "Groups pruned side by side.", low=1, high=64, unit="lanes", paper=32)
    x_format: str = param("int8", "Format of an element: int2…int16 or uint2…uint16.")
    max_m: Literal[4, 8, 16] = param(16, "Largest M of a pattern N:M.", unit="elements", paper=16)
    max_n: Literal[1, 2, 4, 8, 16] = param(
        4, "Largest N: elements that a lane keeps and compares with.", unit="elements", paper=2)

    @field_validator("x_format")
    @classmethod
    def _element_format(cls, name: str) -> str:
        element = parse_format(name)
        if not isinstance(element, IntegerFormat) or element.bits not in OPERAND_BITS:
            raise ConfigError(f"must be int2…int16 or uint2…uint16, not {name!r}")
        return name

    @model_validator(mode="after")
    def _sizes(self):
        if self.max_n > self.max_m:
            raise ConfigError(f"max_n must be at most max_m, {self.max_m}, not {self.max_n}")
        return self

    @cached_property
    def x(self) -> IntegerFormat:
        return parse_format(self.x_format)

    @property
    def index_bits(self) -> int:
        return (self.max_m - 1).bit_length()

    @property
    def kept(self) -> IntegerFormat:
        """Format of a kept element: its code in the low bits, its index above."""
        return IntegerFormat(self.x.bits + self.index_bits, signed=False)

    @cached_property
    def patterns(self) -> tuple[Pattern, ...]:
        """What a frame may ask for."""
        return tuple(pattern for pattern in PATTERNS
                     if 0 < pattern.n <= self.max_n and pattern.m <= self.max_m)

    @cached_property
    def ranked(self) -> int:
        """Most elements that are kept of a group with more."""
        return max(pattern.n for pattern in self.patterns if pattern.n < pattern.m)

    @property
    def streams(self) -> tuple[Stream, ...]:
        return (
            Stream("x", "in", self.lanes, self.x,
                   "Groups of M beats: beat g·M + i, element l = x[g·M+i, c0+l].",
                   (UserField("pattern", 0, 8, "Pattern byte: N in bits 4:0, M in bits 6:5 "
                                               "(0 = 16, 1 = 8, 2 = 4)."),)),
            Stream("z", "out", self.lanes, self.kept,
                   "N beats for each group, in the order of the indices: element l = kept element "
                   "of column c0+l in the low bits, its index in the group above."),
        )

    @property
    def flags(self) -> tuple[tuple[str, str], ...]:
        return (
            ("pattern", "A frame asked for a pattern that is none or was not built in; it was "
                        "dropped."),
            ("x_short", "An x frame ended within a group; the missing elements count as zero."),
        )
