"""What the systolic core computes, bit for bit."""

from collections.abc import Iterator

import numpy as np

from systolith.hdl.formats import IntegerFormat
from systolith.hdl.systolic.config import SystolicConfig
from systolith.sim.model import Workload
from systolith.sim.operands import flag_bit, result_dtype, wrap

INT32 = IntegerFormat(32, signed=True)
_DOUBLE_EXACT = 1 << 53                # integers up to here are exact in float64
_PRODUCTS_AT_ONCE = 1 << 22            # bounds the memory of the search for overflows


def golden(config: SystolicConfig, workload: Workload) -> dict:
    """Return ``{"c": array of shape (M, N), "flags": int}`` for a checked workload."""
    a, w = workload.arrays["a"], workload.arrays["w"]
    total = matmul(a, w)
    flags = 0
    if overflows(config, a, w, total):
        flags |= flag_bit(config.flags, "overflow")
    c = wrap(total, config.acc)
    if config.output == "requant":
        c, saturated = requantize(config, workload, c, folded_bias(workload),
                                  workload.arrays["multiplier"], workload.arrays["shift"])
        if saturated:
            flags |= flag_bit(config.flags, "saturated")
    return {"c": c.astype(result_dtype(config.out)), "flags": flags}


def matmul(a: np.ndarray, w: np.ndarray) -> np.ndarray:
    """Exact product of int64 matrices whose results fit int64.

    Every slice of K is short enough for float64 to hold any partial sum, in whatever order BLAS
    adds, so that the fast floating-point product is exact.
    """
    step = max(1, _DOUBLE_EXACT // max(1, _magnitude(a) * _magnitude(w)))
    c = np.zeros((a.shape[0], w.shape[1]), np.int64)
    for k in range(0, a.shape[1], step):
        c += (a[:, k:k + step].astype(float) @ w[k:k + step].astype(float)).astype(np.int64)
    return c


def overflows(config: SystolicConfig, a: np.ndarray, w: np.ndarray, total: np.ndarray) -> bool:
    """Whether an addition to an accumulator leaves its range.

    Up to the first overflow an accumulator holds the exact sum, so there is one exactly if a
    running exact sum is out of range: after every K tile (ws), after every product (os).

    Parameters
    ----------
    a, w : int64 arrays, shapes (M, K) and (K, N)
    total : int64 array, shape (M, N)
        Their exact product.
    """
    low, high = config.acc.low, config.acc.high
    inner = a.shape[1]
    if inner * _magnitude(a) * _magnitude(w) <= high:
        return False
    # No running sum exceeds the sum of the positive products, or falls below that of the negative.
    positive = matmul(a.clip(min=0), w.clip(min=0)) + matmul(a.clip(max=0), w.clip(max=0))
    suspects = (positive > high) | (total - positive < low)
    step = config.rows if config.dataflow == "ws" else 1
    for i, j in _chunks(suspects, max(1, _PRODUCTS_AT_ONCE // inner)):
        sums = np.add.reduceat(a[i] * w.T[j], np.arange(0, inner, step), axis=1)
        running = sums.cumsum(axis=1)
        if running.min() < low or running.max() > high:
            return True
    return False


def folded_bias(workload: Workload) -> np.ndarray:
    """The bias of every column less what the zero point of A adds to its sum, int64, shape (N,)."""
    zero_point = workload.settings["a_zero_point"]
    return workload.arrays["bias"] - zero_point * workload.arrays["w"].sum(axis=0)


def requantize(config: SystolicConfig, workload: Workload, acc: np.ndarray, bias: np.ndarray,
               multiplier: np.ndarray, shift: np.ndarray) -> tuple[np.ndarray, bool]:
    """Scale accumulators to outputs.

    Parameters
    ----------
    acc : int64 array, shape (..., N)
    bias, multiplier, shift : int64 arrays, shape (N,)
        All int32; shift −31 to 31.

    Returns
    -------
    c : int64 array, shape (..., N)
    saturated : bool
        Whether a sum with its bias did not fit int32.
    """
    # An accumulator beyond 2**33 saturates with any bias; clipped there, the sum fits int64.
    with_bias = acc.clip(-1 << 33, 1 << 33) + bias
    x = _saturate(with_bias)
    scaled = SCALE[config.rounding](x, multiplier, shift)
    settings = workload.settings
    c = np.minimum(np.maximum(scaled + settings["out_zero_point"], settings["clamp_low"]),
                   settings["clamp_high"])
    return c, bool((x != with_bias).any())


def _tflite(x: np.ndarray, multiplier: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """x · multiplier · 2^(shift − 31), rounded twice, both times to nearest, as gemmlowp does."""
    x = _saturate(x << shift.clip(min=0))
    # Product over 2^31, halves up: plus a nudge, truncated towards zero.
    product = x * multiplier
    nudged = product + np.where(product >= 0, 1 << 30, 1 - (1 << 30))
    high = np.minimum(np.where(nudged >= 0, nudged >> 31, -(-nudged >> 31)), INT32.high)
    # Over 2^right, halves away from zero.
    right = (-shift).clip(min=0)
    half = (1 << right) >> 1
    return np.where(high >= 0, high + half >> right, -(half - high >> right))


def _floor(x: np.ndarray, multiplier: np.ndarray, shift: np.ndarray) -> np.ndarray:
    return x * multiplier >> 31 - shift


def _half_up(x: np.ndarray, multiplier: np.ndarray, shift: np.ndarray) -> np.ndarray:
    half = (1 << 31 - shift) >> 1
    return x * multiplier + half >> 31 - shift


def _rne(x: np.ndarray, multiplier: np.ndarray, shift: np.ndarray) -> np.ndarray:
    product = x * multiplier
    half = (1 << 31 - shift) >> 1
    floor = product >> 31 - shift
    beyond = product - (floor << 31 - shift) - half              # how far past the tie
    return floor + ((beyond > 0) | (beyond == 0) & (half > 0) & (floor & 1 == 1))


#: The roundings: int32 x and multiplier, shift −31 to 31, all int64 arrays; no step leaves int64.
SCALE = {"tflite": _tflite, "floor": _floor, "half_up": _half_up, "rne": _rne}


def _saturate(x: np.ndarray) -> np.ndarray:
    return x.clip(INT32.low, INT32.high)


def _magnitude(x: np.ndarray) -> int:
    return max(-int(x.min()), int(x.max()))


def _chunks(mask: np.ndarray, size: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Indices of the true elements of a matrix, at most ``size`` at a time."""
    rows, cols = np.nonzero(mask)
    for start in range(0, len(rows), size):
        yield rows[start:start + size], cols[start:start + size]
