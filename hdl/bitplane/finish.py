"""Behind the array: counts to results, and the scales of the columns."""

from amaranth import Module, Mux, Shape, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from systolith.hdl.arithmetic.multiplier import Multiplier
from systolith.hdl.arithmetic.steps import shape
from systolith.hdl.bitplane.config import SCALE, BitplaneConfig
from systolith.hdl.bus import axi_stream
from systolith.hdl.bus.credits import Credits

MULTIPLY_STAGES = 2


class FinishLane(wiring.Component):
    """One column of results.

    Members
    -------
    total : In
        Weighted counts of a row.
    bipolar : In(1)
        They count differences: the result is ``offset`` − 2 · total.
    offset : In(32)
    scale : In(16)
        Factor of the result (``scaled`` only).
    c : Out

    Timing
    ------
    Latency :meth:`latency` cycles.
    """

    broadcast = ("bipolar", "offset")

    @staticmethod
    def latency(config: BitplaneConfig) -> int:
        return 1 + (MULTIPLY_STAGES if config.output == "scaled" else 0)

    def __init__(self, config: BitplaneConfig):
        self.config = config
        members = {"total": In(shape(config.acc)), "bipolar": In(1), "offset": In(32),
                   "c": Out(shape(config.out))}
        if config.output == "scaled":
            members["scale"] = In(SCALE.bits)
        super().__init__(members)

    def elaborate(self, platform):
        m = Module()
        acc = shape(self.config.acc)
        difference = Signal(acc)
        exact = Signal(acc, reset_less=True)
        # The difference fits the accumulator, so its bits are right modulo that width.
        m.d.comb += difference.eq(self.offset - (self.total << 1))
        m.d.sync += exact.eq(Mux(self.bipolar, difference, self.total))
        if self.config.output == "raw":
            m.d.comb += self.c.eq(exact)
            return m
        m.submodules.multiplier = multiplier = Multiplier(
            acc, Shape(SCALE.bits), MULTIPLY_STAGES, self.config.technology)
        scale = Signal(SCALE.bits, reset_less=True)
        m.d.sync += scale.eq(self.scale)
        m.d.comb += [multiplier.a.eq(exact), multiplier.b.eq(scale), self.c.eq(multiplier.p)]
        return m


class ScaleLoader(wiring.Component):
    """Keeps the scales of the tiles on their way.

    Parameters
    ----------
    data_bits : int
        Scales of a tile.
    places : int
        Tiles.

    Members
    -------
    s : In(axi_stream.Signature(data_bits))
        Frames of one beat.
    claim : In(1)
        A tile is finished: its scales are promised to it; only while ``ready``.
    ready : Out(1)
        There are scales for another tile.
    data : Out(data_bits)
        The scales of the oldest tile.
    done : In(1)
        It needs them no more.
    busy, too_long : Out(1)
        There are some, or the rest of a frame is awaited. Pulse: a frame had more than one beat.
    """

    def __init__(self, data_bits: int, places: int):
        self.data_bits, self.places = data_bits, places
        super().__init__({"s": In(axi_stream.Signature(data_bits)), "claim": In(1),
                          "ready": Out(1), "data": Out(data_bits), "done": In(1),
                          "busy": Out(1), "too_long": Out(1)})

    def elaborate(self, platform):
        m = Module()
        m.submodules.buffer = buffer = axi_stream.Fifo(
            axi_stream.Signature(self.data_bits), self.places)
        m.submodules.credits = credits = Credits(self.places, 1)
        dropping = Signal()
        enter = Signal()
        unclaimed = Signal(range(self.places + 1))
        m.d.comb += [
            enter.eq(self.s.valid & ~dropping & credits.enough),
            self.s.ready.eq(credits.enough | dropping),
            buffer.i.data.eq(self.s.data),
            buffer.i.last.eq(1),
            buffer.i.valid.eq(enter),
            buffer.o.ready.eq(self.done),
            credits.reserve.eq(enter),
            credits.freed.eq(buffer.taken),
            self.data.eq(buffer.o.data),
            self.ready.eq(unclaimed != 0),
            self.busy.eq(credits.any_used | dropping),
            self.too_long.eq(enter & ~self.s.last),
        ]
        m.d.sync += unclaimed.eq(unclaimed + enter - self.claim)
        with m.If(enter):
            m.d.sync += dropping.eq(~self.s.last)
        with m.Elif(self.s.valid & self.s.last):
            m.d.sync += dropping.eq(0)
        return m
