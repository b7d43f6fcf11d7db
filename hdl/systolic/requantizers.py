"""Requantization behind the mesh: a lane per column, its parameters loaded frame by frame."""

from typing import ClassVar

from amaranth import Cat, Module, Mux, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from systolith.hdl.arithmetic.requantize import Requantizer, requantizer_latency
from systolith.hdl.bus import axi_stream
from systolith.hdl.bus.credits import Credits
from systolith.hdl.structure.dropping import drop_rest
from systolith.hdl.systolic.config import SystolicConfig
from systolith.hdl.systolic.control import ChainLoader
from systolith.hdl.systolic.pe import shape

BIAS, MULTIPLIER, SHIFT = slice(0, 32), slice(32, 64), slice(64, 70)
PARAMETER_BITS = 70


class RequantizerLane(wiring.Component):
    """Requantizes the sums of a column.

    Members
    -------
    x : a sum.
    valid_in, valid_out : there is one.
    swap_in, swap_out : it is the first with the loaded parameters.
    load, q_in, q_out : parameter chain, bias, multiplier and shift from bit 0 up.
    saturated_in, saturated_out : a sum on the way did not fit 32 bits with its bias.
    zero_point, low, high : of all columns.
    y : the result.

    Timing
    ------
    ``y`` is :meth:`latency` cycles after ``x``.
    """

    chain: ClassVar = {"valid_in": "valid_out", "swap_in": "swap_out",
                       "saturated_in": "saturated_out", "q_in": "q_out"}
    broadcast = ("zero_point", "low", "high")

    def __init__(self, config: SystolicConfig):
        self.config = config
        ports = {"x": In(shape(config.acc)), "y": Out(shape(config.out)), "load": In(1),
                 "q_in": In(PARAMETER_BITS), "q_out": Out(PARAMETER_BITS),
                 "zero_point": In(signed(17)), "low": In(shape(config.out)),
                 "high": In(shape(config.out))}
        for name in ("valid", "swap", "saturated"):
            ports |= {f"{name}_in": In(1), f"{name}_out": Out(1)}
        super().__init__(ports)

    @staticmethod
    def latency(config: SystolicConfig) -> int:
        """Cycles from ``x`` to ``y``."""
        return 1 + requantizer_latency(config.rounding)

    def elaborate(self, platform):
        m = Module()
        m.submodules.requantizer = requantizer = Requantizer(
            self.config.acc, self.config.out, self.config.rounding)
        valid = Signal()
        valid_biased = Signal()
        swap = Signal()
        saturated = Signal()
        loaded = Signal(PARAMETER_BITS, reset_less=True)
        used = Signal(PARAMETER_BITS, reset_less=True)
        x = Signal(shape(self.config.acc), reset_less=True)
        m.d.sync += [
            x.eq(self.x),
            valid.eq(self.valid_in),
            valid_biased.eq(valid),
            swap.eq(self.swap_in),
            saturated.eq(self.saturated_in | (valid_biased & requantizer.saturated)),
        ]
        with m.If(self.load):
            m.d.sync += loaded.eq(self.q_in)
        with m.If(self.swap_in):
            m.d.sync += used.eq(loaded)
        m.d.comb += [
            requantizer.x.eq(x),
            requantizer.bias.eq(used[BIAS]),
            requantizer.multiplier.eq(used[MULTIPLIER]),
            requantizer.shift.eq(used[SHIFT]),
            requantizer.zero_point.eq(self.zero_point),
            requantizer.low.eq(self.low),
            requantizer.high.eq(self.high),
            self.y.eq(requantizer.y),
            self.q_out.eq(loaded),
            self.valid_out.eq(valid),
            self.swap_out.eq(swap),
            self.saturated_out.eq(saturated),
        ]
        return m


class ParameterLoader(wiring.Component):
    """Buffers parameter frames and loads each in time for the wavefront that swaps to it.

    A wavefront cannot wait in the mesh, so a frame of results may start only when its parameters
    are sure to be in the chain before it gets there.

    Parameters
    ----------
    cols : int
        Beats of a frame.
    lead : int
        Cycles from ``start`` to the swap at the lane where the chain is entered.

    Members
    -------
    q : In(axi_stream.Signature(96))
        Bias, multiplier and shift, 32 bits each.
    start : In(1)
        A frame of results starts; only while ``may_start``.
    may_start : Out(1)
    missing : Out(1)
        No frame is whole, and no beat of one is there.
    swap : In(1)
        The swap, two cycles before the lane sees it.
    load, data : Out
        To the parameter chain.
    busy : Out(1)
    too_short, too_long : Out(1)
        Pulses: a frame was too short, too long.
    """

    def __init__(self, cols: int, lead: int):
        self.cols, self.lead = cols, lead
        #: Frames that may be on their way, in beats, and what the buffer itself holds back.
        self.depth = 2 * cols + lead + axi_stream.Fifo.latency + 2
        super().__init__({
            "q": In(axi_stream.Signature(96)), "start": In(1), "may_start": Out(1),
            "missing": Out(1), "swap": In(1),
            "load": Out(cols), "data": Out(PARAMETER_BITS),
            "busy": Out(1), "too_short": Out(1), "too_long": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        signature = axi_stream.Signature(PARAMETER_BITS)
        m.submodules.buffer = buffer = axi_stream.Fifo(signature, self.depth)
        m.submodules.places = places = Credits(self.depth, 1)
        m.submodules.loader = loader = ChainLoader(PARAMETER_BITS, self.cols, whole=True)

        # Into the buffer: exactly `cols` beats per frame.
        count = Signal(range(self.cols))
        filling = Signal()
        dropping = Signal()
        step = Signal()
        ends = Signal()
        m.d.comb += [
            step.eq(places.enough & ~dropping & (self.q.valid | filling)),
            ends.eq(step & (count == self.cols - 1)),
            self.q.ready.eq((places.enough & ~filling) | dropping),
            self.too_short.eq(step & ~filling & self.q.last & ~ends),
            self.too_long.eq(ends & ~filling & ~self.q.last),
            buffer.i.valid.eq(step),
            buffer.i.last.eq(ends),
            buffer.i.data.eq(Mux(filling, 0, Cat(self.q.data[:64], self.q.data[64:70]))),
            places.reserve.eq(step),
            places.freed.eq(buffer.taken),
        ]
        with m.If(step):
            m.d.sync += count.eq(Mux(ends, 0, count + 1))
        with m.If(ends):
            m.d.sync += filling.eq(0)
        with m.Elif(self.too_short):
            m.d.sync += filling.eq(1)
        drop_rest(m, dropping, self.too_long, self.q.valid & self.q.last)

        # Frames that are stored and not promised, and the distance that loading needs. The last
        # beat of a frame is in the chain 4 cycles after it arrives here, always before a wavefront
        # that starts after it, and reaches the chain `lead` cycles later.
        usable = Signal(range(self.depth // self.cols + 3))
        spacing = Signal(range(self.cols))
        m.d.comb += [
            self.may_start.eq((usable != 0) & (spacing == 0)),
            self.missing.eq((usable == 0) & ~self.q.valid),
        ]
        with m.If(ends & ~self.start):
            m.d.sync += usable.eq(usable + 1)
        with m.Elif(self.start & ~ends):
            m.d.sync += usable.eq(usable - 1)
        with m.If(self.start):
            m.d.sync += spacing.eq(self.cols - 1)
        with m.Elif(spacing != 0):
            m.d.sync += spacing.eq(spacing - 1)

        m.d.comb += [
            loader.i.data.eq(buffer.o.data),
            loader.i.last.eq(buffer.o.last),
            loader.i.valid.eq(buffer.o.valid),
            buffer.o.ready.eq(loader.i.ready),
            loader.swap.eq(self.swap),
            self.load.eq(loader.load),
            self.data.eq(loader.data),
            self.busy.eq(places.any_used | loader.busy | filling | dropping),
        ]
        return m
