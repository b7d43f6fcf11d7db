"""Processing elements whose operands have exponents, with exact or fp32 sums.

Their ports and their place in the wavefront are those of the PEs of integers; see
:mod:`systolith.hdl.systolic.pe`.
"""

from typing import ClassVar

from amaranth import Cat, Module, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from systolith.hdl.arithmetic.floating import FloatAdder
from systolith.hdl.arithmetic.mac import ExactMac, ExactProduct, RoundedMac, RoundedProduct
from systolith.hdl.formats import FP32
from systolith.hdl.systolic.config import SystolicConfig
from systolith.hdl.systolic.pe import OWN, OutputStationaryPE, WeightStationaryPE, shape


class FloatWeightStationaryPE(wiring.Component):
    """Weight-stationary PE: keeps a weight, passes the activation on and adds to the partial sum.

    Members
    -------
    As of :class:`WeightStationaryPE`; operands are codes of :class:`Operand`, an fp32 sum is a
    code.

    Timing
    ------
    ``a_out``, ``swap_out``, ``load_out`` one cycle after their inputs. ``psum_out`` is
    ``mac_stages + sum_stages`` cycles after ``a_in``, ``sum_stages`` after ``psum_in``.
    """

    row_chain: ClassVar = WeightStationaryPE.row_chain
    column_chain: ClassVar = WeightStationaryPE.column_chain

    def __init__(self, config: SystolicConfig):
        self.config = config
        a, w = config.a_operand.bits, config.w_operand.bits
        psum = FP32.bits if config.mesh_rounds else shape(config.psum)
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
        a = Signal(config.a_operand.bits, reset_less=True)
        loaded = Signal(config.w_operand.bits, reset_less=True)
        weight = Signal(config.w_operand.bits, reset_less=True)
        swap = Signal(attrs=OWN, reset_less=True)
        load = Signal(attrs=OWN, reset_less=True)
        product = RoundedProduct if config.mesh_rounds else ExactProduct
        m.submodules.multiply = multiply = product(
            config.a_operand, config.w_operand, config.mac_stages - 1, config.technology)
        m.d.sync += [
            a.eq(self.a_in),
            swap.eq(self.swap_in),
            load.eq(self.load_in),
        ]
        with m.If(self.load_in):
            m.d.sync += loaded.eq(self.w_in)
        with m.If(self.swap_in):
            m.d.sync += weight.eq(loaded)
        m.d.comb += [
            multiply.a.eq(a),
            multiply.b.eq(weight),
            self.a_out.eq(a),
            self.swap_out.eq(swap),
            self.load_out.eq(load),
            self.w_out.eq(loaded),
        ]
        if config.mesh_rounds:
            m.submodules.add = add = FloatAdder(FP32, config.add_stages)
            m.d.comb += [
                add.a.eq(self.psum_in),
                add.b.eq(multiply.product),
                self.psum_out.eq(add.result),
            ]
        else:
            psum = Signal(shape(config.psum), reset_less=True)
            m.d.sync += psum.eq(self.psum_in + multiply.product)
            m.d.comb += self.psum_out.eq(psum)
        return m


class FloatOutputStationaryPE(wiring.Component):
    """Output-stationary PE: passes both operands on and keeps the sum of their products.

    Members
    -------
    As of :class:`OutputStationaryPE`; operands are codes of :class:`Operand`, an fp32 sum is a
    code. Above the sum, ``c_in`` and ``c_out`` say whether it overflowed, or is not finite.

    Timing
    ------
    ``a_out``, ``w_out`` and the control outputs one cycle after their inputs. A sum is at ``c_out``
    1 + ``mac_stages + sum_stages`` cycles after its last activation at ``a_in``. Activations are
    ``pair_interval`` cycles apart.
    """

    row_chain: ClassVar = OutputStationaryPE.row_chain
    column_chain: ClassVar = OutputStationaryPE.column_chain

    def __init__(self, config: SystolicConfig):
        self.config = config
        a, w, c = config.a_operand.bits, config.w_operand.bits, config.pe_acc.bits + 1
        ports = {"w_in": In(w), "w_out": Out(w), "c_in": In(c), "c_out": Out(c)}
        for into, out in self.row_chain.items():
            width = a if into == "a_in" else 1
            ports |= {into: In(width), out: Out(width)}
        super().__init__(ports)

    def elaborate(self, platform):
        m = Module()
        config = self.config
        a = Signal(config.a_operand.bits, reset_less=True)
        w = Signal(config.w_operand.bits, reset_less=True)
        shift = Signal(attrs=OWN, reset_less=True)
        first = Signal(attrs=OWN, reset_less=True)
        stages = config.mac_stages - 1 + config.sum_stages
        last = Signal(stages + 1, attrs=OWN, reset_less=True)
        m.d.sync += [
            a.eq(self.a_in),
            w.eq(self.w_in),
            shift.eq(self.shift_in),
            first.eq(self.first_in),
            last.eq(Cat(self.last_in, last)),
        ]
        mac, flag = self._mac(m)
        m.d.comb += [
            mac.a.eq(a),
            mac.b.eq(w),
            mac.first.eq(first),
            self.a_out.eq(a),
            self.w_out.eq(w),
            self.shift_out.eq(shift),
            self.first_out.eq(first),
            self.last_out.eq(last[0]),
        ]

        c = Signal(config.pe_acc.bits + 1, reset_less=True)
        with m.If(last[-1]):
            m.d.sync += [c[:-1].eq(mac.total), c[-1].eq(flag)]
        with m.Elif(self.shift_in):
            m.d.sync += c.eq(self.c_in)
        m.d.comb += self.c_out.eq(c)
        return m

    def _mac(self, m: Module) -> tuple[wiring.Component, Value]:
        """The multiply-accumulate, and the flag of its sum."""
        config = self.config
        m.submodules.mac = mac = ExactMac(config.a_operand, config.w_operand, config.pe_acc,
                                          config.mac_stages, config.technology)
        return mac, mac.wrapped


class RoundedOutputStationaryPE(FloatOutputStationaryPE):
    """The same with sums in fp32; ``valid_in`` and ``valid_out`` go with an activation."""

    row_chain: ClassVar = {**OutputStationaryPE.row_chain, "valid_in": "valid_out"}

    def _mac(self, m: Module) -> tuple[wiring.Component, Value]:
        config = self.config
        m.submodules.mac = mac = RoundedMac(config.a_operand, config.w_operand,
                                            config.mac_stages - 1, config.add_stages,
                                            config.technology)
        valid = Signal(attrs=OWN, reset_less=True)
        m.d.sync += valid.eq(self.valid_in)
        m.d.comb += [mac.valid.eq(valid), self.valid_out.eq(valid)]
        return mac, mac.total[FP32.fraction_bits:-1].all()
