"""One lane behind the row buffer: an element is centered, divided, scaled and rounded."""

from amaranth import Module, Mux, Shape, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from systolith.hdl.arithmetic.multiplier import Multiplier
from systolith.hdl.arithmetic.rounding import FixedRounder, FloatEncoder
from systolith.hdl.arithmetic.steps import counter, shape, signal_of
from systolith.hdl.formats import FloatFormat, IntegerFormat
from systolith.hdl.norm.config import EPSILON_FRACTION, GUARD, NormConfig
from systolith.hdl.structure.delay import Delay

MULTIPLIER_STAGES = 2
#: An exponent is used in two steps: bits from this one on first.
COARSE = 3


class NormLane(wiring.Component):
    """Normalizes an element: ((n·x − Σx) · mantissa · 2^−exponent) · w + b, rounded at every step.

    Parameters
    ----------
    config : NormConfig

    Members
    -------
    x : In
        Bits of ``config.fixed``.
    counts : In(1)
        The element belongs to the row; of one that does not, the deviation is 0.
    w, b : In
        Where the config has them.
    length : In
        n; constant while rows are in flight.
    total, exponent, mantissa : In
        Of the row: its sum, and the reciprocal root of its spread; each comes when it is used,
        :attr:`total_age`, :attr:`exponent_age` and :attr:`mantissa_age` cycles after ``x``.
    y : Out(config.y.bits)
    saturated : Out(1)

    Timing
    ------
    Latency :attr:`latency` cycles, one element per cycle.
    """

    broadcast = ("length", "total", "exponent", "mantissa")
    total_age = MULTIPLIER_STAGES
    exponent_age = total_age + 1
    mantissa_age = exponent_age + 2

    def __init__(self, config: NormConfig):
        self.config = config
        self.latency = lane_latency(config)
        members = {
            "x": In(shape(config.fixed)), "counts": In(1),
            "length": In(counter(config.max_length)), "total": In(shape(config.total)),
            "exponent": In(counter(config.inverse.exponent_high)),
            "mantissa": In(shape(config.inverse.mantissa)),
            "y": Out(config.y.bits), **({"saturated": Out(1)} if config.y_overflows else {}),
        }
        if config.affine != "none":
            members["w"] = In(shape(config.w))
        if config.affine == "weight_bias":
            members["b"] = In(shape(config.b))
        super().__init__(members)

    def elaborate(self, platform):
        m = Module()
        value = self._normalized(m)
        if self.config.affine != "none":
            value = self._affine(m, value)
        self._rounded(m, value)
        return m

    def _normalized(self, m: Module):
        """The element normalized, ``mantissa_age`` + 3 cycles later."""
        config = self.config
        product = self._multiply(m, "by_length", self.x, self.length)
        m.submodules.counts_beside = counts = Delay(1, self.total_age)
        m.d.comb += counts.i.eq(self.counts)
        deviation = self._register(m, config.deviation, "deviation")
        m.d.sync += deviation.eq(Mux(counts.o, product - self.total, 0))

        # Shifted right by the exponent with GUARD bits more than the precision, in two steps.
        fraction = config.precision + GUARD + EPSILON_FRACTION // 2
        fine = self.exponent[:COARSE]
        coarse = self.exponent[COARSE:]
        placed = deviation << fraction
        # The exponent of a short row may have no more than the fine bits.
        moved = signal_of(m, placed >> (coarse << COARSE) if len(coarse) else placed, "moved")
        # What is left of the shift can only make it smaller.
        width = config.scaled.bits + (1 << COARSE) - 1
        shifted = Signal(Shape(width, True), name="shifted", reset_less=True)
        left = Signal(len(fine), name="left", reset_less=True)
        m.d.sync += [shifted.eq(moved[:width]), left.eq(fine)]
        scaled = self._register(m, config.scaled, "scaled")
        finer = signal_of(m, shifted >> left, "finer")
        m.d.sync += scaled.eq(finer[:config.scaled.bits])

        product = self._multiply(m, "by_mantissa", scaled, self.mantissa)
        drop = (-config.scaled.lsb_exponent - config.inverse.mantissa.lsb_exponent
                - config.precision)
        m.submodules.round_product = rounder = FixedRounder(
            IntegerFormat(len(product), True), IntegerFormat(len(product) + 1 - drop, True, drop),
            "half_up")
        normalized = self._register(m, config.normalized, "normalized")
        m.d.comb += rounder.value.eq(product)
        m.d.sync += normalized.eq(rounder.result[:config.normalized.bits])
        return normalized

    def _affine(self, m: Module, value):
        config = self.config
        age = self.mantissa_age + MULTIPLIER_STAGES + 1
        m.submodules.w_beside = w = Delay(config.w.bits, age)
        m.d.comb += w.i.eq(self.w)
        product = self._multiply(m, "by_weight", value, w.o.as_signed())
        result = self._register(m, config.result, "result")
        if config.affine == "weight":
            m.d.sync += result.eq(product)
            return result
        m.submodules.b_beside = b = Delay(config.b.bits, age + MULTIPLIER_STAGES)
        lsb = config.result.lsb_exponent
        m.d.comb += b.i.eq(self.b)
        left = config.normalized.lsb_exponent + config.w.lsb_exponent - lsb
        bias = b.o.as_signed().shift_left(config.b.lsb_exponent - lsb)
        m.d.sync += result.eq(product.shift_left(left) + bias)
        return result

    def _rounded(self, m: Module, value):
        config = self.config
        result = config.result
        if isinstance(config.y, FloatFormat):
            width = result.bits
            magnitude = Signal(width, name="magnitude", reset_less=True)
            sign = Signal(name="sign", reset_less=True)
            m.d.sync += [magnitude.eq(Mux(value < 0, -value, value)), sign.eq(value < 0)]
            exponents = range(result.lsb_exponent, result.lsb_exponent + 1)
            m.submodules.encode = encode = FloatEncoder(
                config.y, width, exponents, FloatEncoder.STEPS, saturate=True, specials=set())
            m.d.comb += [
                encode.sign.eq(sign),
                encode.magnitude.eq(magnitude),
                self.y.eq(encode.code),
            ]
            if config.y_overflows:
                m.d.comb += self.saturated.eq(encode.overflow)
            return
        m.submodules.round = rounder = FixedRounder(
            IntegerFormat(result.bits, True, result.lsb_exponent), config.y)
        y = self._register(m, config.y, "rounded")
        saturated = Signal(name="beyond", reset_less=True)
        m.d.comb += [rounder.value.eq(value), self.y.eq(y), self.saturated.eq(saturated)]
        m.d.sync += [y.eq(rounder.result), saturated.eq(rounder.saturated)]

    def _multiply(self, m: Module, name: str, a, b):
        """The product, MULTIPLIER_STAGES cycles later."""
        m.submodules[name] = multiply = Multiplier(a.shape(), b.shape(), MULTIPLIER_STAGES,
                                                   self.config.technology)
        m.d.comb += [multiply.a.eq(a), multiply.b.eq(b)]
        return multiply.p

    @staticmethod
    def _register(m: Module, number: IntegerFormat, name: str) -> Signal:
        return Signal(shape(number), name=name, reset_less=True)


def lane_latency(config: NormConfig) -> int:
    """Cycles that a :class:`NormLane` takes."""
    affine = MULTIPLIER_STAGES + 1 if config.affine != "none" else 0
    rounding = 1 + FloatEncoder.STEPS if isinstance(config.y, FloatFormat) else 1
    return NormLane.mantissa_age + MULTIPLIER_STAGES + 1 + affine + rounding
