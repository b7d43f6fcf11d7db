"""Multiply-accumulate on decoded operands: exact in fixed point, or rounded to fp32 every time."""

from typing import NamedTuple

from amaranth import Cat, Const, Module, Mux, Shape, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from systolith.hdl.arithmetic.decoders import (
    BitmodDecoder,
    FixedDecoder,
    FloatDecoder,
    PairDecoder,
)
from systolith.hdl.arithmetic.floating import FloatAdder
from systolith.hdl.arithmetic.multiplier import Multiplier
from systolith.hdl.arithmetic.products import TermMultiplier
from systolith.hdl.arithmetic.rounding import FloatEncoder
from systolith.hdl.arithmetic.steps import Steps, counter, shape, signal_of, spread
from systolith.hdl.formats import (
    FP32,
    SELECT_BITS,
    BitmodFormat,
    IntegerFormat,
    Operand,
    PairFormat,
    product_format,
)


class Parts(NamedTuple):
    """The fields of an operand's code; constants where it has none."""

    factor: Value
    exponent: Value
    inf: Value
    nan: Value


def parts(operand: Operand, code: Value) -> Parts:
    """Take the code of an operand apart."""
    factor = code[:operand.term.bits]
    top = operand.term.bits + operand.exponent_bits
    exponent = code[operand.term.bits:top]
    return Parts(factor.as_signed() if operand.term.signed else factor,
                 exponent if operand.exponent_bits else Const(0, 1),
                 code[top] if operand.specials else Const(0, 1),
                 code[top + 1] if operand.specials else Const(0, 1))


class OperandDecoder(wiring.Component):
    """Decodes a group of elements, one or a pair, to operands.

    Parameters
    ----------
    operand : Operand

    Members
    -------
    code : In
        Codes of the group, the first in the low bits.
    select : In(2)
        Which special value the element's group has; only of bitmod.
    operand : Out
        Operands of the group.
    invalid : Out(1)
        A code is NaN, Inf or illegal. It counts as zero, unless the operand keeps what it is.

    Timing
    ------
    Combinational.
    """

    latency = 0

    def __init__(self, operand: Operand):
        self.form = operand
        select = {"select": In(SELECT_BITS)} if isinstance(operand.format, BitmodFormat) else {}
        super().__init__({"code": In(operand.group * operand.format.bits), **select,
                          "operand": Out(operand.group * operand.bits), "invalid": Out(1)})

    def elaborate(self, platform):
        m = Module()
        if isinstance(self.form.format, PairFormat):
            self._pair(m)
        elif isinstance(self.form.format, BitmodFormat):
            self._bitmod(m)
        elif self.form.has_exponent:
            self._float(m)
        else:
            m.submodules.decode = decode = FixedDecoder(self.form.format)
            m.d.comb += [
                decode.code.eq(self.code),
                self.operand.eq(decode.value),
                self.invalid.eq(decode.invalid),
            ]
        return m

    def _float(self, m: Module):
        m.submodules.decode = decode = FloatDecoder(self.form.format)
        significand = decode.significand
        _, exponent, inf, nan = parts(self.form, self.operand)
        if self.form.specials:
            significand = Mux(decode.inf, 1, significand)
            m.d.comb += [inf.eq(decode.inf), nan.eq(decode.nan)]
        finite = ~(decode.inf | decode.nan)
        m.d.comb += [
            decode.code.eq(self.code),
            self.operand[:self.form.term.bits].eq(Mux(decode.sign, -significand, significand)),
            self.invalid.eq(~finite),
        ]
        if self.form.exponent_bits:
            m.d.comb += exponent.eq(Mux(finite, decode.exponent, 0))

    def _pair(self, m: Module):
        bits, term = self.form.format.bits, self.form.term.bits
        m.submodules.decode = decode = PairDecoder(self.form.format)
        first, second = self.operand[:self.form.bits], self.operand[self.form.bits:]
        m.d.comb += [
            decode.first.eq(self.code[:bits]),
            decode.second.eq(self.code[bits:]),
            first[:term].eq(decode.first_factor),
            first[term:].eq(decode.first_exponent),
            second[:term].eq(decode.second_factor),
            second[term:].eq(decode.second_exponent),
            self.invalid.eq(decode.illegal),
        ]


    def _bitmod(self, m: Module):
        format = self.form.format
        m.submodules.decode = decode = BitmodDecoder(format)
        with m.Switch(self.select):
            for index, special in enumerate(format.special_values):
                with m.Case(index):
                    m.d.comb += decode.special.eq(int(special / 2.0**format.lsb_exponent))
        m.d.comb += [decode.code.eq(self.code), self.operand.eq(decode.value)]


class ExactProduct(wiring.Component):
    """Exact product of two operands, in fixed point.

    Parameters
    ----------
    a_operand, b_operand : Operand
    stages : int
        Registers; see :class:`TermMultiplier`.
    technology : str
        As in :class:`Multiplier`.

    Members
    -------
    a, b : In
        Operands.
    product : Out
        Bits of :attr:`format`.

    Timing
    ------
    Latency ``stages`` cycles, one product per cycle.
    """

    def __init__(self, a_operand: Operand, b_operand: Operand, stages: int,
                 technology: str = "generic"):
        self.operands, self.latency, self.technology = (a_operand, b_operand), stages, technology
        self.format = product_format(a_operand, b_operand)
        super().__init__({"a": In(a_operand.bits), "b": In(b_operand.bits),
                          "product": Out(shape(self.format))})

    def elaborate(self, platform):
        m = Module()
        m.submodules.multiply = multiply = TermMultiplier(*self.operands, self.latency,
                                                          self.technology)
        a, b = (parts(operand, code) for operand, code
                in zip(self.operands, (self.a, self.b), strict=True))
        m.d.comb += [
            multiply.a_factor.eq(a.factor),
            multiply.a_exponent.eq(a.exponent),
            multiply.b_factor.eq(b.factor),
            multiply.b_exponent.eq(b.exponent),
            self.product.eq(multiply.product),
        ]
        return m


class RoundedProduct(wiring.Component):
    """Product of two operands rounded to fp32, as IEEE 754 says.

    Inf · 0 is NaN, and a NaN is fp32's one NaN. A factor of 0 has no sign: its product is +0.

    Parameters
    ----------
    a_operand, b_operand : Operand
        With ``specials`` where a format has any.
    stages : int
        Registers, 0 to 5.
    technology : str
        As in :class:`Multiplier`.

    Members
    -------
    a, b : In
        Operands.
    product : Out(32)
        Code of the product.

    Timing
    ------
    Latency ``stages`` cycles, one product per cycle.
    """

    STEPS = 1 + FloatEncoder.STEPS

    def __init__(self, a_operand: Operand, b_operand: Operand, stages: int,
                 technology: str = "generic"):
        self.operands, self.latency, self.technology = (a_operand, b_operand), stages, technology
        super().__init__({"a": In(a_operand.bits), "b": In(b_operand.bits), "product": Out(32)})

    def elaborate(self, platform):
        m = Module()
        a_operand, b_operand = self.operands
        multiply_stage = int(1 in spread(self.STEPS, self.latency))
        m.submodules.multiply = multiply = Multiplier(
            shape(a_operand.term), shape(b_operand.term), multiply_stage, self.technology)
        a, b = parts(a_operand, self.a), parts(b_operand, self.b)
        highest = a_operand.shift_high + b_operand.shift_high
        exponent = Signal(counter(highest))
        inf = signal_of(m, a.inf | b.inf, "inf")
        nan = Signal()
        m.d.comb += [
            multiply.a.eq(a.factor),
            multiply.b.eq(b.factor),
            exponent.eq(a.exponent + b.exponent),
            nan.eq(a.nan | b.nan | (a.inf & ~b.factor.any()) | (b.inf & ~a.factor.any())),
        ]
        exponent, inf, nan = Steps(m, 1, multiply_stage).after(exponent, inf, nan)

        value = multiply.p
        negative = value[-1] if multiply.shape.signed else Const(0, 1)
        magnitude = Signal(len(value))
        m.d.comb += magnitude.eq(Mux(negative, -value, value))
        lsb = a_operand.lsb_exponent + b_operand.lsb_exponent
        m.submodules.encode = encode = FloatEncoder(
            FP32, len(value), range(lsb, lsb + highest + 1), self.latency - multiply_stage)
        m.d.comb += [
            encode.sign.eq(negative),
            encode.exponent.eq(exponent),
            encode.magnitude.eq(magnitude),
            encode.inf.eq(inf),
            encode.nan.eq(nan),
            self.product.eq(encode.code),
        ]
        return m


class ExactMac(wiring.Component):
    """Exact multiply-accumulate: the sum of products is kept in fixed point (Kulisch).

    Parameters
    ----------
    a_operand, b_operand : Operand
    acc : IntegerFormat
        Of the sum, with the ``lsb_exponent`` of the products; it wraps around.
    stages : int
        Registers from the operands to the sum, the sum's own included, at least 1.
    technology : str
        As in :class:`Multiplier`.

    Members
    -------
    a, b : In
        Operands; zero in a cycle without a pair.
    first : In(1)
        The pair starts a new sum.
    total : Out
        The wrapped sum, bits of ``acc``.
    wrapped : Out(1)
        An addition of this sum left the range of ``acc``.

    Timing
    ------
    Latency ``stages`` cycles, one pair per cycle (:attr:`interval`).
    """

    interval = 1

    def __init__(self, a_operand: Operand, b_operand: Operand, acc: IntegerFormat, stages: int,
                 technology: str = "generic"):
        self.operands, self.acc, self.latency = (a_operand, b_operand), acc, stages
        self.technology = technology
        lsb = a_operand.lsb_exponent + b_operand.lsb_exponent
        if acc.lsb_exponent != lsb:
            raise ValueError(f"the sum must be in units of 2**{lsb}, not 2**{acc.lsb_exponent}")
        super().__init__({"a": In(a_operand.bits), "b": In(b_operand.bits), "first": In(1),
                          "total": Out(shape(acc)), "wrapped": Out(1)})

    def elaborate(self, platform):
        m = Module()
        m.submodules.multiply = multiply = ExactProduct(*self.operands, self.latency - 1,
                                                        self.technology)
        first = _delayed(m, self.first, self.latency - 1)
        total = Signal(shape(self.acc), reset_less=True)
        wrapped = Signal(reset_less=True)
        augend = Signal(shape(self.acc))
        exact = Signal(Shape(max(self.acc.bits, multiply.format.bits) + 1, self.acc.signed))
        high = exact[self.acc.bits - self.acc.signed:]
        fits = (high.all() | ~high.any()) if self.acc.signed else ~high.any()
        m.d.comb += [
            multiply.a.eq(self.a),
            multiply.b.eq(self.b),
            augend.eq(Mux(first, 0, total)),
            exact.eq(augend + multiply.product),
            self.total.eq(total),
            self.wrapped.eq(wrapped),
        ]
        m.d.sync += [
            total.eq(exact),
            wrapped.eq((wrapped & ~first) | ~fits),
        ]
        return m


class RoundedMac(wiring.Component):
    """Multiply-accumulate in fp32: every product and every sum is rounded, as IEEE 754 says.

    Parameters
    ----------
    a_operand, b_operand : Operand
    product_stages : int
        Registers of the product, 0 to 5.
    add_stages : int
        Registers of the addition, 1 to 8. The sum is needed again after so many cycles.
    technology : str
        As in :class:`Multiplier`.

    Members
    -------
    a, b : In
        Operands.
    valid : In(1)
        There is a pair, at most every :attr:`interval` cycles.
    first : In(1)
        It starts a new sum, from +0.
    total : Out(32)
        Code of the sum.

    Timing
    ------
    Latency ``product_stages + add_stages`` cycles, one pair every ``add_stages`` cycles.
    """

    def __init__(self, a_operand: Operand, b_operand: Operand, product_stages: int,
                 add_stages: int, technology: str = "generic"):
        self.operands, self.technology = (a_operand, b_operand), technology
        self.latency, self.interval = product_stages + add_stages, add_stages
        super().__init__({"a": In(a_operand.bits), "b": In(b_operand.bits), "valid": In(1),
                          "first": In(1), "total": Out(32)})

    def elaborate(self, platform):
        m = Module()
        m.submodules.multiply = multiply = RoundedProduct(
            *self.operands, self.latency - self.interval, self.technology)
        m.submodules.add = add = FloatAdder(FP32, self.interval - 1)
        first = _delayed(m, self.first, multiply.latency)
        valid = _delayed(m, self.valid, self.latency - 1)
        total = Signal(32, reset_less=True)
        m.d.comb += [
            multiply.a.eq(self.a),
            multiply.b.eq(self.b),
            add.a.eq(Mux(first, 0, total)),
            add.b.eq(multiply.product),
            self.total.eq(total),
        ]
        with m.If(valid):
            m.d.sync += total.eq(add.result)
        return m


def _delayed(m: Module, bit: Signal, cycles: int) -> Value:
    """``bit`` so many cycles later, 0 after reset."""
    if not cycles:
        return bit
    line = Signal(cycles, name=f"{bit.name}_line")
    m.d.sync += line.eq(Cat(bit, line))
    return line[-1]
