"""Codes cut into planes of bits, and planes into words."""

import numpy as np

from systolith.sim.operands import ceil_div


def bit_planes(codes: np.ndarray, bits: int) -> np.ndarray:
    """Planes of ``codes``, any shape (...): shape (bits, ...), plane i holds the bits worth 2^i."""
    return np.stack([np.asarray(codes, np.int64) >> plane & 1 for plane in range(bits)])


def from_planes(planes: np.ndarray) -> np.ndarray:
    """Codes from their planes: the inverse of :func:`bit_planes`."""
    return sum(plane << index for index, plane in enumerate(np.asarray(planes, np.int64)))


def in_words(planes: np.ndarray, word: int) -> np.ndarray:
    """Cut the last axis, K, into words: shape (..., ceil(K / word), word), padded with zeros."""
    length = planes.shape[-1]
    words = ceil_div(length, word)
    pad = [(0, 0)] * (planes.ndim - 1) + [(0, words * word - length)]
    return np.pad(planes, pad).reshape(*planes.shape[:-1], words, word)
