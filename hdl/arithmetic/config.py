"""Functions in fixed point: formats, segments and precision, without saying how to compute."""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from systolith.hdl.formats import IntegerFormat, product_format

Fit = Literal["chebyshev", "endpoints"]
Bound = Literal["nearest", "below"]

MAX_DEGREE = 2
#: Inputs that can be tried one by one.
MAX_BOUNDED = 1 << 16


@dataclass(frozen=True)
class Segments:
    """A function of one number, cut into equal segments with a polynomial each.

    An input x, an integer in units of ``source``, is first limited to ``start`` … ``stop`` − 1.
    With k = ``segment_bits``, segment (x − start) >> k holds it, at f = (x − start) mod 2^k; let
    u = f / 2^k. Coefficients are integers in units of 2^(target.lsb_exponent − guard):

    - ``chebyshev``: the polynomial in u through the function at the d + 1 Chebyshev nodes of the
      segment, u = (1 − cos((2j + 1)π / (2d + 2))) / 2, each coefficient rounded to nearest, halves
      to even; for d = 0 the function in the middle of the segment's inputs, u = (1 − 2^−k) / 2;
    - ``endpoints`` (d = 1): c₀ is the function at u = 0, rounded so, and c₁ what leads from it to
      the next segment's c₀, rounded alike: the line is continuous.

    The result is Horner's rule, t ← c_d; t ← c_j + ⌊t·f / 2^k⌋, then ⌊(t + 2^(guard−1)) / 2^guard⌋
    (t itself without guard bits), limited to the range of ``target``. With ``bound`` ``below``, c₀
    of every segment is lowered by the least integer that keeps all results, before that limit, no
    larger than the function.

    Attributes
    ----------
    source, target : IntegerFormat
        Formats of input and result.
    start, stop : int
        Inputs for which the function is meant, in units of ``source``.
    segment_bits : int
        k, at least 0.
    degree : int
        d, 0 (a table), 1 or 2.
    guard : int
        Bits that coefficients have beyond the result.
    fit : "chebyshev" or "endpoints"
    bound : "nearest" or "below"
    """

    source: IntegerFormat
    target: IntegerFormat
    start: int
    stop: int
    segment_bits: int
    degree: int = 1
    guard: int = 3
    fit: Fit = "chebyshev"
    bound: Bound = "nearest"

    def __post_init__(self):
        low, high = self.source.code_low, self.source.code_high
        if not low <= self.start < self.stop <= high + 1:
            raise ValueError(f"start and stop must be {low} to {high + 1} and in this order, "
                             f"not {self.start} and {self.stop}")
        if not 0 <= self.degree <= MAX_DEGREE:
            raise ValueError(f"degree must be 0 to {MAX_DEGREE}, not {self.degree}")
        if self.segment_bits < 0 or self.guard < 0:
            raise ValueError("segment_bits and guard must be at least 0, not "
                             f"{self.segment_bits} and {self.guard}")
        if self.bound == "below" and self.inputs > MAX_BOUNDED:
            raise ValueError(f"a bound from below is proven for at most {MAX_BOUNDED} inputs, "
                             f"not {self.inputs}")
        if self.fit == "endpoints" and self.degree != 1:
            raise ValueError(f"a fit through endpoints has degree 1, not {self.degree}")

    @property
    def inputs(self) -> int:
        """How many inputs there are."""
        return self.stop - self.start

    @property
    def count(self) -> int:
        """How many segments there are."""
        return -(-self.inputs >> self.segment_bits)

    @property
    def coefficient_lsb(self) -> int:
        """Coefficients are integers in units of 2 to this power."""
        return self.target.lsb_exponent - self.guard


@dataclass(frozen=True)
class ExponentialParameters:
    """2^x or e^x as mantissa · 2^exponent, the mantissa from 1 to 2.

    z, which is x·log2(base) in units of 2^−F with F = ``fraction_bits``, is

    - for base e: ⌊(x·C + 2^(shift−1)) / 2^shift⌋ with C = log2(e)·2^c to nearest, c =
      ``multiplier_bits``;
    - for base 2: x, or where x has more than F fraction bits, ⌊x·2^(F + lsb_exponent)⌋.

    The exponent is ⌊z⌋; the mantissa is :attr:`segments` of 2^u, u the fraction of z.

    The relative error is at most :attr:`max_relative_error`, from e^x as given; with base 2 and no
    more than F fraction bits, at most 2^−precision.

    Attributes
    ----------
    source : IntegerFormat
        Of x.
    precision : int
        Fraction bits of the mantissa, 2 to 24.
    base : "2" or "e"
    degree : int, optional
        Of the segments of 2^u: 0, 1 or 2; by default a table for up to 6 bits of u, lines for a
        precision of up to 10, parabolas beyond.
    """

    source: IntegerFormat
    precision: int
    base: Literal["2", "e"] = "e"
    degree: int | None = None

    def __post_init__(self):
        _check_precision(self.precision)
        if self.degree not in (None, *range(MAX_DEGREE + 1)):
            raise ValueError(f"degree must be 0 to {MAX_DEGREE}, not {self.degree}")
        if self.degree == 0 and self.precision > TABLE_PRECISION:
            raise ValueError(f"a table has a precision of at most {TABLE_PRECISION}, "
                             f"not {self.precision}")
        if self.base == "2" and self.source.lsb_exponent >= 0:
            raise ValueError("2 to the power of an integer needs no function: source must have "
                             f"fraction bits, not lsb_exponent {self.source.lsb_exponent}")

    @property
    def fraction_bits(self) -> int:
        """F, fraction bits of z."""
        bits = self.precision + (1 if self.degree == 0 else 3)
        return bits if self.base == "e" else min(bits, -self.source.lsb_exponent)

    @property
    def multiplier_bits(self) -> int:
        """c, fraction bits of log2(e): its error is no more than that of rounding z."""
        magnitude = self.source.bits - self.source.signed
        return max(magnitude + self.source.lsb_exponent, self.source.lsb_exponent + 1,
                   2 - self.fraction_bits) + self.fraction_bits

    @property
    def shift(self) -> int:
        """Bits that rounding the product x·C drops, at least 1."""
        return max(self.multiplier_bits - self.source.lsb_exponent - self.fraction_bits, 1)

    @property
    def mantissa(self) -> IntegerFormat:
        """Format of the mantissa: 1 bit above the binary point."""
        return IntegerFormat(1 + self.precision, False, -self.precision)

    @property
    def exponent(self) -> IntegerFormat:
        """Format of the exponent: holds it for every x."""
        ends = (self.z_range[0] >> self.fraction_bits, self.z_range[1] >> self.fraction_bits)
        return IntegerFormat.holding(*ends)

    @property
    def z_range(self) -> tuple[int, int]:
        """Bounds of z, in units of 2^−F; log2(e) is less than 1.5."""
        low, high = self.source.code_low, self.source.code_high
        if self.base == "2":
            drop = -self.source.lsb_exponent - self.fraction_bits
            return low >> drop, high >> drop
        scale = 3 << max(self.multiplier_bits - 1, 0)
        return low * scale >> self.shift, (high * scale >> self.shift) + 1

    @cached_property
    def segments(self) -> Segments:
        """2^u for u from 0 to 1."""
        bits, p, degree = self.fraction_bits, self.precision, self.degree
        if degree is None:
            degree = 0 if bits <= TABLE_BITS else 1 if p <= LINEAR_BITS else 2
        per_unit = (bits, max(p - 1, 0) // 2, max(p - 4, 0) // 3)[degree]
        return Segments(IntegerFormat(bits, False, -bits), self.mantissa, 0, 1 << bits,
                        bits - min(per_unit, bits), degree, 0 if degree == 0 else 4)

    @property
    def max_relative_error(self) -> float:
        """Bound of the relative error: mantissa, rounded or cut z, rounded log2(e)."""
        cut = self.base == "e" or -self.source.lsb_exponent > self.fraction_bits
        return 2.0**-self.precision + (0.7 * 2.0**-self.fraction_bits if cut else 0)


@dataclass(frozen=True)
class NormalizedParameters:
    """A function of a positive integer that is first normalized: of the bits below its leading one.

    Attributes
    ----------
    width : int
        Bits of the integer, at least 2.
    precision : int
        Of the result, 2 to 24; the fraction bits of a logarithm.
    """

    width: int
    precision: int

    def __post_init__(self):
        _check_precision(self.precision)
        if self.width < 2:
            raise ValueError(f"width must be at least 2, not {self.width}")

    @property
    def fraction_bits(self) -> int:
        """F, bits of x below its leading one that take part."""
        return min(self.width - 1, self.precision + 3)


@dataclass(frozen=True)
class InverseParameters(NormalizedParameters):
    """1/x or 1/√x of a positive integer x as mantissa · 2^−exponent.

    x is m · 2^e with 1 ≤ m < 2 for the reciprocal and m · 4^e with 1 ≤ m < 4 for the root; m is cut
    after F = ``fraction_bits`` bits below its leading one. The mantissa, from a half to 1, is
    :attr:`segments` of 1/(m + o) or 1/√(m + o): the offset o stands for the bits that were cut. It
    is half a unit of the last bit kept with ``bound`` ``nearest``, a whole one with ``below``, and
    0 where nothing was cut.

    The relative error is at most 2^−precision; with ``below`` the result is not above the true one,
    and the relative error at most 2^(1−precision).

    Attributes
    ----------
    root : bool
        1/√x instead of 1/x.
    bound : "nearest" or "below"
    """

    root: bool = False
    bound: Bound = "nearest"

    @property
    def offset(self) -> float:
        """o over the leading one of m."""
        if self.fraction_bits == self.width - 1:
            return 0.0
        return 2.0 ** -(self.fraction_bits + (self.bound == "nearest"))

    @property
    def mantissa(self) -> IntegerFormat:
        """Format of the mantissa, which can be 1."""
        return IntegerFormat(2 + self.precision, False, -1 - self.precision)

    @property
    def exponent_high(self) -> int:
        """The largest exponent."""
        return (self.width - 1) >> self.root

    @cached_property
    def segments(self) -> Segments:
        """The function of v from 0 to 1, m = 1 + v; for the root of v from 0 to 2: from 1 on,
        m = 2v."""
        bits, p = self.fraction_bits, self.precision
        degree, per_unit = (0, bits) if bits <= TABLE_BITS else \
            (1, (p if self.root else p + 1) // 2) if p <= LINEAR_BITS else \
            (2, max((p - 1) if self.root else p, 0) // 3)
        source = IntegerFormat(bits + self.root, False, -bits)
        return Segments(source, self.mantissa, 0, 1 << source.bits, bits - min(per_unit, bits),
                        degree, 0 if degree == 0 else 4, bound=self.bound)


@dataclass(frozen=True)
class LogarithmParameters(NormalizedParameters):
    """log2(x) of a positive integer x as whole + fraction.

    x is m · 2^whole with 1 ≤ m < 2; m is cut after F = ``fraction_bits`` bits below its leading
    one. The fraction, from 0 to 1, is :attr:`segments` of log2(m + o): the offset o, half a unit of
    the last bit kept, stands for the bits that were cut; it is 0 where nothing was cut.

    The error is at most 2^−precision.
    """

    @property
    def offset(self) -> float:
        """o over the leading one of m."""
        return 0.0 if self.fraction_bits == self.width - 1 else 2.0 ** -(self.fraction_bits + 1)

    @property
    def fraction(self) -> IntegerFormat:
        """Format of the fraction, which can be 1."""
        return IntegerFormat(1 + self.precision, False, -self.precision)

    @cached_property
    def segments(self) -> Segments:
        """The function of v from 0 to 1, m = 1 + v."""
        bits, p = self.fraction_bits, self.precision
        degree, per_unit = (0, bits) if bits <= TABLE_BITS else \
            (1, (p + 1) // 2) if p <= LINEAR_BITS else (2, p // 3)
        source = IntegerFormat(bits, False, -bits)
        return Segments(source, self.fraction, 0, 1 << bits, bits - min(per_unit, bits), degree,
                        0 if degree == 0 else 4)


@dataclass(frozen=True)
class IntegerExponentialParameters:
    """e^−(n·S) of integers n ≥ 0 with a scale S, by I-BERT's second-order polynomial (i-exp).

    With L = ⌈.6931 / S⌉, n is first limited to 30·L; z = ⌊n / L⌋ and r = n mod L. Then
    polynomial = ⌊1 / (a·S²)⌋ − r·(⌊b / (a·S)⌋ − r), a = .35815147, b = .96963238, and

        e^−(n·S) ≈ polynomial · a·S² · 2^−z.

    The error is at most :attr:`max_error`. In the paper's letters, n is −q and polynomial q_L.

    Attributes
    ----------
    bits : int
        Of n.
    scale : float
        S, more than 0 and at most 1.

    References
    ----------
    S. Kim et al., I-BERT: Integer-only BERT quantization, ICML 2021, algorithm 3; the constants are
    those of the published code.
    """

    bits: int
    scale: float

    LN2, SQUARE, LINEAR, EXPONENT_HIGH = 0.6931, 0.35815147, 0.96963238, 30

    def __post_init__(self):
        if self.bits < 1:
            raise ValueError(f"bits must be at least 1, not {self.bits}")
        _check_scale(self.scale)

    @property
    def period(self) -> int:
        """L, the integer that ln 2 is taken for."""
        return math.ceil(self.LN2 / self.scale)

    @property
    def linear(self) -> int:
        """⌊b / (a·S)⌋."""
        return math.floor(self.LINEAR / self.SQUARE / self.scale)

    @property
    def constant(self) -> int:
        """⌊1 / (a·S²)⌋, the polynomial of n = 0 and its largest value."""
        return math.floor(1 / self.SQUARE / self.scale**2)

    @property
    def n_high(self) -> int:
        """What n is limited to."""
        return min(self.EXPONENT_HIGH * self.period, (1 << self.bits) - 1)

    @property
    def exponent_high(self) -> int:
        """The largest z."""
        return self.n_high // self.period

    @property
    def polynomial(self) -> IntegerFormat:
        """Format of the polynomial."""
        return IntegerFormat.holding(0, self.constant)

    @property
    def unit(self) -> float:
        """a·S², what 1 of the polynomial is worth."""
        return self.SQUARE * self.scale**2

    @property
    def max_error(self) -> float:
        """Bound of the difference from e^−(n·S).

        The polynomial of real numbers is off by 1.913·10⁻³; ⌊b / (a·S)⌋ by less than one, which
        r·S ≤ ln 2 multiplies, as is ⌊1 / (a·S²)⌋; and L·S is up to S + 5·10⁻⁵ more than ln 2, z
        times, where 2^−z is left: z·2^−z ≤ 1/2.
        """
        return (1.914e-3 + self.SQUARE * (math.log(2) * self.scale + self.scale**2)
                + (self.scale + 5e-5) / 2)


@dataclass(frozen=True)
class IntegerGeluParameters:
    """GELU of integers q with a scale S, by I-BERT's second-order polynomial of erf (i-GELU).

    With u = S / 1.4142, a = .2888, b = 1.769, L = ⌈b / u⌉ and C = ⌈1 / (a·u²)⌉,

        erf = sgn(q) · (C − (L − min(|q|, L))²), factor = ⌈1 / (a·u²·2^shift)⌉ − ⌊−erf / 2^shift⌋,

    and GELU(q·S) ≈ q · factor · :attr:`unit`.

    Attributes
    ----------
    bits : int
        Of q, signed.
    scale : float
        S, more than 0 and at most 1.
    shift : int
        Bits of erf that are dropped; 14 in the published code, whose S are small, and 0 in ITA.

    References
    ----------
    S. Kim et al., I-BERT: Integer-only BERT quantization, ICML 2021, algorithm 2; the constants are
    those of the published code, where a and erf have the other sign.
    """

    bits: int
    scale: float
    shift: int = 14

    ROOT2, SQUARE, OFFSET = 1.4142, 0.2888, 1.769

    def __post_init__(self):
        if self.bits < 2:
            raise ValueError(f"bits must be at least 2, not {self.bits}")
        if self.shift < 0:
            raise ValueError(f"shift must be at least 0, not {self.shift}")
        _check_scale(self.scale)

    @property
    def limit(self) -> int:
        """L, from which on erf is 1."""
        return math.ceil(self.OFFSET / (self.scale / self.ROOT2))

    @property
    def constant(self) -> int:
        """C, the integer of erf = 1."""
        return math.ceil(1 / self.SQUARE / (self.scale / self.ROOT2)**2)

    @property
    def one(self) -> int:
        """The integer of 1 without the bits that are dropped."""
        return math.ceil(1 / (self.SQUARE * (self.scale / self.ROOT2)**2 * 2**self.shift))

    @property
    def factor(self) -> IntegerFormat:
        """Format of 1 + erf."""
        ends = [sign * erf for sign in (1, -1)
                for erf in (self.constant, self.constant - self.limit**2)]
        parts = [self.one - (-erf >> self.shift) for erf in (*ends, 0)]
        return IntegerFormat.holding(min(parts), max(parts))

    @property
    def product(self) -> IntegerFormat:
        """Format of q · factor."""
        q = IntegerFormat(self.bits, True)
        return product_format(q, self.factor)

    @property
    def unit(self) -> float:
        """What 1 of the product is worth."""
        return self.scale * self.SQUARE * (self.scale / self.ROOT2)**2 * 2**self.shift / 2


#: Functions of so few input bits are tables.
TABLE_BITS = 6
#: What a table can be asked for.
TABLE_PRECISION = 12
#: Up to so many bits of precision, segments are lines; beyond, parabolas.
LINEAR_BITS = 10


def _check_scale(scale: float) -> None:
    if not 0 < scale <= 1:
        raise ValueError(f"scale must be more than 0 and at most 1, not {scale:g}")


def _check_precision(precision: int) -> None:
    if not 2 <= precision <= 24:
        raise ValueError(f"precision must be 2 to 24, not {precision}")
