"""The one place where a multiplier is made."""

from types import ModuleType

from amaranth import Cat, Const, Module, Shape, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from systolith.hdl.primitives import ecp5, gowin, ice40, xilinx
from systolith.hdl.primitives.config import fits_multiplier, fits_pair

BLOCKS = {"ecp5": ecp5, "ice40": ice40, "gowin": gowin, "xilinx7": xilinx}

#: Whose block makes two products of factors that are packed in one.
PACKING = ("ecp5", "xilinx7")

#: Stages with which the operand registers are left outside of a block of ECP5: the enables of four
#: blocks have to do with four wires, so that blocks with enables of their own lie far apart.
OPERANDS_OUTSIDE_ECP5 = 3


class Multiplier(wiring.Component):
    """Exact product of two integers, pipelined.

    Parameters
    ----------
    a_shape, b_shape : Shape
        Widths and signs of the factors.
    stages : int
        Registers between the factors and the product; 0 makes it combinational.
    technology : str
        Whose multiplier blocks to instantiate; ``generic`` leaves that to synthesis, as does a
        factor that is wider than a block of the technology.
    operand_registers : bool
        Registers for the factors in front of the ``stages``, that of ``b`` with an enable: those
        of the multiplier block where it has them.
    held : str
        Which factors, of "a" and "b", are also to be seen behind their operand registers.

    Members
    -------
    a, b : In
        Bits of the factors.
    b_enable : In(1)
        Take ``b``, which stays otherwise; only with ``operand_registers``.
    a_held, b_held : Out
        The factors one cycle later, if asked for.
    p : Out
        Bits of the product, as wide as both factors together; signed if a factor is.

    Timing
    ------
    Latency :attr:`latency` cycles, one product per cycle.
    """

    def __init__(self, a_shape: Shape, b_shape: Shape, stages: int, technology: str = "generic", *,
                 operand_registers: bool = False, held: str = ""):
        self.a_shape, self.b_shape, self.stages = a_shape, b_shape, stages
        self.technology, self.operand_registers, self.held = technology, operand_registers, held
        self.shape = product_shape(a_shape, b_shape)
        members = {"a": In(a_shape), "b": In(b_shape), "p": Out(self.shape)}
        if operand_registers:
            members["b_enable"] = In(1)
        for factor in held:
            members[f"{factor}_held"] = Out(members[factor].shape)
        super().__init__(members)

    @property
    def latency(self) -> int:
        """Cycles from the factors to their product."""
        return self.stages + self.operand_registers

    @property
    def block(self) -> ModuleType | None:
        """Who instantiates the block; None if synthesis makes the product."""
        fits = fits_multiplier(self.technology, self.a_shape, self.b_shape)
        return BLOCKS[self.technology] if fits else None

    @property
    def outside(self) -> str:
        """Factors whose operand registers are not in the block, of "a" and "b"."""
        return operands_outside(self)

    @property
    def shares_enables(self) -> bool:
        """Whether neighbouring blocks had better have the same ``b_enable``."""
        return self.block is ecp5 and self.operand_registers and not self.outside

    def elaborate(self, platform):
        m = Module()
        a, b = with_operand_registers(m, self)
        product, done = self.block.multiply(m, self, a, b) if self.block else (a * b, 0)
        m.d.comb += self.p.eq(pipelined(m, product, self.shape, self.stages - done))
        return m


class PairMultiplier(wiring.Component):
    """Exact products of one integer with two others, pipelined; from one block where it can.

    Parameters
    ----------
    a_shape, b_shape : Shape
        Of the shared factor, and of each of the two others.
    stages, technology, operand_registers, held
        As for :class:`Multiplier`.

    Members
    -------
    a, b : In
        The shared factor, and the others: factor i is at ``[i*w +: w]``.
    b_enable : In(1)
        Take both of ``b``, which stay otherwise; only with ``operand_registers``.
    a_held, b_held : Out
        The factors one cycle later, if asked for.
    p : Out
        Products of both, side by side as the factors.
    carry : Out(1)
        To be added to the second product: products that come packed from one block are put right by
        whoever adds them up, whose adder has a carry input. 0 where they are not packed.

    Timing
    ------
    Latency :attr:`latency` cycles, one pair of products per cycle.
    """

    def __init__(self, a_shape: Shape, b_shape: Shape, stages: int, technology: str = "generic", *,
                 operand_registers: bool = False, held: str = ""):
        self.a_shape, self.b_shape, self.stages = a_shape, b_shape, stages
        self.technology, self.operand_registers, self.held = technology, operand_registers, held
        self.shape = product_shape(a_shape, b_shape)
        members = {"a": In(a_shape), "b": In(2 * b_shape.width), "p": Out(2 * self.shape.width),
                   "carry": Out(1)}
        if operand_registers:
            members["b_enable"] = In(1)
        for factor in held:
            members[f"{factor}_held"] = Out(members[factor].shape)
        super().__init__(members)

    @property
    def latency(self) -> int:
        """Cycles from the factors to their products."""
        return self.stages + self.operand_registers

    @property
    def packed(self) -> bool:
        """Whether ``carry`` is ever 1."""
        return (fits_pair(self.technology, self.a_shape, self.b_shape)
                and self.technology in PACKING and self.shape.signed)

    @property
    def block(self) -> ModuleType | None:
        """Who instantiates the block; None if there is none for both products."""
        fits = fits_pair(self.technology, self.a_shape, self.b_shape)
        return BLOCKS[self.technology] if fits else None

    @property
    def outside(self) -> str:
        """Factors whose operand registers are not in the block, of "a" and "b"."""
        return operands_outside(self)

    @property
    def shares_enables(self) -> bool:
        """Whether neighbouring blocks had better have the same ``b_enable``."""
        return self.block is ecp5 and self.operand_registers and not self.outside

    def elaborate(self, platform):
        m = Module()
        if self.block is None:
            self._separate(m)
            return m
        a, b = with_operand_registers(m, self)
        products, done = self.block.multiply_pair(m, self, a, (self.factor(b, 0),
                                                               self.factor(b, 1)))
        products = pipelined(m, Cat(*products), Shape(2 * self.shape.width), self.stages - done)
        m.d.comb += self.p.eq(products)
        if self.packed:
            m.d.comb += self.carry.eq(products[self.shape.width - 1])
        return m

    def factor(self, b: Value, index: int):
        """One of the two factors in ``b``."""
        bits = b.word_select(index, self.b_shape.width)
        return bits.as_signed() if self.b_shape.signed else bits

    def _separate(self, m: Module):
        width = self.b_shape.width
        for index in range(2):
            held = self.held if index == 0 else self.held.replace("a", "")
            m.submodules[f"multiplier_{index}"] = one = Multiplier(
                self.a_shape, self.b_shape, self.stages, self.technology,
                operand_registers=self.operand_registers, held=held)
            m.d.comb += [one.a.eq(self.a), one.b.eq(self.factor(self.b, index)),
                         self.p.word_select(index, self.shape.width).eq(one.p)]
            if self.operand_registers:
                m.d.comb += one.b_enable.eq(self.b_enable)
            if "a" in held:
                m.d.comb += self.a_held.eq(one.a_held)
            if "b" in held:
                m.d.comb += self.b_held.word_select(index, width).eq(one.b_held)


def operands_outside(multiplier: Multiplier | PairMultiplier) -> str:
    """Factors of a multiplier whose operand registers are not in its block."""
    if not multiplier.operand_registers:
        return ""
    if multiplier.block is None:
        return "ab"
    if multiplier.block is ecp5:
        return "ab" if multiplier.stages >= OPERANDS_OUTSIDE_ECP5 else ""
    return "b" if multiplier.block is gowin else ""


def with_operand_registers(m: Module, multiplier: Multiplier | PairMultiplier
                           ) -> tuple[Value, Value]:
    """Make the operand registers of a multiplier that are outside of its block or to be seen.

    Returns
    -------
    a, b : Value
        What the block takes.
    """
    factors = {"a": multiplier.a, "b": multiplier.b}
    for name, factor in factors.items():
        if name not in multiplier.outside + multiplier.held:
            continue
        register = Signal.like(factor, name=f"held_{name}", reset_less=True)
        with m.If(multiplier.b_enable if name == "b" else Const(1)):
            m.d.sync += register.eq(factor)
        if name in multiplier.held:
            m.d.comb += getattr(multiplier, f"{name}_held").eq(register)
        if name in multiplier.outside:
            factors[name] = register
    return factors["a"], factors["b"]


def product_shape(a: Shape, b: Shape) -> Shape:
    """Shape of an exact product: as wide as both factors together, signed if a factor is."""
    return Shape(a.width + b.width, a.signed or b.signed)


def pipelined(m: Module, value, shape: Shape, stages: int):
    """``value``, ``stages`` registers later."""
    for stage in range(stages):
        register = Signal(shape, name=f"p{stage + 1}", reset_less=True)
        m.d.sync += register.eq(value)
        value = register
    return value
