"""The softmax of Softermax: powers of two of fixed-point logits, a running integer maximum."""

import numpy as np

from systolith.hdl.arithmetic.config import InverseParameters
from systolith.hdl.softmax.config import SoftmaxConfig
from systolith.sim.functions import inverse

#: Shifts are limited to this, by which any number here is gone.
FAR = 62


def base2(config: SoftmaxConfig, x: np.ndarray, keep: np.ndarray) -> tuple[np.ndarray, bool]:
    """Probabilities in units of 2^(1−bits), and whether a sum saturated.

    Per beat, with m the ceiling of the maximum so far: m' = max(m, ⌈max x⌉);
    d' = (d >> (m' − m)) + Σ 2^(x − m'), where the sum over the beat is cut to the fraction bits of
    d, which saturates. At the end of a row y = 2^(x − m) · (1/d), cut.

    A power is 2^f, f the fraction of x, to nearest in ``precision`` bits from a table, shifted
    right by m − ⌊x⌋. The inverse of d has as many bits of precision as y has fraction bits.

    Parameters
    ----------
    x, keep : int64 and bool arrays, shape (M, beats, lanes)

    References
    ----------
    J. R. Stevens et al., Softermax, DAC 2021.
    """
    unit, low = 1 << config.in_fraction, config.x.low
    table = np.rint(2.0 ** (np.arange(unit) / unit + config.precision)).astype(np.int64)

    def powers(logits: np.ndarray, top: np.ndarray) -> np.ndarray:
        floor = logits // unit
        return table[logits - floor * unit] >> np.minimum(top - floor, FAR)

    cut = config.precision - config.sum_fraction
    most = (1 << config.sum_integer + config.sum_fraction) - 1
    rows = len(x)
    top, total = np.full(rows, -(-low // unit)), np.zeros(rows, np.int64)
    saturated = False
    for beat in range(x.shape[1]):
        logits = np.where(keep[:, beat], x[:, beat], low)
        raised = np.maximum(top, -(-logits.max(axis=1) // unit))
        weights = np.where(keep[:, beat], powers(logits, raised[:, None]), 0).sum(axis=1)
        exact = (total >> np.minimum(raised - top, FAR)) + (weights >> cut)
        saturated |= bool((exact > most).any())
        total, top = np.minimum(exact, most), raised
    parameters = InverseParameters(config.sum_integer + config.sum_fraction, config.y.bits - 1)
    mantissa, exponent = (part[:, None, None] for part in inverse(parameters, total.clip(1)))
    products = powers(np.where(keep, x, low), top[:, None, None]) * mantissa
    # From units of 2^−precision · 2^−bits / 2^−sum_fraction to those of y.
    return np.where(keep, products >> cut + 1 + exponent, 0), saturated
