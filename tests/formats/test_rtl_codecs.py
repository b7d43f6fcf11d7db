# amaranth: UnusedElaboratable=no
"""Decoders and encoders in Amaranth against the numpy codecs: every code of up to 16 bits."""

from fractions import Fraction

import numpy as np
import pytest

from systolith.generators.verilog import emit
from systolith.hdl.arithmetic.decoders import (
    BitmodDecoder,
    FixedDecoder,
    FloatDecoder,
    PairDecoder,
)
from systolith.hdl.arithmetic.rounding import FixedRounder, FloatEncoder
from systolith.hdl.arithmetic.shifting import LeadingZeros, Shifter
from systolith.hdl.formats import FP16, FP32, FloatFormat, IntegerFormat, parse_format
from systolith.sim.formats import (
    decode,
    decode_groups,
    fixed,
    invalid,
    pair_terms,
    quantize,
)

FLOATS = [f"fp{bits}e{e}m{bits - 1 - e}" for bits in range(3, 9) for e in range(1, bits)]
LONG_FLOATS = [f"fp{bits}e{e}m{bits - 1 - e}" for bits in range(9, 17)
               for e in range(1, min(bits, 12))]
OTHERS = [*(f"{sign}int{bits}" for sign in ("", "u") for bits in range(1, 9)),
          *(f"bipolar{bits}" for bits in range(1, 9)), "ternary", "binary"]


def all_codes(format):
    return np.arange(1 << format.bits)


@pytest.mark.parametrize("name", [*OTHERS, *FLOATS])
def test_fixed_decoder_all_codes(name, evaluate):
    format = parse_format(name)
    codes = all_codes(format)
    out = evaluate(FixedDecoder(format), code=codes)
    assert (out["invalid"] == invalid(format, codes)).all()
    values = np.where(out["invalid"], 0, decode(format, codes)).tolist()
    assert out["value"].tolist() == [int(Fraction(value) / Fraction(2) ** format.lsb_exponent)
                                     for value in values]


@pytest.mark.parametrize("name", [*FLOATS, "fp16", "bf16", "fp16e11m4", *(
    pytest.param(name, marks=pytest.mark.nightly) for name in LONG_FLOATS)])
def test_float_decoder_all_codes(name, evaluate, evaluate_compiled):
    format = parse_format(name)
    codes = all_codes(format)
    out = (evaluate if format.bits <= 8 else evaluate_compiled)(FloatDecoder(format), code=codes)
    values = decode(format, codes)
    assert (out["nan"] == np.isnan(values)).all()
    assert (out["inf"] == np.isinf(values)).all()
    sign = np.where(out["sign"], -1.0, 1.0)
    finite = np.isfinite(values)
    worth = sign * np.ldexp(out["significand"].astype(float), out["exponent"] + format.lsb_exponent)
    assert (worth[finite] == values[finite]).all()
    assert (out["significand"][~finite] == 0).all()
    assert (out["sign"] == codes >> (format.bits - 1)).all()


@pytest.mark.parametrize("name", ["ovp4", "ovp8"])
def test_pair_decoder_all_pairs(name, evaluate_compiled):
    format = parse_format(name)
    codes = all_codes(format)
    first, second = (part.ravel() for part in np.meshgrid(codes, codes))
    terms = pair_terms(format, np.stack([first, second], -1))
    out = evaluate_compiled(PairDecoder(format), first=first, second=second)
    for index, name in enumerate(("first", "second")):
        assert (out[f"{name}_exponent"] == terms.exponent[:, index]).all()
        assert (out[f"{name}_factor"] == terms.integer[:, index]).all()
    assert (out["illegal"] == terms.illegal[:, 0]).all()


@pytest.mark.parametrize("name", ["bitmod3/1", "bitmod4/1"])
def test_bitmod_decoder_all_codes(name, evaluate):
    format = parse_format(name)
    codes, select = (part.ravel() for part in np.meshgrid(all_codes(format), np.arange(4)))
    special = np.array(format.special_values)[select] * 2
    expected = decode_groups(format, codes[:, None], select[:, None])[:, 0] * 2
    out = evaluate(BitmodDecoder(format), code=codes, special=special.astype(int))
    assert (out["value"] == expected).all()


class Convert:
    """Numbers as an encoder takes them: integers of ``width`` bits and exponents in a range."""

    def __init__(self, width, exponents):
        self.width, self.exponents = width, exponents

    def split(self, values):
        """Exact for float64 ``values`` whose significands fit."""
        fraction, exponent = np.frexp(np.where(np.isfinite(values), values, 0))
        magnitude = np.ldexp(np.abs(fraction), self.width)
        exponent = exponent - self.width
        # Unnormalized where the range of exponents ends.
        low = np.maximum(self.exponents.start - exponent, 0)
        magnitude, exponent = np.ldexp(magnitude, -low), exponent + low
        assert (magnitude == np.floor(magnitude)).all()
        exponent = np.where(magnitude == 0, self.exponents.start, exponent)
        return {"sign": np.signbit(values).astype(int), "exponent": exponent - self.exponents.start,
                "magnitude": magnitude.astype(np.int64), "sticky": np.zeros(len(values), int),
                "inf": np.isinf(values).astype(int), "nan": np.isnan(values).astype(int)}


def corners(format):
    """Every finite value, the middles between them, neighbours of both, and what lies beyond."""
    codes = all_codes(format)
    values = np.unique(decode(format, codes[~invalid(format, codes)]))
    gaps = np.diff(values)
    step = gaps[-1]
    points = [values, values[:-1] + gaps / 2, values[:-1] + gaps * 7 / 16,
              values[:-1] + gaps * 9 / 16, values[-1] + step * np.array([0.25, 0.5, 0.75, 1, 2]),
              values[0] - step * np.array([0.25, 0.5, 0.75, 1, 2]), [0.0, -0.0],
              [format.high * 1024, -format.high * 1024, np.inf, -np.inf, np.nan],
              np.ldexp([0.5, -0.5, 0.75, 0.25, 0.125], format.lsb_exponent)]
    return np.concatenate(points)


def encode_expected(format, values, rounding, saturate):
    nan = np.isnan(values)
    numbers = np.where(nan, 1.0 if format.nan_code is None else np.nan, values)
    codes = quantize(format, numbers, rounding, saturate)
    return np.where(nan & (format.nan_code is None), 0, codes)


@pytest.mark.parametrize("name", FLOATS)
def test_float_encoder(name, evaluate):
    format = parse_format(name)
    width = format.fraction_bits + 7
    convert = Convert(width, range(format.lsb_exponent - width, format.exponent_high + 12 - width))
    values = corners(format)
    out = evaluate(FloatEncoder(format, width, convert.exponents), **convert.split(values))
    assert (out["code"] == encode_expected(format, values, "rne", False)).all()
    finite = np.isfinite(values)
    with np.errstate(invalid="ignore"):
        rounded = decode(FloatFormat(11, format.fraction_bits),
                         quantize(FloatFormat(11, format.fraction_bits),
                                  np.where(finite, values, 0)))
    assert (out["overflow"] == (np.abs(rounded) > format.high)).all()
    assert (out["invalid"] == (np.isnan(values) & (format.nan_code is None))).all()


@pytest.mark.parametrize("saturate", [False, True])
@pytest.mark.parametrize("rounding", ["rne", "half_away", "toward_zero"])
@pytest.mark.parametrize("name", ["fp8e4m3", "fp8e5m2", "fp4e2m1"])
def test_float_encoder_modes(name, rounding, saturate, evaluate):
    format = parse_format(name)
    width = format.fraction_bits + 7
    convert = Convert(width, range(format.lsb_exponent - width, format.exponent_high + 12 - width))
    values = corners(format)
    encoder = FloatEncoder(format, width, convert.exponents, 0, rounding, saturate=saturate)
    out = evaluate(encoder, **convert.split(values))
    assert (out["code"] == encode_expected(format, values, rounding, saturate)).all()


@pytest.mark.parametrize("stages", range(5))
@pytest.mark.parametrize("source, target", [(FP32, FP16), ("fp8e5m2", "fp8e4m3"),
                                            ("fp8e4m3", "fp6e2m3")])
def test_float_encoder_stages(source, target, stages, evaluate):
    source, target = (parse_format(str(name)) for name in (source, target))
    random = np.random.default_rng(6)
    exponents = range(source.lsb_exponent, source.exponent_high - source.fraction_bits + 1)
    convert = Convert(1 + source.fraction_bits, exponents)
    values = random.normal(0, 1, 300) * 2.0**random.integers(
        target.lsb_exponent - 3, target.exponent_high + 2, 300)
    values = decode(source, quantize(source, values))
    out = evaluate(FloatEncoder(target, convert.width, exponents, stages), **convert.split(values))
    assert (out["code"] == quantize(target, values, saturate=False)).all()


def test_sticky_breaks_ties(evaluate):
    format = parse_format("fp8e4m3")
    # 17 in six bits lies in the middle between 16 and 18.
    both = {"sign": 0, "exponent": 0, "magnitude": 0b100010, "inf": 0, "nan": 0}
    inputs = {name: [value] * 2 for name, value in both.items()}
    out = evaluate(FloatEncoder(format, 6, range(1)), **inputs, sticky=[0, 1])
    assert decode(format, out["code"]).tolist() == [32, 36]


@pytest.mark.parametrize("rounding", ["rne", "half_away", "toward_zero", "half_up", "floor",
                                      "ceiling"])
@pytest.mark.parametrize("source, target, symmetric", [
    (IntegerFormat(9, True), IntegerFormat(4, True, 2), False),
    (IntegerFormat(9, True), IntegerFormat(8, True, 3), True),
    (IntegerFormat(8, False), IntegerFormat(4, False, 3), False),
    (IntegerFormat(8, True), IntegerFormat(4, True, 0), True),
    (IntegerFormat(6, True), IntegerFormat(9, False, -2), False),
    (IntegerFormat(5, True), IntegerFormat(4, True, 5), False),
    (IntegerFormat(5, True), IntegerFormat(4, True, 7), False),
    (IntegerFormat(5, False), IntegerFormat(4, True, 5), False),
])
def test_fixed_rounder_all_values(source, target, symmetric, rounding, evaluate):
    values = np.arange(source.code_low, source.code_high + 1)
    out = evaluate(FixedRounder(source, target, rounding, symmetric=symmetric), value=values)
    exact = values * 2.0**source.lsb_exponent
    wide = IntegerFormat(32, True, target.lsb_exponent)
    unlimited = -fixed(wide, quantize(wide, -exact, "floor")) if rounding == "ceiling" else fixed(
        wide, quantize(wide, exact, rounding))
    expected = np.clip(unlimited, target.code_low + symmetric, target.code_high)
    assert (out["result"] == expected).all()
    assert (out["saturated"] == (unlimited != expected)).all()


@pytest.mark.parametrize("rounding", ["rne", "half_away", "floor", "ceiling"])
@pytest.mark.parametrize("reach", [(-256, 255), (-30, 29), (-31, 255), (-256, 29), (-3, 9)])
def test_what_cannot_be_reached_is_not_looked_for(reach, rounding, evaluate):
    source, target = IntegerFormat(9, True), IntegerFormat(4, True, 2)
    values = np.arange(reach[0], reach[1] + 1)
    rounder = FixedRounder(source, target, rounding, reach=reach)
    whole, part = (evaluate(each, value=values)
                   for each in (FixedRounder(source, target, rounding), rounder))
    assert all((part[name] == whole[name]).all() for name in ("result", "saturated"))
    unlimited = evaluate(FixedRounder(source, IntegerFormat(9, True, 2), rounding), value=values)
    assert rounder.reach == (unlimited["result"].min(), unlimited["result"].max())
    low, high = rounder.reach[0] < -8, rounder.reach[1] > 7
    assert ("if (" in emit(rounder, name="rounder").text) == (low or high)


@pytest.mark.parametrize("width", [1, 2, 3, 7, 8, 9])
def test_leading_zeros_all_words(width, evaluate):
    words = np.arange(1 << width)
    out = evaluate(LeadingZeros(width), word=words)
    expected = [width - int(word).bit_length() for word in words]
    assert (out["count"][1:] == expected[1:]).all()
    assert out["zero"].tolist() == [1] + [0] * (len(words) - 1)


@pytest.mark.parametrize("left", [False, True])
@pytest.mark.parametrize("width, most", [(5, 4), (6, 9), (4, 1), (7, 3)])
def test_shifter_all_words(width, most, left, evaluate):
    words, amounts = (part.ravel() for part in np.meshgrid(np.arange(1 << width),
                                                           np.arange(most + 1)))
    out = evaluate(Shifter(width, most, left=left), word=words, amount=amounts)
    mask = (1 << width) - 1
    expected = (words << amounts) & mask if left else words >> amounts
    assert (out["result"] == expected).all()
    lost = (words << amounts) >> width if left else words & ((1 << amounts) - 1)
    assert (out["lost"] == (lost != 0)).all()


def test_shifter_in_steps(evaluate):
    words, amounts = (part.ravel() for part in np.meshgrid(np.arange(1 << 9), np.arange(4)))
    out = evaluate(Shifter(9, 3, left=True, step=4), word=words, amount=amounts)
    assert (out["result"] == words << 4 * amounts & 0x1FF).all()
    assert (out["lost"] == (words << 4 * amounts > 0x1FF)).all()


@pytest.mark.parametrize("make, message", [
    (lambda: FloatEncoder(FP16, 12, range(4), 5), "^stages must be 0 to 4, not 5$"),
    (lambda: FixedRounder(IntegerFormat(4, True), IntegerFormat(4, True), "up"),
     "^rounding must be one of rne, half_away, toward_zero, half_up, floor, ceiling, "
     "not 'up'$"),
])
def test_messages(make, message):
    with pytest.raises(ValueError, match=message):
        make()
