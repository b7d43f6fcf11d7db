"""How long the systolic core takes, to the cycle.

Cycle 0 is the one in which the first input beat is accepted. Every stream passes a register slice,
so the control sees beats from cycle 1 on. Times below are those at which the control issues a beat.
"""

from dataclasses import dataclass

import numpy as np

from systolith.hdl.formats import BlockFormat
from systolith.hdl.systolic.config import SystolicConfig
from systolith.sim.model import Workload
from systolith.sim.systolic.driver import Tiling

SLICE = 1                      # register slice at a port
PARAMETERS = 2                 # buffer of parameters, when empty
RESULTS = 3                    # buffer of results
ACCUMULATOR = 1                # lane behind a weight-stationary column, before its addition
DRAIN = 1                      # lane behind an output-stationary column
REQUANTIZER = {"tflite": 11, "rne": 9, "half_up": 9, "floor": 9}
MEMORY = 3                     # from the sum of a row until its place has been read again
POWERS, INTEGERS, ROUNDING = 5, 3, 4   # scaler of a column: E8M0; int8; to fp32, after integers


def cycles(config: SystolicConfig, workload: Workload) -> int:
    """Cycles from the first accepted input beat to the last accepted output beat of a checked
    workload, both included, with nothing stalling."""
    tiling = Tiling.of(config, workload)
    run = _weight_stationary if config.dataflow == "ws" else _output_stationary
    return run(config, tiling) + _behind_issue(config) + 1


def _to_requantizer(config: SystolicConfig) -> int:
    """From the issue of a beat to its sum at the requantizer of the last column."""
    to_lane = (config.rows - 1) * config.pitch + 2 + config.mac_stages + config.sum_stages
    if config.dataflow == "os" and not config.scales:
        return to_lane + DRAIN
    return to_lane + _scaler(config) + _accumulator(config)


def _scaler(config: SystolicConfig) -> int:
    """From a sum of a column to the scaled one."""
    if not config.scales:
        return 0
    if isinstance(config.scales[0][1], BlockFormat):
        return POWERS
    return INTEGERS + (ROUNDING if config.rounded else 0)


def _accumulator(config: SystolicConfig) -> int:
    """From a sum of a column to the sum with those of the K tiles, or blocks, before."""
    return ACCUMULATOR + (config.add_stages if config.rounded else 1)


def _behind_issue(config: SystolicConfig) -> int:
    """From the issue of a beat to its result at the port."""
    requantizer = REQUANTIZER[config.rounding] if config.output == "requant" else 0
    last_pe = config.cols // config.columns_per_pe - 1
    return _to_requantizer(config) + requantizer + last_pe + RESULTS + SLICE


def _weight_stationary(config: SystolicConfig, tiling: Tiling) -> int:
    """Issue of the last beat."""
    parameters = _Parameters(config)
    start, end, gap = SLICE - 1, 0, 1                # may start with the last beat of weights
    row_interval = _accumulator(config) + MEMORY     # from a row's K tile to its next one
    behind = 0                                       # how far loading has to stay behind
    for rows in np.tile(tiling.frame_rows, tiling.n_tiles).tolist():
        for k in range(tiling.k_tiles):
            # Weights take `rows` cycles from the start of the frame before, whose start frees them.
            start = max(start + behind + config.rows, end + (gap if k else 1))
            behind = (config.rows - 1) * (config.pitch - 1)
            if k == tiling.k_tiles - 1:
                start = parameters.start(start)
            end = start + rows - 1
            gap = 1 + max(row_interval - rows, 0)
    return end


def _output_stationary(config: SystolicConfig, tiling: Tiling) -> int:
    """Issue of the last pair, plus the cycles in which the other rows of its tile follow."""
    parameters = _Parameters(config)
    interval, drain = config.pair_interval, config.rows
    lengths = [tiling.k]
    if config.scales:
        drain = max(drain, _accumulator(config) + MEMORY)
        lengths = np.diff([*range(0, tiling.k, config.block), tiling.k]).tolist()
    end = -drain
    first = SLICE
    for _ in range(tiling.m_tiles * tiling.n_tiles):
        for index, length in enumerate(lengths):
            end = max(first + (length - 1) * interval, end + drain)
            if index == len(lengths) - 1:
                end = parameters.start(end)
            first = end + interval
    return end + config.rows - 1


@dataclass
class _Parameters:
    """When frames of requantization parameters let frames of results start."""

    config: SystolicConfig

    def __post_init__(self):
        self._places = 2 * self.config.cols + _to_requantizer(self.config) + PARAMETERS + 2
        self._taken: list[int] = []              # when each beat left the buffer
        self._stored = SLICE - 1                 # when the last beat entered it
        self._swapped = 0                        # when the chain was last freed
        self._started = None

    def start(self, earliest: int) -> int:
        """The start of the next frame of results, not before ``earliest``."""
        if self.config.output == "raw":
            return earliest
        cols = self.config.cols
        for beat in range(cols):
            index = len(self._taken)
            room = self._taken[index - self._places] + 1 if index >= self._places else 0
            self._stored = max(self._stored + 1, room)
            before = self._taken[-1] + 1 if self._taken else 0
            freed = self._swapped if beat == 0 else 0
            self._taken.append(max(self._stored + PARAMETERS, before, freed))
        start = max(earliest, self._stored + 1)
        if self._started is not None:
            start = max(start, self._started + cols)
        self._started = start
        self._swapped = start + _to_requantizer(self.config) - 1
        return start
