"""The online pruning unit in numpy."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np

from systolith.hdl.errors import Error
from systolith.hdl.formats.patterns import Pattern
from systolith.hdl.topn.config import TopNConfig
from systolith.sim.frames import Beats
from systolith.sim.model import Arrays, Job, Model, Refusal, Workload
from systolith.sim.operands import arguments, ceil_div, elements
from systolith.sim.sparse.pruning import kept_mask

#: Register slices, the stack, and the output registers behind it.
LATENCY = 4


class _Sizes(NamedTuple):
    """Of a checked workload: its pattern, columns, groups along x, and frames."""

    pattern: Pattern
    columns: int
    groups: int
    frames: int


class TopNModel(Model):
    """The N elements of largest magnitude of every M, in the order of their indices.

    Arguments of a call are ``x`` (L, C), integers, groups of M along L, and ``pattern``, such as
    ``"2:8"``. The results are ``values`` and ``indices``, both (ceil(L / M) · N, C): what is kept
    of each group, and where in the group it was. Of equal magnitudes the lower index is kept; the
    last group is completed with zeros.
    """

    config = TopNConfig

    def check(self, config: TopNConfig, workload: Workload) -> Workload:
        given = arguments(workload, ("x", "pattern"), {})
        x = elements("x", given["x"], ("L", "C"), config.x)
        if not isinstance(given["pattern"], str):
            raise Error(f"pattern must be a text such as '2:8', not {given['pattern']!r}")
        pattern = Pattern.parse(given["pattern"])
        if pattern not in config.patterns:
            raise Error(f"pattern {pattern} was not built in; patterns are "
                        f"{', '.join(map(str, config.patterns))}")
        return Workload(workload.label, {"x": x}, {"pattern": str(pattern)}, workload.corner)

    def golden(self, config: TopNConfig, workload: Workload) -> dict[str, np.ndarray]:
        sizes = _sizes(config, workload)
        groups = _padded(workload.arrays["x"], sizes.pattern.m).T       # (columns, length)
        kept = kept_mask(groups, sizes.pattern)
        shape = sizes.columns, sizes.groups * sizes.pattern.n
        place = np.broadcast_to(np.arange(groups.shape[1]) % sizes.pattern.m, groups.shape)
        return {"values": groups[kept].reshape(shape).T.astype(np.int32),
                "indices": place[kept].reshape(shape).T.astype(np.int32), "flags": 0}

    def pack(self, config: TopNConfig, workload: Workload) -> Job:
        sizes = _sizes(config, workload)
        x = _padded(workload.arrays["x"], sizes.pattern.m)
        frames = [Beats.frame(part, sizes.pattern.code) for part in _cut(x, config.lanes)]
        return Job({}, {"x": Beats.join(frames, config.lanes)},
                   {"z": sizes.frames * sizes.groups * sizes.pattern.n})

    def expect(self, config: TopNConfig, workload: Workload, outputs: Arrays,
               pad: int | None = None) -> dict[str, Beats]:
        sizes, bits = _sizes(config, workload), config.x.bits
        values, indices = (np.asarray(outputs[name], np.int64) for name in ("values", "indices"))
        if pad is not None:                              # which element a lane carries
            parts = _cut(values, config.lanes, pad)
        else:
            # Lanes without a column see zeros and keep the first N.
            codes = values & (1 << bits) - 1 | indices << bits
            parts = _cut(codes, config.lanes)
            empty = -sizes.columns % config.lanes
            if empty:
                first = np.tile(np.arange(sizes.pattern.n) << bits, sizes.groups)
                parts[-1][:, config.lanes - empty:] = first[:, None]
        return {"z": Beats.join([Beats.frame(part) for part in parts], config.lanes)}

    def unpack(self, config: TopNConfig, workload: Workload,
               beats: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        sizes, bits = _sizes(config, workload), config.x.bits
        frames = beats["z"].reshape(sizes.frames, -1, config.lanes)
        codes = frames.transpose(1, 0, 2).reshape(-1, sizes.frames * config.lanes)
        codes = codes[:, :sizes.columns]
        values = codes & (1 << bits) - 1
        if config.x.signed:
            values -= (values >> bits - 1) << bits
        return {"values": values.astype(np.int32), "indices": (codes >> bits).astype(np.int32)}

    def cycles(self, config: TopNConfig, workload: Workload) -> int:
        sizes = _sizes(config, workload)
        return sizes.frames * sizes.groups * sizes.pattern.m + sizes.pattern.n + LATENCY - 1

    def refused(self, config: TopNConfig) -> Iterator[Refusal]:
        """All patterns that are none, or were not built in."""
        known = {pattern.code for pattern in config.patterns}
        return (Refusal("pattern", users={"x": code}) for code in range(256) if code not in known)

    def filled(self, config: TopNConfig, workload: Workload) -> Mapping[str, int]:
        return {"x": 0}

    def units(self, config: TopNConfig, workload: Workload) -> Mapping[str, int]:
        return {"x": _sizes(config, workload).pattern.m}

    def utilization(self, config: TopNConfig, workload: Workload, cycles: int) -> float:
        """Elements over those that the lanes could take in ``cycles``."""
        return workload.arrays["x"].size / (config.lanes * cycles)

    def stimulus(self, config: TopNConfig, rng: np.random.Generator) -> Iterator[Workload]:
        low, high, lanes = config.x.low, config.x.high, config.lanes

        def workload(label, x, pattern, corner=True):
            return self.check(config, Workload(label, {"x": x}, {"pattern": str(pattern)}, corner))

        for pattern in config.patterns:
            shape = 3 * pattern.m, lanes
            yield workload(f"{pattern}", rng.integers(low, high, shape, endpoint=True), pattern)
            yield workload(f"{pattern}, equal magnitudes",
                           rng.choice([max(low, -high), high, 1], shape), pattern)
            ramp = np.arange(pattern.m)[:, None] + np.zeros((1, lanes), int)
            yield workload(f"{pattern}, ascending", np.minimum(ramp, high), pattern)
            yield workload(f"{pattern}, descending", np.minimum(ramp[::-1], high), pattern)
            only_last = np.zeros(shape, int)
            only_last[pattern.m - 1::pattern.m] = max(low, -1)
            yield workload(f"{pattern}, the last of each group", only_last, pattern)
        last = config.patterns[-1]
        yield workload("zeros", np.zeros((2 * last.m, lanes), int), last)
        yield workload("lowest", np.full((last.m, lanes), low), last)
        yield workload("one element", np.array([[high]]), last)
        yield workload("one column more than lanes", rng.integers(
            low, high, (last.m + 1, lanes + 1), endpoint=True), last)
        while True:
            shape = int(rng.integers(1, 50)), int(rng.integers(1, 3 * lanes + 1))
            pattern = config.patterns[rng.integers(len(config.patterns))]
            values = rng.integers(low, high, shape, endpoint=True)
            if rng.random() < 0.5:
                values = np.clip(values, max(low, -2), min(high, 2))
            yield workload(f"random {shape[0]}x{shape[1]}, {pattern}", values, pattern, False)


def _sizes(config: TopNConfig, workload: Workload) -> _Sizes:
    pattern = Pattern.parse(workload.settings["pattern"])
    length, columns = workload.arrays["x"].shape
    return _Sizes(pattern, columns, ceil_div(length, pattern.m), ceil_div(columns, config.lanes))


def _padded(x: np.ndarray, m: int) -> np.ndarray:
    """Whole groups along the first axis."""
    return np.pad(x, ((0, -len(x) % m), (0, 0)))


def _cut(x: np.ndarray, lanes: int, pad: int = 0) -> list[np.ndarray]:
    """Columns in parts of ``lanes``, the last one padded."""
    whole = np.pad(x, ((0, 0), (0, -x.shape[1] % lanes)), constant_values=pad)
    return np.split(whole, whole.shape[1] // lanes, axis=1)


MODEL = TopNModel()
