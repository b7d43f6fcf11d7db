"""Block, pair and group codecs against the published rules and vectors."""

import ml_dtypes
import numpy as np
import pytest

from systolith.hdl.errors import Error
from systolith.hdl.formats import parse_format
from systolith.sim.formats import (
    decode,
    decode_blocks,
    decode_groups,
    decode_pairs,
    pair_terms,
    quantize_blocks,
    quantize_groups,
    quantize_pairs,
    quantize_scales,
)

MX = ["mxfp8e5m2", "mxfp8e4m3", "mxfp6e3m2", "mxfp6e2m3", "mxfp4", "mxint8"]


def test_mxfp4_vector():
    # Card 12.5.
    codes, scales = quantize_blocks(parse_format("mxfp4"),
                                    np.array([0.1, -0.75, 3.2, 6.1, 0, -2.4, 1, 0.3]))
    assert scales.tolist() == [127]
    assert codes.tolist() == [0x0, 0xA, 0x5, 0x7, 0x0, 0xC, 0x2, 0x1]


@pytest.mark.parametrize("name", MX)
def test_mx_rules(name):
    format = parse_format(name)
    random = np.random.default_rng(3)
    values = random.normal(0, 1, (50, 96)) * 2.0**random.integers(-120, 120, (50, 1))
    codes, scales = quantize_blocks(format, values)
    assert codes.shape == values.shape
    assert scales.shape == (50, 3)
    largest = np.abs(values).reshape(50, 3, 32).max(-1)
    shared = np.floor(np.log2(largest)) - format.exponent_high
    assert (scales == np.clip(shared, -127, 127) + 127).all()
    worth = scales.view(ml_dtypes.float8_e8m0fnu).astype(float)
    step = np.repeat(worth, 32, axis=-1)
    # Saturation reaches no further than one binade above the largest element.
    expected = np.clip(values / step, format.low, format.high)
    if name == "mxint8":
        expected = np.clip(np.rint(values / step * 64), -127, 127) / 64
    else:
        outside = {"mxfp8e5m2": "float8_e5m2", "mxfp8e4m3": "float8_e4m3fn",
                   "mxfp6e3m2": "float6_e3m2fn", "mxfp6e2m3": "float6_e2m3fn",
                   "mxfp4": "float4_e2m1fn"}[name]
        # One rounding from float64: scaled values are far from ties after the cast to float32.
        expected = expected.astype(np.float32).astype(getattr(ml_dtypes, outside)).astype(float)
    assert (decode_blocks(format, codes, scales) == expected * step).all()


@pytest.mark.parametrize("name", [*MX, "bfp4", "bfp8"])
def test_block_corners(name):
    format = parse_format(f"{name}/4")
    blocks = np.array([
        [0.0, 0, 0, 0],
        [1, np.nan, 2, 3],
        [1, -np.inf, 2, 3],
        [1e300, 1, 1, 1],
        [1e-300, 0, 0, 0],
        [format.high, -1, 0, 0],
    ])
    codes, scales = quantize_blocks(format, blocks)
    assert scales[:, 0].tolist() == [0, 255, 255, 255, 0, 127]
    assert (codes[:5] == 0).all()
    values = decode_blocks(format, codes, scales)
    assert np.isnan(values[1:4]).all()
    assert (values[[0, 4]] == 0).all()
    assert values[5, 0] == format.high


def test_integer_blocks():
    values = np.array([-2.0, 1.0, 1.99, 0.01])
    codes, scales = quantize_blocks(parse_format("bfp8"), values)
    # floor(log2 2) = 1: the step is 2^-5.
    assert scales.tolist() == [128]
    assert codes.astype(np.int8).tolist() == [-64, 32, 64, 0]
    values = np.array([-1.999, 1.0])
    assert quantize_blocks(parse_format("bfp8"), values)[0].astype(np.int8).tolist() == [-128, 64]
    assert quantize_blocks(parse_format("mxint8"), values)[0].astype(np.int8).tolist() == [-127, 64]
    codes, scales = quantize_blocks(parse_format("bfp4/2"), np.array([0.7, -0.1, 100.0]))
    # Step 2^(e - 2): e = -1 and e = 6.
    assert scales.tolist() == [126, 133]
    assert (codes.astype(np.int8) << 4 >> 4).tolist() == [6, -1, 6]


@pytest.mark.parametrize("rounding, codes", [("rne", [4, 6, 2, 4]), ("half_away", [4, 6, 3, 5]),
                                             ("toward_zero", [4, 5, 2, 4])])
def test_mx_rounding(rounding, codes):
    # 2, 3.5, 1.25 and 2.5 in steps of fp4e2m1.
    values = np.array([2.0, 3.5, 1.25, 2.5])
    assert quantize_blocks(parse_format("mxfp4"), np.append(values, 4.0), rounding)[0].tolist() == [
        *codes, 6]


def test_block_shapes():
    format = parse_format("mxfp4/4")
    with pytest.raises(Error, match=r"^codes of shape \(2, 5\) in mxfp4e2m1/4 take scales of shape "
                                    r"\(2, 2\), not \(2, 1\)$"):
        decode_blocks(format, np.zeros((2, 5), np.uint8), np.zeros((2, 1), np.uint8))


# Card 12.2: low half of the byte first.
@pytest.mark.parametrize("byte, values, illegal", [
    (0x87, (96, 0), False), (0x38, (0, 24), False), (0x9F, (-1, -7), False), (0x88, (0, 0), True),
    (0x08, (0, 0), True),
])
def test_ovp4_vectors(byte, values, illegal):
    format = parse_format("ovp4")
    codes = np.array([byte & 15, byte >> 4])
    assert tuple(decode_pairs(format, codes)) == values
    assert pair_terms(format, codes).illegal.tolist() == [illegal] * 2


def test_ovp4_outliers():
    format = parse_format("ovp4")
    codes = np.array([[code, 8] for code in range(1, 8)])
    assert decode_pairs(format, codes)[:, 0].tolist() == [12, 16, 24, 32, 48, 64, 96]


@pytest.mark.parametrize("name", ["ovp4", "ovp8"])
def test_pairs_of_all_codes(name):
    format = parse_format(name)
    first, second = np.divmod(np.arange(1 << 2 * format.bits), 1 << format.bits)
    codes = np.stack([first, second], -1)
    terms, values = pair_terms(format, codes), decode_pairs(format, codes)
    legal = ~terms.illegal.any(-1)
    assert np.abs(values).max() == format.high
    assert terms.exponent.max() == format.shift_high
    assert np.abs(terms.integer).max() == max(format.normal_high, (2 << format.fraction_bits) - 1)
    again = quantize_pairs(format, values[legal].astype(float))
    # Every legal pair is a fixed point of quantization, if only in value: where an outlier's value
    # is no larger than an integer, there is none.
    assert (decode_pairs(format, again) == values[legal]).all()
    assert (again == codes[legal]).all()


def test_pair_policies():
    format = parse_format("ovp4")
    values = np.array([20.0, -40.0])
    assert decode_pairs(format, quantize_pairs(format, values)).tolist() == [0, -32]
    assert decode_pairs(format, quantize_pairs(format, values, policy="even")).tolist() == [16, 0]
    equal = np.array([20.0, -20.0])
    assert decode_pairs(format, quantize_pairs(format, equal)).tolist() == [16, 0]
    ends = np.array([9.5, -7.6, 9.6, 1, 1000, 2, -8])
    assert decode_pairs(format, quantize_pairs(format, ends)).tolist() == [
        7, -7, 12, 0, 96, 0, -7, 0]


@pytest.mark.parametrize("name", ["ovp4", "ovp8"])
def test_pairs_keep_the_outlier(name):
    format = parse_format(name)
    values = np.random.default_rng(4).standard_t(2, (200, 64)) * format.normal_high / 2
    result = decode_pairs(format, quantize_pairs(format, values))
    terms = pair_terms(format, quantize_pairs(format, values))
    assert not terms.illegal.any()
    threshold = (format.normal_high + format.outlier_low) / 2
    magnitude = np.abs(values)
    partner = magnitude.reshape(200, 32, 2)[..., ::-1].reshape(200, 64)
    victim = (partner > threshold) & (magnitude < partner)
    assert (result[victim] == 0).all()
    inside = (magnitude > threshold) & (magnitude < format.outlier_high) & ~victim
    # Half a step of the outlier grid, but below its smallest value.
    error = np.abs(result - values)[inside]
    step = 2.0**(np.floor(np.log2(magnitude[inside])) - format.fraction_bits)
    assert (error <= np.maximum(step / 2, format.outlier_low - threshold)).all()


def test_bitmod_grid():
    four, three = parse_format("bitmod4"), parse_format("bitmod3")
    codes = np.arange(16)
    for index, special in enumerate([5, -5, 8, -8]):
        values = decode_groups(four, codes, np.array([index]))
        assert values[8] == special
        magnitudes = [0, 0.5, 1, 1.5, 2, 3, 4, 6]
        assert values[:8].tolist() == magnitudes
        assert values[9:].tolist() == [-value for value in magnitudes[1:]]
    values = decode_groups(three, np.arange(8), np.array([3]))
    assert values.tolist() == [0, 1, 2, 4, -6, -1, -2, -4]


def test_bitmod_picks_the_best_special_value():
    format = parse_format("bitmod4/8")
    rows = []
    for special in format.special_values:
        largest = 8.0 if abs(special) == 8 else 6.0
        filler = [special, largest * np.sign(special) if abs(special) == 8 else 6.0]
        rows.append([*filler, 0, 0.5, -1.5, 3, -4, 2])
    values = np.array(rows) * 0.125
    codes, scales, select = quantize_groups(format, values)
    assert select[:, 0].tolist() == [0, 1, 2, 3]
    assert scales[:, 0].tolist() == [0.125] * 4
    assert (decode_groups(format, codes, select, scales) == values).all()


def test_bitmod_is_the_best_of_all():
    format = parse_format("bitmod3/16")
    values = np.random.default_rng(5).normal(0, 1, (20, 16))
    codes, scales, select = quantize_groups(format, values)
    error = ((decode_groups(format, codes, select, scales) - values) ** 2).sum(-1)
    for special in format.special_values:
        grid = np.array(sorted({0, 1, 2, 4, -1, -2, -4, special}))
        scale = np.abs(values).max(-1) / np.abs(grid).max()
        distance = np.abs(values[..., None] - grid * scale[:, None, None]).min(-1)
        assert (error <= (distance**2).sum(-1) * (1 + 1e-12)).all()


def test_bitmod_zero_group():
    format = parse_format("bitmod4/4")
    codes, scales, select = quantize_groups(format, np.array([0.0, -0.0, 0, 0, 1, 0]))
    assert codes[:4].tolist() == [0, 0, 0, 0]
    assert scales[0] == 1e-5
    assert select[0] == 0


def test_bitmod_scales():
    scales = np.array([[0.5, 0.25, 1.27], [0, 0, 0]])
    codes, channels = quantize_scales(scales)
    assert channels.tolist() == [float(np.float16(0.01)), 0]
    assert codes.tolist() == [[50, 25, 127], [0, 0, 0]]


@pytest.mark.parametrize("call, message", [
    (lambda: quantize_pairs(parse_format("ovp4"), np.array([np.nan, 0])),
     "^ovp4 has no code for NaN and infinities$"),
    (lambda: quantize_pairs(parse_format("ovp4"), np.zeros(2), policy="odd"),
     "^policy must be 'larger' or 'even', not 'odd'$"),
    (lambda: decode_pairs(parse_format("ovp4"), np.zeros(3, int)),
     r"^ovp4 goes in pairs; the last axis of \(3,\) is odd$"),
    (lambda: quantize_groups(parse_format("bitmod4"), np.array([np.inf])),
     "^bitmod4 has no code for NaN and infinities$"),
    (lambda: decode_groups(parse_format("bitmod4"), np.zeros(129, int), np.zeros(1, int)),
     r"^codes of shape \(129,\) in bitmod4 take select of shape \(2,\), not \(1,\)$"),
])
def test_messages(call, message):
    with pytest.raises(Error, match=message):
        call()


def test_scale_is_e8m0():
    codes = np.arange(256, dtype=np.uint8)
    expected = codes.view(ml_dtypes.float8_e8m0fnu).astype(float)
    values = decode_blocks(parse_format("mxint8/1"), np.full(256, 64), codes)
    assert np.array_equal(values, expected, equal_nan=True)
    assert decode(parse_format("mxint8").element, np.array([64])).tolist() == [1.0]
