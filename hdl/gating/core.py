"""The gating core: lanes that never stall, the states of a recurrence, and a buffer behind them."""

from collections.abc import Mapping

from amaranth import Cat, Const, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.memory import Memory

from systolith.hdl.bus import axi_stream
from systolith.hdl.bus.credits import Credits
from systolith.hdl.gating import lane
from systolith.hdl.gating.config import GatingConfig
from systolith.hdl.shell import SLICE_LATENCY, inside_signature
from systolith.hdl.structure.delay import Delay
from systolith.hdl.structure.follower import Follower
from systolith.hdl.structure.linear_array import LinearArray

#: Cycles from a state read to the first cycle in which the next one can be read: the output of the
#: memory, the update, and the write.
REVISIT = 1 + lane.UPDATE + 1


def latency(config: GatingConfig) -> Mapping[str, int | str]:
    """Latency and throughput of the core, in cycles."""
    cycles = lane.latency(config) + axi_stream.Fifo.latency + 2 * SLICE_LATENCY
    found = {
        "latency": cycles,
        "latency_from": "an accepted input beat to its output beat",
        "beats_per_cycle": 1,
    }
    if config.recurrent:
        found["token_interval"] = f"ceil(channels / {config.lanes}), at least {REVISIT}"
    return found


class GatingCore(wiring.Component):
    """An element-wise unit of a gated layer.

    A beat enters the lanes when its partners are there and its place in the output buffer is
    reserved; tokens so short that the states of one are not written when the next needs them wait.

    Parameters
    ----------
    config : GatingConfig

    Timing
    ------
    One beat per cycle; recurrent tokens of fewer beats begin :data:`REVISIT` cycles apart.
    """

    def __init__(self, config: GatingConfig):
        self.config = config
        super().__init__(inside_signature(config))

    def elaborate(self, platform):
        m = Module()
        config = self.config
        lead = getattr(self, config.inputs[0])
        build = lane.MlgruLane if config.recurrent else lane.GluLane
        m.submodules.lanes = lanes = LinearArray(lambda: build(config), config.lanes, name="lane")
        cycles = lane.latency(config)
        m.submodules.results = results = axi_stream.Fifo(
            axi_stream.Signature(config.lanes * config.y.bits),
            cycles + axi_stream.Fifo.latency + 2)
        m.submodules.result_places = places = Credits(results.depth, 1)

        inside = Signal()                                # a frame has begun
        may_begin = Signal()
        take = Signal()
        ends = Signal()
        dropping = Signal()
        room = Signal()
        available = Signal()
        m.d.comb += [
            room.eq(places.enough & (inside | may_begin)),
            take.eq(lead.valid & ~dropping & available & room),
            lead.ready.eq(dropping | (available & room)),
            ends.eq(lead.last),
            may_begin.eq(1),
        ]
        with m.If(take):
            m.d.sync += inside.eq(~ends)
        flags = self._follow(m, lanes, take, ends, available)
        followed, dropped = flags.pop("busy"), flags.pop("waiting")
        some = [getattr(self, name).valid for name in config.inputs]
        m.submodules.done = done = Delay(2, cycles, reset=True)
        m.d.comb += [
            getattr(lanes, config.inputs[0]).eq(lead.data),
            done.i.eq(Cat(take, ends)),
            places.reserve.eq(take),
            places.freed.eq(results.taken),
            results.i.data.eq(getattr(lanes, config.output)),
            results.i.valid.eq(done.o[0]),
            results.i.last.eq(done.o[1]),
            self.busy.eq(inside | dropping | places.any_used | followed),
            self.waiting.eq(dropped | Mux(dropping, ~lead.valid,
                                          (inside | Cat(some).any()) & room
                                          & ~(lead.valid & available))),
        ]
        wiring.connect(m, results.o, wiring.flipped(getattr(self, config.output)))
        if config.recurrent:
            flags["f_long"] = self._states(m, lanes, take, inside, ends, dropping, may_begin)
        if config.saturates:
            flags[f"{config.output}_saturated"] = done.o[0] & lanes.saturated.any()
        m.d.comb += self.flags.eq(Cat(flags[name] for name, _ in config.flags))
        return m

    def _follow(self, m: Module, lanes, take, ends, available) -> dict:
        """Keeps the other streams in step; gives their flags, and whether one is in a bad frame and
        waits for its end."""
        config = self.config
        followers, flags = [], {}
        for name in config.inputs[1:]:
            stream = getattr(self, name)
            m.submodules[f"follow_{name}"] = follower = Follower(len(stream.data))
            m.d.comb += [
                follower.i.data.eq(stream.data),
                follower.i.last.eq(stream.last),
                follower.i.valid.eq(stream.valid),
                stream.ready.eq(follower.i.ready),
                follower.take.eq(take),
                follower.take_last.eq(ends),
                getattr(lanes, name).eq(follower.data),
            ]
            flags[f"{name}_differs"] = follower.differs
            followers.append(follower)
        m.d.comb += available.eq(Cat(each.available for each in followers).all())
        flags["busy"] = Cat(each.busy for each in followers).any()
        flags["waiting"] = Cat(each.waiting for each in followers).any()
        return flags

    def _states(self, m: Module, lanes, take, inside, ends, dropping, may_begin):
        """The memory of the states; gives whether a frame is longer than it."""
        config, lead = self.config, getattr(self, self.config.inputs[0])
        place = Signal(range(config.max_beats))
        first = Signal(reset_less=True)
        first_now = Signal()
        full = Signal()
        # Beats, or idle cycles, until the states of a frame's first beat can be read again.
        left = Signal(range(REVISIT))
        m.d.comb += [
            first_now.eq(Mux(inside, first, lead.user[0])),
            full.eq(place == config.max_beats - 1),
            ends.eq(lead.last | full),
            may_begin.eq(left == 0),
        ]
        with m.If(take):
            m.d.sync += [first.eq(first_now), place.eq(Mux(ends, 0, place + 1)),
                         dropping.eq(full & ~lead.last)]
        with m.If(dropping & lead.valid & lead.last):
            m.d.sync += dropping.eq(0)
        with m.If(take & ~inside):
            m.d.sync += left.eq(REVISIT - 1)
        with m.Elif((take | ~inside) & (left != 0)):
            m.d.sync += left.eq(left - 1)

        m.submodules.states = states = Memory(
            shape=len(lanes.state), depth=max(config.max_beats, 2), init=[])
        write, read = states.write_port(), states.read_port()
        # The state is read a cycle before the lanes take it.
        age = lane.state_age(config)
        m.submodules.to_state = to_state = Delay(2 + len(place), age - 1, reset=True)
        m.submodules.to_write = to_write = Delay(1 + len(place), 1 + lane.UPDATE, reset=True)
        fresh = Signal(reset_less=True)
        m.d.comb += [
            to_state.i.eq(Cat(take, place, first_now)),
            read.addr.eq(to_state.o[1:-1]),
            to_write.i.eq(to_state.o[:-1]),
            lanes.state.eq(Mux(fresh, Const(0), read.data)),
            write.addr.eq(to_write.o[1:]),
            write.en.eq(to_write.o[0]),
            write.data.eq(lanes.h),
        ]
        m.d.sync += fresh.eq(to_state.o[-1])
        return take & full & ~lead.last
