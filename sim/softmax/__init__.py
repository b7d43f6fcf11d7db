"""The softmax core in numpy: golden models, driver, stimulus and cycle model."""

from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np

from systolith.hdl.errors import Error
from systolith.hdl.softmax.config import SoftmaxConfig
from systolith.sim.formats import quantize
from systolith.sim.frames import Beats
from systolith.sim.model import Arrays, Job, Model, Workload
from systolith.sim.operands import arguments, elements, flag_bit, integers, numbers, scalar
from systolith.sim.softmax import cycles
from systolith.sim.softmax.results import codes_of, numbers_of, results
from systolith.sim.softmax.rows import Rows, in_beats
from systolith.sim.softmax.stimulus import stimulus


class SoftmaxModel(Model):
    """y[i] = softmax(x[i]) over the elements of each row that count.

    Arguments of a call:

    - ``x`` (M, N), integers in the range of ``in_format``, N at most ``max_length``; or numbers,
      rounded to ``in_format`` where that is a float: −Inf does not count, NaN and +Inf leave their
      row without a result;
    - ``lengths`` (M,), 0 to N: elements of a row that count; all by default;
    - ``causal``, 0 or 1: row i sees at most the first N − M + 1 + i elements (0);
    - ``mask`` (M, N) with ``additive_mask``: added to x, saturating; the lowest value of
      ``in_format`` excludes an element, as does a float that is not above −2^``in_integer``;
    - ``scale``, for the algorithms with real exponents: log2(e) / temperature in units of 2^-17
      (round(log2(e) · 2^17));
    - ``exp_ln2``, ``exp_b``, ``exp_c``, for ``ibert``: the constants of its exponential for the
      scale of the logits (those for 2^-in_fraction);
    - ``whole_rows``, 0 or 1: send also the beats behind the last element that counts (0).

    The result is ``y`` (M, N): probabilities as integers in units of 2^-bits of ``out_format``, or
    2^(1-bits) with base2, or float32; 0 where masked. With ``output`` ``log`` their natural
    logarithms, in units of 2^-``out_fraction`` or as float32; −Inf or the lowest integer where
    masked.
    """

    config = SoftmaxConfig

    def check(self, config: SoftmaxConfig, workload: Workload) -> Workload:
        required = ("x", "mask") if config.additive_mask else ("x",)
        defaults = {"lengths": None, "causal": 0, "whole_rows": 0}
        defaults |= {register.name: register.fields[0].reset for register in config.registers}
        given = arguments(workload, required, defaults)
        x = _logits("x", given["x"], config)
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
            arrays["mask"] = _logits("mask", given["mask"], config)
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
        y, raised = results(config, rows, workload.settings)
        count, columns = workload.arrays["x"].shape
        return {"y": numbers_of(config, y.reshape(count, -1)[:, :columns]),
                "flags": sum(flag_bit(config.flags, name) for name in raised)}

    def pack(self, config: SoftmaxConfig, workload: Workload) -> Job:
        rows = Rows.of(config, workload)
        x = _frames(config, _stream(config, workload.arrays["x"]), rows.beats, rows.lengths)
        inputs = dict.fromkeys(("x", *config.replays), x)
        if config.additive_mask:
            mask = _frames(config, _stream(config, workload.arrays["mask"]), rows.beats)
            inputs |= dict.fromkeys(("mask", *(f"{each}_mask" for each in config.replays)), mask)
        writes = {register.name: workload.settings[register.name] for register in config.registers}
        return Job(writes, inputs, {"y": int(rows.beats.sum())})

    def expect(self, config: SoftmaxConfig, workload: Workload, outputs: Arrays,
               pad: int | None = None) -> dict[str, Beats]:
        rows = Rows.of(config, workload)
        y = in_beats(config, codes_of(config, outputs["y"]))
        y.reshape(len(y), -1)[:, outputs["y"].shape[1]:] = config.masked_code if pad is None \
            else pad
        return {"y": _frames(config, y, rows.beats)}

    def unpack(self, config: SoftmaxConfig, workload: Workload,
               beats: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        rows = Rows.of(config, workload)
        count, columns = workload.arrays["x"].shape
        y = np.full(rows.x.shape, config.masked_code)
        y[_sent(rows.beats, y.shape[1])] = beats["y"]
        return {"y": numbers_of(config, y.reshape(count, -1)[:, :columns])}

    def cycles(self, config: SoftmaxConfig, workload: Workload) -> int:
        return cycles.cycles(config, Rows.of(config, workload).beats.tolist())

    def paired(self, config: SoftmaxConfig) -> Mapping[str, str]:
        paired = dict.fromkeys(config.replays, "replay_differs")
        if config.additive_mask:
            masks = "mask", *(f"{each}_mask" for each in config.replays)
            paired |= dict.fromkeys(masks, "mask_differs")
        return paired

    def ignored(self, config: SoftmaxConfig, workload: Workload) -> Arrays:
        """Whatever is behind the elements that count."""
        rows = Rows.of(config, workload)
        behind = np.arange(rows.x[0].size) >= rows.lengths[:, None]
        beats = _frames(config, behind.reshape(rows.x.shape), rows.beats)
        return {stream.name: beats.data for stream in config.streams if stream.direction == "in"}

    def utilization(self, config: SoftmaxConfig, workload: Workload, cycles: int) -> float:
        """Elements that count over those that the lanes could take in ``cycles``."""
        return int(Rows.of(config, workload).keep.sum()) / (config.lanes * cycles)

    def stimulus(self, config: SoftmaxConfig, rng: np.random.Generator) -> Iterator[Workload]:
        for workload in stimulus(config, rng):
            yield self.check(config, workload)


def _logits(name: str, value: object, config: SoftmaxConfig) -> np.ndarray:
    """A checked argument of logits or masks."""
    if config.float_in:
        return numbers(name, value, ("M", "N"))
    return elements(name, value, ("M", "N"), config.x)


def _stream(config: SoftmaxConfig, x: np.ndarray) -> np.ndarray:
    """Logits or masks as the codes of beats, shape (M, beats, lanes)."""
    if config.float_in:
        x = quantize(config.x, x, saturate=False).astype(np.int64)
    return in_beats(config, x)


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
