"""Magnitude pruning to N:M."""

from typing import Any

import numpy as np

from systolith.hdl.errors import Error
from systolith.hdl.formats.patterns import Pattern


def prune(weights: Any, pattern: Pattern | str, axis: int = 0) -> np.ndarray:
    """Keep the N weights of largest magnitude in each group of M, and make the others zero.

    Groups are M consecutive weights along ``axis``, the reduction dimension; the last one may be
    shorter. Of equal magnitudes the lower index stays. A NaN counts as larger than any number.
    The rule of N:M training in SAT (arXiv 2309.13015, section III).

    Parameters
    ----------
    weights : array of integers or floats, or scipy.sparse matrix
    pattern : Pattern or str
        Such as ``"2:8"``.
    axis : int
        Along which the groups lie.

    Returns
    -------
    array of the same shape and dtype

    Raises
    ------
    Error
        If there is no such pattern or axis, or the weights are not real numbers.
    """
    weights = as_array(weights)
    pattern = Pattern.parse(pattern) if isinstance(pattern, str) else pattern
    if not -weights.ndim <= axis < weights.ndim:
        raise Error(f"axis must be that of an array of {weights.ndim} dimensions, not {axis}")
    along = np.moveaxis(weights, axis, -1)
    kept = kept_mask(along, pattern)
    return np.moveaxis(np.where(kept, along, np.zeros((), weights.dtype)), -1, axis)


def kept_mask(weights: np.ndarray, pattern: Pattern) -> np.ndarray:
    """Which weights pruning along the last axis keeps; exactly N of each whole group."""
    length = weights.shape[-1]
    magnitude = np.abs(weights.astype(float if weights.dtype.kind == "f" else np.int64))
    if weights.dtype.kind == "f":
        magnitude[np.isnan(magnitude)] = np.inf
    padding = [(0, 0)] * (weights.ndim - 1) + [(0, -length % pattern.m)]
    groups = np.pad(magnitude, padding, constant_values=-1)      # behind every weight
    groups = groups.reshape(*weights.shape[:-1], -1, pattern.m)
    order = np.argsort(-groups, axis=-1, kind="stable")
    kept = np.zeros(groups.shape, bool)
    np.put_along_axis(kept, order[..., :pattern.n], True, axis=-1)
    return kept.reshape(*weights.shape[:-1], -1)[..., :length]


def as_array(weights: Any) -> np.ndarray:
    """``weights`` as a numpy array; whatever has ``toarray`` is asked for it, as scipy.sparse is.

    Raises
    ------
    Error
        If they are not real numbers.
    """
    try:
        array = np.asarray(weights.toarray() if hasattr(weights, "toarray") else weights)
    except ValueError:
        raise Error("weights must be an array of numbers, of one shape") from None
    if array.dtype.kind not in "iuf":
        raise Error(f"weights must be integers or floats, not {array.dtype}")
    return array
