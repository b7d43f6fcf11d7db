"""Parameters of the ternary matrix-vector core, and what follows from them."""

from functools import cached_property
from typing import Literal, Self

from pydantic import model_validator

from systolith.hdl.config import CoreConfig, param
from systolith.hdl.errors import ConfigError
from systolith.hdl.formats import IntegerFormat
from systolith.hdl.interface import Stream, UserField

BYTE = IntegerFormat(8, False)
INT8 = IntegerFormat(8, True)
#: Weights in a byte, by packing.
WEIGHTS = {"base3": 5, "2bit": 4}
#: The byte of as many weights of 0.
ZERO_BYTE = {"base3": (3**5 - 1) // 2, "2bit": 0}
#: The first byte that no five weights have.
BASE3_END = 3**5
#: Codes of 2 bits: of 0, 1 and −1; the fourth one, 2, is illegal.
CODE_ZERO, CODE_PLUS, CODE_MINUS = 0, 1, 3
#: Largest magnitude of an activation quantized by the largest of its vector.
QUANTIZED_HIGH = 127
SCALE = IntegerFormat(15, False)
SHIFT = IntegerFormat(6, True)


class TernaryConfig(CoreConfig):
    """Matrix-vector products y[M] = W[M, K] · a[K] without multiplications, weights −1, 0 and 1.

    A row takes a word of packed weights per cycle and adds, leaves out or subtracts as many
    activations in a tree.
    """

    rows: int = param(8, "Rows of W at a time.", low=1, high=64, unit="rows")
    word: int = param(20, "Weights of a row in a beat, a multiple of those in a byte.",
                      low=4, high=160, unit="weights")
    packing: Literal["base3", "2bit"] = param(
        "base3", "base3: five weights in a byte, Σ (t[i] + 1) · 3^i; 2bit: four, 0 as 00, 1 as "
                 "01, −1 as 11.")
    a_lanes: int = param(4, "Activations in a beat, a divisor of word.", low=1, high=160,
                         unit="activations")
    a_format: Literal["int8", "int16"] = param(
        "int8", "Format of the activations; int16 are quantized to int8 by the largest magnitude "
                "of their vector.")
    output: Literal["raw", "scaled"] = param(
        "raw", "Exact sums (raw), or sums times a scale that comes with the weights, rounded to "
               "int16 (scaled).")
    max_k: int = param(2560, "Largest K.", low=4, high=1 << 14, unit="activations")

    @model_validator(mode="after")
    def _combinations(self) -> Self:
        for name in ("word", "max_k"):
            step = WEIGHTS[self.packing] if name == "word" else self.word
            if getattr(self, name) % step:
                raise ConfigError(f"{name} must be a multiple of {step}, not "
                                  f"{getattr(self, name)}")
        if self.word % self.a_lanes:
            raise ConfigError(f"a_lanes must divide word = {self.word}, not {self.a_lanes}")
        return self

    @property
    def quantized(self) -> bool:
        """Activations are quantized by the largest magnitude of their vector."""
        return self.a_format == "int16"

    @property
    def scaled(self) -> bool:
        """Results are multiplied by a scale and rounded."""
        return self.output == "scaled"

    @property
    def word_bytes(self) -> int:
        """Bytes of a row's weights in a beat."""
        return self.word // WEIGHTS[self.packing]

    @property
    def word_beats(self) -> int:
        """Beats of activations in a word."""
        return self.word // self.a_lanes

    @property
    def max_words(self) -> int:
        """Words of the longest vector."""
        return self.max_k // self.word

    @cached_property
    def a(self) -> IntegerFormat:
        """What a lane of ``a`` carries."""
        return IntegerFormat(16 if self.quantized else 8, True)

    @property
    def largest_a(self) -> int:
        """The largest magnitude of an activation before it is quantized."""
        return 1 << self.a.bits - 1

    @cached_property
    def dot(self) -> IntegerFormat:
        """Sum of the activations of a row, of int8."""
        high = self.max_k * (QUANTIZED_HIGH if self.quantized else self.largest_a)
        return IntegerFormat.holding(-high, high)

    @cached_property
    def y(self) -> IntegerFormat:
        """A result as it leaves the core."""
        if self.scaled:
            return IntegerFormat(16, True)
        high = -self.dot.code_low if not self.quantized else (
            self.max_k * QUANTIZED_HIGH * self.largest_a)
        return IntegerFormat.holding(-high, high) if self.quantized else self.dot

    @property
    def user(self) -> tuple[UserField, ...]:
        """What comes beside a w frame."""
        fields = (UserField("last", 0, 1, "Last frame for this vector."),)
        if self.scaled:
            factor = " · largest |a|" if self.quantized else ""
            fields += (
                UserField("scale", 1, SCALE.bits,
                          f"y = sum{factor} · scale · 2^(shift − 31)."),
                UserField("shift", 1 + SCALE.bits, SHIFT.bits, "−31 to 31, two's complement."))
        return fields

    @property
    def streams(self) -> tuple[Stream, ...]:
        count = WEIGHTS[self.packing]
        code = (f"Σ (W[m, k+i] + 1)·3^i, i < {count}" if self.packing == "base3" else
                f"Σ code(W[m, k+i])·4^i, i < {count}")
        return (
            Stream("a", "in", self.a_lanes, self.a,
                   "ceil(K / a_lanes) beats: beat b = a[b·a_lanes : (b+1)·a_lanes], zeros beyond "
                   "K."),
            Stream("w", "in", self.rows * self.word_bytes, BYTE,
                   "One frame for rows m0 … m0+rows−1, ceil(K / word) beats: beat t, lane "
                   f"r·{self.word_bytes} + b = {code}, for m = m0+r and k = t·word + {count}b; "
                   "weights of 0 beyond K and M.", self.user),
            Stream("y", "out", 1, self.y, "rows beats for each w frame: beat i = y[m0+i]."),
        )

    @property
    def flags(self) -> tuple[tuple[str, str], ...]:
        code = "243 or more" if self.packing == "base3" else "holding the 2-bit code 10"
        what = "five weights" if self.packing == "base3" else "weight"
        return (
            ("a_long", "An a frame was longer than max_k; the rest was dropped."),
            ("w_short", "A w frame ended early; missing weights count as 0."),
            ("w_long", "A w frame had too many beats for its vector; the rest was dropped."),
            ("illegal", f"A byte of weights was {code}; its {what} counted as 0."),
        )
