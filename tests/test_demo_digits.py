"""The digits demo: quantization by itself, then the whole job on an injected core."""

from fractions import Fraction
from types import SimpleNamespace

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

import systolith
from systolith.demo import digits as demo
from systolith.demo.quantize import (
    Affine,
    Dense,
    QuantizedDense,
    quantize_multiplier,
    quantize_network,
)
from systolith.hdl.errors import Error


class NumpyCore:
    """TensorFlow Lite's fully connected layer in plain numpy, with made-up cycle counts."""

    def __init__(self, fault=0):
        self.fault = fault
        self.last = None

    def __call__(self, a, w, bias, multiplier, shift, a_zero_point, out_zero_point,
                 clamp_low, clamp_high):
        a, w = a.astype(np.int64), w.astype(np.int64)
        acc = (a - a_zero_point) @ w + bias
        x = np.clip(acc << np.maximum(shift, 0), -2**31, 2**31 - 1) * multiplier.astype(np.int64)
        high = _divide_towards_zero(x + np.where(x >= 0, 2**30, 1 - 2**30), 2**31)
        divisor = 1 << np.maximum(-shift.astype(np.int64), 0)
        y = np.sign(high) * ((2 * np.abs(high) + divisor) // (2 * divisor))
        c = np.clip(y + out_zero_point, clamp_low, clamp_high)
        c.flat[-1] ^= self.fault
        cycles = a.size * w.shape[1] // 32
        self.last = SimpleNamespace(cycles=cycles, utilization=0.5)
        return {"c": c}


def _divide_towards_zero(x, y):
    return np.sign(x) * (np.abs(x) // y)


@pytest.fixture(scope="module")
def digits():
    return demo.load_digits()


@pytest.fixture(scope="module")
def network(digits):
    return demo.train(digits)


@pytest.fixture(scope="module")
def layers(network, digits):
    return quantize_network(network, digits.train)


@given(st.floats(2**-31, 2**30, exclude_max=True))
def test_multiplier_is_the_nearest_of_31_bits(scale):
    multiplier, shift = quantize_multiplier(scale)
    assert 2**30 <= multiplier < 2**31
    assert -31 <= shift <= 31
    step = Fraction(2) ** (shift - 31)
    assert abs(multiplier * step - Fraction(scale)) <= step / 2


@pytest.mark.parametrize(("scale", "expected"), [
    (1.0, (2**30, 1)),
    (0.5, (2**30, 0)),
    (0.75, (3 * 2**29, 0)),
    (1 - 2**-40, (2**30, 1)),                # rounds up to the next power of two
    (2.0**-32, (2**30, -31)),
    (2.0**-33, (0, 0)),                      # no shift reaches it
    (2.0**30, (2**30, 31)),
])
def test_multiplier_at_the_edges(scale, expected):
    assert quantize_multiplier(scale) == expected


@pytest.mark.parametrize("scale", [0.0, -1.0, float("nan"), float("inf"), 2.0**31])
def test_multiplier_refuses(scale):
    with pytest.raises(Error, match=r"^a requantization scale must be .*, not "):
        quantize_multiplier(scale)


@given(st.lists(st.floats(-1e6, 1e6, allow_subnormal=False), min_size=1, max_size=20)
       .filter(lambda values: max(map(abs, values)) == 0 or max(map(abs, values)) > 1e-6))
def test_affine_covers_its_values_and_holds_zero_exactly(values):
    meaning = Affine.covering(np.array(values))
    assert -128 <= meaning.zero_point <= 127
    assert meaning.dequantize(meaning.quantize(np.zeros(1)))[0] == 0
    error = np.abs(meaning.dequantize(meaning.quantize(np.array(values))) - values)
    assert error.max() <= meaning.scale * (1 + 1e-9)


def test_affine_saturates():
    meaning = Affine(scale=0.5, zero_point=3)
    codes = meaning.quantize(np.array([-1e9, 0, 0.5, 1e9]))
    assert codes.tolist() == [-128, 3, 4, 127]


def test_weights_are_scaled_per_column():
    layer = Dense(np.array([[1.27, -127.0, 0.0], [0.5, 50.0, 0.0]]), np.zeros(3), relu=False)
    quantized = QuantizedDense.quantize(layer, Affine(1.0, 0), Affine(1.0, 0))
    assert quantized.weights.tolist() == [[127, -127, 0], [50, 50, 0]]


def test_column_with_tiny_weights_keeps_its_bias():
    layer = Dense(np.array([[1e-20, 1.0, 0.0]]), np.array([-2.5, 0.0, 3.0]), relu=False)
    quantized, = quantize_network([layer], np.array([[-1.0], [1.0]]))
    assert np.all(np.abs(quantized.bias.astype(np.int64)) <= 2**30)
    got = quantized.output.dequantize(quantized(NumpyCore(), np.array([[127], [-128]], np.int8)))
    np.testing.assert_allclose(got[:, [0, 2]], [[-2.5, 3.0]] * 2, atol=quantized.output.scale)


@pytest.mark.parametrize("relu", [False, True])
def test_quantized_layer_follows_the_real_one(relu):
    rng = np.random.default_rng(7)
    layer = Dense(rng.normal(size=(40, 11)), rng.normal(size=11), relu)
    x = rng.uniform(-1, 3, size=(50, 40))
    quantized, = quantize_network([layer], x)
    real = layer(x)
    got = quantized.output.dequantize(quantized(NumpyCore(), quantized.input.quantize(x)))
    # Half a step for each operand, summed over the inputs, and for the output.
    bound = (quantized.input.scale * np.abs(layer.weights).sum(axis=0)
             + np.abs(layer.weights).max(axis=0) / 127 * np.abs(x).sum(axis=1, keepdims=True)) / 2
    assert np.all(np.abs(got - real) <= bound * 1.05 + 1.5 * quantized.output.scale)
    if relu:
        assert got.min() == 0


def test_job_is_deterministic_and_balanced(digits):
    again = demo.load_digits()
    np.testing.assert_array_equal(digits.test, again.test)
    assert digits.test.shape == (demo.TEST_IMAGES, 64)
    assert set(np.bincount(digits.test_labels)) <= {43, 44, 45, 46, 47}


def test_integer_network_is_as_good_as_the_real_one(digits, network, layers):
    x = digits.test
    for layer in network:
        x = layer(x)
    real = demo.accuracy(x, digits.test_labels)
    runs = demo.run(NumpyCore(), layers, digits.test)
    assert real > 0.95
    assert abs(demo.accuracy(runs[-1].outputs, digits.test_labels) - real) <= 0.01


def test_golden_model_computes_the_same_integers(digits, layers):
    core = systolith.load("systolic", rows=8, cols=8, output="requant", backend="golden")
    assert demo.differences(
        [SimpleNamespace(outputs=run.outputs, cycles=0)
         for run in demo.run(NumpyCore(), layers, digits.test)],
        [SimpleNamespace(outputs=run.outputs, cycles=0)
         for run in demo.run(core, layers, digits.test)]) == []


def test_differences_say_which_output(digits, layers):
    golden = demo.run(NumpyCore(), layers[:1], digits.test)
    broken = demo.run(NumpyCore(fault=1), layers[:1], digits.test)
    want, got = golden[0].outputs[-1, -1], broken[0].outputs[-1, -1]
    assert demo.differences(golden, golden) == []
    assert demo.differences(golden, broken) == [
        f"layer 0: 1 of {want.size * golden[0].outputs.size} outputs differ, first "
        f"c[{demo.TEST_IMAGES - 1}, {demo.HIDDEN - 1}]: expected {want}, got {got}"]


def invoke(monkeypatch, rtl, *arguments):
    cores = {"golden": NumpyCore(), "sim": rtl}
    loaded = []

    def load(template, *, backend, **config):
        loaded.append((template, config))
        return cores[backend]

    monkeypatch.setattr(systolith, "load", load, raising=False)
    monkeypatch.setattr(systolith, "Error", Error, raising=False)
    result = CliRunner().invoke(demo.main, arguments)
    assert loaded[0] == loaded[1] == ("systolic", {
        "rows": 8, "cols": 8, "a_format": "int8", "w_format": "int8", "output": "requant"})
    return result


def test_demo_reports_and_draws(monkeypatch, tmp_path):
    picture = tmp_path / "digits.svg"
    result = invoke(monkeypatch, NumpyCore(), "--picture", str(picture))
    assert result.exit_code == 0, result.output
    values = demo.TEST_IMAGES * (demo.HIDDEN + 10)
    assert f"{values:,} of {values:,} values identical" in result.output
    assert "PE utilization" in result.output
    text = picture.read_text()
    assert text.startswith("<svg") and text.endswith("</svg>\n")


def test_demo_fails_on_a_single_wrong_bit(monkeypatch):
    result = invoke(monkeypatch, NumpyCore(fault=1))
    assert result.exit_code == 1
    assert "MISMATCH layer 0: 1 of" in result.output


def test_demo_fails_on_a_wrong_cycle_count(monkeypatch):
    core = NumpyCore()

    def slow(**arguments):
        c = core(**arguments)
        slow.last = SimpleNamespace(cycles=core.last.cycles + 1, utilization=0.5)
        return c

    result = invoke(monkeypatch, slow)
    assert result.exit_code == 1
    assert "MISMATCH layer 0: expected" in result.output
