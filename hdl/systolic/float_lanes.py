"""Behind the mesh: accumulators of fp32 sums, one lane per column."""

from typing import ClassVar

from amaranth import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from systolith.hdl.arithmetic.floating import FloatAdder
from systolith.hdl.formats import FP32
from systolith.hdl.structure.block_memory import BlockMemory
from systolith.hdl.systolic.config import SystolicConfig
from systolith.hdl.systolic.lanes import AccumulatorLane, pass_on


class RoundedAccumulatorLane(wiring.Component):
    """Adds the fp32 sums of successive K tiles, row by row, in a block memory.

    Members
    -------
    As of :class:`AccumulatorLane`. ``overflow_in`` and ``overflow_out`` say that a sum on the way
    is infinite or NaN.

    Timing
    ------
    ``total`` is :meth:`latency` cycles after ``psum``. A row of the next K tile with the same
    address must be at least ``lead`` and one cycle more later; one of the first K tile need not.
    """

    chain: ClassVar = AccumulatorLane.chain
    lead = AccumulatorLane.lead

    def __init__(self, config: SystolicConfig):
        self.config = config
        address = range(max(config.sum_depth, 2))
        ports = {"psum": In(FP32.bits), "total": Out(FP32.bits)}
        for name, port in (("read_address", address), ("first", 1), ("valid", 1),
                           ("write_address", address), ("overflow", 1)):
            ports |= {f"{name}_in": In(port), f"{name}_out": Out(port)}
        super().__init__(ports)

    @staticmethod
    def latency(config: SystolicConfig) -> int:
        """Cycles from ``psum`` to ``total``."""
        return 1 + config.add_stages

    def elaborate(self, platform):
        m = Module()
        config = self.config
        pass_on(m, self)
        m.submodules.sums = sums = BlockMemory(FP32.bits, max(config.sum_depth, 2),
                                               config.technology)
        m.submodules.add = add = FloatAdder(FP32, config.add_stages)
        augend = Signal(FP32.bits, reset_less=True)
        psum = Signal(FP32.bits, reset_less=True)
        overflow = Signal()
        m.d.sync += [
            augend.eq(Mux(self.first_in, 0, sums.read_data)),
            psum.eq(self.psum),
            # What is not finite stays so: sums that are still to be added to count already.
            overflow.eq(self.overflow_in
                        | (self.valid_in & add.result[FP32.fraction_bits:-1].all())),
        ]
        m.d.comb += [
            sums.read_address.eq(self.read_address_in),
            sums.write_address.eq(self.write_address_in),
            sums.write_data.eq(add.result),
            sums.write_enable.eq(self.valid_in),
            add.a.eq(augend),
            add.b.eq(psum),
            self.total.eq(add.result),
            self.overflow_out.eq(overflow),
        ]
        return m
