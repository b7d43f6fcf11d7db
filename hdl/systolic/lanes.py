"""Behind the mesh, one lane per column: accumulators, and the ends of the drain chains.

Lanes work in the wavefront: control reaches the last column first and passes on by one column per
cycle, so nothing is broadcast.
"""

from typing import ClassVar

from amaranth import Module, Mux, Shape, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from systolith.hdl.structure.block_memory import BlockMemory
from systolith.hdl.systolic.config import SystolicConfig
from systolith.hdl.systolic.pe import fits, shape


def pass_on(m: Module, lane: wiring.Component):
    """Hand the control of an accumulator lane to the next lane, one cycle later."""
    valid = Signal()
    m.d.sync += valid.eq(lane.valid_in)
    m.d.comb += lane.valid_out.eq(valid)
    for name in ("read_address", "first", "write_address"):
        following = Signal.like(getattr(lane, f"{name}_in"), name=name, reset_less=True)
        m.d.sync += following.eq(getattr(lane, f"{name}_in"))
        m.d.comb += getattr(lane, f"{name}_out").eq(following)


class AccumulatorLane(wiring.Component):
    """Adds the partial sums of successive K tiles, row by row, in a block memory.

    Members
    -------
    psum : sum of one K tile of a row, from the mesh.
    read_address_in, read_address_out : the row's place in the memory, :attr:`lead` cycles before
        ``psum``.
    first_in, first_out : with ``psum``: the K tile is the first, start from zero.
    total : the wrapped sum.
    valid_in, valid_out : with ``total``: there is one, to be kept for the next K tile. Nothing
        reads what is kept of a finished sum.
    write_address_in, write_address_out : with ``total``: its place in the memory.
    overflow_in, overflow_out : an accumulator on the way wrapped around.

    Timing
    ------
    ``total`` is :attr:`latency` cycles after ``psum``. A row of the next K tile with the same
    address must be at least :attr:`interval` cycles later; one of the first K tile need not.
    """

    chain: ClassVar = {f"{name}_in": f"{name}_out"
             for name in ("read_address", "first", "valid", "write_address", "overflow")}
    lead = BlockMemory.latency
    latency = 2
    interval = lead + latency + 1

    def __init__(self, config: SystolicConfig):
        self.config = config
        address = range(max(config.sum_depth, 2))
        ports = {"psum": In(shape(config.tile_sum)), "total": Out(shape(config.acc))}
        for name, port in (("read_address", address), ("first", 1), ("valid", 1),
                           ("write_address", address), ("overflow", 1)):
            ports |= {f"{name}_in": In(port), f"{name}_out": Out(port)}
        super().__init__(ports)

    def elaborate(self, platform):
        m = Module()
        config = self.config
        pass_on(m, self)

        # A sum is never read and written in the same cycle (see `interval`); what is read for the
        # first K tile is not looked at.
        m.submodules.sums = sums = BlockMemory(config.acc_width, max(config.sum_depth, 2),
                                               config.technology)
        augend = Signal(shape(config.acc), reset_less=True)
        psum = Signal(shape(config.tile_sum), reset_less=True)
        total = Signal(Shape(max(config.acc_width, config.tile_sum.bits) + 1, config.acc.signed),
                       reset_less=True)
        overflow = Signal()
        m.d.sync += [
            augend.eq(Mux(self.first_in, 0, sums.read_data)),
            psum.eq(self.psum),
            total.eq(augend + psum),
            overflow.eq(self.overflow_in | (self.valid_in & ~fits(total, config.acc))),
        ]
        m.d.comb += [
            sums.read_address.eq(self.read_address_in),
            sums.write_address.eq(self.write_address_in),
            sums.write_data.eq(total),
            sums.write_enable.eq(self.valid_in),
            self.total.eq(total),
            self.overflow_out.eq(overflow),
        ]
        return m


class DrainLane(wiring.Component):
    """Takes finished sums from the drain chain of an output-stationary column.

    Members
    -------
    c : a sum, and above it whether it overflowed.
    valid_in, valid_out : there is one.
    overflow_in, overflow_out : a sum on the way wrapped around.
    total : the wrapped sum.

    Timing
    ------
    ``total`` is :attr:`latency` cycles after ``c``.
    """

    chain: ClassVar = {"valid_in": "valid_out", "overflow_in": "overflow_out"}
    latency = 1

    def __init__(self, config: SystolicConfig):
        self.config = config
        super().__init__({
            "c": In(config.acc_width + 1), "total": Out(shape(config.acc)),
            "valid_in": In(1), "valid_out": Out(1),
            "overflow_in": In(1), "overflow_out": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        valid = Signal()
        overflow = Signal()
        total = Signal(shape(self.config.acc), reset_less=True)
        m.d.sync += [
            valid.eq(self.valid_in),
            overflow.eq(self.overflow_in | (self.valid_in & self.c[-1])),
            total.eq(self.c[:-1]),
        ]
        m.d.comb += [
            self.valid_out.eq(valid),
            self.overflow_out.eq(overflow),
            self.total.eq(total),
        ]
        return m
