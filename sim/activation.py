"""Activation functions in numpy."""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import lru_cache

import numpy as np

from systolith.hdl.activation.config import ActivationConfig
from systolith.hdl.formats import FloatFormat, IntegerFormat
from systolith.sim.formats import decode, fixed, invalid, quantize
from systolith.sim.frames import Beats
from systolith.sim.functions import (
    coefficients,
    evaluate,
    exponential,
    integer_exponential,
    integer_gelu,
)
from systolith.sim.model import Arrays, Job, Model, Workload
from systolith.sim.operands import (
    arguments,
    ceil_div,
    elements,
    flag_bit,
    numbers,
    result_dtype,
)
from systolith.sim.rounding import to_floats, to_integers

#: Of x, up to which every one is tried to find what y can be.
TRIED_BITS = 16

_erfc = np.vectorize(math.erfc, [float])

#: What each function is, in float64.
FUNCTIONS: Mapping[str, Callable[[np.ndarray], np.ndarray]] = {
    "gelu": lambda x: x * _erfc(-x / math.sqrt(2)) / 2,
    "silu": lambda x: x * _sigmoid(x),
    "sigmoid": lambda x: _sigmoid(x),
    "tanh": np.tanh,
    "exp": np.exp,
}
#: What each lacks to its limit, max(x, 0) or the step from 0 or −1 to 1, by the magnitude of x.
DIFFERENCES: Mapping[str, Callable[[np.ndarray], np.ndarray]] = {
    "gelu": lambda u: u * _erfc(u / math.sqrt(2)) / 2,
    "silu": lambda u: u * _sigmoid(-u),
    "sigmoid": lambda u: _sigmoid(-u),
    "tanh": lambda u: 2 * _sigmoid(-2 * u),
}


def _sigmoid(x: np.ndarray) -> np.ndarray:
    e = np.exp(-np.abs(x))
    return np.where(x < 0, e, 1.0) / (1 + e)


class ActivationModel(Model):
    """y[r, i] = f(x[r, i]).

    The argument of a call is ``x``, shape (R, L): integers in units of 2^−x_fraction, or numbers,
    which are rounded to ``x_format`` where that is a float. The result is ``y``, of the same shape:
    int32 or int64 in units of 2^−y_fraction, or float32.
    """

    config = ActivationConfig

    def check(self, config: ActivationConfig, workload: Workload) -> Workload:
        x = arguments(workload, ("x",), {})["x"]
        if isinstance(config.x, FloatFormat):
            array = numbers("x", x, ("R", "L"))
        else:
            array = elements("x", x, ("R", "L"), _codes_of(config.x))
        return replace(workload, arrays={"x": array}, settings={})

    def golden(self, config: ActivationConfig, workload: Workload) -> dict[str, np.ndarray]:
        raised: set[str] = set()
        values, integers = _fixed(config, workload.arrays["x"], raised)
        if config.implementation == "integer":
            y = _integer(config, integers, raised)
        elif config.function == "exp":
            y = _power(config, values, integers, raised)
        else:
            y = _difference(config, values, integers, raised)
        return {"y": y, "flags": sum(flag_bit(config.flags, name) for name in raised)}

    def pack(self, config: ActivationConfig, workload: Workload) -> Job:
        x = workload.arrays["x"]
        if isinstance(config.x, FloatFormat):
            x = quantize(config.x, x, saturate=False).astype(np.int64)
        beats = _beats(config, x, 0)
        return Job({}, {"x": beats}, {"y": len(beats)})

    def expect(self, config: ActivationConfig, workload: Workload, outputs: Arrays,
               pad: int | None = None) -> dict[str, Beats]:
        if pad is None:                                  # lanes without an element get x = 0
            pad = int(_codes(config, _of_zero(config))[0, 0])
        return {"y": _beats(config, _codes(config, outputs["y"]), pad)}

    def unpack(self, config: ActivationConfig, workload: Workload,
               beats: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        rows, length = workload.arrays["x"].shape
        codes = beats["y"].reshape(rows, -1)[:, :length]
        if isinstance(config.y, FloatFormat):
            return {"y": decode(config.y, codes).astype(np.float32)}
        return {"y": codes.astype(result_dtype(_codes_of(config.y)))}

    def cycles(self, config: ActivationConfig, workload: Workload) -> int:
        rows, length = workload.arrays["x"].shape
        return rows * ceil_div(length, config.lanes) + _latency(config)

    def utilization(self, config: ActivationConfig, workload: Workload, cycles: int) -> float:
        """Elements over those that the lanes could take in ``cycles``."""
        return workload.arrays["x"].size / (config.lanes * cycles)

    def never(self, config: ActivationConfig, stream: str, codes: np.ndarray) -> np.ndarray:
        """What no x gives."""
        if stream != "y" or config.x.bits > TRIED_BITS:
            return super().never(config, stream, codes)
        if isinstance(config.x, FloatFormat):
            x = decode(config.x, np.arange(1 << config.x.bits))
        else:
            x = np.arange(config.x.code_low, config.x.code_high + 1)
        given = _codes(config, self.golden(config, Workload("", {"x": x[None]}))["y"])
        return ~np.isin(codes, given)

    def stimulus(self, config: ActivationConfig, rng: np.random.Generator) -> Iterator[Workload]:
        for workload in _stimulus(config, rng):
            yield self.check(config, workload)


# ---- numbers ---------------------------------------------------------------------------------

def _codes_of(number: IntegerFormat) -> IntegerFormat:
    return IntegerFormat(number.bits, number.signed)


def _fixed(config: ActivationConfig, x: np.ndarray,
           raised: set[str]) -> tuple[np.ndarray, np.ndarray]:
    """x in float64, and as integers in fixed point: NaN as 0, infinities as the ends."""
    if not isinstance(config.x, FloatFormat):
        return np.ldexp(x.astype(float), config.fixed.lsb_exponent), x
    values = decode(config.x, quantize(config.x, x, saturate=False))
    if np.isnan(values).any():
        raised.add("nan")
    if np.isinf(values).any():
        raised.add("infinite")
    counted = np.where(np.isnan(values), 0, values)
    return values, fixed(config.fixed, quantize(config.fixed, counted))


def _difference(config: ActivationConfig, values: np.ndarray, integers: np.ndarray,
                raised: set[str]) -> np.ndarray:
    segments = config.curve_segments
    u = np.abs(integers)
    difference = evaluate(segments, _table(config), u)
    if config.has_beyond:
        difference = np.where(u >= segments.stop, 0, difference)
    p, f = config.precision, config.x_fraction
    negative = integers < 0
    if config.function in ("gelu", "silu"):
        lsb = -max(p, f)
        exact = (np.maximum(integers, 0) << -lsb - f) - (difference << -lsb - p)
    else:
        lsb, one = -p, 1 << p
        below = difference - one if config.function == "tanh" else difference
        exact = np.where(negative, below, one - difference)
    if isinstance(config.y, IntegerFormat):
        return _to_integers(config, exact, lsb, raised)
    y = to_floats(exact, lsb)
    if isinstance(config.x, FloatFormat):
        if config.passes_x:
            half = config.function != "tanh"
            y = np.where(np.abs(values) < 2.0**config.small_exponent,
                         values / 2 if half else values, y)
            # From where fixed point ends, x is its own limit.
            y = np.where(np.abs(values) >= -config.fixed.low, np.maximum(values, 0), y) \
                if half else y
        y = np.where(np.isnan(values), np.nan, y)
    return _to_floats(config, y, raised)


def _power(config: ActivationConfig, values: np.ndarray, integers: np.ndarray,
           raised: set[str]) -> np.ndarray:
    mantissa, exponent = exponential(config.exponential, integers)
    # Far beyond every format, and still a number.
    power = np.ldexp(mantissa.astype(float), np.clip(exponent, -900, 900) - config.precision)
    if isinstance(config.y, FloatFormat):
        if isinstance(config.x, FloatFormat):
            power = np.where(np.isnan(values) | (values == np.inf), values, power)
        return _to_floats(config, power, raised)
    nearest = np.rint(np.ldexp(power, -config.y.lsb_exponent))
    if (nearest > config.y.code_high).any():
        raised.add("y_saturated")
    return fixed(config.y, quantize(config.y, power)).astype(result_dtype(_codes_of(config.y)))


def _integer(config: ActivationConfig, integers: np.ndarray, raised: set[str]) -> np.ndarray:
    factor, exponent = config.rescale
    if config.function == "gelu":
        polynomial = integer_gelu(config.integer_gelu, integers)
        return _to_integers(config, (polynomial >> config.rescale_drop) * factor, exponent, raised)
    if (integers > 0).any():
        raised.add("x_positive")
    polynomial, z = integer_exponential(config.integer_exponential, np.maximum(-integers, 0))
    # Python integers: with all bits that the shift by z leaves.
    deepest = config.integer_exponential.EXPONENT_HIGH
    exact = ((polynomial >> config.rescale_drop) * factor).astype(object) << (deepest - z)
    return _to_integers(config, exact, exponent - deepest, raised)


def _to_integers(config: ActivationConfig, exact: np.ndarray, lsb: int,
                 raised: set[str]) -> np.ndarray:
    y, saturated = to_integers(config.y, exact, lsb)
    if saturated:
        raised.add("y_saturated")
    return y.astype(result_dtype(_codes_of(config.y)))


def _to_floats(config: ActivationConfig, y: np.ndarray, raised: set[str]) -> np.ndarray:
    codes = quantize(config.y, y, saturate=False)
    if (invalid(config.y, codes) & np.isfinite(y)).any():
        raised.add("y_saturated")
    return decode(config.y, codes).astype(np.float32)


@lru_cache(maxsize=8)
def _table(config: ActivationConfig) -> np.ndarray:
    return coefficients(DIFFERENCES[config.function], config.curve_segments)


def _of_zero(config: ActivationConfig) -> np.ndarray:
    workload = MODEL.check(config, Workload("", {"x": np.zeros((1, 1), int)}))
    return MODEL.golden(config, workload)["y"]


def _codes(config: ActivationConfig, y: np.ndarray) -> np.ndarray:
    if isinstance(config.y, FloatFormat):
        return quantize(config.y, y, saturate=False).astype(np.int64)
    return y.astype(np.int64)


def _beats(config: ActivationConfig, rows: np.ndarray, pad: int) -> Beats:
    missing = -rows.shape[1] % config.lanes
    padded = np.pad(rows, ((0, 0), (0, missing)), constant_values=pad)
    return Beats.join([Beats.frame(row.reshape(-1, config.lanes)) for row in padded], config.lanes)


# ---- cycles ----------------------------------------------------------------------------------

def _latency(config: ActivationConfig) -> int:
    """Cycles from an accepted beat of x to its accepted beat of y."""
    slices, buffer, product = 2, 2, 2
    entry = 4 if isinstance(config.x, FloatFormat) else 1
    to_float = isinstance(config.y, FloatFormat)

    def curve(degree: int) -> int:
        return 3 + ((product + 1) * degree + 1 if degree else 0)     # table; polynomial

    if config.implementation == "integer":
        if config.function == "gelu":
            middle = 2 + product + 2 + product                   # gap, square, factor, product
        else:
            digits = config.integer_exponential.exponent_high.bit_length()
            middle = 2 + digits + 1 + product + 2                # sign, limit; divide; polynomial;
        return slices + entry + middle + product + 2 + buffer    # its shift
    if config.function == "exp":
        degree = config.exponential.segments.degree
        return slices + entry + product + 1 + curve(degree) + 4 + buffer
    return (slices + entry + 1 + curve(config.curve_segments.degree) + 1 + (5 if to_float else 2)
            + buffer)


# ---- stimulus --------------------------------------------------------------------------------

def _stimulus(config: ActivationConfig, rng: np.random.Generator) -> Iterator[Workload]:
    lanes = config.lanes

    def workload(label: str, x: np.ndarray, *, corner: bool = True) -> Workload:
        x = np.asarray(x)
        return Workload(label, {"x": x if x.ndim == 2 else x[None]}, corner=corner)

    yield workload("one element", _draw(config, rng, (1, 1)))
    yield workload("frames of one beat", _draw(config, rng, (9, lanes)))
    yield workload("one beyond a beat", _draw(config, rng, (5, lanes + 1)))
    if isinstance(config.x, FloatFormat):
        x = config.x
        special = [0.0, -0.0, np.inf, -np.inf, x.high, x.low, x.smallest_normal,
                   -x.smallest_subnormal, 1.0, -1.0]
        yield workload("infinities, ends", special)
        yield workload("NaN", [np.nan, 1.0, -np.nan])
        codes = rng.integers(0, 1 << x.bits, (1, 300))
        yield workload("any finite code", decode(x, np.where(invalid(x, codes), 0, codes)))
        near = 2.0**np.arange(-14, 7)
        steps = np.ldexp(1.0, -x.fraction_bits) * np.arange(-2, 3)
        near = (near[:, None] * (1 + steps)).ravel()
        yield workload("around powers of 2", np.concatenate([near, -near]))
    else:
        low, high = config.x.code_low, config.x.code_high
        yield workload("ends", [low, low + 1, -1 if low else 1, 0, 1, high - 1, high])
        yield workload("all through", np.linspace(low, high, min(high - low + 1, 512)).astype(int))
        yield workload("around segments", _around_segments(config))
    while True:
        shape = int(rng.integers(1, 5)), int(rng.integers(1, 20 * lanes))
        yield workload(f"random {shape[0]}x{shape[1]}", _draw(config, rng, shape), corner=False)


def _around_segments(config: ActivationConfig) -> np.ndarray:
    """The first and the last inputs of some segments."""
    if config.implementation == "integer" or config.function == "exp":
        unit = max(round(math.log(2) * 2**config.x_fraction), 1)
        count = 24
    else:
        unit = 1 << config.x_fraction - config.segment_fraction
        count = config.segments + 1
    starts = unit * np.unique(np.linspace(0, count, 60).astype(int))
    near = (starts[:, None] + np.arange(-2, 2)).ravel()
    return np.clip(np.concatenate([near, -near]), config.x.code_low, config.x.code_high)


def _draw(config: ActivationConfig, rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """Mostly where the function bends."""
    x = rng.normal(0, 2.0**rng.integers(-3, 4), shape)
    if isinstance(config.x, FloatFormat):
        return x
    low, high = config.x.code_low, config.x.code_high
    if rng.random() < 0.3:
        return rng.integers(low, high, shape, endpoint=True)
    return np.clip(np.rint(np.ldexp(x, config.x_fraction)), low, high).astype(np.int64)


MODEL = ActivationModel()
