"""The one place where a multiplier is made."""

from amaranth import Module, Shape, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out


class Multiplier(wiring.Component):
    """Exact product of two integers, pipelined.

    Parameters
    ----------
    a_shape, b_shape : Shape
        Widths and signs of the factors.
    stages : int
        Registers that follow the product; 0 makes it combinational.
    technology : str
        Whose multiplier blocks to instantiate; ``generic`` leaves that to synthesis.

    Members
    -------
    a, b : In
        Bits of the factors.
    p : Out
        Bits of the product, as wide as both factors together; signed if a factor is.

    Timing
    ------
    Latency ``stages`` cycles, one product per cycle.
    """

    def __init__(self, a_shape: Shape, b_shape: Shape, stages: int, technology: str = "generic"):
        if technology != "generic":
            raise ValueError(f"technology must be 'generic', not {technology!r}")
        self.a_shape, self.b_shape, self.latency = a_shape, b_shape, stages
        self.shape = Shape(a_shape.width + b_shape.width, a_shape.signed or b_shape.signed)
        super().__init__({"a": In(a_shape), "b": In(b_shape), "p": Out(self.shape)})

    def elaborate(self, platform):
        m = Module()
        value = self.a * self.b
        for stage in range(self.latency):
            register = Signal(self.shape, name=f"p{stage + 1}", reset_less=True)
            m.d.sync += register.eq(value)
            value = register
        m.d.comb += self.p.eq(value)
        return m
