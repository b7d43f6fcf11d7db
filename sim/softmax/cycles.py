"""How long the softmax core takes, to the cycle.

Cycle 0 is the one in which the first input beat is accepted. Every stream passes a register slice,
so the first pass sees beats from cycle 1 on.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from systolith.hdl.arithmetic.config import (
    ExponentialParameters,
    InverseParameters,
    LogarithmParameters,
    Segments,
)
from systolith.hdl.softmax.config import SoftmaxConfig

SLICE = 1                      # register slice at a port
MEMORY = 2                     # registers of the memory of a store
BUFFER = 2                     # records and buffers, when empty
MULTIPLIER = 2
NORMALIZE = 4                  # the leading one found, and moved to the top


def cycles(config: SoftmaxConfig, beats: Iterable[int]) -> int:
    """Cycles from the first accepted input beat to the last accepted output beat of rows with so
    many beats, both included, with nothing stalling."""
    records, last = PASSES[config.algorithm](config)
    passes = [_Pass() for _ in range(len(records) + 1)]
    reader = _reader(config)
    issue = [reader] + [MEMORY if config.store == "chip" else reader] * len(records)
    waits = [issue[number] + record + BUFFER for number, record in enumerate(records)]
    if config.dividers:
        waits[-1] += BUFFER + 1                          # a queue, and a cycle more in the divider
    divided: list[int] = []                              # when the division of a row began
    for row, count in enumerate(beats):
        start = len(passes[0].issued)
        for number, now in enumerate(passes):
            for index in range(start, start + count):
                earliest = now.issued[-1] + 1 if now.issued else SLICE
                if number and index == start:
                    ready = passes[number - 1].issued[-1] + waits[number - 1]
                    if config.dividers and number == len(records):
                        ready = _after_division(config, divided, ready)
                    earliest = max(earliest, ready)
                if number < len(waits):
                    behind, wait = passes[number + 1], waits[number]
                    if config.store == "chip" and (other := index - config.max_beats - wait - 1) \
                            >= 0:
                        earliest = max(earliest, behind.issued[other] + 1)
                    if index == start and (other := row - wait - 2) >= 0:
                        earliest = max(earliest, behind.finished[other] + 1)
                now.issued.append(earliest)
            now.finished.append(now.issued[-1])
    return passes[-1].issued[-1] + issue[-1] + last + BUFFER + SLICE + 1


@dataclass
class _Pass:
    """When each beat was issued, and when each row was through."""

    issued: list[int] = field(default_factory=list)
    finished: list[int] = field(default_factory=list)


def _after_division(config: SoftmaxConfig, divided: list[int], ready: int) -> int:
    """``ready``, or later because no divider was free."""
    steps = _quotient_bits(config) + 1
    begun = ready - steps - BUFFER
    if divided:
        begun = max(begun, divided[-1] + 1)
    if len(divided) >= config.dividers:
        begun = max(begun, divided[-config.dividers] + steps)
    divided.append(begun)
    return begun + steps + BUFFER


def _quotient_bits(config: SoftmaxConfig) -> int:
    return config.factor_bits if config.algorithm == "ibert" else config.y.bits


def _reader(config: SoftmaxConfig) -> int:
    """Register behind a stream; a float in fixed point; the mask added."""
    return 1 + (4 if config.float_in else 0) + config.additive_mask


def _tree(config: SoftmaxConfig) -> int:
    return (config.lanes - 1).bit_length()


def _piecewise(segments: Segments) -> int:
    return 3 + (segments.degree * (MULTIPLIER + 1) + 1 if segments.degree else 0)


def _running_sum(config: SoftmaxConfig, lane: int, total: int) -> int:
    """Maximum of a beat and of the row, weights, their sum, the total."""
    return 1 + _tree(config) + 1 + lane + _tree(config) + total


#: A sum that is shifted: what is added is shifted, added; the sum, and that shifted back.
SHIFTED = 4


def _integer(config: SoftmaxConfig) -> tuple[list[int], int]:
    return [_running_sum(config, 2, SHIFTED) + config.y.bits], 2


def _ibert(config: SoftmaxConfig) -> tuple[list[int], int]:
    # Distance, limit, quotient and remainder, parabola, shift.
    exponential = 2 + 5 + 1 + MULTIPLIER + 2
    total = exponential + _tree(config) + 1 + 1
    return [1 + _tree(config) + 1, total + _quotient_bits(config)], exponential + MULTIPLIER + 1


def _base2(config: SoftmaxConfig) -> tuple[list[int], int]:
    inverse = InverseParameters(config.sum_integer + config.sum_fraction, config.y.bits - 1)
    total = 1 + _running_sum(config, 2, SHIFTED)
    return [total + NORMALIZE + _piecewise(inverse.segments)], 1 + 2 + MULTIPLIER + 1


def _power(config: SoftmaxConfig) -> int:
    """Logit times scale, then 2 to that power."""
    return MULTIPLIER + _piecewise(ExponentialParameters(config.z, config.precision, "2").segments)


def _inverse(config: SoftmaxConfig) -> int:
    """Lines or parabolas of the normalized sum, the margin."""
    inverse = InverseParameters(config.total_bits, config.precision)
    return NORMALIZE + _piecewise(inverse.segments) + 1


def _real(config: SoftmaxConfig, *totals: int) -> tuple[list[int], int]:
    """What each pass takes until its totals are known; the last of them is inverted."""
    *first, total = totals
    if config.output == "log":
        level = LogarithmParameters(config.total_bits, config.precision)
        record = NORMALIZE + _piecewise(level.segments) + 1
        last = 2 * MULTIPLIER + 1 + (4 if config.float_out else 2)
    else:
        record = _inverse(config)
        last = _power(config) + MULTIPLIER + (4 if config.float_out else 1)
    return [*first, total + record], last


def _online(config: SoftmaxConfig) -> tuple[list[int], int]:
    return _real(config, _power(config) + _running_sum(config, 2, 1))


def _two_pass(config: SoftmaxConfig) -> tuple[list[int], int]:
    return _real(config, _power(config) + 1 + 1 + 2 + 1 + _tree(config) + 2 + _tree(config))


def _three_pass(config: SoftmaxConfig) -> tuple[list[int], int]:
    return _real(config, 1 + _tree(config) + 1 + MULTIPLIER, _power(config) + 2 + _tree(config) + 1)


#: Of every algorithm: cycles from the last beat of a row at the input of each pass to the record of
#: the row, and from a beat to its probabilities in the last pass.
PASSES = {"base2": _base2, "ibert": _ibert, "integer": _integer, "online": _online,
          "single_pass": _online, "three_pass": _three_pass, "two_pass": _two_pass}
