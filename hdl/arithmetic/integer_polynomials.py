"""Functions of scaled integers by second-order polynomials in integers, as I-BERT has them."""

from amaranth import Module, Mux, Shape, Signal, signed, unsigned
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from systolith.hdl.arithmetic.config import IntegerExponentialParameters, IntegerGeluParameters
from systolith.hdl.arithmetic.division import Divider
from systolith.hdl.arithmetic.multiplier import Multiplier
from systolith.hdl.arithmetic.steps import counter, shape, signal_of
from systolith.hdl.structure.delay import Delay

MULTIPLIER_STAGES = 2


class IntegerExponential(wiring.Component):
    """e^−(n·S) of integers n ≥ 0 as polynomial · 2^−exponent, in units of a·S².

    :class:`IntegerExponentialParameters` says what it gives, to the bit, and bounds its error.

    Parameters
    ----------
    parameters : IntegerExponentialParameters
    technology : str
        As in :class:`~systolith.hdl.arithmetic.multiplier.Multiplier`.

    Members
    -------
    n : In(parameters.bits)
    polynomial : Out
        Bits of ``parameters.polynomial``.
    exponent : Out
        0 to ``parameters.exponent_high``.

    Timing
    ------
    Latency :attr:`latency` cycles, one result per cycle.
    """

    def __init__(self, parameters: IntegerExponentialParameters, technology: str = "generic"):
        self.parameters, self.technology = parameters, technology
        self.latency = integer_exponential_latency(parameters)
        super().__init__({"n": In(parameters.bits), "polynomial": Out(shape(parameters.polynomial)),
                          "exponent": Out(counter(parameters.exponent_high))})

    def elaborate(self, platform):
        m = Module()
        parameters = self.parameters
        n_high, period = parameters.n_high, parameters.period
        limited = Signal(counter(n_high), reset_less=True)
        m.d.sync += limited.eq(Mux(self.n > n_high, n_high, self.n)
                               if n_high < (1 << parameters.bits) - 1 else self.n)
        rest = Signal(counter(period - 1), name="rest")
        if parameters.exponent_high:
            digits = len(self.exponent)
            m.submodules.divide = divide = Divider(
                max(len(limited), digits), period.bit_length(), quotient_bits=digits)
            m.submodules.exponent_beside = exponent = Delay(digits, 2 + MULTIPLIER_STAGES)
            m.d.comb += [
                divide.dividend.eq(limited),
                divide.divisor.eq(period),
                rest.eq(divide.remainder),
                exponent.i.eq(divide.quotient),
                self.exponent.eq(exponent.o),
            ]
        else:
            m.d.comb += rest.eq(limited)

        # constant − r·(linear − r); r never exceeds linear.
        kept = Signal.like(rest, name="kept", reset_less=True)
        factor = Signal(counter(parameters.linear), name="factor", reset_less=True)
        m.d.sync += [kept.eq(rest), factor.eq((parameters.linear - rest)[:len(factor)])]
        m.submodules.multiply = multiply = Multiplier(
            kept.shape(), factor.shape(), MULTIPLIER_STAGES, self.technology)
        result = Signal(shape(parameters.polynomial), name="result", reset_less=True)
        m.d.comb += [multiply.a.eq(kept), multiply.b.eq(factor), self.polynomial.eq(result)]
        m.d.sync += result.eq((parameters.constant - multiply.p)[:len(result)])
        return m


def integer_exponential_latency(parameters: IntegerExponentialParameters) -> int:
    """Cycles that an :class:`IntegerExponential` takes."""
    digits = counter(parameters.exponent_high).width if parameters.exponent_high else 0
    return 1 + digits + 1 + MULTIPLIER_STAGES + 1


class IntegerGelu(wiring.Component):
    """GELU of scaled integers: q · (1 + erf), in units of ``parameters.unit``.

    :class:`IntegerGeluParameters` says what it gives, to the bit.

    Parameters
    ----------
    parameters : IntegerGeluParameters
    technology : str
        As in :class:`~systolith.hdl.arithmetic.multiplier.Multiplier`.

    Members
    -------
    q : In(signed(parameters.bits))
    y : Out
        Bits of ``parameters.product``.

    Timing
    ------
    Latency :attr:`latency` cycles, one result per cycle.
    """

    latency = 4 + 2 * MULTIPLIER_STAGES

    def __init__(self, parameters: IntegerGeluParameters, technology: str = "generic"):
        self.parameters, self.technology = parameters, technology
        super().__init__({"q": In(signed(parameters.bits)),
                          "y": Out(shape(parameters.product))})

    def elaborate(self, platform):
        m = Module()
        parameters = self.parameters
        limit, dropped = parameters.limit, parameters.shift
        magnitude = Signal(parameters.bits, reset_less=True)
        m.d.sync += magnitude.eq(Mux(self.q < 0, -self.q, self.q))
        gap = Signal(counter(limit), reset_less=True)
        m.d.sync += gap.eq(Mux(magnitude > limit, 0, limit - magnitude))

        m.submodules.square = square = Multiplier(
            unsigned(len(gap)), unsigned(len(gap)), MULTIPLIER_STAGES, self.technology)
        m.submodules.q_beside = beside = Delay(parameters.bits, 2 + MULTIPLIER_STAGES)
        m.d.comb += [square.a.eq(gap), square.b.eq(gap), beside.i.eq(self.q)]
        q = signal_of(m, beside.o.as_signed(), "q_of_square")
        # −erf without the dropped bits, rounded down.
        below = signal_of(m, square.p - parameters.constant, "below")
        minus = signal_of(m, Mux(q < 0, -below, Mux(q == 0, 0, below)), "minus")
        kept = Signal(Shape(max(len(minus) - dropped, 1), True), name="kept", reset_less=True)
        m.d.sync += kept.eq(minus.shift_right(dropped))
        factor = Signal(shape(parameters.factor), name="factor", reset_less=True)
        exact = signal_of(m, parameters.one - kept, "exact")
        m.d.sync += factor.eq(exact[:len(factor)])

        m.submodules.q_later = later = Delay(parameters.bits, 2)
        m.submodules.product = product = Multiplier(
            signed(parameters.bits), factor.shape(), MULTIPLIER_STAGES, self.technology)
        m.d.comb += [
            later.i.eq(q),
            product.a.eq(later.o.as_signed()),
            product.b.eq(factor),
            self.y.eq(product.p[:len(self.y)]),
        ]
        return m
