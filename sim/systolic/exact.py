"""Exact products of matrices of integers."""

import numpy as np

DOUBLE_BITS = 53                       # magnitudes of so many bits are exact in float64
LIMB_BITS = 16                         # products of two, and long sums of them, fit int64
_DOUBLE_EXACT = 1 << DOUBLE_BITS


def matmul(a: np.ndarray, w: np.ndarray) -> np.ndarray:
    """Exact product of integer matrices: int64, or Python integers where that is too narrow."""
    if a.dtype == w.dtype == np.int64 and (
            magnitude(a) * magnitude(w) * a.shape[1] <= np.iinfo(np.int64).max):
        return _matmul(a, w)
    total = np.zeros((a.shape[0], w.shape[1]), object)
    for i, a_limb in enumerate(_limbs(a)):
        for j, w_limb in enumerate(_limbs(w)):
            total += _matmul(a_limb, w_limb).astype(object) << LIMB_BITS * (i + j)
    return total


def _limbs(matrix: np.ndarray) -> list[np.ndarray]:
    """Digits of :data:`LIMB_BITS` bits, the lowest first; the highest has the sign."""
    limbs, rest = [], matrix
    while magnitude(rest) >= 1 << LIMB_BITS:
        limbs.append((rest & ((1 << LIMB_BITS) - 1)).astype(np.int64))
        rest = rest >> LIMB_BITS
    return [*limbs, rest.astype(np.int64)]


def _matmul(a: np.ndarray, w: np.ndarray) -> np.ndarray:
    """Exact product of int64 matrices whose results fit int64.

    Every slice of K is short enough for float64 to hold any partial sum, in whatever order BLAS
    adds, so that the fast floating-point product is exact.
    """
    step = max(1, _DOUBLE_EXACT // max(1, magnitude(a) * magnitude(w)))
    c = np.zeros((a.shape[0], w.shape[1]), np.int64)
    for k in range(0, a.shape[1], step):
        c += (a[:, k:k + step].astype(float) @ w[k:k + step].astype(float)).astype(np.int64)
    return c


def magnitude(x: np.ndarray) -> int:
    """The largest absolute value."""
    return max(-int(x.min()), int(x.max()))
