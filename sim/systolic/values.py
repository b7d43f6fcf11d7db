"""Values of operands that try a core: the ends of every format, its special codes, all of it."""

from collections.abc import Callable
from functools import lru_cache, wraps

import numpy as np

from systolith.hdl.formats import (
    SCALE_NAN,
    BitmodFormat,
    BlockFormat,
    FloatFormat,
    Format,
    IntegerFormat,
    PairFormat,
)
from systolith.sim.formats import Codes, decode, decode_pairs, invalid, quantize
from systolith.sim.systolic.operands import Operand

#: Values for an operand: int64 of an integer format, codes of another.
Values = Callable[[Format, tuple[int, int]], Operand]

#: Scales of a format, and selected special values: "scale", perhaps "select".
Scales = Callable[[BlockFormat | BitmodFormat, tuple[int, int]], dict[str, np.ndarray]]


def of_elements(chosen: Values) -> Values:
    """The same for formats with scales: codes of their elements; of bitmod, those of the float
    with the same codes, whose −0 is the special value."""
    @wraps(chosen)
    def operand(format: Format, shape: tuple[int, int]) -> Operand:
        match format:
            case BlockFormat(IntegerFormat(bits)):
                number = IntegerFormat(bits, True)
            case BlockFormat(element):
                number = element
            case BitmodFormat(bits):
                number = FloatFormat(2, bits - 3, "finite")
            case _:
                return chosen(format, shape)
        found = chosen(number, shape)
        codes = found.array if isinstance(found, Codes) else found & (1 << number.bits) - 1
        return Codes(codes, format)
    return operand


@lru_cache(maxsize=32)
def _numbers(format: Format) -> tuple[np.ndarray, np.ndarray]:
    """Codes of all finite numbers and their values, ascending; normal elements of pairs."""
    codes = np.arange(1 << format.bits)
    if isinstance(format, PairFormat):
        codes = codes[codes != format.identifier]
        values = decode(format.normal, codes)
    else:
        codes = codes[~invalid(format, codes)]
        values = decode(format, codes)
    order = np.argsort(values, kind="stable")
    return codes[order], values[order]


def _outlier_codes(format: PairFormat) -> np.ndarray:
    """Codes of the positive outliers, ascending."""
    codes = np.arange(1, format.identifier)
    return codes[decode_pairs(format, np.stack([codes, np.full_like(codes, format.identifier)],
                                               axis=1))[:, 0] != 0]


def _nearest(number: float) -> Values:
    def values(format: Format, shape: tuple[int, int]) -> Operand:
        if isinstance(format, IntegerFormat):
            return np.full(shape, int(np.clip(number, format.low, format.high)))
        if not isinstance(format, PairFormat):
            return Codes(np.full(shape, quantize(format, number)), format)
        if abs(number) <= 1:
            return Codes(np.full(shape, int(number)), format)
        top = _outlier_codes(format)[-1]                    # every second element is a victim
        codes = np.full(shape, top if number > 0 else top + format.identifier)
        codes[:, 1::2] = format.identifier
        return Codes(codes, format)
    return values


lows: Values = of_elements(_nearest(-np.inf))
highs: Values = of_elements(_nearest(np.inf))
ones: Values = of_elements(_nearest(1))
zeros: Values = of_elements(_nearest(0))


@of_elements
def ramp(format: Format, shape: tuple[int, int]) -> Operand:
    """Different values next to each other, so that a swapped lane or beat shows."""
    index = np.arange(shape[0] * shape[1]).reshape(shape)
    if isinstance(format, IntegerFormat):
        return index % (format.high - format.low + 1) + format.low
    codes, _ = _numbers(format)
    return Codes(codes[index % len(codes)], format)


def uniform(rng: np.random.Generator) -> Values:
    """Any number, one code as likely as another; legal pairs."""
    @of_elements
    def values(format: Format, shape: tuple[int, int]) -> Operand:
        if isinstance(format, IntegerFormat):
            return rng.integers(format.low, format.high, shape, endpoint=True)
        codes = rng.choice(_numbers(format)[0], shape)
        if isinstance(format, PairFormat):
            _with_outliers(format, codes, rng)
        return Codes(codes, format)
    return values


def extremes(rng: np.random.Generator) -> Values:
    """The ends of the range, mixed."""
    @of_elements
    def values(format: Format, shape: tuple[int, int]) -> Operand:
        if isinstance(format, IntegerFormat):
            return rng.choice([format.low, format.high], shape)
        codes, _ = _numbers(format)
        return Codes(rng.choice(codes[[0, -1]], shape), format)
    return values


def sparse(rng: np.random.Generator) -> Values:
    """Mostly zeros."""
    @of_elements
    def values(format: Format, shape: tuple[int, int]) -> Operand:
        dense, kept = uniform(rng)(format, shape), rng.random(shape) < 0.2
        if isinstance(format, IntegerFormat):
            return dense * kept
        if isinstance(format, PairFormat):                  # pairs stay together
            kept = np.repeat(kept[:, ::2], 2, axis=1)[:, :shape[1]]
        return Codes(np.where(kept, dense.array, code_of_zero(format)), format)
    return values


def small(rng: np.random.Generator) -> Values:
    """The values nearest to zero."""
    @of_elements
    def values(format: Format, shape: tuple[int, int]) -> Operand:
        if isinstance(format, IntegerFormat):
            return rng.integers(max(format.low, -2), min(format.high, 2), shape, endpoint=True)
        codes, numbers = _numbers(format)
        return Codes(rng.choice(codes[np.argsort(abs(numbers), kind="stable")[:8]], shape), format)
    return values


def normal(rng: np.random.Generator) -> Values:
    """Normally distributed around 0, as weights are."""
    @of_elements
    def values(format: Format, shape: tuple[int, int]) -> Operand:
        if not isinstance(format, FloatFormat):
            return uniform(rng)(format, shape)
        return Codes(quantize(format, rng.normal(0, min(1.0, format.high / 2), shape)), format)
    return values


def any_code(rng: np.random.Generator) -> Values:
    """Any code at all: NaN, infinities and illegal ones among them."""
    @of_elements
    def values(format: Format, shape: tuple[int, int]) -> Operand:
        if isinstance(format, IntegerFormat):
            return uniform(rng)(format, shape)
        return Codes(rng.integers(0, 1 << format.bits, shape), format)
    return values


def one_special(rng: np.random.Generator) -> Values:
    """A single code that is no number, or an illegal pair, among numbers near 1."""
    @of_elements
    def values(format: Format, shape: tuple[int, int]) -> Operand:
        operand = normal(rng)(format, shape)
        if isinstance(format, IntegerFormat):
            return operand
        array, row = operand.array.copy(), rng.integers(shape[0])
        if isinstance(format, PairFormat):
            victim = format.identifier
            array[row, :2] = rng.choice([[victim, victim], [victim, 0], [0, victim]])[:shape[1]]
            return Codes(array, format)
        special = _no_numbers(format)
        if len(special):
            array[row, rng.integers(shape[1])] = rng.choice(special)
        return Codes(array, format)
    return values


def _no_numbers(format: Format) -> np.ndarray:
    codes = np.arange(1 << format.bits)
    return codes[invalid(format, codes)]


def special_first(rng: np.random.Generator, column: int) -> Values:
    """A code that is no number in the first row of a column, among numbers near 1."""
    @of_elements
    def values(format: Format, shape: tuple[int, int]) -> Operand:
        operand = normal(rng)(format, shape)
        array = operand.array.copy()
        array[0, column] = _no_numbers(format)[0]
        return Codes(array, format)
    return values


def middle_scales(format: BlockFormat | BitmodFormat,
                  shape: tuple[int, int]) -> dict[str, np.ndarray]:
    """Scales near 1, all different in turn, and all special values."""
    index = np.arange(shape[0] * shape[1]).reshape(shape)
    if isinstance(format, BitmodFormat):
        return {"scale": index % 7 - 3, "select": index % 4}
    return {"scale": 124 + index % 7}


def _drawn(choose: Callable[[np.random.Generator, bool, tuple[int, int]], np.ndarray]
           ) -> Callable[[np.random.Generator], Scales]:
    def of(rng: np.random.Generator) -> Scales:
        def scales(format: BlockFormat | BitmodFormat,
                   shape: tuple[int, int]) -> dict[str, np.ndarray]:
            found = {"scale": choose(rng, isinstance(format, BitmodFormat), shape)}
            if format.select_bits:
                found["select"] = rng.integers(0, 1 << format.select_bits, shape)
            return found
        return scales
    return of


def _one_nan(rng: np.random.Generator, integer: bool, shape: tuple[int, int]) -> np.ndarray:
    scales = rng.integers(-128, 128, shape) if integer else rng.integers(120, 135, shape)
    if not integer:
        scales[rng.integers(shape[0]), rng.integers(shape[1])] = SCALE_NAN
    return scales


#: Scales that try a core: those whose products are about 1, the ends of their range, NaN.
SCALES: dict[str, Callable[[np.random.Generator], Scales]] = {
    "usual": _drawn(lambda rng, integer, shape: rng.integers(-128, 128, shape) if integer
                    else rng.integers(117, 138, shape)),
    "high": _drawn(lambda rng, integer, shape: rng.integers(120, 128, shape) if integer
                   else rng.integers(180, 255, shape)),
    "low": _drawn(lambda rng, integer, shape: rng.integers(-128, -120, shape) if integer
                  else rng.integers(0, 75, shape)),
    "extreme": _drawn(lambda rng, integer, shape: rng.choice([-128, -1, 0, 127], shape) if integer
                      else rng.choice([0, 127, 254], shape)),
    "one NaN among": _drawn(_one_nan),
}


def any_scales(rng: np.random.Generator) -> Scales:
    """Scales of any kind."""
    return list(SCALES.values())[rng.integers(len(SCALES))](rng)


#: What random workloads draw from.
KINDS = (uniform, uniform, extremes, sparse, small, normal, normal)


def code_of_zero(format: Format) -> int:
    """The code of 0, or of the value nearest to it."""
    return 0 if isinstance(format, PairFormat) else int(quantize(format, 0))


def _with_outliers(format: PairFormat, codes: np.ndarray, rng: np.random.Generator) -> None:
    """Make outliers with their victims of some whole pairs along the last axis."""
    legal = _outlier_codes(format)
    for row, first in np.argwhere(rng.random((len(codes), codes.shape[1] // 2)) < 0.3):
        place = 2 * first + rng.integers(2)
        codes[row, place] = rng.choice(legal) + format.identifier * rng.integers(2)
        codes[row, place ^ 1] = format.identifier
