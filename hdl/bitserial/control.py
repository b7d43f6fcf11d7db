"""Frames to groups of terms, and what happens behind the end of each group."""

from amaranth import Cat, Const, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from systolith.hdl.arithmetic.steps import counter, signal_of
from systolith.hdl.bitserial.config import SCALE_BITS, TYPE_BITS, TYPES, BitserialConfig
from systolith.hdl.structure.delay import Delay
from systolith.hdl.structure.dropping import drop_rest


class GroupControl(wiring.Component):
    """Issues the terms of pairs of beats, a whole group at a time.

    A pair stays at the heads of its streams for as many cycles as its weights have terms, the scale
    of a group until the group ends. A frame that ends within a group is completed with zeros.

    Members
    -------
    a_valid, a_last, w_valid, w_last, s_valid, s_last, s_type : In
    a_ready, w_ready, s_ready : Out(1)
        Handshakes of the input streams.
    room : In(1)
        The output buffer has room for a tile.
    issue, fill : Out(1)
        Terms enter the columns; the pair is made of zeros.
    kind, index, digit, whole : Out
        Of the group's weights, of the term.
    first, ends : Out(1)
        The terms start a group, they finish it.
    tile_first, tile_ends : Out(1)
        The group starts a tile; the terms finish it.
    busy, waiting : Out(1)
    bad_type, too_short, a_long, w_long, s_long : Out(1)
        Pulses of the error flags.
    """

    def __init__(self, config: BitserialConfig):
        self.config = config
        outputs = ("a_ready", "w_ready", "s_ready", "issue", "fill", "whole", "first", "ends",
                   "tile_first", "tile_ends", "busy", "waiting", "bad_type", "too_short", "a_long",
                   "w_long", "s_long")
        inputs = ("a_valid", "a_last", "w_valid", "w_last", "s_valid", "s_last", "room")
        super().__init__({
            **{name: In(1) for name in inputs}, "s_type": In(TYPE_BITS),
            **{name: Out(1) for name in outputs},
            "kind": Out(TYPE_BITS), "index": Out(2), "digit": Out(3),
        })

    def elaborate(self, platform):
        m = Module()
        in_tile = Signal()
        filling = Signal()
        a_dropping = Signal()
        w_dropping = Signal()
        s_dropping = Signal()
        begun = Signal()                                 # a tile, or what is left of frames
        beat = Signal(counter(self.config.beats - 1))
        term = Signal(2)
        known = signal_of(m, self.s_type < len(TYPES), "known")
        last_term = Signal(2)
        m.d.comb += self.kind.eq(Mux(known, self.s_type, 0))
        with m.Switch(self.kind):
            for number, kind in enumerate(TYPES):
                # The last one is what is left: unknown kinds count as the first.
                with m.Case(number) if number < len(TYPES) - 1 else m.Default():
                    m.d.comb += [last_term.eq(kind.terms - 1), self.whole.eq(not kind.mixture)]

        pair = Signal()
        scale = Signal()
        pair_ends = Signal()                             # with this term
        frame_ends = Signal()                            # with this pair
        taken = Signal()
        m.d.comb += [
            begun.eq(in_tile | ~self.first | a_dropping | w_dropping | s_dropping),
            pair.eq(self.a_valid & self.w_valid & ~a_dropping & ~w_dropping & ~filling),
            scale.eq(self.s_valid & ~s_dropping),
            pair_ends.eq(term == last_term),
            frame_ends.eq(self.a_last | self.w_last | filling),
            self.ends.eq(pair_ends & (beat == self.config.beats - 1)),
            self.tile_ends.eq(self.ends & frame_ends),
            self.issue.eq((pair | filling) & scale & (~self.tile_ends | self.room)),
            self.fill.eq(filling),
            taken.eq(self.issue & pair_ends & ~filling),
            self.a_ready.eq(taken | a_dropping),
            self.w_ready.eq(taken | w_dropping),
            self.s_ready.eq((self.issue & self.ends) | s_dropping),
            self.index.eq(term),
            # Of integers in units of 0.5, where these are the units of the sums.
            self.digit.eq(Mux(self.whole, Cat(Const(self.config.exact, 1), term), term)),
            self.first.eq((beat == 0) & (term == 0)),
            self.tile_first.eq(~in_tile),
            self.bad_type.eq(self.issue & self.ends & ~known),
            self.too_short.eq(taken & frame_ends & ~self.ends),
            self.a_long.eq(taken & self.w_last & ~self.a_last),
            self.w_long.eq(taken & self.a_last & ~self.w_last),
            self.s_long.eq(self.issue & self.ends & ~self.s_last),
            self.busy.eq(begun | filling),
            self.waiting.eq((begun | self.a_valid | self.w_valid | self.s_valid)
                            & ~((pair | filling) & scale)),
        ]
        with m.If(self.issue):
            m.d.sync += term.eq(Mux(pair_ends, 0, term + 1))
        with m.If(self.issue & pair_ends):
            m.d.sync += beat.eq(Mux(self.ends, 0, beat + 1))
        with m.If(self.issue & self.ends):
            m.d.sync += [in_tile.eq(~self.tile_ends), filling.eq(0)]
        with m.Elif(self.too_short):
            m.d.sync += filling.eq(1)
        for dropping, long, valid, last in (
                (a_dropping, self.a_long, self.a_valid, self.a_last),
                (w_dropping, self.w_long, self.w_valid, self.w_last),
                (s_dropping, self.s_long, self.s_valid, self.s_last)):
            drop_rest(m, dropping, long, valid & last)
        return m


class GroupSequencer(wiring.Component):
    """Scales, drains and adds the sums of a group, behind the terms of the next one.

    Parameters
    ----------
    config : BitserialConfig
    to_sum : int
        Cycles from the issue of a group's last terms to the first bit of its scale.
    add_stages : int
        Registers of the sums over the groups, up to 6: a row is read again after 8 cycles.

    Members
    -------
    ends, tile_first, tile_ends : In(1)
        A group's last terms are issued; it is the first, the last of its tile. At least 8 and
        ``rows`` cycles apart.
    load, fresh, multiply, deliver : Out(1)
        Take the scale; its first bit, its bits, its last bit.
    row : Out
        A row's scaled sum leaves the chain in the next cycle.
    start_sum : Out(1)
        A cycle later: it is of the first group.
    write, write_row : Out
        ``add_stages`` later: the sum over the groups is there.
    valid, last : Out(1)
        It is a result; the last of its tile.
    """

    def __init__(self, config: BitserialConfig, to_sum: int, add_stages: int):
        self.config, self.to_sum, self.add_stages = config, to_sum, add_stages
        row = counter(config.rows - 1)
        super().__init__({
            "ends": In(1), "tile_first": In(1), "tile_ends": In(1),
            "load": Out(1), "fresh": Out(1), "multiply": Out(1), "deliver": Out(1),
            "row": Out(row), "start_sum": Out(1), "write": Out(1), "write_row": Out(row),
            "valid": Out(1), "last": Out(1),
        })

    @staticmethod
    def latency(to_sum: int, add_stages: int) -> int:
        """Cycles from the issue of a group's last terms to the first result."""
        return to_sum + SCALE_BITS + add_stages

    def elaborate(self, platform):
        m = Module()
        m.submodules.to_scale = to_scale = Delay(3, self.to_sum - 1, reset=True)
        m.submodules.to_drain = to_drain = Delay(3, SCALE_BITS - 1, reset=True)
        bit = Signal(range(SCALE_BITS))
        fresh = Signal()
        multiply = Signal()
        m.d.comb += [
            to_scale.i.eq(Cat(self.ends, self.tile_first, self.tile_ends)),
            to_drain.i.eq(to_scale.o),
            self.load.eq(to_scale.o[0]),
            self.fresh.eq(fresh),
            self.multiply.eq(multiply),
            self.deliver.eq(multiply & (bit == SCALE_BITS - 1)),
        ]
        m.d.sync += fresh.eq(self.load)
        with m.If(self.load):
            m.d.sync += [multiply.eq(1), bit.eq(0)]
        with m.Elif(multiply):
            m.d.sync += [multiply.eq(~self.deliver), bit.eq(bit + 1)]

        # The rows, one per cycle: `row` is read, added to a cycle later, and written at last.
        draining = Signal()
        row = Signal(counter(self.config.rows - 1))
        tile_first = Signal(reset_less=True)
        tile_ends = Signal(reset_less=True)
        at_end = signal_of(m, row == self.config.rows - 1, "at_end")
        with m.If(to_drain.o[0]):
            m.d.sync += [draining.eq(1), row.eq(0), Cat(tile_first, tile_ends).eq(to_drain.o[1:])]
        with m.Elif(draining):
            m.d.sync += [draining.eq(~at_end), row.eq(row + 1)]
        m.submodules.to_add = to_add = Delay(1, 1)
        m.submodules.to_write = to_write = Delay(3, 1 + self.add_stages, reset=True)
        m.submodules.to_row = to_row = Delay(len(row), 1 + self.add_stages)
        m.d.comb += [
            self.row.eq(row),
            to_add.i.eq(tile_first),
            self.start_sum.eq(to_add.o),
            to_write.i.eq(Cat(draining, draining & tile_ends, at_end)),
            to_row.i.eq(row),
            Cat(self.write, self.valid, self.last).eq(to_write.o),
            self.write_row.eq(to_row.o),
        ]
        return m
