"""Arrays to beats of the sparse chain and back: tiling, padding, packing."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from systolith.hdl.sparse_chain.config import INT8, PATTERN_LANES, SparseChainConfig
from systolith.sim.frames import Beats
from systolith.sim.model import Arrays, Job, Workload
from systolith.sim.operands import ceil_div, result_dtype
from systolith.sim.sparse import PackedMatrix
from systolith.sim.sparse import pack as compress_matrix

FINAL = 1                              # tuser of a p frame


@dataclass(frozen=True)
class Tiling:
    """How a product is cut into frames; column blocks run inside tiles of tokens.

    Attributes
    ----------
    m, k, n : int
        Sizes of the product.
    k_blocks, n_blocks : int
    rounds : tuple of int
        Of every tile of tokens, powers of two; a round is ``lanes`` tokens.
    """

    m: int
    k: int
    n: int
    k_blocks: int
    n_blocks: int
    rounds: tuple[int, ...]

    @classmethod
    def of(cls, config: SparseChainConfig, workload: Workload) -> "Tiling":
        """The tiling of a checked workload: as few tiles as the buffer allows."""
        (m, k), n = workload.arrays["a"].shape, workload.arrays["w"].shape[1]
        k_blocks = ceil_div(k, config.cells)
        most = min(config.max_rounds, _power_of_two(config.buffer_depth // k_blocks))
        left = ceil_div(m, config.lanes)
        rounds = [most] * (left // most)
        left %= most
        while left:
            rounds.append(_power_of_two(left))
            left -= rounds[-1]
        return cls(m, k, n, k_blocks, ceil_div(n, config.block_columns), tuple(rounds))


def compress(config: SparseChainConfig, w: np.ndarray, patterns: Any) -> PackedMatrix:
    """The weights in the blocks and patterns of a core; ``patterns`` as for a call."""
    return compress_matrix(w, (config.cells, config.block_columns), patterns=patterns,
                           allowed=config.patterns)


def packed(config: SparseChainConfig, workload: Workload) -> PackedMatrix:
    """The weights of a checked workload."""
    return compress(config, workload.arrays["w"], workload.arrays["patterns"])


def pack(config: SparseChainConfig, workload: Workload) -> Job:
    """Tile and pad the operands of a checked workload into beats."""
    tiling = Tiling.of(config, workload)
    weights = packed(config, workload)
    p, w = pattern_beats(weights.patterns), weight_beats(config, weights)
    inputs = {"a": activation_beats(config, tiling, workload.arrays["a"])}
    for name, beats, lanes in (("p", p, PATTERN_LANES), ("w", w, config.chains * config.cells)):
        inputs[name] = Beats.join([beats] * len(tiling.rounds), lanes)
    beats = config.max_speedup * tiling.n_blocks * sum(tiling.rounds)
    return Job({}, inputs, {"c": beats})


def activation_beats(config: SparseChainConfig, tiling: Tiling, a: np.ndarray) -> Beats:
    """A frame for every tile of tokens."""
    width = config.lanes * config.cells
    padded = np.zeros((sum(tiling.rounds) * config.lanes, tiling.k_blocks * config.cells), np.int64)
    padded[:tiling.m, :tiling.k] = a
    frames, start = [], 0
    for rounds in tiling.rounds:
        tile = padded[start:start + rounds * config.lanes]
        start += rounds * config.lanes
        words = tile.reshape(rounds, config.lanes, tiling.k_blocks, config.cells)
        frames.append(Beats.frame(words.transpose(2, 0, 1, 3).reshape(-1, width),
                                  rounds.bit_length() - 1))
    return Beats.join(frames, width)


def pattern_beats(patterns: np.ndarray) -> Beats:
    """A frame for every column block, completed with skipped blocks."""
    k_blocks, n_blocks = patterns.shape
    codes = np.zeros((n_blocks, ceil_div(k_blocks, PATTERN_LANES) * PATTERN_LANES), np.int64)
    codes[:, :k_blocks] = patterns.T
    frames = [Beats.frame(column.reshape(-1, PATTERN_LANES),
                          FINAL if block == n_blocks - 1 else 0)
              for block, column in enumerate(codes)]
    return Beats.join(frames, PATTERN_LANES)


def weight_beats(config: SparseChainConfig, weights: PackedMatrix) -> Beats:
    """A frame for every block that is not skipped."""
    frames = []
    for pattern, values, indices in weights.blocks():
        if pattern.n:
            stored = values.view(np.uint8).astype(np.int64)
            if pattern.index_bits:
                stored |= indices.astype(np.int64) << INT8.bits
            beats = stored.reshape(config.chains, -1, config.cells).swapaxes(0, 1)
            frames.append(Beats.frame(beats.reshape(len(beats[:, 0]), -1)))
    return Beats.join(frames, config.chains * config.cells)


def expect(config: SparseChainConfig, workload: Workload, outputs: Arrays,
           pad: int | None = None) -> dict[str, Beats]:
    """Beats that carry ``outputs``; lanes that carry nothing hold ``pad``, or zero."""
    tiling = Tiling.of(config, workload)
    c = np.full((sum(tiling.rounds) * config.lanes, tiling.n_blocks * config.block_columns),
                pad or 0, np.int64)
    c[:tiling.m, :tiling.n] = outputs["c"]
    frames, start = [], 0
    for rounds in tiling.rounds:
        tile = c[start:start + rounds * config.lanes]
        start += rounds * config.lanes
        split = tile.reshape(rounds, config.lanes, tiling.n_blocks, config.chains, -1)
        blocks = split.transpose(2, 4, 0, 3, 1).reshape(
            tiling.n_blocks, -1, config.chains * config.lanes)
        frames += [Beats.frame(block) for block in blocks]
    return {"c": Beats.join(frames, config.chains * config.lanes)}


def unpack(config: SparseChainConfig, workload: Workload,
           beats: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Put c beats, shape (beats, chains · lanes), together into C, shape (M, N)."""
    tiling = Tiling.of(config, workload)
    tiles, start = [], 0
    for rounds in tiling.rounds:
        count = tiling.n_blocks * config.max_speedup * rounds
        split = beats["c"][start:start + count].reshape(
            tiling.n_blocks, config.max_speedup, rounds, config.chains, config.lanes)
        start += count
        tiles.append(split.transpose(2, 4, 0, 3, 1).reshape(rounds * config.lanes, -1))
    c = np.concatenate(tiles)[:tiling.m, :tiling.n]
    return {"c": c.astype(result_dtype(config.acc))}


def _power_of_two(value: int) -> int:
    """The largest one that is not above ``value``."""
    return 1 << (value.bit_length() - 1)
