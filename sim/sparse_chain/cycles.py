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


def cycles(config: SparseChainConfig, tiling: Tiling, patterns: np.ndarray) -> int:
    """Cycles from the first accepted input beat to the last accepted output beat, both included,
    with nothing stalling.

    Parameters
    ----------
    patterns : uint8 array, shape (K blocks, N blocks)
    """
    to_accumulators = BESIDE_GROUPS + config.cells // config.group
    speedups = {pattern.code: pattern.speedup for pattern in config.patterns if pattern.n}
    columns = [_beats_of_column(column, speedups, config.max_speedup) for column in patterns.T]

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
                taken = start + max(beats * rounds, 1) - 1
            begin = max(taken + to_accumulators, drained[1] + 1)
            drained = [drained[1], begin + config.max_speedup * rounds - 1]
        free[tile % 2] = taken + 1
    return drained[1] + OUTPUT + SLICE + 1


def _beats_of_column(column: np.ndarray, speedups: dict[int, int],
                     max_speedup: int) -> list[int | None]:
    """What the scanner finds in a column block: beats of each block that is not skipped.

    0 is the end of the column block, if its last beat of pattern bytes has no other block; None is
    any other such beat.
    """
    steps: list[int | None] = []
    count = ceil_div(len(column), PATTERN_LANES)
    for beat in range(count):
        codes = column[beat * PATTERN_LANES:(beat + 1) * PATTERN_LANES]
        blocks = [max_speedup // speedups[code] for code in codes.tolist()
                  if Pattern.from_code(code).n]
        steps += blocks or [0 if beat == count - 1 else None]
    return steps
