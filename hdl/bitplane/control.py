"""Frames of planes to steps of the array: which pair of planes is counted when."""

from amaranth import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from systolith.hdl.bitplane.config import BIPOLAR, TWOS_COMPLEMENT, BitplaneConfig


class PlaneCounter(wiring.Component):
    """Counts planes down to 0, most significant first.

    Parameters
    ----------
    highest : int
        Most planes.

    Members
    -------
    top : In
        Number of the most significant plane.
    step : In(1)
    index : Out
        Number of the present plane.
    first, last : Out(1)
        It is the most, the least significant one.
    """

    def __init__(self, highest: int):
        self.module_name = f"plane_counter_{highest}"
        index = range(highest)
        super().__init__({"top": In(index), "step": In(1), "index": Out(index), "first": Out(1),
                          "last": Out(1)})

    def elaborate(self, platform):
        m = Module()
        first = Signal(init=1)
        left = Signal.like(self.index, name="left", reset_less=True)
        m.d.comb += [
            self.first.eq(first),
            self.index.eq(Mux(first, self.top, left)),
            self.last.eq(self.index == 0),
        ]
        with m.If(self.step):
            m.d.sync += [first.eq(self.last), left.eq(self.index - 1)]
        return m


class BitplaneControl(wiring.Component):
    """Takes a and w frames, a word at a time, and steps through its pairs of planes.

    With the first plane of W the planes of A are taken from the stream; for the others they are
    read again from a buffer.

    Members
    -------
    a_valid, a_last, w_valid, w_last : In(1)
    a_ready, w_ready : Out(1)
        Handshakes of the operand streams.
    a_bits, w_bits : In(4)
        Planes (``serial`` only).
    a_code, w_code : In(2)
    room, may_finish : In(1)
        There is room for a whole tile; nothing else is in the way of finishing one.
    issue : Out(1)
        A pair of planes enters the array.
    a_fresh : Out(1)
        The plane of A comes from the stream and is to be kept under ``a_index``.
    a_index : Out
    a_missing, w_missing : Out(1)
        The frame has ended: the plane counts as zeros.
    first_a, first_w, first_word : Out(1)
        The most significant plane of A, of W; the first word of a frame.
    last_a, last_w, finish : Out(1)
        The least significant plane of A, of W; the last pair of a frame.
    bipolar : Out(1)
    negate : Out(2)
        The most significant plane of A, of W is negative.
    busy, waiting : Out(1)
    settings, a_long, w_long, a_short, w_short : Out(1)
        Pulses of the error flags.
    """

    def __init__(self, config: BitplaneConfig):
        self.config = config
        members = {name: In(1) for name in ("a_valid", "a_last", "w_valid", "w_last", "room",
                                            "may_finish")}
        members |= {name: Out(1) for name in (
            "a_ready", "w_ready", "issue", "a_fresh", "a_missing", "w_missing", "first_a",
            "first_w", "first_word", "last_a", "last_w", "finish", "bipolar", "busy", "waiting",
            "settings", "a_long", "w_long", "a_short", "w_short")}
        members |= {"a_code": In(2), "w_code": In(2), "negate": Out(2)}
        if config.serial:
            members |= {"a_bits": In(4), "w_bits": In(4), "a_index": Out(range(config.max_a_bits))}
        super().__init__(members)

    def elaborate(self, platform):
        m = Module()
        config = self.config
        a_bits_wrong = self._planes(m, "a", config.max_a_bits, self.issue)
        w_bits_wrong = self._planes(m, "w", config.max_w_bits, self.issue & self.last_a)

        in_frame = Signal()
        a_over = Signal()                                # its frame has ended within the word
        w_over = Signal()
        a_dropping = Signal()
        w_dropping = Signal()
        word = Signal(range(config.max_words))
        draining = Signal(range(config.rows))            # cycles until the result chain is free

        a_wanted = Signal()
        w_wanted = Signal()
        complete = Signal()                              # what is wanted is there
        a_ends = Signal()
        w_ends = Signal()
        word_end = Signal()
        at_limit = Signal()
        m.d.comb += [
            self.a_fresh.eq(self.first_w),
            self.a_missing.eq(a_over),
            self.w_missing.eq(w_over),
            self.first_word.eq(word == 0),
            a_wanted.eq(self.first_w & ~a_over),
            w_wanted.eq(~w_over),
            complete.eq((self.a_valid | ~a_wanted) & (self.w_valid | ~w_wanted)
                        & ~a_dropping & ~w_dropping),
            a_ends.eq(a_over | (a_wanted & self.a_last)),
            w_ends.eq(w_over | self.w_last),
            word_end.eq(self.last_a & self.last_w),
            at_limit.eq(word == config.max_words - 1),
            self.finish.eq(word_end & (a_ends | w_ends | at_limit)),
            self.issue.eq(complete & (~self.finish | (self.room & self.may_finish
                                                      & (draining == 0)))),
            self.a_ready.eq((self.issue & a_wanted) | a_dropping),
            self.w_ready.eq((self.issue & w_wanted & self.last_a) | w_dropping),
            self.bipolar.eq((self.a_code == BIPOLAR) & (self.w_code == BIPOLAR)),
            self.negate[0].eq(self.first_a & (self.a_code == TWOS_COMPLEMENT)),
            self.negate[1].eq(self.first_w & (self.w_code == TWOS_COMPLEMENT)),
            self.a_long.eq(self.issue & self.finish & ~a_ends),
            self.w_long.eq(self.issue & self.finish & ~w_ends),
            self.a_short.eq(self.issue & a_wanted & self.a_last & ~self.last_a),
            self.w_short.eq(self.issue & self.last_a & w_wanted & self.w_last & ~self.last_w),
            self.settings.eq(self.issue & ~in_frame
                             & (a_bits_wrong | w_bits_wrong | (self.a_code > BIPOLAR)
                                | (self.w_code > BIPOLAR)
                                | ((self.a_code == BIPOLAR) != (self.w_code == BIPOLAR)))),
            self.busy.eq(in_frame | a_dropping | w_dropping),
            self.waiting.eq(Mux(a_dropping | w_dropping,
                                (a_dropping & ~self.a_valid) | (w_dropping & ~self.w_valid),
                                ~complete & (in_frame | self.a_valid | self.w_valid))),
        ]
        with m.If(self.issue):
            m.d.sync += [
                in_frame.eq(~self.finish),
                a_over.eq(a_ends & ~self.finish),
                w_over.eq(Mux(self.last_a, w_ends, w_over) & ~self.finish),
            ]
        with m.If(self.issue & word_end):
            m.d.sync += word.eq(Mux(self.finish, 0, word + 1))
        with m.If(self.issue & self.finish):
            m.d.sync += draining.eq(config.rows - 1)
        with m.Elif(draining != 0):
            m.d.sync += draining.eq(draining - 1)
        for dropping, long, valid, last in (
                (a_dropping, self.a_long, self.a_valid, self.a_last),
                (w_dropping, self.w_long, self.w_valid, self.w_last)):
            with m.If(long):
                m.d.sync += dropping.eq(1)
            with m.Elif(valid & last):
                m.d.sync += dropping.eq(0)
        return m

    def _planes(self, m: Module, operand: str, highest: int, step):
        """Count the planes of an operand; return whether their number is out of range."""
        first, last = getattr(self, f"first_{operand}"), getattr(self, f"last_{operand}")
        if not self.config.serial:
            m.d.comb += [first.eq(1), last.eq(1)]
            return 0
        planes = getattr(self, f"{operand}_bits")
        wrong = Signal(name=f"{operand}_bits_wrong")
        m.d.comb += wrong.eq((planes == 0) | (planes > highest))
        if highest == 1:
            m.d.comb += [first.eq(1), last.eq(1)]
            return wrong
        m.submodules[f"{operand}_counter"] = counter = PlaneCounter(highest)
        m.d.comb += [
            counter.top.eq(Mux(wrong, highest - 1, planes - 1)),
            counter.step.eq(step),
            first.eq(counter.first),
            last.eq(counter.last),
        ]
        if operand == "a":
            m.d.comb += self.a_index.eq(counter.index)
        return wrong
