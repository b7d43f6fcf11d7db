"""Sum of the weights of a row, relative to the maximum so far, while the row streams by."""

from amaranth import Cat, Const, Module, Mux, Shape, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from systolith.hdl.arithmetic.shifting import chosen
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


#: A sum waits with so many of its last halvings.
FINE_BITS = 3


class ShiftedSum(RunningSum):
    """A running sum that any number of bits may be shifted out of.

    In the loop the sum is only shifted by multiples of 2^:data:`FINE_BITS`; the rest of what is due
    waits, as the number of bits that the sum has too many at its end, and what is added is shifted
    up by as many. As ⌊(⌊s / 2^a⌋ + w) / 2^b⌋ = ⌊(s + 2^a·w) / 2^(a + b)⌋, nothing is lost or kept
    that an immediate shift would not. The shifts are known long before, so that all about them but
    the choice of a place is outside of the loop. So is the sum at which saturation begins: the loop
    compares with it beside the addition, not behind it.

    Members
    -------
    saturated : Out(1)
        A pulse: the sum reached its end, where it stays. Only where :attr:`saturates`.
    """

    sum_latency = 4
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
        bits, step = self.total_bits, 1 << FINE_BITS
        summand = signal_of(m, self.summand(weights), "summand")
        nothing, amount = scaling[0], scaling[1:]

        # A cycle ahead of the loop: where the sum goes, and what is added to it then. `extra`
        # counts the bits that the sum has too many.
        extra = Signal(FINE_BITS, reset_less=True)
        due = signal_of(m, extra + amount, "due")
        extra_next = signal_of(m, Mux(nothing, 0, due[:FINE_BITS]), "extra_next")
        places = range((bits + step - 2) // step + 1)
        place = signal_of(m, Cat(~nothing & (due[FINE_BITS:] == each) for each in places), "place")
        place_held = Signal.like(place, name="place_held", reset_less=True)
        pending_ahead = Signal(len(summand) + step - 1, reset_less=True)
        prepared = Signal()
        with m.If(valid):
            m.d.sync += [
                extra.eq(extra_next),
                place_held.eq(place),
                pending_ahead.eq(summand << extra_next),
            ]
        m.d.sync += prepared.eq(valid)

        so_far = Signal(bits + step - 1, reset_less=True)
        pending = Signal.like(pending_ahead, name="pending", reset_less=True)
        exact = signal_of(m, so_far + pending, "exact")
        moved = signal_of(m, chosen(exact[:len(so_far)], place_held, step), "moved")
        row_exact = Signal.like(exact, name="row_exact", reset_less=True)
        row_total = signal_of(
            m, (row_exact >> delayed(m, "row_extra", 2, extra))[:bits], "row_total")
        if self.saturates:
            limit = Signal(Shape(max(bits + step, len(pending)) + 1, True), reset_less=True)
            with m.If(prepared):
                m.d.sync += limit.eq((Const(1 << bits) << extra) - pending_ahead)
            full = signal_of(m, ~exceeds(limit, so_far), "full")
            end = Const((1 << bits) - 1, bits) << extra
            moved_end = signal_of(m, chosen(end, place, step), "moved_end")
            moved_end_held = Signal.like(moved_end, name="moved_end_held", reset_less=True)
            with m.If(valid):
                m.d.sync += moved_end_held.eq(moved_end)
            moved = signal_of(m, Mux(full, moved_end_held, moved), "limited")
            row_full = Signal(reset_less=True)
            m.d.sync += row_full.eq(full)
            row_total = signal_of(m, row_total | row_full.replicate(bits), "row_limited")
            saturated = Signal(name="was_full")
            m.d.sync += saturated.eq(full & delayed(m, "added", 1, prepared, reset=True))
            m.d.comb += self.saturated.eq(saturated)
        total = Signal(bits, name="total_held", reset_less=True)
        with m.If(prepared):
            m.d.sync += [so_far.eq(moved), pending.eq(pending_ahead)]
        m.d.sync += [row_exact.eq(exact), total.eq(row_total)]
        return total
