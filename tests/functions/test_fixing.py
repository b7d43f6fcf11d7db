# amaranth: UnusedElaboratable=no
"""Floats to fixed point: every code of small formats and of bf16 in part, against numpy."""

import numpy as np
import pytest

from systolith.hdl.arithmetic.fixing import FloatToFixed
from systolith.hdl.formats import FloatFormat, IntegerFormat, parse_format
from systolith.sim.formats import decode, fixed, invalid, quantize


@pytest.mark.parametrize("name, target", [
    ("bf16", IntegerFormat(24, True, -12)), ("bf16", IntegerFormat(8, True, 0)),
    ("bf16", IntegerFormat(32, True, -24)), ("fp8e4m3", IntegerFormat(6, True, -2)),
    ("fp8e5m2", IntegerFormat(9, True, -3)), ("fp16", IntegerFormat(5, True, 1)),
    ("fp6e3m2", IntegerFormat(12, True, -4)), ("fp8e4m3", IntegerFormat(4, True, 20)),
    ("fp8e4m3", IntegerFormat(30, True, -40)),
])
def test_codes(name, target, evaluate):
    source = parse_format(name)
    codes = np.arange(1 << source.bits)
    if source.bits > 8:
        codes = codes[np.random.default_rng(1).permutation(len(codes))[:4000]]
    out = evaluate(FloatToFixed(source, target), code=codes)
    bad = invalid(source, codes)
    values = np.where(bad, 0, decode(source, codes))
    expected = fixed(target, quantize(target, values))
    assert (out["value"] == expected).all()
    assert (out["invalid"] == bad).all()
    nearest = np.rint(np.ldexp(values, -target.lsb_exponent))
    assert (out["saturated"] == (nearest != expected)).all()


def test_message():
    with pytest.raises(ValueError, match=r"^target must be signed, not uint8$"):
        FloatToFixed(FloatFormat(8, 7), IntegerFormat(8, False))
