"""Rows of a call: which elements count, and how rows become beats."""

from dataclasses import dataclass

import numpy as np

from systolith.hdl.formats import IntegerFormat
from systolith.hdl.softmax.config import SoftmaxConfig
from systolith.sim.formats import decode, fixed, quantize
from systolith.sim.model import Workload
from systolith.sim.operands import ceil_div


@dataclass(frozen=True)
class Rows:
    """The rows of a checked workload.

    Attributes
    ----------
    lengths : int array, shape (M,)
        Elements of each row that count.
    beats : int array, shape (M,)
        Beats of its frame.
    x : int64 array, shape (M, beats of the longest row, lanes)
        Logits in the core, with the additive mask where there is one; 0 behind the end of a row.
    keep : bool array, the same shape
        Which of them count.
    odd : dict of bool arrays, shape (M,)
        By name of the flag, in which rows NaN, +Inf or a number beyond the range counts; empty
        for integers.
    """

    lengths: np.ndarray
    beats: np.ndarray
    x: np.ndarray
    keep: np.ndarray
    odd: dict[str, np.ndarray]

    @property
    def undefined(self) -> np.ndarray:
        """Which rows have no result, shape (M, 1, 1)."""
        some = np.zeros(len(self.lengths), bool)
        for name in ("nan", "infinite"):
            some = some | self.odd.get(name, False)
        return some[:, None, None]

    @classmethod
    def of(cls, config: SoftmaxConfig, workload: Workload) -> "Rows":
        x = workload.arrays["x"]
        lengths = valid_lengths(workload)
        keep = np.arange(x.shape[1]) < lengths[:, None]
        masks = [workload.arrays["mask"]] if config.additive_mask else []
        terms, odd = [x, *masks], {}
        if config.float_in:
            values = [decode(config.x, quantize(config.x, term, saturate=False)) for term in terms]
            keep = keep & (values[0] != -np.inf)
            terms = [in_fixed_point(config, term) for term in values]
        logits = terms[0]
        if masks:
            logits = (logits + terms[1]).clip(config.logit.low, config.logit.high)
            keep = keep & (terms[1] != config.logit.low)
        if config.float_in:
            nearest = np.rint(np.ldexp(values[0], config.in_fraction))
            beyond = (nearest > config.logit.high) | (nearest < config.logit.low)
            seen = {"nan": sum(map(np.isnan, values)) > 0,
                    "infinite": sum(value == np.inf for value in values) > 0,
                    "x_saturated": beyond & np.isfinite(values[0])}
            odd = {name: (found & keep).any(axis=1) for name, found in seen.items()}
        counted = x.shape[1] if workload.settings["whole_rows"] else lengths
        beats = np.maximum(ceil_div(np.broadcast_to(counted, lengths.shape), config.lanes), 1)
        return cls(lengths, beats, in_beats(config, logits), in_beats(config, keep), odd)


def in_fixed_point(config: SoftmaxConfig, values: np.ndarray) -> np.ndarray:
    """Floats as logits in the core: to nearest, halves to even; infinities are the ends, NaN 0."""
    target = IntegerFormat(config.logit.bits, True, -config.in_fraction)
    return fixed(target, quantize(target, np.where(np.isnan(values), 0, values))).astype(np.int64)


def valid_lengths(workload: Workload) -> np.ndarray:
    """How many elements of each row count, int64, shape (M,)."""
    rows, columns = workload.arrays["x"].shape
    lengths = workload.arrays["lengths"]
    if workload.settings["causal"]:
        lengths = np.minimum(lengths, columns - rows + 1 + np.arange(rows))
    return lengths.clip(0)


def in_beats(config: SoftmaxConfig, rows: np.ndarray) -> np.ndarray:
    """Pad rows, shape (M, N), to whole beats, shape (M, beats, lanes)."""
    missing = -rows.shape[1] % config.lanes
    return np.pad(rows, ((0, 0), (0, missing))).reshape(len(rows), -1, config.lanes)
