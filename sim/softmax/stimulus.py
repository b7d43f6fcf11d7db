"""Workloads that try the softmax core: corner cases first, then random ones without end."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from systolith.hdl.softmax.config import SCALE_BITS, SoftmaxConfig
from systolith.sim.formats import decode
from systolith.sim.model import Workload
from systolith.sim.operands import ceil_div

#: Of the longest corner case.
MAX_BEATS = 400
#: More than there is room for in any core.
MANY_ROWS = 200


def stimulus(config: SoftmaxConfig, rng: np.random.Generator) -> Iterator[Workload]:
    """Yield corner cases, then random workloads for ever."""
    low, high, lanes = config.logit.low, config.logit.high, config.lanes
    longest = min(config.max_length, MAX_BEATS * lanes)
    middle = min(config.max_length, 3 * lanes)
    scaled = config.algorithm != "ibert" and bool(config.registers)

    def uniform(rows: int, columns: int) -> np.ndarray:
        return rng.integers(low, high, (rows, columns), endpoint=True)

    def near(rows: int, columns: int) -> np.ndarray:
        """Logits close to each other, so that many weigh in."""
        halving = config.step_shift if config.algorithm == "integer" else config.in_fraction
        scale = 1 << min(halving + 1, config.logit.bits - 2)
        spread = rng.normal((low + high) / 2, scale, (rows, columns))
        return spread.astype(int).clip(low, high)

    def corner(label: str, x: np.ndarray, **more: Any) -> Workload:
        return _workload(config, rng, label, x, corner=True, **more)

    yield corner("one element", uniform(1, 1))
    yield corner("rows of one element", uniform(MANY_ROWS, 1))
    yield corner("rows of one beat", uniform(MANY_ROWS, min(lanes, config.max_length)))
    yield corner("longest row", uniform(1, longest))
    yield corner("longest rows, lowest", np.full((2, longest), low))
    yield corner("longest rows, highest", np.full((2, longest), high))
    yield corner("longest rows, near each other", near(3, longest))
    yield corner("one hot", np.where(np.arange(middle) == np.arange(middle)[:, None], high, low))
    yield corner("rising", np.sort(uniform(3, longest), axis=1))
    yield corner("falling", -np.sort(-uniform(3, longest), axis=1))
    yield corner("ends of the range", rng.choice([low, high], (5, middle)))
    yield corner("lengths", near(longest + 2 if longest < 40 else 41, longest),
                 lengths=rng.integers(0, longest + 1, longest + 2 if longest < 40 else 41))
    yield corner("lengths, whole rows", near(6, middle), whole_rows=1,
                 lengths=np.resize([0, 1, middle, middle - 1], 6))
    yield corner("causal", near(middle, middle), causal=1)
    yield corner("causal, more rows than columns", near(middle + 3, middle), causal=1)
    yield corner("no element counts", uniform(3, middle), lengths=np.zeros(3, int))
    yield corner("a long row, then short ones", near(30, longest),
                 lengths=np.array([longest] + [1] * 28 + [longest]))
    if config.additive_mask:
        yield corner("all masked", near(2, middle), mask=np.full((2, middle), low))
        yield corner("mask at its ends", uniform(4, middle),
                     mask=rng.choice([low, low + 1, high], (4, middle)))
    if config.float_in:
        yield from _odd_rows(config, rng, middle)
    if config.algorithm == "ibert":
        ends = {register.name: (1 << register.fields[0].bits) - 1 for register in config.registers}
        yield corner("constants highest", uniform(4, middle), **ends)
        yield corner("constants for half the scale", near(4, middle),
                     **config.ibert_constants(config.in_fraction + 1))
        for name in ends:
            yield corner(f"{name} 0", uniform(3, middle), **{name: 0})
            yield corner(f"{name} highest", near(3, middle), **{name: ends[name]})
    elif scaled:
        for scale in (0, 1, (1 << SCALE_BITS) - 1):
            yield corner(f"scale {scale}", near(4, middle), scale=scale)
        yield corner("scale highest, ends of the range", rng.choice([low, high], (3, middle)),
                     scale=(1 << SCALE_BITS) - 1)
    while True:
        if rng.random() < 0.1:
            # The highest bits of a sum show in long rows without anything to stand out.
            yield _workload(config, rng, "longest row of one number",
                            np.full((1, longest), rng.integers(low, high, endpoint=True)))
        rows = int(rng.integers(1, 9))
        columns = int(rng.integers(1, min(longest, 12 * lanes) + 1))
        values = near if rng.random() < 0.7 else uniform
        more: dict[str, Any] = {}
        if rng.random() < 0.5:
            more["lengths"] = rng.integers(0, columns + 1, rows)
        more["causal"], more["whole_rows"] = (int(rng.random() < 0.3) for _ in range(2))
        if scaled and rng.random() < 0.5:
            more["scale"] = int(rng.integers(1 << int(rng.integers(1, SCALE_BITS, endpoint=True))))
        x = values(rows, columns)
        if scaled and rng.random() < 0.3:
            # The largest times the scale is just an integer.
            unit = 1 << SCALE_BITS - 1 << config.in_fraction
            top = int(rng.integers(1, high, endpoint=True))
            if most := top * ((1 << SCALE_BITS) - 1) // unit:
                more["scale"] = ceil_div(int(rng.integers(1, most, endpoint=True)) * unit, top)
                x = np.minimum(x, top)
                x[:, rng.integers(columns)] = top
        yield _workload(config, rng, f"random {rows}x{columns}", x, **more)


def _odd_rows(config: SoftmaxConfig, rng: np.random.Generator, columns: int) -> Iterator[Workload]:
    """Rows with infinities, NaN and numbers beyond the range among them, and any codes."""
    def corner(label: str, x: np.ndarray, **more: Any) -> Workload:
        return _workload(config, rng, label, x, corner=True, **more)

    def near() -> np.ndarray:
        return rng.normal(0, 2, (5, columns))

    for label, value in (("NaN", np.nan), ("+Inf", np.inf), ("−Inf", -np.inf)):
        x = near()
        x[0, 0] = x[2, -1] = x[4, columns // 2] = value
        yield corner(label, x)
    yield corner("nothing but −Inf", np.full((2, columns), -np.inf))
    x = near()
    x[1] = np.nan
    yield corner("NaN behind the length", x, lengths=np.resize([columns, 0], 5))
    x = near()
    x[1, 0], x[2, -1], x[3] = 3e4, -3e4, 6e4
    yield corner("beyond the range", x)
    yield corner("small", near() * 2.0**-(config.in_fraction - 1))
    codes = rng.integers(0, 1 << config.x.bits, (8, columns))
    yield corner("any codes", decode(config.x, codes).astype(float))
    if config.additive_mask:
        mask = rng.choice([0.0, -1.0, np.nan, np.inf, -np.inf, -3e4, 3e4], (6, columns))
        yield corner("masks of all kinds", rng.normal(0, 2, mask.shape), mask=mask)


def _workload(config: SoftmaxConfig, rng: np.random.Generator, label: str, x: np.ndarray, *,
              corner: bool = False, **more: Any) -> Workload:
    """A workload of ``x``, with a mask of small numbers and exclusions where the core takes one."""
    arrays = {"x": x}
    if config.additive_mask:
        mask = rng.integers(max(config.logit.low + 1, -3), 4, x.shape)
        mask[rng.random(x.shape) < 0.2] = config.logit.low
        arrays["mask"] = mask
    settings = {}
    for name, value in more.items():
        (settings if isinstance(value, int) else arrays)[name] = value
    if config.float_in:
        for name in {"x", "mask"} & set(arrays):
            if arrays[name].dtype.kind != "f":
                arrays[name] = np.ldexp(arrays[name].astype(float), -config.in_fraction)
    return Workload(label, arrays, settings, corner=corner)
