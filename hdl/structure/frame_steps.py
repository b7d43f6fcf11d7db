"""A frame taken step by step, as long as it should be, whatever its length is."""

from amaranth import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from systolith.hdl.structure.dropping import drop_rest


class FrameSteps(wiring.Component):
    """Takes a beat per step until the steps end, and puts frames of a wrong length right.

    The sums that a step finishes leave through a chain, one by one, before the next ones are
    finished.

    Parameters
    ----------
    interval : int
        Cycles from finished sums to the next ones, at least.

    Members
    -------
    i_valid, i_ready, i_last
        Handshake of the stream.
    ready : In(1)
        What goes with a step is there.
    ends, ends_frame : In(1)
        The step finishes sums; it is the last one of the frame too.
    room : In(1)
        There is room for the results of a frame.
    issue, fill : Out(1)
        A step happens; its beat is missing, for the frame has ended.
    begun : Out(1)
        A frame has begun.
    busy, waiting : Out(1)
    too_short, too_long : Out(1)
        Pulses: a frame ends early, or too late: the rest is dropped.
    """

    def __init__(self, interval: int):
        self.interval = interval
        self.module_name = f"frame_steps_{interval}"
        inputs = ("i_valid", "i_last", "ready", "ends", "ends_frame", "room")
        outputs = ("i_ready", "issue", "fill", "begun", "busy", "waiting", "too_short", "too_long")
        super().__init__({name: In(1) for name in inputs} | {name: Out(1) for name in outputs})

    def elaborate(self, platform):
        m = Module()
        begun = Signal()
        filling = Signal()
        dropping = Signal()
        draining = Signal(range(self.interval))
        have = Signal()
        m.d.comb += [
            have.eq((self.i_valid & ~dropping) | filling),
            self.issue.eq(have & self.ready
                          & (~self.ends | ((draining == 0) & (self.room | ~self.ends_frame)))),
            self.i_ready.eq((self.issue & ~filling) | dropping),
            self.fill.eq(filling),
            self.begun.eq(begun),
            self.too_short.eq(self.issue & ~filling & self.i_last & ~self.ends_frame),
            self.too_long.eq(self.issue & ~filling & self.ends_frame & ~self.i_last),
            self.busy.eq(begun | dropping),
            self.waiting.eq((self.ready & ~filling | dropping) & ~self.i_valid),
        ]
        with m.If(self.issue):
            m.d.sync += begun.eq(~self.ends_frame)
        with m.If(self.issue & self.ends):
            m.d.sync += draining.eq(self.interval - 1)
        with m.Elif(draining != 0):
            m.d.sync += draining.eq(draining - 1)
        with m.If(self.too_short):
            m.d.sync += filling.eq(1)
        with m.Elif(self.issue & self.ends_frame):
            m.d.sync += filling.eq(0)
        drop_rest(m, dropping, self.too_long, self.i_valid & self.i_last)
        return m


def connect_steps(m: Module, steps: FrameSteps, control: wiring.Component) -> None:
    """Connect the members of ``steps`` to those of the same names that ``control`` has."""
    for name, member in steps.signature.members.items():
        if hasattr(control, name):
            inner, outer = getattr(steps, name), getattr(control, name)
            m.d.comb += inner.eq(outer) if member.flow == In else outer.eq(inner)
