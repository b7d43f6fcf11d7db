"""Arrays to beats of the sparse chain and back: tiling, padding, packing."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from systolith.hdl.formats.patterns import Pattern
from systolith.hdl.sparse_chain.config import PATTERN_LANES, SparseChainConfig
from systolith.sim.frames import Beats
from systolith.sim.model import Arrays, Job, Workload
from systolith.sim.operands import ceil_div, result_dtype
from systolith.sim.sparse import PackedMatrix, prune
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
    """The weights of a checked workload that meet activations, or the codes of these."""
    w, patterns = workload.arrays["w"], workload.arrays["patterns"]
    if config.weights == "dense":
        w = w.copy()
        for k, n in np.ndindex(*patterns.shape):
            block = np.s_[k * config.cells:(k + 1) * config.cells,
                          n * config.block_columns:(n + 1) * config.block_columns]
            w[block] = prune(w[block], Pattern.from_code(int(patterns[k, n])))
    return compress(config, w, patterns)


def pack(config: SparseChainConfig, workload: Workload) -> Job:
    """Tile and pad the operands of a checked workload into beats."""
    tiling = Tiling.of(config, workload)
    match config.weights:
        case "kept":
            w = weight_beats(config, packed(config, workload))
        case "quantized":
            w = quantized_beats(config, packed(config, workload), workload.arrays["bits"],
                                workload.arrays["scales"])
        case _:
            w = dense_beats(config, tiling, workload)
    p = pattern_beats(workload.arrays["patterns"])
    inputs = {"a": activation_beats(config, tiling, workload.arrays["a"])}
    for name, beats, lanes in (("p", p, PATTERN_LANES), ("w", w, w.data.shape[1])):
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
    """A frame of kept weights for every block that is not skipped."""
    width = config.weight.bits
    frames = [Beats.frame(values & (1 << width) - 1 | indices << width)
              for _, _, values, indices in _cells(config, weights)]
    return Beats.join(frames, config.chains * config.cells)


def quantized_beats(config: SparseChainConfig, codes: PackedMatrix, bits: np.ndarray,
                    scales: np.ndarray) -> Beats:
    """A frame of scales, and of codes and indices bit by bit, for every block not skipped."""
    planes, frames = config.planes, []
    for pattern, (k, n), values, indices in _cells(config, codes):
        width, index_bits = int(bits[k, n]), pattern.index_bits
        code_beats, index_beats = ceil_div(width, planes), ceil_div(index_bits, planes)
        code = (values & (1 << width) - 1) << code_beats * planes - width
        whole = code | indices << code_beats * planes
        parts = [whole >> planes * beat & (1 << planes) - 1
                 for beat in range(code_beats + index_beats)]
        # The scale of a chain lies across its first elements.
        head = [[scale >> planes * cell & (1 << planes) - 1 for cell in range(config.cells)]
                for scale in scales[k, n].tolist()]
        frames.append(Beats.frame(np.concatenate(
            [np.reshape(head, (1, -1)), np.stack(parts, 1).reshape(-1, values.shape[1])]),
            width | index_bits << 4))
    return Beats.join(frames, config.chains * config.cells)


def dense_beats(config: SparseChainConfig, tiling: Tiling, workload: Workload) -> Beats:
    """A frame of whole groups for every block that is not skipped."""
    cells, chains, lanes = config.cells, config.chains, config.prune_lanes
    w = np.zeros((tiling.k_blocks * cells, tiling.n_blocks * config.block_columns), np.int64)
    w[:tiling.k, :tiling.n] = workload.arrays["w"]
    frames = []
    for n, k in np.ndindex(tiling.n_blocks, tiling.k_blocks):
        pattern = Pattern.from_code(int(workload.arrays["patterns"][k, n]))
        if not pattern.n:
            continue
        block = w[k * cells:(k + 1) * cells,
                  n * config.block_columns:(n + 1) * config.block_columns]
        # Rows are group and place, columns chain, beat of the chains and segment.
        split = block.reshape(cells // pattern.m, pattern.m, chains, -1, pattern.speedup)
        used = split.transpose(3, 1, 2, 4, 0).reshape(-1, chains, cells // pattern.n)
        beats = np.zeros((len(used), chains, lanes), np.int64)
        beats[:, :, :used.shape[2]] = used
        frames.append(Beats.frame(beats.reshape(len(beats), -1), pattern.code))
    return Beats.join(frames, chains * lanes)


def _cells(config: SparseChainConfig, weights: PackedMatrix) -> Iterator[
        tuple[Pattern, tuple[int, int], np.ndarray, np.ndarray]]:
    """Of every block that is not skipped: its pattern, its place [k, n], and beat by beat the
    values and the indices (0 where none is stored) of all cells."""
    blocks = len(weights.patterns)
    for number, (pattern, values, indices) in enumerate(weights.blocks()):
        if pattern.n:
            n, k = divmod(number, blocks)
            parts = [part.astype(np.int64).reshape(config.chains, -1, config.cells)
                     .swapaxes(0, 1).reshape(-1, config.chains * config.cells)
                     for part in (values, indices if pattern.index_bits else 0 * indices)]
            yield pattern, (k, n), *parts


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
