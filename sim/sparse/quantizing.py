"""Weights of mixed low precision: codes of 3 to 8 bits, and a scale for each group of them.

The int8 weight that a code q of b bits stands for is q · scale / 2^(b-1), rounded half up and
saturated: a scale is the int8 weight of a code of full scale, and with the scale 128 a code of 8
bits is the weight itself. The two levels, a real scale for a whole matrix or column that leaves
int8, and an integer one for each group within it, are those of QServe (arXiv 2405.04532); FlightLLM
(arXiv 2401.03868, section 3) stores weights in mixed low precision and does not say how.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from systolith.hdl.errors import Error
from systolith.hdl.formats.patterns import PATTERNS, Pattern
from systolith.hdl.sparse_chain.config import QUANTIZED_BITS, SCALE, UNIT_SCALE
from systolith.sim.sparse.packing import PackedMatrix, pack
from systolith.sim.sparse.pruning import as_array

SCALES = np.arange(1, SCALE.high + 1)


@dataclass(frozen=True, eq=False)
class QuantizedMatrix:
    """A compressed matrix of codes with their widths and scales.

    Attributes
    ----------
    codes : PackedMatrix
        Its values are codes.
    bits : uint8 array, shape (K blocks, N blocks)
        Width of the codes of every block: 3, 4, 5, 6 or 8.
    scales : uint8 array, shape (K blocks, N blocks, parts)
        A scale, 1 to 255, for each part of a block: as many columns as a chain has.

    Raises
    ------
    Error
        If a scale is zero, a width is none, or a code does not fit its width: names the block.
    """

    codes: PackedMatrix
    bits: np.ndarray
    scales: np.ndarray

    def __post_init__(self):
        check_groups(self.codes.patterns, self.bits, self.scales)
        parts, columns = self.scales.shape[2], self.codes.block[1]
        if columns % parts:
            raise Error(f"a block of {columns} columns does not have {parts} equal parts")
        check_codes(self.codes.toarray(), self.codes.block, self.bits)

    @property
    def shape(self) -> tuple[int, int]:
        """K and N."""
        return self.codes.shape

    def toarray(self) -> np.ndarray:
        """The int8 weights that the codes stand for, shape (K, N)."""
        return expand(self.codes.toarray(), self.codes.block, self.bits, self.scales)

    @property
    def kept(self) -> int:
        """Codes stored, padding included."""
        return self.codes.kept

    @cached_property
    def average_bits(self) -> float:
        """Mean width of the stored codes, scales and indices not counted."""
        kept = _kept(self.codes)
        return float((kept * self.bits).sum() / kept.sum()) if kept.sum() else 0.0

    @property
    def nbytes(self) -> int:
        """Bytes of pattern bytes, widths (a byte for each block), scales, codes and indices; those
        of a block in whole bytes. A skipped block has its pattern byte only."""
        kept = _kept(self.codes)
        index_bits = _of_patterns(self.codes, lambda pattern: pattern.index_bits)
        stored = -(-kept * (self.bits.astype(np.int64) + index_bits) // 8)
        head = 1 + self.scales.shape[2]
        return int(kept.size + np.where(kept > 0, stored + head, 0).sum())

    @property
    def compression_ratio(self) -> float:
        """Bytes of the dense int8 matrix over :attr:`nbytes`."""
        return self.shape[0] * self.shape[1] / self.nbytes


def expand(codes: np.ndarray, block: tuple[int, int], bits: np.ndarray,
           scales: np.ndarray) -> np.ndarray:
    """The int8 weights of codes, shape (K, N).

    Parameters
    ----------
    codes : integer array, shape (K, N)
    block : (int, int)
        Rows and columns of a block.
    bits, scales : as for :class:`QuantizedMatrix`.
    """
    width = per_weight(bits, block, codes.shape)
    part = block[0], block[1] // scales.shape[2]
    scale = per_weight(scales.reshape(len(scales), -1), part, codes.shape)
    half = 1 << width - 2
    exact = codes.astype(np.int64) * scale
    return np.clip(exact + half >> width - 1, -128, 127).astype(np.int8)


def quantize(weights: Any, block: tuple[int, int] = (16, 16), *, parts: int = 1,
             bits: int | float | np.ndarray = 4,
             patterns: np.ndarray | Pattern | str | None = None,
             allowed: tuple[Pattern, ...] = PATTERNS) -> QuantizedMatrix:
    """Quantize int8 weights to fewer bits, with the scales of least squared error.

    Parameters
    ----------
    weights : int8 array, shape (K, N), or scipy.sparse matrix
        As for :func:`pack`.
    block : (int, int)
        Rows and columns of a block.
    parts : int
        Scales of a block: the chains of a core.
    bits : int, float or array
        One width for all blocks; or a width for each; or a mean width over all kept weights that
        is not exceeded, and the squared error is as small as choosing a width for each block can
        make it.
    patterns, allowed : as for :func:`pack`.

    Raises
    ------
    Error
        As :func:`pack`, or if a width is none.
    """
    packed = pack(weights, block, patterns=patterns, allowed=allowed)
    if not isinstance(parts, int) or parts < 1 or block[1] % parts:
        raise Error(f"parts must divide the {block[1]} columns of a block, not {parts!r}")
    grid = packed.patterns.shape
    w = as_array(weights).astype(np.int64)
    kept = _kept(packed)
    mean = isinstance(bits, float)
    if mean and bits < QUANTIZED_BITS[0]:
        raise Error(f"bits must be at least {QUANTIZED_BITS[0]}, not {bits}")
    wanted = np.broadcast_to(np.asarray(bits), grid)
    candidates = QUANTIZED_BITS if mean else tuple(int(width) for width in np.unique(wanted))
    choices = {width: _scales(w, block, parts, _width(width)) for width in candidates}
    if mean:
        errors = np.array([choices[width][1] for width in candidates], float)
        wanted = np.array(candidates)[_allocate(errors, candidates, kept, bits)]
    scales = np.zeros((*grid, parts), np.uint8)
    for width, (best, _) in choices.items():
        scales[wanted == width] = best[wanted == width]
    widths = wanted.astype(np.uint8)
    codes = _codes(w, per_weight(widths, block, w.shape), per_weight(
        scales.reshape(grid[0], -1), (block[0], block[1] // parts), w.shape))
    return QuantizedMatrix(pack(codes, block, patterns=packed.patterns, allowed=allowed), widths,
                           scales)


def per_weight(values: np.ndarray, block: tuple[int, int], shape: tuple[int, int]) -> np.ndarray:
    """What each block has, for each weight, int64."""
    wide = values.astype(np.int64).repeat(block[0], 0).repeat(block[1], 1)
    return wide[:shape[0], :shape[1]]


def check_groups(patterns: np.ndarray, bits: np.ndarray, scales: np.ndarray) -> None:
    """Raise :class:`Error` unless every block has a width and scales that are not zero."""
    grid = patterns.shape
    if np.shape(bits) != grid or np.ndim(scales) != 3 or np.shape(scales)[:2] != grid:
        raise Error(f"bits must be of shape {grid} and scales of shape {(*grid, 'parts')}, not "
                    f"{np.shape(bits)} and {np.shape(scales)}")
    if (wrong := ~np.isin(bits, QUANTIZED_BITS)).any():
        k, n = np.argwhere(wrong)[0]
        raise Error(f"block [{k}, {n}] has codes of {bits[k, n]} bits; widths are "
                    f"{', '.join(map(str, QUANTIZED_BITS))}")
    if (wrong := (scales < 1) | (scales > SCALE.high)).any():
        k, n, part = np.argwhere(wrong)[0]
        raise Error(f"block [{k}, {n}] has the scale {scales[k, n, part]} in part {part}; scales "
                    f"are 1 to {SCALE.high}")


def check_codes(codes: np.ndarray, block: tuple[int, int], bits: np.ndarray) -> None:
    """Raise :class:`Error` unless every code fits the width of its block."""
    width = per_weight(bits, block, codes.shape)
    wrong = (codes < -(1 << width - 1)) | (codes >= 1 << width - 1)
    if wrong.any():
        row, column = np.argwhere(wrong)[0]
        raise Error(f"code {codes[row, column]} at [{row}, {column}] does not fit the "
                    f"{width[row, column]} bits of block [{row // block[0]}, "
                    f"{column // block[1]}]")


def _width(bits) -> int:
    if bits not in QUANTIZED_BITS:
        raise Error(f"bits must be {', '.join(map(str, QUANTIZED_BITS))}, or a mean as a float, "
                    f"not {bits!r}")
    return int(bits)


def _scales(w: np.ndarray, block: tuple[int, int], parts: int,
            width: int) -> tuple[np.ndarray, np.ndarray]:
    """For each part of each block the best scale, and the squared error of the block with them."""
    rows, columns = block[0], block[1] // parts
    padded = np.pad(w, ((0, -len(w) % block[0]), (0, -w.shape[1] % block[1])))
    grid = len(padded) // rows, padded.shape[1] // columns
    groups = padded.reshape(grid[0], rows, grid[1], columns).transpose(0, 2, 1, 3)
    groups = groups.reshape(-1, rows * columns)
    largest = np.abs(groups).max(1)
    # Around what makes the largest weight the largest code, from below; 128 leaves 8 bits alone.
    least = np.full(len(groups), np.inf)
    best = np.full(len(groups), UNIT_SCALE)
    exact = largest * (1 << width - 1) / ((1 << width - 1) - 1)
    for candidate in (np.full(len(groups), UNIT_SCALE), *(
            np.rint(exact * part / 32) for part in range(20, 34))):
        scale = np.clip(candidate, 1, SCALE.high).astype(np.int64)[:, None]
        codes = _codes(groups, np.full_like(groups, width), scale)
        values = np.clip(codes * scale + (1 << width - 2) >> width - 1, -128, 127)
        error = ((values - groups) ** 2).sum(1)
        better = error < least
        least[better], best[better] = error[better], scale[better, 0]
    per_block = least.reshape(grid[0], -1, parts).sum(2)
    return best.reshape(grid[0], -1, parts).astype(np.uint8), per_block


def _codes(w: np.ndarray, width: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """The nearest codes; no real number is made on the way."""
    full = 1 << width - 1
    nearest = (2 * w * full + scale) // (2 * scale)
    return np.clip(nearest, -full, full - 1)


def _allocate(errors: np.ndarray, widths: tuple[int, ...], kept: np.ndarray,
              mean: float) -> np.ndarray:
    """The width of each block, as an index: of the least error for a price of a bit, which is
    raised until the mean is low enough."""
    cost = np.array(widths)[:, None, None] * kept
    limit = mean * kept.sum()
    low, high = 0.0, float(errors.max()) + 1
    for _ in range(60):
        price = (low + high) / 2
        chosen = np.argmin(errors + price * cost, axis=0)
        spent = np.take_along_axis(cost, chosen[None], 0).sum()
        low, high = (price, high) if spent > limit else (low, price)
    return np.argmin(errors + high * cost, axis=0)


def _kept(packed: PackedMatrix) -> np.ndarray:
    """Stored weights of each block, shape (K blocks, N blocks)."""
    size = packed.block[0] * packed.block[1]
    return _of_patterns(packed, lambda pattern: size * pattern.n // pattern.m)


def _of_patterns(packed: PackedMatrix, of) -> np.ndarray:
    values = {int(code): of(Pattern.from_code(int(code))) for code in np.unique(packed.patterns)}
    return np.vectorize(lambda code: values[int(code)], otypes=[np.int64])(packed.patterns)
