"""Parameters of the activation core, and what follows from them."""

import math
from functools import cached_property
from typing import Literal, Self

from pydantic import field_validator, model_validator

from systolith.hdl.activation.curves import CURVES, Curve
from systolith.hdl.arithmetic.config import (
    TABLE_PRECISION,
    ExponentialParameters,
    Fit,
    IntegerExponentialParameters,
    IntegerGeluParameters,
    Segments,
)
from systolith.hdl.config import CoreConfig, param
from systolith.hdl.errors import ConfigError
from systolith.hdl.formats import BF16, FP16, FloatFormat, Format, IntegerFormat, parse_format
from systolith.hdl.interface import Stream

ELEMENT_BITS = range(2, 33)
#: Widest x of the integer polynomials.
INTEGER_BITS = 16
DEGREES = {"table": 0, "piecewise": 1, "polynomial": 2}
#: Segments that are chosen automatically, at most.
MOST_SEGMENTS = {"table": 4096, "piecewise": 1024, "polynomial": 1024}
MAX_SEGMENTS = 1 << 14
#: Guard bits of coefficients; a table of function values that lines join has none.
GUARD = {"table": 0, "piecewise": 4, "polynomial": 4}
#: Bits of the factors that bring an integer polynomial to the unit of y.
RESCALE_BITS = 18
#: erf of the integer GELU keeps so many bits where the published shift of 14 leaves more.
ERF_BITS, ERF_SHIFT = 17, 14


class ActivationConfig(CoreConfig):
    """GELU, SiLU, sigmoid, tanh or exp of a stream, an element per lane and cycle.

    y[i] = f(x[i]). All but exp are computed as the difference to their limits, which depends on
    |x| alone; exp as a power of two.
    """

    function: Literal["gelu", "silu", "sigmoid", "tanh", "exp"] = param(
        "gelu", "GELU x·Φ(x) (with erf), SiLU x/(1 + e^−x), sigmoid 1/(1 + e^−x), tanh, or e^x.")
    implementation: Literal["table", "piecewise", "polynomial", "integer"] = param(
        "piecewise", "A constant (table), a line (piecewise) or a parabola (polynomial) per "
                     "segment; or I-BERT's integer polynomial (integer), for gelu and exp.")
    lanes: int = param(4, "Elements per beat.", low=1, high=64, unit="elements", paper=8)
    x_format: str = param("int8", "Format of x: int2…int32, uint2…uint32, bf16 or fp16.",
                          paper="int32")
    x_fraction: int | None = param(
        None, "Fraction bits of x; of a float, those of the fixed-point number that it is brought "
              "to. Automatic: half of the bits of an integer; of a float as many as precision.",
        low=0, high=24, unit="bits", paper=22)
    y_format: str = param("int8", "Format of y: int2…int32, uint2…uint32, bf16 or fp16.",
                          paper="int32")
    y_fraction: int | None = param(
        None, "Fraction bits of y, not for floats. Automatic: gelu and silu as x, or half of the "
              "bits; sigmoid and tanh as many as leave room for 1; exp half of the bits.",
        low=0, high=32, unit="bits", paper=22)
    segment_fraction: int | None = param(
        None, "Segments of |x| are 2^−segment_fraction wide, not for exp; automatic: what "
              "precision asks for, within the limits of the documentation.",
        low=0, high=16, unit="bits", paper=5)
    segments: int | None = param(
        None, "How many, not for exp; beyond them y is at its limit. Automatic: until the "
              "difference to the limit is less than half of 2^−precision.",
        low=1, high=MAX_SEGMENTS, unit="segments", paper=176)
    fit: Fit = param(
        "chebyshev", "piecewise: lines through the Chebyshev nodes of each segment (chebyshev), "
                     "or between table entries (endpoints). Not for exp.", paper="endpoints")
    precision: int | None = param(
        None, "Fraction bits of the difference to the limit, or of the mantissa of exp, before y "
              "is rounded; automatic: 3 more than y_fraction, 2 more than y has bits for exp, of "
              "floats what documentation says.", low=2, high=24, unit="bits", paper=22)
    erf_shift: int | None = param(
        None, "integer gelu: bits of erf that are dropped; automatic: what leaves 17, at most 14.",
        low=0, high=24, unit="bits", paper=14)
    technology: Literal["generic", "ecp5"] = param(
        "generic", "Whose multiplier and memory blocks to instantiate; generic leaves that to "
                   "synthesis.")

    @field_validator("x_format", "y_format")
    @classmethod
    def _element_format(cls, name: str) -> str:
        found = parse_format(name)
        if found not in (BF16, FP16) and not (
                isinstance(found, IntegerFormat) and found.bits in ELEMENT_BITS):
            raise ConfigError(f"must be int2…int32, uint2…uint32, bf16 or fp16, not {name!r}")
        return name

    @model_validator(mode="after")
    def _combinations(self) -> Self:
        self._check_uses()
        self._set("y_fraction", self._automatic_y_fraction)
        if self.implementation != "integer":
            self._set("precision", self._automatic_precision)
            if self.implementation == "table" and self.function == "exp" and \
                    self.precision > TABLE_PRECISION:
                raise ConfigError(f"precision must be at most {TABLE_PRECISION} for a table of "
                                  f"exp, not {self.precision}")
        self._set("x_fraction", self._automatic_x_fraction)
        if not isinstance(self.x, FloatFormat) and self.x_fraction > self.x.bits:
            raise ConfigError(f"x_fraction must be at most the {self.x.bits} bits of x_format, "
                              f"not {self.x_fraction}")
        if self.implementation == "integer":
            if self.function == "gelu":
                self._set("erf_shift", self._automatic_erf_shift)
        elif self.function != "exp":
            self._choose_segments()
        return self

    def _check_uses(self) -> None:
        integer = self.implementation == "integer"
        if integer:
            if self.function not in ("gelu", "exp"):
                raise ConfigError("implementation integer is for function gelu or exp, not "
                                  f"{self.function!r}")
            x = parse_format(self.x_format)
            if not isinstance(x, IntegerFormat) or not x.signed or x.bits > INTEGER_BITS:
                raise ConfigError(f"x_format must be int2…int{INTEGER_BITS} for implementation "
                                  f"integer, not {self.x_format!r}")
            if isinstance(parse_format(self.y_format), FloatFormat):
                raise ConfigError("y_format must be an integer for implementation integer, not "
                                  f"{self.y_format!r}")
            if self.precision is not None:
                raise ConfigError("precision is not for implementation integer")
        if self.erf_shift is not None and not (integer and self.function == "gelu"):
            raise ConfigError("erf_shift is for implementation integer of function gelu only")
        for name in ("segment_fraction", "segments"):
            if getattr(self, name) is not None and (integer or self.function == "exp"):
                raise ConfigError(f"{name} is not for function exp or implementation integer")
        if self.fit == "endpoints" and (self.implementation != "piecewise"
                                        or self.function == "exp"):
            raise ConfigError("fit endpoints is for implementation piecewise only, and not for "
                              "function exp")
        if self.y_fraction is not None and isinstance(parse_format(self.y_format), FloatFormat):
            raise ConfigError(f"y_fraction is not for y_format {self.y_format}")

    def _set(self, name: str, automatic) -> None:
        if getattr(self, name) is None:
            object.__setattr__(self, name, automatic())              # frozen to everyone else

    def _automatic_y_fraction(self) -> int | None:
        y, x = parse_format(self.y_format), parse_format(self.x_format)
        if isinstance(y, FloatFormat):
            return None
        if self.function == "exp":
            return y.bits // 2
        if not self.curve.rectified:
            return y.bits - 1 - y.signed
        if isinstance(x, FloatFormat):
            return y.bits // 2
        fraction = x.bits // 2 if self.x_fraction is None else self.x_fraction
        return min(max(fraction + y.bits - x.bits, 0), 24)

    def _automatic_precision(self) -> int:
        y = parse_format(self.y_format)
        if self.function == "exp":
            bits = y.fraction_bits + 6 if isinstance(y, FloatFormat) else y.bits + 2
            return min(bits, TABLE_PRECISION if self.implementation == "table" else 24)
        if isinstance(y, FloatFormat):
            return min(2 * y.fraction_bits + 6, 24)
        return min(max(self.y_fraction + 3, 4), 24)

    def _automatic_x_fraction(self) -> int:
        x = parse_format(self.x_format)
        return min(self.precision, 24) if isinstance(x, FloatFormat) else min(x.bits // 2, 24)

    def _automatic_erf_shift(self) -> int:
        exact = IntegerGeluParameters(self.fixed.bits, 2.0**-self.x_fraction, 0)
        return min(max(exact.constant.bit_length() - ERF_BITS, 0), ERF_SHIFT)

    def _choose_segments(self) -> None:
        unit, reach = 2.0**-self.x_fraction, self.magnitude_inputs
        if self.segments is None and self.segment_fraction is None:
            # As many inputs as count, and the widest segments that are good enough.
            inputs = min(self.curve.reach(unit, 2.0**-self.precision / 2), reach)
            most, bits = MOST_SEGMENTS[self.implementation], self.x_fraction
            while bits and (self._interpolation_error(bits - 1) <= 2.0**-self.precision / 2
                            or inputs > most << self.x_fraction - bits):
                bits -= 1
            bits = min(bits, 16)
            object.__setattr__(self, "segment_fraction", bits)
        self._set("segment_fraction", lambda: min(5, self.x_fraction))
        if self.segment_fraction > self.x_fraction:
            raise ConfigError(f"segment_fraction must be at most x_fraction = {self.x_fraction}, "
                              f"not {self.segment_fraction}")
        width = self.x_fraction - self.segment_fraction
        most = -(-reach >> width)
        if self.segments is None:
            inputs = min(self.curve.reach(unit, 2.0**-self.precision / 2), reach)
            object.__setattr__(self, "segments", min(-(-inputs >> width), most))
        if self.segments > min(most, MAX_SEGMENTS):
            raise ConfigError(f"segments must be at most {min(most, MAX_SEGMENTS)}, all that "
                              f"|x| can reach, not {self.segments}" if most <= MAX_SEGMENTS else
                              f"segments must be at most {MAX_SEGMENTS}, not {self.segments}; "
                              "choose a smaller segment_fraction")

    # What the streams carry

    @cached_property
    def x(self) -> Format:
        """Format of an element of x."""
        found = parse_format(self.x_format)
        return found if isinstance(found, FloatFormat) else self.fixed

    @cached_property
    def y(self) -> Format:
        """Format of an element of y."""
        found = parse_format(self.y_format)
        if isinstance(found, FloatFormat):
            return found
        return IntegerFormat(found.bits, found.signed, -self.y_fraction)

    # Numbers inside

    @property
    def curve(self) -> Curve:
        """The function as its limit and a difference; not for exp."""
        return CURVES[self.function]

    @cached_property
    def fixed(self) -> IntegerFormat:
        """x in fixed point.

        A float is brought to a range beyond which y is at its limit, or saturated, or, where x and
        y are floats, x itself.
        """
        found = parse_format(self.x_format)
        if isinstance(found, IntegerFormat):
            return IntegerFormat(found.bits, found.signed, -self.x_fraction)
        y = parse_format(self.y_format)
        if self.function == "exp":
            # e^x of a float is in its range for x of up to 89 or 12 in magnitude.
            whole = 7 if y == BF16 else 5
        elif self.curve.rectified and isinstance(y, IntegerFormat):
            whole = max(5, y.bits - y.signed - self.y_fraction + 1)
        else:
            whole = 5
        return IntegerFormat(1 + whole + self.x_fraction, True, -self.x_fraction)

    @property
    def magnitude(self) -> IntegerFormat:
        """u = |x|."""
        return IntegerFormat(self.fixed.bits, False, self.fixed.lsb_exponent)

    @property
    def magnitude_inputs(self) -> int:
        """Magnitudes there are, but for that of the lowest x, which counts as the one below."""
        return 1 << self.fixed.bits - self.fixed.signed

    @cached_property
    def curve_segments(self) -> Segments:
        """The difference to the limit."""
        k = self.x_fraction - self.segment_fraction
        stop = min(self.segments << k, self.magnitude_inputs)
        target = IntegerFormat(self.precision + 1, False, -self.precision)
        guard = 0 if self.fit == "endpoints" else GUARD[self.implementation]
        return Segments(self.magnitude, target, 0, stop, k, DEGREES[self.implementation], guard,
                        self.fit)

    @property
    def has_beyond(self) -> bool:
        """Whether there is x beyond the segments, of which the difference is 0."""
        return self.curve_segments.stop < self.magnitude_inputs

    @cached_property
    def exact(self) -> IntegerFormat:
        """y before it is rounded; not for exp."""
        if self.implementation == "integer":
            return self.rescaled
        lsb, high = -self.precision, 1
        if self.curve.rectified:
            lsb, high = min(lsb, self.fixed.lsb_exponent), max(math.ceil(self.fixed.high), 1)
        return IntegerFormat(IntegerFormat.holding(-1 << -lsb, high << -lsb).bits, True, lsb)

    @cached_property
    def exponential(self) -> ExponentialParameters:
        """exp as a mantissa and an exponent."""
        return ExponentialParameters(self.fixed, self.precision, "e", DEGREES[self.implementation])

    @property
    def passes_x(self) -> bool:
        """Whether x itself, or its half, is y where x is small or large."""
        return (self.function in ("gelu", "silu", "tanh") and isinstance(self.x, FloatFormat)
                and isinstance(self.y, FloatFormat))

    @property
    def y_overflows(self) -> bool:
        """Whether y may be beyond the range of its format: floats hold what lies between the limits
        of a function, and x itself where their range is that of x."""
        if isinstance(self.y, IntegerFormat) or self.function == "exp":
            return True
        return self.curve.rectified and self.x.high > self.y.high

    @cached_property
    def small_exponent(self) -> int:
        """|x| below 2 to this power gives x (tanh) or x/2 (gelu, silu), with ``passes_x``."""
        return -math.ceil(-math.log2(self.curve_error) / 2)

    # The integer polynomials

    @cached_property
    def integer_gelu(self) -> IntegerGeluParameters:
        return IntegerGeluParameters(self.fixed.bits, 2.0**-self.x_fraction, self.erf_shift)

    @cached_property
    def integer_exponential(self) -> IntegerExponentialParameters:
        return IntegerExponentialParameters(self.fixed.bits, 2.0**-self.x_fraction)

    @property
    def polynomial(self) -> IntegerFormat:
        """What the integer polynomial gives."""
        return (self.integer_gelu.product if self.function == "gelu"
                else self.integer_exponential.polynomial)

    @property
    def rescale_drop(self) -> int:
        """Low bits of the polynomial that are dropped before it is multiplied."""
        return max(self.polynomial.bits - RESCALE_BITS, 0)

    @cached_property
    def rescale(self) -> tuple[int, int]:
        """Factor of RESCALE_BITS bits, and its exponent: factor · 2^exponent is what a polynomial
        without its low bits is worth, to nearest."""
        unit = (self.integer_gelu if self.function == "gelu" else self.integer_exponential).unit
        mantissa, exponent = math.frexp(unit * 2**self.rescale_drop)
        return min(round(math.ldexp(mantissa, RESCALE_BITS)), (1 << RESCALE_BITS) - 1), \
            exponent - RESCALE_BITS

    @cached_property
    def rescaled(self) -> IntegerFormat:
        """The polynomial times the factor; for exp, shifted right, with a bit for what is lost."""
        kept = self.polynomial.bits - self.rescale_drop
        bits, lsb = kept + RESCALE_BITS, self.rescale[1]
        if self.function == "gelu":
            return IntegerFormat(bits, True, lsb)
        # Two bits below the last one of y: to round once.
        more = max(lsb - self.y.lsb_exponent + 2, 0)
        return IntegerFormat(bits + more + 1, False, lsb - more - 1)

    # Errors

    def _interpolation_error(self, segment_fraction: int) -> float:
        """Of a constant, line or parabola in a segment of 2^−segment_fraction."""
        first, second, third = self.curve.slopes
        width = 2.0**-segment_fraction
        match self.implementation, self.fit:
            case "table", _:
                return (width - 2.0**-self.x_fraction) / 2 * first
            case _, "endpoints":
                return width**2 / 8 * second
            case "piecewise", _:
                return width**2 / 16 * second
            case _:
                return width**3 / 192 * third

    @cached_property
    def curve_error(self) -> float:
        """Bound of the error of the difference to the limit: interpolation, coefficients, Horner's
        rule, and what is beyond the segments."""
        segments = self.curve_segments
        unit = 2.0**segments.coefficient_lsb
        rounded = 0.5 if self.fit == "endpoints" else 0.5 * (segments.degree + 1)
        inside = (self._interpolation_error(self.segment_fraction)
                  + (rounded + segments.degree) * unit
                  + (2.0**segments.target.lsb_exponent / 2 if segments.guard else 0))
        difference, step = self.curve.difference, 2.0**-self.x_fraction
        end = difference(segments.stop * step)
        if self.has_beyond:
            return max(inside, end)
        return inside + (abs(difference((segments.stop - 1) * step) - end) if self.fixed.signed
                         else 0)

    @property
    def max_error(self) -> tuple[float, float] | None:
        """Bounds (absolute, relative): y is within absolute + relative · |f(x)| of f(x) unless it
        is saturated. None for integer GELU, which has no proven bound."""
        absolute = relative = 0.0
        if isinstance(self.y, FloatFormat):
            relative = 2.0**-(self.y.fraction_bits + 1)
            absolute = 2.0**self.y.lsb_exponent / 2
        rounds = isinstance(self.x, FloatFormat)
        x_error = 2.0**-self.x_fraction / 2 if rounds else 0.0
        if self.implementation == "integer":
            if self.function == "gelu":
                return None
            absolute += self.integer_exponential.max_error
            # The factor, and the bits dropped before it: parts of a value of at most 1.
            absolute += 2.0**-RESCALE_BITS + 2.0**(self.rescale[1] + RESCALE_BITS)
        elif self.function == "exp":
            bound = (1 + self.exponential.max_relative_error) * math.exp(x_error) - 1
            relative = (1 + relative) * (1 + bound) - 1
        else:
            slope = self.curve.slopes[0] + self.curve.rectified
            absolute += (self.curve_error + slope * x_error) * (1 + relative)
        if isinstance(self.y, IntegerFormat):
            absolute += 2.0**self.y.lsb_exponent / 2
        return absolute, relative

    # The core from outside

    @property
    def streams(self) -> tuple[Stream, ...]:
        row = "A frame of any number of beats: beat b = {0}[b·lanes : (b+1)·lanes]."
        return (Stream("x", "in", self.lanes, self.x, row.format("x")),
                Stream("y", "out", self.lanes, self.y, row.format("y")))

    @property
    def flags(self) -> tuple[tuple[str, str], ...]:
        flags = []
        if self.y_overflows:
            flags.append(("y_saturated", "y was beyond the range of its format: it is the end of "
                                         "an integer format, Inf of a float."))
        if isinstance(self.x, FloatFormat):
            what = "NaN" if isinstance(self.y, FloatFormat) else "what x = 0 gives"
            flags += [("nan", f"x held NaN; y is {what}."),
                      ("infinite", "x held an infinity; y is the limit of the function.")]
        if self.implementation == "integer" and self.function == "exp":
            flags.append(("x_positive", "x was more than 0; it counted as 0."))
        return tuple(flags)
