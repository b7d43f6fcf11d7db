"""Reciprocals and reciprocal square roots of integers, in floating point."""

from amaranth import Cat, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from systolith.hdl.arithmetic.config import InverseParameters
from systolith.hdl.arithmetic.normalizing import Normalizer
from systolith.hdl.arithmetic.piecewise import Function, Piecewise, piecewise_latency
from systolith.hdl.arithmetic.steps import counter, shape
from systolith.hdl.structure.delay import Delay


class Inverse(wiring.Component):
    """1/x or 1/√x of a positive integer, as mantissa · 2^−exponent.

    :class:`InverseParameters` says what it gives, to the bit, and bounds its error.

    Parameters
    ----------
    parameters : InverseParameters
    technology : str
        As in :class:`~systolith.hdl.arithmetic.multiplier.Multiplier`.

    Members
    -------
    x : In(parameters.width)
    mantissa : Out
        Bits of ``parameters.mantissa``.
    exponent : Out
        0 to ``parameters.exponent_high``.
    zero : Out(1)
        x was 0; mantissa and exponent are without meaning.

    Timing
    ------
    Latency :attr:`latency` cycles, one result per cycle.
    """

    def __init__(self, parameters: InverseParameters, technology: str = "generic"):
        self.parameters, self.technology = parameters, technology
        self.latency = inverse_latency(parameters)
        super().__init__({
            "x": In(parameters.width), "mantissa": Out(shape(parameters.mantissa)),
            "exponent": Out(counter(parameters.exponent_high)), "zero": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        parameters = self.parameters
        width, bits = parameters.width, parameters.fraction_bits

        m.submodules.normalize = normalize = Normalizer(width, bits)
        leading = normalize.leading
        exponent = Signal.like(self.exponent, name="power")
        if parameters.root:
            point = Cat(normalize.below, leading[0])
            m.d.comb += exponent.eq(leading[1:])
        else:
            point = normalize.below
            m.d.comb += exponent.eq(leading)
        m.submodules.curve = curve = Piecewise(
            inverted_function(parameters), parameters.segments, self.technology)
        m.submodules.beside = beside = Delay(len(self.exponent) + 1, curve.latency)
        m.d.comb += [
            normalize.x.eq(self.x),
            curve.x.eq(point),
            beside.i.eq(Cat(exponent, normalize.zero)),
            self.mantissa.eq(curve.y),
            Cat(self.exponent, self.zero).eq(beside.o),
        ]
        return m


def inverse_latency(parameters: InverseParameters) -> int:
    """Cycles that an :class:`Inverse` takes."""
    return Normalizer.latency + piecewise_latency(parameters.segments)


def inverted_function(parameters: InverseParameters) -> Function:
    """The mantissa of 1/(1 + v), v what follows the leading one; with ``root`` as in
    :attr:`InverseParameters.segments`."""
    offset = parameters.offset

    def reciprocal(v: float) -> float:
        return 1 / (1 + v + offset)

    def root(v: float) -> float:
        return (1 + v + offset if v < 1 else 2 * (v + offset)) ** -0.5

    return root if parameters.root else reciprocal
