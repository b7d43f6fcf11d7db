"""Tables, lines and parabolas in segments."""

from collections.abc import Callable

import numpy as np
from numpy.polynomial import Polynomial, chebyshev

from systolith.hdl.arithmetic.config import Segments

Function = Callable[[np.ndarray], np.ndarray]


def coefficients(function: Function, segments: Segments) -> np.ndarray:
    """Coefficients of every segment, int64, shape (segments, degree + 1), that of u^0 first.

    Parameters
    ----------
    function : callable
        From float64 array to float64 array.
    segments : Segments
    """
    size = 1 << segments.segment_bits
    firsts = segments.start + size * np.arange(segments.count + 1)
    scale = np.ldexp(1.0, -segments.coefficient_lsb)

    def scaled(inputs: np.ndarray) -> np.ndarray:
        return function(np.ldexp(inputs, segments.source.lsb_exponent)) * scale

    if segments.fit == "endpoints":
        ends = np.rint(scaled(firsts.astype(float))).astype(np.int64)
        table = np.stack([ends[:-1], np.diff(ends)], axis=1)
    elif segments.degree == 0:
        table = np.rint(scaled(firsts[:-1] + (size - 1) / 2)).astype(np.int64)[:, None]
    else:
        table = np.array([_interpolated(scaled, first, size, segments.degree)
                          for first in firsts[:-1].tolist()])
    if segments.bound == "below":
        table[:, 0] -= _excess(function, segments, table)
    return table


def evaluate(segments: Segments, table: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Results for integers ``x`` in units of the source, as integers in units of the target."""
    target = segments.target
    return np.clip(_unlimited(segments, table, x), target.code_low, target.code_high)


def _unlimited(segments: Segments, table: np.ndarray, x: np.ndarray) -> np.ndarray:
    place = np.clip(x, segments.start, segments.stop - 1) - segments.start
    rows = table[place >> segments.segment_bits]
    u = place % (1 << segments.segment_bits)
    value = rows[..., segments.degree]
    for power in range(segments.degree - 1, -1, -1):
        value = rows[..., power] + np.floor_divide(value * u, 1 << segments.segment_bits)
    return np.floor_divide(2 * value + (1 << segments.guard), 2 << segments.guard) \
        if segments.guard else value


def _interpolated(function: Function, first: int, size: int, degree: int) -> np.ndarray:
    on_unit = chebyshev.chebinterpolate(lambda t: function(first + size * (1 + t) / 2), degree)
    in_t = Polynomial(chebyshev.cheb2poly(on_unit))
    in_u = in_t(Polynomial([-1, 2])).coef
    return np.rint(np.pad(in_u, (0, degree + 1 - len(in_u)))).astype(np.int64)


def _excess(function: Function, segments: Segments, table: np.ndarray) -> int:
    """By how much all constants must be lowered so that no result exceeds the function."""
    x = np.arange(segments.start, segments.stop)
    # floor(f) is the largest integer allowed.
    allowed = np.floor(np.ldexp(function(np.ldexp(x.astype(float), segments.source.lsb_exponent)),
                                -segments.target.lsb_exponent)).astype(np.int64)

    lower = 0
    constant = np.eye(1, table.shape[1], dtype=np.int64)
    while (_unlimited(segments, table - lower * constant, x) > allowed).any():
        lower += 1
    return lower
