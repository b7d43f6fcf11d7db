"""How long the softmax core takes, to the cycle.

Cycle 0 is the one in which the first input beat is accepted. Every stream passes a register slice,
so the first pass sees beats from cycle 1 on.
"""

from collections.abc import Iterable

from systolith.hdl.softmax.config import SoftmaxConfig

SLICE = 1                      # register slice at a port
READ = 1                       # register behind a reader or a store
BUFFER = 2                     # stores and buffers, when empty
LEVELS = 2                     # of a tree over the lanes, between two registers


def cycles(config: SoftmaxConfig, beats: Iterable[int]) -> int:
    """Cycles from the first accepted input beat to the last accepted output beat of rows with so
    many beats, both included, with nothing stalling."""
    known = READ + _accumulator(config)                  # from the last beat of a row to its sum
    division = config.y.bits + (1 if config.dividers else 0)
    inverted = division + BUFFER                         # from its sum to the second pass
    waiting = BUFFER if config.dividers else 0
    record = known + waiting + inverted
    rows_between, beats_between = record + 2, config.max_beats + record + 1

    first: list[int] = []                                # when a beat is issued in the first pass
    second: list[int] = []                               # and in the second
    finished: list[int] = []                             # when a row has left the second pass
    divided: list[int] = []                              # when its division began
    for row, count in enumerate(beats):
        start = len(first)
        for index in range(start, start + count):
            earliest = first[-1] + 1 if first else SLICE
            if index == start and row >= rows_between:
                earliest = max(earliest, finished[row - rows_between] + 1)
            if config.store == "chip" and index >= beats_between:
                earliest = max(earliest, second[index - beats_between] + 1)
            first.append(earliest)
        begun = first[-1] + known + waiting
        if divided:
            begun = max(begun, divided[-1] + 1)
        if config.dividers and row >= config.dividers:
            begun = max(begun, divided[row - config.dividers] + division)
        divided.append(begun)
        for index in range(start, start + count):
            earliest = begun + inverted if index == start else second[-1] + 1
            second.append(max(earliest, second[-1] + 1 if second else 0))
        finished.append(second[-1])
    return second[-1] + _normalizer() + BUFFER + SLICE + 1


def _accumulator(config: SoftmaxConfig) -> int:
    """From a beat to the sum that holds it: maximum, its register, shifts, weights, sum, total."""
    tree = -(-(config.lanes - 1).bit_length() // LEVELS)
    return tree + 1 + 1 + 1 + tree + 1


def _normalizer() -> int:
    """From the issue of a beat to the output buffer: read, shifts, probabilities."""
    return READ + 1 + 1
