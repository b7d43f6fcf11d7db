"""How long the sparse chain takes, to the cycle.

Cycle 0 is the one in which the first input beat is accepted. Every stream passes a register slice,
so the inside sees beats from cycle 1 on.
"""

import numpy as np

from systolith.hdl.formats.patterns import Pattern
from systolith.hdl.sparse_chain.config import PATTERN_LANES, SparseChainConfig
from systolith.sim.operands import ceil_div
from systolith.sim.sparse_chain.driver import Tiling

SLICE = 1                      # register slice at a port
OUTPUT = 1                     # output register of the drain

# From the issue of a beat: weights registered, index decoded, activation selected, multiplied,
# added up in the group; reduction node; addend and accumulator.
BESIDE_GROUPS = 5 + 1 + 2


# In DSP48E1: a register more in front of the product, one for each sum of a cascade of two, and
# that of all sums, where elsewhere there is one for the sum.
CASCADE = {1: 2, 2: 3, 4: 3}

# Registers between the last beat of an element at w and the chains, after which it waits: product
# and rounded weight; the element that pruning gave.
STAGE_REGISTERS = {"quantized": 2, "dense": 1}


def cycles(config: SparseChainConfig, tiling: Tiling, patterns: np.ndarray,
           bits: np.ndarray | None = None) -> int:
    """Cycles from the first accepted input beat to the last accepted output beat, both included,
    with nothing stalling.

    Parameters
    ----------
    patterns : uint8 array, shape (K blocks, N blocks)
    bits : integer array of that shape, optional
        Widths of the codes, if weights are quantized.
    """
    to_accumulators = BESIDE_GROUPS + config.cells // config.group
    if config.technology == "xilinx7" and config.lanes == 2:
        to_accumulators += CASCADE[config.group]
    columns = [_steps_of_column(config, codes, None if bits is None else bits[:, n])
               for n, codes in enumerate(patterns.T)]
    stage = _Stage(STAGE_REGISTERS[config.weights]) if config.weights != "kept" else None

    scan = SLICE                       # next step of the scanner
    taken = 0                          # when the last block was finished
    loaded = SLICE - 1                 # when the last beat of activations was stored
    free = [SLICE, SLICE]              # when the halves of the buffer may be written
    drained = [0, 0]                   # when the last of a column block was read, of two
    for tile, rounds in enumerate(tiling.rounds):
        loaded = max(loaded + 1, free[tile % 2]) + tiling.k_blocks * rounds - 1
        for steps in columns:
            ready = max(loaded, drained[0]) + 1
            for beats in steps:
                if beats is None:                        # skipped, and nothing to hand on
                    scan += 1
                    continue
                found = max(scan, taken)
                scan = found + 1
                start = max(found + 1, ready)
                if stage and beats:
                    taken = stage.block(start, beats, rounds)
                else:
                    taken = start + max(len(beats) * rounds, 1) - 1
            begin = max(taken + to_accumulators, drained[1] + 1)
            drained = [drained[1], begin + config.max_speedup * rounds - 1]
        free[tile % 2] = taken + 1
    return drained[1] + OUTPUT + SLICE + 1


class _Stage:
    """Elements on their way from w to the chains: gathered, then through registers in a row."""

    def __init__(self, registers: int):
        self._gathered = SLICE                           # when the next one's first beat may come
        self._left = [-1] * (registers + 1)              # when the last one left each place

    def block(self, start: int, beats: list[int], rounds: int) -> int:
        """When the chains are done with a block.

        Parameters
        ----------
        start : int
            When they could begin with it.
        beats : list of int
            Beats of w for each of its elements; the first one's with the header.
        rounds : int
            Cycles for which an element is used.
        """
        for count in beats:
            moved = self._gathered + count               # the cycle after its last beat
            for place in range(len(self._left) - 1):
                # It leaves a place when the next one is, or becomes, empty.
                moved = max(moved, self._left[place + 1])
                if place == 0:
                    self._gathered = moved
                self._left[place] = moved
                moved += 1
            start = max(start, moved) + rounds
            self._left[-1] = start - 1
        return start - 1


def _steps_of_column(config: SparseChainConfig, codes: np.ndarray,
                     bits: np.ndarray | None) -> list[list[int] | None]:
    """What the scanner finds in a column block: of each block that is not skipped the beats of w
    for each element beat.

    Nothing is the end of the column block, if its last beat of pattern bytes has no other block;
    None is any other such beat.
    """
    steps: list[list[int] | None] = []
    count = ceil_div(len(codes), PATTERN_LANES)
    for beat in range(count):
        blocks = []
        for k in range(beat * PATTERN_LANES, min((beat + 1) * PATTERN_LANES, len(codes))):
            pattern = Pattern.from_code(int(codes[k]))
            if pattern.n:
                each = _w_beats(config, pattern, None if bits is None else int(bits[k]))
                elements = [each] * (config.max_speedup // pattern.speedup)
                elements[0] += config.weights == "quantized"         # the scales
                blocks.append(elements)
        steps += blocks or [[] if beat == count - 1 else None]
    return steps


def _w_beats(config: SparseChainConfig, pattern: Pattern, bits: int | None) -> int:
    """Beats of w that make an element beat, the header not counted."""
    if bits is not None:
        return ceil_div(bits, config.planes) + ceil_div(pattern.index_bits, config.planes)
    return pattern.m if config.weights == "dense" else 1
