"""The systolic core: streams in, wavefronts through the mesh, streams out."""

from collections.abc import Mapping

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import wiring

from systolith.hdl.bus import axi_stream
from systolith.hdl.bus.credits import Credits
from systolith.hdl.formats import IntegerFormat
from systolith.hdl.interface import Stream
from systolith.hdl.shell import SLICE_LATENCY, inside_signature
from systolith.hdl.structure.delay import Delay, Skew
from systolith.hdl.structure.linear_array import LinearArray
from systolith.hdl.systolic.config import SystolicConfig
from systolith.hdl.systolic.control import (
    ChainLoader,
    DrainControl,
    OutputStationaryControl,
    WeightStationaryControl,
)
from systolith.hdl.systolic.decoders import BorderDecoder
from systolith.hdl.systolic.float_lanes import RoundedAccumulatorLane
from systolith.hdl.systolic.lanes import AccumulatorLane, DrainLane
from systolith.hdl.systolic.mesh import mesh
from systolith.hdl.systolic.pair_pe import AccumulatorPairLane
from systolith.hdl.systolic.requantizers import ParameterLoader, RequantizerLane


def lane_kind(config: SystolicConfig) -> type[wiring.Component]:
    """What stands behind a column of the mesh."""
    if config.dataflow == "os":
        return DrainLane
    if config.columns_per_pe == 2:
        return AccumulatorPairLane
    return RoundedAccumulatorLane if config.rounded else AccumulatorLane


def lane_latency(config: SystolicConfig) -> int:
    """Cycles through :func:`lane_kind`."""
    if config.rounded and config.dataflow == "ws":
        return RoundedAccumulatorLane.latency(config)
    return lane_kind(config).latency


def lane_interval(config: SystolicConfig) -> int:
    """Cycles from the sum of a row to its next one in an accumulator lane, at least."""
    return AccumulatorLane.lead + lane_latency(config) + 1


class Timing:
    """When things happen, in cycles after a beat is issued into the mesh.

    ``ws``: any beat. ``os``: the last beat of a tile; its rows follow one per cycle.

    Attributes
    ----------
    lanes : int
        A sum reaches the lane of the last column.
    swap : int
        It reaches the requantizer of the last column.
    stored : int
        All columns of it enter the output buffer.
    depth : int
        Places that the output buffer needs so that it never holds back the mesh.
    """

    def __init__(self, config: SystolicConfig):
        self.lanes = (config.rows - 1) * config.pitch + 1 + config.mac_stages + config.sum_stages \
            + (config.dataflow == "os")
        self.swap = self.lanes + lane_latency(config)
        requantize = RequantizerLane.latency(config) if config.output == "requant" else 0
        self.stored = self.swap + requantize + config.wavefront_cols - 1
        tile = config.rows if config.dataflow == "os" else 1
        self.depth = self.stored + axi_stream.Fifo.latency + 2 + tile

    @property
    def emitted(self) -> int:
        """A sum leaves the core."""
        return self.stored + axi_stream.Fifo.latency + SLICE_LATENCY


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
        "tile_interval": f"max({_pairs(config)}, rows = {config.rows})",
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


class _Emission:
    """What the control and the requantizers tell each other about results.

    Attributes
    ----------
    start : a frame that emits starts; only while ``may_start``.
    valid : a finished sum reaches the lane of the last column.
    swap : one cycle before the first sum of a frame reaches the requantizer of the last column.
    busy : parameters are held or half received.
    """

    def __init__(self):
        self.start = Signal(name="emission_start")
        self.may_start = Signal(name="emission_may_start", init=1)
        self.valid = Signal(name="emission_valid")
        self.swap = Signal(name="emission_swap")
        self.busy = Signal(name="parameters_busy")


class SystolicCore(wiring.Component):
    """Systolic matrix multiplier: skews operands into the mesh and gathers the sums behind it.

    Parameters
    ----------
    config : SystolicConfig

    Timing
    ------
    See :class:`Timing`. Tiles follow each other without a bubble: one every max(M, rows) cycles
    (ws) or max(K, rows) cycles (os).
    """

    def __init__(self, config: SystolicConfig):
        self.config = config
        self.timing = Timing(config)
        super().__init__(inside_signature(config))

    def elaborate(self, platform):
        m = Module()
        config, timing = self.config, self.timing
        streams: dict[str, Stream] = {stream.name: stream for stream in config.streams}
        m.submodules.mesh = array = mesh(config)

        # Behind the mesh: lanes, requantizers, de-skew, output buffer.
        lane = lane_kind(config)
        m.submodules.lanes = lanes = LinearArray(
            lambda: lane(config), config.wavefront_cols, name="lane", chain=lane.chain,
            from_last=True)
        results, flags = lanes.total, {config.flags[0][0]: lanes.overflow_out}
        emission = _Emission()
        if config.output == "requant":
            results = self._requantize(m, lanes, flags, emission)
        m.submodules.deskew = deskew = Skew(
            config.wavefront_cols, config.columns_per_pe * config.out.bits)
        m.submodules.buffer = buffer = axi_stream.Fifo(
            axi_stream.Signature(streams["c"].data_bits), timing.depth)
        tile = config.rows if config.dataflow == "os" else 1
        m.submodules.places = places = Credits(timing.depth, tile)
        m.d.comb += [
            deskew.i.eq(results),
            buffer.i.data.eq(deskew.o),
            places.freed.eq(buffer.taken),
        ]
        wiring.connect(m, buffer.o, wiring.flipped(self.c))

        if config.dataflow == "ws":
            busy = self._weight_stationary(m, array, lanes, buffer, places, flags, emission)
        else:
            busy = self._output_stationary(m, array, lanes, buffer, places, flags, emission)
        m.d.comb += self.busy.eq(busy | places.any_used | emission.busy)
        m.d.comb += self.flags.eq(Cat(flags[name] for name, _ in config.flags))
        return m

    def _weight_stationary(self, m, array, lanes, buffer, places, flags, emission):
        config, timing = self.config, self.timing
        m.submodules.control = control = WeightStationaryControl(config, lane_interval(config))
        m.submodules.loader = loader = ChainLoader(
            config.cols * config.w_operand.bits, config.rows, config.pitch)
        a_operands, w_operands = self._decode(
            m, flags, control.issue, self.w.valid & loader.wants)
        m.d.comb += [
            loader.i.data.eq(w_operands),
            loader.i.last.eq(self.w.last),
            loader.i.valid.eq(self.w.valid),
            self.w.ready.eq(loader.i.ready),
            loader.swap.eq(control.swap),
            control.full.eq(loader.full),
            control.a_valid.eq(self.a.valid),
            control.a_last.eq(self.a.last),
            control.a_user.eq(self.a.user),
            self.a.ready.eq(control.a_ready),
            control.room.eq(places.enough),
            control.may_emit.eq(emission.may_start),
            emission.start.eq(control.swap & control.emit),
            places.reserve.eq(control.issue & control.emit),
            self.waiting.eq(control.waiting | (self.a.valid & loader.wants & ~self.w.valid
                                               & ~loader.full & ~control.busy)),
        ]
        flags |= {"w_short": loader.short, "w_long": loader.long, "a_short": control.a_short,
                  "a_long": control.a_long, "a_order": control.a_order}

        # Operands enter the mesh one cycle after they are issued. Weights reach a column together
        # with the load enable, which takes one cycle per column.
        m.submodules.a_skew = a_skew = Skew(config.rows, config.a_operand.bits, last_first=True,
                                            pitch=config.pitch)
        m.submodules.w_skew = w_skew = Skew(
            config.wavefront_cols, config.columns_per_pe * config.w_operand.bits, last_first=True)
        a = Signal(len(a_operands), name="a_issued", reset_less=True)
        swap_line = Signal((config.rows - 1) * config.pitch + 1, name="swaps")
        swaps = Cat(swap_line[row * config.pitch] for row in range(config.rows))
        m.d.sync += [a.eq(a_operands), swap_line.eq(Cat(swap_line[1:], control.swap))]
        m.d.comb += [
            a_skew.i.eq(a),
            array.a_in.eq(a_skew.o),
            array.swap_in.eq(swaps),
            w_skew.i.eq(loader.data),
            array.w_in.eq(w_skew.o),
            array.load_in.eq(loader.load),
            array.psum_in.eq(0),
            lanes.psum.eq(array.psum_out),
        ]

        # Control bits travel beside the mesh.
        lead, latency = AccumulatorLane.lead, lane_latency(config)
        m.submodules.to_read = to_read = Delay(4, timing.lanes - lead, reset=True)
        m.submodules.to_lanes = to_lanes = Delay(4, lead, reset=True)
        m.submodules.to_total = to_total = Delay(2, latency, reset=True)
        address = Signal(range(max(config.acc_depth, 2)))
        row = Signal(range(max(config.acc_depth, 2)))
        m.submodules.write_address = write_address = Delay(len(row), lead + latency)
        issued = Cat(control.issue, control.first, control.emit, control.start)
        read_valid, _, _, read_begins = to_read.o
        valid, first, emit, begins = to_lanes.o
        m.d.comb += [
            to_read.i.eq(issued),
            to_lanes.i.eq(to_read.o),
            to_total.i.eq(Cat(valid, valid & ~emit)),
            row.eq(Mux(read_begins, 0, address)),
            write_address.i.eq(row),
            lanes.read_address_in.eq(row),
            lanes.first_in.eq(first),
            Cat(lanes.valid_in, lanes.write_in).eq(to_total.o),
            lanes.write_address_in.eq(write_address.o),
            emission.valid.eq(valid & emit),
        ]
        with m.If(read_valid):
            m.d.sync += address.eq(row + 1)
        m.submodules.to_buffer = to_buffer = Delay(2, timing.stored - timing.lanes, reset=True)
        m.submodules.ends = ends = Delay(1, timing.lanes, reset=True)
        m.d.comb += [
            ends.i.eq(control.ends),
            to_buffer.i.eq(Cat(emission.valid, ends.o)),
            Cat(buffer.i.valid, buffer.i.last).eq(to_buffer.o),
        ]
        if config.output == "requant":
            m.submodules.to_swap = to_swap = Delay(1, timing.swap - timing.lanes - 1, reset=True)
            m.d.comb += [to_swap.i.eq(emission.valid & begins),
                         emission.swap.eq(to_swap.o)]
        return control.busy | loader.busy

    def _output_stationary(self, m, array, lanes, buffer, places, flags, emission):
        config, timing = self.config, self.timing
        m.submodules.control = control = OutputStationaryControl(config)
        m.submodules.drain = drain = DrainControl(config.rows)
        m.d.comb += [
            control.a_valid.eq(self.a.valid),
            control.a_last.eq(self.a.last),
            self.a.ready.eq(control.a_ready),
            control.w_valid.eq(self.w.valid),
            control.w_last.eq(self.w.last),
            self.w.ready.eq(control.w_ready),
            control.room.eq(places.enough),
            control.may_emit.eq(emission.may_start),
            emission.start.eq(control.issue & control.ends),
            places.reserve.eq(control.issue & control.ends),
            self.waiting.eq(control.waiting),
        ]
        flags |= {"a_long": control.a_long, "w_long": control.w_long}

        # A cycle without operands enters as zeros, which add nothing to any sum.
        m.submodules.a_skew = a_skew = Skew(config.rows, config.a_operand.bits, last_first=True)
        m.submodules.w_skew = w_skew = Skew(config.cols, config.w_operand.bits, last_first=True)
        a_operands, w_operands = self._decode(m, flags, control.issue, control.issue)
        a = Signal(len(a_operands), name="a_issued", reset_less=True)
        w = Signal(len(w_operands), name="w_issued", reset_less=True)
        firsts = Signal(config.rows)
        lasts = Signal(config.rows)
        m.d.sync += [
            a.eq(Mux(control.issue, a_operands, 0)),
            w.eq(Mux(control.issue, w_operands, 0)),
            firsts.eq(Cat(firsts[1:], control.issue & control.first)),
            lasts.eq(Cat(lasts[1:], control.issue & control.ends)),
        ]
        m.d.comb += [
            a_skew.i.eq(a),
            array.a_in.eq(a_skew.o),
            w_skew.i.eq(w),
            array.w_in.eq(w_skew.o),
            array.first_in.eq(firsts),
            array.last_in.eq(lasts),
            array.shift_in.eq(drain.shift),
            array.c_in.eq(0),
            lanes.c.eq(array.c_out),
            lanes.valid_in.eq(drain.valid),
        ]
        if config.rounded:
            valids = Signal(config.rows)
            m.d.sync += valids.eq(Cat(valids[1:], control.issue))
            m.d.comb += array.valid_in.eq(valids)

        m.submodules.to_drain = to_drain = Delay(1, timing.lanes - 1, reset=True)
        m.submodules.to_buffer = to_buffer = Delay(2, timing.stored - timing.lanes, reset=True)
        m.d.comb += [
            to_drain.i.eq(control.issue & control.ends),
            drain.start.eq(to_drain.o),
            to_buffer.i.eq(Cat(drain.valid, drain.last)),
            Cat(buffer.i.valid, buffer.i.last).eq(to_buffer.o),
        ]
        if config.output == "requant":
            m.d.comb += [emission.valid.eq(drain.valid), emission.swap.eq(drain.first)]
        return control.busy

    def _decode(self, m, flags, a_taken, w_taken):
        """Decode both operands; flag the codes that are no numbers in beats that are taken."""
        config, operands = self.config, []
        for name, stream, operand, lanes, taken in (
                ("a", self.a, config.a_operand, config.rows, a_taken),
                ("w", self.w, config.w_operand, config.cols, w_taken)):
            if isinstance(operand.format, IntegerFormat):
                operands.append(stream.data)
                continue
            border = BorderDecoder(operand, lanes, name)
            m.submodules[f"{name}_decoder"] = border
            m.d.comb += border.codes.eq(stream.data)
            operands.append(border.operands)
            if any(flag == f"{name}_invalid" for flag, _ in config.flags):
                invalid = Signal(name=f"{name}_invalid")
                m.d.sync += invalid.eq(taken & border.invalid)
                flags[f"{name}_invalid"] = invalid
        return operands

    def _requantize(self, m, lanes, flags, emission):
        config, timing = self.config, self.timing
        m.submodules.requantizers = lane_array = LinearArray(
            lambda: RequantizerLane(config), config.cols, name="requantizer",
            chain=RequantizerLane.chain, broadcast=RequantizerLane.broadcast, from_last=True)
        m.submodules.parameters = parameters = ParameterLoader(config.cols, timing.swap)
        swap_now = Signal()
        valid_now = Signal()
        m.d.sync += swap_now.eq(emission.swap)
        m.submodules.valid = valid = Delay(1, timing.swap - timing.lanes, reset=True)
        m.d.comb += [
            parameters.q.data.eq(self.q.data),
            parameters.q.last.eq(self.q.last),
            parameters.q.valid.eq(self.q.valid),
            self.q.ready.eq(parameters.q.ready),
            parameters.start.eq(emission.start),
            parameters.swap.eq(emission.swap),
            emission.may_start.eq(parameters.may_start),
            emission.busy.eq(parameters.busy),
            valid.i.eq(emission.valid),
            valid_now.eq(valid.o),
            lane_array.x.eq(lanes.total),
            lane_array.valid_in.eq(valid_now),
            lane_array.swap_in.eq(swap_now),
            lane_array.load.eq(parameters.load),
            lane_array.q_in.eq(parameters.data),
            lane_array.zero_point.eq(self.reg_out_zero_point),
            lane_array.low.eq(self.reg_clamp_low),
            lane_array.high.eq(self.reg_clamp_high),
        ]
        flags |= {"saturated": lane_array.saturated_out, "q_short": parameters.short,
                  "q_long": parameters.long}
        return lane_array.y
