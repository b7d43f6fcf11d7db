"""Sum of the weights of a row, relative to the maximum so far, while the row streams by."""

from amaranth import Cat, Module, Mux, Shape, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from systolith.hdl.arithmetic.steps import exceeds, signal_of
from systolith.hdl.softmax.config import SoftmaxConfig
from systolith.hdl.softmax.passes import control, delayed
from systolith.hdl.softmax.row_results import BeatMaximum
from systolith.hdl.structure.linear_array import LinearArray
from systolith.hdl.structure.reduction import Reduction


class RunningSum(wiring.Component):
    """Maximum of a row and the sum of its weights relative to it; the state is these two numbers.

    When a beat raises the maximum, the sum so far is scaled down before the weights of the beat are
    added.

    Parameters
    ----------
    config : SoftmaxConfig
    key : Shape
        Of what the maximum is taken of.
    payload_bits : int
        Of what else an element brings along.
    weight_bits, total_bits : int
    lanes : int, optional
        Of this sum; by default those of the config.
    **more
        Further members.

    Members
    -------
    valid, last : In(1)
    keep : In(lanes)
    keys, payloads : In
        Of the elements; ``payloads`` is absent where it has no bits.
    done : Out(1)
        A row is through.
    top, total : Out
        Its maximum and its sum, with ``done``.

    Timing
    ------
    Latency :meth:`cycles` from the last beat of a row to ``done``; one beat per cycle.
    """

    #: Cycles that a lane takes.
    lane_latency = 2
    #: Cycles from the weights of a beat to the sum with them.
    sum_latency = 1

    def __init__(self, config: SoftmaxConfig, key: Shape, payload_bits: int, weight_bits: int,
                 total_bits: int, *, lanes: int | None = None, **more):
        self.config, self.key, self.payload_bits = config, key, payload_bits
        self.weight_bits, self.total_bits = weight_bits, total_bits
        self.count = lanes = lanes or config.lanes
        members = {"valid": In(1), "last": In(1), "keep": In(lanes), "keys": In(lanes * key.width),
                   "done": Out(1), "top": Out(key), "total": Out(total_bits), **more}
        if payload_bits:
            members["payloads"] = In(lanes * payload_bits)
        super().__init__(members)

    @classmethod
    def cycles(cls, lanes: int) -> int:
        """Latency of the sum of so many lanes."""
        front = BeatMaximum.cycles(lanes)
        return front + 1 + cls.lane_latency + Reduction.cycles(lanes) + cls.sum_latency

    def lane(self) -> wiring.Component:
        """Builds the weight of one element: ``key``, ``top``, ``keep`` and ``payload`` in,
        ``weight`` out, :attr:`lane_latency` cycles later."""
        raise NotImplementedError

    def scaling(self, m: Module, rise, fresh):
        """By what the sum is scaled down, as :meth:`add` takes it, when the maximum rises so far;
        to nothing if ``fresh``, where a new row begins. Registered once outside."""
        raise NotImplementedError

    def accumulate(self, m: Module, valid, scaling, weights):
        """The sum, and the weights of a beat added to what is left of it where ``valid``;
        :attr:`sum_latency` cycles later it is returned."""
        raise NotImplementedError

    def elaborate(self, platform):
        m = Module()
        m.submodules.maximum = maximum = BeatMaximum(self.count, self.key)
        m.submodules.sum = lane_sum = Reduction(self.count, Shape(self.weight_bits), "sum")
        m.d.comb += [maximum.x.eq(self.keys), maximum.keep.eq(self.keep)]
        front = BeatMaximum.cycles(self.count)
        valid, last = control(m, "beat", front, self.valid, self.last)

        # The maximum so far, and by how much this beat raises it.
        in_row = Signal()
        top = Signal(self.key, reset_less=True)
        raised = Signal(self.key)
        change = Signal(Shape(self.key.width + 1, True), reset_less=True)
        begins = Signal(reset_less=True)
        m.d.comb += raised.eq(Mux(in_row & exceeds(top, maximum.maximum), top, maximum.maximum))
        with m.If(valid):
            m.d.sync += [
                in_row.eq(~last),
                top.eq(raised),
                change.eq(maximum.maximum - top),
                begins.eq(~in_row),
            ]
        rise = Signal(self.key.width, reset_less=True)
        fresh = Signal(reset_less=True)
        m.d.sync += [rise.eq(Mux(change < 0, 0, change)), fresh.eq(begins)]

        m.submodules.lanes = lanes = LinearArray(
            self.lane, self.count, name="lane", broadcast=("top",))
        m.d.comb += [
            lanes.key.eq(delayed(m, "keys", front + 1, self.keys)),
            lanes.keep.eq(delayed(m, "keep", front + 1, self.keep)),
            lanes.top.eq(top),
            lane_sum.i.eq(lanes.weight),
        ]
        if self.payload_bits:
            m.d.comb += lanes.payload.eq(delayed(m, "payloads", front + 1, self.payloads))

        behind = self.lane_latency + lane_sum.latency
        valid, last = control(m, "weight", 1 + behind, valid, last)
        amount = self.scaling(m, rise, fresh)
        scaling = Signal(amount.shape(), name="scaling", reset_less=True)
        m.d.sync += scaling.eq(amount)
        scaling = delayed(m, "scaling", behind - 2, scaling)
        top = delayed(m, "top", behind, top)

        row_top = Signal(self.key, reset_less=True)
        with m.If(valid):
            m.d.sync += row_top.eq(top)
        later = self.sum_latency - 1
        m.d.comb += [
            self.total.eq(self.accumulate(m, valid, scaling, lane_sum.o)),
            self.top.eq(delayed(m, "row_top", later, row_top)),
            self.done.eq(delayed(m, "done", 1 + later, valid & last, reset=True)),
        ]
        return m


class ShiftedSum(RunningSum):
    """A running sum that any number of bits may be shifted out of.

    The weights of a beat wait for the next one and are added in front of the shift, which is known
    by then: so what is known early is behind what is known late.

    Members
    -------
    saturated : Out(1)
        A pulse: the sum reached its end, where it stays. Only where :attr:`saturates`.
    """

    sum_latency = 2
    #: Whether a sum can be more than its bits hold.
    saturates = False

    def scaling(self, m: Module, rise, fresh):
        amount = self.halvings(m, rise)
        bits = (self.total_bits - 1).bit_length()
        nothing = fresh | amount[bits:].any() if len(amount) > bits else fresh
        return Cat(nothing, amount[:bits])

    def halvings(self, m: Module, rise):
        """How many bits of the sum go when the maximum rises so far."""
        raise NotImplementedError

    def summand(self, weights):
        """What a beat adds to the sum."""
        return weights

    def accumulate(self, m: Module, valid, scaling, weights):
        bits, summand = self.total_bits, self.summand(weights)
        nothing, amount = scaling[0], scaling[1:]
        so_far = Signal(bits, reset_less=True)
        pending = Signal(len(summand), reset_less=True)
        total = Signal(bits, name="row_total", reset_less=True)
        exact = signal_of(m, so_far + pending, "exact")
        limited = exact[:bits]
        if self.saturates:
            full = signal_of(m, exact[bits:].any(), "full")
            limited = signal_of(m, limited | full.replicate(bits), "limited")
            saturated = Signal(name="was_full")
            m.d.sync += saturated.eq(full & delayed(m, "added", 1, valid, reset=True))
            m.d.comb += self.saturated.eq(saturated)
        with m.If(valid):
            m.d.sync += [so_far.eq(Mux(nothing, 0, limited >> amount)), pending.eq(summand)]
        m.d.sync += total.eq(limited)
        return total
