"""Sums in fp32, in the order of the hardware."""

from collections.abc import Iterable

import numpy as np

from systolith.hdl.formats import FP32
from systolith.hdl.systolic.config import SystolicConfig


def rounded_sums(config: SystolicConfig, a: np.ndarray, w: np.ndarray) -> np.ndarray:
    """A · W with every product and every sum rounded to fp32, to nearest even.

    ``os`` adds products in ascending k to +0. ``ws`` adds the products of a K tile to +0, in
    descending k, and the sums of the tiles in ascending order.

    Parameters
    ----------
    a, w : float64 arrays, shapes (M, K) and (K, N)
        Of so few bits that products are exact.

    Returns
    -------
    float32 array, shape (M, N)
    """
    inner = a.shape[1]
    total = np.zeros((a.shape[0], w.shape[1]), np.float32)
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        if config.dataflow == "os":
            return add_products(total, a, w, range(inner))
        for start in range(0, inner, config.rows):
            tile = reversed(range(start, min(start + config.rows, inner)))
            total += add_products(np.zeros_like(total), a, w, tile)
    return total


def add_products(total: np.ndarray, a: np.ndarray, w: np.ndarray,
                 order: Iterable[int]) -> np.ndarray:
    """``total`` with the products of some k added one after another, all rounded to fp32."""
    for k in order:
        total += np.multiply.outer(a[:, k], w[k]).astype(np.float32)
    return total


def to_codes(values: np.ndarray) -> np.ndarray:
    """fp32 codes of float32 ``values``, int64; there is one NaN."""
    codes = np.ascontiguousarray(values, np.float32).view(np.uint32).astype(np.int64)
    return np.where(np.isnan(values), FP32.nan_code, codes)


def from_codes(codes: np.ndarray) -> np.ndarray:
    """float32 values of fp32 ``codes``."""
    return np.ascontiguousarray(codes.astype(np.uint32)).view(np.float32)
