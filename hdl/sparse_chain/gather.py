"""Several beats of w to one beat of elements: what dequantization and pruning have in common."""

from amaranth import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from systolith.hdl.bus import axi_stream
from systolith.hdl.sparse_chain.config import SparseChainConfig


class ElementSource(wiring.Signature):
    """Beats of kept weights, one element per cell: the end of a stage in front of the chains.

    Members
    -------
    data : weights and indices, as in a beat of w where weights are kept.
    last : it is the last of its frame.
    blank : what counts are zeros, since the frame was bad; ``data`` means nothing.
    valid, ready : handshake.
    """

    def __init__(self, config: SparseChainConfig):
        super().__init__({
            "data": Out(config.chains * config.cells * config.element_bits), "last": Out(1),
            "blank": Out(1), "valid": Out(1), "ready": In(1),
        })


class Gather(wiring.Component):
    """Counts the beats of w that make a beat of elements.

    Parameters
    ----------
    config : SparseChainConfig
    most : int
        The most that make one.
    header : bool
        A frame begins with a beat that belongs to none.

    Members
    -------
    w : In(axi_stream.Signature)
        Its data are the caller's.
    user : Out
        Of the present frame.
    known, last_place : In
        The caller's decoding of ``user``: it means something; beats of an element, less one. A
        frame of an unknown one is dropped.
    head, step : Out(1)
        The header is taken; a beat of an element is.
    place : Out
        Its number.
    complete, last, blank : Out(1)
        An element is gathered; the last one of its frame; it is not whole, and counts as zero.
    taken : In(1)
        It goes on, only while ``complete``; the next one may come from this cycle on.
    busy : Out(1)
    too_short, unknown : Out(1)
        Pulses: a frame ended within an element, or was dropped.
    """

    def __init__(self, config: SparseChainConfig, most: int, *, header: bool):
        self.header = header
        self.stream = next(stream for stream in config.streams if stream.name == "w")
        super().__init__({
            "w": In(axi_stream.Signature(self.stream.data_bits, self.stream.tuser_bits)),
            "user": Out(self.stream.tuser_bits), "known": In(1), "last_place": In(range(most)),
            "head": Out(1), "step": Out(1), "place": Out(range(most)),
            "complete": Out(1), "last": Out(1), "blank": Out(1), "taken": In(1),
            "busy": Out(1), "too_short": Out(1), "unknown": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        w = self.w
        in_frame = Signal()
        headed = Signal()
        held_user = Signal.like(self.user, reset_less=True)
        place = Signal.like(self.place)
        complete = Signal()
        last = Signal(reset_less=True)
        blank = Signal(reset_less=True)
        taken = Signal()
        whole = Signal()
        m.d.comb += [
            self.user.eq(Mux(in_frame, held_user, w.user)),
            w.ready.eq(~complete | self.taken),
            taken.eq(w.valid & w.ready),
            self.head.eq(taken & ~headed if self.header else 0),
            self.step.eq(taken & headed if self.header else taken),
            whole.eq(self.step & self.known & (place == self.last_place)),
            self.unknown.eq(taken & ~in_frame & ~self.known),
            self.too_short.eq(taken & w.last & self.known & ~whole),
            self.place.eq(place),
            self.complete.eq(complete),
            self.last.eq(last),
            self.blank.eq(blank),
            self.busy.eq(in_frame | complete),
        ]
        with m.If(taken):
            m.d.sync += [in_frame.eq(~w.last), headed.eq(~w.last), held_user.eq(self.user)]
        with m.If(self.step):
            m.d.sync += place.eq(Mux(whole | w.last, 0, place + 1))
        with m.If(whole | (taken & w.last)):
            m.d.sync += [complete.eq(1), last.eq(w.last), blank.eq(~whole)]
        with m.Elif(self.taken):
            m.d.sync += complete.eq(0)
        return m
