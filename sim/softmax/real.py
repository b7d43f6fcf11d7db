"""The softmaxes with real exponents: three passes, two passes, online; and their logarithms."""

import numpy as np

from systolith.hdl.arithmetic.config import (
    ExponentialParameters,
    InverseParameters,
    LogarithmParameters,
)
from systolith.hdl.softmax.config import LN2_BITS, STEP, SoftmaxConfig
from systolith.sim.functions import exponential, inverse, logarithm

#: Shifts are limited to this, by which any number here is gone.
FAR = 62


def real(config: SoftmaxConfig, x: np.ndarray, keep: np.ndarray,
         scale: int) -> tuple[np.ndarray, np.ndarray | int]:
    """Probabilities as exact integers times a power of two, before they are rounded.

    e^x is 2^z with z = x · scale, as a pair (v, n) worth v · 2^n. Weights v · 2^(n − top) of a row
    are cut to precision + guard bits and summed, top a multiple of ``STEP`` that ``algorithm``
    finds:

    - ``three_pass``: the largest n of the row, rounded up, known before the sum begins;
    - ``online``, ``single_pass``: that of the largest n so far; when a beat raises it, the sum so
      far is shifted right;
    - ``two_pass``: as ``online`` in each lane by itself; at the end of the row the sums of all
      lanes are shifted to the largest top and added.

    With r the inverse of the sum, lowered by ⌊r / 2^(precision − 3)⌋, y = v · r · 2^(n − top):
    never above the true quotient. The logarithm of the sum gives
    ln y = ln 2 · (z − log2(sum) − top), at most 0, with z cut to ``precision`` bits.

    Parameters
    ----------
    x, keep : int64 and bool arrays, shape (M, beats, lanes)
    scale : int
        log2(e) / temperature in units of the register.

    Returns
    -------
    magnitude : int64 array
    exponent : int64 array or int
        y, or −ln y, is magnitude · 2^exponent; where x counts.

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
    total = total.clip(1)
    if config.output == "log":
        level = logarithm(LogarithmParameters(config.total_bits, precision), total)
        level += top - precision - config.guard << precision
        cut = -config.z.lsb_exponent - precision
        z = (x * scale << max(-cut, 0)) >> max(cut, 0)
        distance = np.maximum(level[:, None, None] - z, 0)
        return distance * int(np.rint(np.log(2) * 2**LN2_BITS)), -precision - LN2_BITS
    r, exponent = inverse(InverseParameters(config.total_bits, precision), total)
    r -= r >> precision - 3
    below = exponent - (precision + config.guard - 1) + top
    products = (v >> config.guard) * r[:, None, None]
    return products, n - below[:, None, None] - 2 * precision


def _up(n: np.ndarray) -> np.ndarray:
    """To the next multiple of STEP."""
    return -(-n // STEP) * STEP


def _three_pass(v: np.ndarray, n: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    top = _up(n.max(axis=(1, 2)))
    return top, _shifted(v, top[:, None, None] - n).sum(axis=(1, 2))


def _online(v: np.ndarray, n: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    top, total = _up(n[:, 0].max(axis=1)), np.zeros(len(n), np.int64)
    for beat in range(n.shape[1]):
        raised = np.maximum(top, _up(n[:, beat].max(axis=1)))
        weights = _shifted(v[:, beat], raised[:, None] - n[:, beat])
        total = _shifted(total, raised - top) + weights.sum(axis=1)
        top = raised
    return top, total


def _two_pass(v: np.ndarray, n: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    rows, beats, lanes = n.shape
    pairs = _online(*(part.transpose(0, 2, 1).reshape(rows * lanes, beats, 1) for part in (v, n)))
    tops, totals = (part.reshape(rows, lanes) for part in pairs)
    top = tops.max(axis=1)
    return top, _shifted(totals, top[:, None] - tops).sum(axis=1)


def _shifted(values: np.ndarray, amount: np.ndarray) -> np.ndarray:
    return values >> np.minimum(amount, FAR)


#: Top and sum of every row, from pairs of shape (M, beats, lanes).
SUMS = {"online": _online, "single_pass": _online, "three_pass": _three_pass,
        "two_pass": _two_pass}
