# amaranth: UnusedElaboratable=no
"""I-BERT's integer polynomials: RTL against numpy, error against float64, published numbers."""

import math
import re

import numpy as np
import pytest

from systolith.hdl.arithmetic.config import IntegerExponentialParameters, IntegerGeluParameters
from systolith.hdl.arithmetic.integer_polynomials import IntegerExponential, IntegerGelu
from systolith.sim import functions

EXPONENTIALS = [IntegerExponentialParameters(*values) for values in (
    (10, 1 / 16), (9, 0.0437), (12, 1 / 128), (3, 1.0), (5, 0.6), (4, 1 / 64), (1, 0.3))]
GELUS = [IntegerGeluParameters(*values) for values in (
    (8, 1 / 16, 0), (8, 0.0301, 0), (12, 1 / 256, 4), (3, 1.0, 0), (12, 1 / 4096, 14),
    (7, 0.31, 3))]


def gelu(x):
    return x * (1 + np.vectorize(math.erf)(x / math.sqrt(2))) / 2


@pytest.mark.parametrize("parameters", EXPONENTIALS, ids=str)
def test_exponential_of_every_input(parameters, evaluate):
    n = np.arange(1 << parameters.bits)
    out = evaluate(IntegerExponential(parameters), n=n)
    polynomial, exponent = functions.integer_exponential(parameters, n)
    assert (out["polynomial"] == polynomial).all()
    assert (out["exponent"] == exponent).all()
    value = np.ldexp(polynomial * parameters.unit, -exponent)
    assert np.abs(value - np.exp(-n * parameters.scale)).max() <= parameters.max_error


def test_exponential_of_published_numbers():
    parameters = IntegerExponentialParameters(16, 1 / 16)
    assert (parameters.period, parameters.linear, parameters.constant) == (12, 43, 714)
    polynomial, exponent = functions.integer_exponential(parameters, [0, 1, 8, 40])
    assert polynomial.tolist() == [714, 672, 434, 558]
    assert exponent.tolist() == [0, 0, 0, 3]
    assert int(polynomial[3]) << 30 - int(exponent[3]) == 74893492224


def test_error_of_the_exponential_without_rounding():
    # A small scale leaves nothing but the polynomial: 1.9e-3.
    parameters = IntegerExponentialParameters(16, 2.0**-16)
    n = np.arange(parameters.period)
    polynomial, _ = functions.integer_exponential(parameters, n)
    error = np.abs(polynomial * parameters.unit - np.exp(-n * parameters.scale)).max()
    assert 1.90e-3 < error < 1.92e-3
    assert error <= parameters.max_error < 1.96e-3


@pytest.mark.parametrize("parameters", GELUS, ids=str)
def test_gelu_of_every_input(parameters, evaluate):
    q = np.arange(-1 << parameters.bits - 1, 1 << parameters.bits - 1)
    assert (evaluate(IntegerGelu(parameters), q=q)["y"] == functions.integer_gelu(parameters, q)
            ).all()


@pytest.mark.parametrize("scale, shift, low, high", [
    (2.0**-12, 14, 0.0180, 0.0185), (2.0**-12, 0, 0.0180, 0.0182), (1 / 16, 0, 0.02, 0.024)])
def test_error_of_gelu(scale, shift, low, high):
    parameters = IntegerGeluParameters(18, scale, shift)
    q = np.arange(-round(5 / scale), round(5 / scale))
    y = functions.integer_gelu(parameters, q) * parameters.unit
    error = np.abs(y - gelu(q * scale)).max()
    assert low < error < high


@pytest.mark.parametrize("make, message", [
    (lambda: IntegerExponentialParameters(0, 0.1), "bits must be at least 1, not 0"),
    (lambda: IntegerExponentialParameters(8, 1.5), "scale must be more than 0 and at most 1, not "
                                                   "1.5"),
    (lambda: IntegerGeluParameters(1, 0.1), "bits must be at least 2, not 1"),
    (lambda: IntegerGeluParameters(8, 0), "scale must be more than 0 and at most 1, not 0"),
    (lambda: IntegerGeluParameters(8, 0.1, -1), "shift must be at least 0, not -1"),
])
def test_messages(make, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        make()
