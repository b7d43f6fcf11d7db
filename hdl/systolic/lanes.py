"""Behind the mesh, one lane per column: accumulators, and the ends of the drain chains.

Lanes work in the wavefront: control reaches the last column first and passes on by one column per
cycle, so nothing is broadcast.
"""

from typing import ClassVar

from amaranth import Module, Mux, Shape, Signal
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from systolith.hdl.systolic.config import SystolicConfig
from systolith.hdl.systolic.pe import fits, shape


class AccumulatorLane(wiring.Component):
    """Adds the partial sums of successive K tiles, row by row, in a block memory.

    Members
    -------
    psum : sum of one K tile, from the mesh.
    valid_in, valid_out : there is a row.
    first_in, first_out : its K tile is the first: start from zero.
    emit_in, emit_out : its K tile is the last: the sum is not needed again.
    address_in, address_out : its place in the memory.
    overflow_in, overflow_out : an accumulator on the way wrapped around.
    total : the wrapped sum.

    Timing
    ------
    ``total`` is :attr:`latency` cycles after ``psum``. Two rows with the same address must be at
    least :attr:`interval` cycles apart.
    """

    chain: ClassVar = {name: name.replace("_in", "_out")
             for name in ("valid_in", "first_in", "emit_in", "address_in", "overflow_in")}
    latency = 2
    interval = latency + 1

    def __init__(self, config: SystolicConfig):
        self.config = config
        address = range(config.acc_depth)
        ports = {"psum": In(shape(config.psum)), "total": Out(shape(config.acc))}
        for name, port in (("valid", 1), ("first", 1), ("emit", 1), ("address", address),
                           ("overflow", 1)):
            ports |= {f"{name}_in": In(port), f"{name}_out": Out(port)}
        super().__init__(ports)

    def elaborate(self, platform):
        m = Module()
        config = self.config
        valid = Signal()
        emit = Signal()
        first = Signal(reset_less=True)
        address = Signal(range(config.acc_depth), reset_less=True)
        psum = Signal(shape(config.psum), reset_less=True)
        m.d.sync += [
            valid.eq(self.valid_in),
            emit.eq(self.emit_in),
            first.eq(self.first_in),
            address.eq(self.address_in),
            psum.eq(self.psum),
        ]
        m.d.comb += [
            self.valid_out.eq(valid),
            self.first_out.eq(first),
            self.emit_out.eq(emit),
            self.address_out.eq(address),
        ]

        # A row is never read and written in the same cycle (see `interval`), so the memory needs no
        # logic for that case.
        m.submodules.sums = sums = Memory(
            shape=config.acc_width, depth=max(config.acc_depth, 2), init=[],
            attrs={"no_rw_check": True})
        read = sums.read_port()
        write = sums.write_port()
        augend = Signal(shape(config.acc))
        total = Signal(Shape(max(config.acc_width, config.psum.bits) + 1, config.acc.signed))
        stored = read.data.as_signed() if config.acc.signed else read.data
        m.d.comb += [
            read.addr.eq(self.address_in),
            read.en.eq(1),
            augend.eq(Mux(first, 0, stored)),
            total.eq(augend + psum),
        ]

        acc = Signal(shape(config.acc), reset_less=True)
        wrapped = Signal()
        overflow = Signal()
        keep = Signal()
        acc_address = Signal(range(config.acc_depth), reset_less=True)
        m.d.sync += [
            acc.eq(total),
            wrapped.eq(valid & ~fits(total, config.acc)),
            keep.eq(valid & ~emit),
            acc_address.eq(address),
            overflow.eq(self.overflow_in | wrapped),
        ]
        m.d.comb += [
            write.addr.eq(acc_address),
            write.data.eq(acc),
            write.en.eq(keep),
            self.total.eq(acc),
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
