"""The softmaxes with real exponents: three passes, two passes, online."""

import numpy as np

from systolith.hdl.arithmetic.config import ExponentialParameters, InverseParameters
from systolith.hdl.softmax.config import SoftmaxConfig
from systolith.sim.functions import exponential, inverse

#: Shifts are limited to this, by which any number here is gone.
FAR = 62


def real(config: SoftmaxConfig, x: np.ndarray, keep: np.ndarray, scale: int) -> np.ndarray:
    """Probabilities in units of 2^−bits, never above the true ones.

    e^x is 2^z with z = x · scale, as a pair (v, n) worth v · 2^n. Weights v · 2^(n − top) of a row
    are cut to precision + guard bits and summed, top an integer that ``algorithm`` finds:

    - ``three_pass``: the largest n of the row, known before the sum begins;
    - ``online``, ``single_pass``: the largest n so far; when a beat raises it, the sum so far
      is shifted right;
    - ``two_pass``: as ``online`` in each lane by itself; at the end of the row the sums of all
      lanes are shifted to the largest n and added.

    With r the inverse of the sum, lowered by ⌊r / 2^(precision − 3)⌋, y = v · r · 2^(n − top), cut.

    Parameters
    ----------
    x, keep : int64 and bool arrays, shape (M, beats, lanes)
    scale : int
        log2(e) / temperature in units of the register.

    References
    ----------
    T. Dao et al., FlashAttention, NeurIPS 2022 (online); M. Dukhan and A. Ablavatski, Two-pass
    softmax algorithm, 2020; R. Sarkar et al., Edge-MoE, ICCAD 2023 (single pass).
    """
    precision = config.precision
    v, n = exponential(ExponentialParameters(config.z, precision, "2"), x * scale)
    lowest = int(n.min(initial=0)) - 1
    n = np.where(keep, n, lowest)
    v = np.where(keep, v << config.guard, 0)
    top, total = SUMS[config.algorithm](v, n)
    some = InverseParameters(config.total_bits, precision)
    r, exponent = inverse(some, total.clip(1))
    r -= r >> precision - 3
    shift = 2 * precision - config.y.bits + exponent - (precision + config.guard - 1) + top
    products = (v >> config.guard) * r[:, None, None]
    return np.where(keep, products >> np.clip(shift[:, None, None] - n, 0, FAR), 0)


def _three_pass(v: np.ndarray, n: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    top = n.max(axis=(1, 2))
    return top, _shifted(v, top[:, None, None] - n).sum(axis=(1, 2))


def _online(v: np.ndarray, n: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    top, total = n[:, 0].max(axis=1), np.zeros(len(n), np.int64)
    for beat in range(n.shape[1]):
        raised = np.maximum(top, n[:, beat].max(axis=1))
        weights = _shifted(v[:, beat], raised[:, None] - n[:, beat])
        total = _shifted(total, raised - top) + weights.sum(axis=1)
        top = raised
    return top, total


def _two_pass(v: np.ndarray, n: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    pairs = [_online(v[:, :, lane, None], n[:, :, lane, None]) for lane in range(n.shape[2])]
    tops, totals = (np.stack(parts, axis=1) for parts in zip(*pairs, strict=True))
    top = tops.max(axis=1)
    return top, _shifted(totals, top[:, None] - tops).sum(axis=1)


def _shifted(values: np.ndarray, amount: np.ndarray) -> np.ndarray:
    return values >> np.minimum(amount, FAR)


#: Top and sum of every row, from pairs of shape (M, beats, lanes).
SUMS = {"online": _online, "single_pass": _online, "three_pass": _three_pass,
        "two_pass": _two_pass}
