"""The datapaths of ``integer``: the streaming integer softmax of ITA.

Weights are powers of two: an element that lies d below the maximum weighs
2^-round(d / 2^step_shift).
"""

from amaranth import Cat, Const, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from systolith.hdl.arithmetic.rounding import FixedRounder
from systolith.hdl.arithmetic.shifting import capped
from systolith.hdl.arithmetic.steps import counter, shape
from systolith.hdl.formats import IntegerFormat
from systolith.hdl.softmax.config import SoftmaxConfig
from systolith.hdl.softmax.passes import (
    Latency,
    control,
    logit_beat_bits,
    pass_members,
    split,
)
from systolith.hdl.softmax.row_results import RowDivision
from systolith.hdl.softmax.rows import rows_between
from systolith.hdl.softmax.running_sum import ShiftedSum
from systolith.hdl.structure.linear_array import LinearArray


def halvings(m: Module, distance, step_shift: int, name: str):
    """How often a distance halves a weight: distance / 2^step_shift to nearest, halves up."""
    bits = len(distance)
    m.submodules[f"{name}_rounder"] = rounder = FixedRounder(
        IntegerFormat(bits, False), IntegerFormat(bits - step_shift + 1, False, step_shift),
        "half_up")
    m.d.comb += rounder.value.eq(distance)
    return rounder.result


class HalvingsLane(wiring.Component):
    """How often the weight of one element is halved.

    Members
    -------
    x, top : In
        The logit, and the maximum so far; ``x`` ≤ ``top``.
    amount : Out
        0 to at least bits + 1 of a probability, by which any weight is gone.

    Timing
    ------
    Latency 1 cycle.
    """

    latency = 1

    def __init__(self, config: SoftmaxConfig):
        self.config = config
        x = shape(config.logit)
        super().__init__({"x": In(x), "top": In(x), "amount": Out(counter(config.y.bits + 1))})

    def elaborate(self, platform):
        m = Module()
        distance = Signal(self.config.logit.bits)
        amount = Signal.like(self.amount, name="amount", reset_less=True)
        m.d.comb += [distance.eq(self.top - self.x), self.amount.eq(amount)]
        rounded = halvings(m, distance, self.config.step_shift, "rounded")
        m.d.sync += amount.eq(capped(rounded, len(amount)))
        return m


class WeightLane(wiring.Component):
    """The weight of one element in the sum: 2^bits, halved.

    Members
    -------
    key, top : In
        The logit, and the maximum so far.
    keep : In(1)
        The element counts.
    weight : Out(bits + 1)

    Timing
    ------
    Latency 2 cycles.
    """

    latency = 2

    def __init__(self, config: SoftmaxConfig):
        self.config = config
        x = shape(config.logit)
        super().__init__({"key": In(x), "top": In(x), "keep": In(1),
                          "weight": Out(config.y.bits + 1)})

    def elaborate(self, platform):
        m = Module()
        unit = 1 << self.config.y.bits
        m.submodules.halvings = lane = HalvingsLane(self.config)
        keep = Signal(reset_less=True)
        weight = Signal.like(self.weight, name="weight", reset_less=True)
        m.d.comb += [lane.x.eq(self.key), lane.top.eq(self.top), self.weight.eq(weight)]
        m.d.sync += [keep.eq(self.keep), weight.eq(Mux(keep, Const(unit) >> lane.amount, 0))]
        return m


class ProbabilityLane(wiring.Component):
    """The inverse of the sum, halved as often as the weight of one element.

    Members
    -------
    x, top : In
    keep : In(1)
    inverse : In(bits)
    y : Out(bits)

    Timing
    ------
    Latency 2 cycles.
    """

    latency = 2

    def __init__(self, config: SoftmaxConfig):
        self.config = config
        x, y = shape(config.logit), shape(config.y)
        super().__init__({"x": In(x), "top": In(x), "keep": In(1), "inverse": In(y), "y": Out(y)})

    def elaborate(self, platform):
        m = Module()
        m.submodules.halvings = lane = HalvingsLane(self.config)
        keep = Signal(reset_less=True)
        inverse = Signal.like(self.inverse, name="inverse_held", reset_less=True)
        y = Signal.like(self.y, name="y", reset_less=True)
        m.d.comb += [lane.x.eq(self.x), lane.top.eq(self.top), self.y.eq(y)]
        m.d.sync += [
            keep.eq(self.keep),
            inverse.eq(self.inverse),
            y.eq(Mux(keep, inverse >> lane.amount, 0)),
        ]
        return m


class IntegerRunningSum(ShiftedSum):
    """Maximum of a row and the sum of its halved weights, while it streams by."""

    lane_latency = WeightLane.latency

    def __init__(self, config: SoftmaxConfig):
        total_bits = config.y.bits + 1 + (config.capacity - 1).bit_length()
        super().__init__(config, shape(config.logit), 0, config.y.bits + 1, total_bits)

    def lane(self) -> wiring.Component:
        return WeightLane(self.config)

    def halvings(self, m: Module, rise):
        return halvings(m, rise, self.config.step_shift, "halve")


class IntegerSum(wiring.Component):
    """First pass: maximum and sum of a row, then the inverse of the sum.

    Members are those of :func:`~systolith.hdl.softmax.passes.pass_members`; beats pass through, the
    record is the inverse of the sum, then the maximum.

    Timing
    ------
    :meth:`timing`; one beat per cycle. A serial divider takes a row for as many cycles as a
    probability has bits, and one.
    """

    def __init__(self, config: SoftmaxConfig):
        self.config = config
        beat_bits = logit_beat_bits(config)
        super().__init__(pass_members(beat_bits, 0, beat_bits, config.y.bits + config.logit.bits))

    @staticmethod
    def timing(config: SoftmaxConfig) -> Latency:
        return Latency(0, IntegerRunningSum.cycles(config.lanes)
                       + RowDivision.cycles(config.dividers, config.y.bits))

    def elaborate(self, platform):
        m = Module()
        config = self.config
        bits = config.y.bits
        data, keep = split(config, self.beat)
        m.submodules.running = running = IntegerRunningSum(config)
        m.submodules.division = division = RowDivision(
            config.dividers, ((1 << bits) - 1) << bits, len(running.total), bits, config.logit.bits,
            rows_between(config, 0, self.timing(config).record))
        m.d.comb += [
            self.o_valid.eq(self.valid),
            self.o_last.eq(self.last),
            self.o_beat.eq(self.beat),
            running.valid.eq(self.valid),
            running.last.eq(self.last),
            running.keys.eq(data),
            running.keep.eq(keep),
            division.valid.eq(running.done),
            division.divisor.eq(running.total),
            division.tag.eq(running.top),
            self.record_valid.eq(division.done),
            self.record.eq(Cat(division.quotient, division.tag_out)),
        ]
        return m


class IntegerNormalizer(wiring.Component):
    """Second pass: the probabilities of a row whose maximum and inverse sum are known.

    Members are those of :func:`~systolith.hdl.softmax.passes.pass_members`.

    Timing
    ------
    :meth:`timing`; one beat per cycle.
    """

    def __init__(self, config: SoftmaxConfig):
        self.config = config
        super().__init__(pass_members(logit_beat_bits(config), config.y.bits + config.logit.bits,
                                      config.lanes * config.y.bits, 0))

    @staticmethod
    def timing(config: SoftmaxConfig) -> Latency:
        return Latency(ProbabilityLane.latency)

    def elaborate(self, platform):
        m = Module()
        config = self.config
        m.submodules.lanes = lanes = LinearArray(
            lambda: ProbabilityLane(config), config.lanes, name="lane",
            broadcast=("top", "inverse"))
        data, keep = split(config, self.beat)
        valid, last = control(m, "control", ProbabilityLane.latency, self.valid, self.last)
        m.d.comb += [
            lanes.x.eq(data),
            lanes.keep.eq(keep),
            lanes.inverse.eq(self.row[:config.y.bits]),
            lanes.top.eq(self.row[config.y.bits:]),
            self.o_valid.eq(valid),
            self.o_last.eq(last),
            self.o_beat.eq(lanes.y),
        ]
        return m
