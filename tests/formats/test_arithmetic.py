# amaranth: UnusedElaboratable=no
"""Floating-point and exact arithmetic in Amaranth against numpy."""

import ml_dtypes
import numpy as np
import pytest

from systolith.hdl.arithmetic.decoders import PairDecoder
from systolith.hdl.arithmetic.floating import FloatAdder, FloatConverter, FloatMultiplier
from systolith.hdl.arithmetic.products import AdderTree, TermDecoder, TermMultiplier
from systolith.hdl.formats import (
    BF16,
    FP16,
    FP32,
    IntegerFormat,
    parse_format,
    product_format,
)
from systolith.sim.formats import decode, decode_pairs, fixed, invalid, quantize

NAMED = {"fp32": FP32, "fp16": FP16, "bf16": BF16}
OUTSIDE = {FP32: np.float32, FP16: np.float16, BF16: ml_dtypes.bfloat16}
FAST, NIGHTLY = 800, 1_000_000                 # random pairs of each kind


def corners(format):
    """Codes where operations change their behaviour, of both signs."""
    fraction = 1 << format.fraction_bits
    positive = {0, 1, 2, fraction - 1, fraction, fraction + 1, fraction // 2, 2 * fraction - 1,
                format.bias << format.fraction_bits, (format.bias << format.fraction_bits) + 1,
                (format.bias << format.fraction_bits) - 1,
                ((format.bias + format.fraction_bits) << format.fraction_bits),
                ((format.bias + format.fraction_bits + 1) << format.fraction_bits),
                ((format.bias - format.fraction_bits - 1) << format.fraction_bits) + 1,
                format.high_code, format.high_code - 1}
    positive |= {code for code in (format.inf_code, format.nan_code) if code is not None}
    if format.inf_code is not None and format.fraction_bits > 1:
        positive.add(format.inf_code + 1)                  # a signaling NaN
    codes = np.array(sorted(code for code in positive if 0 <= code < format.sign_code))
    return np.concatenate([codes, codes + format.sign_code])


def pairs(a_format, b_format, result, count, seed):
    """Codes of factors or terms: all corners against each other, and four kinds of random pairs.

    Any codes; numbers of similar exponents and opposite signs, which cancel; numbers with the
    smallest exponents, subnormals among them; numbers whose product is about the smallest of
    ``result``.
    """
    random = np.random.default_rng(seed)
    a, b = (part.ravel() for part in np.meshgrid(corners(a_format), corners(b_format)))
    any_a = random.integers(0, 1 << a_format.bits, count)
    any_b = random.integers(0, 1 << b_format.bits, count)
    near = (any_a + (random.integers(-3, 4, count) << a_format.fraction_bits)
            + random.integers(-2, 3, count)) ^ a_format.sign_code
    near &= (1 << a_format.bits) - 1
    if a_format != b_format:
        near = random.integers(0, 1 << b_format.bits, count)
    low_a, low_b = (with_field(format, any_codes, random.integers(0, 4, count))
                    for format, any_codes in ((a_format, any_a), (b_format, any_b)))
    exponent = (result.exponent_low + random.integers(-result.fraction_bits - 3, 4, count)
                - ((any_a >> a_format.fraction_bits & (1 << a_format.exponent_bits) - 1)
                   - a_format.bias))
    low_product = with_field(b_format, any_b, np.clip(exponent + b_format.bias, 0,
                                                      (1 << b_format.exponent_bits) - 2))
    return (np.concatenate([a, any_a, any_a, low_a, any_a]),
            np.concatenate([b, any_b, near, low_b, low_product]))


def with_field(format, codes, field):
    """``codes`` with other exponent fields."""
    mask = (1 << format.exponent_bits) - 1 << format.fraction_bits
    return codes & ~mask | field << format.fraction_bits


def rounded(format, values):
    """Codes of ``values``, of any float dtype; NaN is the format's one, or 0 without."""
    if format.nan_code is None:
        values = np.where(np.isnan(values), 0, values)
    return quantize(format, values, saturate=False)


def outside(format, codes):
    """``codes`` as an array of the format's dtype, in numpy or ml_dtypes."""
    unsigned = {32: np.uint32, 16: np.uint16}[format.bits]
    return codes.astype(unsigned).view(OUTSIDE[format])


def exact_sum(format, a, b):
    """The correctly rounded sum, by numpy or ml_dtypes where they have the format, else from
    float64, which has more than twice the digits, so that rounding twice is once."""
    with np.errstate(all="ignore"):
        if format in OUTSIDE:
            return rounded(format, outside(format, a) + outside(format, b))
        return rounded(format, decode(format, a) + decode(format, b))


def exact_product(a_format, b_format, result, a, b):
    """The correctly rounded product, as :func:`exact_sum` gives sums."""
    with np.errstate(all="ignore"):
        if a_format == b_format == result and result in OUTSIDE:
            return rounded(result, outside(result, a) * outside(result, b))
        return rounded(result, decode(a_format, a) * decode(b_format, b))


@pytest.mark.parametrize("name", NAMED)
def test_add(name, evaluate):
    format = NAMED[name]
    a, b = pairs(format, format, format, FAST, 11)
    out = evaluate(FloatAdder(format), a=a, b=b)
    assert (out["result"] == exact_sum(format, a, b)).all()


MULTIPLIED_FLOATS = ["fp32 fp32 fp32", "fp16 fp16 fp16", "bf16 bf16 bf16", "bf16 bf16 fp32",
                     "fp16 fp16 fp32", "fp16 bf16 fp32"]


@pytest.mark.parametrize("names", MULTIPLIED_FLOATS)
def test_multiply(names, evaluate):
    formats = [NAMED[name] for name in names.split()]
    a, b = pairs(*formats, FAST, 12)
    out = evaluate(FloatMultiplier(*formats), a=a, b=b)
    assert (out["result"] == exact_product(*formats, a, b)).all()


@pytest.mark.nightly
@pytest.mark.parametrize("stages", [0, FloatAdder.STEPS])
@pytest.mark.parametrize("name", NAMED)
def test_add_millions(name, stages, evaluate_compiled):
    format = NAMED[name]
    a, b = pairs(format, format, format, NIGHTLY, 11 + stages)
    out = evaluate_compiled(FloatAdder(format, stages), a=a, b=b)
    assert (out["result"] == exact_sum(format, a, b)).all()


@pytest.mark.nightly
@pytest.mark.parametrize("stages", [0, FloatMultiplier.STEPS])
@pytest.mark.parametrize("names", MULTIPLIED_FLOATS)
def test_multiply_millions(names, stages, evaluate_compiled):
    formats = [NAMED[name] for name in names.split()]
    a, b = pairs(*formats, NIGHTLY, 12 + stages)
    out = evaluate_compiled(FloatMultiplier(*formats, stages), a=a, b=b)
    assert (out["result"] == exact_product(*formats, a, b)).all()


SMALL_FLOATS = [f"fp{bits}e{exponent}m{bits - 1 - exponent}" for bits in range(3, 9)
                for exponent in range(1, bits)]
ALWAYS = ("fp4e2m1", "fp6e3m2", "fp6e2m3", "fp6e5m0", "fp8e4m3", "fp8e5m2")


@pytest.mark.parametrize("name", [*ALWAYS, *(
    pytest.param(name, marks=pytest.mark.nightly) for name in SMALL_FLOATS if name not in ALWAYS)])
def test_small_floats_all_pairs(name, evaluate_compiled):
    format = parse_format(name)
    a, b = (part.ravel() for part in np.meshgrid(*[np.arange(1 << format.bits)] * 2))
    out = evaluate_compiled(FloatAdder(format), a=a, b=b)
    assert (out["result"] == exact_sum(format, a, b)).all()
    out = evaluate_compiled(FloatMultiplier(format, format, format), a=a, b=b)
    assert (out["result"] == exact_product(format, format, format, a, b)).all()


@pytest.mark.parametrize("a_name, b_name", [("fp8e4m3", "fp8e4m3"), ("fp8e5m2", "fp8e4m3"),
                                            ("fp8e3m4", "fp4e2m1"), ("fp8e5m2", "fp8e5m2")])
def test_products_of_small_floats_are_exact_in_fp32(a_name, b_name, evaluate):
    a_format, b_format = parse_format(a_name), parse_format(b_name)
    a, b = pairs(a_format, b_format, FP32, FAST, 13)
    out = evaluate(FloatMultiplier(a_format, b_format, FP32), a=a, b=b)
    with np.errstate(invalid="ignore"):
        expected = decode(a_format, a) * decode(b_format, b)
    assert np.array_equal(decode(FP32, out["result"]), expected, equal_nan=True)


@pytest.mark.parametrize("stages", range(8))
def test_stages_of_the_adder(stages, evaluate):
    a, b = pairs(FP16, FP16, FP16, 150, 14)
    adder = FloatAdder(FP16, stages)
    assert adder.latency == stages
    assert (evaluate(adder, a=a, b=b)["result"] == exact_sum(FP16, a, b)).all()


@pytest.mark.parametrize("stages", range(7))
def test_stages_of_the_multiplier(stages, evaluate):
    a, b = pairs(BF16, BF16, FP32, 150, 15)
    multiplier = FloatMultiplier(BF16, BF16, FP32, stages)
    assert multiplier.latency == stages
    expected = exact_product(BF16, BF16, FP32, a, b)
    assert (evaluate(multiplier, a=a, b=b)["result"] == expected).all()


@pytest.mark.parametrize("source, target", [
    ("fp32", "bf16"), ("fp32", "fp16"), ("fp16", "fp8e5m2"), ("bf16", "fp8e4m3"),
    ("bf16", "fp4e2m1"), ("fp8e5m2", "fp16"), ("fp8e4m3", "fp32"), ("fp4e2m1", "fp8e4m3"),
    ("fp16", "bf16"),
])
@pytest.mark.parametrize("saturate", [False, True])
def test_convert(source, target, saturate, evaluate):
    source, target = parse_format(source), parse_format(target)
    if source.bits <= 8:
        codes = np.arange(1 << source.bits)
    else:
        random = np.random.default_rng(16)
        # Numbers that the target can tell apart, and any code.
        near = quantize(source, random.normal(0, 1, FAST) * 2.0**random.integers(
            max(target.lsb_exponent, source.lsb_exponent) - 2, target.exponent_high + 2, FAST))
        codes = np.concatenate([corners(source), random.integers(0, 1 << source.bits, FAST), near])
    values = decode(source, codes)
    nan = np.isnan(values)
    numbers = np.where(nan & (target.nan_code is None), 0, values)
    out = evaluate(FloatConverter(source, target, saturate=saturate), a=codes)
    assert (out["result"] == quantize(target, numbers, saturate=saturate)).all()
    assert (out["invalid"] == (nan & (target.nan_code is None))).all()


MULTIPLIED = [
    ("int8", "int8"), ("uint4", "int8"), ("uint8", "uint8"), ("bipolar3", "int4"),
    ("ternary", "int8"), ("binary", "binary"), ("fp4e2m1", "fp4e2m1"), ("fp6e3m2", "fp6e2m3"),
    ("fp8e4m3", "fp4e2m1"), ("fp8e4m3", "int8"), ("fp8e4m3", "fp8e4m3"), ("fp8e3m4", "fp8e5m2"),
]


@pytest.mark.parametrize("a_name, b_name", MULTIPLIED)
def test_exact_products_of_all_codes(a_name, b_name, evaluate, evaluate_compiled):
    a_format, b_format = parse_format(a_name), parse_format(b_name)
    decoded = {}
    for prefix, format in (("a", a_format), ("b", b_format)):
        decoded[prefix] = evaluate(TermDecoder(format), code=np.arange(1 << format.bits))
        assert (decoded[prefix]["invalid"]
                == invalid(format, np.arange(1 << format.bits))).all()
    a, b = (part.ravel() for part in np.meshgrid(np.arange(1 << a_format.bits),
                                                 np.arange(1 << b_format.bits)))
    multiplier = TermMultiplier(a_format, b_format)
    out = evaluate_compiled(multiplier, a_factor=decoded["a"]["factor"][a],
                            a_exponent=decoded["a"]["exponent"][a],
                            b_factor=decoded["b"]["factor"][b],
                            b_exponent=decoded["b"]["exponent"][b])
    x, y = fixed(a_format, a).astype(object), fixed(b_format, b).astype(object)
    assert out["product"].astype(object).tolist() == (x * y).tolist()
    assert multiplier.format == product_format(a_format, b_format)


def test_products_of_all_ovp4_pairs(evaluate):
    format = parse_format("ovp4")
    codes = np.stack(np.divmod(np.arange(256), 16), -1)
    terms = evaluate(PairDecoder(format), first=codes[:, 0], second=codes[:, 1])
    values = decode_pairs(format, codes)[:, 0]
    # One code of each value and term is enough.
    _, index = np.unique(terms["first_exponent"] * 64 + terms["first_factor"], return_index=True)
    a, b = (part.ravel() for part in np.meshgrid(index, index))
    out = evaluate(TermMultiplier(format, format),
                   a_factor=terms["first_factor"][a], a_exponent=terms["first_exponent"][a],
                   b_factor=terms["first_factor"][b], b_exponent=terms["first_exponent"][b])
    assert (out["product"] == values[a] * values[b]).all()


@pytest.mark.parametrize("stages", range(4))
def test_stages_of_products(stages, evaluate):
    format = parse_format("fp6e3m2")
    codes = np.arange(64)
    terms = evaluate(TermDecoder(format), code=codes)
    out = evaluate(TermMultiplier(format, format, stages),
                   a_factor=terms["factor"], a_exponent=terms["exponent"],
                   b_factor=terms["factor"][::-1], b_exponent=terms["exponent"][::-1])
    assert (out["product"] == fixed(format, codes) * fixed(format, codes[::-1])).all()


# Card 7D: bits of exact sums of 1, 32 and 4096 products.
@pytest.mark.parametrize("name, widths", [
    ("int8", (16, 21, 28)), ("fp4e2m1", (9, 14, 21)), ("fp6e2m3", (13, 18, 25)),
    ("fp6e3m2", (19, 24, 31)), ("fp8e4m3", (37, 42, 49)), ("fp8e5m2", (65, 70, 77)),
])
def test_exact_sum_width(name, widths):
    format = parse_format(name)
    assert tuple(product_format(format, format, terms).bits for terms in (1, 32, 4096)) == widths
    one = product_format(format, format)
    assert one.lsb_exponent == 2 * format.lsb_exponent


@pytest.mark.parametrize("count", [1, 2, 3, 5, 8])
@pytest.mark.parametrize("number", [IntegerFormat(5, True), IntegerFormat(4, False)])
def test_adder_tree(number, count, evaluate):
    levels = (count - 1).bit_length()
    random = np.random.default_rng(18)
    values = random.integers(number.code_low, number.code_high + 1, (200, count))
    values[0], values[1] = number.code_low, number.code_high
    shifts = np.arange(count) * number.bits
    packed = ((values & ((1 << number.bits) - 1)) << shifts).sum(-1)
    for stages in range(levels + 1):
        tree = AdderTree(number, count, stages)
        assert tree.latency == stages
        assert (evaluate(tree, terms=packed)["total"] == values.sum(-1)).all()
    assert AdderTree(number, count).format == number.sum_of(count)


@pytest.mark.parametrize("make, message", [
    (lambda: FloatAdder(FP16, 8), "^stages must be 0 to 7, not 8$"),
    (lambda: FloatMultiplier(FP16, FP16, FP16, 7), "^stages must be 0 to 6, not 7$"),
    (lambda: FloatConverter(FP16, FP32, -1), "^stages must be 0 to 4, not -1$"),
    (lambda: AdderTree(IntegerFormat(4, True), 0), "^count must be at least 1, not 0$"),
    (lambda: AdderTree(IntegerFormat(4, True), 4, 3), "^stages must be 0 to 2, not 3$"),
])
def test_messages(make, message):
    with pytest.raises(ValueError, match=message):
        make()
