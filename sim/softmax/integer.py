"""The streaming integer softmax of ITA, as its paper has it."""

import numpy as np

from systolith.hdl.softmax.config import SoftmaxConfig

#: Shifts are limited to this, by which any number here is gone.
FAR = 62


def integer(config: SoftmaxConfig, x: np.ndarray, keep: np.ndarray) -> np.ndarray:
    """Probabilities in units of 2^-bits.

    Per beat, with m the maximum so far and r(d) = d / 2^step_shift rounded half up:
    m' = max(m, max x); Σ' = (Σ >> r(m' − m)) + Σ 2^bits >> r(m' − x). At the end of a row
    inverse = (2^bits − 1) · 2^bits // Σ and y = inverse >> r(m − x).

    Parameters
    ----------
    x, keep : int64 and bool arrays, shape (M, beats, lanes)

    References
    ----------
    G. Islamoglu et al., ITA, ISLPED 2023.
    """
    bits, low = config.y.bits, config.x.low
    rows = len(x)
    top, total = np.full(rows, low), np.zeros(rows, np.int64)
    for beat in range(x.shape[1]):
        logits = np.where(keep[:, beat], x[:, beat], low)
        raised = np.maximum(top, logits.max(axis=1))
        weights = np.where(keep[:, beat],
                           (1 << bits) >> _halvings(config, raised[:, None] - logits), 0)
        total = (total >> _halvings(config, raised - top)) + weights.sum(axis=1)
        top = raised
    inverse = ((1 << bits) - 1 << bits) // np.maximum(total, 1)
    shifts = _halvings(config, np.where(keep, top[:, None, None] - x, 0))
    return np.where(keep, inverse[:, None, None] >> shifts, 0)


def _halvings(config: SoftmaxConfig, distance: np.ndarray) -> np.ndarray:
    half = (1 << config.step_shift) >> 1
    return np.minimum(distance + half >> config.step_shift, FAR)
