"""The streaming dot product in numpy."""

from collections.abc import Iterator, Mapping

import numpy as np

from systolith.hdl.dot.config import LATENCY, DotConfig
from systolith.hdl.errors import Error
from systolith.sim.frames import Beats
from systolith.sim.model import Arrays, Job, Model, Workload
from systolith.sim.operands import (
    arguments,
    ceil_div,
    elements,
    flag_bit,
    result_dtype,
    wrap,
)


class DotModel(Model):
    """z[f] = Σ x[f, i] · y[f, i].

    Arguments of a call are ``x`` and ``y``, integers of shape (F, L): F frames of L elements. The
    result is ``z``, shape (F,), int32 where every value of the sum's format fits, else int64.
    """

    config = DotConfig

    def check(self, config: DotConfig, workload: Workload) -> Workload:
        given = arguments(workload, ("x", "y"), {})
        x = elements("x", given["x"], ("F", "L"), config.x)
        y = elements("y", given["y"], ("F", "L"), config.y)
        if x.shape != y.shape:
            raise Error(f"x has shape {x.shape} and y has shape {y.shape}; both are (F, L) and "
                        "must be equal")
        return Workload(workload.label, {"x": x, "y": y})

    def golden(self, config: DotConfig, workload: Workload) -> dict[str, np.ndarray]:
        x, y = (_in_beats(config, workload.arrays[name]) for name in "xy")
        sums = (x * y).sum(axis=2).cumsum(axis=1)        # running, after every beat
        overflow = sums.min() < config.z.low or sums.max() > config.z.high
        return {"z": wrap(sums[:, -1], config.z).astype(result_dtype(config.z)),
                "flags": flag_bit(config.flags, "overflow") if overflow else 0}

    def pack(self, config: DotConfig, workload: Workload) -> Job:
        frames = {name: [Beats.frame(beats) for beats in _in_beats(config, workload.arrays[name])]
                  for name in "xy"}
        inputs = {name: Beats.join(beats, config.lanes) for name, beats in frames.items()}
        return Job({}, inputs, {"z": len(workload.arrays["x"])})

    def expect(self, config: DotConfig, workload: Workload, outputs: Arrays,
               pad: int | None = None) -> dict[str, Beats]:
        z = outputs["z"].astype(np.int64).reshape(-1, 1)
        return {"z": Beats(z, np.ones(len(z), bool), np.zeros(len(z), np.uint64))}

    def unpack(self, config: DotConfig, workload: Workload,
               beats: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        return {"z": beats["z"][:, 0].astype(result_dtype(config.z))}

    def cycles(self, config: DotConfig, workload: Workload) -> int:
        frames, length = workload.arrays["x"].shape
        return frames * ceil_div(length, config.lanes) + LATENCY

    def utilization(self, config: DotConfig, workload: Workload, cycles: int) -> float:
        """Products of the vectors over those that the lanes offer in ``cycles``."""
        return workload.arrays["x"].size / (config.lanes * cycles)

    def stimulus(self, config: DotConfig, rng: np.random.Generator) -> Iterator[Workload]:
        def workload(label: str, shape: tuple[int, int], x: int | None = None,
                     y: int | None = None, *, corner: bool = True) -> Workload:
            def operand(element, value):
                return (rng.integers(element.low, element.high, shape, endpoint=True)
                        if value is None else np.full(shape, value))
            arrays = {"x": operand(config.x, x), "y": operand(config.y, y)}
            return Workload(label, arrays, corner=corner)

        lanes, longest = config.lanes, config.lanes * min(config.max_beats, 1024)
        yield workload("one element", (1, 1))
        yield workload("frames of one beat", (9, lanes))
        yield workload("one beyond a beat", (5, lanes + 1))
        yield workload("zeros", (2, 3 * lanes), 0, 0)
        for x in (config.x.low, config.x.high):
            for y in (config.y.low, config.y.high):
                yield workload(f"x = {x}, y = {y}, longest", (1, longest), x, y)
        largest = max(config.x.high * config.y.high, config.x.low * config.y.low)
        terms = config.z.high // largest + 1
        if terms <= 1024 * lanes:
            yield workload("overflow", (2, terms), *(
                (config.x.high, config.y.high) if largest == config.x.high * config.y.high
                else (config.x.low, config.y.low)))
        for end in (config.z.low, config.z.high):
            if pairs := _summing_to(config, end, longest):
                x, y = np.array(pairs, np.int64).reshape(-1, 2).T
                yield Workload(f"z = {end}", {"x": x[None], "y": y[None]}, corner=True)
        while True:
            frames, length = int(rng.integers(1, 9)), int(rng.integers(1, 8 * lanes + 1))
            yield workload(f"random {frames}x{length}", (frames, length), corner=False)


def _summing_to(config: DotConfig, total: int, most: int) -> list[tuple[int, int]]:
    """Pairs of x and y whose products add up to ``total``, which no partial sum exceeds; none where
    that takes more than ``most``."""
    ends = [(x, y) for x in (config.x.low, config.x.high) for y in (config.y.low, config.y.high)]
    steepest = (min if total < 0 else max)(ends, key=lambda pair: pair[0] * pair[1])
    whole, rest = divmod(abs(total), max(abs(steepest[0] * steepest[1]), 1))
    pairs = [steepest] * min(whole, most + 1)
    rest = rest if total > 0 else -rest
    while rest and len(pairs) <= most:
        by_x = rest > 0 or config.x.low < 0
        element = config.x if by_x else config.y
        part = max(element.low, min(rest, element.high))
        pairs.append((part, 1) if by_x else (1, part))
        rest -= part
    return pairs if len(pairs) <= most else []


def _in_beats(config: DotConfig, vectors: np.ndarray) -> np.ndarray:
    """Zero-pad vectors, shape (F, L), to whole beats, shape (F, beats, lanes)."""
    missing = -vectors.shape[1] % config.lanes
    return np.pad(vectors, ((0, 0), (0, missing))).reshape(len(vectors), -1, config.lanes)


MODEL = DotModel()
