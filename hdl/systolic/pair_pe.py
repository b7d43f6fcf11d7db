"""Weight-stationary PEs of two columns: one activation register, one multiplier block for both."""

from typing import ClassVar

from amaranth import Cat, Const, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from systolith.hdl.arithmetic.multiplier import PairMultiplier
from systolith.hdl.systolic.config import SystolicConfig
from systolith.hdl.systolic.lanes import AccumulatorLane
from systolith.hdl.systolic.pe import OWN, WeightStationaryPE, shape


class WeightStationaryPairPE(wiring.Component):
    """Two weight-stationary PEs that stand side by side and share their activation.

    Members
    -------
    As of :class:`~systolith.hdl.systolic.pe.WeightStationaryPE`; ``w`` and ``psum`` of two columns,
    column i at ``[i*width +: width]``.

    Timing
    ------
    As one PE: the wavefront takes both columns in one cycle.
    """

    row_chain: ClassVar = WeightStationaryPE.row_chain
    column_chain: ClassVar = WeightStationaryPE.column_chain

    def __init__(self, config: SystolicConfig):
        self.config = config
        a, w, psum = shape(config.a), 2 * config.w.bits, 2 * config.psum.bits
        super().__init__({
            "a_in": In(a), "a_out": Out(a),
            "swap_in": In(1), "swap_out": Out(1),
            "load_in": In(1), "load_out": Out(1),
            "w_in": In(w), "w_out": Out(w),
            "psum_in": In(psum), "psum_out": Out(psum),
        })

    def elaborate(self, platform):
        m = Module()
        config = self.config
        loaded = Signal.like(self.w_in, reset_less=True)
        m.submodules.multiplier = multiplier = PairMultiplier(
            shape(config.a), shape(config.w), config.mac_stages - 1, config.technology,
            operand_registers=True, held="a")
        swap = Signal(attrs={} if multiplier.shares_enables else OWN,
                      reset_less=True)
        load = Signal(attrs=OWN, reset_less=True)
        m.d.sync += [swap.eq(self.swap_in), load.eq(self.load_in)]
        with m.If(self.load_in):
            m.d.sync += loaded.eq(self.w_in)
        m.d.comb += [
            multiplier.a.eq(self.a_in),
            multiplier.b.eq(loaded),
            multiplier.b_enable.eq(self.swap_in),
            self.a_out.eq(multiplier.a_held),
            self.swap_out.eq(swap),
            self.load_out.eq(load),
            self.w_out.eq(loaded),
        ]
        sums = []
        for column in range(2):
            product = Signal(multiplier.shape, name=f"product_{column}")
            before = Signal(shape(config.psum), name=f"psum_in_{column}")
            psum = Signal(shape(config.psum), name=f"psum_{column}", reset_less=True)
            m.d.comb += [
                product.eq(multiplier.p.word_select(column, multiplier.shape.width)),
                before.eq(self.psum_in.word_select(column, config.psum.bits)),
            ]
            if column and multiplier.packed:
                # One more bit below both makes the carry, in the same adder.
                total = Signal(shape(config.psum).width + 1, name="total")
                wide = Signal(shape(config.psum), name="product_wide")
                m.d.comb += [wide.eq(product), total.eq(Cat(Const(1, 1), before)
                                                        + Cat(multiplier.carry, wide))]
                m.d.sync += psum.eq(total[1:])
            else:
                m.d.sync += psum.eq(before + product)
            sums.append(psum)
        m.d.comb += self.psum_out.eq(Cat(*sums))
        return m


class AccumulatorPairLane(wiring.Component):
    """The accumulators of two columns, which finish a row in the same cycle.

    Members
    -------
    As of :class:`~systolith.hdl.systolic.lanes.AccumulatorLane`; ``psum`` and ``total`` of two
    columns.
    """

    chain: ClassVar = AccumulatorLane.chain
    latency = AccumulatorLane.latency

    def __init__(self, config: SystolicConfig):
        self.config = config
        self.columns = [AccumulatorLane(config) for _ in range(2)]
        ports = dict(self.columns[0].signature.members)
        ports |= {"psum": In(2 * config.psum.bits), "total": Out(2 * config.acc.bits)}
        super().__init__(ports)

    def elaborate(self, platform):
        m = Module()
        for index, column in enumerate(self.columns):
            m.submodules[f"column_{index}"] = column
            m.d.comb += [
                column.psum.eq(self.psum.word_select(index, self.config.psum.bits)),
                self.total.word_select(index, self.config.acc.bits).eq(column.total),
            ]
            for name in self.chain:
                if name != "overflow_in":
                    m.d.comb += getattr(column, name).eq(getattr(self, name))
        first, second = self.columns
        m.d.comb += [
            first.overflow_in.eq(self.overflow_in),
            second.overflow_in.eq(0),
            self.overflow_out.eq(first.overflow_out | second.overflow_out),
        ]
        for name, following in self.chain.items():
            if name != "overflow_in":
                m.d.comb += getattr(self, following).eq(getattr(first, following))
        return m
