"""The passes in front of the last one for ``online``, ``single_pass``, ``three_pass`` and
``two_pass``: how they find the sum of the weights of a row."""

from amaranth import Module, Shape, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from systolith.hdl.arithmetic.multiplier import Multiplier
from systolith.hdl.arithmetic.steps import shape, signal_of
from systolith.hdl.softmax.config import SCALE_BITS, STEP, SoftmaxConfig
from systolith.hdl.softmax.passes import (
    Latency,
    control,
    delayed,
    logit_beat_bits,
    pass_members,
    split,
)
from systolith.hdl.softmax.powers import (
    MULTIPLIER_STAGES,
    STEP_BITS,
    AlignLane,
    PowerLane,
    chosen_step,
    key_shape,
    payload_bits,
    power_latency,
    stepped,
)
from systolith.hdl.softmax.records import row_record
from systolith.hdl.softmax.row_results import RowMaximum, RowTotal
from systolith.hdl.softmax.running_sum import RunningSum
from systolith.hdl.structure.linear_array import LinearArray
from systolith.hdl.structure.reduction import Reduction


class PowerRunningSum(RunningSum):
    """Key of the largest power of a row and the sum of its powers, while it streams by."""

    lane_latency = AlignLane.latency

    def __init__(self, config: SoftmaxConfig, lanes: int):
        super().__init__(config, key_shape(config), payload_bits(config),
                         config.weight_bits, config.total_bits, lanes=lanes)

    def lane(self) -> wiring.Component:
        return AlignLane(self.config)

    def scaling(self, m: Module, rise, fresh):
        return chosen_step(m, rise, self.total_bits, ~fresh)

    def accumulate(self, m: Module, valid, scaling, weights):
        total = Signal(self.total_bits, name="so_far", reset_less=True)
        with m.If(valid):
            m.d.sync += total.eq(stepped(total, scaling) + weights)
        return total


class _PowerPass(wiring.Component):
    """A pass that lets beats of logits pass through."""

    def __init__(self, config: SoftmaxConfig, row_bits: int, own_record_bits: int):
        self.config = config
        beat_bits = logit_beat_bits(config)
        super().__init__(pass_members(beat_bits, row_bits, beat_bits, own_record_bits)
                         | {"scale": In(SCALE_BITS)})

    def _pass_through(self, m: Module):
        m.d.comb += [
            self.o_valid.eq(self.valid),
            self.o_last.eq(self.last),
            self.o_beat.eq(self.beat),
        ]

    def _powers(self, m: Module):
        """The pairs of a beat, and its control bits beside them."""
        config = self.config
        data, keep = split(config, self.beat)
        m.submodules.powers = powers = LinearArray(
            lambda: PowerLane(config), config.lanes, name="power", broadcast=("scale",))
        m.d.comb += [powers.x.eq(data), powers.scale.eq(self.scale)]
        latency = power_latency(config)
        valid, last = control(m, "powers", latency, self.valid, self.last)
        return powers, valid, last, delayed(m, "keep", latency, keep)

    def _record(self, m: Module, done, top, total):
        m.submodules.found = found = row_record(self.config)(self.config)
        m.d.comb += [
            found.done.eq(done),
            found.top.eq(top),
            found.total.eq(total),
            self.record_valid.eq(found.record_valid),
            self.record.eq(found.record),
        ]


class OnlineSum(_PowerPass):
    """First pass of ``online``: one running maximum and one rescaled sum for the row.

    Members are those of :func:`~systolith.hdl.softmax.passes.pass_members`, and ``scale``.

    Timing
    ------
    :meth:`timing`; one beat per cycle.
    """

    def __init__(self, config: SoftmaxConfig):
        super().__init__(config, 0, row_record(config).bits(config))

    @staticmethod
    def timing(config: SoftmaxConfig) -> Latency:
        return Latency(0, power_latency(config) + PowerRunningSum.cycles(config.lanes)
                       + row_record(config).cycles(config))

    def elaborate(self, platform):
        m = Module()
        self._pass_through(m)
        powers, valid, last, keep = self._powers(m)
        m.submodules.running = running = PowerRunningSum(self.config, self.config.lanes)
        m.d.comb += [
            running.valid.eq(valid),
            running.last.eq(last),
            running.keep.eq(keep),
            running.keys.eq(powers.key),
            running.payloads.eq(powers.payload),
        ]
        self._record(m, running.done, running.top, running.total)
        return m


class TwoPassSum(_PowerPass):
    """First pass of ``two_pass``: a pair of mantissa and exponent per lane, merged behind the row.

    Members are those of :func:`~systolith.hdl.softmax.passes.pass_members`, and ``scale``.

    Timing
    ------
    :meth:`timing`; one beat per cycle.
    """

    def __init__(self, config: SoftmaxConfig):
        super().__init__(config, 0, row_record(config).bits(config))

    @staticmethod
    def timing(config: SoftmaxConfig) -> Latency:
        return Latency(0, power_latency(config) + PowerRunningSum.cycles(1)
                       + PairMerge.cycles(config) + row_record(config).cycles(config))

    def elaborate(self, platform):
        m = Module()
        config = self.config
        self._pass_through(m)
        powers, valid, last, keep = self._powers(m)
        m.submodules.pairs = pairs = LinearArray(
            lambda: PowerRunningSum(config, 1), config.lanes, name="pair",
            broadcast=("valid", "last"))
        m.submodules.merge = merge = PairMerge(config)
        m.d.comb += [
            pairs.valid.eq(valid),
            pairs.last.eq(last),
            pairs.keep.eq(keep),
            pairs.keys.eq(powers.key),
            pairs.payloads.eq(powers.payload),
            merge.valid.eq(pairs.done[0]),
            merge.tops.eq(pairs.top),
            merge.totals.eq(pairs.total),
        ]
        self._record(m, merge.done, merge.top, merge.total)
        return m


class PairMerge(wiring.Component):
    """One pair of sum and exponent from those of all lanes.

    Members
    -------
    valid : In(1)
    tops, totals : In
        Of all lanes.
    done, top, total : Out

    Timing
    ------
    Latency :meth:`cycles`, one row per cycle.
    """

    def __init__(self, config: SoftmaxConfig):
        self.config = config
        key = key_shape(config)
        super().__init__({
            "valid": In(1), "tops": In(config.lanes * key.width),
            "totals": In(config.lanes * config.total_bits),
            "done": Out(1), "top": Out(key), "total": Out(config.total_bits)})

    @staticmethod
    def cycles(config: SoftmaxConfig) -> int:
        return 2 * Reduction.cycles(config.lanes) + ScaleLane.latency

    def elaborate(self, platform):
        m = Module()
        config = self.config
        tree = Reduction.cycles(config.lanes)
        m.submodules.maximum = maximum = Reduction(config.lanes, key_shape(config), "max")
        m.submodules.lanes = lanes = LinearArray(
            lambda: ScaleLane(config), config.lanes, name="lane", broadcast=("top",))
        m.submodules.sum = total = Reduction(config.lanes, Shape(config.total_bits), "sum")
        m.d.comb += [
            maximum.i.eq(self.tops),
            lanes.top.eq(maximum.o),
            lanes.key.eq(delayed(m, "tops", tree, self.tops)),
            lanes.sum.eq(delayed(m, "totals", tree, self.totals)),
            total.i.eq(lanes.scaled),
            self.top.eq(delayed(m, "top", ScaleLane.latency + tree, maximum.o)),
            self.total.eq(signal_of(m, total.o, "sum_of_lanes")[:config.total_bits]),
            self.done.eq(delayed(m, "done", self.cycles(config), self.valid, reset=True)),
        ]
        return m


class ScaleLane(wiring.Component):
    """The sum of a lane relative to the key of all lanes, cut.

    Members
    -------
    key, sum : In
    top : In
        Not below ``key``.
    scaled : Out

    Timing
    ------
    Latency 2 cycles.
    """

    latency = 2

    def __init__(self, config: SoftmaxConfig):
        key = key_shape(config)
        self.total_bits = config.total_bits
        super().__init__({"key": In(key), "top": In(key), "sum": In(config.total_bits),
                          "scaled": Out(config.total_bits)})

    def elaborate(self, platform):
        m = Module()
        below = signal_of(m, (self.top - self.key).as_unsigned(), "below")
        chosen = chosen_step(m, below, self.total_bits)
        step = Signal.like(chosen, name="step", reset_less=True)
        held = Signal(self.total_bits, reset_less=True)
        scaled = Signal(self.total_bits, name="shifted", reset_less=True)
        m.d.sync += [
            step.eq(chosen),
            held.eq(self.sum),
            scaled.eq(stepped(held, step)),
        ]
        m.d.comb += self.scaled.eq(scaled)
        return m


class TopExponent(_PowerPass):
    """First pass of ``three_pass``: the key of the largest power of a row.

    Members are those of :func:`~systolith.hdl.softmax.passes.pass_members`, and ``scale``.

    Timing
    ------
    :meth:`timing`; one beat per cycle.
    """

    def __init__(self, config: SoftmaxConfig):
        super().__init__(config, 0, key_shape(config).width)

    @staticmethod
    def timing(config: SoftmaxConfig) -> Latency:
        return Latency(0, RowMaximum.cycles(config.lanes) + MULTIPLIER_STAGES)

    def elaborate(self, platform):
        m = Module()
        config = self.config
        self._pass_through(m)
        data, keep = split(config, self.beat)
        m.submodules.maximum = maximum = RowMaximum(config.lanes, shape(config.logit))
        m.submodules.multiply = multiply = Multiplier(
            shape(config.logit), Shape(SCALE_BITS), MULTIPLIER_STAGES, config.technology)
        m.d.comb += [
            maximum.valid.eq(self.valid),
            maximum.last.eq(self.last),
            maximum.x.eq(data),
            maximum.keep.eq(keep),
            multiply.a.eq(maximum.maximum),
            multiply.b.eq(self.scale),
            self.record_valid.eq(
                delayed(m, "done", MULTIPLIER_STAGES, maximum.done, reset=True)),
            self.record.eq((multiply.p.shift_right(-config.z.lsb_exponent)
                            + (STEP - 1)).shift_right(STEP_BITS)),
        ]
        return m


class ThreePassSum(_PowerPass):
    """Second pass of ``three_pass``: the sum of the weights relative to the known maximum.

    Members are those of :func:`~systolith.hdl.softmax.passes.pass_members`, and ``scale``.

    Timing
    ------
    :meth:`timing`; one beat per cycle.
    """

    def __init__(self, config: SoftmaxConfig):
        super().__init__(config, key_shape(config).width, row_record(config).bits(config))

    @staticmethod
    def timing(config: SoftmaxConfig) -> Latency:
        return Latency(0, power_latency(config) + AlignLane.latency
                       + RowTotal.cycles(config.lanes) + row_record(config).cycles(config))

    def elaborate(self, platform):
        m = Module()
        config = self.config
        self._pass_through(m)
        powers, valid, last, keep = self._powers(m)
        m.submodules.lanes = lanes = LinearArray(
            lambda: AlignLane(config), config.lanes, name="lane", broadcast=("top",))
        m.submodules.sum = total = RowTotal(config.lanes, config.weight_bits, config.total_bits)
        top = delayed(m, "row", power_latency(config), self.row)
        valid, last = control(m, "weights", AlignLane.latency, valid, last)
        m.d.comb += [
            lanes.key.eq(powers.key),
            lanes.payload.eq(powers.payload),
            lanes.keep.eq(keep),
            lanes.top.eq(top),
            total.valid.eq(valid),
            total.last.eq(last),
            total.weights.eq(lanes.weight),
        ]
        behind = AlignLane.latency + RowTotal.cycles(config.lanes)
        self._record(m, total.done, delayed(m, "row_top", behind, top), total.total)
        return m
