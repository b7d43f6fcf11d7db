"""The ternary model against BitLinear in float64, plain products and the definition of a byte."""

import itertools
import re
from itertools import islice

import numpy as np
import pytest

from systolith.hdl.errors import ConfigError, Error
from systolith.hdl.ternary.config import TernaryConfig
from systolith.sim.model import Workload
from systolith.sim.ternary import MODEL, pack, unpack

INT8 = {"rows": 4, "max_k": 60}
BITLINEAR = {**INT8, "a_format": "int16"}
SCALED = {**INT8, "output": "scaled"}


def call(values, **given):
    config = TernaryConfig.parse(values)
    workload = MODEL.check(config, Workload("", given))
    return config, workload, MODEL.golden(config, workload)


def test_bytes_of_five_weights():
    """Every five weights; first in the order of their byte, which ends at 242."""
    weights = [t[::-1] for t in itertools.product((-1, 0, 1), repeat=5)]
    packed = pack("base3", np.array(weights))
    assert packed[:, 0].tolist() == [*range(243)]
    assert packed[0, 0] == sum((t + 1) * 3**i for i, t in enumerate(weights[0]))
    np.testing.assert_array_equal(unpack("base3", packed), weights)
    assert not unpack("base3", np.arange(243, 256)[:, None]).any()


def test_bytes_of_four_weights():
    weights = np.array(list(itertools.product((-1, 0, 1), repeat=4)))
    packed = pack("2bit", weights)
    assert pack("2bit", np.array([[0, 1, -1, 0]]))[0, 0] == 0b00_11_01_00
    np.testing.assert_array_equal(unpack("2bit", packed), weights)
    assert unpack("2bit", np.array([[0b11_10_01_00]])).tolist() == [[0, 1, 0, -1]]


def test_a_weight_takes_1_6_bits():
    assert pack("base3", np.ones((1, 2560), int)).size * 8 / 2560 == 1.6
    assert pack("2bit", np.ones((1, 2560), int)).size * 8 / 2560 == 2


@pytest.mark.parametrize("packing", ["base3", "2bit"])
def test_plain_products(packing):
    rng = np.random.default_rng(1)
    a, w = rng.integers(-128, 128, (3, 57)), rng.integers(-1, 2, (10, 57))
    _, _, result = call({**INT8, "packing": packing}, a=a, w=w)
    np.testing.assert_array_equal(result["y"], a @ w.T)
    _, _, same = call({**INT8, "packing": packing}, a=a, packed=pack(packing, w))
    np.testing.assert_array_equal(same["y"], a @ w.T)


def bitlinear(x, w):
    """Quantization and sums of BitLinear as published, without normalization and weight scale."""
    scale = 127 / np.maximum(np.abs(x).max(axis=-1, keepdims=True), 1e-5)
    return np.clip(np.rint(x * scale), -128, 127) @ w.T / scale


def test_quantized_activations_are_those_of_bitlinear():
    rng = np.random.default_rng(2)
    # A power of two as the largest: 127 / max |x| is exact nowhere, but no product is a tie.
    a = np.clip(rng.normal(0, 3000, (5, 57)), -8191, 8191).astype(int)
    a[:, 3] = 8192
    w = rng.integers(-1, 2, (9, 57))
    _, _, result = call(BITLINEAR, a=a, w=w)
    np.testing.assert_allclose(result["y"], bitlinear(a.astype(float), w), rtol=1e-12)
    np.testing.assert_array_equal(np.rint(result["y"] * 127), result["sums"])


def test_ties_of_the_quantizer_go_to_even_and_zeros_stay():
    _, _, result = call(BITLINEAR, a=[[254, 1, 3, 5], [0, 0, 0, 0], [-254, -1, -3, 0]],
                        w=np.eye(4, dtype=int))
    np.testing.assert_array_equal(result["sums"] // [[254], [1], [254]],
                                  [[127, 0, 2, 2], [0] * 4, [-127, 0, -2, 0]])


def test_error_of_quantized_activations():
    """Half a step for each activation at most."""
    rng = np.random.default_rng(3)
    a, w = rng.integers(-32768, 32768, (4, 60)), rng.integers(-1, 2, (8, 60))
    _, _, result = call(BITLINEAR, a=a, w=w)
    step = np.abs(a).max(1, keepdims=True) / 127
    assert (np.abs(result["y"] - a @ w.T) <= step / 2 * np.abs(w).sum(1)).all()


@pytest.mark.parametrize("a_format, reach", [("int8", 128), ("int16", 32768)])
def test_scaled_results(a_format, reach):
    """Within half a unit and the rounding of the scale."""
    rng = np.random.default_rng(4)
    a, w = rng.integers(-reach, reach, (4, 60)), rng.integers(-1, 2, (8, 60))
    scale = np.repeat(rng.uniform(1000, 4000, 2) / reach, 4)
    _, _, raw = call({**INT8, "a_format": a_format}, a=a, w=w)
    _, _, result = call({**SCALED, "a_format": a_format}, a=a, w=w, scale=scale)
    exact = np.clip(raw["y"] * scale, -32768, 32767)
    assert (np.abs(result["y"] - exact) <= 0.5 + np.abs(exact) * 2**-15).all()
    _, _, result = call({**SCALED, "a_format": a_format}, a=a, w=w, scale=2.0**14)
    assert set(result["y"].ravel().tolist()) <= {-32768, 0, 32767} or a_format == "int8"


def test_rounding_is_to_nearest_even():
    _, _, result = call(SCALED, a=[[1, 2, 3, 5]], w=np.eye(4, dtype=int), scale=0.5)
    assert result["y"].tolist() == [[0, 1, 2, 2]]
    _, _, result = call(SCALED, a=[[1, 2, 3, 5]], w=-np.eye(4, dtype=int), scale=0.5)
    assert result["y"].tolist() == [[0, -1, -2, -2]]


@pytest.mark.parametrize("values", [INT8, BITLINEAR, SCALED, {**SCALED, "packing": "2bit"}],
                         ids=str)
def test_driver(values):
    """Products of the beats; what comes back is what went out."""
    config = TernaryConfig.parse(values)
    for workload in islice(MODEL.stimulus(config, np.random.default_rng(2)), 14):
        result = dict(MODEL.golden(config, workload))
        result.pop("flags")
        job = MODEL.pack(config, workload)
        beats = MODEL.expect(config, workload, result)["y"]
        assert len(beats) == job.outputs["y"] == beats.frames * config.rows
        back = MODEL.unpack(config, workload, {"y": beats.data})
        assert back.keys() == result.keys()
        for name, array in result.items():
            np.testing.assert_array_equal(back[name], array, workload.label)
            assert back[name].dtype == array.dtype
        if values == INT8:
            np.testing.assert_array_equal(_consume(config, job), beats.data.ravel())


def _consume(config, job):
    """Results of the packed beats, row by row."""
    a, w = job.inputs["a"], job.inputs["w"]
    vectors = [part.ravel() for part in np.split(a.data, np.flatnonzero(a.last) + 1)[:-1]]
    found, vector = [], 0
    for frame, user in zip(np.split(w.data, np.flatnonzero(w.last) + 1)[:-1],
                           w.user[w.last].tolist(), strict=True):
        rows = frame.reshape(len(frame), config.rows, -1).swapaxes(0, 1).reshape(config.rows, -1)
        weights = unpack(config.packing, rows)
        padded = np.pad(vectors[vector], (0, weights.shape[1] - len(vectors[vector])))
        found += (weights @ padded).tolist()
        vector += user & 1
    assert vector == len(vectors)
    return found


def test_cycles_of_a_large_product():
    """A word of every row in a cycle, whatever the packing."""
    config = TernaryConfig.parse({"rows": 16, "word": 40, "max_k": 2080})
    workload = MODEL.check(config, Workload("", {"a": np.zeros((1, 2048), int),
                                                 "w": np.zeros((2048, 2048), int)}))
    words = 2048 // 16 * -(-2048 // 40)
    assert MODEL.cycles(config, workload) == words + 2048 // config.a_lanes + 16 + 3 + 8 - 1
    assert MODEL.utilization(config, workload, words) > 0.98


@pytest.mark.parametrize("given, message", [
    ({"a": [[1, 2]], "w": [[1]]}, "a has shape (1, 2) and w has shape (1, 1); a is (V, K), w is "
                                  "(M, K), and the K must be equal"),
    ({"a": [[1]], "w": [[2]]}, "w must hold ternary values, -1 to 1, not 2 at [0, 0]"),
    ({"a": [[200]], "w": [[1]]}, "a must hold int8 values, -128 to 127, not 200 at [0, 0]"),
    ({"a": [[1]]}, "give either w or packed"),
    ({"a": [[1]], "packed": [[1, 2]]}, "packed has 2 bytes in a row; K = 1 takes 1"),
    ({"a": np.ones((1, 61), int), "w": np.ones((1, 61), int)},
     "a has K = 61, more than max_k = 60"),
])
def test_messages(given, message):
    with pytest.raises(Error, match=f"^{re.escape(message)}$"):
        call(INT8, **given)


@pytest.mark.parametrize("scale, message", [
    (None, "argument 'scale' is missing; output is 'scaled'"),
    ("much", "scale must be a number, or one for each row, not 'much'"),
    ([1.0], "scale must be a number or have shape (5,), not (1,)"),
    (-1.0, "scale must be 0, or from 2^-46 to 2^14, not -1"),
    ([1, 1, 2, 1, 1], "scale must be the same for the 4 rows of a frame, not 1 at [0] and 2 at "
                      "[2]"),
])
def test_messages_of_scales(scale, message):
    with pytest.raises(Error, match=f"^{re.escape(message)}$"):
        call(SCALED, a=[[1]], w=np.ones((5, 1), int), scale=scale)


@pytest.mark.parametrize("values, message", [
    ({"word": 12}, "word must be a multiple of 5, not 12"),
    ({"word": 10, "packing": "2bit"}, "word must be a multiple of 4, not 10"),
    ({"max_k": 50}, "max_k must be a multiple of 20, not 50"),
    ({"a_lanes": 3}, "a_lanes must divide word = 20, not 3"),
])
def test_config_messages(values, message):
    with pytest.raises(ConfigError, match=f"^{re.escape(message)}$"):
        TernaryConfig.parse(values)


@pytest.mark.parametrize("seed", range(8))
def test_the_stimulus_has_only_scales_that_are_allowed(seed):
    """Sums of few small activations take large scales."""
    config = TernaryConfig.parse({"output": "scaled", "word": 5, "rows": 1,
                                  "a_lanes": 1, "max_k": 5})
    workloads = MODEL.stimulus(config, np.random.default_rng(seed))
    assert all(MODEL.check(config, workload) for workload in islice(workloads, 200))
