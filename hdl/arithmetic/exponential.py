"""2^x and e^x of numbers in fixed point."""

import math

from amaranth import Const, Module, Mux, Signal, unsigned
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from systolith.hdl.arithmetic.config import ExponentialParameters
from systolith.hdl.arithmetic.multiplier import Multiplier
from systolith.hdl.arithmetic.piecewise import MULTIPLIER_STAGES, Piecewise, piecewise_latency
from systolith.hdl.arithmetic.shifting import Shifter
from systolith.hdl.arithmetic.steps import shape, signal_of
from systolith.hdl.formats import IntegerFormat
from systolith.hdl.structure.delay import Delay


class Exponential(wiring.Component):
    """2^x or e^x as mantissa · 2^exponent.

    :class:`ExponentialParameters` says what it gives, to the bit, and bounds its error.

    Parameters
    ----------
    parameters : ExponentialParameters
    technology : str
        As in :class:`~systolith.hdl.arithmetic.multiplier.Multiplier`.

    Members
    -------
    x : In
        Bits of ``parameters.source``.
    mantissa : Out
        Bits of ``parameters.mantissa``.
    exponent : Out
        Bits of ``parameters.exponent``.

    Timing
    ------
    Latency :attr:`latency` cycles, one result per cycle.
    """

    def __init__(self, parameters: ExponentialParameters, technology: str = "generic"):
        self.parameters, self.technology = parameters, technology
        self.latency = exponential_latency(parameters)
        super().__init__({"x": In(shape(parameters.source)),
                          "mantissa": Out(shape(parameters.mantissa)),
                          "exponent": Out(shape(parameters.exponent))})

    def elaborate(self, platform):
        m = Module()
        parameters = self.parameters
        bits = parameters.fraction_bits
        z = self._z(m)
        m.submodules.curve = curve = Piecewise(
            lambda u: 2.0**u, parameters.segments, self.technology)
        m.submodules.beside = beside = Delay(len(self.exponent), curve.latency)
        m.d.comb += [
            curve.x.eq(z[:bits]),
            beside.i.eq(z[bits:]),
            self.mantissa.eq(curve.y),
            self.exponent.eq(beside.o),
        ]
        return m

    def _z(self, m: Module):
        """x·log2(base) in units of 2^−F."""
        parameters = self.parameters
        if parameters.base == "2":
            return self.x[-parameters.source.lsb_exponent - parameters.fraction_bits:]
        constant = round(math.log2(math.e) * (1 << parameters.multiplier_bits))
        factor = unsigned(constant.bit_length())
        m.submodules.scale = scale = Multiplier(
            self.x.shape(), factor, MULTIPLIER_STAGES, self.technology)
        z = Signal(shape(IntegerFormat.holding(*parameters.z_range)), name="z", reset_less=True)
        nudged = signal_of(m, scale.p + (1 << parameters.shift - 1), "nudged")
        m.d.comb += [scale.a.eq(self.x), scale.b.eq(Const(constant, factor))]
        m.d.sync += z.eq(nudged[parameters.shift:][:len(z)])
        return z


class FixedExponential(wiring.Component):
    """2^x or e^x of x ≤ 0 in fixed point, rounded down or to nearest.

    The mantissa and exponent of :class:`Exponential` are brought to ``target``; of positive x the
    result is without meaning.

    Parameters
    ----------
    parameters : ExponentialParameters
        The source is signed.
    target : IntegerFormat
        Unsigned, without integers beyond 1: ``lsb_exponent`` from −precision to 0 and one bit more
        than its absolute value.
    nearest : bool
        Round to nearest, halves up, instead of down.
    technology : str

    Members
    -------
    x : In
        Bits of ``parameters.source``.
    y : Out
        Bits of ``target``.

    Attributes
    ----------
    max_error : float
        Bound of the difference from 2^x or e^x.

    Timing
    ------
    Latency :attr:`latency` cycles, one result per cycle.
    """

    def __init__(self, parameters: ExponentialParameters, target: IntegerFormat, *,
                 nearest: bool = True, technology: str = "generic"):
        if not -parameters.precision <= target.lsb_exponent <= 0:
            raise ValueError(f"lsb_exponent of the target must be {-parameters.precision} to 0, "
                             f"not {target.lsb_exponent}")
        if target.signed or target.bits != 1 - target.lsb_exponent:
            raise ValueError(f"the target must be unsigned and have {1 - target.lsb_exponent} "
                             f"bits, not {target}")
        if not parameters.source.signed:
            raise ValueError("the source must be signed: x is at most 0")
        self.parameters, self.target, self.nearest = parameters, target, nearest
        self.technology = technology
        self.latency = exponential_latency(parameters) + 2
        self.max_error = (parameters.max_relative_error
                          + 2.0**target.lsb_exponent * (0.5 if nearest else 1))
        super().__init__({"x": In(shape(parameters.source)), "y": Out(shape(target))})

    def elaborate(self, platform):
        m = Module()
        parameters, target = self.parameters, self.target
        m.submodules.power = power = Exponential(parameters, self.technology)
        drop = parameters.precision + target.lsb_exponent
        width = parameters.precision + 1 + self.nearest
        most = width                                     # beyond, nothing is left
        distance = Signal(range(-parameters.exponent.code_low + 1), name="distance")
        amount = Signal(range(most + 1), name="amount", reset_less=True)
        mantissa = Signal(width, name="mantissa", reset_less=True)
        m.submodules.shift = shift = Shifter(width, most, left=False)
        m.d.comb += [
            power.x.eq(self.x),
            distance.eq(Mux(power.exponent > 0, 0, -power.exponent)),
            shift.word.eq(mantissa),
            shift.amount.eq(amount),
        ]
        m.d.sync += [
            amount.eq(Mux(distance > most, most, distance)),
            mantissa.eq(power.mantissa << self.nearest),
        ]
        y = Signal(shape(target), name="rounded", reset_less=True)
        whole = shift.result[drop:]
        if self.nearest:
            nudged = signal_of(m, whole + 1, "nudged")
            whole = nudged[1:]
        m.d.sync += y.eq(whole[:target.bits])
        m.d.comb += self.y.eq(y)
        return m


def exponential_latency(parameters: ExponentialParameters) -> int:
    """Cycles that an :class:`Exponential` takes."""
    scaling = MULTIPLIER_STAGES + 1 if parameters.base == "e" else 0
    return scaling + piecewise_latency(parameters.segments)
