"""The numpy codecs against outside references: ml_dtypes, exact fractions, published vectors."""

from fractions import Fraction

import ml_dtypes
import numpy as np
import pytest

from systolith.hdl.errors import Error
from systolith.hdl.formats import FP32, parse_format
from systolith.sim.formats import code_dtype, decode, encode, fixed, invalid, quantize

OUTSIDE = {
    "fp8e4m3": ml_dtypes.float8_e4m3fn,
    "fp8e5m2": ml_dtypes.float8_e5m2,
    "fp8e3m4": ml_dtypes.float8_e3m4,
    "fp6e3m2": ml_dtypes.float6_e3m2fn,
    "fp6e2m3": ml_dtypes.float6_e2m3fn,
    "fp4e2m1": ml_dtypes.float4_e2m1fn,
    "bf16": ml_dtypes.bfloat16,
    "fp16": np.float16,
}
SMALL_FLOATS = [f"fp{bits}e{e}m{bits - 1 - e}" for bits in range(3, 9) for e in range(1, bits)]
LEVELS = ["bipolar1", "bipolar2", "bipolar3", "bipolar4", "ternary", "binary"]
INTEGERS = [f"{sign}int{bits}" for sign in ("", "u") for bits in range(1, 9)]
ROUNDINGS = ["rne", "half_away", "half_up", "floor", "toward_zero"]


def all_codes(format):
    return np.arange(1 << format.bits, dtype=np.uint32)


def same(left, right):
    """Equal, with NaN equal to NaN and zeros of different sign different."""
    left, right = np.asarray(left, float), np.asarray(right, float)
    return ((left == right) & (np.signbit(left) == np.signbit(right))) | (
        np.isnan(left) & np.isnan(right))


def interesting(format):
    """Every finite value, the middles between them, and their neighbours in float64."""
    values = np.unique(decode(format, all_codes(format)[~invalid(format, all_codes(format))]))
    middles = (values[:-1] + values[1:]) / 2
    beyond = values[-1] + (values[-1] - values[-2]) * np.array([0.25, 0.5, 0.75, 1, 8])
    points = np.concatenate([values, middles, beyond, -beyond, [0.0, -0.0]])
    return np.concatenate([points, np.nextafter(points, np.inf), np.nextafter(points, -np.inf)])


@pytest.mark.parametrize("name", OUTSIDE)
def test_every_code_decodes_as_outside(name):
    format, outside = parse_format(name), OUTSIDE[name]
    codes = all_codes(format)
    with np.errstate(invalid="ignore"):                    # signaling NaNs
        expected = codes.astype(code_dtype(format)).view(outside).astype(float)
    assert same(decode(format, codes), expected).all()


@pytest.mark.parametrize("name", OUTSIDE)
def test_quantize_as_outside(name):
    format, outside = parse_format(name), OUTSIDE[name]
    random = np.random.default_rng(1)
    values = interesting(format)
    dense = random.integers(0, 1 << 32, 200_000, dtype=np.uint32).view(np.float32)
    near = random.normal(0, 1, 200_000) * 2.0**random.integers(
        format.lsb_exponent - 2, format.exponent_high + 3, 200_000)
    # The references round float64 through float32; float32 inputs are rounded once.
    with np.errstate(all="ignore"):
        values = np.concatenate([values, near, dense, [np.inf, -np.inf]]).astype(np.float32)
    values = values[~np.isnan(values)]
    with np.errstate(all="ignore"):
        expected = values.astype(outside).astype(float)
    assert same(decode(format, quantize(format, values, saturate=False)), expected).all()


@pytest.mark.parametrize("name", OUTSIDE)
def test_nan(name):
    format = parse_format(name)
    values = np.array([1.0, np.nan])
    if format.nan_code is None:
        with pytest.raises(Error, match=f"^{name} has no code for NaN$"):
            quantize(format, values)
    else:
        assert quantize(format, values)[1] == format.nan_code


def only_odd(format):
    """Whether all significands are odd: a float without fraction bits."""
    return getattr(format, "fraction_bits", None) == 0


def nearest(format, value, rounding):
    """The code by definition: exact distances to all values, written without floats."""
    codes = all_codes(format)
    codes = codes[~invalid(format, codes)]
    exact = Fraction(value)
    table = {}
    for code, level in zip(codes.tolist(), decode(format, codes).tolist(), strict=True):
        table.setdefault(Fraction(level), []).append(code)
    levels = sorted(table)
    below = max((level for level in levels if level <= exact), default=levels[0])
    above = min((level for level in levels if level >= exact), default=levels[-1])
    low, high = exact - below, above - exact
    tie = low == high
    match rounding:
        case "floor":
            chosen = below
        case "toward_zero":
            chosen = below if exact >= 0 else above
        case "half_up" if tie:
            chosen = above
        case "half_away" if tie:
            chosen = above if exact > 0 else below
        case "rne" if tie and only_odd(format) and below and above:
            chosen = above if exact > 0 else below
        case "rne" if tie:
            chosen = below if table[below][0] % 2 == 0 else above
        case _:
            chosen = below if low < high else above
    codes = table[chosen]
    if len(codes) == 2:                                    # a zero of the number's sign
        return codes[int(np.signbit(value))]
    return codes[0]


@pytest.mark.parametrize("rounding", ROUNDINGS)
@pytest.mark.parametrize("name", ["fp8e4m3", "fp7e2m4", "fp6e3m2", "fp4e2m1", "fp4e1m2", "fp5e4m0",
                                  "fp8e1m6", "int4", "uint3"])
def test_quantize_by_definition(name, rounding):
    format = parse_format(name)
    values = np.unique(interesting(format))
    values = np.concatenate([values, [0.0, -0.0, 1e300, -1e300, 5e-324, -5e-324]])
    expected = [nearest(format, value, rounding) for value in values.tolist()]
    assert quantize(format, values, rounding).tolist() == expected


@pytest.mark.parametrize("name", LEVELS[:5] + SMALL_FLOATS)
def test_nearest_even_by_definition(name):
    format = parse_format(name)
    values = np.unique(interesting(format))
    expected = [nearest(format, value, "rne") for value in values.tolist()]
    assert quantize(format, values).tolist() == expected


@pytest.mark.parametrize("name", INTEGERS + LEVELS + SMALL_FLOATS)
def test_codes_survive(name):
    format = parse_format(name)
    codes = all_codes(format)
    good = codes[~invalid(format, codes)]
    assert (quantize(format, decode(format, good)) == good).all()
    assert (encode(format, decode(format, good)) == good).all()
    assert decode(format, good).min() == format.low
    assert decode(format, good).max() == format.high


@pytest.mark.parametrize("name", [name for name in [*INTEGERS, *LEVELS, *SMALL_FLOATS, "fp16"]
                                  if parse_format(name).fixed.bits <= 64])
def test_fixed_point_is_the_value(name):
    format = parse_format(name)
    codes = all_codes(format)
    integers = fixed(format, codes)
    assert integers.min() >= format.fixed.code_low
    assert integers.max() <= format.fixed.code_high
    expected = np.where(invalid(format, codes), 0, decode(format, codes))
    assert (np.ldexp(integers.astype(float), format.lsb_exponent) == expected).all()


def test_saturation():
    e4m3, e5m2 = parse_format("fp8e4m3"), parse_format("fp8e5m2")
    values = np.array([448, 464, 465, -1e9, np.inf, -np.inf])
    assert decode(e4m3, quantize(e4m3, values)).tolist() == [448, 448, 448, -448, 448, -448]
    kept = decode(e4m3, quantize(e4m3, values, saturate=False))
    assert kept[:2].tolist() == [448, 448]
    assert np.isnan(kept[2:]).all()
    values = np.array([57344, 61439, 61440, -1e9, np.inf])
    assert decode(e5m2, quantize(e5m2, values)).tolist() == [57344, 57344, 57344, -57344, 57344]
    assert decode(e5m2, quantize(e5m2, values, saturate=False)).tolist() == [
        57344, 57344, np.inf, -np.inf, np.inf]
    assert decode(e5m2, quantize(e5m2, values[2:4], "toward_zero", saturate=False)).tolist() == [
        57344, -57344]
    assert decode(e5m2, quantize(e5m2, values[2:4], "floor", saturate=False)).tolist() == [
        57344, -np.inf]


def test_wide_integers():
    top = np.array([2**63 - 1, -2**63, 0, -1], np.int64)
    int64, uint64 = parse_format("int64"), parse_format("uint64")
    assert (decode(int64, quantize(int64, top)) == top).all()
    assert quantize(uint64, top).tolist() == [2**63 - 1, 0, 0, 0]
    assert quantize(int64, np.array([2**64 - 1], np.uint64)).tolist() == [2**63 - 1]
    last = np.array([2**64 - 1], np.uint64)
    assert decode(uint64, quantize(uint64, last)).tolist() == [2**64 - 1]
    assert quantize(int64, np.array([1e30, -1e30, np.inf])).tolist() == [
        2**63 - 1, 2**63, 2**63 - 1]
    assert quantize(parse_format("int12"), np.array([-128], np.int8)).tolist() == [0x1000 - 128]


def test_fp32_is_numpy():
    random = np.random.default_rng(2)
    values = random.integers(0, 1 << 64, 100_000, dtype=np.uint64).view(float)
    near = random.normal(0, 1, 100_000) * 2.0**random.integers(-155, 130, 100_000)
    values = np.concatenate([values[~np.isnan(values)], near])
    with np.errstate(all="ignore"):
        expected = values.astype(np.float32).view(np.uint32)
    assert (quantize(FP32, values, saturate=False) == expected).all()
    assert same(decode(FP32, expected), expected.view(np.float32)).all()


def test_bipolar_is_two_w_plus_one():
    # Card 12.4.
    format = parse_format("bipolar3")
    assert decode(format, np.array([0b101])).tolist() == [3]
    two = np.arange(-8, 8)
    format = parse_format("bipolar4")
    codes = quantize(format, 2 * two + 1)
    assert codes.tolist() == [(w & 15) ^ 8 for w in two.tolist()]
    assert decode(format, np.array([0b0111])).tolist() == [-1]


def test_ternary_illegal_code():
    format = parse_format("ternary")
    codes = np.arange(4)
    assert decode(format, codes).tolist() == [0, 1, 0, -1]
    assert invalid(format, codes).tolist() == [False, False, True, False]


def test_half_just_below_is_not_a_tie():
    format = parse_format("int8")
    values = np.array([0.49999999999999994, -0.49999999999999994, 0.5, -0.5])
    assert quantize(format, values, "half_away").tolist() == [0, 0, 1, 255]
    assert quantize(format, values, "half_up").tolist() == [0, 0, 1, 0]


@pytest.mark.parametrize("call, message", [
    (lambda: decode(parse_format("fp4e2m1"), np.array([16])),
     "^codes of fp4e2m1 are 0 to 15, not 16$"),
    (lambda: decode(parse_format("fp4e2m1"), np.array([-1])),
     "^codes of fp4e2m1 are 0 to 15, not -1$"),
    (lambda: decode(parse_format("fp4e2m1"), np.array([1.0])), "^codes are integers, not float64$"),
    (lambda: decode(parse_format("mxfp4"), np.array([1])),
     "^the elements of mxfp4e2m1 do not stand for themselves; decode whole blocks$"),
    (lambda: quantize(parse_format("ovp4"), np.array([1.0])),
     "^the elements of ovp4 do not stand for themselves; quantize whole blocks$"),
    (lambda: quantize(parse_format("int8"), np.array([np.nan])), "^int8 has no code for NaN$"),
    (lambda: quantize(parse_format("int8"), np.array([1.0]), "up"),
     "^rounding must be 'rne', 'half_away', 'half_up', 'floor' or 'toward_zero', not 'up'$"),
    (lambda: quantize(parse_format("binary"), np.array([1.0]), "floor"),
     r"^binary rounds to nearest \(rne\), not 'floor'$"),
    (lambda: encode(parse_format("fp4e2m1"), np.array([1.0, 2.5])),
     "^2.5 is not a value of fp4e2m1$"),
    (lambda: fixed(parse_format("bf16"), np.array([1])),
     "^bf16 in fixed point takes 262 bits; int64 has 64$"),
])
def test_messages(call, message):
    with pytest.raises(Error, match=message):
        call()
