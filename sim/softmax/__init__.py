"""The softmax core in numpy: golden models, driver, stimulus and cycle model."""

from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np

from systolith.hdl.errors import Error
from systolith.hdl.softmax.config import SoftmaxConfig
from systolith.sim.frames import Beats
from systolith.sim.model import Arrays, Job, Model, Workload
from systolith.sim.operands import arguments, elements, flag_bit, integers, result_dtype, scalar
from systolith.sim.softmax import cycles
from systolith.sim.softmax.base2 import base2
from systolith.sim.softmax.ibert import ibert
from systolith.sim.softmax.integer import integer
from systolith.sim.softmax.real import real
from systolith.sim.softmax.rows import Rows, in_beats
from systolith.sim.softmax.stimulus import stimulus


def probabilities(config: SoftmaxConfig, rows: Rows,
                  registers: Mapping[str, int]) -> tuple[np.ndarray, bool]:
    """Probabilities, shape (M, beats, lanes), and whether a sum saturated."""
    match config.algorithm:
        case "base2":
            return base2(config, rows.x, rows.keep)
        case "integer":
            return integer(config, rows.x, rows.keep), False
        case "ibert":
            return ibert(config, rows.x, rows.keep, registers), False
        case _:
            return real(config, rows.x, rows.keep, registers["scale"]), False


class SoftmaxModel(Model):
    """y[i] = softmax(x[i]) over the elements of each row that count.

    Arguments of a call:

    - ``x`` (M, N), integers in the range of ``in_format``, N at most ``max_length``;
    - ``lengths`` (M,), 0 to N: elements of a row that count; all by default;
    - ``causal``, 0 or 1: row i sees at most the first N − M + 1 + i elements (0);
    - ``mask`` (M, N) with ``additive_mask``: added to x, saturating; the lowest value of
      ``in_format`` excludes an element;
    - ``scale``, for the algorithms with real exponents: log2(e) / temperature in units of 2^-17
      (round(log2(e) · 2^17));
    - ``exp_ln2``, ``exp_b``, ``exp_c``, for ``ibert``: the constants of its exponential for the
      scale of the logits (those for 2^-in_fraction);
    - ``whole_rows``, 0 or 1: send also the beats behind the last element that counts (0).

    The result is ``y`` (M, N), probabilities as integers in units of 2^-bits of ``out_format``, or
    2^(1-bits) with base2; 0 where masked.
    """

    config = SoftmaxConfig

    def check(self, config: SoftmaxConfig, workload: Workload) -> Workload:
        required = ("x", "mask") if config.additive_mask else ("x",)
        defaults = {"lengths": None, "causal": 0, "whole_rows": 0}
        defaults |= {register.name: register.fields[0].reset for register in config.registers}
        given = arguments(workload, required, defaults)
        x = elements("x", given["x"], ("M", "N"), config.x)
        rows, columns = x.shape
        if columns > config.max_length:
            raise Error(f"x has rows of {columns} elements; max_length is {config.max_length}")
        arrays = {"x": x}
        if given["lengths"] is None:
            arrays["lengths"] = np.full(rows, columns)
        else:
            arrays["lengths"] = integers("lengths", given["lengths"], ("M",), 0, columns)
        if len(arrays["lengths"]) != rows:
            raise Error(f"lengths has {len(arrays['lengths'])} values and x has {rows} rows; give "
                        "one for each")
        if config.additive_mask:
            arrays["mask"] = elements("mask", given["mask"], ("M", "N"), config.x)
            if arrays["mask"].shape != x.shape:
                raise Error(f"mask has shape {arrays['mask'].shape} and x has shape {x.shape}; "
                            "both are (M, N) and must be equal")
        settings = {name: scalar(name, given[name], 0, 1) for name in ("causal", "whole_rows")}
        for register in config.registers:
            settings[register.name] = scalar(register.name, given[register.name], 0,
                                             (1 << register.fields[0].bits) - 1)
        return replace(workload, arrays=arrays, settings=settings)

    def golden(self, config: SoftmaxConfig, workload: Workload) -> dict[str, np.ndarray]:
        rows = Rows.of(config, workload)
        y, saturated = probabilities(config, rows, workload.settings)
        raised = {"row_empty": not rows.keep.any(axis=(1, 2)).all(), "saturated": saturated}
        count, columns = workload.arrays["x"].shape
        return {"y": y.reshape(count, -1)[:, :columns].astype(result_dtype(config.y)),
                "flags": sum(flag_bit(config.flags, name) for name, is_up in raised.items()
                             if is_up)}

    def pack(self, config: SoftmaxConfig, workload: Workload) -> Job:
        rows = Rows.of(config, workload)
        x = _frames(config, in_beats(config, workload.arrays["x"]), rows.beats, rows.lengths)
        inputs = {"x": x}
        if config.additive_mask:
            inputs["mask"] = _frames(config, in_beats(config, workload.arrays["mask"]), rows.beats)
        if config.store == "replay":
            inputs["replay"] = x
        writes = {register.name: workload.settings[register.name] for register in config.registers}
        return Job(writes, inputs, {"y": int(rows.beats.sum())})

    def expect(self, config: SoftmaxConfig, workload: Workload, outputs: Arrays,
               pad: int | None = None) -> dict[str, Beats]:
        rows = Rows.of(config, workload)
        y = in_beats(config, outputs["y"].astype(np.int64))
        y.reshape(len(y), -1)[:, outputs["y"].shape[1]:] = pad or 0
        return {"y": _frames(config, y, rows.beats)}

    def unpack(self, config: SoftmaxConfig, workload: Workload,
               beats: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        rows = Rows.of(config, workload)
        count, columns = workload.arrays["x"].shape
        y = np.zeros(rows.x.shape, np.int64)
        y[_sent(rows.beats, y.shape[1])] = beats["y"]
        return {"y": y.reshape(count, -1)[:, :columns].astype(result_dtype(config.y))}

    def cycles(self, config: SoftmaxConfig, workload: Workload) -> int:
        return cycles.cycles(config, Rows.of(config, workload).beats.tolist())

    def utilization(self, config: SoftmaxConfig, workload: Workload, cycles: int) -> float:
        """Elements that count over those that the lanes could take in ``cycles``."""
        return int(Rows.of(config, workload).keep.sum()) / (config.lanes * cycles)

    def stimulus(self, config: SoftmaxConfig, rng: np.random.Generator) -> Iterator[Workload]:
        for workload in stimulus(config, rng):
            yield self.check(config, workload)


def _sent(beats: np.ndarray, longest: int) -> np.ndarray:
    """Which beats of (M, longest) rows are sent."""
    return np.arange(longest) < beats[:, None]


def _frames(config: SoftmaxConfig, data: np.ndarray, beats: np.ndarray,
            lengths: np.ndarray | None = None) -> Beats:
    """The first ``beats`` of each row, shape (M, beats, lanes), as frames."""
    last = np.zeros(int(beats.sum()), bool)
    last[beats.cumsum() - 1] = True
    user = np.zeros(len(beats), np.int64) if lengths is None else lengths
    return Beats(data[_sent(beats, data.shape[1])], last, user.repeat(beats).astype(np.uint64))


MODEL = SoftmaxModel()
