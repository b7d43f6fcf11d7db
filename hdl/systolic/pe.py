"""Processing elements: one multiply-accumulate and the registers that make the mesh systolic.

The wavefront of a tile starts in the last row and the last column and moves one row and one column
per cycle. A shift chain that is filled in ascending order fills from its far end, so this direction
lets rows of W and C travel in ascending order, and lets a chain be refilled behind the wavefront:
the register nearest to the entry is the first to be overwritten and the first to be free.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import ClassVar

from amaranth import Cat, Module, Mux, Shape, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from systolith.hdl.arithmetic.multiplier import Multiplier
from systolith.hdl.formats import IntegerFormat
from systolith.hdl.systolic.config import SystolicConfig

#: Attributes of the control bits that travel with the wavefront. They are equal in all PEs of a
#: diagonal: without ``keep``, synthesis makes them one register, which then lies far from most.
#: A reset need not reach them: what is in them is ahead of every wavefront that comes after it.
OWN: Mapping[str, bool] = MappingProxyType({"keep": True})


def shape(number: IntegerFormat) -> Shape:
    """Amaranth's shape of an integer format."""
    return Shape(number.bits, number.signed)


class WeightStationaryPE(wiring.Component):
    """Weight-stationary PE: keeps a weight, passes the activation on and adds to the partial sum.

    A second weight register is loaded through the column while the first one is in use.

    Members
    -------
    a_in, a_out : activation, towards column 0.
    swap_in, swap_out : with an activation: the loaded weight becomes the used one for it.
    load_in, load_out : take the weight at ``w_in``.
    w_in, w_out : weight chain of the column, towards row 0.
    psum_in, psum_out : partial sum, towards row 0.

    Timing
    ------
    ``a_out``, ``swap_out``, ``load_out`` one cycle after their inputs. ``psum_out`` is
    1 + ``mac_stages`` cycles after ``a_in``.
    """

    #: Members that run through a row and through a column.
    row_chain: ClassVar = {"a_in": "a_out", "swap_in": "swap_out", "load_in": "load_out"}
    column_chain: ClassVar = {"w_in": "w_out", "psum_in": "psum_out"}

    def __init__(self, config: SystolicConfig):
        self.config = config
        a, w, psum = shape(config.a), shape(config.w), shape(config.psum)
        super().__init__({
            "a_in": In(a), "a_out": Out(a),
            "swap_in": In(1), "swap_out": Out(1),
            "load_in": In(1), "load_out": Out(1),
            "w_in": In(w), "w_out": Out(w),
            "psum_in": In(psum), "psum_out": Out(psum),
        })

    def elaborate(self, platform):
        m = Module()
        loaded = Signal(shape(self.config.w), reset_less=True)
        psum = Signal(shape(self.config.psum), reset_less=True)
        m.submodules.multiplier = multiplier = Multiplier(
            shape(self.config.a), shape(self.config.w), self.config.mac_stages - 1,
            self.config.technology, operand_registers=True, held="a")
        swap = Signal(attrs={} if multiplier.shares_enables else OWN,
                      reset_less=True)
        load = Signal(attrs=OWN, reset_less=True)
        m.d.sync += [
            swap.eq(self.swap_in),
            load.eq(self.load_in),
            psum.eq(self.psum_in + multiplier.p),
        ]
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
            self.psum_out.eq(psum),
        ]
        return m


class OutputStationaryPE(wiring.Component):
    """Output-stationary PE: passes both operands on and keeps the sum of their products.

    A finished sum moves to a second register and leaves through the column while the next one is
    being formed.

    Members
    -------
    a_in, a_out : activation, towards column 0; zero in a cycle without one.
    w_in, w_out : weight, towards row 0; zero in a cycle without one.
    first_in, first_out : with an activation: it starts a new sum.
    last_in, last_out : with an activation: it finishes the sum.
    shift_in, shift_out : move the drain chain of the column by one row.
    c_in, c_out : drain chain, towards row 0: the sum, and above it whether it overflowed.

    Timing
    ------
    ``a_out``, ``w_out`` and the control outputs one cycle after their inputs. A sum is at ``c_out``
    2 + ``mac_stages`` cycles after its last activation at ``a_in``.
    """

    row_chain: ClassVar = {"a_in": "a_out", "first_in": "first_out", "last_in": "last_out",
                 "shift_in": "shift_out"}
    column_chain: ClassVar = {"w_in": "w_out", "c_in": "c_out"}

    def __init__(self, config: SystolicConfig):
        self.config = config
        a, w, c = shape(config.a), shape(config.w), config.pe_acc.bits + 1
        super().__init__({
            "a_in": In(a), "a_out": Out(a),
            "first_in": In(1), "first_out": Out(1),
            "last_in": In(1), "last_out": Out(1),
            "shift_in": In(1), "shift_out": Out(1),
            "w_in": In(w), "w_out": Out(w),
            "c_in": In(c), "c_out": Out(c),
        })

    def elaborate(self, platform):
        m = Module()
        config = self.config
        shift = Signal(attrs=OWN, reset_less=True)
        m.submodules.multiplier = multiplier = Multiplier(
            shape(config.a), shape(config.w), config.mac_stages - 1, config.technology,
            operand_registers=True, held="ab")
        m.d.sync += shift.eq(self.shift_in)
        m.d.comb += [
            multiplier.a.eq(self.a_in),
            multiplier.b.eq(self.w_in),
            multiplier.b_enable.eq(1),
            self.a_out.eq(multiplier.a_held),
            self.w_out.eq(multiplier.b_held),
            self.shift_out.eq(shift),
        ]

        # One bit per register on the way of the activation to the sum, and one for `last` behind
        # it.
        first = Signal(config.mac_stages, attrs=OWN, reset_less=True)
        last = Signal(config.mac_stages + 1, attrs=OWN, reset_less=True)
        m.d.sync += [
            first.eq(Cat(self.first_in, first)),
            last.eq(Cat(self.last_in, last)),
        ]
        m.d.comb += [self.first_out.eq(first[0]), self.last_out.eq(last[0])]

        acc = Signal(shape(config.pe_acc), reset_less=True)
        augend = Signal(shape(config.pe_acc))
        total = Signal(Shape(max(config.pe_acc.bits, config.product.bits) + 1,
                             config.pe_acc.signed))
        m.d.comb += [
            augend.eq(Mux(first[-1], 0, acc)),
            total.eq(augend + multiplier.p),
        ]
        overflow = Signal(reset_less=True)
        m.d.sync += [
            acc.eq(total),
            overflow.eq((overflow & ~first[-1]) | ~fits(total, config.pe_acc)),
        ]

        c = Signal(config.pe_acc.bits + 1, reset_less=True)
        with m.If(last[-1]):
            m.d.sync += [c[:-1].eq(acc), c[-1].eq(overflow)]
        with m.Elif(self.shift_in):
            m.d.sync += c.eq(self.c_in)
        m.d.comb += self.c_out.eq(c)
        return m


def fits(value, number: IntegerFormat):
    """Whether a wider ``value`` is in the range of the integer format ``number``."""
    high = value[number.bits - number.signed:]
    return (high.all() | ~high.any()) if number.signed else ~high.any()
