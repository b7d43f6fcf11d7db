# amaranth: UnusedElaboratable=no
"""Every code of every format through the parts that cores are made of, against the golden codecs:
operands, conversions, and the scales of blocks and groups."""

from fractions import Fraction

import ml_dtypes
import numpy as np
import pytest

from systolith.hdl.arithmetic.floating import FloatConverter
from systolith.hdl.arithmetic.mac import OperandDecoder
from systolith.hdl.arithmetic.scaling import IntegerScaler, PowerScaler
from systolith.hdl.formats import FP32, IntegerFormat, Operand, parse_format
from systolith.sim.formats import (
    decode,
    decode_blocks,
    decode_groups,
    fixed,
    invalid,
    pair_terms,
    quantize,
)

FLOATS = [f"fp{bits}e{e}m{bits - 1 - e}" for bits in range(3, 9) for e in range(1, bits)]
LEVELS = [*(f"{sign}int{bits}" for sign in ("", "u") for bits in range(2, 9)),
          *(f"bipolar{bits}" for bits in range(1, 9)), "ternary", "binary"]
MX = ["mxfp8e4m3", "mxfp8e5m2", "mxfp6e3m2", "mxfp6e2m3", "mxfp4", "mxint8", "bfp2", "bfp8"]


def grid(*counts):
    """All combinations of numbers below ``counts``."""
    return [part.ravel() for part in np.meshgrid(*map(np.arange, counts))]


def fields(operand, words):
    """Factor, exponent, Inf and NaN of operands, by the layout that :class:`Operand` documents."""
    bits = operand.term.bits
    factor = words & (1 << bits) - 1
    if operand.term.signed:
        factor = factor - ((factor >> bits - 1) << bits)
    exponent = words >> bits & (1 << operand.exponent_bits) - 1
    above = words >> bits + operand.exponent_bits
    return factor, exponent, above & 1, above >> 1 & 1


@pytest.mark.parametrize("specials", [False, True])
@pytest.mark.parametrize("name", [*LEVELS, *FLOATS])
def test_operands(name, specials, evaluate):
    format = parse_format(name)
    operand = Operand.of(format, keep_specials=specials)
    codes = np.arange(1 << format.bits)
    out = evaluate(OperandDecoder(operand), code=codes)
    values = decode(format, codes)
    wrong = invalid(format, codes)
    assert (out["invalid"] == wrong).all()
    factor, exponent, inf, nan = fields(operand, out["operand"].astype(object))
    unit = Fraction(2) ** operand.lsb_exponent
    worth = [number * 2**shift * unit for number, shift in zip(factor, exponent, strict=True)]
    assert [number for number, bad in zip(worth, wrong, strict=True) if not bad] \
        == [Fraction(value) for value in values[~wrong].tolist()]
    if operand.specials:
        assert (inf == np.isinf(values)).all() and (nan == np.isnan(values)).all()
        assert (np.sign(factor[np.isinf(values)]) == np.sign(values[np.isinf(values)])).all()
    else:
        assert not out["operand"][wrong].any()


@pytest.mark.parametrize("name", ["ovp4", "ovp8"])
def test_operands_of_pairs(name, evaluate_compiled):
    format = parse_format(name)
    operand = Operand.of(format)
    first, second = grid(1 << format.bits, 1 << format.bits)
    out = evaluate_compiled(OperandDecoder(operand), code=first | second << format.bits)
    terms = pair_terms(format, np.stack([first, second], -1))
    assert (out["invalid"] == terms.illegal[:, 0]).all()
    for place in range(2):
        word = out["operand"] >> place * operand.bits & (1 << operand.bits) - 1
        factor, exponent, _, _ = fields(operand, word)
        assert (factor == terms.integer[:, place]).all()
        assert (exponent == terms.exponent[:, place]).all()


@pytest.mark.parametrize("name", ["bitmod3/1", "bitmod4/1"])
def test_operands_of_groups(name, evaluate):
    format = parse_format(name)
    codes, select = grid(1 << format.bits, 4)
    out = evaluate(OperandDecoder(Operand.of(format)), code=codes, select=select)
    expected = decode_groups(format, codes[:, None], select[:, None])[:, 0]
    assert (fields(Operand.of(format), out["operand"])[0] * 0.5 == expected).all()
    assert not out["invalid"].any()


OUTSIDE = {"fp16": np.float16, "bf16": ml_dtypes.bfloat16, "fp8e4m3": ml_dtypes.float8_e4m3fn,
           "fp8e5m2": ml_dtypes.float8_e5m2, "fp8e3m4": ml_dtypes.float8_e3m4,
           "fp6e3m2": ml_dtypes.float6_e3m2fn, "fp6e2m3": ml_dtypes.float6_e2m3fn,
           "fp4e2m1": ml_dtypes.float4_e2m1fn}


def around(format):
    """Every finite value and the middle to the next, and the fp32 numbers beside them; beyond the
    range; and any fp32 codes."""
    values = np.unique(decode(format, np.arange(1 << format.bits)))
    values = values[np.isfinite(values)]
    values = np.concatenate([values, (values[:-1] + values[1:]) / 2, values[[0, -1]] * 1.0625,
                             values[[0, -1]] * 4])
    with np.errstate(over="ignore"):
        values = values[np.abs(values) < np.finfo(np.float32).max].astype(np.float32)
    values = np.concatenate([values, np.nextafter(values, np.float32(np.inf)),
                             np.nextafter(values, np.float32(-np.inf)),
                             np.float32([0, -0.0, np.inf, -np.inf, np.nan])])
    any_codes = np.random.default_rng(5).integers(0, 1 << 32, 1 << 18)
    return np.concatenate([values.view(np.uint32), any_codes.astype(np.uint32)])


@pytest.mark.parametrize("name", [*OUTSIDE, *(
    pytest.param(name, marks=pytest.mark.nightly) for name in FLOATS if name not in OUTSIDE)])
def test_rounding_of_dense_numbers(name, evaluate_compiled):
    format = parse_format(name)
    codes = around(format)
    numbers = decode(FP32, codes)
    nan = np.isnan(numbers)
    number_codes = np.where(nan & (format.nan_code is None), 0, numbers)
    out = evaluate_compiled(FloatConverter(FP32, format), a=codes)
    assert (out["result"] == quantize(format, number_codes, saturate=False)).all()
    assert (out["invalid"] == (nan & (format.nan_code is None))).all()
    if name in OUTSIDE:
        inside = np.abs(numbers) <= format.high
        with np.errstate(all="ignore"):
            outside = codes.view(np.float32).astype(OUTSIDE[name]).astype(float)
        assert (decode(format, out["result"])[inside] == outside[inside]).all()


@pytest.mark.parametrize("name", MX)
def test_scales_of_blocks(name, evaluate_compiled):
    format = parse_format(f"{name}/1")
    element = format.element
    codes, scales = grid(1 << format.bits, 256)
    out = evaluate_compiled(PowerScaler(element.fixed, 1), value=fixed(element, codes),
                            scales=scales)
    finite = ~invalid(element, codes)
    expected = quantize(FP32, decode_blocks(format, codes[:, None], scales[:, None])[:, 0],
                        saturate=False)
    # A zero in fixed point has no sign.
    expected = np.where((fixed(element, codes) == 0) & (scales < 255), 0, expected)
    assert (out["result"][finite] == expected[finite]).all()


@pytest.mark.parametrize("source", [IntegerFormat(20, True, -18), FP32], ids=str)
def test_two_scales_of_blocks(source, evaluate_compiled):
    rng = np.random.default_rng(6)
    value = rng.integers(0, 1 << source.bits, 200_000)
    scales = rng.integers(0, 256, (2, len(value)))
    scales[:, ::2] = np.clip(scales[:, ::2], 100, 160)
    out = evaluate_compiled(PowerScaler(source, 2), value=value, scales=scales[0] | scales[1] << 8)
    number = decode(source, value)
    exact = np.ldexp(number, scales.sum(0) - 254)
    # The exponents of float64 reach further than these: nothing is rounded before.
    exact[(scales == 255).any(0)] = np.nan
    expected = quantize(FP32, exact, saturate=False)
    assert (out["result"] == expected).all()


@pytest.mark.parametrize("count", [1, 2])
def test_scales_of_groups(count, evaluate_compiled):
    source = IntegerFormat(14, True, -2)
    rng = np.random.default_rng(7)
    value = rng.integers(source.code_low, source.code_high + 1, 100_000)
    scales = rng.integers(-128, 128, (count, len(value)))
    scales[:, :3000] = rng.choice([-128, -1, 0, 127], (count, 3000))
    value[:3000] = rng.choice([source.code_low, 0, source.code_high], 3000)
    packed = sum((scales[index] & 255) << 8 * index for index in range(count))
    product = value * scales.prod(0)
    exact = IntegerFormat(14 + 8 * count, True, -2)
    out = evaluate_compiled(IntegerScaler(source, count, exact), value=value, scales=packed)
    assert (out["result"] == product & (1 << exact.bits) - 1).all()
    out = evaluate_compiled(IntegerScaler(source, count, FP32), value=value, scales=packed)
    assert (out["result"] == quantize(FP32, product / 4)).all()


