"""Sums of rows to results."""

from amaranth import Cat, Module, Signal, unsigned
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from systolith.hdl.arithmetic.multiplier import Multiplier
from systolith.hdl.arithmetic.requantize import Rescaler
from systolith.hdl.arithmetic.steps import counter, shape
from systolith.hdl.structure.delay import Delay
from systolith.hdl.ternary.config import SCALE, SHIFT, TernaryConfig

MULTIPLY_STAGES = 2


class Finisher(wiring.Component):
    """Takes the sums of a frame from the drain chain, one per cycle, and makes results of them.

    - ``raw``: y = total for activations of int8, total · largest for quantized ones;
    - ``scaled``: y = total · largest · scale · 2^(shift − 31), to nearest, halves to even,
      saturating; without the largest for activations of int8.

    Parameters
    ----------
    config : TernaryConfig

    Members
    -------
    issued : In(1)
        The last word of a frame is issued.
    largest, scale, shift : In
        What its results are multiplied with, in that cycle; where there is such a factor.
    total : In
        Sums of rows; the first :attr:`total_age` cycles after ``issued``, and ``rows`` of them in
        as many cycles.
    valid, last, y : Out
        A result; the last of a frame.

    Timing
    ------
    Latency :meth:`latency` cycles from ``total`` to ``y``.
    """

    def __init__(self, config: TernaryConfig, total_age: int):
        self.config, self.total_age = config, total_age
        members = {"issued": In(1), "total": In(shape(config.dot)),
                   "valid": Out(1), "last": Out(1), "y": Out(shape(config.y))}
        if config.quantized:
            members["largest"] = In(counter(config.largest_a))
        if config.scaled:
            members |= {"scale": In(shape(SCALE)), "shift": In(shape(SHIFT))}
        super().__init__(members)

    @staticmethod
    def latency(config: TernaryConfig) -> int:
        """Cycles from a sum to its result."""
        if config.scaled:
            return Rescaler.latency
        return MULTIPLY_STAGES if config.quantized else 0

    def elaborate(self, platform):
        m = Module()
        config = self.config
        rows = config.rows
        active = Signal()
        row = Signal(counter(rows - 1))
        at_end = Signal()
        m.submodules.to_start = start = Delay(1, self.total_age - 1, reset=True)
        m.d.comb += [start.i.eq(self.issued), at_end.eq(row == rows - 1)]
        with m.If(start.o):
            m.d.sync += [active.eq(1), row.eq(0)]
        with m.Elif(active):
            m.d.sync += [active.eq(~at_end), row.eq(row + 1)]
        control = Cat(active, active & at_end)
        if self.latency(config):
            m.submodules.to_result = to_result = Delay(2, self.latency(config), reset=True)
            m.d.comb += to_result.i.eq(control)
            control = to_result.o
        m.d.comb += Cat(self.valid, self.last).eq(control)

        if not config.quantized and not config.scaled:
            m.d.comb += self.y.eq(self.total)
        elif not config.scaled:
            largest = self._held(m, start.o, self.largest, "largest", 0)
            m.submodules.multiply = multiply = Multiplier(
                shape(config.dot), self.largest.shape(), MULTIPLY_STAGES)
            m.d.comb += [multiply.a.eq(self.total), multiply.b.eq(largest),
                         self.y.eq(multiply.p)]
        else:
            factor, age = self.scale, 0
            if config.quantized:
                m.submodules.factor = product = Multiplier(
                    self.largest.shape(), unsigned(SCALE.bits), MULTIPLY_STAGES)
                m.d.comb += [product.a.eq(self.largest), product.b.eq(self.scale)]
                # The largest is a power of two where it takes its highest bit.
                highest = config.largest_a * ((1 << SCALE.bits) - 1)
                factor, age = product.p[:highest.bit_length()], MULTIPLY_STAGES
            m.submodules.round = rescale = Rescaler(config.dot, config.y)
            m.d.comb += [
                rescale.x.eq(self.total),
                rescale.multiplier.eq(self._held(m, start.o, factor, "factor", age)),
                rescale.shift.eq(self._held(m, start.o, self.shift, "shift", 0)),
                self.y.eq(rescale.y),
            ]
        return m

    def _held(self, m: Module, start, value, name: str, age: int) -> Signal:
        """A factor, ``age`` cycles after ``issued``, as it is while the sums of its frame come."""
        m.submodules[f"{name}_later"] = later = Delay(len(value), self.total_age - 1 - age)
        held = Signal(value.shape(), name=f"held_{name}", reset_less=True)
        m.d.comb += later.i.eq(value)
        with m.If(start):
            m.d.sync += held.eq(later.o)
        return held
