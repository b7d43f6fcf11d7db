"""The softmax model: card vectors, plain Python, the driver, messages."""

import re

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from systolith.hdl.arithmetic.config import ExponentialParameters
from systolith.hdl.errors import ConfigError, Error
from systolith.hdl.formats import IntegerFormat
from systolith.hdl.softmax.config import SoftmaxConfig
from systolith.sim.functions import exponential
from systolith.sim.model import Workload
from systolith.sim.softmax import MODEL
from systolith.sim.softmax.ibert import parabola

REAL = ["three_pass", "two_pass", "online", "single_pass"]
ALGORITHMS = [*REAL, "base2", "integer", "ibert"]


def parse(algorithm, **config):
    if algorithm == "single_pass":
        config["store"] = "replay"
    return SoftmaxConfig.parse({"algorithm": algorithm, **config})


def softmax(x, **config):
    parsed = parse(**config)
    workload = MODEL.check(parsed, Workload("", {"x": np.atleast_2d(x)}))
    return MODEL.golden(parsed, workload)["y"]


# ---- integer ---------------------------------------------------------------------------------

ITA_ROW = [10, 9, 8, 0, -128, 10, *[-128] * 10]


@pytest.mark.parametrize("x, step_shift, y", [
    (ITA_ROW, 0, [92, 46, 23, 0, 0, 92, *[0] * 10]),
    (ITA_ROW, 5, [44, 44, 44, 44, 2, 44, *[2] * 10]),
    ([127, 120, 100, -128] * 16, 5, [6, 6, 3, 0] * 16),
])
def test_integer_gives_the_published_rule_s_vectors(x, step_shift, y):
    got = softmax(x, algorithm="integer", lanes=16, step_shift=step_shift)
    np.testing.assert_array_equal(got[0], y)


def test_a_single_dominant_logit_gets_the_highest_probability():
    assert softmax([-100, 100, -100], algorithm="integer", step_shift=0).tolist() == [[0, 255, 0]]


@given(st.data())
def test_integer_is_the_sum_of_halved_weights(data):
    """Element by element in Python's integers, over rows with masks."""
    lanes, step = data.draw(st.integers(1, 5)), data.draw(st.integers(0, 7))
    config = SoftmaxConfig.parse({"algorithm": "integer", "lanes": lanes, "step_shift": step,
                                  "additive_mask": True})
    row = data.draw(st.lists(st.integers(-128, 127), min_size=1, max_size=24))
    mask = data.draw(st.lists(st.integers(-128, 127), min_size=len(row), max_size=len(row)))
    length = data.draw(st.integers(0, len(row)))
    workload = MODEL.check(config, Workload("", {"x": [row], "mask": [mask], "lengths": [length]}))

    def halve(weight, distance):
        return weight >> (distance + (1 << step >> 1) >> step)

    kept = [None if m == -128 or i >= length else max(-128, min(127, x + m))
            for i, (x, m) in enumerate(zip(row, mask, strict=True))]
    top, total = -128, 0
    for start in range(0, len(row), lanes):
        beat = [x for x in kept[start:start + lanes] if x is not None]
        raised = max([top, *beat])
        total = halve(total, raised - top) + sum(halve(256, raised - x) for x in beat)
        top = raised
    inverse = 65280 // total if total else 0
    want = [0 if x is None else halve(inverse, top - x) for x in kept]
    result = MODEL.golden(config, workload)
    assert result["y"].tolist() == [want]
    assert result["flags"] == (0 if any(x is not None for x in kept) else 4)


def test_integer_sums_of_rows_that_rise_by_half_steps_exceed_one():
    """Every rise is rounded up on its own: the sum is halved more often than the weights are."""
    row = np.concatenate([np.full(512, -128), -128 + 16 * np.arange(1, 9)])
    y = softmax(row, algorithm="integer", lanes=1, max_length=1024, step_shift=5)
    assert y.sum() > 5 * 256
    assert softmax(np.sort(row)[::-1], algorithm="integer", lanes=1, max_length=1024,
                   step_shift=5).sum() <= 255


# ---- real exponents --------------------------------------------------------------------------

def rows_of_all_kinds(rng, columns, config):
    """Rows near each other, spread, one-hot, constant, and at the ends of the range."""
    low, high, unit = config.x.low, config.x.high, 1 << config.in_fraction
    near, spread = (rng.normal((low + high) / 2, scale * unit, (40, columns)) for scale in (1, 4))
    one_hot = np.full((2, columns), low)
    one_hot[:, columns // 2] = high
    return np.concatenate([near, spread, one_hot, np.full((3, columns), high),
                           np.full((3, columns), low), rng.choice([low, high], (10, columns)),
                           rng.integers(low, high, (20, columns), endpoint=True)]
                          ).astype(int).clip(low, high)


@pytest.mark.parametrize("algorithm", REAL)
@pytest.mark.parametrize("values", [{}, {"precision": 12, "lanes": 1}, {"precision": 24},
                                    {"in_format": "int16", "lanes": 16, "out_format": "uint16"},
                                    {"in_format": "uint5", "precision": 9, "lanes": 3},
                                    {"in_format": "int12", "in_fraction": 3}], ids=str)
def test_never_above_the_true_quotient_and_near_it(algorithm, values):
    """Against float64: at most 12.2 · 2^−precision of itself and one unit below."""
    config, rng = parse(algorithm, **values), np.random.default_rng(5)
    bits = config.y.bits
    for columns in (1, 2, 5, 64, 250):
        x = rows_of_all_kinds(rng, columns, config)
        for scale in (189_097, 262_143, 50_000):
            workload = MODEL.check(config, Workload("", {"x": x}, {"scale": scale}))
            y = MODEL.golden(config, workload)["y"]
            z = (x - x.max(axis=1, keepdims=True)) * np.ldexp(scale, -17 - config.in_fraction)
            powers = np.exp2(z)
            exact = np.ldexp(powers / powers.sum(axis=1, keepdims=True), bits)
            assert (y <= exact * (1 + 1e-12)).all()
            below = (exact * (1 - 12.2 * 2.0**-config.precision) - y).max()
            assert below <= 1 + 1e-9
            assert y.sum(axis=1).max() <= 1 << bits


def test_scale_of_one_unit_is_log2_e():
    config = parse("online")
    scale, = (register.fields[0].reset for register in config.registers)
    assert scale == round(np.log2(np.e) * 2**17)
    x = np.random.default_rng(0).normal(0, 20, (50, 100)).astype(int)
    e = np.exp(x / 16)
    exact = 256 * e / e.sum(axis=1, keepdims=True)
    assert abs(softmax(x, algorithm="online") - exact).max() <= 1.0


@pytest.mark.parametrize("algorithm", ["two_pass", "online"])
def test_order_of_a_row_hardly_matters(algorithm):
    """Only what is cut from a sum differs, which is below the margin: 16 bits show it at most by
    one."""
    x = np.random.default_rng(1).normal(0, 30, (30, 200)).astype(int).clip(-128, 127)
    order = np.random.default_rng(2).permutation(200)
    plain = softmax(x, algorithm=algorithm, out_format="uint16")
    shuffled = softmax(x[:, order], algorithm=algorithm, out_format="uint16")
    assert abs(plain[:, order] - shuffled).max() <= 1


def test_a_pair_is_the_published_pair():
    """e^x as v · 2^n of the two-pass paper, whose v is from sqrt(1/2) to sqrt(2), ours from 1 to
    2."""
    logits = IntegerFormat(32, True, -16)
    v, n = exponential(ExponentialParameters(logits, 24),
                       np.array([100, 101, 88, -5]) * (1 << 16))
    published = np.array([1.205393, 0.819150, 0.970745, 0.862457])
    high = published < 1
    np.testing.assert_array_equal(n, np.array([144, 146, 127, -7]) - high)
    np.testing.assert_allclose(v / 2**24, published * (1 + high), atol=1.1e-6)


# ---- floats and logarithms -------------------------------------------------------------------

def rounded(name, values):
    """What a float format makes of numbers, by ml_dtypes or numpy."""
    dtype = ml_dtypes.bfloat16 if name == "bf16" else np.float16
    return np.asarray(values).astype(dtype).astype(float)


@pytest.mark.parametrize("algorithm", REAL)
@pytest.mark.parametrize("name, relative", [("bf16", 2**-8), ("fp16", 2**-11)])
def test_floats_in_and_out_are_near_the_true_quotient(algorithm, name, relative):
    """Within half a unit in the last place, what the precision loses, and what a logit loses."""
    config = parse(algorithm, in_format=name, out_format=name, max_length=400)
    rng = np.random.default_rng(3)
    for columns in (1, 2, 30, 400):
        x = rounded(name, rng.normal(0, 3, (30, columns)))
        y = softmax(x, algorithm=algorithm, in_format=name, out_format=name, max_length=400)
        exact = np.exp(x - x.max(axis=1, keepdims=True))
        exact /= exact.sum(axis=1, keepdims=True)
        lost = 2.0**-config.in_fraction + 13 * 2.0**-config.precision
        subnormal = 0 if name == "bf16" else 2.0**-25
        assert (abs(y - exact) <= exact * (relative + lost) + subnormal).all()


@pytest.mark.parametrize("algorithm", REAL)
@pytest.mark.parametrize("name", ["bf16", "fp16"])
def test_infinities_and_nan(algorithm, name):
    """−Inf has no weight; NaN and +Inf leave their row without probabilities, as the definition
    does."""
    config = parse(algorithm, in_format=name, out_format=name)
    inf, nan = np.inf, np.nan
    x = [[1, -inf, 1, -inf], [nan, 0, 0, 0], [0, inf, -inf, 0], [-inf] * 4, [0, 0, 0, nan],
         [3e4, -3e4, 0, 0]]
    lengths = [4, 4, 4, 4, 3, 3]
    workload = MODEL.check(config, Workload("", {"x": x, "lengths": lengths}))
    result = MODEL.golden(config, workload)
    np.testing.assert_array_equal(result["y"], [
        [0.5, 0, 0.5, 0], [nan] * 4, [nan, nan, 0, nan], [0] * 4,
        [*rounded(name, np.full(3, 1 / 3)), 0], [1, 0, 0, 0]])
    raised = {flag for bit, (flag, _) in enumerate(config.flags) if result["flags"] >> bit & 1}
    assert raised == {"nan", "infinite", "row_empty"} | ({"x_saturated"})
    integers = parse(algorithm, in_format=name)
    y = MODEL.golden(integers, MODEL.check(integers, workload))["y"]
    assert not y[1:4].any() and y[0].tolist() == [127, 0, 127, 0]


@pytest.mark.parametrize("algorithm", REAL)
@pytest.mark.parametrize("values", [{"out_format": "int8", "out_fraction": 2},
                                    {"out_format": "int16", "out_fraction": 10},
                                    {"out_format": "fp16", "in_format": "fp16"},
                                    {"out_format": "bf16", "in_format": "bf16"}], ids=str)
def test_logarithms_are_near_the_true_ones(algorithm, values):
    config = parse(algorithm, output="log", **values)
    x = np.random.default_rng(2).normal(0, 2, (30, 100))
    x = rounded(config.in_format, x) if config.float_in else np.rint(x * 16).astype(int)
    y = softmax(x, algorithm=algorithm, output="log", **values)
    logits = x if config.float_in else x / 16
    exact = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    if config.float_out:
        lost = 2.0**-config.in_fraction + 8 * 2.0**-config.precision
        assert (abs(y - exact) <= abs(exact) * 2.0**-(config.y.fraction_bits + 1) + lost).all()
    else:
        unit = 2.0**-config.out_fraction
        clipped = np.maximum(exact, config.y.low)
        lost = 8 * 2.0**-config.precision + abs(exact) * 2.0**-18
        assert (abs(y * unit - clipped) <= unit / 2 + lost).all()
    assert y.max() <= 0


def test_logarithms_of_nothing():
    for out, lowest in (("int8", -128), ("bf16", -np.inf)):
        y = softmax([[-np.inf, 0, 0]], algorithm="online", in_format="bf16", output="log",
                    out_format=out)
        assert y[0, 0] == lowest and y[0, 1] > lowest
    y = softmax([[np.nan, 0], [0, 0]], algorithm="online", in_format="bf16", output="log",
                out_format="fp16")
    assert np.isnan(y[0]).all() and not np.isnan(y[1]).any()


# ---- ibert -----------------------------------------------------------------------------------

def test_ibert_has_the_published_exponential():
    """Scale 1/16: constants 12, 43, 714; −40 is halved 3 times."""
    config = parse("ibert")
    constants = [register.fields[0].reset for register in config.registers]
    assert constants == [12, 43, 714]
    polynomial, halvings = parabola(np.array([0, 1, 8, 40]), *constants)
    assert polynomial.tolist() == [714, 672, 434, 558]
    assert halvings.tolist() == [0, 0, 0, 3]
    assert polynomial[3] << 30 - 3 == 74_893_492_224


def test_ibert_s_parabola_is_off_by_1_9e_3():
    """The error of the paper, at a scale so fine that nothing else shows."""
    config = parse("ibert", in_format="int16", in_fraction=12)
    constants = {register.name: register.fields[0].reset for register in config.registers}
    distance = np.arange(constants["exp_ln2"])
    polynomial, _ = parabola(distance, *constants.values())
    error = abs(polynomial / constants["exp_c"] - np.exp(-distance / 4096)).max()
    assert 1.8e-3 < error < 2.0e-3


@given(st.data())
def test_ibert_is_the_quotient_of_integer_exponentials(data):
    """Element by element in Python's integers, over rows with masks."""
    config = SoftmaxConfig.parse({"algorithm": "ibert", "lanes": data.draw(st.integers(1, 4))})
    row = data.draw(st.lists(st.integers(-128, 127), min_size=1, max_size=24))
    length = data.draw(st.integers(0, len(row)))
    workload = MODEL.check(config, Workload("", {"x": [row], "lengths": [length]}))
    ln2, b, c = 12, 43, 714

    def e(x):
        d = min(max(row[:length]) - x, 30 * ln2)
        z, r = divmod(d, ln2)
        return (c - r * (b - r)) * 16 >> z           # exp_c has 12 bits, an exponential 16

    total = sum(map(e, row[:length]))
    want = [min(e(x) * (2**32 // total) >> 24, 255) for x in row[:length]]
    assert MODEL.golden(config, workload)["y"].tolist() == [want + [0] * (len(row) - length)]


def test_ibert_rows_never_exceed_one_and_are_near():
    rng = np.random.default_rng(4)
    config = parse("ibert", in_format="int16", in_fraction=8)
    for columns in (1, 2, 7, 250):
        x = rng.normal(0, 512, (200, columns)).astype(int)
        y = softmax(x, algorithm="ibert", in_format="int16", in_fraction=8)
        e = np.exp((x - x.max(axis=1, keepdims=True)) / 256)
        assert y.sum(axis=1).max() <= 256
        assert abs(y / 256 - e / e.sum(axis=1, keepdims=True)).max() < 2**-8 + 4e-3
    assert config.factor_bits == 25


# ---- base2 -----------------------------------------------------------------------------------

def test_base2_gives_the_published_rule_s_vector():
    """x = 1.25, −0.5, 2, 0.75; weights 19484, 5792, 32768, 13777 of 2^15, their sum 71821."""
    x = [5, -2, 8, 3]
    exact = np.array([19484, 5792, 32768, 13777]) / 71821
    got = softmax(x, algorithm="base2")[0]
    assert got.tolist() == np.floor(exact * 128).astype(int).tolist() == [34, 10, 58, 24]
    wide = softmax(x, algorithm="base2", sum_fraction=15, out_format="uint16")[0]
    np.testing.assert_allclose(wide / 2**15, exact, atol=2**-14)
    np.testing.assert_allclose(exact, 2.0 ** (np.array(x) / 4) / (2.0 ** (np.array(x) / 4)).sum(),
                               atol=1e-5)


@pytest.mark.parametrize("columns, scale", [(1, 1), (4, 2), (33, 6), (200, 10)])
def test_base2_is_near_a_softmax_to_the_base_2(columns, scale):
    rng = np.random.default_rng(columns)
    x = rng.normal(0, 4 * scale, (100, columns)).astype(int).clip(-128, 127)
    powers = 2.0 ** (x / 4)
    want = powers / powers.sum(axis=1, keepdims=True)
    got = softmax(x, algorithm="base2", lanes=16, sum_fraction=14, out_format="uint14")
    assert abs(got / 2**13 - want).max() < 2**-10


def test_base2_sums_saturate():
    config = SoftmaxConfig.parse({"algorithm": "base2", "sum_integer": 3, "lanes": 8})
    workload = MODEL.check(config, Workload("", {"x": np.zeros((2, 20), int),
                                                 "lengths": [20, 7]}))
    result = MODEL.golden(config, workload)
    assert result["y"][0].tolist() == [16] * 20          # 1/8 instead of 1/20
    assert result["flags"] == 1 << [name for name, _ in config.flags].index("saturated")


# ---- every algorithm -------------------------------------------------------------------------

@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_masked_elements_and_empty_rows_are_zero(algorithm):
    config = parse(algorithm, lanes=3)
    x = np.random.default_rng(0).integers(-20, 20, (4, 8))
    workload = MODEL.check(config, Workload("", {"x": x, "lengths": [8, 5, 1, 0]}))
    result = MODEL.golden(config, workload)
    for row, length in enumerate([8, 5, 1, 0]):
        assert not result["y"][row, length:].any()
    assert result["y"][0].any() and result["flags"] == 1 << 2
    alone = MODEL.check(config, Workload("", {"x": x[1:2, :5]}))
    np.testing.assert_array_equal(MODEL.golden(config, alone)["y"][0], result["y"][1, :5])


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_causal_is_a_length_per_row(algorithm):
    config = parse(algorithm)
    x = np.random.default_rng(0).integers(-20, 20, (5, 4))
    causal = MODEL.check(config, Workload("", {"x": x}, {"causal": 1}))
    lengths = MODEL.check(config, Workload("", {"x": x, "lengths": [0, 1, 2, 3, 4]}))
    np.testing.assert_array_equal(MODEL.golden(config, causal)["y"],
                                  MODEL.golden(config, lengths)["y"])


def test_rows_of_any_length_follow_each_other_without_a_gap():
    config = SoftmaxConfig.parse({"lanes": 4, "max_length": 64})

    def cycles(lengths):
        x = np.zeros((len(lengths), 64), int)
        workload = MODEL.check(config, Workload("", {"x": x, "lengths": lengths}))
        return MODEL.cycles(config, workload)

    fixed = cycles([4]) - 1
    assert cycles([64] * 20) - fixed == 20 * 16 + 15     # the last row waits for its own end
    assert cycles([1] * 100) - fixed == 100
    assert cycles([4, 8, 12] * 10) - fixed <= 60 + 3


def test_serial_dividers_set_the_pace_of_short_rows():
    def cycles(dividers, rows):
        config = parse("integer", dividers=dividers)
        workload = MODEL.check(config, Workload("", {"x": np.zeros((rows, 4), int)}))
        return MODEL.cycles(config, workload)
    for dividers in (1, 3):
        assert cycles(dividers, 198) - cycles(dividers, 99) == 99 * 9 / dividers
    config = parse("ibert", dividers=5)
    rows = [MODEL.check(config, Workload("", {"x": np.zeros((count, 4), int)}))
            for count in (100, 200)]
    short, long = (MODEL.cycles(config, each) for each in rows)
    assert long - short == 100 * (config.factor_bits + 1) / 5
    assert cycles(9, 200) - cycles(9, 100) == cycles(0, 200) - cycles(0, 100) == 100


@pytest.mark.parametrize("arrays, message", [
    ({"x": [[1] * 257]}, "x has rows of 257 elements; max_length is 256"),
    ({"x": [[128]]}, "x must hold int8 values, -128 to 127, not 128 at [0, 0]"),
    ({"x": [[1, 2]], "lengths": [3]}, "lengths must hold values from 0 to 2, not 3 at [0]"),
    ({"x": [[1, 2]], "lengths": [1, 1]},
     "lengths has 2 values and x has 1 rows; give one for each"),
    ({"x": [[1, 2]], "mask": [[0, 0]]},
     "unknown argument 'mask'; arguments are x, lengths, causal, whole_rows, scale"),
    ({"x": [[1, 2]], "scale": 1 << 18},
     "scale must hold values from 0 to 262143, not 262144"),
    ({"x": [[1, 2]], "causal": 2}, "causal must hold values from 0 to 1, not 2"),
])
def test_messages(arrays, message):
    with pytest.raises(Error, match=f"^{re.escape(message)}$"):
        MODEL.check(SoftmaxConfig.parse({}), Workload("", arrays))


def test_mask_must_fit():
    config = SoftmaxConfig.parse({"additive_mask": True})
    message = "mask has shape (1, 1) and x has shape (1, 2); both are (M, N) and must be equal"
    with pytest.raises(Error, match=f"^{re.escape(message)}$"):
        MODEL.check(config, Workload("", {"x": [[1, 2]], "mask": [[0]]}))


@pytest.mark.parametrize("values, message", [
    ({"lanes": 65}, "lanes must be at most 64, not 65"),
    ({"in_format": "fp32"},
     "in_format: must be int2…int16, uint2…uint16, bf16 or fp16, not 'fp32'"),
    ({"out_format": "uint17"},
     "out_format: must be uint2…uint16, bf16 or fp16, or int2…int16 of logarithms, not 'uint17'"),
    ({"out_format": "int8"},
     "out_format must be uint2…uint16, or with real exponents bf16 or fp16, not 'int8': "
     "probabilities are positive"),
    ({"output": "log"}, "out_format must be int2…int16, bf16 or fp16 with output='log', not "
                        "'uint8': logarithms are negative"),
    ({"algorithm": "base2", "in_format": "bf16"},
     "in_format must be an integer with algorithm='base2', not 'bf16'"),
    ({"algorithm": "integer", "out_format": "fp16"},
     "out_format must be an integer with algorithm='integer', not 'fp16'"),
    ({"algorithm": "ibert", "output": "log"},
     "output has an effect only if algorithm is three_pass or two_pass or online or single_pass; "
     "leave it at 'probability' instead of 'log'"),
    ({"out_fraction": 3},
     "out_fraction is for integers with output='log' only; leave it at None instead of 3"),
    ({"in_integer": 3},
     "in_integer is for in_format bf16 and fp16 only; leave it at None instead of 3"),
    ({"out_format": "fp16", "precision": 12},
     "precision must be at least 14 for fp16 outputs, not 12"),
    ({"output": "log", "out_format": "int12", "out_fraction": 10, "precision": 11},
     "precision must be at least 12 for int12 outputs, not 11"),
    ({"algorithm": "integer", "in_format": "int4"},
     "step_shift must be less than the 4 bits of in_format, not 5"),
    ({"algorithm": "base2", "dividers": 2},
     "dividers has an effect only if algorithm is integer or ibert; leave it at 0 instead of 2"),
    ({"algorithm": "integer", "precision": 9},
     "precision has an effect only if algorithm is three_pass or two_pass or online or single_pass "
     "or base2 or ibert; leave it at None instead of 9"),
    ({"algorithm": "ibert", "in_fraction": 13},
     "in_fraction must be 1 to 12 with algorithm='ibert', not 13"),
    ({"algorithm": "ibert", "out_format": "uint12", "precision": 11},
     "precision must be at least 12 for uint12 outputs with algorithm='ibert', not 11"),
    ({"precision": 7}, "precision must be at least 8 for uint8 outputs, not 7"),
    ({"out_format": "uint16", "precision": 8},
     "precision must be at least 9 for uint16 outputs, not 8"),
    ({"algorithm": "single_pass"},
     "algorithm='single_pass' keeps no rows: it needs store='replay'"),
    ({"in_format": "int6", "in_fraction": 7},
     "in_fraction must be at most the 6 bits of in_format, not 7"),
    ({"algorithm": "base2", "in_fraction": 7},
     "in_fraction must be at most 6 with algorithm='base2', whose table has 2^in_fraction entries, "
     "not 7"),
    ({"algorithm": "base2", "in_format": "int6", "in_fraction": 6},
     "in_fraction must be less than the 6 bits of in_format, not 6"),
    ({"algorithm": "base2", "precision": 5},
     "sum_fraction must be at most precision = 5, not 6"),
    ({"algorithm": "base2", "out_format": "uint2"},
     "out_format must have at least 3 bits with algorithm='base2', not 2"),
])
def test_config_messages(values, message):
    with pytest.raises(ConfigError, match=f"^{re.escape(message)}$"):
        SoftmaxConfig.parse(values)
