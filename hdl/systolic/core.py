"""The systolic core: streams in, wavefronts through the mesh, streams out."""

from amaranth import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import wiring

from systolith.hdl.arithmetic.steps import signal_of
from systolith.hdl.bus.credits import Credits
from systolith.hdl.formats import SCALE_BITS, BitmodFormat, IntegerFormat
from systolith.hdl.shell import inside_signature
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
from systolith.hdl.systolic.lanes import AccumulatorLane
from systolith.hdl.systolic.mesh import mesh
from systolith.hdl.systolic.requantizers import ParameterLoader, RequantizerLane
from systolith.hdl.systolic.result_buffer import ResultBuffer
from systolith.hdl.systolic.scales import OperandScales, ScaleQueue, ScalerLane
from systolith.hdl.systolic.timing import (
    Timing,
    drain_interval,
    lane_interval,
    lane_kind,
    lane_latency,
)


class _Emission:
    """What the control and the requantizers tell each other about results.

    Attributes
    ----------
    start : a frame that emits starts; only while ``may_start``.
    valid : a finished sum reaches the lane of the last column.
    wanted : one would start if it might.
    waiting : it waits for parameters, and none are coming.
    swap : two cycles before the first sum of a frame reaches the requantizer of the last column.
    busy : parameters are held or half received.
    """

    def __init__(self):
        self.start = Signal(name="emission_start")
        self.may_start = Signal(name="emission_may_start", init=1)
        self.wanted = Signal(name="emission_wanted")
        self.waiting = Signal(name="emission_waiting")
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
        m.submodules.mesh = array = mesh(config)

        # Behind the mesh: lanes, requantizers, output buffer.
        lane = lane_kind(config)
        m.submodules.lanes = lanes = LinearArray(
            lambda: lane(config), config.wavefront_cols, name="lane", chain=lane.chain,
            from_last=True)
        if config.scales:
            m.submodules.scalers = scalers = LinearArray(
                lambda: ScalerLane(config), config.cols, name="scaler",
                chain=ScalerLane.chain(config), from_last=True)
            m.d.comb += lanes.psum.eq(scalers.result)
        results, flags = lanes.total, {config.flags[0][0]: lanes.overflow_out}
        emission = _Emission()
        if config.output == "requant":
            results = self._requantize(m, lanes, flags, emission)
        m.submodules.buffer = buffer = ResultBuffer(
            config.wavefront_cols, config.columns_per_pe * config.out.bits, timing.depth,
            config.technology)
        tile = config.rows if config.dataflow == "os" else 1
        m.submodules.places = places = Credits(timing.depth, tile)
        m.d.comb += buffer.values.eq(results)
        m.d.sync += places.freed.eq(buffer.taken)
        wiring.connect(m, buffer.o, wiring.flipped(self.c))

        if config.dataflow == "ws":
            busy, waiting = self._weight_stationary(m, array, lanes, buffer, places, flags,
                                                    emission)
        else:
            busy, waiting = self._output_stationary(m, array, lanes, buffer, places, flags,
                                                    emission)
        # What is begun, with no operand there and no result on its way, waits for input too.
        idle = ~(self.a.valid | self.w.valid | places.any_used)
        m.d.comb += [
            self.busy.eq(busy | places.any_used | emission.busy),
            self.waiting.eq(waiting | emission.waiting | idle),
        ]
        m.d.comb += self.flags.eq(Cat(flags[name] for name, _ in config.flags))
        return m

    def _weight_stationary(self, m, array, lanes, buffer, places, flags, emission):
        config, timing = self.config, self.timing
        m.submodules.control = control = WeightStationaryControl(config, lane_interval(config))
        m.submodules.loader = loader = ChainLoader(
            config.cols * config.w_operand.bits, config.rows, config.pitch)
        scales = self._scales(m, flags)
        a_taken, w_taken, w_valid, w_ready = (
            control.issue, self.w.valid & loader.wants, self.w.valid, loader.i.ready)
        if "w" in scales:
            # The scales of a tile go with the first beat of its weights.
            reader = scales["w"].reader
            gate = signal_of(m, ~loader.at_first | reader.available, "w_scaled")
            begins = signal_of(m, w_taken & loader.at_first & reader.available, "w_begins")
            m.d.comb += reader.take.eq(begins)
            w_taken, w_valid, w_ready = w_taken & gate, w_valid & gate, w_ready & gate
            scales["w"].hold(m, loader.at_first, begins)
        if "a" in scales:
            reader = scales["a"].reader
            m.d.comb += [
                reader.take.eq(control.issue),
                reader.finish.eq(control.issue & control.ends),
                control.scaled.eq(reader.available),
            ]
        (a_operands, a_wrong), (w_operands, w_wrong) = self._decode(
            m, flags, scales, a_taken, w_taken)
        m.d.comb += [
            loader.i.data.eq(w_operands),
            loader.i.last.eq(self.w.last),
            loader.i.valid.eq(w_valid),
            self.w.ready.eq(w_ready),
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
        ]
        # Weights are loaded ahead: they are waited for where no frame is in the mesh.
        wanted = loader.i.ready & ~w_valid & ~loader.full & control.idle
        begun = self.a.valid | control.busy
        if "w" in scales:
            begun |= self.w.valid                        # waits for its scale
        waiting = control.waiting | (wanted & begun)
        if config.output == "requant":
            m.d.comb += emission.wanted.eq(control.would_emit)
        flags |= {"w_short": loader.too_short, "w_long": loader.too_long,
                  "a_short": control.a_short, "a_long": control.a_long,
                  "a_order": control.a_order}

        # Activations enter the mesh two cycles after they are issued, weights one, behind which the
        # wavefront that takes them may follow. Weights reach a column together with the load
        # enable, which takes one cycle per column.
        m.submodules.a_skew = a_skew = Skew(config.rows, config.a_operand.bits, last_first=True,
                                            pitch=config.pitch)
        m.submodules.w_skew = w_skew = Skew(
            config.wavefront_cols, config.columns_per_pe * config.w_operand.bits, last_first=True)
        m.submodules.a_line = a_line = Delay(len(a_operands), 2)
        swap_line = Signal((config.rows - 1) * config.pitch + 2, name="swaps")
        swaps = Cat(swap_line[row * config.pitch] for row in range(config.rows))
        m.d.sync += swap_line.eq(Cat(swap_line[1:], control.swap))
        m.d.comb += [
            a_line.i.eq(a_operands),
            a_skew.i.eq(a_line.o),
            array.a_in.eq(a_skew.o),
            array.swap_in.eq(swaps),
            w_skew.i.eq(loader.data),
            array.w_in.eq(w_skew.o),
            array.load_in.eq(loader.load),
            array.psum_in.eq(0),
        ]
        if not scales:
            m.d.comb += lanes.psum.eq(array.psum_out)
        else:
            m.d.comb += self._scalers(m).value.eq(array.psum_out)
        if "a" in scales:
            wrong = a_wrong.any() if config.spreads_nan("a") else None
            scale = scales["a"].scales(scales["a"].now, wrong)
            m.submodules.a_scale_line = line = Delay(SCALE_BITS, timing.lanes)
            m.d.comb += [line.i.eq(scale), self._scalers(m).a_scale_in.eq(line.o)]
        if "w" in scales:
            wrong = None
            if config.spreads_nan("w"):
                _, wrong = scales["w"].watch(m, w_wrong, w_taken, loader.at_first)
            m.submodules.begins = begins = Delay(1, timing.lanes - 1, reset=True)
            m.d.comb += begins.i.eq(control.swap)
            # Pushed a cycle late, when what is held covers the last beat of the tile.
            swapped = Signal()
            m.d.sync += swapped.eq(control.swap)
            self._queue(m, scales["w"].scales(scales["w"].held, wrong), swapped, begins.o,
                        timing.lanes - 2, config.rows + (config.rows - 1) * (config.pitch - 1))

        issued = Cat(control.issue, control.first, control.emit, control.start, control.ends)
        m.submodules.to_read = to_read = Delay(5, timing.sums - AccumulatorLane.lead, reset=True)
        m.d.comb += to_read.i.eq(issued)
        self._accumulate(m, lanes, buffer, emission, to_read.o)
        return control.busy | loader.busy | self._reading(scales), waiting

    def _accumulate(self, m, lanes, buffer, emission, read):
        """Sums of K tiles, or of blocks, in the memory behind the columns.

        ``read``, so many cycles before a sum reaches the lane of the last column as its place in
        the memory is needed: there is one; it is the first of its row of C, the last; its row is
        the first of a tile; its row is the last one.
        """
        config, timing = self.config, self.timing
        lead, latency = AccumulatorLane.lead, lane_latency(config)
        m.submodules.to_lanes = to_lanes = Delay(5, lead, reset=True)
        m.submodules.to_total = to_total = Delay(1, latency, reset=True)
        depth = max(config.sum_depth, 2)
        address = Signal(range(depth))
        row = Signal(range(depth))
        m.submodules.write_address = write_address = Delay(len(row), lead + latency)
        read_valid, read_begins = read[0], read[3]
        valid, first, emit, begins, ends = to_lanes.o
        m.d.comb += [
            to_lanes.i.eq(read),
            to_total.i.eq(valid),
            row.eq(Mux(read_begins, 0, address)),
            write_address.i.eq(row),
            lanes.read_address_in.eq(row),
            lanes.first_in.eq(first),
            lanes.valid_in.eq(to_total.o),
            lanes.write_address_in.eq(write_address.o),
            emission.valid.eq(valid & emit),
        ]
        with m.If(read_valid):
            m.d.sync += address.eq(row + 1)
        m.submodules.to_buffer = to_buffer = Delay(2, timing.results - timing.sums, reset=True)
        m.d.comb += [
            to_buffer.i.eq(Cat(emission.valid, ends)),
            Cat(buffer.write, buffer.last).eq(to_buffer.o),
        ]
        if config.output == "requant":
            m.d.comb += emission.swap.eq(emission.valid & begins)

    def _output_stationary(self, m, array, lanes, buffer, places, flags, emission):
        config, timing = self.config, self.timing
        m.submodules.control = control = OutputStationaryControl(config, drain_interval(config))
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
        ]
        if config.output == "requant":
            m.d.comb += emission.wanted.eq(control.would_emit)
        flags |= {"a_long": control.a_long, "w_long": control.w_long}

        # A cycle without operands enters as zeros, which add nothing to any sum.
        m.submodules.a_skew = a_skew = Skew(config.rows, config.a_operand.bits, last_first=True)
        m.submodules.w_skew = w_skew = Skew(config.cols, config.w_operand.bits, last_first=True)
        scales = self._scales(m, flags)
        for shared in scales.values():
            m.d.comb += [
                shared.reader.take.eq(control.issue & control.first),
                shared.reader.finish.eq(control.issue & control.ends),
            ]
            shared.hold(m, control.first, control.issue & control.first)
        if scales:
            m.d.comb += control.scaled.eq(
                Cat(shared.reader.available for shared in scales.values()).all())
        (a_operands, a_wrong), (w_operands, w_wrong) = self._decode(
            m, flags, scales, control.issue, control.issue)
        a = Signal(len(a_operands), name="a_issued", reset_less=True)
        w = Signal(len(w_operands), name="w_issued", reset_less=True)
        firsts = Signal(config.rows)
        lasts = Signal(config.rows)
        m.d.sync += [
            a.eq(Mux(control.issue, a_operands, 0)),
            w.eq(Mux(control.issue, w_operands, 0)),
            firsts.eq(Cat(firsts[1:], control.issue & control.first)),
            lasts.eq(Cat(lasts[1:], control.issue & control.last)),
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
        ]
        if config.mesh_rounds:
            valids = Signal(config.rows)
            m.d.sync += valids.eq(Cat(valids[1:], control.issue))
            m.d.comb += array.valid_in.eq(valids)

        m.submodules.to_drain = to_drain = Delay(3, timing.lanes - 1, reset=True)
        drains, opens, ends = to_drain.o
        m.d.comb += [
            to_drain.i.eq(Cat(control.issue & control.last, control.opens, control.ends)),
            drain.start.eq(drains),
        ]
        if scales:
            each = []
            for name, shared in scales.items():
                wrong = None
                if config.spreads_nan(name):
                    wrong, _ = shared.watch(m, a_wrong if name == "a" else w_wrong, control.issue,
                                            control.first)
                each.append(shared.scales(shared.now, wrong))
            now = self._queue(m, Cat(each), control.issue & control.last, drains,
                              timing.lanes - 1, drain_interval(config))
            self._drain_scaled(m, array, drain, lanes, buffer, emission, scales, now, opens, ends)
            return control.busy | self._reading(scales), control.waiting
        m.submodules.to_buffer = to_buffer = Delay(2, timing.results - timing.lanes, reset=True)
        m.d.comb += [
            lanes.c.eq(array.c_out),
            lanes.valid_in.eq(drain.valid),
            to_buffer.i.eq(Cat(drain.valid, drain.last)),
            Cat(buffer.write, buffer.last).eq(to_buffer.o),
        ]
        if config.output == "requant":
            m.d.comb += [emission.valid.eq(drain.valid), emission.swap.eq(drain.start)]
        return control.busy, control.waiting

    def _drain_scaled(self, m, array, drain, lanes, buffer, emission, scales, now, opens, ends):
        """Sums of a block leave the drain chains, a row per cycle: each gets its row's scale."""
        config = self.config
        scalers = self._scalers(m)
        m.d.comb += scalers.value.eq(array.c_out)
        if "a" in scales:
            # The scale of row 0 comes straight from the queue, those of the others follow.
            m.d.comb += scalers.a_scale_in.eq(now[:SCALE_BITS])
            if config.rows > 1:
                rest = Signal((config.rows - 1) * SCALE_BITS, name="a_scales", reset_less=True)
                m.d.sync += rest.eq(Mux(drain.first, now[SCALE_BITS:config.rows * SCALE_BITS],
                                        rest >> SCALE_BITS))
                with m.If(~drain.first):
                    m.d.comb += scalers.a_scale_in.eq(rest[:SCALE_BITS])
        opened = Signal()
        ending = Signal()
        with m.If(drain.start):
            m.d.sync += [opened.eq(opens), ending.eq(ends)]
        row = signal_of(m, Cat(drain.valid, opened, ending, drain.first, drain.last), "drained")
        early = ScalerLane.latency(config) - AccumulatorLane.lead
        m.submodules.to_read = to_read = Delay(5, early, reset=True)
        m.d.comb += to_read.i.eq(row)
        self._accumulate(m, lanes, buffer, emission, to_read.o)

    def _scales(self, m, flags) -> dict[str, OperandScales]:
        """Readers of the scales, by the operand that they belong to."""
        found = {}
        for name, format in self.config.scales:
            stream = getattr(self, f"{name}_scale")
            # With weight-stationary, a tile of W is within a block.
            single = name == "w" and self.config.dataflow == "ws"
            found[name] = shared = OperandScales(name, format, stream.signature.data_bits,
                                                 single=single)
            m.submodules[f"{name}_scale_reader"] = shared.reader
            wiring.connect(m, wiring.flipped(stream), shared.reader.i)
            flags[f"{name}_scale_long"] = shared.reader.too_long
            if not single:
                flags[f"{name}_scale_short"] = shared.reader.too_short
        return found

    def _reading(self, scales) -> Value:
        return Cat(shared.reader.busy for shared in scales.values()).any() if scales else Const(0)

    def _scalers(self, m):
        return m.submodules.scalers

    def _queue(self, m, scales: Value, push: Value, pop: Value, cycles: int, interval: int
               ) -> Value:
        """Keep the scales of a tile until its sums leave the last column; give those of the columns
        to the scalers. The result is what has been popped last."""
        config = self.config
        m.submodules.scale_queue = queue = ScaleQueue(len(scales), cycles, interval)
        m.d.comb += [queue.i.eq(scales), queue.push.eq(push), queue.pop.eq(pop)]
        if "w" in dict(config.scales):
            m.submodules.scale_skew = skew = Skew(config.cols, SCALE_BITS, last_first=True)
            m.d.comb += [
                skew.i.eq(queue.o[-config.cols * SCALE_BITS:]),
                self._scalers(m).w_scale.eq(skew.o),
            ]
        return queue.o

    def _decode(self, m, flags, scales, a_taken, w_taken):
        """Decode both operands; flag the codes that are no numbers in beats that are taken.

        Gives the operands, and of each lane whether its code is no number.
        """
        config, decoded = self.config, []
        for name, stream, operand, lanes, taken in (
                ("a", self.a, config.a_operand, config.rows, a_taken),
                ("w", self.w, config.w_operand, config.cols, w_taken)):
            if isinstance(operand.format, IntegerFormat):
                operands, wrong = stream.data, Const(0, lanes)
            else:
                one_group = name == "a" and config.dataflow == "ws"
                border = BorderDecoder(operand, lanes, name, one_group=one_group)
                m.submodules[f"{name}_decoder"] = border
                m.d.comb += border.codes.eq(stream.data)
                if isinstance(operand.format, BitmodFormat):
                    m.d.comb += border.select.eq(scales[name].selects)
                operands, wrong = border.operands, border.invalid
            decoded.append((operands, wrong))
            if any(flag == f"{name}_invalid" for flag, _ in config.flags):
                found = wrong.any()
                if name in scales:
                    reader = scales[name].reader
                    found |= reader.take & scales[name].nan
                invalid = Signal(name=f"{name}_invalid")
                m.d.sync += invalid.eq(taken & found)
                flags[f"{name}_invalid"] = invalid
        return decoded

    def _requantize(self, m, lanes, flags, emission):
        config, timing = self.config, self.timing
        m.submodules.requantizers = lane_array = LinearArray(
            lambda: RequantizerLane(config), config.cols, name="requantizer",
            chain=RequantizerLane.chain, broadcast=RequantizerLane.broadcast, from_last=True)
        m.submodules.parameters = parameters = ParameterLoader(config.cols, timing.swap)
        m.submodules.swaps = swaps = Delay(1, 2, reset=True)
        m.submodules.valid = valid = Delay(1, timing.swap - timing.lanes, reset=True)
        m.d.comb += [
            parameters.q.data.eq(self.q.data),
            parameters.q.last.eq(self.q.last),
            parameters.q.valid.eq(self.q.valid),
            self.q.ready.eq(parameters.q.ready),
            parameters.start.eq(emission.start),
            parameters.swap.eq(emission.swap),
            swaps.i.eq(emission.swap),
            emission.may_start.eq(parameters.may_start),
            emission.waiting.eq(emission.wanted & parameters.missing),
            emission.busy.eq(parameters.busy),
            valid.i.eq(emission.valid),
            lane_array.x.eq(lanes.total),
            lane_array.valid_in.eq(valid.o),
            lane_array.swap_in.eq(swaps.o),
            lane_array.load.eq(parameters.load),
            lane_array.q_in.eq(parameters.data),
            lane_array.zero_point.eq(self.reg_out_zero_point),
            lane_array.low.eq(self.reg_clamp_low),
            lane_array.high.eq(self.reg_clamp_high),
        ]
        flags |= {"saturated": lane_array.saturated_out, "q_short": parameters.too_short,
                  "q_long": parameters.too_long}
        return lane_array.y
