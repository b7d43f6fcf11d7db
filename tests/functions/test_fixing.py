# amaranth: UnusedElaboratable=no
"""Floats to fixed point: every code of small formats and some of bf16, against numpy."""

import numpy as np
import pytest

from systolith.hdl.arithmetic.fixing import FixedEncoder, FloatToFixed
from systolith.hdl.formats import IntegerFormat, parse_format
from systolith.sim.formats import decode, fixed, invalid, quantize


@pytest.mark.parametrize("infinities", [False, True])
@pytest.mark.parametrize("name, target", [
    ("bf16", IntegerFormat(24, True, -12)), ("bf16", IntegerFormat(8, False, 0)),
    ("bf16", IntegerFormat(32, True, -24)), ("fp8e4m3", IntegerFormat(6, True, -2)),
    ("fp8e5m2", IntegerFormat(9, True, -3)), ("fp16", IntegerFormat(5, True, 1)),
    ("fp6e3m2", IntegerFormat(12, True, -4)), ("fp8e4m3", IntegerFormat(4, True, 20)),
    ("fp8e4m3", IntegerFormat(30, True, -40)), ("fp8e5m2", IntegerFormat(2, False, -16)),
])
def test_float_to_fixed(name, target, infinities, evaluate):
    source = parse_format(name)
    codes = np.arange(1 << source.bits)
    if source.bits > 8:
        codes = codes[np.random.default_rng(1).permutation(len(codes))[:3000]]
        codes[:2] = source.inf_code, source.inf_code + source.sign_code
    out = evaluate(FloatToFixed(source, target, infinities=infinities), code=codes)
    finite = ~invalid(source, codes)
    values = decode(source, codes)
    infinite = np.isinf(values)
    counted = np.where(finite | infinite & infinities, values, 0)
    expected = fixed(target, quantize(target, counted))
    assert (out["value"] == expected).all()
    assert (out["inf"] == infinite).all()
    assert (out["nan"] == np.isnan(values)).all()
    nearest = np.rint(np.ldexp(np.where(finite, values, 0), -target.lsb_exponent))
    assert (out["saturated"] == (finite & (nearest != np.where(finite, expected, 0)))).all()


@pytest.mark.parametrize("signed", [True, False])
@pytest.mark.parametrize("bits, lsb", [(4, 0), (6, -3), (3, 5), (9, -9)])
@pytest.mark.parametrize("width, exponents", [(1, range(-6, 8)), (5, range(-9, 4)),
                                              (7, range(2, 5)), (4, range(1))])
def test_fixed_encoder(bits, lsb, signed, width, exponents, evaluate):
    target = IntegerFormat(bits, signed, lsb)
    sign, exponent, magnitude = (part.ravel() for part in np.meshgrid(
        [0, 1], np.arange(len(exponents)), np.arange(1 << width)))
    allowed = (exponent == 0) | (magnitude == 0) | (magnitude >= 1 << width - 1)
    sign, exponent, magnitude = sign[allowed], exponent[allowed], magnitude[allowed]
    out = evaluate(FixedEncoder(target, width, exponents), sign=sign, exponent=exponent,
                   magnitude=magnitude)
    values = np.ldexp(np.where(sign, -magnitude, magnitude).astype(float),
                      exponent + exponents.start)
    expected = fixed(target, quantize(target, values))
    assert (out["value"] == expected).all()
    assert (out["saturated"] == (np.rint(np.ldexp(values, -lsb)) != expected)).all()
