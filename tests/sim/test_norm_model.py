"""The normalization model against float64, and what it refuses."""

import re

import numpy as np
import pytest

from systolith.hdl.errors import ConfigError, Error
from systolith.hdl.norm.config import NormConfig
from systolith.sim.model import Workload
from systolith.sim.norm import MODEL


def exact(x, kind, epsilon, w=1.0, b=0.0):
    """float64, from the definition."""
    centered = x - x.mean(axis=1, keepdims=True) if kind == "layer" else x
    return centered / np.sqrt((centered**2).mean(axis=1, keepdims=True) + epsilon) * w + b


def run(config, **arguments):
    workload = MODEL.check(config, Workload("", arguments))
    return MODEL.golden(config, workload)


@pytest.mark.parametrize("kind", ["layer", "rms"])
@pytest.mark.parametrize("length", [1, 2, 7, 64, 768])
def test_int8_is_within_a_little_more_than_half_a_unit(kind, length):
    config = NormConfig.parse({"max_length": 768, "w_fraction": 10, "b_fraction": 11})
    rng = np.random.default_rng(length)
    x = np.rint(rng.normal(5, 30, (50, length))).clip(-128, 127).astype(int)
    w, b = rng.integers(-1024, 1024, length), rng.integers(-1024, 1024, length)
    result = run(config, x=x, w=w, b=b, kind=kind, epsilon=0.01)
    reference = exact(x, kind, 0.01, w / 1024, b / 2048) * 32
    inside = np.abs(reference) < 127
    error = np.abs(result["y"] - reference)[inside]
    # A normalized element of √length has an error of √length · 2^−precision.
    assert error.max() <= 0.5 + 32 * (1 + np.sqrt(length)) * 2.0**-config.precision
    assert result["y"].dtype == np.int32
    saturated = 1 << [name for name, _ in config.flags].index("y_saturated")
    assert result["flags"] in ((0,) if inside.all() else (0, saturated))


@pytest.mark.parametrize("kind", ["layer", "rms"])
@pytest.mark.parametrize("scale", [0.1, 1, 30])
def test_bf16_is_within_a_little_more_than_half_a_unit(kind, scale):
    config = NormConfig.parse({"x_format": "bf16", "x_fraction": 16, "y_format": "bf16",
                               "affine": "none", "fixed_bits": 28})
    x = np.random.default_rng(4).normal(1, 1, (20, 512)) * scale
    rounded = x.astype(np.float32).view(np.uint32) + 0x7FFF
    x = (rounded & 0xFFFF0000).view(np.float32).astype(float)      # numbers of bf16
    result = run(config, x=x, kind=kind, epsilon=1e-5)
    reference = exact(x, kind, 1e-5)
    error = np.abs(result["y"] - reference)
    assert (error <= np.abs(reference) * 2.0**-8 * 1.15 + 3 * 2.0**-config.precision).all()
    assert result["flags"] == 0 and result["y"].dtype == np.float32


def test_16_bits():
    config = NormConfig.parse({"x_format": "int16", "x_fraction": 10, "y_format": "int16",
                               "y_fraction": 12, "affine": "weight", "w_fraction": 12})
    x = np.random.default_rng(5).integers(-1 << 15, 1 << 15, (10, 300))
    w = np.full(300, 4096)
    y = run(config, x=x, w=w, epsilon=1e-3)["y"]
    assert np.abs(y - exact(x / 1024, "layer", 1e-3) * 4096).max() <= 0.7


def test_scaling_the_row_changes_nothing_but_the_rounding():
    config = NormConfig.parse({"affine": "none"})
    x = np.random.default_rng(6).integers(-30, 31, (10, 100))
    assert (run(config, x=x, epsilon=0)["y"] == run(config, x=4 * x, epsilon=0)["y"]).all()


def test_parameters_of_each_row():
    config = NormConfig.parse({})
    x = np.random.default_rng(7).integers(-99, 99, (3, 8))
    w, b = np.arange(24).reshape(3, 8) * 100, np.arange(24).reshape(3, 8) * 50
    together = run(config, x=x, w=w, b=b)["y"]
    for row in range(3):
        one = run(config, x=x[row:row + 1], w=w[row], b=b[row])["y"]
        assert (together[row] == one[0]).all()


def flag(config, name):
    return 1 << [flag for flag, _ in config.flags].index(name)


def test_rows_without_spread_give_the_bias_and_a_flag():
    config = NormConfig.parse({"b_fraction": 4})
    for x, kind in ((7, "layer"), (0, "rms")):
        result = run(config, x=np.full((1, 5), x), w=np.full(5, 1 << 12), b=np.arange(5) * 16,
                     kind=kind, epsilon=0)
        assert result["y"].tolist() == [[0, 32, 64, 96, 127]]          # 128 saturates
        assert result["flags"] & flag(config, "flat")
    assert not run(config, x=[[7, 7]], w=[1, 1], b=[0, 0], epsilon=1e-30)["flags"]


def test_what_is_no_number_counts_as_zero():
    config = NormConfig.parse({"x_format": "bf16", "affine": "none", "x_fraction": 12})
    bad = run(config, x=[[np.nan, 1, np.inf, 2, -np.inf]])
    good = run(config, x=[[0.0, 1, 0, 2, 0]])
    assert (bad["y"] == good["y"]).all()
    assert (bad["flags"], good["flags"]) == (flag(config, "invalid"), 0)
    far = run(config, x=[[1e9, 0, 0]])
    assert far["flags"] == flag(config, "x_saturated")
    assert (far["y"] == run(config, x=[[2047.0, 0, 0]])["y"]).all()


def test_utilization():
    config = NormConfig.parse({"affine": "none"})
    workload = MODEL.check(config, Workload("", {"x": np.ones((1000, 768), int)}))
    cycles = MODEL.cycles(config, workload)
    assert cycles == 1001 * 192 + MODEL.cycles(config, MODEL.check(
        config, Workload("", {"x": [[1]]}))) - 2
    assert MODEL.utilization(config, workload, cycles) > 0.998


@pytest.mark.parametrize("values, arguments, message", [
    ({}, {"x": [[1]]}, "argument 'w' is missing; arguments are x, w, b, kind, epsilon"),
    ({"affine": "none"}, {"x": [[200]]}, "x must hold int8 values, -128 to 127, not 200 at [0, 0]"),
    ({"affine": "none", "max_length": 3}, {"x": [[1] * 4]},
     "x has rows of 4 elements; max_length is 3"),
    ({"affine": "weight"}, {"x": [[1, 2]], "w": [1, 2, 3]},
     "w has shape (3,) and x (1, 2); w must be (2,) or (1, 2)"),
    ({"affine": "none"}, {"x": [[1]], "kind": "batch"}, "kind must be 'layer' or 'rms', not "
                                                        "'batch'"),
    ({"affine": "none"}, {"x": [[1]], "epsilon": -1}, "epsilon must be a number of at least 0, "
                                                      "not -1"),
    ({"affine": "none", "max_length": 1}, {"x": [[1]], "epsilon": 1e6},
     "epsilon must be at most 32768 for rows of 1, not 1000000.0"),
    ({"affine": "none", "x_format": "bf16"}, {"x": [1.0]},
     "x must be an array of shape (R, L), every size at least 1, not of shape (1,)"),
    ({"affine": "none", "x_format": "bf16"}, {"x": [["a"]]}, "x must hold numbers, not <U1"),
])
def test_messages(values, arguments, message):
    with pytest.raises(Error, match=f"^{re.escape(message)}$"):
        MODEL.check(NormConfig.parse(values), Workload("", arguments))


@pytest.mark.parametrize("values, message", [
    ({"x_format": "int17"}, "x_format: must be int2…int16, uint2…uint16 or bf16, not 'int17'"),
    ({"y_format": "uint8"}, "y_format: must be int2…int16 or bf16, not 'uint8'"),
    ({"w_format": "bf16"}, "w_format: must be int2…int16, not 'bf16'"),
    ({"fixed_bits": 20}, "fixed_bits is for x_format bf16 only; integers keep their width"),
    ({"y_format": "bf16", "y_fraction": 2}, "y_fraction is not for y_format bf16"),
    ({"lanes": 65}, "lanes must be at most 64, not 65"),
])
def test_config_messages(values, message):
    with pytest.raises(ConfigError, match=f"^{re.escape(message)}$"):
        NormConfig.parse(values)
