"""The one place where a multiplier is made."""

from types import ModuleType

from amaranth import Cat, Const, Module, Shape, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Member, Out

from systolith.hdl.primitives import ecp5, gowin, ice40, xilinx
from systolith.hdl.primitives.config import PIECE_BITS, fits_multiplier, fits_pair, fits_pieces

BLOCKS = {"ecp5": ecp5, "ice40": ice40, "gowin": gowin, "xilinx7": xilinx}

#: Whose block makes two products of factors that are packed in one.
PACKING = ("ecp5", "xilinx7")

#: Stages from which on operand registers are left outside of a block of ECP5: the enables of four
#: blocks have to do with four wires, so that blocks with enables of their own lie far apart.
OPERANDS_OUTSIDE_ECP5 = 3


class BlockMultiplier(wiring.Component):
    """What multipliers have in common: parameters, and where the operand registers are.

    Parameters and members are those of :class:`Multiplier`.
    """

    def __init__(self, a_shape: Shape, b_shape: Shape, stages: int, technology: str = "generic", *,
                 operand_registers: bool = False, held: str = ""):
        self.a_shape, self.b_shape, self.stages = a_shape, b_shape, stages
        self.technology, self.operand_registers, self.held = technology, operand_registers, held
        self.shape = product_shape(a_shape, b_shape)
        members = self._members()
        if operand_registers:
            members["b_enable"] = In(1)
        for factor in held:
            members[f"{factor}_held"] = Out(members[factor].shape)
        super().__init__(members)

    def _members(self) -> dict[str, Member]:
        """Factors and products."""
        raise NotImplementedError

    @property
    def latency(self) -> int:
        """Cycles from the factors to what is made of them."""
        return self.stages + self.operand_registers

    @property
    def block(self) -> ModuleType | None:
        """Who instantiates the block; None if there is none."""
        raise NotImplementedError

    @property
    def outside(self) -> str:
        """Factors whose operand registers are not in the block, of "a" and "b"."""
        if not self.operand_registers:
            return ""
        if self.block is None:
            return "ab"
        if self.block is ecp5:
            return "ab" if self.stages >= OPERANDS_OUTSIDE_ECP5 else ""
        return "b" if self.block is gowin else ""

    @property
    def shares_enables(self) -> bool:
        """Whether neighbouring blocks had better have the same ``b_enable``."""
        return self.block is ecp5 and self.operand_registers and not self.outside

    def _operands(self, m: Module) -> tuple[Value, Value]:
        """What the block takes, behind the operand registers that are outside of it; makes those
        that are only to be seen, too."""
        factors = {"a": self.a, "b": self.b}
        for name, factor in factors.items():
            if name not in self.outside + self.held:
                continue
            register = Signal.like(factor, name=f"held_{name}", reset_less=True)
            with m.If(self.b_enable if name == "b" else Const(1)):
                m.d.sync += register.eq(factor)
            if name in self.held:
                m.d.comb += getattr(self, f"{name}_held").eq(register)
            if name in self.outside:
                factors[name] = register
        return factors["a"], factors["b"]


class Multiplier(BlockMultiplier):
    """Exact product of two integers, pipelined.

    Parameters
    ----------
    a_shape, b_shape : Shape
        Widths and signs of the factors.
    stages : int
        Registers between the factors and the product; 0 makes it combinational.
    technology : str
        Whose multiplier blocks to instantiate; ``generic`` leaves that to synthesis. Of a factor
        that is too wide for a block, each of two pieces has one, if there are at least 2 stages;
        otherwise, and of one that is wider still, it is left to synthesis too.
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

    def _members(self) -> dict[str, Member]:
        return {"a": In(self.a_shape), "b": In(self.b_shape), "p": Out(self.shape)}

    @property
    def block(self) -> ModuleType | None:
        """Who instantiates the block; None if synthesis makes the product."""
        fits = fits_multiplier(self.technology, self.a_shape, self.b_shape)
        return BLOCKS[self.technology] if fits else None

    def elaborate(self, platform):
        m = Module()
        a, b = self._operands(m)
        if self.block:
            product, done = self.block.multiply(m, self, a, b)
        elif self.stages >= 2 and fits_pieces(self.technology, self.a_shape, self.b_shape):
            product, done = self._in_pieces(m, a, b), self.stages - 1
        else:
            product, done = a * b, 0
        m.d.comb += self.p.eq(pipelined(m, product, self.shape, self.stages - done))
        return m

    def _in_pieces(self, m: Module, a, b):
        """The sum of the products of pieces that fit a block, with registers in front of it."""
        bits = PIECE_BITS[self.technology]
        products = {}
        for i, a_piece in enumerate(_pieces(a, bits)):
            for j, b_piece in enumerate(_pieces(b, bits)):
                m.submodules[f"piece_{i}{j}"] = piece = Multiplier(
                    a_piece.shape(), b_piece.shape(), self.stages - 1, self.technology)
                m.d.comb += [piece.a.eq(a_piece), piece.b.eq(b_piece)]
                products[i, j] = piece.p
        # What begins where the lowest product ends needs no adder.
        low = products.pop((0, 0))
        high = products.pop((1, 1), None)
        middle = sum(products.values())
        outer = low if high is None else Cat(low, high)
        if high is not None and high.shape().signed:
            outer = outer.as_signed()
        return outer + (middle << bits)


class PairMultiplier(BlockMultiplier):
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

    def _members(self) -> dict[str, Member]:
        return {"a": In(self.a_shape), "b": In(2 * self.b_shape.width),
                "p": Out(2 * self.shape.width), "carry": Out(1)}

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

    def elaborate(self, platform):
        m = Module()
        if self.block is None:
            self._separate(m)
            return m
        a, b = self._operands(m)
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


def _pieces(factor, bits: int):
    """A factor in at most two pieces: the low one, of so many bits, is unsigned."""
    if len(factor) <= bits:
        return (factor,)
    high = factor[bits:]
    return factor[:bits], high.as_signed() if factor.shape().signed else high


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
