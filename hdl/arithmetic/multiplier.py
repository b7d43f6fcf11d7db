"""The one place where a multiplier is made."""

from amaranth import Module, Shape, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from systolith.hdl.primitives import ecp5


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
        self.shape = Shape(a_shape.width + b_shape.width, a_shape.signed or b_shape.signed)
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

    def elaborate(self, platform):
        m = Module()
        in_block = self.technology == "ecp5" and ecp5.fits_multiplier(self.a_shape, self.b_shape)
        a, b = self.a, self.b
        if self.operand_registers and (self.held or not in_block):
            held_a = Signal(self.a_shape, reset_less=True)
            held_b = Signal(self.b_shape, reset_less=True)
            m.d.sync += held_a.eq(self.a)
            with m.If(self.b_enable):
                m.d.sync += held_b.eq(self.b)
            for factor, register in (("a", held_a), ("b", held_b)):
                if factor in self.held:
                    m.d.comb += getattr(self, f"{factor}_held").eq(register)
            if not in_block:
                a, b = held_a, held_b
        product, done = ecp5.multiply(m, self) if in_block else (a * b, 0)
        m.d.comb += self.p.eq(pipelined(m, product, self.shape, self.stages - done))
        return m


def pipelined(m: Module, value, shape: Shape, stages: int):
    """``value``, ``stages`` registers later."""
    for stage in range(stages):
        register = Signal(shape, name=f"p{stage + 1}", reset_less=True)
        m.d.sync += register.eq(value)
        value = register
    return value
