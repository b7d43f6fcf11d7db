"""Parameters of the streaming dot product, and what follows from them."""

from functools import cached_property
from typing import Self

from pydantic import field_validator, model_validator

from systolith.hdl.config import CoreConfig, param
from systolith.hdl.errors import ConfigError
from systolith.hdl.formats import IntegerFormat, parse_format
from systolith.hdl.interface import Stream

OPERAND_BITS = range(2, 17)
MAX_ACC_WIDTH = 64

#: Cycles from an accepted last input beat to the accepted output beat: the register slice of the
#: inputs, the sum of the products, the accumulator, the register slice of the output.
LATENCY = 4


class DotConfig(CoreConfig):
    """Dot products of vectors that arrive a few elements at a time.

    z = Σ x[i] · y[i] over a frame of any number of beats, ``lanes`` elements each.
    """

    lanes: int = param(4, "Elements per beat.", low=1, high=64, unit="elements")
    x_format: str = param("int8", "Format of x: int2…int16 or uint2…uint16.")
    y_format: str = param("int8", "Format of y: int2…int16 or uint2…uint16.")
    max_beats: int = param(256, "Longest frame whose sum cannot overflow the automatic acc_width.",
                           low=1, high=1 << 24, unit="beats")
    acc_width: int | None = param(
        None, "Width of the sum, which wraps and raises a flag when it overflows; automatic: "
              "bits of x_format + bits of y_format + ceil(log2(lanes · max_beats)).",
        low=4, high=MAX_ACC_WIDTH, unit="bits")

    @field_validator("x_format", "y_format")
    @classmethod
    def _operand_format(cls, name: str) -> str:
        operand = parse_format(name)
        if not isinstance(operand, IntegerFormat) or operand.bits not in OPERAND_BITS:
            raise ConfigError(f"must be int2…int16 or uint2…uint16, not {name!r}")
        return name

    @model_validator(mode="after")
    def _acc_width(self) -> Self:
        if self.acc_width is None:
            bits = self.x.bits + self.y.bits + (self.lanes * self.max_beats - 1).bit_length()
            object.__setattr__(self, "acc_width", bits)          # frozen to everyone else
        if not self.z.signed and self.acc_width == MAX_ACC_WIDTH:
            raise ConfigError(f"acc_width must be at most {MAX_ACC_WIDTH - 1} for unsigned sums, "
                              f"not {self.acc_width}")
        return self

    @cached_property
    def x(self) -> IntegerFormat:
        return parse_format(self.x_format)

    @cached_property
    def y(self) -> IntegerFormat:
        return parse_format(self.y_format)

    @property
    def z(self) -> IntegerFormat:
        """Format of a sum: signed if an operand is."""
        return IntegerFormat(self.acc_width, self.x.signed or self.y.signed)

    @property
    def streams(self) -> tuple[Stream, ...]:
        frame = "One vector, at least 1 beat: beat b = {0}[b·lanes : (b+1)·lanes]."
        return (
            Stream("x", "in", self.lanes, self.x, frame.format("x")),
            Stream("y", "in", self.lanes, self.y, frame.format("y")),
            Stream("z", "out", 1, self.z, "1 beat: the dot product of an x and a y frame."),
        )

    @property
    def flags(self) -> tuple[tuple[str, str], ...]:
        return (
            ("overflow", "A sum wrapped around."),
            ("x_long", "An x frame was longer than its y frame; the rest was dropped."),
            ("y_long", "A y frame was longer than its x frame; the rest was dropped."),
        )
