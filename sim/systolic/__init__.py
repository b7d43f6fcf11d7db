"""The systolic core in numpy: golden model, driver, stimulus and cycle model."""

from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np

from systolith.hdl.errors import Error
from systolith.hdl.interface import Register
from systolith.hdl.systolic.config import SystolicConfig
from systolith.sim.frames import Beats
from systolith.sim.model import Arrays, Job, Model, Refusal, Workload
from systolith.sim.operands import arguments, per_column, scalar
from systolith.sim.points import Point
from systolith.sim.systolic import driver, golden, operands
from systolith.sim.systolic.cycles import cycles
from systolith.sim.systolic.golden import INT32
from systolith.sim.systolic.stimulus import MAX_BEATS_ALONE, overflow_terms, stimulus

MAX_SHIFT = 31


class SystolicModel(Model):
    """C = A · W in tiles of a mesh.

    Arguments of a call:

    - ``a`` (M, K) and ``w`` (K, N): integers in the range of ``a_format`` and ``w_format``; values
      of bipolar, ternary and binary; real numbers for floats and pairs, which are quantized to the
      nearest, halves to even, saturating; :class:`Codes` for any format;
    - with formats whose elements share scales also ``a_scale`` (M, blocks) and ``w_scale`` (blocks,
      N) beside Codes, one for every block along K: E8M0 codes of ``mx`` and ``bfp``, int8 of
      ``bitmod``, which has ``a_select`` and ``w_select`` (0) too; real numbers for ``mx`` and
      ``bfp`` are quantized with scales of their own;
    - with ``output: requant`` also the integers ``multiplier`` and ``shift``, (N,) or one for all
      columns, ``bias`` (N,) or one for all columns (0), and the scalars ``a_zero_point`` (0),
      ``out_zero_point`` (0), ``clamp_low`` and ``clamp_high`` (the range of ``out_format``).

    The result is ``c``, shape (M, N): of integers int32 where every value of the output format
    fits, else int64; with fp32 sums float32; of exact sums of floats float64 if every sum of
    ``acc_width`` bits fits, else integers (int64, or Python's) in units of 2 to the power of a
    second result, ``c_exponent``.
    """

    config = SystolicConfig

    def check(self, config: SystolicConfig, workload: Workload) -> Workload:
        if config.output == "raw":
            given = arguments(workload, ("a", "w"), {
                f"{name}_{part}": None for name, format in config.scales
                for part in (("scale", "select") if format.select_bits else ("scale",))})
        else:
            given = arguments(workload, ("a", "w", "multiplier", "shift"), {
                "bias": 0, "a_zero_point": 0, "out_zero_point": 0,
                "clamp_low": config.out.low, "clamp_high": config.out.high})
        arrays, settings = {}, {}
        for name, axes, element in (("a", ("M", "K"), config.a_element),
                                    ("w", ("K", "N"), config.w_element)):
            if name in dict(config.scales):
                arrays |= operands.checked_blocks(name, given, axes, element)
            else:
                arrays[name] = operands.checked(name, given[name], axes, element,
                                                operands.pair_axis(config, name))
        a, w = arrays["a"], arrays["w"]
        if a.shape[1] != w.shape[0]:
            raise Error(f"a has {a.shape[1]} columns and w has {w.shape[0]} rows; both are K and "
                        "must be equal")
        if config.output == "requant":
            columns = w.shape[1]
            for name, low, high in (("bias", INT32.low, INT32.high),
                                    ("multiplier", INT32.low, INT32.high),
                                    ("shift", -MAX_SHIFT, MAX_SHIFT)):
                arrays[name] = per_column(name, given[name], columns, low, high)
            element = config.a_element
            settings["a_zero_point"] = scalar("a_zero_point", given["a_zero_point"],
                                              element.low, element.high, element.name)
            for register in config.registers:
                low, high = _field_range(register)
                settings[register.name] = scalar(register.name, given[register.name], low, high)
        checked = replace(workload, arrays=arrays, settings=settings)
        if config.output == "requant":
            _check_folded_bias(checked)
        return checked

    def golden(self, config: SystolicConfig, workload: Workload) -> dict[str, np.ndarray]:
        return golden.golden(config, workload)

    def pack(self, config: SystolicConfig, workload: Workload) -> Job:
        return driver.pack(config, workload)

    def expect(self, config: SystolicConfig, workload: Workload, outputs: Arrays,
               pad: int | None = None) -> dict[str, Beats]:
        return driver.expect(config, workload, outputs, pad)

    def unpack(self, config: SystolicConfig, workload: Workload,
               beats: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        return driver.unpack(config, workload, beats)

    def cycles(self, config: SystolicConfig, workload: Workload) -> int:
        return cycles(config, workload)

    def utilization(self, config: SystolicConfig, workload: Workload, cycles: int) -> float:
        """Multiply-accumulates of the product over those that the PEs offer in ``cycles``."""
        (m, k), n = workload.arrays["a"].shape, workload.arrays["w"].shape[1]
        return m * k * n / (config.rows * config.cols * cycles)

    def stalled_input(self, config: SystolicConfig, workload: Workload) -> int | None:
        """The core gets busy with beats that are a cycle away."""
        return 1

    def ahead(self, config: SystolicConfig) -> Mapping[str, int]:
        return {"q": 1, "w": 1} if config.dataflow == "ws" else {"q": 1}

    def refused(self, config: SystolicConfig) -> Iterator[Refusal]:
        """A K tile that is not the first, where no sum is open: it starts new ones."""
        if config.dataflow == "ws":
            yield Refusal("a_order", users={"a": 0b10}, like={"a": 0b11})

    def filled(self, config: SystolicConfig, workload: Workload) -> Mapping[str, int]:
        """Weights are loaded to the end with ws; with os a sum of floats tells zeros from none."""
        loaded = config.dataflow == "ws" and not config.lacks_zero
        return dict.fromkeys(("w",) * loaded + ("q",) * (config.output == "requant"), 0)

    def stimulus(self, config: SystolicConfig, rng: np.random.Generator) -> Iterator[Workload]:
        for workload in stimulus(config, rng):
            yield self.check(config, workload)

    def points(self, config: SystolicConfig) -> Iterator[Point]:
        if config.rounded:
            return
        terms = overflow_terms(config)
        if terms is None or terms > MAX_BEATS_ALONE:
            yield Point("flag overflow raised", lambda case: False,
                        f"takes K of {terms:,}, more than a run has; narrower accumulators show it"
                        if terms else "no product is large enough")


def _field_range(register: Register) -> tuple[int, int]:
    field, = register.fields
    return ((-1 << field.bits - 1, (1 << field.bits - 1) - 1) if field.signed
            else (0, (1 << field.bits) - 1))


def _check_folded_bias(workload: Workload) -> None:
    folded = golden.folded_bias(workload)
    wrong, = np.nonzero((folded < INT32.low) | (folded > INT32.high))
    if len(wrong):
        j = wrong[0]
        raise Error(f"bias[{j}] - a_zero_point * sum(w[:, {j}]) is {folded[j]} and must fit "
                    f"{INT32.name}, {INT32.low} to {INT32.high}")


MODEL = SystolicModel()
