"""The activation model against float64 on every input of 16 bits, published numbers, messages."""

import math
import re

import numpy as np
import pytest

from systolith.hdl.activation.config import ActivationConfig
from systolith.hdl.activation.curves import CURVES
from systolith.hdl.errors import ConfigError, Error
from systolith.hdl.formats import FloatFormat
from systolith.sim.activation import MODEL
from systolith.sim.formats import decode, invalid
from systolith.sim.model import Workload

EDGE_MOE = {"x_format": "int32", "x_fraction": 22, "y_format": "int32", "y_fraction": 22,
            "segments": 176, "segment_fraction": 5, "fit": "endpoints", "precision": 22}
_erfc = np.vectorize(math.erfc, [float])
EXACT = {
    "gelu": lambda x: x * _erfc(-x / math.sqrt(2)) / 2,
    "silu": lambda x: x / (1 + np.exp(-x)),
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "tanh": np.tanh,
    "exp": np.exp,
}


def run(config, x):
    result = MODEL.golden(config, MODEL.check(config, Workload("", {"x": [x]})))
    return result["y"][0], result["flags"]


def every(config):
    """Every finite x, in float64 and as a user passes it."""
    if isinstance(config.x, FloatFormat):
        codes = np.arange(1 << config.x.bits)
        values = decode(config.x, codes[~invalid(config.x, codes)])
        return values, values
    x = np.arange(config.x.code_low, config.x.code_high + 1)
    return np.ldexp(x.astype(float), config.x.lsb_exponent), x


def worth(config, y):
    return y.astype(float) if isinstance(config.y, FloatFormat) else \
        np.ldexp(y.astype(float), config.y.lsb_exponent)


def errors(config):
    """Differences from float64 where y is in range, and the values there."""
    x, given = every(config)
    y, _ = run(config, given)
    with np.errstate(over="ignore"):
        exact = EXACT[config.function](x)
    inside = (exact >= config.y.low) & (exact <= config.y.high)
    if config.implementation == "integer" and config.function == "exp":
        inside &= x <= 0
    return np.abs(worth(config, y)[inside] - exact[inside]), exact[inside]


def flag(config, name):
    return 1 << [flag for flag, _ in config.flags].index(name)


@pytest.mark.parametrize("x_format, y_format", [
    ("int8", "int8"), ("int12", "uint12"),
    *(pytest.param(*pair, marks=pytest.mark.nightly) for pair in (
        ("int16", "int16"), ("bf16", "bf16"), ("fp16", "fp16"), ("bf16", "int8"),
        ("uint8", "bf16")))])
@pytest.mark.parametrize("implementation", ["table", "piecewise", "polynomial"])
@pytest.mark.parametrize("function", EXACT)
def test_every_input_is_within_the_stated_error(function, implementation, x_format, y_format):
    config = ActivationConfig.parse({"function": function, "implementation": implementation,
                                     "x_format": x_format, "y_format": y_format})
    error, exact = errors(config)
    absolute, relative = config.max_error
    assert (error <= absolute + relative * np.abs(exact)).all()
    # The bound says something: a tenth of it is not enough.
    assert (error > (absolute + relative * np.abs(exact)) / 10).any()


@pytest.mark.parametrize("x_fraction", [4, 8, 12])
def test_integer_exp_is_within_the_stated_error(x_fraction):
    config = ActivationConfig.parse({"function": "exp", "implementation": "integer",
                                     "x_format": "int16", "x_fraction": x_fraction,
                                     "y_format": "uint16", "y_fraction": 15})
    error, _ = errors(config)
    assert error.max() <= config.max_error[0]


def test_integer_gelu_has_the_published_error():
    config = ActivationConfig.parse({"implementation": "integer", "x_format": "int16",
                                     "x_fraction": 12, "y_format": "int16", "y_fraction": 12})
    error, _ = errors(config)
    assert 0.0180 < error.max() < 0.0186
    assert config.erf_shift == 10


def test_edge_moe_table():
    config = ActivationConfig.parse(EDGE_MOE)
    x = np.array([0.75, -0.75]) * 2**22
    x = [*x.astype(int), 4236247, -13841204, 1 << 30, -1 << 30]
    y, flags = run(config, x)
    assert y.tolist() == [2432820, -712908, 3574447, -6698, 1 << 30, 0]
    assert flags == 0
    # The ends of 176 lines are 177 entries; the largest error lies between them.
    assert config.curve_segments.count == 176 and config.curve_segments.stop == 5.5 * 2**22
    x = np.arange(-6 * 2**22, 6 * 2**22, 331)
    error = np.abs(run(config, x)[0] / 2**22 - EXACT["gelu"](x / 2**22)).max()
    assert 9.6e-5 < error < 9.77e-5 < config.max_error[0] < 1e-4


@pytest.mark.nightly
def test_edge_moe_table_on_every_input():
    config = ActivationConfig.parse(EDGE_MOE)
    largest = 0.0
    for start in range(-6 * 2**22, 6 * 2**22, 1 << 20):
        x = np.arange(start, start + (1 << 20))
        y = run(config, x)[0]
        largest = max(largest, np.abs(y / 2**22 - EXACT["gelu"](x / 2**22)).max())
    assert largest < config.max_error[0] < 1e-4


@pytest.mark.parametrize("function", CURVES)
def test_slopes_of_the_differences(function):
    curve = CURVES[function]
    u = np.linspace(0, 16, 16001)
    values = np.array([curve.difference(each) for each in u])
    x = np.concatenate([-u[::-1], u])
    limit = np.maximum(x, 0) if curve.rectified else np.where(x >= 0, 1, -1.0 if curve.odd else 0)
    sign = 1 if curve.rectified else np.where(x >= 0, 1, -1)
    together = limit - sign * np.concatenate([values[::-1], values])
    assert np.abs(together - EXACT[function](x)).max() < 1e-15 * 16
    for bound in curve.slopes:
        values = np.gradient(values, u[1])
        assert np.abs(values[4:-4]).max() <= bound <= 1.02 * np.abs(values[4:-4]).max()


@pytest.mark.parametrize("function", EXACT)
@pytest.mark.parametrize("name", ["bf16", pytest.param("fp16", marks=pytest.mark.nightly)])
def test_floats_keep_their_digits(function, name):
    """Not only the absolute error: near 0, gelu, silu and tanh are within 2 units of y."""
    config = ActivationConfig.parse({"function": function, "implementation": "polynomial",
                                     "x_format": name, "y_format": name})
    error, exact = errors(config)
    absolute, relative = config.max_error
    assert (error <= absolute + relative * np.abs(exact)).all()
    x, _ = every(config)
    x = x[(x > -1) & (x < 10) & (np.abs(x) >= config.x.smallest_normal * 2)]
    y, _ = run(config, x)
    exact = EXACT[function](x.astype(float))
    inside = np.abs(exact) <= config.y.high
    assert (np.abs(y / exact - 1)[inside] <= 2.0**-config.y.fraction_bits).all()


@pytest.mark.parametrize("function, at_nan, at_inf, at_minus_inf, zero", [
    ("gelu", np.nan, np.inf, 0, 0), ("silu", np.nan, np.inf, 0, 0), ("sigmoid", np.nan, 1, 0, 0.5),
    ("tanh", np.nan, 1, -1, 0), ("exp", np.nan, np.inf, 0, 1)])
@pytest.mark.parametrize("name", ["bf16", "fp16"])
def test_what_is_no_number(function, at_nan, at_inf, at_minus_inf, zero, name):
    config = ActivationConfig.parse({"function": function, "x_format": name, "y_format": name})
    for x, y, raised in ((np.nan, at_nan, ["nan"]), (np.inf, at_inf, ["infinite"]),
                         (-np.inf, at_minus_inf, ["infinite"]), (0.0, zero, [])):
        result, flags = run(config, [x])
        np.testing.assert_array_equal(result, [y])
        assert flags == sum(flag(config, each) for each in raised)
    integers = ActivationConfig.parse({"function": function, "x_format": name, "y_format": "int8",
                                       "y_fraction": 5})
    result, flags = run(integers, [np.nan])
    assert result == zero * 32 and flags == flag(integers, "nan")
    result, flags = run(integers, [-np.inf])
    assert result == at_minus_inf * 32 and flags == flag(integers, "infinite")


def test_saturation_is_flagged():
    config = ActivationConfig.parse({"x_fraction": 2, "y_fraction": 4})
    assert run(config, [31, 32, 100])[0].tolist() == [124, 127, 127]
    assert run(config, [32])[1] == flag(config, "y_saturated") and run(config, [31])[1] == 0
    floats = ActivationConfig.parse({"function": "exp", "x_format": "bf16", "y_format": "fp16"})
    y, flags = run(floats, [11.0, 12.0])
    assert np.isfinite(y[0]) and y[1] == np.inf and flags == flag(floats, "y_saturated")
    powers = ActivationConfig.parse({"function": "exp", "implementation": "integer",
                                     "y_fraction": 6})
    y, flags = run(powers, [5, 0])
    assert y.tolist() == [64, 64] and flags == flag(powers, "x_positive")


def test_utilization():
    config = ActivationConfig.parse({})
    workload = MODEL.check(config, Workload("", {"x": np.zeros((1, 4000), int)}))
    cycles = MODEL.cycles(config, workload)
    assert cycles == 1000 + MODEL.cycles(config, MODEL.check(
        config, Workload("", {"x": [[1]]}))) - 1
    assert MODEL.utilization(config, workload, cycles) > 0.97


@pytest.mark.parametrize("values, message", [
    ({"x_format": "int33"}, "x_format: must be int2…int32, uint2…uint32, bf16 or fp16, not "
                            "'int33'"),
    ({"y_format": "fp32"}, "y_format: must be int2…int32, uint2…uint32, bf16 or fp16, not 'fp32'"),
    ({"implementation": "integer", "function": "silu"},
     "implementation integer is for function gelu or exp, not 'silu'"),
    ({"implementation": "integer", "x_format": "bf16"},
     "x_format must be int2…int16 for implementation integer, not 'bf16'"),
    ({"implementation": "integer", "y_format": "bf16"},
     "y_format must be an integer for implementation integer, not 'bf16'"),
    ({"implementation": "integer", "precision": 8}, "precision is not for implementation integer"),
    ({"erf_shift": 8}, "erf_shift is for implementation integer of function gelu only"),
    ({"function": "exp", "segments": 8},
     "segments is not for function exp or implementation integer"),
    ({"implementation": "table", "fit": "endpoints"},
     "fit endpoints is for implementation piecewise only, and not for function exp"),
    ({"y_format": "bf16", "y_fraction": 4}, "y_fraction is not for y_format bf16"),
    ({"function": "exp", "implementation": "table", "precision": 13},
     "precision must be at most 12 for a table of exp, not 13"),
    ({"x_fraction": 9}, "x_fraction must be at most the 8 bits of x_format, not 9"),
    ({"segment_fraction": 5}, "segment_fraction must be at most x_fraction = 4, not 5"),
    ({"segment_fraction": 2, "segments": 33},
     "segments must be at most 32, all that |x| can reach, not 33"),
    ({"lanes": 65}, "lanes must be at most 64, not 65"),
])
def test_config_messages(values, message):
    with pytest.raises(ConfigError, match=f"^{re.escape(message)}$"):
        ActivationConfig.parse(values)


@pytest.mark.parametrize("values, arguments, message", [
    ({}, {"x": [[200]]}, "x must hold int8 values, -128 to 127, not 200 at [0, 0]"),
    ({}, {"y": [[1]]}, "unknown argument 'y'; arguments are x"),
    ({"x_format": "fp16"}, {"x": [1.0]},
     "x must be an array of shape (R, L), every size at least 1, not of shape (1,)"),
])
def test_messages(values, arguments, message):
    with pytest.raises(Error, match=f"^{re.escape(message)}$"):
        MODEL.check(ActivationConfig.parse(values), Workload("", arguments))
