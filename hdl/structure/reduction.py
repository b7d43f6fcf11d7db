"""Reduction of many lanes to one value: the maximum, or the sum."""

from typing import Literal

from amaranth import Cat, Const, Module, Mux, Shape, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from systolith.hdl.arithmetic.steps import exceeds
from systolith.hdl.structure.linear_array import LinearArray

Operation = Literal["max", "sum"]


class PairMaximum(wiring.Component):
    """The larger of two numbers.

    Timing
    ------
    Combinational.
    """

    def __init__(self, shape: Shape):
        super().__init__({"a": In(shape), "b": In(shape), "o": Out(shape)})

    def elaborate(self, platform):
        m = Module()
        m.d.comb += self.o.eq(Mux(exceeds(self.a, self.b), self.a, self.b))
        return m


class PairSum(wiring.Component):
    """The exact sum of two numbers.

    Timing
    ------
    Combinational.
    """

    def __init__(self, shape: Shape):
        super().__init__({"a": In(shape), "b": In(shape),
                          "o": Out(Shape(shape.width + 1, shape.signed))})

    def elaborate(self, platform):
        m = Module()
        m.d.comb += self.o.eq(self.a + self.b)
        return m


class Reduction(wiring.Component):
    """Tree of pairs over all lanes, a register after every level.

    Parameters
    ----------
    count : int
        Number of lanes.
    shape : Shape
        Of a lane.
    operation : "max" or "sum"

    Members
    -------
    i : In(count * width)
        Lane k is bits ``[k*width +: width]``.
    o : Out
        The maximum, or the exact sum.

    Timing
    ------
    Latency :meth:`cycles` of ``count``, one set of lanes per cycle; a single lane passes
    unregistered.
    """

    def __init__(self, count: int, shape: Shape, operation: Operation):
        self.count, self.shape, self.operation = count, shape, operation
        self.levels = (count - 1).bit_length()
        self.latency = self.cycles(count)
        growth = self.levels if operation == "sum" else 0
        self.module_name = f"{operation}_of_{count}x{shape.width}{'s' if shape.signed else 'u'}"
        super().__init__({"i": In(count * shape.width),
                          "o": Out(Shape(shape.width + growth, shape.signed))})

    @staticmethod
    def cycles(count: int) -> int:
        """Latency of a tree over so many lanes."""
        return (count - 1).bit_length()

    def elaborate(self, platform):
        m = Module()
        cell = PairMaximum if self.operation == "max" else PairSum
        neutral = 0
        if self.operation == "max" and self.shape.signed:
            neutral = 1 << (self.shape.width - 1)
        missing = (1 << self.levels) - self.count
        lanes = Cat(self.i, *(Const(neutral, self.shape.width) for _ in range(missing)))
        shape = self.shape
        for level in range(1, self.levels + 1):
            half = 1 << (self.levels - level)
            m.submodules[f"level_{level}"] = pairs = LinearArray(
                lambda shape=shape: cell(shape), half, name="pair",
                module=f"{self.operation}_level_{half}x{shape.width}")
            m.d.comb += [
                pairs.a.eq(lanes[:half * shape.width]),
                pairs.b.eq(lanes[half * shape.width:]),
            ]
            lanes = pairs.o
            if self.operation == "sum":
                shape = Shape(shape.width + 1, shape.signed)
            register = Signal(len(lanes), name=f"level_{level}_o", reset_less=True)
            m.d.sync += register.eq(lanes)
            lanes = register
        m.d.comb += self.o.eq(lanes)
        return m
