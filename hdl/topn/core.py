"""The online pruning unit: SORE of SAT (arXiv 2309.13015), sorted by index throughout."""

from collections.abc import Mapping

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from systolith.hdl.shell import SLICE_LATENCY, inside_signature
from systolith.hdl.structure.linear_array import LinearArray
from systolith.hdl.topn.config import TopNConfig


def latency(config: TopNConfig) -> Mapping[str, int | str]:
    """Latency and throughput of the core, in cycles."""
    return {
        "latency": 2 * SLICE_LATENCY + 2,
        "latency_from": "the last x beat of a group accepted to its first z beat",
        "group_interval": "M",
        "elements_per_cycle": config.lanes,
    }


class TopNStack(wiring.Component):
    """Keeps the largest magnitudes of a group, in the order in which they came.

    Every entry knows its rank among the entries. A new element is compared with all of them at
    once: it pushes the smaller ones down a rank, and if there is no room the last one out; what
    came behind that moves up, so that entries need no sorting in the end. Of equal magnitudes the
    first stays. Entries that only groups have that are kept whole need no rank.

    Members
    -------
    x : element.
    step : it is there.
    place : its number in the group.
    occupied, insert, full, last_rank : from a :class:`StackControl`.
    kept : elements and indices, entry after entry.
    """

    broadcast = ("step", "place", "occupied", "insert", "full", "last_rank")

    def __init__(self, config: TopNConfig):
        self.config = config
        entries = config.max_n
        super().__init__({
            "x": In(config.x.bits), "step": In(1), "place": In(config.index_bits),
            "occupied": In(config.ranked), "insert": In(entries - 1), "full": In(1),
            "last_rank": In(range(max(entries, 2))),
            "kept": Out(entries * config.kept.bits),
        })

    def elaborate(self, platform):
        m = Module()
        entries, bits = self.config.max_n, self.config.x.bits
        ranked = range(self.config.ranked)
        element = Cat(self.x, self.place)

        def magnitude(code):
            return Mux(code[-1], -code.as_signed(), code)[:bits] if self.config.x.signed else code

        kept = [Signal(self.config.kept.bits, name=f"kept_{i}", reset_less=True)
                for i in range(entries)]
        rank = [Signal(range(max(len(ranked), 2)), name=f"rank_{i}", reset_less=True)
                for i in ranked]
        size = Signal(bits)
        beaten = Signal(len(ranked))                     # smaller than the new element
        dropped = Signal(len(ranked))                    # the smallest of all, if it goes
        keep = Signal()
        new_rank = Signal.like(rank[0], name="new_rank")
        above = self.occupied & ~beaten
        m.d.comb += [
            size.eq(magnitude(self.x)),
            beaten.eq(Cat(self.occupied[i] & (size > magnitude(kept[i][:bits])) for i in ranked)),
            dropped.eq(Cat(self.full & beaten[i] & (rank[i] == self.last_rank) for i in ranked)),
            keep.eq(self.step & (~self.full | dropped.any())),
            new_rank.eq(sum(above[i] for i in ranked)),
            self.kept.eq(Cat(kept)),
        ]
        pushed = [Signal.like(rank[i], name=f"pushed_{i}") for i in ranked]
        m.d.comb += [pushed[i].eq(rank[i] + beaten[i]) for i in ranked]
        for i in range(entries):
            takes = keep & self.insert[i] if i < entries - 1 else keep
            with m.If(takes):
                m.d.sync += kept[i].eq(element)
                if i in ranked:
                    m.d.sync += rank[i].eq(new_rank)
            if i < min(entries - 1, len(ranked)):
                moves = dropped[:i + 1].any()
                with m.Elif(keep):
                    m.d.sync += [kept[i].eq(Mux(moves, kept[i + 1], kept[i])),
                                 rank[i].eq(Mux(moves, pushed[i + 1], pushed[i]))
                                 ] if i + 1 in ranked else rank[i].eq(pushed[i])
        return m


class StackControl(wiring.Component):
    """What all stacks do with an element of a group, combinationally.

    Members
    -------
    place : number of the element in its group.
    last_rank : number of entries less one.
    occupied : entries with a rank in use before it.
    insert : entries that take it if it is kept: the one of its number, and the last one in use if
        all are. What entries hold that are not in use does not matter: the last of all takes any.
    full : all are in use.
    """

    def __init__(self, config: TopNConfig):
        self.config = config
        entries = config.max_n
        super().__init__({
            "place": In(config.index_bits), "last_rank": In(range(max(entries, 2))),
            "occupied": Out(config.ranked), "insert": Out(entries - 1), "full": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        place, last_rank, entries = self.place, self.last_rank, range(self.config.max_n)
        lasts = {pattern.n - 1 for pattern in self.config.patterns}
        m.d.comb += [
            self.occupied.eq(Cat((place > i) & (last_rank >= i) if i else place > 0
                                 for i in range(self.config.ranked))),
            self.insert.eq(Cat((place == i) | ((place > i) & (last_rank == i) if i in lasts else 0)
                               for i in entries[:-1])),
            self.full.eq(place > last_rank),
        ]
        return m


class TopNLane(wiring.Component):
    """A stack, and the shift register into which a complete group goes.

    Members
    -------
    x, step, place, occupied, insert, full, last_rank : of :class:`TopNStack`.
    copy : the group is complete: move it to the output.
    shift : the next element at the output.
    z : element and index at the output.
    """

    broadcast = (*TopNStack.broadcast, "copy", "shift")

    def __init__(self, config: TopNConfig):
        self.config = config
        self.stack = TopNStack(config)
        super().__init__({
            **{name: member for name, member in self.stack.signature.members.items()
               if name != "kept"},
            "copy": In(1), "shift": In(1), "z": Out(config.kept.bits),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.stack = stack = self.stack
        m.d.comb += [getattr(stack, name).eq(getattr(self, name))
                     for name in ("x", *TopNStack.broadcast)]
        entries, bits = self.config.max_n, self.config.kept.bits
        out = [Signal(bits, name=f"out_{i}", reset_less=True) for i in range(entries)]
        for i in range(entries):
            with m.If(self.copy):
                m.d.sync += out[i].eq(stack.kept.word_select(i, bits))
            with m.Elif(self.shift):
                m.d.sync += out[i].eq(out[i + 1] if i + 1 < entries else 0)
        m.d.comb += self.z.eq(out[0])
        return m


class TopN(wiring.Component):
    """Prunes groups of M elements, a group per lane at a time.

    Parameters
    ----------
    config : TopNConfig

    Timing
    ------
    A group takes M cycles, also where all of it is kept: it leaves while the next one comes.
    """

    def __init__(self, config: TopNConfig):
        self.config = config
        super().__init__(inside_signature(config))

    def elaborate(self, platform):
        m = Module()
        config, x, z = self.config, self.x, self.z
        m.submodules.lanes = lanes = LinearArray(
            lambda: TopNLane(config), config.lanes, name="lane", broadcast=TopNLane.broadcast)
        m.submodules.control = control = StackControl(config)

        in_frame = Signal()
        filling = Signal()
        dropping = Signal()
        held_code = Signal(8, reset_less=True)
        code = Signal(8)
        known = Signal()
        last_place = Signal(config.index_bits)
        last_rank = Signal.like(lanes.last_rank)
        m.d.comb += code.eq(Mux(in_frame, held_code, x.user))
        with m.Switch(code):
            for pattern in config.patterns:
                with m.Case(pattern.code):
                    m.d.comb += [known.eq(1), last_place.eq(pattern.m - 1),
                                 last_rank.eq(pattern.n - 1)]

        complete = Signal()                              # a group waits to go to the output
        complete_ends = Signal(reset_less=True)
        complete_left = Signal(range(config.max_n + 1), reset_less=True)
        left = Signal(range(config.max_n + 1))           # elements at the output
        out_ends = Signal(reset_less=True)
        place = Signal(config.index_bits)
        copy = Signal()
        go = Signal()
        step = Signal()
        group_ends = Signal()
        frame_ends = Signal()
        too_short = Signal()
        refuse = Signal()
        m.d.comb += [
            copy.eq(complete & ((left == 0) | ((left == 1) & z.ready))),
            go.eq(known & ~dropping & (~complete | copy)),
            step.eq(go & (x.valid | filling)),
            refuse.eq(x.valid & ~known & ~dropping),
            x.ready.eq(dropping | ~known | (go & ~filling)),
            group_ends.eq(step & (place == last_place)),
            frame_ends.eq(group_ends & (filling | x.last)),
            too_short.eq(step & ~filling & x.last & ~group_ends),
        ]
        with m.If(step):
            m.d.sync += [place.eq(Mux(group_ends, 0, place + 1)), in_frame.eq(~frame_ends),
                         held_code.eq(code)]
        with m.If(frame_ends):
            m.d.sync += filling.eq(0)
        with m.Elif(too_short):
            m.d.sync += filling.eq(1)
        with m.If(refuse):
            m.d.sync += dropping.eq(~x.last)
        with m.Elif(x.valid & x.last):
            m.d.sync += dropping.eq(0)
        with m.If(group_ends):
            m.d.sync += [complete.eq(1), complete_ends.eq(frame_ends),
                         complete_left.eq(last_rank + 1)]
        with m.Elif(copy):
            m.d.sync += complete.eq(0)
        with m.If(copy):
            m.d.sync += [left.eq(complete_left), out_ends.eq(complete_ends)]
        with m.Elif(z.valid & z.ready):
            m.d.sync += left.eq(left - 1)

        m.d.comb += [
            lanes.x.eq(Mux(filling, 0, x.data)),
            lanes.step.eq(step),
            lanes.place.eq(place),
            control.place.eq(place),
            control.last_rank.eq(last_rank),
            lanes.occupied.eq(control.occupied),
            lanes.insert.eq(control.insert),
            lanes.full.eq(control.full),
            lanes.last_rank.eq(last_rank),
            lanes.copy.eq(copy),
            lanes.shift.eq(z.ready),
            z.valid.eq(left != 0),
            z.data.eq(lanes.z),
            z.last.eq((left == 1) & out_ends),
            self.busy.eq(in_frame | dropping | complete | (left != 0)),
            self.waiting.eq((in_frame & ~filling & go | dropping) & ~x.valid),
            self.flags.eq(Cat(refuse, too_short)),
        ]
        return m
