"""Parameters of the bit-serial core, and what follows from them."""

from dataclasses import dataclass
from functools import cached_property
from typing import Literal, Self

from pydantic import model_validator

from systolith.hdl.config import CoreConfig, param
from systolith.hdl.errors import ConfigError
from systolith.hdl.formats import FP16, BitmodFormat, Format, IntegerFormat
from systolith.hdl.interface import TEMPLATE_REGISTERS, Field, Register, Stream, UserField

#: Weights and activations that a PE takes at a time.
LANES = 4
CODE_BITS = 8
SCALE_BITS = 8
SELECT_BITS = 2
SPECIALS = 1 << SELECT_BITS

INT8 = IntegerFormat(8, True)

#: A special value in units of 0.5, as a register holds it; magnitudes go to 16.
SPECIAL = IntegerFormat(6, True)

#: Bits that a column's sum keeps below a scaled group sum, and bits of its magnitude.
COLUMN_GUARD = 8
COLUMN_BITS = 31
EXPONENT_BITS = 7

#: Parameters that have an effect with one format of activations only.
FLOAT_ONLY = ("rounding", "guard", "mask_zero_lanes")
INTEGER_ONLY = ("acc_width",)


@dataclass(frozen=True)
class WeightType:
    """What the codes of a group of weights mean.

    Attributes
    ----------
    format : Format
        int8, int6, int5, bitmod4 or bitmod3.
    terms : int
        Cycles that 4 weights take.
    """

    format: Format
    terms: int

    @property
    def name(self) -> str:
        return self.format.name

    @property
    def mixture(self) -> bool:
        """Codes in units of 0.5, one of them for the special value of the group."""
        return isinstance(self.format, BitmodFormat)


#: In the order of their numbers on the wire.
TYPES = (
    WeightType(INT8, 4),
    WeightType(IntegerFormat(6, True), 3),
    WeightType(IntegerFormat(5, True), 3),
    WeightType(BitmodFormat(4), 2),
    WeightType(BitmodFormat(3), 2),
)
TYPE_BITS = 3
MIN_TERMS = min(kind.terms for kind in TYPES)


class BitserialConfig(CoreConfig):
    """Y[T, N] = A[T, K] · W[N, K]ᵀ, weights one bit at a time, their type chosen per group of K.

    Weights are int8, int6, int5, or 4 or 3 bits with a special value per group (BitMoD); a group
    has an int8 scale. Sums of ``fp16`` activations are floats with a mantissa of their own, those
    of ``int8`` activations are exact integers.
    """

    rows: int = param(8, "Rows of PEs: the T tile.", low=1, high=64, unit="PEs", paper=8)
    cols: int = param(8, "Columns of PEs: the N tile.", low=1, high=64, unit="PEs", paper=8)
    group: int = param(128, "Weights of a row that share a type, a scale and a special value.",
                       low=2 * SCALE_BITS, high=256, unit="weights", paper=128)
    a_format: Literal["fp16", "int8"] = param("fp16", "Format of the activations.", paper="fp16")
    rounding: Literal["trunc", "rne"] = param(
        "trunc", "What becomes of bits that an alignment or a normalization drops: trunc cuts "
                 "them off, rne rounds to nearest even; fp16 only.", paper="trunc")
    guard: int = param(3, "Bits kept below the last bit of the largest product; fp16 only.",
                       low=0, high=5, unit="bits", paper=3)
    mask_zero_lanes: bool = param(
        False, "Lanes without a term do not count for the largest exponent; fp16 only.",
        paper=False)
    acc_width: int = param(48, "Bits of an exact sum over groups; int8 activations only.",
                           low=32, high=64, unit="bits")
    special_decode: Literal["lod", "naf"] = param(
        "lod", "Special values allowed: sums of two powers of two (lod), or also differences "
               "(naf): 3.5, 7, 7.5.", paper="lod")

    @model_validator(mode="after")
    def _group(self) -> Self:
        if self.group % LANES:
            raise ConfigError(f"group must be a multiple of {LANES}, not {self.group}")
        least = self.group // LANES * MIN_TERMS
        if least < self.rows:
            raise ConfigError(f"group = {self.group} takes {least} cycles at least, too few to "
                              f"drain rows = {self.rows}; group must be at least "
                              f"{self.rows * LANES // MIN_TERMS}")
        return self

    @model_validator(mode="after")
    def _unused(self) -> Self:
        names, other = (FLOAT_ONLY, "fp16") if self.exact else (INTEGER_ONLY, "int8")
        for name in names:
            default = type(self).model_fields[name].default
            if getattr(self, name) != default:
                raise ConfigError(f"{name} has an effect only if a_format is {other!r}; leave it "
                                  f"at {default!r} instead of {getattr(self, name)!r}")
        return self

    @property
    def exact(self) -> bool:
        """Sums are integers in units of 0.5, of int8 activations, and nothing is rounded."""
        return self.a_format == "int8"

    @cached_property
    def a(self) -> IntegerFormat:
        """What a lane of ``a`` carries: the number, or the code of the float."""
        return INT8 if self.exact else IntegerFormat(FP16.bits, False)

    @property
    def beats(self) -> int:
        """Beats of a group."""
        return self.group // LANES

    @property
    def mantissa_bits(self) -> int:
        """Bits of the magnitude of a group's sum: a product and its guard bits."""
        return 1 + FP16.fraction_bits + self.guard

    @cached_property
    def group_sum(self) -> IntegerFormat:
        """A group's sum of int8 activations, or the mantissa of one of fp16."""
        if self.exact:
            return IntegerFormat.holding(-self._largest_sum, self._largest_sum)
        return self._mantissa(self.mantissa_bits)

    @property
    def _largest_sum(self) -> int:
        """Largest magnitude of a group's sum of int8 activations: of int8 weights."""
        return 2 * self.group * INT8.code_low**2

    @cached_property
    def scaled(self) -> IntegerFormat:
        """A group's sum times its scale."""
        high = (self._largest_sum if self.exact else 1 << self.mantissa_bits) << SCALE_BITS - 1
        return IntegerFormat.holding(-high, high)

    @cached_property
    def column(self) -> IntegerFormat:
        """A column's sum of int8 activations, or the mantissa of one of fp16."""
        return IntegerFormat(self.acc_width, True) if self.exact else self._mantissa(COLUMN_BITS)

    def _mantissa(self, bits: int) -> IntegerFormat:
        # Rounding down only a negative magnitude reaches the power of two.
        power = 1 << bits
        return IntegerFormat.holding(-power, power if self.rounding == "rne" else power - 1)

    @property
    def lsb_exponent(self) -> int:
        """A result is worth sum · 2^lsb_exponent, or mantissa · 2^(exponent + lsb_exponent)."""
        if self.exact:
            return -1
        bias = 1 - FP16.exponent_low
        return -(bias + FP16.fraction_bits + self.guard + 1 + COLUMN_GUARD)

    @cached_property
    def y(self) -> IntegerFormat:
        """A result as it leaves the core: a sum, or mantissa · 2^7 + exponent."""
        exponent = 0 if self.exact else EXPONENT_BITS
        return IntegerFormat(self.column.bits + exponent, True)

    @property
    def streams(self) -> tuple[Stream, ...]:
        groups = f"ceil(K / {self.group})"
        beats = f"{groups} · {self.beats} beats"
        types = ", ".join(f"{number} {kind.name}" for number, kind in enumerate(TYPES))
        return (
            Stream("a", "in", self.rows * LANES, self.a,
                   f"{beats}: lane 4i+j of beat b = {'' if self.exact else 'fp16 code of '}"
                   "A[t0+i, 4b+j]."),
            Stream("w", "in", self.cols * LANES, IntegerFormat(CODE_BITS, False),
                   f"{beats}: lane 4i+j of beat b = code of W[n0+i, 4b+j]; integers in two's "
                   "complement of 8 bits."),
            Stream("s", "in", self.cols, IntegerFormat(SCALE_BITS + SELECT_BITS, False),
                   f"{groups} frames for each a frame, 1 beat each: lane i = scale + 256 · select "
                   "of the group of W[n0+i].",
                   (UserField("type", 0, TYPE_BITS, f"Type of the group's weights: {types}."),)),
            Stream("y", "out", self.cols, self.y, "rows beats: lane i of beat j = "
                   + ("2 · Y[t0+j, n0+i]." if self.exact else
                      "mantissa · 128 + exponent of Y[t0+j, n0+i].")),
        )

    @property
    def registers(self) -> tuple[Register, ...]:
        found = []
        for kind in TYPES:
            for index in range(SPECIALS if kind.mixture else 0):
                doc = f"Special value {index} of {kind.name}, in units of 0.5."
                reset = int(2 * kind.format.special_values[index])
                found.append(Register(
                    f"{kind.name}_special_{index}", TEMPLATE_REGISTERS + 4 * len(found), "rw",
                    (Field("value", 0, SPECIAL.bits, doc, True, reset),), doc))
        return tuple(found)

    @property
    def flags(self) -> tuple[tuple[str, str], ...]:
        return (
            ("overflow", "A sum over groups left acc_width bits; it wrapped.") if self.exact else
            ("not_finite", "An activation was Inf or NaN; it counted as 0."),
            ("bad_type", "A group had a type that is none; its codes counted as int8."),
            ("bad_code", "A code had bits beyond its type; they did not count."),
            ("bad_special", "A special value had more terms than two, or a magnitude above 8; it "
                            "counted as 0."),
            ("zero_scale", "The scale of a group was 0."),
            ("short", "A frame ended within a group; zeros were added."),
            ("a_long", "An a frame was longer than its w frame; the rest was dropped."),
            ("w_long", "A w frame was longer than its a frame; the rest was dropped."),
            ("s_long", "An s frame had more than one beat; the rest was dropped."),
        )
