"""The record of a row for the last pass of the algorithms with real exponents: the inverse of its
sum, or the logarithm of it."""

from amaranth import Cat, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from systolith.hdl.arithmetic.config import InverseParameters, LogarithmParameters
from systolith.hdl.arithmetic.inverse import Inverse, inverse_latency
from systolith.hdl.arithmetic.logarithm import Logarithm, logarithm_latency
from systolith.hdl.arithmetic.steps import shape, signal_of
from systolith.hdl.formats import IntegerFormat
from systolith.hdl.softmax.config import STEP, SoftmaxConfig
from systolith.hdl.softmax.passes import delayed
from systolith.hdl.softmax.powers import STEP_BITS, exponential_parameters, key_shape


def inverse_parameters(config: SoftmaxConfig) -> InverseParameters:
    """Of the inverse of a sum."""
    return InverseParameters(config.total_bits, config.precision)


def inverse_bits(config: SoftmaxConfig) -> int:
    """Width of a mantissa that is lowered: it is less than 1, so that its format has a bit less."""
    return inverse_parameters(config).mantissa.bits - 1


def logarithm_parameters(config: SoftmaxConfig) -> LogarithmParameters:
    """Of the logarithm of a sum."""
    return LogarithmParameters(config.total_bits, config.precision)


class RowRecord(wiring.Component):
    """What the last pass has to know of a row, from its sum.

    Members
    -------
    done, top, total : In
        A row, in steps the exponent its weights are relative to, and their sum.
    record_valid, record : Out

    Timing
    ------
    Latency :meth:`cycles`, one row per cycle.
    """

    def __init__(self, config: SoftmaxConfig):
        self.config = config
        super().__init__({"done": In(1), "top": In(key_shape(config)),
                          "total": In(config.total_bits),
                          "record_valid": Out(1), "record": Out(self.bits(config))})

    @staticmethod
    def bits(config: SoftmaxConfig) -> int:
        """Width of a record."""
        raise NotImplementedError

    @staticmethod
    def cycles(config: SoftmaxConfig) -> int:
        """Cycles from a sum to its record."""
        raise NotImplementedError


class RowInverse(RowRecord):
    """The record of a row for probabilities: inverse of its sum, and top.

    The mantissa of the inverse is lowered by at least 7 · 2^−precision of itself, which outweighs
    every error that could have made it, or a mantissa, too large: what is computed with it is not
    above the true quotient.
    """

    @staticmethod
    def bits(config: SoftmaxConfig) -> int:
        """Width of a record: mantissa and exponent of the inverse, top."""
        return inverse_bits(config) + shift_bits(config) + key_shape(config).width

    @staticmethod
    def cycles(config: SoftmaxConfig) -> int:
        return inverse_latency(inverse_parameters(config)) + 1

    def elaborate(self, platform):
        m = Module()
        config = self.config
        m.submodules.inverse = inverse = Inverse(inverse_parameters(config),
                                               config.technology)
        mantissa = Signal(inverse_bits(config), name="mantissa", reset_less=True)
        shift = Signal(shift_bits(config), reset_less=True)
        slack = inverse.mantissa[config.precision - 3:]
        above = signal_of(m, inverse.exponent - lowest_exponent(config), "above_lowest")
        m.d.sync += [
            mantissa.eq((inverse.mantissa - slack)[:len(mantissa)]),
            shift.eq(above[:len(shift)]),
        ]
        latency = self.cycles(config)
        m.d.comb += [
            inverse.x.eq(self.total),
            self.record_valid.eq(delayed(m, "done", latency, self.done, reset=True)),
            self.record.eq(Cat(mantissa, shift, delayed(m, "top", latency, self.top))),
        ]
        return m


def lowest_exponent(config: SoftmaxConfig) -> int:
    """The lowest exponent of an inverse: a sum is at least 2^(1 − STEP), but for the error of a
    mantissa."""
    return config.precision + config.guard - STEP


def shift_bits(config: SoftmaxConfig) -> int:
    """Width of how far the exponent of an inverse is above the lowest."""
    return (inverse_parameters(config).exponent_high - lowest_exponent(config)).bit_length()


class RowLogarithm(RowRecord):
    """The record of a row for logarithms: log2 of its sum · 2^(STEP · top), in units of
    2^−precision.
    """

    @staticmethod
    def bits(config: SoftmaxConfig) -> int:
        """Width of a record."""
        return level_format(config).bits

    @staticmethod
    def cycles(config: SoftmaxConfig) -> int:
        return logarithm_latency(logarithm_parameters(config)) + 1

    def elaborate(self, platform):
        m = Module()
        config = self.config
        m.submodules.logarithm = logarithm = Logarithm(
            logarithm_parameters(config), config.technology)
        latency = self.cycles(config)
        top = delayed(m, "top", latency - 1, self.top)
        whole = signal_of(m, (top << STEP_BITS) + logarithm.whole
                          - config.precision - config.guard, "whole")
        level = Signal(shape(level_format(config)), name="level", reset_less=True)
        m.d.sync += level.eq((whole << config.precision) + logarithm.fraction)
        m.d.comb += [
            logarithm.x.eq(self.total),
            self.record_valid.eq(delayed(m, "done", latency, self.done, reset=True)),
            self.record.eq(level),
        ]
        return m


def level_format(config: SoftmaxConfig) -> IntegerFormat:
    """Of the logarithm of a sum: that is from a little below 1 to the number of elements."""
    exponent = exponential_parameters(config).exponent
    exact = IntegerFormat.holding(
        exponent.code_low - config.precision - config.guard << config.precision,
        exponent.code_high + (config.capacity - 1).bit_length() + 2 << config.precision)
    return IntegerFormat(exact.bits, True, -config.precision)


def row_record(config: SoftmaxConfig) -> type[RowRecord]:
    """What finds the record of a row from its sum."""
    return RowLogarithm if config.output == "log" else RowInverse
