"""Parameters of the normalization core, and what follows from them."""

from functools import cached_property
from math import isqrt
from typing import Literal, Self

from pydantic import field_validator, model_validator

from systolith.hdl.arithmetic.config import InverseParameters
from systolith.hdl.config import CoreConfig, param
from systolith.hdl.errors import ConfigError
from systolith.hdl.formats import BF16, Format, IntegerFormat, parse_format, product_format
from systolith.hdl.interface import TEMPLATE_REGISTERS, Field, Register, Stream

INTEGER_BITS = range(2, 17)
MAX_EPSILON_BITS = 64
#: Fraction bits of epsilon · n², an even number.
EPSILON_FRACTION = 8
#: Bits that a deviation keeps beyond the precision when it is divided by the standard deviation.
GUARD = 3


class NormConfig(CoreConfig):
    """LayerNorm and RMSNorm of rows in one reading pass, with affine parameters.

    y[i] = (x[i] − mean) / √(variance + epsilon) · w[i] + b[i], or x[i] / √(mean square + epsilon) ·
    w[i] + b[i]; which of the two is a register. Rows follow each other without a gap, a beat of
    ``lanes`` elements per cycle.
    """

    lanes: int = param(4, "Elements per beat.", low=1, high=64, unit="elements")
    max_length: int = param(1024, "Longest row.", low=1, high=1 << 14, unit="elements")
    x_format: str = param("int8", "Format of x: int2…int16, uint2…uint16 or bf16.")
    x_fraction: int = param(0, "Fraction bits of x; of bf16, those of the fixed-point number that "
                               "it is brought to.", low=0, high=24, unit="bits")
    fixed_bits: int | None = param(
        None, "Width of the fixed-point number that bf16 is brought to, 8 to 32; automatic: 24.",
        low=8, high=32, unit="bits")
    y_format: str = param("int8", "Format of y: int2…int16 or bf16.")
    y_fraction: int | None = param(
        None, "Fraction bits of y, not for bf16; automatic: 3 less than its bits.",
        low=0, high=24, unit="bits")
    affine: Literal["none", "weight", "weight_bias"] = param(
        "weight_bias", "Which parameters come with every row, each on a stream of its own.")
    w_format: str = param("int16", "Format of w: int2…int16.")
    w_fraction: int = param(12, "Fraction bits of w.", low=0, high=24, unit="bits")
    b_format: str = param("int16", "Format of b: int2…int16.")
    b_fraction: int = param(12, "Fraction bits of b.", low=0, high=24, unit="bits")
    precision: int | None = param(
        None, "Fraction bits of a normalized element before w; automatic: 4 more than y has "
              "digits.", low=4, high=24, unit="bits")
    technology: Literal["generic", "ecp5"] = param(
        "generic", "Whose multiplier blocks to instantiate, for factors that fit one; generic "
                   "leaves that to synthesis.")

    @field_validator("x_format", "y_format")
    @classmethod
    def _data_format(cls, name: str, info) -> str:
        found = parse_format(name)
        if found == BF16:
            return name
        if (not isinstance(found, IntegerFormat) or found.bits not in INTEGER_BITS
                or (info.field_name == "y_format" and not found.signed)):
            unsigned = "" if info.field_name == "y_format" else " uint2…uint16"
            raise ConfigError(f"must be int2…int16,{unsigned} or bf16, not {name!r}".replace(
                "16, or", "16 or"))
        return name

    @field_validator("w_format", "b_format")
    @classmethod
    def _parameter_format(cls, name: str) -> str:
        found = parse_format(name)
        if (not isinstance(found, IntegerFormat) or not found.signed
                or found.bits not in INTEGER_BITS):
            raise ConfigError(f"must be int2…int16, not {name!r}")
        return name

    @model_validator(mode="after")
    def _automatic(self) -> Self:
        if self.fixed_bits is not None and self.x_format != "bf16":
            raise ConfigError("fixed_bits is for x_format bf16 only; integers keep their width")
        if self.fixed_bits is None and self.x_format == "bf16":
            object.__setattr__(self, "fixed_bits", 24)       # frozen to everyone else
        if self.y_fraction is not None and self.y_format == "bf16":
            raise ConfigError("y_fraction is not for y_format bf16")
        digits = 8
        if self.y_format != "bf16":
            digits = parse_format(self.y_format).bits
            if self.y_fraction is None:
                object.__setattr__(self, "y_fraction", max(digits - 3, 0))
        if self.precision is None:
            object.__setattr__(self, "precision", digits + 4)
        return self

    # What the streams carry

    @cached_property
    def x(self) -> Format:
        """Format of an element of x."""
        return BF16 if self.x_format == "bf16" else self.fixed

    @cached_property
    def y(self) -> Format:
        """Format of an element of y."""
        found = parse_format(self.y_format)
        return found if found == BF16 else IntegerFormat(found.bits, True, -self.y_fraction)

    @cached_property
    def w(self) -> IntegerFormat:
        """Format of a weight."""
        return IntegerFormat(parse_format(self.w_format).bits, True, -self.w_fraction)

    @cached_property
    def b(self) -> IntegerFormat:
        """Format of a bias."""
        return IntegerFormat(parse_format(self.b_format).bits, True, -self.b_fraction)

    # Numbers inside

    @cached_property
    def fixed(self) -> IntegerFormat:
        """x in fixed point."""
        if self.x_format == "bf16":
            return IntegerFormat(self.fixed_bits, True, -self.x_fraction)
        found = parse_format(self.x_format)
        return IntegerFormat(found.bits, found.signed, -self.x_fraction)

    @property
    def max_beats(self) -> int:
        """Beats of the longest row."""
        return -(-self.max_length // self.lanes)

    @cached_property
    def total(self) -> IntegerFormat:
        """Sum of a row."""
        return _integer(self.fixed).sum_of(self.max_length)

    def squares_of(self, elements: int) -> IntegerFormat:
        """Sum of so many squares."""
        fixed = _integer(self.fixed)
        return IntegerFormat.holding(0, elements * max(fixed.low**2, fixed.high**2))

    @property
    def squares(self) -> IntegerFormat:
        """Sum of the squares of a row."""
        return self.squares_of(self.max_length)

    @cached_property
    def epsilon(self) -> IntegerFormat:
        """epsilon · n²: as wide as n² times the largest variance, up to 64 bits."""
        reach = IntegerFormat.holding(0, self.max_length * self.squares.code_high)
        return IntegerFormat(min(reach.bits + EPSILON_FRACTION, MAX_EPSILON_BITS), False,
                             -EPSILON_FRACTION)

    @cached_property
    def spread(self) -> IntegerFormat:
        """n · Σx² − (Σx)² + epsilon · n²: n² times the variance, and epsilon."""
        variance = self.max_length * self.squares.code_high << EPSILON_FRACTION
        exact = IntegerFormat.holding(0, variance + self.epsilon.code_high)
        return IntegerFormat(exact.bits, False, -EPSILON_FRACTION)

    @cached_property
    def inverse(self) -> InverseParameters:
        """The reciprocal square root of :attr:`spread`."""
        return InverseParameters(self.spread.bits, self.precision, root=True)

    @cached_property
    def deviation(self) -> IntegerFormat:
        """n · x − Σx."""
        fixed = _integer(self.fixed)
        reach = self.max_length * (fixed.high - min(fixed.low, 0))
        return IntegerFormat.holding(-reach, reach)

    @cached_property
    def normalized(self) -> IntegerFormat:
        """A normalized element, which is at most √max_length in magnitude."""
        reach = (isqrt(self.max_length) + 2) << self.precision
        exact = IntegerFormat.holding(-reach, reach)
        return IntegerFormat(exact.bits, True, -self.precision)

    @cached_property
    def scaled(self) -> IntegerFormat:
        """A deviation over the power of two below the standard deviation."""
        exact = self.normalized
        return IntegerFormat(exact.bits + 1 + GUARD, True, exact.lsb_exponent - GUARD)

    @property
    def y_overflows(self) -> bool:
        """Whether y may be beyond the range of its format, as far as bits tell."""
        top = self.result.bits + self.result.lsb_exponent            # all are below that power
        return isinstance(self.y, IntegerFormat) or top > self.y.exponent_high

    @cached_property
    def result(self) -> IntegerFormat:
        """y before it is rounded."""
        if self.affine == "none":
            return self.normalized
        product = product_format(self.normalized, self.w)
        if self.affine == "weight":
            return product
        lsb = min(product.lsb_exponent, self.b.lsb_exponent)
        high = (-product.code_low << product.lsb_exponent - lsb) + (
            -self.b.code_low << self.b.lsb_exponent - lsb)
        exact = IntegerFormat.holding(-high, high)
        return IntegerFormat(exact.bits, True, lsb)

    # The core from outside

    @property
    def streams(self) -> tuple[Stream, ...]:
        row = "One row, ceil(length / lanes) beats: beat b = {0}[b·lanes : (b+1)·lanes]."
        parameter = "One frame for every x frame, of as many beats: beat b = {0}[b·lanes : " \
                    "(b+1)·lanes]."
        streams = [Stream("x", "in", self.lanes, self.x, row.format("x"))]
        if self.affine != "none":
            streams.append(Stream("w", "in", self.lanes, self.w, parameter.format("w")))
        if self.affine == "weight_bias":
            streams.append(Stream("b", "in", self.lanes, self.b, parameter.format("b")))
        return (*streams, Stream("y", "out", self.lanes, self.y, row.format("y")))

    @property
    def registers(self) -> tuple[Register, ...]:
        def setting(index, name, bits, reset, doc):
            return Register(name, TEMPLATE_REGISTERS + 4 * index, "rw",
                            (Field("value", 0, bits, doc, False, reset),), doc)
        bits = self.epsilon.bits
        what = (f"epsilon · length² · 2^{EPSILON_FRACTION} in units of the last bit of x², rounded "
                "up")
        registers = [
            setting(0, "length", self.max_length.bit_length(), self.max_length,
                    "Elements of a row, 1 to max_length."),
            setting(1, "center", 1, 1, "1: LayerNorm, 0: RMSNorm."),
            setting(2, "epsilon_low", min(bits, 32), 0, f"{what}, up to bit 31."),
        ]
        if bits > 32:
            registers.append(setting(3, "epsilon_high", bits - 32, 0, f"{what}, from bit 32 on."))
        return tuple(registers)

    @property
    def flags(self) -> tuple[tuple[str, str], ...]:
        flags = [
            ("row_short", "A row ended before length; what is missing counts as zero."),
            ("row_long", "A row went on beyond length; the rest was dropped."),
            ("length_bad", "A row came while length was 0 or more than max_length; it was taken as "
                           "1 or max_length."),
            ("flat", "Variance (or mean square) and epsilon were both 0; y is b, or 0."),
        ]
        if self.x_format == "bf16":
            flags += [("invalid", "x held NaN or Inf, which counts as zero."),
                      ("x_saturated", "x was beyond the fixed-point range and was saturated.")]
        if self.y_overflows:
            flags.append(("y_saturated", "y was beyond the range of its format and was "
                                         "saturated."))
        if self.affine != "none":
            flags.append(("w_differs", "A w frame did not have as many beats as its row; missing "
                                       "beats count as zero, the rest was dropped."))
        if self.affine == "weight_bias":
            flags.append(("b_differs", "The same of a b frame."))
        return tuple(flags)


def _integer(number: IntegerFormat) -> IntegerFormat:
    """The format without its binary point."""
    return IntegerFormat(number.bits, number.signed)
