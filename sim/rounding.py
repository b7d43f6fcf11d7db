"""Exact integers with a binary point, rounded once."""

import numpy as np

from systolith.hdl.formats import IntegerFormat


def to_integers(target: IntegerFormat, value: np.ndarray, lsb: int) -> tuple[np.ndarray, bool]:
    """value · 2^lsb in units of ``target``, to nearest, halves to even; saturates.

    Returns
    -------
    integers : array like ``value``
    saturated : bool
        Whether any was out of range.
    """
    drop = target.lsb_exponent - lsb
    if drop <= 0:
        nearest = value << -drop
    else:
        down = value >> drop
        rest = value - (down << drop)
        half = 1 << drop - 1
        nearest = down + ((rest > half) | ((rest == half) & (down % 2 == 1)))
    integers = np.clip(nearest, target.code_low, target.code_high)
    return integers, bool((integers != nearest).any())


def to_floats(value: np.ndarray, lsb: int) -> np.ndarray:
    """value · 2^lsb as float64, as good as ``value`` for rounding to a shorter float.

    float64 may hold fewer digits; the value is rounded to odd there, which keeps the second
    rounding right.
    """
    magnitude = np.abs(value)
    excess = np.maximum(np.frexp(magnitude.astype(float))[1] - 52, 0)
    kept = magnitude >> excess
    kept |= (kept << excess) != magnitude
    return np.ldexp(np.copysign(kept, value), excess + lsb)
