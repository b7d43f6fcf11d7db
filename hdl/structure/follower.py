"""A stream that keeps in step with the frames of another one."""

from amaranth import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from systolith.hdl.bus import axi_stream


class Follower(wiring.Component):
    """Gives one beat for every beat of another stream's row; puts frames of a wrong length right.

    Parameters
    ----------
    data_bits : int
        Of a beat.

    Members
    -------
    i : In(axi_stream.Signature(data_bits))
    data : Out(data_bits)
        The next beat; zero beyond the end of a frame that was too short.
    available : Out(1)
        It is there.
    take : In(1)
        It goes to a beat of the row; only while ``available``.
    take_last : In(1)
        With ``take``: to the last one. What is left of the frame is dropped.
    differs : Out(1)
        With ``take``: the frame is found to be too short or too long.
    busy : Out(1)
        Inside a frame that is too short or too long.
    waiting : Out(1)
        For the rest of a frame that is too long.
    """

    def __init__(self, data_bits: int):
        self.module_name = f"follower_{data_bits}"
        super().__init__({
            "i": In(axi_stream.Signature(data_bits)), "data": Out(data_bits), "available": Out(1),
            "take": In(1), "take_last": In(1), "differs": Out(1), "busy": Out(1),
            "waiting": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        over = Signal()                                  # the frame has ended before its row
        dropping = Signal()                              # the row has ended before its frame
        m.d.comb += [
            self.available.eq(over | (self.i.valid & ~dropping)),
            self.data.eq(Mux(over, 0, self.i.data)),
            self.i.ready.eq(dropping | (self.take & ~over)),
            self.differs.eq(self.take & ~over & (self.i.last ^ self.take_last)),
            self.busy.eq(over | dropping),
            self.waiting.eq(dropping & ~self.i.valid),
        ]
        with m.If(self.take):
            m.d.sync += [
                over.eq((over | self.i.last) & ~self.take_last),
                dropping.eq(self.take_last & ~over & ~self.i.last),
            ]
        with m.Elif(dropping & self.i.valid & self.i.last):
            m.d.sync += dropping.eq(0)
        return m
