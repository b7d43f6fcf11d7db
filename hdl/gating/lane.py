"""One channel per cycle: gates from their functions, and what they weight."""

from amaranth import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from systolith.hdl.activation.lane import ActivationLane, lane_latency
from systolith.hdl.arithmetic.multiplier import Multiplier
from systolith.hdl.arithmetic.rounding import FixedRounder, SteppedRounder
from systolith.hdl.arithmetic.steps import shape, signal_of
from systolith.hdl.formats import IntegerFormat
from systolith.hdl.gating.config import GatingConfig
from systolith.hdl.structure.delay import Delay

MULTIPLIER_STAGES = 2
#: Cycles from the state of a channel to its next one: products, sum, rounding.
UPDATE = MULTIPLIER_STAGES + 1 + SteppedRounder.latency


class GluLane(wiring.Component):
    """silu(g) · u, rounded once.

    Parameters
    ----------
    config : GatingConfig

    Members
    -------
    g, u : In
        Bits of ``config.x``.
    y : Out
        Bits of ``config.y``, :attr:`latency` cycles later.
    saturated : Out(1)

    Timing
    ------
    One element per cycle.
    """

    def __init__(self, config: GatingConfig):
        self.config = config
        self.latency = latency(config)
        super().__init__({"g": In(shape(config.x)), "u": In(shape(config.x)),
                          "y": Out(shape(config.y)), "saturated": Out(1)})

    def elaborate(self, platform):
        m = Module()
        config = self.config
        m.submodules.silu = silu = ActivationLane(config.silu)
        m.submodules.u_later = later = Delay(config.x.bits, silu.latency)
        m.submodules.round = rounder = SteppedRounder(config.exact, config.y)
        m.d.comb += [silu.x.eq(self.g), later.i.eq(self.u)]
        product = multiply(m, "product", silu.y.as_signed(), later.o.as_signed(),
                           config.technology)
        m.d.comb += [
            rounder.value.eq(product),
            self.y.eq(rounder.result),
            self.saturated.eq(rounder.saturated),
        ]
        return m


class MlgruLane(wiring.Component):
    """f · h + (1 − f) · silu(i), rounded once, with f = sigmoid, or bound + (1 − bound) · sigmoid.

    Parameters
    ----------
    config : GatingConfig

    Members
    -------
    f, i : In
        Bits of ``config.x``.
    b : In
        Bits of ``config.bound``, where the config has them.
    state : In
        Bits of ``config.y``, :attr:`state_age` cycles after ``f``: the state before.
    h : Out
        Bits of ``config.y``, :attr:`latency` cycles after ``f``: the state.
    saturated : Out(1)
        Where a state can saturate.

    Timing
    ------
    One channel per cycle; from ``state`` to ``h`` it is :data:`UPDATE` cycles.
    """

    def __init__(self, config: GatingConfig):
        self.config = config
        self.state_age = state_age(config)
        self.latency = latency(config)
        members = {"f": In(shape(config.x)), "i": In(shape(config.x)),
                   "state": In(shape(config.y)), "h": Out(shape(config.y))}
        if config.bounded:
            members["b"] = In(shape(config.bound))
        if config.saturates:
            members["saturated"] = Out(1)
        super().__init__(members)

    def elaborate(self, platform):
        m = Module()
        config = self.config
        m.submodules.sigmoid = sigmoid = ActivationLane(config.sigmoid)
        m.submodules.silu = silu = ActivationLane(config.silu)
        m.d.comb += [sigmoid.x.eq(self.f), silu.x.eq(self.i)]
        gate, age = sigmoid.y, sigmoid.latency
        if config.bounded:
            gate, age = self._bounded(m, gate, age), age + BOUND
        one = 1 << config.precision
        rest = signal_of(m, (one - gate)[:config.precision + 1], "rest")
        new = _later(m, "silu_later", silu.y, self.state_age - silu.latency).as_signed()
        gate = _later(m, "gate_later", gate, self.state_age - age)
        rest = _later(m, "rest_later", rest, self.state_age - age)
        kept = multiply(m, "kept", self.state, gate, config.technology)
        added = multiply(m, "added", new, rest, config.technology)

        lsb = config.exact.lsb_exponent
        total = Signal(shape(config.exact), name="total", reset_less=True)
        m.d.sync += total.eq(
            kept.shift_left(config.y.lsb_exponent - config.precision - lsb)
            + added.shift_left(-2 * config.precision - lsb))
        # Between two states that are in range; only a new one may go beyond.
        drop = config.y.lsb_exponent - lsb
        reach = None if config.saturates else (config.y.code_low << drop,
                                               config.y.code_high << drop)
        m.submodules.round = rounder = SteppedRounder(config.exact, config.y, reach)
        m.d.comb += [rounder.value.eq(total), self.h.eq(rounder.result)]
        if config.saturates:
            m.d.comb += self.saturated.eq(rounder.saturated)
        return m

    def _bounded(self, m: Module, gate, age: int):
        """bound + (1 − bound) · gate, rounded, :data:`BOUND` cycles later."""
        config = self.config
        one = 1 << config.precision
        below = _later(m, "b_later", self.b, age)
        above = signal_of(m, (one - below)[:config.precision + 1], "above")
        product = multiply(m, "above_bound", gate, above, config.technology)
        below = _later(m, "bound_later", below, MULTIPLIER_STAGES)
        square = IntegerFormat(2 * config.precision + 1, False, -2 * config.precision)
        m.submodules.round_gate = rounder = FixedRounder(square, config.sigmoid.y,
                                                         reach=(0, one * one))
        m.d.comb += rounder.value.eq(product + (below << config.precision))
        bounded = Signal(shape(config.sigmoid.y), name="bounded", reset_less=True)
        m.d.sync += bounded.eq(rounder.result)
        return bounded


#: Cycles that a lower bound adds to a gate.
BOUND = MULTIPLIER_STAGES + 1


def state_age(config: GatingConfig) -> int:
    """Cycles from the inputs of an :class:`MlgruLane` to the state that it takes."""
    gate = lane_latency(config.sigmoid) + (BOUND if config.bounded else 0)
    return max(gate, lane_latency(config.silu))


def latency(config: GatingConfig) -> int:
    """Cycles that a lane takes."""
    if config.recurrent:
        return state_age(config) + UPDATE
    return lane_latency(config.silu) + MULTIPLIER_STAGES + SteppedRounder.latency


def multiply(m: Module, name: str, a, b, technology: str):
    """The product, MULTIPLIER_STAGES cycles later."""
    m.submodules[name] = multiplier = Multiplier(a.shape(), b.shape(), MULTIPLIER_STAGES,
                                                 technology)
    m.d.comb += [multiplier.a.eq(a), multiplier.b.eq(b)]
    return multiplier.p


def _later(m: Module, name: str, value, cycles: int):
    if not cycles:
        return value
    m.submodules[name] = delay = Delay(len(value), cycles)
    m.d.comb += delay.i.eq(value)
    return delay.o
