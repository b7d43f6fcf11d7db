"""Two frames taken together, step by step: when a step may happen, and when a sum ends."""

from amaranth import Const, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from systolith.hdl.structure.delay import Delay
from systolith.hdl.structure.dropping import drop_rest


class PairedFrames(wiring.Component):
    """Takes a and w frames in pairs, which the array behind turns into a tile of sums.

    A word takes one step or many. The array never stalls: the last step of a frame waits until
    there is room for the results, and until the rows of the tile before have left the array.

    Parameters
    ----------
    rows : int
        Rows of a tile, which leave the array one per cycle.
    max_words : int
        Longest frame.
    single : bool
        A word takes one step, with a beat of each: there is nothing to say about steps, and no
        frame ends within a word.

    Members
    -------
    a_valid, a_last, w_valid, w_last : In(1)
    a_ready, w_ready : Out(1)
        Handshakes of the streams.
    takes_a : In(1)
        The step takes a beat of a.
    takes_w : In(1)
        The step is the last one with its w beat; where it takes a beat of a, the last of the word.
    ends_word : In(1)
        The step is the last one of its word.
    room, may_finish : In(1)
        There is room for a whole tile; nothing else is in the way of finishing one.
    issue : Out(1)
        A step happens.
    a_missing, w_missing : Out(1)
        The frame has ended within the word: what the step would take counts as zeros.
    first_word, finish : Out(1)
        The step belongs to the first word of a frame; it is the last one of a frame.
    in_frame : Out(1)
        A frame is taken in part.
    busy, waiting : Out(1)
    a_long, w_long, a_short, w_short : Out(1)
        Pulses: the rest of a frame is dropped, for it is longer than the other one or than
        ``max_words``; a frame ended within a word.
    """

    def __init__(self, rows: int, max_words: int, *, single: bool = False):
        self.rows, self.max_words, self.single = rows, max_words, single
        inputs = ("a_valid", "a_last", "w_valid", "w_last", "takes_a", "takes_w", "ends_word",
                  "room", "may_finish")
        outputs = ("a_ready", "w_ready", "issue", "a_missing", "w_missing", "first_word", "finish",
                   "in_frame", "busy", "waiting", "a_long", "w_long", "a_short", "w_short")
        members = {name: In(1) for name in inputs} | {name: Out(1) for name in outputs}
        if single:
            for name in ("takes_a", "takes_w", "ends_word", "a_missing", "w_missing", "a_short",
                         "w_short"):
                del members[name]
        super().__init__(members)

    def elaborate(self, platform):
        m = Module()
        # A word of one step takes a beat of each, and no frame is over within it.
        several = not self.single
        takes_a, takes_w, ends_word = (getattr(self, name) if several else Const(1)
                                       for name in ("takes_a", "takes_w", "ends_word"))
        a_over, w_over = (Signal(name=name) if several else Const(0)
                          for name in ("a_over", "w_over"))
        in_frame = Signal()
        a_dropping = Signal()
        w_dropping = Signal()
        word = Signal(range(self.max_words))
        draining = Signal(range(self.rows))              # cycles until the array is empty

        a_wanted = Signal()
        w_wanted = Signal()
        complete = Signal()                              # what is wanted is there
        a_ends = Signal()
        w_ends = Signal()
        m.d.comb += [
            self.in_frame.eq(in_frame),
            *([self.a_missing.eq(a_over), self.w_missing.eq(w_over)] if several else []),
            self.first_word.eq(word == 0),
            a_wanted.eq(takes_a & ~a_over),
            w_wanted.eq(~w_over),
            complete.eq((self.a_valid | ~a_wanted) & (self.w_valid | ~w_wanted)
                        & ~a_dropping & ~w_dropping),
            a_ends.eq(a_over | (a_wanted & self.a_last)),
            w_ends.eq(w_over | self.w_last),
            self.finish.eq(ends_word & (a_ends | w_ends | (word == self.max_words - 1))),
            self.issue.eq(complete & (~self.finish | (self.room & self.may_finish
                                                      & (draining == 0)))),
            self.a_ready.eq((self.issue & a_wanted) | a_dropping),
            self.w_ready.eq((self.issue & w_wanted & takes_w) | w_dropping),
            self.a_long.eq(self.issue & self.finish & ~a_ends),
            self.w_long.eq(self.issue & self.finish & ~w_ends),
            *([self.a_short.eq(self.issue & a_wanted & self.a_last & ~takes_w),
               self.w_short.eq(self.issue & takes_w & w_wanted & self.w_last & ~ends_word)]
              if several else []),
            self.busy.eq(in_frame | a_dropping | w_dropping),
            self.waiting.eq(Mux(a_dropping | w_dropping,
                                (a_dropping & ~self.a_valid) | (w_dropping & ~self.w_valid),
                                ~complete & (in_frame | self.a_valid | self.w_valid))),
        ]
        with m.If(self.issue):
            m.d.sync += in_frame.eq(~self.finish)
            if several:
                m.d.sync += [
                    a_over.eq(a_ends & ~self.finish),
                    w_over.eq(Mux(takes_w, w_ends, w_over) & ~self.finish),
                ]
        with m.If(self.issue & ends_word):
            m.d.sync += word.eq(Mux(self.finish, 0, word + 1))
        with m.If(self.issue & self.finish):
            m.d.sync += draining.eq(self.rows - 1)
        with m.Elif(draining != 0):
            m.d.sync += draining.eq(draining - 1)
        for dropping, long, valid, last in (
                (a_dropping, self.a_long, self.a_valid, self.a_last),
                (w_dropping, self.w_long, self.w_valid, self.w_last)):
            drop_rest(m, dropping, long, valid & last)
        return m


class TileRows(wiring.Component):
    """Follows the rows of a finished tile out of an array.

    Parameters
    ----------
    rows : int
    latency : int
        Cycles from ``finish`` to row 0.

    Members
    -------
    finish : In(1)
        A tile's last step happens; at most every ``rows`` cycles.
    valid, last : Out(1)
        A row leaves the array; it is the last one.
    """

    def __init__(self, rows: int, latency: int):
        self.rows, self.latency = rows, latency
        super().__init__({"finish": In(1), "valid": Out(1), "last": Out(1)})

    def elaborate(self, platform):
        m = Module()
        m.submodules.delay = delay = Delay(1, self.latency, reset=True)
        row = Signal(range(self.rows))
        m.d.comb += [
            delay.i.eq(self.finish),
            self.valid.eq(delay.o | (row != 0)),
            self.last.eq(self.valid & (row == self.rows - 1)),
        ]
        with m.If(self.valid):
            m.d.sync += row.eq(Mux(self.last, 0, row + 1))
        return m
