"""One lane: an element is brought to fixed point, the function applied, the result rounded."""

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from systolith.hdl.activation.config import RESCALE_BITS, ActivationConfig
from systolith.hdl.arithmetic.decoders import FloatDecoder
from systolith.hdl.arithmetic.exponential import Exponential, exponential_latency
from systolith.hdl.arithmetic.fixing import FixedEncoder, FloatToFixed
from systolith.hdl.arithmetic.integer_polynomials import (
    IntegerExponential,
    IntegerGelu,
    integer_exponential_latency,
)
from systolith.hdl.arithmetic.multiplier import Multiplier
from systolith.hdl.arithmetic.piecewise import Piecewise, piecewise_latency
from systolith.hdl.arithmetic.rounding import FloatEncoder, Reach, SteppedRounder
from systolith.hdl.arithmetic.shifting import Shifter
from systolith.hdl.arithmetic.steps import counter, shape, signal_of
from systolith.hdl.formats import FloatFormat
from systolith.hdl.structure.delay import Delay

MULTIPLIER_STAGES = 2


class ActivationLane(wiring.Component):
    """The function of one element per cycle.

    Parameters
    ----------
    config : ActivationConfig

    Members
    -------
    x : In(config.x.bits)
    y : Out(config.y.bits)
        :attr:`latency` cycles later.
    saturated : Out(1)
        y was beyond its range.
    nan, infinite, positive : Out(1)
        What x was, where a flag of the config tells it; :attr:`entry` cycles after x.

    Timing
    ------
    Latency :attr:`latency` cycles, one element per cycle.
    """

    def __init__(self, config: ActivationConfig):
        self.config = config
        self.entry, self.middle, self.exit = stages(config)
        self.latency = self.entry + self.middle + self.exit
        members = {"x": In(config.x.bits), "y": Out(config.y.bits)}
        members |= {flag_port(name): Out(1) for name, _ in config.flags}
        super().__init__(members)

    def elaborate(self, platform):
        m = Module()
        fixed = self._entry(m)
        match self.config.implementation, self.config.function:
            case "integer", "gelu":
                self._round(m, self._integer_gelu(m, fixed))
            case "integer", _:
                self._round(m, self._integer_exponential(m, fixed))
            case _, "exp":
                self._encode_power(m, fixed)
            case _:
                value, reach = self._difference(m, fixed)
                if isinstance(self.config.y, FloatFormat):
                    self._encode_value(m, value)
                else:
                    self._round(m, value, reach)
        return m

    def _entry(self, m: Module):
        """x in fixed point."""
        config = self.config
        if not isinstance(config.x, FloatFormat):
            taken = Signal(shape(config.fixed), name="taken", reset_less=True)
            m.d.sync += taken.eq(self.x)
            if hasattr(self, "positive"):
                m.d.comb += self.positive.eq(taken > 0)
            return taken
        m.submodules.fixing = fixing = FloatToFixed(config.x, config.fixed, infinities=True)
        m.d.comb += [
            fixing.code.eq(self.x),
            self.nan.eq(fixing.nan),
            self.infinite.eq(fixing.inf),
        ]
        return fixing.value

    def _difference(self, m: Module, fixed):
        """The limit of the function less the difference, and the range of that."""
        config, curve = self.config, self.config.curve
        segments = config.curve_segments
        magnitude = Signal(shape(config.magnitude), name="magnitude", reset_less=True)
        # What the limit depends on: max(x, 0), or whether x is negative.
        negative = fixed[-1] if config.fixed.signed else 0
        positive_bits = config.fixed.bits - config.fixed.signed
        limit = Signal(positive_bits if curve.rectified else 1, name="limit", reset_less=True)
        m.d.sync += [
            magnitude.eq(Mux(negative, -fixed, fixed)),
            limit.eq(Mux(negative, 0, fixed[:positive_bits]) if curve.rectified else negative),
        ]
        m.submodules.curve = table = Piecewise(curve.difference, segments, config.technology)
        m.submodules.beside = beside = Delay(len(limit) + config.has_beyond, table.latency)
        m.d.comb += [
            table.x.eq(magnitude),
            beside.i.eq(Cat(limit, magnitude >= segments.stop) if config.has_beyond else limit),
        ]
        lsb = config.exact.lsb_exponent
        found = Mux(beside.o[-1], 0, table.y) if config.has_beyond else table.y
        difference = signal_of(m, found.shift_left(-config.precision - lsb), "difference")
        limit_later = signal_of(m, beside.o[:len(limit)], "limit_later")
        one = 1 << -lsb
        if curve.rectified:
            exact = limit_later.shift_left(config.fixed.lsb_exponent - lsb) - difference
        else:
            below = difference - one if curve.odd else difference
            exact = Mux(limit_later, below, one - difference)
        value = Signal(shape(config.exact), name="value", reset_less=True)
        m.d.sync += value.eq(exact)
        least, largest = (end << -config.precision - lsb for end in table.reach)
        least = min(least, 0) if config.has_beyond else least
        if curve.rectified:
            top = config.fixed.code_high << config.fixed.lsb_exponent - lsb
            return value, (-largest, top - least)
        below = (least - one, largest - one) if curve.odd else (least, largest)
        return value, (min(below[0], one - largest), max(below[1], one - least))

    def _integer_gelu(self, m: Module, fixed):
        config = self.config
        m.submodules.polynomial = polynomial = IntegerGelu(config.integer_gelu, config.technology)
        m.d.comb += polynomial.q.eq(fixed)
        return self._rescaled(m, polynomial.y)

    def _integer_exponential(self, m: Module, fixed):
        config = self.config
        parameters = config.integer_exponential
        n = Signal(config.fixed.bits, name="n", reset_less=True)
        m.d.sync += n.eq(Mux(fixed < 0, -fixed, 0))
        m.submodules.power = power = IntegerExponential(parameters, config.technology)
        m.submodules.exponent_beside = exponent = Delay(len(power.exponent), MULTIPLIER_STAGES)
        m.d.comb += [power.n.eq(n), exponent.i.eq(power.exponent)]
        product = self._rescaled(m, power.polynomial)

        width = config.rescaled.bits - 1
        m.submodules.shift = shift = Shifter(width, parameters.exponent_high, left=False)
        value = Signal(shape(config.rescaled), name="value", reset_less=True)
        m.d.comb += [
            shift.word.eq(product << width - len(product)),
            shift.amount.eq(exponent.o),
        ]
        m.d.sync += value.eq(Cat(shift.lost, shift.result))
        return value

    def _rescaled(self, m: Module, polynomial):
        """The polynomial times what it is worth, MULTIPLIER_STAGES cycles later."""
        config = self.config
        kept = signal_of(m, polynomial.shift_right(config.rescale_drop), "kept")
        factor = Signal(RESCALE_BITS, name="factor")
        m.submodules.rescale = rescale = Multiplier(
            kept.shape(), factor.shape(), MULTIPLIER_STAGES, config.technology)
        m.d.comb += [factor.eq(config.rescale[0]), rescale.a.eq(kept), rescale.b.eq(factor)]
        return rescale.p

    def _round(self, m: Module, value, reach: Reach | None = None):
        """The value to an integer format."""
        m.submodules.round = rounder = SteppedRounder(self.config.exact, self.config.y, reach)
        m.d.comb += [
            rounder.value.eq(value),
            self.y.eq(rounder.result),
            self.saturated.eq(rounder.saturated),
        ]

    def _encode_power(self, m: Module, fixed):
        """exp, from its mantissa and exponent."""
        config = self.config
        parameters = config.exponential
        m.submodules.power = power = Exponential(parameters, config.technology)
        low, high = parameters.exponent.code_low, parameters.exponent.code_high
        exponents = range(low - config.precision, high - config.precision + 1)
        width = config.precision + 1
        if isinstance(config.y, FloatFormat):
            m.submodules.encode = encode = FloatEncoder(config.y, width, exponents,
                                                        FloatEncoder.STEPS)
            m.d.comb += [self.y.eq(encode.code), self.saturated.eq(encode.overflow)]
            if isinstance(config.x, FloatFormat):
                sign = self._later(m, self.x[-1], "sign", self.entry + self.middle)
                nan = self._later(m, self.nan, "nan", self.middle)
                infinite = self._later(m, self.infinite, "infinite", self.middle)
                m.d.comb += [encode.nan.eq(nan), encode.inf.eq(infinite & ~sign)]
        else:
            m.submodules.encode = encode = FixedEncoder(config.y, width, exponents)
            m.d.comb += [self.y.eq(encode.value), self.saturated.eq(encode.saturated)]
        m.d.comb += [
            power.x.eq(fixed),
            encode.magnitude.eq(power.mantissa),
            encode.exponent.eq(power.exponent - low),
        ]

    def _encode_value(self, m: Module, value):
        """The value to a float, or x itself, or its half."""
        config = self.config
        exact, x = config.exact, config.x
        magnitude = Signal(exact.bits, name="value_magnitude", reset_less=True)
        sign = Signal(name="value_sign", reset_less=True)
        m.d.sync += [magnitude.eq(Mux(value < 0, -value, value)), sign.eq(value < 0)]
        low = high = exact.lsb_exponent
        if config.passes_x:
            first = x.lsb_exponent - config.curve.rectified      # of x, or of its half
            low, high = min(low, first), max(high, x.lsb_exponent + x.shift_high)
        m.submodules.encode = encode = FloatEncoder(
            config.y, exact.bits, range(low, high + 1), FloatEncoder.STEPS,
            bounded=not config.y_overflows)
        m.d.comb += self.y.eq(encode.code)
        if config.y_overflows:
            m.d.comb += self.saturated.eq(encode.overflow)
        age = self.middle + 1
        if isinstance(x, FloatFormat):
            m.d.comb += encode.nan.eq(self._later(m, self.nan, "nan", age))
        if not config.passes_x:
            m.d.comb += [
                encode.magnitude.eq(magnitude),
                encode.exponent.eq(exact.lsb_exponent - low),
                encode.sign.eq(sign),
            ]
            return

        code = signal_of(m, self._later(m, self.x, "code", self.entry + self.middle), "code")
        m.submodules.decode = decode = FloatDecoder(x)
        m.d.comb += decode.code.eq(code)
        size = code[:-1]
        small = signal_of(m, size < _code_of(x, config.small_exponent), "small")
        large = Signal()
        if config.curve.rectified:
            m.d.comb += large.eq(size >= _code_of(x, config.fixed.bits - 1 - config.x_fraction))
        half = small if config.curve.rectified else 0
        passes = Signal(reset_less=True)
        negative = Signal(reset_less=True)
        nothing = Signal(reset_less=True)                # a large negative x gives 0
        infinite = Signal(reset_less=True)
        significand = Signal(len(decode.significand), name="significand", reset_less=True)
        exponent = Signal(counter(high - low), name="exponent", reset_less=True)
        m.d.sync += [
            passes.eq(small | large),
            negative.eq(decode.sign),
            nothing.eq(large & decode.sign),
            infinite.eq(decode.inf & large & ~decode.sign),
            significand.eq(decode.significand),
            exponent.eq(decode.exponent + (x.lsb_exponent - low) - half),
        ]
        m.d.comb += [
            encode.magnitude.eq(Mux(nothing, 0, Mux(passes, significand, magnitude))),
            encode.exponent.eq(Mux(passes, exponent, exact.lsb_exponent - low)),
            encode.sign.eq(Mux(passes, negative & ~nothing, sign)),
            encode.inf.eq(infinite),
        ]

    def _later(self, m: Module, value, name: str, cycles: int):
        delay = Delay(len(value), cycles)
        m.submodules[f"{name}_later"] = delay
        m.d.comb += delay.i.eq(value)
        return delay.o


def flag_port(flag: str) -> str:
    """The output of a lane that tells of it."""
    return flag.removeprefix("x_").removeprefix("y_")


def stages(config: ActivationConfig) -> tuple[int, int, int]:
    """Cycles for x in fixed point, for the function, and for rounding."""
    entry = FloatToFixed.latency if isinstance(config.x, FloatFormat) else 1
    to_float = isinstance(config.y, FloatFormat)
    match config.implementation, config.function:
        case "integer", "gelu":
            return entry, IntegerGelu.latency + MULTIPLIER_STAGES, SteppedRounder.latency
        case "integer", _:
            power = integer_exponential_latency(config.integer_exponential)
            return entry, 1 + power + MULTIPLIER_STAGES + 1, SteppedRounder.latency
        case _, "exp":
            return (entry, exponential_latency(config.exponential),
                    FloatEncoder.STEPS if to_float else FixedEncoder.latency)
        case _:
            return (entry, 1 + piecewise_latency(config.curve_segments) + 1,
                    1 + FloatEncoder.STEPS if to_float else SteppedRounder.latency)


def lane_latency(config: ActivationConfig) -> int:
    """Cycles that an :class:`ActivationLane` takes."""
    return sum(stages(config))


def _code_of(number: FloatFormat, exponent: int) -> int:
    """The code of 2^exponent; beyond the largest number, that of Inf."""
    if exponent > number.exponent_high:
        return number.inf_code
    if exponent < number.exponent_low:
        return 1 << max(exponent - number.lsb_exponent, 0)
    return exponent + number.bias << number.fraction_bits
