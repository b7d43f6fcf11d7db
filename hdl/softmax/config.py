"""Parameters of the softmax core, and what follows from them."""

from functools import cached_property
from typing import Literal, Self

from pydantic import field_validator, model_validator

from systolith.hdl.config import CoreConfig, param
from systolith.hdl.errors import ConfigError
from systolith.hdl.formats import IntegerFormat, parse_format
from systolith.hdl.interface import Stream, UserField

LOGIT_BITS = range(2, 17)
PROBABILITY_BITS = range(2, 17)


class SoftmaxConfig(CoreConfig):
    """Softmax of rows of logits: y[i] = exp(x[i]) / Σ exp(x[j]), over the elements of a row that
    are not masked.

    Rows follow each other without a gap, a beat of ``lanes`` elements per cycle; the passes over a
    row overlap with those over its neighbours.
    """

    algorithm: Literal["integer"] = param(
        "integer", "How exponents and sums are formed: integer is the shift-based streaming "
                   "softmax of ITA.")
    lanes: int = param(4, "Elements per beat.", low=1, high=64, unit="elements", paper=16)
    max_length: int = param(256, "Longest row; the rest of a longer one is dropped.",
                            low=1, high=1 << 14, unit="elements", paper=2047)
    in_format: str = param("int8", "Format of the logits: int2…int16 or uint2…uint16.")
    out_format: str = param("uint8", "Format of the probabilities, in units of 2^-bits: "
                                     "uint2…uint16.")
    store: Literal["chip", "replay"] = param(
        "chip", "Where a row waits for its second pass: in the core (chip), or at its source, "
                "which sends every row again on a stream of its own (replay).")
    additive_mask: bool = param(
        False, "Whether a stream brings a mask that is added to the logits; its lowest value "
               "excludes an element.")
    step_shift: int = param(5, "A logit that is 2^step_shift lower has half the weight.",
                            low=0, high=15, paper=5)
    dividers: int = param(0, "Serial dividers that take turns; 0 stands for one pipelined divider, "
                             "which takes a row every cycle.", low=0, high=16, paper=10)

    @field_validator("in_format")
    @classmethod
    def _logits(cls, name: str) -> str:
        found = parse_format(name)
        if not isinstance(found, IntegerFormat) or found.bits not in LOGIT_BITS:
            raise ConfigError(f"must be int2…int16 or uint2…uint16, not {name!r}")
        return name

    @field_validator("out_format")
    @classmethod
    def _probabilities(cls, name: str) -> str:
        found = parse_format(name)
        if (not isinstance(found, IntegerFormat) or found.signed
                or found.bits not in PROBABILITY_BITS):
            raise ConfigError(f"must be uint2…uint16, not {name!r}")
        return name

    @model_validator(mode="after")
    def _combinations(self) -> Self:
        if self.step_shift >= self.x.bits:
            raise ConfigError(f"step_shift must be less than the {self.x.bits} bits of in_format, "
                              f"not {self.step_shift}")
        if self.additive_mask and self.store == "replay":
            raise ConfigError("additive_mask needs store='chip': a replayed row comes without its "
                              "mask")
        return self

    @cached_property
    def x(self) -> IntegerFormat:
        """Format of a logit."""
        return parse_format(self.in_format)

    @cached_property
    def y(self) -> IntegerFormat:
        """Format of a probability; its highest bit is worth one half."""
        integer = parse_format(self.out_format)
        return IntegerFormat(integer.bits, False, -integer.bits)

    @property
    def max_beats(self) -> int:
        """Beats of the longest row."""
        return -(-self.max_length // self.lanes)

    @property
    def capacity(self) -> int:
        """Elements that so many beats can hold."""
        return self.max_beats * self.lanes

    @property
    def length_bits(self) -> int:
        """Width of the length that comes with a row."""
        return self.max_length.bit_length()

    @property
    def streams(self) -> tuple[Stream, ...]:
        row = "One row of 1 to max_beats = ceil(max_length / lanes) beats: beat b = {}[b·lanes : " \
              "(b+1)·lanes]."
        length = (UserField("length", 0, self.length_bits,
                            "Elements of the row that count; those behind them are masked."),)
        streams = [Stream("x", "in", self.lanes, self.x, row.format("x"), length)]
        if self.additive_mask:
            streams.append(Stream("mask", "in", self.lanes, self.x,
                                  "One frame for every x frame, of as many beats: what is added."))
        if self.store == "replay":
            streams.append(Stream("replay", "in", self.lanes, self.x,
                                  "Every x frame again, in the same order.", length))
        streams.append(Stream("y", "out", self.lanes, self.y, row.format("y")
                              + " As many beats as x; zero where x is masked."))
        return tuple(streams)

    @property
    def flags(self) -> tuple[tuple[str, str], ...]:
        flags = [
            ("row_long", "A row had more beats than max_beats; the rest was dropped."),
            ("row_short", "A row ended before its length; what is missing is masked."),
            ("row_empty", "All elements of a row were masked; its probabilities are zero."),
        ]
        if self.additive_mask:
            flags.append(("mask_differs", "A mask frame did not have as many beats as its row; "
                                          "missing beats exclude, the rest was dropped."))
        if self.store == "replay":
            flags.append(("replay_differs", "A replayed row did not have as many beats as before; "
                                            "it was normalized as it came."))
        return tuple(flags)
