"""When things happen in the systolic core, and what follows for its latency and throughput."""

from collections.abc import Mapping

from amaranth.lib import wiring

from systolith.hdl.shell import SLICE_LATENCY
from systolith.hdl.systolic.config import SystolicConfig
from systolith.hdl.systolic.float_lanes import RoundedAccumulatorLane
from systolith.hdl.systolic.lanes import AccumulatorLane, DrainLane
from systolith.hdl.systolic.pair_pe import AccumulatorPairLane
from systolith.hdl.systolic.requantizers import RequantizerLane
from systolith.hdl.systolic.result_buffer import ResultBuffer
from systolith.hdl.systolic.scales import ScalerLane


def lane_kind(config: SystolicConfig) -> type[wiring.Component]:
    """What stands behind a column of the mesh, or behind the scaler of its sums."""
    if config.dataflow == "os" and not config.scales:
        return DrainLane
    if config.columns_per_pe == 2:
        return AccumulatorPairLane
    return RoundedAccumulatorLane if config.rounded else AccumulatorLane


def lane_latency(config: SystolicConfig) -> int:
    """Cycles through :func:`lane_kind`."""
    lane = lane_kind(config)
    return lane.latency(config) if lane is RoundedAccumulatorLane else lane.latency


def lane_interval(config: SystolicConfig) -> int:
    """Cycles from the sum of a row to its next one in an accumulator lane, at least."""
    return AccumulatorLane.lead + lane_latency(config) + 1


def drain_interval(config: SystolicConfig) -> int:
    """Cycles from the sums of a tile, or of a block, to the next ones in the drain chains (os)."""
    return max(config.rows, lane_interval(config)) if config.scales else config.rows


class Timing:
    """When things happen, in cycles after a beat is issued into the mesh.

    ``ws``: any beat. ``os``: the last beat of a tile, or of a block; its rows follow one per cycle.

    Attributes
    ----------
    lanes : int
        A sum leaves the last column of the mesh.
    sums : int
        It reaches the lane of the last column, scaled where there are scales.
    swap : int
        It reaches the requantizer of the last column.
    results : int
        The result of the last column enters the output buffer.
    stored : int
        That of column 0 does.
    depth : int
        Places that the output buffer needs so that it never holds back the mesh.
    """

    def __init__(self, config: SystolicConfig):
        # A beat takes two registers to the mesh of ws, where the wavefront starts behind the last
        # weights; in os one, and its sum one more from the PE to the drain chain.
        self.lanes = (config.rows - 1) * config.pitch + 2 + config.mac_stages + config.sum_stages
        self.sums = self.lanes + (ScalerLane.latency(config) if config.scales else 0)
        self.swap = self.sums + lane_latency(config)
        requantize = RequantizerLane.latency(config) if config.output == "requant" else 0
        self.results = self.swap + requantize
        self.stored = self.results + config.wavefront_cols - 1
        # Beyond the way there: a place that is free is known two cycles later.
        tile = config.rows if config.dataflow == "os" else 1
        self.depth = self.stored + ResultBuffer.latency + 3 + tile

    @property
    def emitted(self) -> int:
        """A sum leaves the core."""
        return self.stored + ResultBuffer.latency + SLICE_LATENCY


def latency(config: SystolicConfig) -> Mapping[str, int | str]:
    """Latency and throughput of the core, in cycles."""
    first = SLICE_LATENCY + Timing(config).emitted
    if config.dataflow == "ws":
        return {
            "latency": first,
            "latency_from": "an accepted a beat of the last K tile, weights loaded, "
                            "to the c beat with its row",
            "tile_interval": f"max(M, {_load(config)})",
            "macs_per_cycle": config.rows * config.cols,
        }
    return {
        "latency": first,
        "latency_from": "the last accepted pair of a and w beats to the first c beat",
        "tile_interval": f"max({_pairs(config)}, rows = {config.rows})" if not config.scales else
                         f"at least {drain_interval(config)} for every block",
        "macs_per_cycle": _per_cycle(config),
    }


def _load(config: SystolicConfig) -> str:
    """Cycles that the weights of a tile take."""
    if config.pitch == 1:
        return f"rows = {config.rows}"
    return f"(rows - 1) * add_stages + 1 = {(config.rows - 1) * config.pitch + 1}"


def _pairs(config: SystolicConfig) -> str:
    """Cycles that the pairs of a tile take."""
    return "K" if config.pair_interval == 1 else f"K * {config.pair_interval}"


def _per_cycle(config: SystolicConfig) -> int | str:
    offered = config.rows * config.cols
    return offered if config.pair_interval == 1 else f"{offered} / {config.pair_interval}"
