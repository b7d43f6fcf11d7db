"""Frames of packed weights to words of a vector."""

from amaranth import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from systolith.hdl.arithmetic.steps import counter
from systolith.hdl.ternary.config import TernaryConfig


class WordControl(wiring.Component):
    """Issues words of weights, and puts frames of a wrong length right.

    Parameters
    ----------
    config : TernaryConfig

    Members
    -------
    i_valid, i_ready, i_last
        Handshake of the weight stream.
    i_done : In(1)
        The frame is the last one for its vector; with its first beat.
    ready : In(1)
        There is a vector.
    last_word : In
        Of the vector.
    room : In(1)
        The output buffer has room for a frame.
    issue, fill : Out(1)
        Weights enter the lanes; they are zero, for what a frame lacks.
    address : Out
        Of their activations.
    first, ends : Out(1)
        They start a frame, end it.
    done : Out(1)
        The vector is done with.
    busy, waiting : Out(1)
    short, long : Out(1)
        Pulses of the error flags.
    """

    def __init__(self, config: TernaryConfig):
        self.config = config
        word = counter(config.max_words - 1)
        super().__init__({
            "i_valid": In(1), "i_ready": Out(1), "i_last": In(1), "i_done": In(1),
            "ready": In(1), "last_word": In(word), "room": In(1),
            "issue": Out(1), "fill": Out(1), "address": Out(word), "first": Out(1), "ends": Out(1),
            "done": Out(1), "busy": Out(1), "waiting": Out(1), "short": Out(1), "long": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        rows = self.config.rows
        word = Signal.like(self.address, name="word")
        held_done = Signal(reset_less=True)
        filling = Signal()
        dropping = Signal()
        # The lanes' sums leave one by one before the next ones are finished.
        draining = Signal(range(rows))
        have = Signal()
        done = Signal()
        m.d.comb += [
            self.address.eq(word),
            self.first.eq(word == 0),
            self.ends.eq(word == self.last_word),
            done.eq(Mux(self.first, self.i_done, held_done)),
            have.eq((self.i_valid & ~dropping) | filling),
            self.issue.eq(have & self.ready
                          & (~self.ends | ((draining == 0) & self.room))),
            self.i_ready.eq((self.issue & ~filling) | dropping),
            self.fill.eq(filling),
            self.done.eq(self.issue & self.ends & done),
            self.short.eq(self.issue & ~filling & self.i_last & ~self.ends),
            self.long.eq(self.issue & ~filling & self.ends & ~self.i_last),
            self.busy.eq(~self.first | dropping),
            self.waiting.eq(self.ready & ~filling & ~self.i_valid),
        ]
        with m.If(self.issue):
            m.d.sync += [word.eq(Mux(self.ends, 0, word + 1)), held_done.eq(done)]
        with m.If(self.issue & self.ends):
            m.d.sync += draining.eq(rows - 1)
        with m.Elif(draining != 0):
            m.d.sync += draining.eq(draining - 1)
        with m.If(self.short):
            m.d.sync += filling.eq(1)
        with m.Elif(self.issue & self.ends):
            m.d.sync += filling.eq(0)
        with m.If(self.long):
            m.d.sync += dropping.eq(1)
        with m.Elif(self.i_valid & self.i_last):
            m.d.sync += dropping.eq(0)
        return m
