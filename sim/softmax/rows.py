"""Rows of a call: which elements count, and how rows become beats."""

from dataclasses import dataclass

import numpy as np

from systolith.hdl.softmax.config import SoftmaxConfig
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
        Logits, with the additive mask where there is one; 0 behind the end of a row.
    keep : bool array, the same shape
        Which of them count.
    """

    lengths: np.ndarray
    beats: np.ndarray
    x: np.ndarray
    keep: np.ndarray

    @classmethod
    def of(cls, config: SoftmaxConfig, workload: Workload) -> "Rows":
        x = workload.arrays["x"]
        lengths = valid_lengths(workload)
        keep = np.arange(x.shape[1]) < lengths[:, None]
        if config.additive_mask:
            mask = workload.arrays["mask"]
            x = (x + mask).clip(config.x.low, config.x.high)
            keep &= mask != config.x.low
        counted = x.shape[1] if workload.settings["whole_rows"] else lengths
        beats = np.maximum(ceil_div(np.broadcast_to(counted, lengths.shape), config.lanes), 1)
        return cls(lengths, beats, in_beats(config, x), in_beats(config, keep))


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
