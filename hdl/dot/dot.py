"""The streaming dot product."""

from amaranth import Module, Mux, Shape, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from systolith.hdl.arithmetic.multiplier import Multiplier
from systolith.hdl.bus import axi_stream
from systolith.hdl.dot.config import DotConfig


class Dot(wiring.Component):
    """Sum of the products of x and y over a frame.

    Beats of x and y are taken in pairs. The shorter of two unequal frames ends the sum, and the
    rest of the longer one is dropped.

    Parameters
    ----------
    config : DotConfig

    Members
    -------
    x, y : In(axi_stream.Signature)
    z : Out(axi_stream.Signature)
        Two cycles after the last beats of x and y.
    busy : Out(1)
        A frame is half received, or a sum is on its way.
    waiting : Out(1)
        The next beat of a frame is wanted and not there.
    flags : Out(3)
        One pulse for each error, in the order of ``config.flags``.
    """

    def __init__(self, config: DotConfig):
        self.config = config
        self.x_shape = Shape(config.x.bits, config.x.signed)
        self.y_shape = Shape(config.y.bits, config.y.signed)
        x, y, z = (axi_stream.Signature(stream.data_bits) for stream in config.streams)
        super().__init__({"x": In(x), "y": In(y), "z": Out(z), "busy": Out(1), "waiting": Out(1),
                          "flags": Out(len(config.flags))})

    def elaborate(self, platform):
        m = Module()
        x, y, z = self.x, self.y, self.z

        advance = Signal()                               # the pipeline moves
        paired = Signal()                                # a beat of x and one of y are taken
        drop_x = Signal()                                # until the end of the longer frame
        drop_y = Signal()
        m.d.comb += [
            advance.eq(~z.valid | z.ready),
            paired.eq(advance & x.valid & y.valid & ~drop_x & ~drop_y),
            x.ready.eq(paired | drop_x),
            y.ready.eq(paired | drop_y),
        ]
        with m.If(paired):
            m.d.sync += [drop_x.eq(y.last & ~x.last), drop_y.eq(x.last & ~y.last)]
        with m.If(drop_x & x.valid & x.last):
            m.d.sync += drop_x.eq(0)
        with m.If(drop_y & y.valid & y.last):
            m.d.sync += drop_y.eq(0)

        products = []
        for lane in range(self.config.lanes):
            m.submodules[f"multiplier_{lane}"] = multiplier = Multiplier(
                self.x_shape, self.y_shape, stages=0)
            m.d.comb += [
                multiplier.a.eq(x.data.word_select(lane, self.x_shape.width)),
                multiplier.b.eq(y.data.word_select(lane, self.y_shape.width)),
            ]
            products.append(multiplier.p)
        total = _sum(products)
        beat_sum = Signal(total.shape())
        beat_valid = Signal()
        beat_last = Signal()
        with m.If(advance):
            m.d.sync += [beat_sum.eq(total), beat_valid.eq(paired), beat_last.eq(x.last | y.last)]

        acc = Signal(Shape(self.config.acc_width, self.config.z.signed))
        first = Signal(init=1)
        augend = Signal(acc.shape())
        m.d.comb += augend.eq(Mux(first, 0, acc))
        total = augend + beat_sum
        exact = Signal(total.shape())
        wrapped = Signal(acc.shape())
        m.d.comb += [exact.eq(total), wrapped.eq(exact), z.data.eq(acc), z.last.eq(1)]
        with m.If(advance):
            m.d.sync += z.valid.eq(beat_valid & beat_last)
            with m.If(beat_valid):
                m.d.sync += [acc.eq(wrapped), first.eq(beat_last)]

        inside = Signal()                                # between the first and the last pair
        with m.If(paired):
            m.d.sync += inside.eq(~x.last & ~y.last)
        missing = ((inside | x.valid | y.valid) & ~(x.valid & y.valid))
        m.d.comb += [
            self.busy.eq(inside | drop_x | drop_y | beat_valid | z.valid),
            self.waiting.eq(Mux(drop_x | drop_y, (drop_x & ~x.valid) | (drop_y & ~y.valid),
                                advance & missing)),
            self.flags[0].eq(advance & beat_valid & (exact != wrapped)),
            self.flags[1].eq(paired & y.last & ~x.last),
            self.flags[2].eq(paired & x.last & ~y.last),
        ]
        return m


def _sum(terms):
    """Balanced sum, one bit wider per level."""
    if len(terms) == 1:
        return terms[0]
    middle = len(terms) // 2
    return _sum(terms[:middle]) + _sum(terms[middle:])
