"""What the systolic core computes, bit for bit."""

from collections.abc import Iterator

import numpy as np

from systolith.hdl.formats import IntegerFormat
from systolith.hdl.systolic.config import SystolicConfig
from systolith.sim.formats import Codes
from systolith.sim.model import Workload
from systolith.sim.operands import flag_bit, result_dtype, wrap
from systolith.sim.systolic.exact import DOUBLE_BITS, magnitude, matmul
from systolith.sim.systolic.operands import (
    invalid_flags,
    mantissas,
    numbers,
    padded,
    pair_axis,
)
from systolith.sim.systolic.rounded import from_codes, rounded_sums, to_codes
from systolith.sim.systolic.scaled import scaled_sums

INT32 = IntegerFormat(32, signed=True)
_PRODUCTS_AT_ONCE = 1 << 22            # bounds the memory of the search for overflows


def golden(config: SystolicConfig, workload: Workload) -> dict:
    """Return ``c``, shape (M, N), ``flags`` and perhaps ``c_exponent`` for a checked workload."""
    rows, columns = workload.arrays["a"].shape[0], workload.arrays["w"].shape[1]
    c, flags = computed(config, workload)
    return {**result(config, c[:rows, :columns]), "flags": flags}


def computed(config: SystolicConfig, workload: Workload) -> tuple[np.ndarray, int]:
    """C as it leaves the core, and the flags.

    C goes on beyond M (os) and N as far as the last tiles do.
    """
    flags = invalid_flags(config, workload)
    if config.scales:
        c, wrapped = scaled_sums(config, workload)
        if config.rounded:
            flags |= flag_bit(config.flags, "not_finite") * int(not np.isfinite(c).all())
            return to_codes(c), flags
        return c, flags | flag_bit(config.flags, "overflow") * int(wrapped)
    a, w = padded(config, workload)
    a_axis, w_axis = (pair_axis(config, name) for name in "aw")
    if config.rounded:
        c = rounded_sums(config, numbers(config.a_element, a, a_axis),
                         numbers(config.w_element, w, w_axis))
        if not np.isfinite(c).all():
            flags |= flag_bit(config.flags, "not_finite")
        return to_codes(c), flags
    a, w = mantissas(config.a_element, a, a_axis), mantissas(config.w_element, w, w_axis)
    total = matmul(a, w)
    if overflows(config, a, w, total):
        flags |= flag_bit(config.flags, "overflow")
    c = wrap(total, config.acc)
    if config.output == "requant":
        c, saturated = requantize(config, workload, c, *columns(workload, w.shape[1]))
        if saturated:
            flags |= flag_bit(config.flags, "saturated")
    return c, flags


def result(config: SystolicConfig, c: np.ndarray) -> dict[str, np.ndarray]:
    """C as a user gets it, from what leaves the core.

    Sums of integers are int32, or int64. fp32 sums are float32. Exact sums of floats are float64
    where that holds every one of them, otherwise integers, with ``c_exponent`` beside them.
    """
    if config.rounded:
        return {"c": from_codes(c)}
    if not config.float_sums:
        return {"c": c.astype(result_dtype(config.out))}
    if config.acc.bits - config.acc.signed <= DOUBLE_BITS:
        return {"c": np.ldexp(c.astype(float), config.acc.lsb_exponent)}
    dtype = np.int64 if config.acc.bits <= 64 else object
    return {"c": c.astype(dtype), "c_exponent": np.array(config.acc.lsb_exponent)}


def on_wire_again(config: SystolicConfig, c: np.ndarray) -> np.ndarray:
    """What leaves the core, from a result; integers are left as they are."""
    if c.dtype == np.float32:
        return to_codes(c)
    if c.dtype == np.float64:
        return np.ldexp(c, -config.acc.lsb_exponent).astype(np.int64)
    return c


def overflows(config: SystolicConfig, a: np.ndarray, w: np.ndarray, total: np.ndarray) -> bool:
    """Whether an addition to an accumulator leaves its range.

    Up to the first overflow an accumulator holds the exact sum, so there is one exactly if a
    running exact sum is out of range: after every K tile (ws), after every product (os).

    Parameters
    ----------
    a, w : arrays of integers, shapes (M, K) and (K, N)
    total : array of integers, shape (M, N)
        Their exact product.
    """
    low, high = config.acc.code_low, config.acc.code_high
    inner = a.shape[1]
    if inner * magnitude(a) * magnitude(w) <= high:
        return False
    # No running sum exceeds the sum of the positive products, or falls below that of the negative.
    positive = matmul(a.clip(min=0), w.clip(min=0)) + matmul(a.clip(max=0), w.clip(max=0))
    suspects = (positive > high) | (total - positive < low)
    step = config.rows if config.dataflow == "ws" else 1
    for i, j in _chunks(suspects, max(1, _PRODUCTS_AT_ONCE // inner)):
        products = a[i].astype(total.dtype) * w.T[j]
        sums = np.add.reduceat(products, np.arange(0, inner, step), axis=1)
        running = sums.cumsum(axis=1)
        if running.min() < low or running.max() > high:
            return True
    return False


def folded_bias(workload: Workload) -> np.ndarray:
    """The bias of every column less what the zero point of A adds to its sum, int64, shape (N,)."""
    zero_point = workload.settings["a_zero_point"]
    w = workload.arrays["w"]
    if isinstance(w, Codes):
        w = mantissas(w.format, w.array)
    return workload.arrays["bias"] - zero_point * w.sum(axis=0)


def columns(workload: Workload, width: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Bias with the zero point folded in, multiplier and shift of every column, 0 beyond N."""
    each = folded_bias(workload), workload.arrays["multiplier"], workload.arrays["shift"]
    return tuple(np.pad(values, (0, width - len(values))) for values in each)


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


def _chunks(mask: np.ndarray, size: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Indices of the true elements of a matrix, at most ``size`` at a time."""
    rows, cols = np.nonzero(mask)
    for start in range(0, len(rows), size):
        yield rows[start:start + size], cols[start:start + size]
