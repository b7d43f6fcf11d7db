"""The gating model against float64, and what it refuses."""

import re

import numpy as np
import pytest

from systolith.hdl.errors import ConfigError, Error
from systolith.hdl.gating.config import GatingConfig
from systolith.sim.gating import MODEL
from systolith.sim.model import Workload


def run(config, **arguments):
    return MODEL.golden(config, MODEL.check(config, Workload("", arguments)))


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def recurrence(f, i, b=0.0):
    h, states = 0.0, []
    for gate, new in zip(b + (1 - b) * sigmoid(f), i * sigmoid(i), strict=True):
        h = gate * h + (1 - gate) * new
        states.append(h)
    return np.array(states)


@pytest.mark.parametrize("implementation", ["table", "piecewise", "polynomial"])
@pytest.mark.parametrize("bound", ["none", "stream"])
def test_the_recurrence_follows_float64(implementation, bound):
    config = GatingConfig.parse({"implementation": implementation, "lower_bound": bound})
    rng = np.random.default_rng(1)
    f, i = rng.normal(0, 2, (2, 100, 60))
    f, i = (np.rint(x * 2**config.x_fraction).astype(int) for x in (f, i))
    b = rng.integers(0, config.bound.code_high + 1, 60)
    result = run(config, f=f, i=i, **({"b": b} if config.bounded else {}))
    unit = 2.0**-config.x_fraction
    exact = recurrence(f * unit, i * unit, b / 2**config.precision if config.bounded else 0.0)
    # A gate close to 1 sums up the errors of as many tokens as it remembers.
    error = np.abs(result["h"] * 2.0**-config.y_fraction - exact)
    coarse = 40 if implementation == "table" else 8
    assert error.max() < coarse * 2.0**-config.y_fraction and np.median(error) < 2.0**-10
    assert result["flags"] == 0 and result["h"].dtype == np.int32


def test_a_product_is_within_little_more_than_half_a_unit():
    config = GatingConfig.parse({"unit": "glu", "x_fraction": 12, "y_fraction": 9, "precision": 16})
    rng = np.random.default_rng(2)
    g, u = (rng.integers(-1 << 15, 1 << 15, (4, 500)) for _ in range(2))
    exact = (g / 4096) * sigmoid(g / 4096) * (u / 4096) * 512
    inside = np.abs(exact) < 32767
    result = run(config, g=g, u=u)
    assert np.abs(result["y"] - exact)[inside].max() <= 0.5 + 8 * 512 * 2.0**-16
    assert inside.all() == (result["flags"] == 0)


def test_every_state_lies_between_the_one_before_and_silu():
    config = GatingConfig.parse({"x_format": "int8", "y_format": "int8", "y_fraction": 3})
    assert "h_saturated" not in dict(config.flags)
    rng = np.random.default_rng(3)
    f, i = (rng.integers(-128, 128, (200, 50)) for _ in range(2))
    h = run(config, f=f, i=i)["h"].astype(float)
    new = i / 8 * sigmoid(i / 8) * 8
    before = np.vstack([np.zeros(50), h[:-1]])
    assert (h <= np.maximum(before, new) + 0.75).all()
    assert (h >= np.minimum(before, new) - 0.75).all()


def test_sequences_begin_from_nothing():
    config = GatingConfig.parse({"lanes": 2})
    rng = np.random.default_rng(4)
    f, i = (rng.integers(-5000, 5000, (7, 5)) for _ in range(2))
    together = run(config, f=f, i=i, starts=[1, 0, 0, 1, 0, 1, 0])["h"]
    for start, stop in ((0, 3), (3, 5), (5, 7)):
        assert (together[start:stop] == run(config, f=f[start:stop], i=i[start:stop])["h"]).all()
    assert (together[3:] != run(config, f=f, i=i)["h"][3:]).any()


def test_a_state_beyond_its_format_saturates_and_is_flagged():
    config = GatingConfig.parse({"x_format": "int8", "x_fraction": 2, "y_format": "int8",
                                 "y_fraction": 4})
    f, i = np.full((2, 1), -128), np.array([[100], [10]])
    result = run(config, f=f, i=i)
    assert result["h"].tolist() == [[127], [37]]
    assert result["flags"] == 1 << [name for name, _ in config.flags].index("h_saturated")


@pytest.mark.parametrize("values, message", [
    ({"unit": "glu", "max_channels": 9}, "max_channels is for unit mlgru only; glu keeps no state"),
    ({"unit": "glu", "lower_bound": "stream"}, "lower_bound is for unit mlgru only, not for glu"),
    ({"x_format": "uint8"}, "x_format: must be int4…int16, not 'uint8'"),
    ({"y_format": "bf16"}, "y_format: must be int4…int24, not 'bf16'"),
    ({"x_format": "int8", "x_fraction": 8},
     "x_fraction must be at most 7 for x_format int8, not 8"),
    ({"y_format": "int8", "y_fraction": 8},
     "y_fraction must be at most 7 for y_format int8, not 8"),
])
def test_impossible_configs(values, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        GatingConfig.parse(values)


@pytest.mark.parametrize("arguments, message", [
    ({"f": [[1]]}, "argument 'i' is missing; arguments are f, i, b, starts"),
    ({"f": [[1, 2]], "i": [[1]], "b": [0, 0]}, "i has shape (1, 1) and f (1, 2); i must be (1, 2)"),
    ({"f": [[1, 2]], "i": [[1, 2]], "b": [0]},
     "b has shape (1,) and f (1, 2); b must be (2,) or (1, 2)"),
    ({"f": [[1]], "i": [[1]], "b": [8192]}, "b must hold uint13 values, 0 to 8191, not 8192"),
    ({"f": [[1] * 9], "i": [[1] * 9], "b": [0] * 9}, "f has 9 channels; max_channels is 8"),
    ({"f": [[1], [1]], "i": [[1], [1]], "b": [0], "starts": [1]},
     "starts has 1 values and f 2 tokens"),
    ({"f": [[1]], "i": [[1]], "b": [0], "starts": [0]},
     "starts must be 1 for the first token, not 0"),
    ({"f": [[0.5]], "i": [[1]], "b": [0]}, "f must hold integers, not float64"),
])
def test_wrong_arguments(arguments, message):
    config = GatingConfig.parse({"max_channels": 8, "lower_bound": "stream"})
    with pytest.raises(Error, match=re.escape(message)):
        run(config, **arguments)
