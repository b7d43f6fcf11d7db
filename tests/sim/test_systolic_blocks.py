"""The systolic golden model with formats that share scales, against fractions and ml_dtypes."""

import re
from fractions import Fraction
from itertools import islice

import ml_dtypes
import numpy as np
import pytest

from systolith.hdl.errors import Error
from systolith.hdl.formats import SCALE_NAN, BlockFormat
from systolith.hdl.systolic.config import SystolicConfig
from systolith.sim.formats import Codes, decode_blocks, decode_groups, invalid, quantize_blocks
from systolith.sim.model import Workload
from systolith.sim.systolic import MODEL
from systolith.sim.systolic.scaled import to_fp32

DTYPES = {"fp8e4m3": ml_dtypes.float8_e4m3fn, "fp8e5m2": ml_dtypes.float8_e5m2,
          "fp4e2m1": ml_dtypes.float4_e2m1fn}


def config(a_format, w_format, **values):
    return SystolicConfig.parse({"rows": 3, "cols": 2, "a_format": a_format, "w_format": w_format,
                                 **values})


def run(made, **arrays):
    workload = MODEL.check(made, Workload("", arrays))
    return MODEL.golden(made, workload)


def flag(made, name):
    return 1 << [flag for flag, _ in made.flags].index(name)


def spans(made, length):
    """Which products are summed before they are scaled: a block, cut into K tiles in ws."""
    for start in range(0, length, made.block):
        end = min(start + made.block, length)
        step = made.rows if made.dataflow == "ws" else made.block
        for first in range(start, end, step):
            yield range(first, min(first + step, end))


@pytest.mark.parametrize("dataflow", ["ws", "os"])
@pytest.mark.parametrize("element", DTYPES)
def test_blocks_of_floats_equal_exact_sums_rounded_once(element, dataflow):
    made = config(f"mx{element}/4", f"mx{element}/4", dataflow=dataflow)
    rng = np.random.default_rng(2)
    values = np.arange(1 << made.a_element.bits).astype(np.uint8).view(DTYPES[element])
    finite = np.flatnonzero(np.isfinite(values.astype(float)))
    a, w = (rng.choice(finite, shape) for shape in ((4, 11), (11, 3)))
    a_scale, w_scale = rng.integers(100, 150, (4, 3)), rng.integers(100, 150, (3, 3))
    got = run(made, a=Codes(a, made.a_element), a_scale=a_scale, w=Codes(w, made.w_element),
              w_scale=w_scale)["c"]
    number = values.astype(float)
    for i in range(4):
        for j in range(3):
            total = np.float32(0)
            for span in spans(made, 11):
                exact = sum(Fraction(number[a[i, k]]) * Fraction(number[w[k, j]]) for k in span)
                block = span[0] // 4
                exact *= Fraction(2) ** int(a_scale[i, block] + w_scale[block, j] - 254)
                assert Fraction(float(exact)) == exact             # so rounding twice is once
                total += np.float32(float(exact))
            assert got[i, j] == total


def test_wide_sums_are_rounded_once():
    cases = [(1 << 70) + (1 << 46), (1 << 70) + (1 << 46) + 1, (1 << 70) + (3 << 46),
             -(1 << 70) - (1 << 46) - 1, (1 << 54) + 1, 0, 3, -1]
    for lsb in (0, -90, -200, 70):
        got = to_fp32(np.array(cases, object), lsb, np.ones(len(cases)))
        for exact, value in zip(cases, got.tolist(), strict=True):
            number = Fraction(exact) * Fraction(2) ** lsb
            near = [np.float32(value), np.nextafter(np.float32(value), np.float32(np.inf)),
                    np.nextafter(np.float32(value), np.float32(-np.inf))]
            if np.isinf(value):
                assert abs(number) > Fraction(float(np.finfo(np.float32).max))
                continue
            best = min((abs(Fraction(float(x)) - number), int(x.view(np.uint32)) & 1)
                       for x in near if np.isfinite(x))
            assert (abs(Fraction(value) - number), int(near[0].view(np.uint32)) & 1) == best


@pytest.mark.parametrize("name", ["mxfp4", "mxfp8e4m3/16", "mxint8", "bfp6/8"])
def test_numbers_are_quantized_in_blocks_along_k(name):
    made = config(name, name)
    rng = np.random.default_rng(5)
    a, w = rng.normal(size=(5, 50)), rng.normal(size=(50, 4))
    got = run(made, a=a, w=w)["c"]
    a_values = decode_blocks(made.a_element, *quantize_blocks(made.a_element, a))
    w_values = decode_blocks(made.w_element, *quantize_blocks(made.w_element, w.T)).T
    np.testing.assert_allclose(a_values @ w_values, got, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("other", ["int8", "bitmod4/8", "fp16"])
def test_bitmod_is_exact(other):
    made = config(other, "bitmod4/8")
    assert made.accumulator == "exact"
    rng = np.random.default_rng(6)
    w, select = rng.integers(0, 16, (20, 3)), rng.integers(0, 4, (3, 3))
    scale = rng.integers(-128, 128, (3, 3))
    arrays = {"w": Codes(w, made.w_element), "w_scale": scale, "w_select": select}
    w_values = decode_groups(made.w_element, w.T, select.T, scale.T.astype(float)).T
    if other == "bitmod4/8":
        a, a_scale = rng.integers(0, 16, (4, 20)), rng.integers(-128, 128, (4, 3))
        arrays |= {"a": Codes(a, made.a_element), "a_scale": a_scale}
        a_values = decode_groups(made.a_element, a, np.zeros((4, 3), int), a_scale.astype(float))
    else:
        a_values = rng.integers(-100, 100, (4, 20))
        arrays["a"] = a_values
    got = run(made, **arrays)
    c = np.ldexp(got["c"].astype(float), got["c_exponent"]) if "c_exponent" in got else got["c"]
    np.testing.assert_array_equal(np.asarray(a_values, float) @ w_values, c)


@pytest.mark.parametrize("dataflow", ["ws", "os"])
@pytest.mark.parametrize("code, invalid", [(0x7F, True), (0x7C, True), (0x7B, False)])
def test_an_element_that_is_no_number_makes_its_block_nan(code, invalid, dataflow):
    made = config("mxfp8e5m2/4", "int8", dataflow=dataflow)
    a = np.zeros((2, 8), int)
    a[1, 5] = code
    got = run(made, a=Codes(a, made.a_element), a_scale=127, w=np.ones((8, 2), int))
    assert np.isnan(got["c"]).tolist() == [[False] * 2, [invalid] * 2]
    raised = flag(made, "a_invalid") | flag(made, "not_finite")
    assert got["flags"] & raised == (raised if invalid else 0)


@pytest.mark.parametrize("w_format", ["int8", "bf16"])
def test_a_scale_of_nan_makes_its_block_nan(w_format):
    made = config("mxfp4/4", w_format)
    got = run(made, a=Codes(np.zeros((2, 8), int), made.a_element),
              a_scale=np.array([[127, 127], [127, SCALE_NAN]]), w=np.ones((8, 2), int))
    assert np.isnan(got["c"]).tolist() == [[False] * 2, [True] * 2]
    assert got["flags"] & flag(made, "a_invalid")


@pytest.mark.parametrize("arrays, message", [
    ({"a": Codes([[1] * 5], "mxfp4/4")},
     "argument 'a_scale' is missing; Codes of mxfp4e2m1/4 have a scale for every 4 elements "
     "along K"),
    ({"a": Codes([[1] * 5], "mxfp4/4"), "a_scale": [[1]]},
     "a_scale must have shape (1, 2), one for every 4 elements along K, not (1, 1)"),
    ({"a": Codes([[1] * 5], "mxfp4/4"), "a_scale": 256},
     "a_scale must hold values from 0 to 255, not 256 at [0, 0]"),
    ({"a": np.ones((1, 5)), "a_scale": 127},
     "a_scale goes with Codes of mxfp4e2m1/4; numbers are quantized with scales of their own"),
    ({"a": Codes([[1] * 5], "mxfp4")}, "a holds codes of mxfp4e2m1, not of mxfp4e2m1/4"),
])
def test_messages(arrays, message):
    with pytest.raises(Error, match=f"^{re.escape(message)}$"):
        run(config("mxfp4/4", "int8"), w=np.ones((5, 1), int), **arrays)


def test_bitmod_takes_codes():
    with pytest.raises(Error, match=r"^w must be Codes of bitmod3, with w_scale and w_select$"):
        run(config("int8", "bitmod3"), a=[[1]], w=[[1.0]])


@pytest.mark.parametrize("name", ["mxfp8e5m2/4", "bfp4/4", "bitmod3/4"])
@pytest.mark.parametrize("dataflow", ["ws", "os"])
def test_stimulus_uses_every_number_and_raises_the_flags(name, dataflow):
    made = config(name, name, dataflow=dataflow)
    seen, flags = set(), 0
    for workload in islice(MODEL.stimulus(made, np.random.default_rng(1)), 60):
        seen |= set(workload.arrays["a"].array.ravel().tolist())
        flags |= MODEL.golden(made, workload)["flags"]
    codes = np.arange(1 << made.a_element.bits)
    if isinstance(made.a_element, BlockFormat) and name.startswith("mx"):
        codes = codes[~invalid(made.a_element.element, codes)]
    assert seen >= set(codes.tolist())
    if not name.startswith("bitmod"):
        assert flags & flag(made, "a_invalid") and flags & flag(made, "w_invalid")
