"""The bit-serial model against the paper's example, a PE in fractions, and plain products."""

import re
from fractions import Fraction
from itertools import islice

import numpy as np
import pytest

from systolith.hdl.bitserial.config import TYPES, BitserialConfig
from systolith.hdl.errors import ConfigError, Error
from systolith.hdl.formats import BitmodFormat
from systolith.sim.bitserial import MODEL, golden
from systolith.sim.formats import decode_groups, quantize_groups, quantize_scales
from systolith.sim.model import Workload

SMALL = {"rows": 2, "cols": 3, "group": 16}
INT8 = {**SMALL, "a_format": "int8"}
NUMBER = {kind.name: number for number, kind in enumerate(TYPES)}


def call(values, a, w, **given):
    config = BitserialConfig.parse(values)
    workload = MODEL.check(config, Workload("", {"a": a, "w": w, **given}))
    return config, workload, MODEL.golden(config, workload)


def encode(name, codes, special=0, naf=False):
    codes = np.asarray(codes).reshape(1, -1)
    return golden.encode(NUMBER[name], codes & 255, np.array([special]), naf)


def worth(terms):
    """Values of terms, in units of 1 or 0.5."""
    signs = np.where(terms.sign, -1, 1) * terms.present
    return (signs << terms.exponent << terms.digit).sum(-1)[0]


# ---- terms -----------------------------------------------------------------------------------

@pytest.mark.parametrize("name, bits", [("int8", 8), ("int6", 6), ("int5", 5)])
def test_booth_digits_add_up(name, bits):
    values = np.arange(-1 << bits - 1, 1 << bits - 1)
    terms = encode(name, values)
    np.testing.assert_array_equal(worth(terms), values)
    assert terms.present.shape[-1] == {8: 4, 6: 3, 5: 3}[bits]
    assert not terms.bad_code.any()


@pytest.mark.parametrize("bits", [4, 3])
def test_two_terms_add_up(bits):
    format = BitmodFormat(bits)
    codes = np.arange(1 << bits)
    for select, special in enumerate(format.special_values):
        terms = encode(format.name, codes, int(2 * special))
        values = decode_groups(format, codes, np.array([select]))
        np.testing.assert_array_equal(worth(terms), 2 * values)
        assert not terms.bad_special.any()


def test_special_values_that_two_terms_reach():
    """The card's list: of sums 0 to 6 and 8, and of differences also 3.5, 7 and 7.5."""
    sums = {0, .5, 1, 1.5, 2, 2.5, 3, 4, 4.5, 5, 6, 8}
    for naf, reached in ((False, sums), (True, sums | {3.5, 7, 7.5})):
        for doubled in range(-32, 32):
            terms = encode("bitmod4", [8], doubled, naf)
            assert terms.bad_special[0, 0] == (abs(doubled) / 2 not in reached)
            assert worth(terms)[0] == (0 if terms.bad_special[0, 0] else doubled)


def test_the_papers_seven_is_eight_minus_one():
    terms = encode("bitmod4", [8], 14, naf=True)
    assert terms.sign[0, 0].tolist() == [True, False]
    assert (terms.exponent[0, 0] + terms.digit).tolist() == [1, 4]      # of 0.5


# ---- the PE ----------------------------------------------------------------------------------

def test_example_of_the_card():
    """Section 12, vector 1: exponents, sums and registers cycle by cycle."""
    config = BitserialConfig.parse({"group": 16})
    a = golden.split(np.array([[0x3E00, 0xC080, 0x3000, 0x4700]], np.uint16).view(np.float16))
    terms = encode("bitmod4", [5, 9, 8, 15], 10)                        # 3, −0.5, 5, −6
    assert terms.sign[0, :, 0].tolist() == [False, True, False, True]
    assert terms.exponent[0, :, 0].tolist() == [1, 0, 1, 2]
    assert terms.present[0, :, 1].tolist() == [True, False, True, True]
    mantissa, exponent = np.zeros((1, 1), int), np.zeros((1, 1), int)
    seen = []
    for index in range(2):
        product, largest = golden.dot(config, a, terms, index)
        mantissa, exponent = golden.add(mantissa, exponent, product << index, largest, 14, "trunc")
        seen.append((product[0, 0], largest[0, 0], mantissa[0, 0], exponent[0, 0]))
    assert seen == [(-11520, 19, -11520, 19), (-12544, 19, -9152, 21)]
    assert seen[-1][2] * 2.0 ** (seen[-1][3] - 28) / 2 == -35.75


def divide(value, distance, rounding):
    exact = Fraction(value) / (1 << distance)
    return exact.__floor__() if rounding == "trunc" else round(exact)


def one_pe(config, a, terms):
    """A group, number by number; products are cut towards zero, sums rounded down."""
    acc = exponent = 0
    for start in range(0, len(a), 4):
        for index, digit in enumerate(terms.digit):
            products = []
            for k in range(start, start + 4):
                code = int(np.float16(a[k]).view(np.uint16))
                field, significand = code >> 10 & 31, code & 1023
                significand += 1024 if field else 0
                present = bool(terms.present[0, k, index])
                products.append((max(field, 1) + int(terms.exponent[0, k, index]),
                                 significand * present << config.guard,
                                 bool(code >> 15) ^ bool(terms.sign[0, k, index]), present))
            largest = max(e if present or not config.mask_zero_lanes else 0
                          for e, _, _, present in products)
            total = sum((-1 if negative else 1) * divide(p, max(largest - e, 0), config.rounding)
                        for e, p, negative, _ in products) << int(digit)
            common = max(exponent, largest)
            acc = (divide(acc, common - exponent, config.rounding)
                   + divide(total, common - largest, config.rounding))
            excess = max(0, abs(acc).bit_length() - 11 - config.guard)
            acc, exponent = divide(acc, excess, config.rounding), common + excess
    return acc, exponent


@pytest.mark.parametrize("values", [
    {}, {"rounding": "rne"}, {"mask_zero_lanes": True, "guard": 0},
    {"rounding": "rne", "mask_zero_lanes": True, "guard": 5}], ids=str)
def test_a_pe_in_fractions(values):
    config = BitserialConfig.parse({**SMALL, **values})
    rng = np.random.default_rng(3)
    for case in range(40):
        kind = TYPES[case % len(TYPES)]
        codes = rng.integers(0, 1 << kind.format.bits, (1, 16))
        terms = golden.encode(case % len(TYPES), codes, np.array([10]), False)
        spread = int(rng.choice([0, 2, 12]))
        a = (rng.normal(size=16) * 2.0 ** rng.integers(-spread, spread + 1, 16)).astype(np.float16)
        mantissa, exponent = golden.group_sum(config, golden.split(a[None].astype(float)), terms)
        assert (mantissa[0, 0], exponent[0, 0]) == one_pe(config, a, terms)


def test_product_is_aligned_where_the_sum_has_the_larger_exponent():
    """The first defect of the reference: small products after large ones would count as large."""
    a = np.array([[60000.0] + [0.0] * 3 + [1.0] * 12])
    _, _, result = call(SMALL, a, np.full((1, 16), 64))
    assert result["y"][0, 0] == pytest.approx(64 * (60000 + 12), rel=2**-11)


@pytest.mark.parametrize("sign", [1, -1])
def test_sum_of_all_lanes_at_full_scale(sign):
    """The second: 4 · 16376 · 2^6 beside a full running sum takes 24 bits."""
    a = np.full((1, 16), sign * 65504.0)
    _, _, result = call(SMALL, a, np.full((1, 16), -128))
    exact = -128 * 16 * sign * 65504
    assert result["y"][0, 0] == pytest.approx(exact, rel=2**-11)


# ---- the whole core --------------------------------------------------------------------------

@pytest.mark.parametrize("name", NUMBER)
def test_int8_activations_are_exact(name):
    """Plain products of what the codes stand for, in whole numbers of 0.5."""
    rng = np.random.default_rng(8)
    kind = TYPES[NUMBER[name]]
    a = rng.integers(-128, 128, (3, 50))
    codes = rng.integers(0, 1 << kind.format.bits, (4, 50))
    scales, select = rng.integers(-128, 128, (4, 4)), rng.integers(0, 4, (4, 4))
    if kind.mixture:
        form = BitmodFormat(kind.format.bits, 16)
        doubled = 2 * decode_groups(form, codes, select)
    else:
        codes = codes - (codes >> kind.format.bits - 1 << kind.format.bits)
        doubled = 2 * codes
    weights = doubled.astype(np.int64) * np.repeat(scales, 16, axis=1)[:, :50]
    _, _, result = call(INT8, a, codes, types=name, scales=scales, select=select)
    np.testing.assert_array_equal(result["sums"], a @ weights.T)
    np.testing.assert_array_equal(result["y"], (a @ weights.T) / 2)


def test_int8_sums_wrap_and_say_so():
    """33 groups of 16 · 2^14 · −128 in units of 0.5 leave 32 bits, 32 groups just fit."""
    for groups, flagged in ((32, False), (33, True)):
        shape = 1, 16 * groups
        config, _, result = call({**INT8, "acc_width": 32}, np.full(shape, -128),
                                 np.full(shape, -128), scales=-128)
        want = -groups << 26
        assert result["sums"][0, 0] == (want + (1 << 31)) % (1 << 32) - (1 << 31)
        assert (config.flags[0][0], result["flags"]) == ("overflow", int(flagged))

@pytest.mark.parametrize("rounding", ["trunc", "rne"])
@pytest.mark.parametrize("name", NUMBER)
def test_error_against_float64(name, rounding):
    config = BitserialConfig.parse({"group": 128, "rounding": rounding})
    rng = np.random.default_rng(4)
    kind = TYPES[NUMBER[name]]
    a = rng.normal(size=(5, 512)).astype(np.float16).astype(float)
    codes = rng.integers(0, 1 << kind.format.bits, (6, 512))
    scales, select = rng.integers(1, 128, (6, 4)), rng.integers(0, 4, (6, 4))
    if kind.mixture:
        weights = decode_groups(kind.format, codes, select, scales.astype(float))
    else:
        codes = codes - (codes >> kind.format.bits - 1 << kind.format.bits)
        weights = codes * np.repeat(scales, 128, axis=1)
    _, _, result = call(config.model_dump(), a, codes, types=name, scales=scales, select=select)
    exact = a @ weights.T
    assert np.abs(result["y"] - exact).max() < np.abs(exact).max() * (
        0.01 if rounding == "trunc" else 0.002)
    assert result["flags"] == 0


def test_quantized_weights_with_two_levels_of_scales():
    rng = np.random.default_rng(6)
    weights, a = rng.standard_t(5, (6, 256)), rng.normal(size=(4, 256))
    format = BitmodFormat(4, 128)
    codes, scales, select = quantize_groups(format, weights)
    levels, channels = quantize_scales(scales)
    _, _, result = call({"rounding": "rne"}, a, codes, types=format.name, scales=levels,
                        select=select, channels=channels)
    dequantized = decode_groups(format, codes, select, levels * channels[:, None])
    np.testing.assert_allclose(result["y"], a @ dequantized.T, atol=0.02)
    assert np.corrcoef(result["y"].ravel(), (a @ weights.T).ravel())[0, 1] > 0.98


def test_groups_of_zeros_and_their_scales():
    """The quantizer gives a group of zeros the least scale and codes 0: the sum is 0, no flag."""
    codes, scales, select = quantize_groups(BitmodFormat(3, 16), np.zeros((2, 32)))
    assert not codes.any()
    levels, channels = quantize_scales(scales)
    _, _, result = call(SMALL, np.ones((1, 32)), codes, types="bitmod3", scales=levels,
                        select=select, channels=channels)
    assert not result["y"].any() and result["flags"] == 0


@pytest.mark.parametrize("given, raised", [
    ({"a": [[np.inf, 1.0]]}, ["not_finite"]), ({"types": 6}, ["bad_type"]),
    ({"types": "int5", "w": [[1, 16]]}, ["bad_code"]),
    ({"types": "bitmod3", "w": [[1, 9]]}, ["bad_code"]),
    ({"types": "bitmod4", "w": [[1, 8]], "bitmod4_special": [7, 7, 7, 7]}, ["bad_special"]),
    ({"types": "bitmod4", "w": [[1, 8]], "bitmod4_special": [9, 9, 9, 9]}, ["bad_special"]),
    ({"scales": 0}, ["zero_scale"]), ({"a": [[2.0**-24, -(2.0**-20)]]}, []),
])
def test_flags(given, raised):
    arguments = {"a": [[1.0, 2.0]], "w": [[1, 2]], **given}
    config, _, result = call(SMALL, **arguments)
    assert [name for bit, (name, _) in enumerate(config.flags) if result["flags"] >> bit & 1] \
        == raised


def test_codes_that_are_none_count_as_documented():
    a = [[1.0, 1.0]]
    for given, want in (({"types": 5, "w": [[100, -3]]}, 97),
                        ({"types": "int5", "w": [[33, 1]]}, 2),
                        ({"types": "bitmod3", "w": [[9, 1]]}, 2),
                        ({"types": "bitmod4", "w": [[8, 2]], "bitmod4_special": [7] * 4}, 1)):
        assert call(SMALL, a, **given)[2]["y"][0, 0] == want


@pytest.mark.parametrize("values", [SMALL, INT8, {"rows": 3, "cols": 1, "group": 20,
                                                  "rounding": "rne"}], ids=str)
def test_driver(values):
    config = BitserialConfig.parse(values)
    for workload in islice(MODEL.stimulus(config, np.random.default_rng(2)), 16):
        workload = MODEL.check(config, workload)
        assert MODEL.check(config, workload).arrays.keys() == workload.arrays.keys()
        result = dict(MODEL.golden(config, workload))
        result.pop("flags")
        job = MODEL.pack(config, workload)
        beats = MODEL.expect(config, workload, result)["y"]
        assert len(beats) == job.outputs["y"] == beats.frames * config.rows
        assert len(job.inputs["a"]) == len(job.inputs["w"]) == len(job.inputs["s"]) * config.beats
        back = MODEL.unpack(config, workload, {"y": beats.data})
        for name, array in result.items():
            np.testing.assert_array_equal(back[name], array, workload.label)


@pytest.mark.parametrize("name, cycles", [("int8", 128), ("int6", 96), ("int5", 96),
                                          ("bitmod4", 64), ("bitmod3", 64)])
def test_cycles_of_a_group_and_products_per_cycle(name, cycles):
    config = BitserialConfig.parse({})
    lengths = [MODEL.cycles(config, MODEL.check(config, Workload("", {
        "a": np.zeros((8, k)), "w": np.zeros((8, k), int), "types": name})))
        for k in (128, 256, 128 * 129)]
    assert lengths[1] - lengths[0] == cycles
    per_cycle = 128 * 129 / lengths[2]
    assert 0.99 * 128 / cycles < per_cycle < 128 / cycles
    assert 128 / cycles == {"int8": 1, "int6": 4 / 3, "int5": 4 / 3}.get(name, 2)


@pytest.mark.parametrize("arguments, message", [
    ({"w": [[1]]}, "a has shape (1, 2) and w has shape (1, 1); a is (T, K), w is (N, K), and the K "
                   "must be equal"),
    ({"types": "fp4"}, "unknown type 'fp4'; types are int8, int6, int5, bitmod4, bitmod3"),
    ({"types": [1, 2]}, "types has 2 values and K has 1 groups; give one for each, or a single "
                        "one"),
    ({"w": [[1, 256]]}, "w must hold values from -128 to 255, not 256 at [0, 1]"),
    ({"scales": [[1, 2]]}, "scales must be of shape (1, 1), one for each row of w and group of K, "
                           "or a single one, not of shape (1, 2)"),
    ({"scales": 128}, "scales must hold values from -128 to 127, not 128"),
    ({"channels": [1.0, 2.0]}, "channels must be 1 numbers, one for each row of w, or a single "
                               "one, not float64 of shape (2,)"),
    ({"bitmod4_special": [1, 2]}, "bitmod4_special must be 4 numbers, not int64 of shape (2,)"),
    ({"bitmod3_special": [0.25, 0, 0, 0]}, "bitmod3_special must hold multiples of 0.5, -16.0 to "
                                           "15.5, not [0.25, 0.0, 0.0, 0.0]"),
])
def test_messages(arguments, message):
    with pytest.raises(Error, match=f"^{re.escape(message)}$"):
        call(SMALL, **{"a": [[1.0, 2.0]], "w": [[1, 2]], **arguments})


@pytest.mark.parametrize("values, message", [
    ({"group": 18}, "group must be a multiple of 4, not 18"),
    ({"group": 32, "rows": 17}, "group = 32 takes 16 cycles at least, too few to drain rows = 17; "
                                "group must be at least 34"),
    ({"group": 12}, "group must be at least 16, not 12"),
    ({"a_format": "int8", "rounding": "rne"}, "rounding has an effect only if a_format is 'fp16'; "
                                              "leave it at 'trunc' instead of 'rne'"),
    ({"acc_width": 40}, "acc_width has an effect only if a_format is 'int8'; leave it at 48 "
                        "instead of 40"),
])
def test_config_messages(values, message):
    with pytest.raises(ConfigError, match=f"^{re.escape(message)}$"):
        BitserialConfig.parse(values)
