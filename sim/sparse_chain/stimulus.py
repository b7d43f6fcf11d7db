"""Workloads that try the sparse chain: corner cases first, then random ones without end."""

from collections.abc import Iterator

import numpy as np

from systolith.hdl.formats.patterns import Pattern
from systolith.hdl.sparse_chain.config import (
    INT8,
    PATTERN_LANES,
    QUANTIZED_BITS,
    SCALE,
    UNIT_SCALE,
    SparseChainConfig,
)
from systolith.sim.model import Workload
from systolith.sim.operands import ceil_div
from systolith.sim.sparse import prune
from systolith.sim.sparse.quantizing import per_weight

MAX_BEATS = 1024                       # of the longest stream of a corner case
SKIPPED = Pattern(0, 16)


def stimulus(config: SparseChainConfig, rng: np.random.Generator) -> Iterator[Workload]:
    """Yield corner cases of sizes, values and patterns, then random workloads for ever."""
    make = _Maker(config, rng)
    cells, columns = config.cells, config.block_columns
    blocks = min(config.buffer_depth, 3)
    whole = blocks * cells, columns
    low, high = config.weight.low, config.weight.high
    dense = np.full((blocks, 1), Pattern(config.max_m, config.max_m).code)

    yield make("one product", 1, (1, 1))
    yield make("one block", config.lanes, (cells, columns))
    yield make("one token", 1, (blocks * cells - 1, 2 * columns + 1))
    yield make("all rounds and one more token", config.max_tokens + 1, (cells, 1))
    for a, w in ((-128, low), (-128, high), (127, low), (127, high)):
        yield make(f"a = {a}, w = {w}", config.lanes, whole, dense, a=a, w=w)
    if config.buffer_depth <= MAX_BEATS // config.max_speedup:
        yield make("largest K", 1, (config.max_k, 1), a=-128, w=low)
        yield make("largest K, any values", 1, (config.max_k, 1))
    yield make("zeros", 2, whole, w=0)
    for pattern in config.patterns:
        yield make(f"pattern {pattern}", config.max_tokens, whole,
                   np.full((blocks, 1), pattern.code))
    fast = max((pattern for pattern in config.patterns if pattern.n), key=lambda p: p.speedup)
    lasts = np.arange(whole[0]) % config.max_m == config.max_m - 1
    widest = max((pattern for pattern in config.patterns if pattern.n),
                 key=lambda p: (p.m, p.speedup))
    yield make("w = -1, the last of each group", 2, whole, np.full((blocks, 1), widest.code),
               w=-lasts[:, None].astype(int))
    if config.weights == "quantized":
        for bits in QUANTIZED_BITS:
            for scale in (1, UNIT_SCALE, SCALE.high):
                yield make(f"{bits} bits, scale {scale}", config.max_tokens, whole, bits=bits,
                           scale=scale)
        yield make("one token of 3 bits", 1, whole, dense, bits=3)
        yield make("one token of 8 bits", 1, whole, dense, bits=8)
    yield make("results faster than they leave", config.max_tokens, (cells, 5 * columns),
               np.full((1, 5), fast.code))
    yield make("tiles faster than they load", 3 * config.max_tokens, (blocks * cells, 1),
               np.array([[SKIPPED.code]] * (blocks - 1) + [[fast.code]]))
    if config.buffer_depth > 2 * PATTERN_LANES:
        rows = 2 * PATTERN_LANES + 1
        for label, used in (("first", 0), ("last", rows - 1), ("middle", PATTERN_LANES)):
            codes = np.zeros((rows, 3), np.int64)
            codes[used] = fast.code
            yield make(f"only the {label} block", 2, (rows * cells, 3 * columns), codes)
        most = min(config.buffer_depth, MAX_BEATS)
        for rows_of_blocks in (most, most * 3 // 4):
            codes = np.zeros((rows_of_blocks, 1), np.int64)
            codes[[0, -1]] = fast.code
            yield make(f"{rows_of_blocks} blocks, most of them skipped", 2,
                       (rows_of_blocks * cells, 1), codes)
        yield make("no block at all", 2, (rows * cells, 3 * columns), np.zeros((rows, 3), int))
    while True:
        few = min(config.buffer_depth, 2 * PATTERN_LANES + 2)
        most, skipped = few, rng.choice([0, 0.3, 0.9])
        if rng.random() < 0.2:
            most = int(few * (min(config.buffer_depth, MAX_BEATS) / few) ** rng.random())
            skipped = 1 - 0.5 * few / most
        k = int(rng.integers(1, most * cells + 1))
        n = int(rng.integers(1, 3 * columns + 1))
        shape = ceil_div(k, cells), ceil_div(n, columns)
        codes = rng.choice([pattern.code for pattern in config.patterns], shape)
        codes[rng.random(shape) < skipped] = SKIPPED.code
        m = int(rng.integers(1, 2 * config.max_tokens + 1))
        m = max(min(m, MAX_BEATS // (shape[0] * shape[1] * config.max_speedup)), 1)
        yield make(f"random {m}x{k}x{n}", m, (k, n), codes, corner=False)


def refused(config: SparseChainConfig, shape: tuple[int, int], codes: np.ndarray) -> Workload:
    """A workload of a size and patterns in which something can be made wrong."""
    return _Maker(config, np.random.default_rng(0))("refused", config.lanes, shape, codes)


class _Maker:
    """Makes workloads of given sizes and patterns, with random values where none are given."""

    def __init__(self, config: SparseChainConfig, rng: np.random.Generator):
        self._config, self._rng = config, rng

    def __call__(self, label: str, tokens: int, shape: tuple[int, int],
                 codes: np.ndarray | None = None, *, a: int | None = None,
                 w: int | np.ndarray | None = None,
                 bits: int | None = None, scale: int | None = None,
                 corner: bool = True) -> Workload:
        config = self._config
        arrays = {"a": self._values((tokens, shape[0]), a, INT8),
                  "w": self._values(shape, w, config.weight)}
        block = config.cells, config.block_columns
        grid = ceil_div(shape[0], block[0]), ceil_div(shape[1], block[1])
        if config.weights == "quantized" and w is None:
            arrays["bits"] = (self._rng.choice(QUANTIZED_BITS, grid) if bits is None
                              else np.full(grid, bits))
            scales = (*grid, config.chains)
            arrays["scales"] = (self._rng.integers(1, SCALE.high, scales, endpoint=True)
                                if scale is None else np.full(scales, scale))
            # The high bits of an int8 weight are as good a code as any.
            arrays["w"] >>= INT8.bits - per_weight(arrays["bits"], block, shape)
        if codes is not None:
            arrays["patterns"] = codes
            if config.weights != "dense":
                arrays["w"] = self._pruned(arrays["w"], codes)
        return Workload(label, arrays, corner=corner)

    def _values(self, shape, value, element):
        if value is not None:
            return np.full(shape, value)
        values = self._rng.integers(element.low, element.high, shape, endpoint=True)
        if self._rng.random() < 0.3:
            values[self._rng.random(shape) < 0.5] = element.low
        return values

    def _pruned(self, w: np.ndarray, codes: np.ndarray) -> np.ndarray:
        """Weights that the patterns hold; some groups keep fewer than they may."""
        cells, columns = self._config.cells, self._config.block_columns
        w = np.where(self._rng.random(w.shape) < 0.1, 0, w) if codes.size > 3 else w.copy()
        for k, n in np.ndindex(*codes.shape):
            part = np.s_[k * cells:(k + 1) * cells, n * columns:(n + 1) * columns]
            w[part] = prune(w[part], Pattern.from_code(int(codes[k, n])))
        return w
