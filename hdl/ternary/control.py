"""Frames of packed weights to words of a vector."""

from amaranth import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from systolith.hdl.arithmetic.steps import counter
from systolith.hdl.structure.frame_steps import FrameSteps, connect_steps
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
    too_short, too_long : Out(1)
        Pulses of the error flags.
    """

    def __init__(self, config: TernaryConfig):
        self.config = config
        word = counter(config.max_words - 1)
        super().__init__({
            "i_valid": In(1), "i_ready": Out(1), "i_last": In(1), "i_done": In(1),
            "ready": In(1), "last_word": In(word), "room": In(1),
            "issue": Out(1), "fill": Out(1), "address": Out(word), "first": Out(1), "ends": Out(1),
            "done": Out(1), "busy": Out(1), "waiting": Out(1),
            "too_short": Out(1), "too_long": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.steps = steps = FrameSteps(self.config.rows)
        word = Signal.like(self.address, name="word")
        held_done = Signal(reset_less=True)
        done = Signal()
        connect_steps(m, steps, self)
        m.d.comb += [
            self.address.eq(word),
            self.first.eq(word == 0),
            self.ends.eq(word == self.last_word),
            steps.ends_frame.eq(self.ends),
            done.eq(Mux(self.first, self.i_done, held_done)),
            self.done.eq(self.issue & self.ends & done),
        ]
        with m.If(self.issue):
            m.d.sync += [word.eq(Mux(self.ends, 0, word + 1)), held_done.eq(done)]
        return m
