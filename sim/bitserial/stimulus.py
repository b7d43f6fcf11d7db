"""Workloads that try the bit-serial core: corner cases first, then random ones without end."""

from collections.abc import Iterator

import numpy as np

from systolith.hdl.bitserial.config import LANES, SPECIAL, SPECIALS, TYPES, BitserialConfig
from systolith.sim.model import Workload

LARGEST = {"fp16": 65504.0, "int8": 127}
#: Of K in a workload that overflows an accumulator.
MAX_INNER = 1024


def stimulus(config: BitserialConfig, rng: np.random.Generator) -> Iterator[Workload]:
    """Yield corner cases, then random workloads for ever."""
    rows, cols, group = config.rows, config.cols, config.group
    high = LARGEST[config.a_format]

    def workload(label: str, shape: tuple[int, int, int], types: object, *,
                 a: object = None, w: object = None, corner: bool = True,
                 **given: object) -> Workload:
        tokens, channels, inner = shape
        groups = -(-inner // group)
        numbers = np.broadcast_to(types, groups)
        if a is None:
            a = _activations(config, rng, (tokens, inner))
        if w is None:
            w = _codes(config, rng, numbers, (channels, inner))
        arrays = {"a": np.broadcast_to(a, (tokens, inner)).copy(),
                  "w": np.broadcast_to(w, (channels, inner)).copy(), "types": numbers.copy(),
                  "scales": rng.integers(1, 128, (channels, groups)) * rng.choice([1, 1, -1]),
                  "select": rng.integers(0, 4, (channels, groups))}
        return Workload(label, arrays | given, corner=corner)

    for number, kind in enumerate(TYPES):
        yield workload(f"{kind.name}, one group", (rows, cols, group), number)
        yield workload(f"{kind.name}, sizes that do not divide",
                       (rows + 1, cols + 1, group + 3), number)
    yield workload("1x1x1", (1, 1, 1), 3)
    yield workload("a type for each group", (1, cols, 5 * group), np.arange(5))
    # More results than fit inside, if they are not taken.
    yield workload("tile after tile", (4 * rows + 32, 1, 1), 3)
    yield workload("zeros", (rows, cols, group), 0, a=0)
    yield workload("weights of zero", (rows, cols, 2 * group), [3, 1], w=0)
    # Every bit of the running sum, and of the sum over groups.
    for label, sign in (("largest", 1), ("largest negative", -1)):
        yield workload(label, (1, cols, 2 * group), 0, a=sign * high, w=-128,
                       scales=np.full((cols, 2), -128))
        # A full running sum, then all lanes at full scale in the highest digit.
        yield workload(f"widest sum of a cycle, {label}", (1, cols, group), 0, a=sign * high,
                       w=np.r_[-1, 0, 0, 0, [-64] * 4, np.zeros(group - 8, np.int64)])
    yield workload("sum of -2 to a power", (1, cols, group), 0, a=np.r_[-1, -1, [0] * (group - 2)],
                   w=1, scales=1)
    alternating = np.resize([high, -high], group)
    yield workload("cancellation", (rows, cols, group), 3, a=alternating, w=7)
    if not config.exact:
        # What the running sum holds has the larger exponent, then the smaller one.
        falling = 2.0 ** (15 - np.arange(group) % 30)
        yield workload("falling exponents", (rows, cols, group), 0, a=falling)
        yield workload("rising exponents", (rows, cols, group), 0, a=falling[::-1])
        # The sum over groups grows beyond its bits, and to a power of two. The sum of a group may
        # be little more than half of what its bits hold.
        groups = 5 if group >= 64 else 10
        if groups * group <= MAX_INNER:
            for label, sign in (("highest", 1), ("lowest", -1)):
                yield workload(f"{label} sum over groups", (1, cols, groups * group), 0,
                               a=sign * high, w=127, scales=127)
        if 8 * group <= MAX_INNER:
            yield workload("sum over groups of -2 to a power", (1, cols, 8 * group), 0,
                           a=np.tile(np.r_[1, 1, [0] * (group - 2)], 8), w=1, scales=-128)
        ties = [2048.0, 0.125, 0.375, -0.625, 1024.5, 0.0625, 0.75, -3.0]
        yield workload("ties", (rows, cols, group), 4, a=np.resize(ties, group))
        yield workload("subnormals", (rows, cols, group), 3,
                       a=rng.integers(-1023, 1024, (rows, group)) * 2.0**-24)
        yield workload("Inf and NaN", (rows, cols, group), 1,
                       a=np.resize([np.inf, 1.5, np.nan, -np.inf, -2.0], group))
    else:
        yield workload("lowest activations", (rows, cols, 2 * group), [0, 3], a=-128, w=-128)
        # Sums that just fit the accumulator, and some that do not, if that takes few groups.
        fitting = (1 << config.acc_width - 1) // (2 * group * 128**3)
        if (fitting + 1) * group <= MAX_INNER:
            for groups, scale in ((fitting, -128), (fitting + 1, -128), (fitting + 1, 127)):
                yield workload(f"{groups} sums of groups, scale {scale}", (1, cols, groups * group),
                               0, a=-128, w=-128, scales=scale)
    yield workload("scales of zero", (rows, cols, 2 * group), 3,
                   scales=np.resize([0, 3], (cols, 2)))
    yield workload("scales of -1", (rows, cols, 2 * group), [3, 4], scales=np.full((cols, 2), -1),
                   select=np.full((cols, 2), 3))
    yield workload("codes beyond their type", (rows, cols, group), 2,
                   w=rng.integers(0, 256, (cols, group)))
    yield workload("codes beyond four bits", (rows, cols, group), 3,
                   w=rng.integers(0, 256, (cols, group)))
    yield workload("types that are none", (rows, cols, 3 * group), [5, 6, 7],
                   w=rng.integers(0, 256, (cols, 3 * group)))
    # Each flag in one column alone, and a code in one lane; in one group each.
    for index in range(max(cols, LANES)):
        alone = (np.arange(cols) == index % cols)[:, None]
        codes = np.zeros((cols, 3 * group), np.int64)
        codes[:, :group] = 64 * (alone & (np.arange(group) == index % LANES))
        codes[:, group:2 * group] = TYPES[3].format.special_code
        yield workload(f"wrong in lane {index % LANES} of column {index % cols} alone",
                       (1, cols, 3 * group), [2, 3, 0], w=codes,
                       select=alone * [0, 1, 0], scales=3 - alone * [0, 0, 3],
                       bitmod4_special=np.array([1, 5.5, 2, 4]))
    for start in range(-32, 32, 4):
        values = np.arange(start, start + 4) / 2
        yield workload(f"special values {values[0]} to {values[-1]}",
                       (1, cols, 2 * group), [3, 4], bitmod4_special=values,
                       bitmod3_special=values[::-1])
    while True:
        shape = (int(rng.integers(1, 2 * rows + 1)), int(rng.integers(1, 2 * cols + 1)),
                 int(rng.integers(1, 3 * group + 1)))
        groups = -(-shape[2] // group)
        specials = {f"{kind.name}_special": rng.integers(SPECIAL.code_low, SPECIAL.code_high,
                                                         SPECIALS, endpoint=True) / 2
                    for kind in TYPES if kind.mixture} if rng.random() < 0.5 else {}
        yield workload(f"random {shape[0]}x{shape[1]}x{shape[2]}", shape,
                       rng.integers(0, len(TYPES), groups), corner=False, **specials)


def _activations(config: BitserialConfig, rng: np.random.Generator,
                 shape: tuple[int, int]) -> np.ndarray:
    """Any integers; floats of any exponents, or of those of a layer."""
    if config.exact:
        return rng.integers(-128, 128, shape)
    spread = int(rng.choice([1, 14]))
    return rng.normal(size=shape) * 2.0 ** rng.integers(-spread, spread + 1, shape)


def _codes(config: BitserialConfig, rng: np.random.Generator, numbers: np.ndarray,
           shape: tuple[int, int]) -> np.ndarray:
    codes = np.zeros((shape[0], len(numbers) * config.group), np.int64)
    for group, number in enumerate(numbers):
        part = codes[:, group * config.group:(group + 1) * config.group]
        form = TYPES[number].format
        part[:] = rng.integers(0, 1 << form.bits, part.shape)
        if not TYPES[number].mixture:
            part -= part[:] >> form.bits - 1 << form.bits
    return codes[:, :shape[1]]
