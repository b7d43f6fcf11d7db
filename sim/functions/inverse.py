"""Reciprocals and reciprocal square roots of integers."""

from functools import lru_cache

import numpy as np

from systolith.hdl.arithmetic.config import InverseParameters
from systolith.sim.functions.piecewise import coefficients, evaluate


def inverse(parameters: InverseParameters, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mantissas and exponents of 1/x or 1/√x, worth mantissa · 2^−exponent.

    Parameters
    ----------
    x : integer array
        Positive, of up to ``parameters.width`` bits; Python integers if these are more than 62.

    Returns
    -------
    mantissa : int64 array
        In units of 2^(−1 − precision).
    exponent : int64 array
    """
    bits = parameters.fraction_bits
    leading, point = normalized(np.asarray(x), bits)
    if parameters.root:
        point += leading % 2 << bits
        leading //= 2
    return evaluate(parameters.segments, _table(parameters), point), leading


def normalized(x: np.ndarray, bits: int) -> tuple[np.ndarray, np.ndarray]:
    """Where the leading one of each positive integer is, and that many bits that follow it."""
    if x.dtype != object:
        x = x.astype(np.int64)
    leading = _floor_log2(x)
    excess = leading - bits
    kept = (x >> np.maximum(excess, 0)) << np.maximum(-excess, 0)
    return leading, kept.astype(np.int64) - (1 << bits)


def _floor_log2(x: np.ndarray) -> np.ndarray:
    if x.dtype == object:
        return np.frompyfunc(int.bit_length, 1, 1)(x).astype(np.int64) - 1
    # float64 may have rounded up to the next power of two.
    estimate = np.frexp(x.astype(float))[1].astype(np.int64) - 1
    return estimate - (x < 1 << estimate)


@lru_cache
def _table(parameters: InverseParameters) -> np.ndarray:
    def function(v: np.ndarray) -> np.ndarray:
        odd = (v >= 1) if parameters.root else np.zeros(v.shape, bool)
        m = np.where(odd, 2 * (v + parameters.offset), 1 + v + parameters.offset)
        return 1 / np.sqrt(m) if parameters.root else np.reciprocal(m)

    return coefficients(function, parameters.segments)
