"""One layer without matrix multiplications: the cores against the models, and against float64."""

import numpy as np
import pytest

from systolith.demo import matmul_free
from systolith.demo.matmul_free import FRACTION, Cores, Layer, Projection

CHANNELS, HIDDEN, TOKENS = 24, 40, 5


@pytest.fixture(scope="module")
def layer():
    return Layer.random(CHANNELS, HIDDEN, 1)


def tokens(count=TOKENS, channels=CHANNELS):
    x = np.random.default_rng(2).normal(size=(count, channels))
    return np.rint(x * 2**FRACTION).astype(int)


def test_the_layer_on_rtl_gives_every_bit_and_cycle_of_the_models(layer):
    x = tokens()
    sizes = {"lanes": 2, "rows": 4, "word": 10}
    want, expected = matmul_free.run(
        Cores.load(CHANNELS, HIDDEN, backend="golden", **sizes), layer, x)
    got, steps = matmul_free.run(Cores.load(CHANNELS, HIDDEN, backend="sim", **sizes), layer, x)
    assert list(matmul_free.differences(expected, steps)) == []
    assert (got == want).all() and {step.core for step in steps} == {
        "norm", "ternary", "mlgru", "glu"}
    other = Layer.random(CHANNELS, HIDDEN, 3)
    _, changed = matmul_free.run(
        Cores.load(CHANNELS, HIDDEN, backend="golden", **sizes), other, x)
    assert list(matmul_free.differences(changed, steps))


def test_the_layer_is_that_of_the_paper(layer):
    """Next to the definition in float64: closer to it than that is to its own float activations."""
    x = tokens(40)
    y, _ = matmul_free.run(Cores.load(CHANNELS, HIDDEN, backend="golden"), layer, x)
    exact = matmul_free.reference(layer, x / 2**FRACTION, quantized=True)
    plain = matmul_free.reference(layer, x / 2**FRACTION, quantized=False)
    error, own = (np.sqrt(((other - exact)**2).mean() / (exact**2).mean())
                  for other in (y / 2**FRACTION, plain))
    assert error < own < 0.01


def test_later_tokens_do_not_change_earlier_ones(layer):
    cores, x = Cores.load(CHANNELS, HIDDEN, backend="golden"), tokens()
    y, _ = matmul_free.run(cores, layer, x)
    first, _ = matmul_free.run(cores, layer, x[:3])
    assert (y[:3] == first).all()
    moved = x.copy()
    moved[0] += 500
    assert (matmul_free.run(cores, layer, moved)[0][4] != y[4]).any()      # the state remembers


def test_projections_are_those_of_the_nearest_ternary_weights():
    found = Projection.of(np.array([[0.1, -0.4, 2.0], [0.5, -0.6, 0.0]]))
    assert found.weights.tolist() == [[0, -1, 1], [1, -1, 0]] and found.scale == pytest.approx(0.6)
    assert Projection.of(np.zeros((2, 2))).weights.tolist() == [[0, 0], [0, 0]]
