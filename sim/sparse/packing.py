"""The compressed weight format: a pattern byte per block, the kept weights and their indices.

A matrix W[K, N] is cut into blocks; each has a pattern of its own. Blocks are stored in the order
in which a core reads them: all blocks along K of the first column block, then the next. Within a
block columns follow each other, within a column its groups of M, within a group N kept weights with
ascending indices. Format of FlightLLM (arXiv 2401.03868, section 3.3), whose blocks are 16 x 16.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from systolith.hdl.errors import Error
from systolith.hdl.formats.patterns import PATTERNS, Pattern
from systolith.sim.sparse.pruning import as_array, kept_mask


@dataclass(frozen=True, eq=False)
class PackedMatrix:
    """A compressed int8 matrix.

    Attributes
    ----------
    shape : (int, int)
        K and N of the matrix; the last blocks are padded with zeros.
    block : (int, int)
        Rows and columns of a block; rows are a multiple of the M of every pattern used.
    patterns : uint8 array, shape (ceil(K / rows), ceil(N / columns))
        Pattern byte of every block.
    values : int8 array
        Kept weights.
    indices : uint8 array
        For each value, its place in its group of M; in a dense block, which stores none, its own.

    Raises
    ------
    Error
        If a pattern byte is none, a block is truncated, or an index is out of range, repeated or
        not ascending: names the block.
    """

    shape: tuple[int, int]
    block: tuple[int, int]
    patterns: np.ndarray
    values: np.ndarray
    indices: np.ndarray

    def __post_init__(self):
        grid = tuple(-(-size // part) for size, part in zip(self.shape, self.block, strict=True))
        if self.patterns.shape != grid:
            raise Error(f"a matrix of shape {self.shape} in blocks of {self.block} has patterns of "
                        f"shape {grid}, not {self.patterns.shape}")
        for code in np.unique(self.patterns):
            if not _fits(pattern := Pattern.from_code(int(code)), self.block):
                raise Error(f"pattern {pattern} does not fit blocks of {self.block[0]} rows")
        stored = self._offsets[-1]
        if len(self.values) != stored or len(self.indices) != stored:
            raise Error(f"the patterns stand for {stored} weights, and there are "
                        f"{len(self.values)} values and {len(self.indices)} indices")
        for pattern, where, places in self._by_pattern():
            self._check_indices(pattern, where, self.indices[places])

    def toarray(self) -> np.ndarray:
        """The matrix, int8, shape (K, N)."""
        rows, columns = self.block
        blocks = np.zeros((*self.patterns.T.shape, columns, rows), np.int8)
        for pattern, where, places in self._by_pattern():
            shape = len(places), columns, rows // pattern.m, pattern.n
            groups = np.zeros((*shape[:3], pattern.m), np.int8)
            np.put_along_axis(groups, self.indices[places].reshape(shape).astype(np.int64),
                              self.values[places].reshape(shape), axis=-1)
            blocks[where] = groups.reshape(-1, columns, rows)
        whole = blocks.transpose(1, 3, 0, 2).reshape(
            self.patterns.shape[0] * rows, self.patterns.shape[1] * columns)
        return np.ascontiguousarray(whole[:self.shape[0], :self.shape[1]])

    def blocks(self) -> Iterator[tuple[Pattern, np.ndarray, np.ndarray]]:
        """Pattern, values and indices of every block in the order of the format."""
        for code, start, end in zip(self.patterns.T.ravel(), self._offsets, self._offsets[1:],
                                    strict=False):
            yield Pattern.from_code(int(code)), self.values[start:end], self.indices[start:end]

    @property
    def kept(self) -> int:
        """Weights stored, padding included."""
        return len(self.values)

    @property
    def nbytes(self) -> int:
        """Bytes of pattern bytes, values and packed indices; those of a block in whole bytes."""
        counts = np.diff(self._offsets)
        index_bits = np.array([Pattern.from_code(int(code)).index_bits
                               for code in self.patterns.T.ravel()], np.int64)
        return int(self.patterns.size + counts.sum() + (-(-counts * index_bits // 8)).sum())

    @property
    def compression_ratio(self) -> float:
        """Bytes of the dense int8 matrix over :attr:`nbytes`."""
        return self.shape[0] * self.shape[1] / self.nbytes

    @cached_property
    def _offsets(self) -> np.ndarray:
        """Where the values of each block begin, and where those of the last end."""
        counts = _kept_per_block(self.patterns.T.ravel(), self.block)
        return np.concatenate([[0], counts.cumsum()])

    def _by_pattern(self) -> Iterator[tuple[Pattern, tuple[np.ndarray, ...], np.ndarray]]:
        """Each pattern in use but N = 0, the blocks [n, k] that have it, where their values are."""
        codes, starts = self.patterns.T, self._offsets[:-1].reshape(self.patterns.T.shape)
        for code in np.unique(codes):
            pattern = Pattern.from_code(int(code))
            if pattern.n:
                where = np.nonzero(codes == code)
                count = _kept_per_block(np.array([code]), self.block)[0]
                yield pattern, where, starts[where][:, None] + np.arange(count)

    def _check_indices(self, pattern, where, indices):
        groups = indices.reshape(len(indices), -1, pattern.n).astype(np.int64)
        for wrong, what in ((groups >= pattern.m, f"is not below {pattern.m}"),
                            (np.diff(groups, axis=-1, prepend=-1) <= 0,
                             "does not follow the index before it")):
            if wrong.any():
                at, group, place = np.argwhere(wrong)[0]
                raise Error(f"block [{where[1][at]}, {where[0][at]}], pattern {pattern}, group "
                            f"{group}: index {groups[at, group, place]} {what}; indices of a group "
                            "ascend")


def pack(weights: Any, block: tuple[int, int] = (16, 16), *,
         patterns: np.ndarray | Pattern | str | None = None,
         allowed: Sequence[Pattern] = PATTERNS) -> PackedMatrix:
    """Compress a matrix.

    A group with fewer than N weights that are not zero is filled up with zeros at its lowest unused
    indices, so that the result is the only one.

    Parameters
    ----------
    weights : int8 array, shape (K, N), or scipy.sparse matrix
        Any integer dtype whose values fit.
    block : (int, int)
        Rows and columns of a block.
    patterns : optional
        Pattern of all blocks, or pattern bytes of each, shape (K blocks, N blocks). By default each
        block gets the pattern that stores it in the fewest weights, then bytes.
    allowed : sequence of Pattern
        What the reader of the format accepts.

    Raises
    ------
    Error
        If a weight does not fit int8, a pattern is not allowed, or does not hold its block.
    """
    weights = as_array(weights)
    if weights.ndim != 2 or not weights.size:
        raise Error(f"weights must be a matrix, not of shape {weights.shape}")
    if weights.dtype.kind == "f" or weights.min() < -128 or weights.max() > 127:
        raise Error("weights must be integers from -128 to 127")
    rows, columns = block
    grid = -(-weights.shape[0] // rows), -(-weights.shape[1] // columns)
    padded = np.zeros((grid[0] * rows, grid[1] * columns), np.int8)
    padded[:weights.shape[0], :weights.shape[1]] = weights
    blocks = padded.reshape(grid[0], rows, grid[1], columns).transpose(2, 0, 3, 1)

    usable = [pattern for pattern in allowed if _fits(pattern, block)]
    needed = {m: (blocks.reshape(*blocks.shape[:3], -1, math.gcd(m, rows)) != 0)
              .sum(-1).max((-1, -2)).T for m in {pattern.m for pattern in usable}}
    codes = (_smallest(usable, needed, grid) if patterns is None
             else _given(patterns, usable, grid))
    values, indices = [], []
    parts: dict[tuple[int, int], tuple[np.ndarray, np.ndarray]] = {}
    for code in np.unique(codes):
        pattern = Pattern.from_code(int(code))
        where = np.nonzero(codes == code)
        too_many = needed[pattern.m][where] > pattern.n
        if too_many.any():
            k, n = (int(axis[too_many.argmax()]) for axis in where)
            raise Error(f"block [{k}, {n}] has {needed[pattern.m][k, n]} weights that are not zero "
                        f"in a group of {pattern.m}, and pattern {pattern} keeps {pattern.n}")
        if pattern.n:
            groups = blocks[where[1], where[0]].reshape(len(where[0]), columns, -1, pattern.m)
            kept = kept_mask((groups != 0).astype(np.int8), pattern)
            place = np.broadcast_to(np.arange(pattern.m, dtype=np.uint8), groups.shape)
            shape = len(where[0]), -1
            for k, n, value, index in zip(*where, groups[kept].reshape(shape),
                                          place[kept].reshape(shape), strict=True):
                parts[int(n), int(k)] = value, index
    for key in sorted(parts):
        values.append(parts[key][0])
        indices.append(parts[key][1])
    empty = np.zeros(0)
    return PackedMatrix(weights.shape, (rows, columns), codes,
                        np.concatenate([empty.astype(np.int8), *values]),
                        np.concatenate([empty.astype(np.uint8), *indices]))


def from_groups(values: np.ndarray, indices: np.ndarray, shape: tuple[int, int],
                pattern: Pattern | str, block: tuple[int, int] = (16, 16)) -> PackedMatrix:
    """Compress what a pruning unit kept, as the template ``topn`` gives it.

    Parameters
    ----------
    values, indices : integer arrays, shape (ceil(K / M) * N, N columns)
        Kept weights of each group of M along K, and their places in it, ascending.
    shape : (int, int)
        K and N of the matrix.
    pattern : Pattern or str
    block : (int, int)
        Rows and columns of a block.

    Raises
    ------
    Error
        If the arrays do not fit the shape, or as for :class:`PackedMatrix`.
    """
    pattern = Pattern.parse(pattern) if isinstance(pattern, str) else pattern
    (rows, columns), groups = block, -(-shape[0] // pattern.m)
    for name, array in (("values", values), ("indices", indices)):
        if np.shape(array) != (groups * pattern.n, shape[1]):
            raise Error(f"{name} must be of shape {(groups * pattern.n, shape[1])}, not "
                        f"{np.shape(array)}")
    grid = -(-shape[0] // rows), -(-shape[1] // columns)
    per_block = rows // pattern.m
    stored = []
    for array, padding in ((values, 0), (indices, np.arange(pattern.n)[:, None])):
        whole = np.zeros((grid[0] * per_block, pattern.n, grid[1] * columns), np.int64) + padding
        whole[:groups, :, :shape[1]] = np.reshape(array, (groups, pattern.n, shape[1]))
        parts = whole.reshape(grid[0], per_block, pattern.n, grid[1], columns)
        stored.append(parts.transpose(3, 0, 4, 1, 2).ravel())
    return PackedMatrix(shape, block, np.full(grid, pattern.code, np.uint8),
                        stored[0].astype(np.int8), stored[1].astype(np.uint8))


def _kept_per_block(codes: np.ndarray, block: tuple[int, int]) -> np.ndarray:
    patterns = [Pattern.from_code(int(code)) for code in codes]
    return np.array([block[0] * block[1] * pattern.n // pattern.m for pattern in patterns],
                    np.int64)


def _fits(pattern: Pattern, block: tuple[int, int]) -> bool:
    return not pattern.n or not block[0] % pattern.m


def _smallest(usable: Sequence[Pattern], needed: dict[int, np.ndarray],
              grid: tuple[int, int]) -> np.ndarray:
    codes = np.zeros(grid, np.uint8)
    open_ = np.ones(grid, bool)
    for pattern in sorted(usable, key=lambda p: (p.n / p.m, p.index_bits, -p.m)):
        fits = open_ & (needed[pattern.m] <= pattern.n)
        codes[fits] = pattern.code
        open_ &= ~fits
    if open_.any():
        k, n = np.argwhere(open_)[0]
        raise Error(f"no allowed pattern holds block [{k}, {n}]; allowed are "
                    f"{', '.join(map(str, usable))}")
    return codes


def _given(patterns, usable: Sequence[Pattern], grid: tuple[int, int]) -> np.ndarray:
    if isinstance(patterns, str):
        patterns = Pattern.parse(patterns)
    if isinstance(patterns, Pattern):
        patterns = np.full(grid, patterns.code)
    codes = np.asarray(patterns)
    if codes.shape != grid or codes.dtype.kind not in "iu":
        raise Error(f"patterns must be bytes of shape {grid}, one for each block, not "
                    f"{codes.dtype} of shape {codes.shape}")
    for code in np.unique(codes):
        pattern = Pattern.from_code(int(code))
        if pattern not in usable:
            k, n = np.argwhere(codes == code)[0]
            raise Error(f"block [{k}, {n}] has pattern {pattern}; allowed are "
                        f"{', '.join(map(str, usable))}")
    return codes.astype(np.uint8)
