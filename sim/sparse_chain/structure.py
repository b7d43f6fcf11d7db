"""The chain as it is built: packed lanes, low and high parts, segments. Not how results are checked
elsewhere, which is a plain matrix product, but what the two must agree on.

Written from FlightLLM (arXiv 2401.03868, section 3.2 and 3.3) in plain integers, not in the excess
form of the hardware.
"""

import numpy as np

from systolith.hdl.formats.patterns import Pattern
from systolith.hdl.sparse_chain.config import SparseChainConfig
from systolith.sim.sparse import PackedMatrix

LANE = 18                              # bits of a packed lane
LOW = 16                               # bits of the low part that continues


def product(config: SparseChainConfig, a: np.ndarray, weights: PackedMatrix) -> np.ndarray:
    """C = A · W through the chains, shape (M, N), int64.

    Parameters
    ----------
    a : int64 array, shape (M, K)
    weights : PackedMatrix
        In the blocks of the core.

    Raises
    ------
    OverflowError
        If a lane leaves its bits.
    """
    lanes, cells, columns = config.lanes, config.cells, config.block_columns
    k_blocks, n_blocks = weights.patterns.shape
    rounds = -(-len(a) // lanes)
    tokens = np.zeros((rounds * lanes, k_blocks * cells), np.int64)
    tokens[:len(a), :a.shape[1]] = a
    tokens = tokens.reshape(rounds, lanes, k_blocks, cells)
    c = np.zeros((rounds, lanes, n_blocks * columns), np.int64)
    for number, (pattern, values, indices) in enumerate(weights.blocks()):
        if pattern.n:
            n, k = divmod(number, k_blocks)
            sums = segment_sums(config, pattern, values.reshape(-1, cells).astype(np.int64),
                                indices.reshape(-1, cells).astype(np.int64), tokens[:, :, k])
            c[:, :, n * columns:(n + 1) * columns] += sums
    return c.reshape(rounds * lanes, -1)[:len(a), :weights.shape[1]]


def segment_sums(config: SparseChainConfig, pattern: Pattern, weights: np.ndarray,
                 indices: np.ndarray, tokens: np.ndarray) -> np.ndarray:
    """Sums of all segments of some beats.

    Parameters
    ----------
    weights, indices : int64 arrays, shape (beats, cells)
    tokens : int64 array, shape (rounds, lanes, cells)
        The activations of the block.

    Returns
    -------
    int64 array, shape (rounds, lanes, beats * M/N)
    """
    cells, lanes = config.cells, tokens.shape[1]
    segment = cells * pattern.n // pattern.m
    results = []
    word = high = None
    for first in range(0, cells, config.group):
        if first % segment == 0:                         # the chain is broken: start from zero
            word = np.zeros((len(tokens), len(weights)), np.int64)
            high = [np.zeros_like(word) for _ in range(lanes)]
        elif lanes == 2:                                 # overflow adjust between two groups
            low, carried = zip(*map(_split, _unpack(word)), strict=True)
            word = (low[1] << LANE) + low[0]
            high = [total + part for total, part in zip(high, carried, strict=True)]
        for cell in range(first, first + config.group):
            place = cell % segment // pattern.n * pattern.m + indices[:, cell]
            chosen = tokens[:, :, place]                 # the sparse multiplexer
            packed = chosen[:, 0] if lanes == 1 else (chosen[:, 1] << LANE) + chosen[:, 0]
            word = word + weights[:, cell] * packed
        if (first + config.group) % segment == 0:        # the reduction node
            results.append([word] if lanes == 1 else [
                lane + (part << LOW) for lane, part in zip(_unpack(word), high, strict=True)])
    return np.moveaxis(np.array(results), 0, -1).swapaxes(0, 1).reshape(len(tokens), lanes, -1)


def _unpack(word: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both lanes of a packed word: the low one is signed and borrows from the high one."""
    lane_0 = _signed(word, LANE)
    lane_1 = (word >> LANE) + (lane_0 < 0)
    if (np.abs(lane_1 + (lane_1 < 0)) >= 1 << LANE - 1).any():
        raise OverflowError(f"a lane left its {LANE} bits")
    return lane_0, lane_1


def _split(lane: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Low part, signed, and high part: lane = high * 2^16 + low."""
    low = _signed(lane, LOW)
    return low, (lane - low) >> LOW


def _signed(value: np.ndarray, bits: int) -> np.ndarray:
    return ((value + (1 << bits - 1)) & (1 << bits) - 1) - (1 << bits - 1)
