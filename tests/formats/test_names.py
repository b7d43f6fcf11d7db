"""Names and descriptors of number formats."""

import re

import pytest

from systolith.hdl.errors import ConfigError
from systolith.hdl.formats import (
    BF16,
    FP16,
    FP32,
    BlockFormat,
    FloatFormat,
    IntegerFormat,
    parse_format,
)

NAMES = [
    "int1", "int8", "int64", "uint1", "uint4", "uint64", "bipolar1", "bipolar16", "ternary",
    "binary", "fp8e4m3", "fp8e5m2", "fp8e3m4", "fp6e3m2", "fp6e2m3", "fp4e2m1", "fp3e1m1",
    "fp12e6m5", "fp16e11m4", "bf16", "fp16", "fp32", "mxfp8e4m3", "mxfp8e5m2", "mxfp6e3m2",
    "mxfp6e2m3", "mxfp4e2m1", "mxint8", "mxfp4e2m1/16", "bfp2", "bfp4", "bfp16", "bfp8/64", "ovp4",
    "ovp8", "bitmod3", "bitmod4", "bitmod4/64",
]


@pytest.mark.parametrize("name", NAMES)
def test_name_round_trip(name):
    format = parse_format(name)
    assert format.name == str(format) == name
    assert parse_format(name) == format
    assert hash(parse_format(name)) == hash(format)


@pytest.mark.parametrize("alias, name", [
    ("mxfp4", "mxfp4e2m1"), ("mxfp4/32", "mxfp4e2m1"), ("fp16e5m10", "fp16"), ("fp16e8m7", "bf16"),
    ("bitmod3/128", "bitmod3"),
])
def test_one_canonical_name(alias, name):
    assert parse_format(alias).name == name
    assert parse_format(alias) == parse_format(name)


@pytest.mark.parametrize("name", [
    "", "int", "int0", "int08", "int65", "uint65", "bipolar0", "bipolar17", "fp8e4m4", "fp8e0m7",
    "fp16e12m3", "fp17e8m8", "fp2e1m0", "fp32e8m23", "mxuint8", "mxint1", "mxint9", "mxfp16",
    "mxbf16", "mxovp4", "mxmxfp4",
    "bfp1", "bfp17", "mxfp4/0", "mxfp4/99999", "int8/4", "ovp6", "bitmod5",
    " int8", "int8\n", "INT8",
])
def test_unknown_names_are_refused(name):
    with pytest.raises(ConfigError, match=f"^unknown number format {re.escape(repr(name))}; "):
        parse_format(name)


FNUZ = ("FNUZ formats (one NaN in place of −0, another bias) are not supported; the OCP formats "
        "are fp8e4m3 and fp8e5m2")


@pytest.mark.parametrize("name, advice", [
    ("fp8e4m3fnuz", FNUZ),
    ("float8_e5m2fnuz", FNUZ),
    ("fp8_e4m3", "did you mean 'fp8e4m3'?"),
    ("float8_e4m3fn", "did you mean 'fp8e4m3'?"),
    ("bfloat16", "did you mean 'bf16'?"),
    ("fp8", "did you mean 'fp8e4m3'?"),
    ("fp8e4m4", "1 + 4 + 4 bits make 9, not 8"),
    ("fp16e12m3", "a float has 1 to 11 exponent bits, not 12"),
])
def test_advice(name, advice):
    with pytest.raises(ConfigError, match=f"^unknown number format '{name}'; {re.escape(advice)}$"):
        parse_format(name)


# Card 7B: bits, largest exponent, largest, smallest normal, smallest subnormal, bias.
@pytest.mark.parametrize("name, bits, emax, high, normal, subnormal, bias", [
    ("fp8e5m2", 8, 15, 57344, 2**-14, 2**-16, 15),
    ("fp8e4m3", 8, 8, 448, 2**-6, 2**-9, 7),
    ("fp6e3m2", 6, 4, 28, 0.25, 0.0625, 3),
    ("fp6e2m3", 6, 2, 7.5, 1, 0.125, 1),
    ("fp4e2m1", 4, 2, 6, 1, 0.5, 1),
    ("fp16", 16, 15, 65504, 2**-14, 2**-24, 15),
    ("bf16", 16, 127, 255 * 2.0**120, 2**-126, 2**-133, 127),
    ("fp32", 32, 127, (2 - 2**-23) * 2.0**127, 2**-126, 2**-149, 127),
    ("fp8e1m6", 8, 0, 63 / 32, None, 2**-5, 0),
    ("fp4e3m0", 4, 4, 16, 0.25, None, 3),
])
def test_float_ranges(name, bits, emax, high, normal, subnormal, bias):
    format = parse_format(name)
    assert (format.bits, format.exponent_high, format.high, format.smallest_normal,
            format.smallest_subnormal, format.bias) == (bits, emax, high, normal, subnormal, bias)
    assert format.low == -high


def test_special_codes():
    e4m3, e5m2, e2m1 = (parse_format(name) for name in ("fp8e4m3", "fp8e5m2", "fp4e2m1"))
    assert (e4m3.high_code, e4m3.inf_code, e4m3.nan_code) == (0x7E, None, 0x7F)
    assert (e5m2.high_code, e5m2.inf_code, e5m2.nan_code) == (0x7B, 0x7C, 0x7E)
    assert (e2m1.high_code, e2m1.inf_code, e2m1.nan_code) == (7, None, None)
    assert (FP16.inf_code, FP16.nan_code) == (0x7C00, 0x7E00)
    assert (BF16.inf_code, BF16.nan_code) == (0x7F80, 0x7FC0)
    assert (FP32.inf_code, FP32.nan_code) == (0x7F800000, 0x7FC00000)
    assert parse_format("fp7e6m0").nan_code is None


# Card 7D: width of one exact product, in two's complement.
@pytest.mark.parametrize("name, product_bits", [
    ("int8", 16), ("mxint8", 16), ("fp4e2m1", 9), ("fp6e2m3", 13), ("fp6e3m2", 19), ("fp8e4m3", 37),
    ("fp8e5m2", 65),
])
def test_exact_product_width(name, product_bits):
    fixed = parse_format(name).fixed
    ends = [x * y for x in (fixed.code_low, fixed.code_high)
            for y in (fixed.code_low, fixed.code_high)]
    # The largest product of a symmetric range is not a power of two.
    finite = parse_format(name)
    if isinstance(finite, FloatFormat):
        top = int(finite.high * 2.0**-finite.lsb_exponent)
        ends = [-top * top, top * top]
    assert IntegerFormat.holding(min(ends), max(ends)).bits == product_bits


@pytest.mark.parametrize("name, bits, lsb_exponent", [
    ("int8", 8, 0), ("uint4", 4, 0), ("bipolar3", 4, 0), ("ternary", 2, 0), ("binary", 2, 0),
    ("fp4e2m1", 5, -1), ("fp8e4m3", 19, -9), ("fp8e5m2", 33, -16), ("fp16", 41, -24),
    ("bfp4", 4, -2), ("ovp4", 8, 0), ("ovp8", 17, 0), ("bitmod3", 6, -1), ("bitmod4", 6, -1),
])
def test_fixed_point_width(name, bits, lsb_exponent):
    fixed = parse_format(name).fixed
    assert (fixed.bits, fixed.lsb_exponent) == (bits, lsb_exponent)


def test_blocks():
    format = parse_format("mxfp8e5m2/16")
    assert (format.element, format.block, format.exponent_high) == (parse_format("fp8e5m2"), 16, 15)
    assert parse_format("mxint8").element == IntegerFormat(8, True, -6)
    assert parse_format("bfp8") == BlockFormat(IntegerFormat(8, True, -6), 32, symmetric=False)
    assert parse_format("mxint8").high == 1 + 63 / 64


def test_holding_rejects_what_is_not_a_multiple():
    with pytest.raises(ValueError, match=r"^0\.25 is not a multiple of 2\*\*-1$"):
        IntegerFormat.holding(0, 0.25, -1)
