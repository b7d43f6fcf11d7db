"""Base-2 logarithms of integers."""

import math

from amaranth import Cat, Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from systolith.hdl.arithmetic.config import LogarithmParameters
from systolith.hdl.arithmetic.normalizing import Normalizer
from systolith.hdl.arithmetic.piecewise import Piecewise, piecewise_latency
from systolith.hdl.arithmetic.steps import shape
from systolith.hdl.structure.delay import Delay


class Logarithm(wiring.Component):
    """log2(x) of a positive integer, as whole + fraction.

    :class:`LogarithmParameters` says what it gives, to the bit, and bounds its error.

    Parameters
    ----------
    parameters : LogarithmParameters
    technology : str
        As in :class:`~systolith.hdl.arithmetic.multiplier.Multiplier`.

    Members
    -------
    x : In(parameters.width)
    whole : Out
        Where the leading one of x is.
    fraction : Out
        Bits of ``parameters.fraction``.
    zero : Out(1)
        x was 0; the others are without meaning.

    Timing
    ------
    Latency :attr:`latency` cycles, one result per cycle.
    """

    def __init__(self, parameters: LogarithmParameters, technology: str = "generic"):
        self.parameters, self.technology = parameters, technology
        self.latency = logarithm_latency(parameters)
        super().__init__({
            "x": In(parameters.width), "whole": Out(range(parameters.width)),
            "fraction": Out(shape(parameters.fraction)), "zero": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        parameters = self.parameters
        offset = parameters.offset
        m.submodules.normalize = normalize = Normalizer(parameters.width, parameters.fraction_bits)
        m.submodules.curve = curve = Piecewise(
            lambda v: math.log2(1 + v + offset), parameters.segments, self.technology)
        m.submodules.beside = beside = Delay(len(self.whole) + 1, curve.latency)
        m.d.comb += [
            normalize.x.eq(self.x),
            curve.x.eq(normalize.below),
            beside.i.eq(Cat(normalize.leading, normalize.zero)),
            self.fraction.eq(curve.y),
            Cat(self.whole, self.zero).eq(beside.o),
        ]
        return m


def logarithm_latency(parameters: LogarithmParameters) -> int:
    """Cycles that a :class:`Logarithm` takes."""
    return Normalizer.latency + piecewise_latency(parameters.segments)
