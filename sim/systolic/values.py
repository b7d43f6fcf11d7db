"""Values of operands that try a core: the ends of every format, its special codes, all of it."""

from collections.abc import Callable
from functools import lru_cache

import numpy as np

from systolith.hdl.formats import FloatFormat, Format, IntegerFormat, PairFormat
from systolith.sim.formats import Codes, decode, decode_pairs, invalid, quantize
from systolith.sim.systolic.operands import Operand

#: Values for an operand: int64 of an integer format, codes of another.
Values = Callable[[Format, tuple[int, int]], Operand]


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


lows: Values = _nearest(-np.inf)
highs: Values = _nearest(np.inf)
ones: Values = _nearest(1)
zeros: Values = _nearest(0)


def ramp(format: Format, shape: tuple[int, int]) -> Operand:
    """Different values next to each other, so that a swapped lane or beat shows."""
    index = np.arange(shape[0] * shape[1]).reshape(shape)
    if isinstance(format, IntegerFormat):
        return index % (format.high - format.low + 1) + format.low
    codes, _ = _numbers(format)
    return Codes(codes[index % len(codes)], format)


def uniform(rng: np.random.Generator) -> Values:
    """Any number, one code as likely as another; legal pairs."""
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
    def values(format: Format, shape: tuple[int, int]) -> Operand:
        if isinstance(format, IntegerFormat):
            return rng.choice([format.low, format.high], shape)
        codes, _ = _numbers(format)
        return Codes(rng.choice(codes[[0, -1]], shape), format)
    return values


def sparse(rng: np.random.Generator) -> Values:
    """Mostly zeros."""
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
    def values(format: Format, shape: tuple[int, int]) -> Operand:
        if isinstance(format, IntegerFormat):
            return rng.integers(max(format.low, -2), min(format.high, 2), shape, endpoint=True)
        codes, numbers = _numbers(format)
        return Codes(rng.choice(codes[np.argsort(abs(numbers), kind="stable")[:8]], shape), format)
    return values


def normal(rng: np.random.Generator) -> Values:
    """Normally distributed around 0, as weights are."""
    def values(format: Format, shape: tuple[int, int]) -> Operand:
        if not isinstance(format, FloatFormat):
            return uniform(rng)(format, shape)
        return Codes(quantize(format, rng.normal(0, min(1.0, format.high / 2), shape)), format)
    return values


def any_code(rng: np.random.Generator) -> Values:
    """Any code at all: NaN, infinities and illegal ones among them."""
    def values(format: Format, shape: tuple[int, int]) -> Operand:
        if isinstance(format, IntegerFormat):
            return uniform(rng)(format, shape)
        return Codes(rng.integers(0, 1 << format.bits, shape), format)
    return values


def one_special(rng: np.random.Generator) -> Values:
    """A single code that is no number, or an illegal pair, among numbers near 1."""
    def values(format: Format, shape: tuple[int, int]) -> Operand:
        operand = normal(rng)(format, shape)
        if isinstance(format, IntegerFormat):
            return operand
        array, row = operand.array.copy(), rng.integers(shape[0])
        if isinstance(format, PairFormat):
            victim = format.identifier
            array[row, :2] = rng.choice([[victim, victim], [victim, 0], [0, victim]])[:shape[1]]
            return Codes(array, format)
        codes = np.arange(1 << format.bits)
        special = codes[invalid(format, codes)]
        if len(special):
            array[row, rng.integers(shape[1])] = rng.choice(special)
        return Codes(array, format)
    return values


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
