"""What the algorithms with real exponents share: e^x as a pair of mantissa and exponent.

A logit times the register ``scale`` is the exponent z of a power of two; the pair is
mantissa · 2^⌊z⌋. Weights are relative to 2^(STEP · top) with top an integer, so that a sum of them
is scaled by shifts alone, and by few.
"""

from amaranth import Cat, Const, Module, Mux, Shape, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from systolith.hdl.arithmetic.config import ExponentialParameters
from systolith.hdl.arithmetic.exponential import Exponential, exponential_latency
from systolith.hdl.arithmetic.multiplier import Multiplier
from systolith.hdl.arithmetic.shifting import chosen
from systolith.hdl.arithmetic.steps import shape
from systolith.hdl.softmax.config import SCALE_BITS, STEP, SoftmaxConfig

MULTIPLIER_STAGES = 2
STEP_BITS = (STEP - 1).bit_length()


def exponential_parameters(config: SoftmaxConfig) -> ExponentialParameters:
    """Of the powers of two."""
    return ExponentialParameters(config.z, config.precision, "2")


def key_shape(config: SoftmaxConfig) -> Shape:
    """Of an exponent in steps, rounded up."""
    exponent = exponential_parameters(config).exponent
    return Shape(max(exponent.bits - STEP_BITS, 1) + 1, exponent.signed)


def payload_bits(config: SoftmaxConfig) -> int:
    """Width of what an exponent is below its key, and a mantissa."""
    return STEP_BITS + exponential_parameters(config).mantissa.bits


def power_latency(config: SoftmaxConfig) -> int:
    """Cycles of a :class:`PowerLane`."""
    return MULTIPLIER_STAGES + exponential_latency(exponential_parameters(config))


class PowerLane(wiring.Component):
    """2^(x · scale) of one logit as mantissa · 2^exponent.

    Members
    -------
    x : In
    scale : In(SCALE_BITS)
        The register, constant while rows are in flight.
    mantissa, exponent : Out
        As of :class:`~systolith.hdl.arithmetic.exponential.Exponential`.
    key : Out
        ⌈exponent / STEP⌉.
    payload : Out
        STEP · key − exponent, and the mantissa above it.

    Timing
    ------
    Latency :func:`power_latency`, one logit per cycle.
    """

    def __init__(self, config: SoftmaxConfig):
        self.config = config
        parameters = exponential_parameters(config)
        super().__init__({"x": In(shape(config.logit)), "scale": In(SCALE_BITS),
                          "mantissa": Out(shape(parameters.mantissa)),
                          "exponent": Out(shape(parameters.exponent)),
                          "key": Out(key_shape(config)), "payload": Out(payload_bits(config))})

    def elaborate(self, platform):
        m = Module()
        config = self.config
        m.submodules.multiply = multiply = Multiplier(
            shape(config.logit), Shape(SCALE_BITS), MULTIPLIER_STAGES, config.technology)
        m.submodules.power = power = Exponential(exponential_parameters(config),
                                               config.technology)
        m.d.comb += [
            multiply.a.eq(self.x),
            multiply.b.eq(self.scale),
            power.x.eq(multiply.p),
            self.mantissa.eq(power.mantissa),
            self.exponent.eq(power.exponent),
            self.key.eq((power.exponent + (STEP - 1)).shift_right(STEP_BITS)),
            self.payload.eq(Cat((-power.exponent)[:STEP_BITS], power.mantissa)),
        ]
        return m


class AlignLane(wiring.Component):
    """The weight of one element relative to 2^(STEP · top), in units of the sum, cut.

    Members
    -------
    key, payload : In
        Its power.
    top : In
        Not below ``key`` where the element counts.
    keep : In(1)
    weight : Out(weight_bits)

    Timing
    ------
    Latency 2 cycles.
    """

    latency = 2

    def __init__(self, config: SoftmaxConfig):
        self.config = config
        key = key_shape(config)
        super().__init__({"key": In(key), "top": In(key), "keep": In(1),
                          "payload": In(payload_bits(config)),
                          "weight": Out(config.weight_bits)})

    def elaborate(self, platform):
        m = Module()
        config = self.config
        # Shifted within a step while the steps are counted, and then by these.
        below, power = self.payload[:STEP_BITS], self.payload[STEP_BITS:]
        mantissa = Signal(len(power) + STEP - 1, name="mantissa", reset_less=True)
        distance = Signal(self.top.shape().width + 1, name="distance")
        step = Signal(steps_of(config.weight_bits), name="step", reset_less=True)
        keep = Signal(reset_less=True)
        weight = Signal.like(self.weight, name="weight", reset_less=True)
        whole = Cat(Const(0, config.guard - (STEP - 1)), mantissa)
        m.d.comb += [distance.eq(self.top - self.key), self.weight.eq(weight)]
        m.d.sync += [
            mantissa.eq(Cat(Const(0, STEP - 1), power) >> below),
            step.eq(chosen_step(m, distance, config.weight_bits)),
            keep.eq(self.keep),
            weight.eq(Mux(keep, stepped(whole, step), 0)),
        ]
        return m


def steps_of(width: int) -> int:
    """How many steps of 0 and more leave something of a word."""
    return -(-width // STEP)


def chosen_step(m: Module, steps, width: int, enable=1):
    """By how many steps a word is shifted, one hot; none is set where nothing is left of it."""
    one_hot = Signal(steps_of(width), name="chosen_step")
    m.d.comb += one_hot.eq(Cat((steps == step) & enable for step in range(len(one_hot))))
    return one_hot


def stepped(word, steps):
    """The word shifted right by the step that is chosen."""
    return chosen(word, steps, STEP)
