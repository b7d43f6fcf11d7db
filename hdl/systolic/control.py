"""Frames to wavefronts: when a beat enters the mesh, and the control bits that go with it.

The mesh never stalls. A beat is issued only when everything behind it is sure to have room: results
have their places in the output buffer reserved first.
"""

from amaranth import Cat, Const, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from systolith.hdl.arithmetic.steps import signal_of
from systolith.hdl.bus import axi_stream
from systolith.hdl.structure.dropping import drop_rest
from systolith.hdl.structure.select import select_late
from systolith.hdl.systolic.config import SystolicConfig


class ChainLoader(wiring.Component):
    """Fills a shift chain with one frame, one beat per cycle, behind the wavefront that empties it.

    The chain is entered at its last cell. With beat j, only the j + 1 cells nearest to the entry
    move: the wavefront, which starts with ``swap`` and takes one cycle per cell, has freed these.
    A frame that ends early is completed with zeros, beats too many are dropped.

    Parameters
    ----------
    data_bits : int
    length : int
        Beats of a frame and cells of the chain.
    pitch : int
        Cycles that the wavefront takes per cell, instead of one.
    whole : bool
        Frames are as long as the chain: nothing is filled up or dropped.

    Members
    -------
    i : In(axi_stream.Signature(data_bits))
    swap : In(1)
        The wavefront that takes the loaded values starts; only while ``full``.
    full : Out(1)
        A whole frame is loaded, or will be with the beat of this cycle.
    busy : Out(1)
        A frame is partly or wholly loaded.
    wants : Out(1)
        A beat would be taken into the chain.
    at_first : Out(1)
        The next beat is the first of a frame.
    load : Out(length)
        Cell i moves.
    data : Out(data_bits)
        What enters the chain; zero for missing beats.
    too_short, too_long : Out(1)
        Pulses: a frame was too short, too long.

    Timing
    ------
    ``load`` and ``data`` are registers, one cycle behind the beat; the wavefront reaches the first
    cell two cycles after ``swap``. ``length`` cycles from ``swap`` to ``swap``, and
    ``(length - 1) * (pitch - 1)`` more. No path leads from ``swap`` to ``i.ready``.
    """

    def __init__(self, data_bits: int, length: int, pitch: int = 1, *, whole: bool = False):
        self.length, self.whole = length, whole
        self.wait = (length - 1) * (pitch - 1)
        self.module_name = f"chain_loader_{length}x{data_bits}"
        members = {
            "i": In(axi_stream.Signature(data_bits)),
            "swap": In(1), "full": Out(1), "busy": Out(1), "wants": Out(1),
            "at_first": Out(1), "load": Out(length), "data": Out(data_bits),
            "too_short": Out(1), "too_long": Out(1),
        }
        super().__init__({name: member for name, member in members.items()
                          if not (whole and name in ("too_short", "too_long"))})

    def elaborate(self, platform):
        m = Module()
        full = Signal()                      # or the last beat is one that is made up for
        filling, dropping = (Const(0), Const(0)) if self.whole else (
            Signal(name="filling"), Signal(name="dropping"))
        reached = Signal(self.length, init=1 << (self.length - 1))       # the last cell, then more
        begun = reached[-2] if self.length > 1 else Const(0)
        free = Signal()
        step = Signal()
        ends = Signal()
        # The last cell is reached only by a frame that has begun, which `full` and `dropping` rule
        # out: the control waits for what follows, so it is kept short.
        at_last = reached[0] if self.length > 1 else free
        m.d.comb += [
            free.eq(self._freed(m, full) & ~dropping),
            step.eq((free & self.i.valid) | filling),
            ends.eq(at_last & (self.i.valid | filling)),
            self.i.ready.eq(self.wants | dropping),
            self.wants.eq(free & ~filling),
            self.at_first.eq(~(filling | dropping | begun)),
            *([] if self.whole else [
                self.too_short.eq(step & ~filling & self.i.last & ~reached[0]),
                self.too_long.eq(ends & ~filling & ~self.i.last)]),
            self.full.eq(full | (at_last & self.i.valid)),
            self.busy.eq(full | filling | dropping | begun),
        ]
        with m.If(step):
            m.d.sync += reached.eq(Cat(reached[1:] & ~ends.replicate(self.length - 1), 1))
        still_full = self.full & ~self.swap
        if self.whole:
            m.d.sync += full.eq(still_full)
        else:
            # What fills up does not have to be waited for.
            before_last = reached[:2] == 0b10 if self.length > 1 else Const(0)
            m.d.sync += full.eq(still_full | (before_last & (filling | self.too_short)))
            with m.If(ends):
                m.d.sync += filling.eq(0)
            with m.Elif(self.too_short):
                m.d.sync += filling.eq(1)
            drop_rest(m, dropping, self.too_long, self.i.valid & self.i.last)

        load = Signal(self.length)
        data = Signal.like(self.data, reset_less=True)
        m.d.sync += [
            load.eq(reached & step.replicate(self.length)),
            data.eq(Mux(filling, 0, self.i.data)),
        ]
        m.d.comb += [self.load.eq(load), self.data.eq(data)]
        return m

    def _freed(self, m, full):
        """Whether the cell at the entry may move, and every cycle one more behind it."""
        if not self.wait:
            return ~full
        waiting = Signal(range(self.wait + 1))
        with m.If(self.swap):
            m.d.sync += waiting.eq(self.wait)
        with m.Elif(waiting != 0):
            m.d.sync += waiting.eq(waiting - 1)
        return ~full & (waiting == 0)


class WeightStationaryControl(wiring.Component):
    """Issues activations, a K tile at a time, each with the weights loaded for it.

    Members
    -------
    a_valid, a_last, a_user : In
    a_ready : Out(1)
        Handshake of the activation stream.
    full : In(1)
        Weights are loaded.
    swap : Out(1)
        With the first beat of a frame: use them.
    room : In(1)
        The output buffer has a free place.
    may_emit : In(1)
        A frame that emits may start.
    scaled : In(1)
        The scale of the row is there; only where A has scales.
    issue, first, emit, start, ends : Out(1)
        A beat enters the mesh; it belongs to the first K tile, to the last; it is the first of its
        frame, the last.
    busy, waiting : Out(1)
    idle : Out(1)
        There is no frame, nor what is left of one.
    would_emit : Out(1)
        A frame is there that would start if it might emit; only where there are parameters to
        wait for.
    a_short, a_long, a_order : Out(1)
        Pulses of the error flags.
    """

    def __init__(self, config: SystolicConfig, interval: int):
        self.config, self.interval = config, interval
        scaled = {"scaled": In(1)} if "a" in dict(config.scales) else {}
        super().__init__({
            "a_valid": In(1), "a_ready": Out(1), "a_last": In(1), "a_user": In(2), **scaled,
            "full": In(1), "swap": Out(1), "room": In(1), "may_emit": In(1),
            "issue": Out(1), "first": Out(1), "emit": Out(1), "start": Out(1), "ends": Out(1),
            "busy": Out(1), "idle": Out(1), "waiting": Out(1),
            "a_short": Out(1), "a_long": Out(1), "a_order": Out(1),
            **({"would_emit": Out(1)} if config.output == "requant" else {}),
        })

    def elaborate(self, platform):
        m = Module()
        idle = Signal(init=1)                            # of these three, one at a time
        in_frame = Signal()
        dropping = Signal()
        sum_open = Signal()
        held_first = Signal(reset_less=True)
        held_emit = Signal(reset_less=True)
        start = Signal()
        first = Signal()
        emit = Signal()
        loaded = Signal()
        may_start = Signal()
        issue = Signal()
        at_limit = Signal()
        end = Signal()

        # A row of the accumulator memory is free for its next K tile `interval` cycles later: short
        # frames that emit nothing make the next one wait for that. One bit for every cycle to wait,
        # behind the row just issued (`due`) and from now on (`held` in this cycle, `hold` in those
        # after it). Loading the weights of the next frame takes longer, but may be over long before
        # a row that came late.
        due = Signal(self.interval - 1, reset_less=True)
        held = Signal()
        hold = Signal(self.interval - 2)
        behind = Signal(self.interval - 1)

        # Rows are counted such that a sign tells the limit: `left` is one below the number of rows
        # that may follow; `row`, two below the number of the row just issued, is what `left` is
        # behind the first row of the next frame.
        numbers = range(-3, max(self.config.acc_depth, 2))
        row = Signal(numbers, reset_less=True)
        single_row = Signal(reset_less=True)
        left = Signal(numbers, reset_less=True)
        there = self.a_valid & self.scaled if hasattr(self, "scaled") else self.a_valid
        fresh = signal_of(m, self.a_user[0] | ~sum_open, "fresh")
        at_first_limit = Mux(fresh, self.config.acc_depth == 1, single_row)
        m.d.comb += [
            start.eq(~in_frame),
            first.eq(Mux(in_frame, held_first, fresh)),
            emit.eq(Mux(in_frame, held_emit, self.a_user[1])),
            loaded.eq(idle & self.full & (~held | self.a_user[0])),
            may_start.eq(loaded & ((self.room & self.may_emit) | ~self.a_user[1])),
            issue.eq(there & (may_start | (in_frame & (self.room | ~held_emit)))),
            at_limit.eq(Mux(in_frame, left[-1], at_first_limit)),
            end.eq(self.a_last | at_limit),
            behind.eq(Mux(start, ~0, due >> 1)),
            self.a_ready.eq(issue | dropping),
            self.issue.eq(issue),
            self.first.eq(first),
            self.emit.eq(emit),
            self.start.eq(start),
            self.ends.eq(end),
            self.swap.eq(issue & start),
            self.a_order.eq(issue & start & (self.a_user[0] == sum_open)),
            self.a_long.eq(issue & at_limit & ~self.a_last),
            self.a_short.eq(issue & self.a_last & ~first & ~at_limit),
            self.busy.eq(in_frame | dropping | sum_open),
            self.idle.eq(idle),
            self.waiting.eq(~there & (in_frame | self.full)),
        ]
        if self.config.output == "requant":
            m.d.comb += self.would_emit.eq(there & loaded & self.room & self.a_user[1])
        with m.If(start):
            m.d.sync += [held_first.eq(first), held_emit.eq(emit)]
        m.d.sync += [
            in_frame.eq(select_late(issue, ~end, in_frame)),
            sum_open.eq(select_late(issue, ~emit, sum_open)),    # looked at between frames
        ]
        with m.If(issue):
            m.d.sync += [
                row.eq(Mux(in_frame, row, -3) + 1),
                single_row.eq(start),
                left.eq(Mux(in_frame, left - 1,
                            Mux(first, self.config.acc_depth - 3, row))),
                due.eq(behind),
                hold.eq(behind[1:]),
                held.eq(behind[0] & ~emit),
            ]
        with m.Else():
            m.d.sync += [hold.eq(hold[1:]), held.eq(hold[0] & sum_open)]
        dropped = dropping & self.a_valid & self.a_last
        m.d.sync += [
            idle.eq(select_late(issue, self.a_last, idle | dropped)),
            dropping.eq(select_late(issue, at_limit & ~self.a_last, dropping & ~dropped)),
        ]
        return m


class OutputStationaryControl(wiring.Component):
    """Issues pairs of activations and weights, a whole sum at a time.

    Where elements have scales, a sum is one of a block: a frame has a sum for every block.

    Parameters
    ----------
    config : SystolicConfig
    drain : int
        Cycles from sum to sum, at least.

    Members
    -------
    a_valid, a_last, w_valid, w_last : In(1)
    a_ready, w_ready : Out(1)
        Handshakes of the operand streams.
    room : In(1)
        The output buffer has room for a whole tile.
    may_emit : In(1)
        A tile may be finished.
    scaled : In(1)
        The scales of the next block are there; only where there are any.
    issue, first, last, opens, ends : Out(1)
        A pair of beats enters the mesh; it starts sums, it finishes them; they are the first of
        their frame, the last.
    busy, waiting : Out(1)
    would_emit : Out(1)
        The last pair of a tile is there, and would be issued if it might be finished; only where
        there are parameters to wait for.
    a_long, w_long : Out(1)
        Pulses of the error flags.
    """

    def __init__(self, config: SystolicConfig, drain: int):
        self.config, self.drain = config, drain
        scaled = {"scaled": In(1)} if config.scales else {}
        super().__init__({
            "a_valid": In(1), "a_ready": Out(1), "a_last": In(1),
            "w_valid": In(1), "w_ready": Out(1), "w_last": In(1),
            "room": In(1), "may_emit": In(1), **scaled,
            "issue": Out(1), "first": Out(1), "last": Out(1), "opens": Out(1), "ends": Out(1),
            "busy": Out(1), "waiting": Out(1),
            "a_long": Out(1), "w_long": Out(1),
            **({"would_emit": Out(1)} if config.output == "requant" else {}),
        })

    def elaborate(self, platform):
        m = Module()
        in_frame = Signal()
        a_dropping = Signal()
        w_dropping = Signal()
        # The drain chain is free for the next sums after as many cycles as it has rows.
        draining = Signal(range(self.drain))
        pair = Signal()
        end = Signal()
        ready = Signal()
        issue = Signal()
        both = self.a_valid & self.w_valid & ~a_dropping & ~w_dropping
        first, last, opens = self._block(m, in_frame, end)
        spacing = self._spacing(m) if self.config.pair_interval > 1 else Const(0)
        there, unscaled = both, Const(0)
        if hasattr(self, "scaled"):
            there, unscaled = both & (self.scaled | ~first), both & first & ~self.scaled
        m.d.comb += [
            pair.eq(there & ~spacing),
            end.eq(self.a_last | self.w_last),
            ready.eq(pair & (~last | (draining == 0))),
            issue.eq(ready & (~end | (self.room & self.may_emit))),
            self.a_ready.eq(issue | a_dropping),
            self.w_ready.eq(issue | w_dropping),
            self.issue.eq(issue),
            self.first.eq(first),
            self.last.eq(last),
            self.opens.eq(opens),
            self.ends.eq(end),
            self.a_long.eq(issue & self.w_last & ~self.a_last),
            self.w_long.eq(issue & self.a_last & ~self.w_last),
            self.busy.eq(in_frame | a_dropping | w_dropping),
            self.waiting.eq((self.a_valid != self.w_valid) | (in_frame & ~self.a_valid) | unscaled),
        ]
        if self.config.output == "requant":
            m.d.comb += self.would_emit.eq(ready & end & self.room)
        with m.If(issue):
            m.d.sync += in_frame.eq(~end)
        with m.If(issue & last):
            m.d.sync += draining.eq(self.drain - 1)
        with m.Elif(draining != 0):
            m.d.sync += draining.eq(draining - 1)
        for dropping, long, valid, last in (
                (a_dropping, self.a_long, self.a_valid, self.a_last),
                (w_dropping, self.w_long, self.w_valid, self.w_last)):
            drop_rest(m, dropping, long, valid & last)
        return m

    def _block(self, m, in_frame, end):
        """Whether a pair is the first of its sums, the last; whether these are the first of their
        frame."""
        block = self.config.block
        if block is None:
            return ~in_frame, end, ~in_frame
        place = Signal(range(block))
        opened = Signal()                                # the frame has had a block
        first = Signal()
        last = Signal()
        m.d.comb += [
            first.eq(place == 0),
            last.eq(end | (place == block - 1)),
        ]
        with m.If(self.issue):
            m.d.sync += place.eq(Mux(last, 0, place + 1))
        with m.If(self.issue & last):
            m.d.sync += opened.eq(~end)
        return first, last, ~opened

    def _spacing(self, m):
        """Whether the pair before is so near that its sum is not there again."""
        spacing = Signal(range(self.config.pair_interval))
        with m.If(self.issue):
            m.d.sync += spacing.eq(self.config.pair_interval - 1)
        with m.Elif(spacing != 0):
            m.d.sync += spacing.eq(spacing - 1)
        return spacing != 0


class DrainControl(wiring.Component):
    """Moves a finished tile out of the drain chains, a row per cycle.

    The row in which the wavefront starts is last in the output and never has to move; with each row
    that leaves, one more row behind it is free for the next tile.

    Members
    -------
    start : In(1)
        The tile will be complete in the next cycle.
    shift : Out(rows)
        Row r of the mesh moves.
    valid, first, last : Out(1)
        There is a row at the end of the chain; it is the first, the last of the tile.
    """

    def __init__(self, rows: int):
        self.rows = rows
        super().__init__({"start": In(1), "shift": Out(rows),
                          "valid": Out(1), "first": Out(1), "last": Out(1)})

    def elaborate(self, platform):
        m = Module()
        valid = Signal()
        first = Signal()
        moving = Signal(self.rows)
        m.d.comb += [
            self.valid.eq(valid),
            self.first.eq(first),
            self.last.eq(valid & ~moving[0]),
            self.shift.eq(moving),
        ]
        m.d.sync += first.eq(self.start)
        with m.If(self.start):
            m.d.sync += [valid.eq(1), moving.eq((1 << (self.rows - 1)) - 1)]
        with m.Else():
            m.d.sync += [valid.eq(valid & moving[0]), moving.eq(Cat(moving[1:], 0))]
        return m
