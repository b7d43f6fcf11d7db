"""Behind the mesh: accumulators of fp32 sums, one lane per column."""

from typing import ClassVar

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from systolith.hdl.arithmetic.floating import FloatAdder
from systolith.hdl.formats import FP32
from systolith.hdl.structure.delay import Delay
from systolith.hdl.systolic.config import SystolicConfig
from systolith.hdl.systolic.lanes import AccumulatorLane


class RoundedAccumulatorLane(wiring.Component):
    """Adds the fp32 sums of successive K tiles, row by row, in a block memory.

    Members
    -------
    As of :class:`AccumulatorLane`. ``overflow_in`` and ``overflow_out`` say that an emitted sum on
    the way is infinite or NaN.

    Timing
    ------
    ``total`` is :meth:`latency` cycles after ``psum``. Two rows with the same address must be at
    least one cycle more apart.
    """

    chain: ClassVar = AccumulatorLane.chain

    def __init__(self, config: SystolicConfig):
        self.config = config
        address = range(config.acc_depth)
        ports = {"psum": In(FP32.bits), "total": Out(FP32.bits)}
        for name, port in (("valid", 1), ("first", 1), ("emit", 1), ("address", address),
                           ("overflow", 1)):
            ports |= {f"{name}_in": In(port), f"{name}_out": Out(port)}
        super().__init__(ports)

    @staticmethod
    def latency(config: SystolicConfig) -> int:
        """Cycles from ``psum`` to ``total``."""
        return 1 + config.add_stages

    def elaborate(self, platform):
        m = Module()
        config = self.config
        valid = Signal()
        emit = Signal()
        first = Signal(reset_less=True)
        address = Signal(range(config.acc_depth), reset_less=True)
        psum = Signal(FP32.bits, reset_less=True)
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

        # A row is never read and written in the same cycle, so the memory needs no logic for that.
        m.submodules.sums = sums = Memory(shape=FP32.bits, depth=max(config.acc_depth, 2), init=[],
                                          attrs={"no_rw_check": True})
        read = sums.read_port()
        write = sums.write_port()
        m.submodules.add = add = FloatAdder(FP32, config.add_stages)
        m.submodules.beside = beside = Delay(2, config.add_stages, reset=True)
        m.submodules.place = place = Delay(len(address), config.add_stages)
        keep, done = beside.o
        overflow = Signal()
        m.d.sync += overflow.eq(self.overflow_in
                                | (done & add.result[FP32.fraction_bits:-1].all()))
        m.d.comb += [
            read.addr.eq(self.address_in),
            read.en.eq(1),
            add.a.eq(Mux(first, 0, read.data)),
            add.b.eq(psum),
            beside.i.eq(Cat(valid & ~emit, valid & emit)),
            place.i.eq(address),
            write.addr.eq(place.o),
            write.data.eq(add.result),
            write.en.eq(keep),
            self.total.eq(add.result),
            self.overflow_out.eq(overflow),
        ]
        return m
