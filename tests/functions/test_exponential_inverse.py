# amaranth: UnusedElaboratable=no
"""Exponentials, logarithms, reciprocals and reciprocal square roots: RTL against numpy, error
against float64."""

import re

import numpy as np
import pytest

from systolith.hdl.arithmetic.config import (
    ExponentialParameters,
    InverseParameters,
    LogarithmParameters,
)
from systolith.hdl.arithmetic.exponential import Exponential, FixedExponential
from systolith.hdl.arithmetic.inverse import Inverse
from systolith.hdl.arithmetic.logarithm import Logarithm
from systolith.hdl.formats import IntegerFormat
from systolith.sim import functions


def every(number, step=1):
    return np.arange(number.code_low, number.code_high + 1, step)


POWERS = {
    "2, four-entry table": ExponentialParameters(IntegerFormat(8, True, -2), 15, "2"),
    "2, lines": ExponentialParameters(IntegerFormat(11, False, -9), 8, "2"),
    "2, input cut": ExponentialParameters(IntegerFormat(12, True, -9), 4, "2"),
    "e, lines": ExponentialParameters(IntegerFormat(10, True, -5), 8),
    "e, parabolas": ExponentialParameters(IntegerFormat(10, True, -6), 15),
    "e of integers": ExponentialParameters(IntegerFormat(5, True, 0), 12),
    "e of small numbers": ExponentialParameters(IntegerFormat(8, False, -12), 9),
    "e, table": ExponentialParameters(IntegerFormat(9, True, -5), 7, degree=0),
    "e, parabolas asked for": ExponentialParameters(IntegerFormat(9, True, -5), 7, degree=2),
    "e of multiples of 2": ExponentialParameters(IntegerFormat(6, True, 1), 6),
}


@pytest.mark.parametrize("name", POWERS)
def test_exponential_of_every_input(name, evaluate):
    parameters = POWERS[name]
    x = every(parameters.source)
    out = evaluate(Exponential(parameters), x=x)
    mantissa, exponent = functions.exponential(parameters, x)
    assert (out["mantissa"] == mantissa).all()
    assert (out["exponent"] == exponent).all()


@pytest.mark.parametrize("precision", range(2, 25))
@pytest.mark.parametrize("base, degree", [("2", None), ("e", None), ("e", 0), ("e", 1), ("e", 2)])
def test_exponential_is_within_its_bound(precision, base, degree):
    if degree == 0 and precision > 12:
        pytest.skip("a table would be too large")
    parameters = ExponentialParameters(IntegerFormat(16, True, -11), precision, base, degree)
    x = every(parameters.source)
    mantissa, exponent = functions.exponential(parameters, x)
    assert mantissa.min() >= 1 << precision
    value = np.ldexp(mantissa.astype(float), exponent - precision)
    exact = (np.exp if base == "e" else np.exp2)(x * 2.0**-11)
    error = np.abs(value / exact - 1).max()
    assert error <= parameters.max_relative_error
    assert parameters.max_relative_error <= (1.4 if degree == 0 else 1.1) * 2.0**-precision


def test_four_entries_of_a_base_2_softmax():
    mantissa, _ = functions.exponential(POWERS["2, four-entry table"], np.arange(4))
    assert mantissa.tolist() == [32768, 38968, 46341, 55109]


@pytest.mark.parametrize("nearest", [True, False])
@pytest.mark.parametrize("name, bits", [("2, four-entry table", 15), ("e, lines", 8),
                                        ("e, parabolas", 9), ("e of integers", 0),
                                        ("e of multiples of 2", 5)])
def test_fixed_exponential_of_every_input(name, bits, nearest, evaluate):
    parameters, target = POWERS[name], IntegerFormat(1 + bits, False, -bits)
    x = every(parameters.source)
    x = x[x <= 0]
    part = FixedExponential(parameters, target, nearest=nearest)
    y = functions.fixed_exponential(parameters, target, x, nearest=nearest)
    assert (evaluate(part, x=x)["y"] == y).all()
    power = np.exp2 if parameters.base == "2" else np.exp
    error = y * 2.0**-bits - power(x * 2.0**parameters.source.lsb_exponent)
    assert np.abs(error).max() <= part.max_error


INVERSES = [InverseParameters(*values) for values in (
    (10, 8), (10, 8, True), (9, 4, False, "below"), (9, 4, True, "below"), (10, 12),
    (11, 14, True), (2, 2), (2, 5, True), (7, 3, True), (12, 12, False, "below"))]


@pytest.mark.parametrize("parameters", INVERSES, ids=str)
def test_inverse_of_every_input(parameters, evaluate):
    x = np.arange(1, 1 << parameters.width)
    out = evaluate(Inverse(parameters), x=x)
    mantissa, exponent = functions.inverse(parameters, x)
    assert (out["mantissa"] == mantissa).all()
    assert (out["exponent"] == exponent).all()
    assert not out["zero"].any()
    assert evaluate(Inverse(parameters), x=[0])["zero"].all()


@pytest.mark.parametrize("root", [False, True])
@pytest.mark.parametrize("bound", ["nearest", "below"])
@pytest.mark.parametrize("precision", range(2, 25))
def test_inverse_is_within_its_bound(precision, bound, root):
    if bound == "below" and precision > 13 - root:
        with pytest.raises(ValueError, match=r"^a bound from below is proven for at most"):
            _ = InverseParameters(40, precision, root, bound).segments
        return
    parameters = InverseParameters(40, precision, root, bound)
    random = np.random.default_rng(precision)
    x = np.concatenate([np.arange(1, 1 << 16), 2**np.arange(40), 2**np.arange(1, 41) - 1,
                        random.integers(1, 1 << 40, 100_000)])
    mantissa, exponent = functions.inverse(parameters, x)
    value = np.ldexp(mantissa.astype(float), -exponent - precision - 1)
    exact = x**-0.5 if root else 1.0 / x
    error = value / exact - 1
    if bound == "below":
        # Products of integers of up to 80 bits: beyond what float64 decides.
        wide, high = x.astype(object), mantissa.astype(object)
        if root:
            assert all(high * high * wide <= 1 << 2 * (exponent + precision + 1).astype(object))
        else:
            assert all(high * wide <= 1 << (exponent + precision + 1).astype(object))
        assert error.min() >= -2.0**(1 - precision)
    else:
        assert np.abs(error).max() <= 2.0**-precision


@pytest.mark.parametrize("width, precision", [(10, 8), (5, 12), (2, 2), (11, 5), (12, 14)])
def test_logarithm_of_every_input(width, precision, evaluate):
    parameters = LogarithmParameters(width, precision)
    x = np.arange(1, 1 << width)
    out = evaluate(Logarithm(parameters), x=x)
    got = (out["whole"].astype(np.int64) << precision) + out["fraction"]
    assert (got == functions.logarithm(parameters, x)).all()
    assert not out["zero"].any()
    assert evaluate(Logarithm(parameters), x=[0])["zero"].all()


@pytest.mark.parametrize("precision", range(2, 25))
def test_logarithm_is_within_its_bound(precision):
    parameters = LogarithmParameters(40, precision)
    random = np.random.default_rng(precision)
    x = np.concatenate([np.arange(1, 1 << 16), 2**np.arange(40), 2**np.arange(1, 41) - 1,
                        random.integers(1, 1 << 40, 100_000)])
    error = np.ldexp(functions.logarithm(parameters, x).astype(float), -precision) - np.log2(x)
    assert np.abs(error).max() <= 2.0**-precision


@pytest.mark.nightly
@pytest.mark.parametrize("part", [
    Exponential(ExponentialParameters(IntegerFormat(16, True, -10), 15)),
    Exponential(ExponentialParameters(IntegerFormat(16, True, -12), 8)),
], ids=["15", "8"])
def test_exponential_of_all_16_bit_inputs(part, evaluate):
    x = every(part.parameters.source)
    out = evaluate(part, x=x)
    mantissa, exponent = functions.exponential(part.parameters, x)
    assert (out["mantissa"] == mantissa).all()
    assert (out["exponent"] == exponent).all()


@pytest.mark.nightly
@pytest.mark.parametrize("root", [False, True])
@pytest.mark.parametrize("precision", [8, 12, 16])
def test_inverse_of_all_16_bit_inputs(precision, root, evaluate):
    parameters = InverseParameters(16, precision, root)
    x = np.arange(1, 1 << 16)
    out = evaluate(Inverse(parameters), x=x)
    mantissa, exponent = functions.inverse(parameters, x)
    assert (out["mantissa"] == mantissa).all()
    assert (out["exponent"] == exponent).all()


E8 = ExponentialParameters(IntegerFormat(8, True, -4), 8)


@pytest.mark.parametrize("make, message", [
    (lambda: ExponentialParameters(IntegerFormat(8, True, 0), 8, "2"),
     "2 to the power of an integer needs no function: source must have fraction bits, not "
     "lsb_exponent 0"),
    (lambda: ExponentialParameters(IntegerFormat(8, True, -1), 8, "e", 3),
     "degree must be 0 to 2, not 3"),
    (lambda: ExponentialParameters(IntegerFormat(8, True, -1), 13, "e", 0),
     "a table has a precision of at most 12, not 13"),
    (lambda: ExponentialParameters(IntegerFormat(8, True, -1), 25), "precision must be 2 to 24, "
                                                                    "not 25"),
    (lambda: InverseParameters(1, 8), "width must be at least 2, not 1"),
    (lambda: LogarithmParameters(1, 8), "width must be at least 2, not 1"),
    (lambda: FixedExponential(E8, IntegerFormat(10, False, -9)),
     "lsb_exponent of the target must be -8 to 0, not -9"),
    (lambda: FixedExponential(E8, IntegerFormat(8, False, -8)),
     "the target must be unsigned and have 9 bits, not uint8"),
    (lambda: FixedExponential(ExponentialParameters(IntegerFormat(8, False, -4), 8),
                              IntegerFormat(9, False, -8)),
     "the source must be signed: x is at most 0"),
])
def test_messages(make, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        make()
