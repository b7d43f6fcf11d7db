"""The systolic golden model with number formats, against exact fractions and numpy's float32."""

import re
from fractions import Fraction
from itertools import islice

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from systolith.hdl.errors import ConfigError, Error
from systolith.hdl.formats import PairFormat, parse_format
from systolith.hdl.systolic.config import SystolicConfig
from systolith.hdl.systolic.pairs import allowed
from systolith.sim import frames
from systolith.sim.formats import Codes, decode, decode_pairs, invalid
from systolith.sim.model import Workload
from systolith.sim.systolic import MODEL, golden

ELEMENTS = ["int8", "uint5", "bipolar1", "bipolar4", "ternary", "binary", "fp8e4m3", "fp8e5m2",
            "fp6e3m2", "fp6e2m3", "fp4e2m1", "fp8e3m4", "fp8e6m1", "fp5e4m0", "fp3e1m1", "bf16",
            "fp16", "fp12e6m5", "ovp4", "ovp8"]
PAIRS = [(a, w) for a in ELEMENTS for w in ELEMENTS
         if allowed(parse_format(a), parse_format(w))]


def check(config, **arrays):
    return MODEL.check(config, Workload("", arrays))


def result(config, **arrays):
    return MODEL.golden(config, check(config, **arrays))


def flags_of(config, *raised):
    return sum(1 << bit for bit, (name, _) in enumerate(config.flags) if name in raised)


def exact_values(format, codes, axis=1):
    """Numbers as fractions, None for what is none; decoded one by one."""
    if isinstance(format, PairFormat):
        codes = np.moveaxis(codes, axis, -1)
        even = np.pad(codes, ((0, 0), (0, codes.shape[-1] % 2)))
        values = np.moveaxis(decode_pairs(format, even)[:, :codes.shape[-1]], -1, axis)
        return [[Fraction(int(value)) for value in row] for row in values]
    values = decode(format, codes)
    return [[Fraction(value.item()) if np.isfinite(value) else None for value in row]
            for row in values]


@st.composite
def configs(draw, **fixed):
    a_format, w_format = draw(st.sampled_from(PAIRS))
    values = {"rows": 2 * draw(st.integers(1, 2)), "cols": 2 * draw(st.integers(1, 2)),
              "a_format": a_format, "w_format": w_format,
              "dataflow": draw(st.sampled_from(["ws", "os"])),
              "max_k": draw(st.sampled_from([1, 16]))}
    if values["dataflow"] == "ws":
        values["acc_depth"] = draw(st.integers(1, 5))
    return SystolicConfig.parse(values | fixed)


def random_codes(format, rng, shape):
    return Codes(rng.integers(0, 1 << format.bits, shape), format)


@st.composite
def calls(draw, **fixed):
    config = draw(configs(**fixed))
    m, k, n = (draw(st.integers(1, 7)) for _ in "mkn")
    rng = np.random.default_rng(draw(st.integers(0, 1 << 30)))
    return config, check(config, a=random_codes(config.a_element, rng, (m, k)),
                         w=random_codes(config.w_element, rng, (k, n)))


def wires(config, workload):
    """Codes of both operands, whatever the model keeps."""
    return [Codes(array.array if isinstance(array, Codes) else
                  array & (1 << element.bits) - 1, element)
            for array, element in ((workload.arrays["a"], config.a_element),
                                   (workload.arrays["w"], config.w_element))]


@given(calls())
@settings(deadline=None, max_examples=150)
def test_sums_equal_exact_fractions(call):
    config, workload = call
    if config.rounded:
        return
    pair_axis = 0 if config.dataflow == "os" else 1
    a, w = wires(config, workload)
    a, w = exact_values(a.format, a.array, pair_axis), exact_values(w.format, w.array)
    got = MODEL.golden(config, workload)
    units = Fraction(2) ** config.acc.lsb_exponent
    for i, row in enumerate(a):
        for j, column in enumerate(zip(*w, strict=True)):
            exact = sum((x or 0) * (y or 0) for x, y in zip(row, column, strict=True)) / units
            exact = (exact - config.acc.code_low) % (1 << config.acc.bits) + config.acc.code_low
            value = Fraction(got["c"][i, j].item() if got["c"].dtype != object else got["c"][i, j])
            assert value == (exact if "c_exponent" in got else exact * units)


@given(calls())
@settings(deadline=None, max_examples=60)
def test_codes_that_are_no_numbers_raise_flags(call):
    config, workload = call
    raised = []
    for name, codes in zip("aw", wires(config, workload), strict=True):
        if not isinstance(codes.format, PairFormat) and invalid(codes.format, codes.array).any():
            raised.append(f"{name}_invalid")
    flags = MODEL.golden(config, workload)["flags"]
    known = flags_of(config, *(name for name in ("a_invalid", "w_invalid") if not isinstance(
        parse_format(getattr(config, f"{name[0]}_format")), PairFormat)))
    assert flags & known == flags_of(config, *raised)


@pytest.mark.parametrize("a_format, w_format, dtypes", [
    ("bf16", "bf16", (ml_dtypes.bfloat16, ml_dtypes.bfloat16)),
    ("bf16", "fp8e4m3", (ml_dtypes.bfloat16, ml_dtypes.float8_e4m3fn)),
    ("fp8e5m2", "fp8e5m2", (ml_dtypes.float8_e5m2, ml_dtypes.float8_e5m2)),
])
@pytest.mark.parametrize("dataflow", ["ws", "os"])
def test_fp32_sums_equal_a_loop_in_float32(a_format, w_format, dtypes, dataflow):
    config = SystolicConfig.parse({"a_format": a_format, "w_format": w_format, "rows": 3, "cols": 2,
                                   "dataflow": dataflow, "accumulator": "fp32"})
    rng = np.random.default_rng(4)
    a, w = (rng.normal(size=shape).astype(dtype).astype(np.float32)
            for shape, dtype in zip([(5, 11), (11, 4)], dtypes, strict=True))
    expected = np.zeros((5, 4), np.float32)
    if dataflow == "os":
        for k in range(11):
            expected = expected + np.outer(a[:, k], w[k])
    else:
        for start in range(0, 11, 3):
            tile = np.zeros((5, 4), np.float32)
            for k in range(min(start + 3, 11) - 1, start - 1, -1):
                tile = tile + np.outer(a[:, k], w[k])
            expected = expected + tile
    got = result(config, a=a, w=w)
    assert got["c"].dtype == np.float32 and got["flags"] == 0
    np.testing.assert_array_equal(expected, got["c"])


def test_fp32_takes_nan_and_infinities_as_ieee_does():
    config = SystolicConfig.parse({"a_format": "bf16", "w_format": "bf16", "dataflow": "os"})
    special = Codes([[0x7F80, 0x3F80], [0xFF80, 0x3F80], [0x7FC1, 0]], "bf16")    # Inf, -Inf, NaN
    got = result(config, a=special, w=Codes([[0x3F80, 0], [0x3F80, 0x3F80]], "bf16"))
    np.testing.assert_array_equal(
        [[np.inf, np.nan], [-np.inf, np.nan], [np.nan, np.nan]], got["c"])
    assert got["flags"] == flags_of(config, "a_invalid", "not_finite")
    assert MODEL.expect(config, check(config, a=special, w=Codes([[0, 0], [0, 0]], "bf16")),
                        {"c": got["c"]})["c"].data[0, 1] == 0x7FC00000


@given(calls())
@settings(deadline=None, max_examples=100)
def test_beats_survive_the_wire_and_give_the_result(call):
    config, workload = call
    job, got = MODEL.pack(config, workload), MODEL.golden(config, workload)
    for stream in config.streams[:2]:
        data = job.inputs[stream.name].data
        np.testing.assert_array_equal(data, frames.from_bytes(stream,
                                                              frames.to_bytes(stream, data)))
    beats = MODEL.expect(config, workload, got)
    again = MODEL.unpack(config, workload, {"c": beats["c"].data})
    assert set(again) == set(got) - {"flags"}
    for name, array in again.items():
        np.testing.assert_array_equal(got[name], array)
        assert got[name].dtype == array.dtype


def test_wide_elements_leave_the_wire_as_python_integers():
    config = SystolicConfig.parse({"a_format": "fp8e5m2", "w_format": "fp8e5m2", "cols": 3})
    stream = config.streams[-1]
    values = [-1, 1 << 75, -(1 << 76)]
    word = sum((value & (1 << 77) - 1) << 77 * lane for lane, value in enumerate(values))
    octets = np.frombuffer(word.to_bytes(stream.tdata_bits // 8, "little"), np.uint8)
    assert frames.from_bytes(stream, octets[None]).tolist() == [values]


def test_without_a_zero_the_last_w_frame_is_short():
    config = SystolicConfig.parse({"a_format": "bipolar2", "w_format": "binary", "rows": 4,
                                   "cols": 2})
    workload = check(config, a=[[3, -1, 1, -3, 3]], w=[[1], [-1], [1], [1], [-1]])
    job = MODEL.pack(config, workload)
    assert job.inputs["w"].last.tolist() == [False, False, False, True, True]
    assert result(config, a=[[3, -1, 1, -3, 3]], w=[[1], [-1], [1], [1], [-1]])["c"] == [[-1]]
    assert "w_short" not in dict(config.flags)
    # The column beyond N holds code 0, which is -1.
    assert MODEL.expect(config, workload, {"c": np.array([[-1]])})["c"].data.tolist() == [[-1, -3]]


# ---- results and arguments -------------------------------------------------------------------

@pytest.mark.parametrize("values, dtype, exponent", [
    ({"a_format": "ternary", "w_format": "int8"}, np.int32, None),
    ({"a_format": "ovp8", "w_format": "ovp8"}, np.int64, None),
    ({"a_format": "fp4e2m1", "w_format": "fp4e2m1"}, np.float64, None),
    ({"a_format": "fp8e4m3", "w_format": "fp8e4m3"}, np.float64, None),
    ({"a_format": "fp8e4m3", "w_format": "fp8e5m2"}, np.int64, -25),
    ({"a_format": "fp8e5m2", "w_format": "fp8e5m2"}, object, -32),
    ({"a_format": "bf16", "w_format": "int8"}, np.float32, None),
])
def test_result_dtype(values, dtype, exponent):
    config = SystolicConfig.parse(values)
    got = result(config, a=[[1, 0]], w=[[1], [1]])
    assert got["c"].dtype == dtype
    assert got.get("c_exponent") == exponent
    assert got["c"][0, 0] == (1 if exponent is None else 2 ** -exponent)
    assert config.streams[-1].element.lsb_exponent == (
        -149 if dtype == np.float32 else config.a_element.lsb_exponent
        + config.w_element.lsb_exponent)


def test_floats_are_quantized_to_nearest_even_and_saturate():
    config = SystolicConfig.parse({"a_format": "fp4e2m1", "w_format": "int8"})
    a = [[0.25, 0.75, 2.5, 5, 1e9, -np.inf]]
    workload = check(config, a=a, w=np.eye(6, dtype=int))
    np.testing.assert_array_equal([[0, 1, 2, 4, 6, -6]], MODEL.golden(config, workload)["c"])
    again = MODEL.check(config, workload)
    assert (again.arrays["a"].array == workload.arrays["a"].array).all()


def test_arrays_of_ml_dtypes_and_integers_are_numbers():
    config = SystolicConfig.parse({"a_format": "fp8e4m3", "w_format": "bf16"})
    a, w = np.array([[1.5, -448]], ml_dtypes.float8_e4m3fn), [[2], [1]]
    assert result(config, a=a, w=w)["c"] == [[-445]]


def test_codes_of_integers_are_values():
    config = SystolicConfig.parse({"a_format": "int4", "w_format": "uint4"})
    assert result(config, a=Codes([[15]], "int4"), w=Codes([[15]], "uint4"))["c"] == [[-15]]


def test_pairs_are_quantized_along_the_axis_of_the_beats():
    """Card 12: 0x87 is (96, 0), 0x38 is (0, 24)."""
    a = [[96, 1, 3], [0, 24, 2], [96, 5, 7], [2, 2, 96]]
    for dataflow, expected in (("ws", [[96, 0, 3], [0, 24, 2], [96, 0, 7], [2, 2, 7]]),
                               ("os", [[96, 0, 3], [0, 24, 2], [96, 5, 0], [0, 2, 96]])):
        config = SystolicConfig.parse({"a_format": "ovp4", "w_format": "int8", "rows": 2,
                                       "dataflow": dataflow})
        got = result(config, a=a, w=np.eye(3, dtype=int))
        np.testing.assert_array_equal(expected, got["c"])
        assert got["flags"] == 0


def test_illegal_codes_are_zero_and_flagged():
    for a_format, w_format, a, w, flag in (("ternary", "int8", [[1, 2]], [[0], [3]], "a_invalid"),
                                           ("int8", "ovp4", [[1, 0]], [[8, 8], [1, 2]],
                                            "w_invalid")):
        config = SystolicConfig.parse({"a_format": a_format, "w_format": w_format, "cols": 2})
        got = result(config, a=Codes(a, a_format), w=Codes(w, w_format))
        assert not got["c"].any()
        assert got["flags"] == flags_of(config, flag)


@pytest.mark.parametrize("values, arrays, message", [
    ({"a_format": "fp4e2m1"}, {"a": [[1, np.nan]]},
     "a is nan at [0, 1], for which fp4e2m1 has no code"),
    ({"a_format": "ovp4"}, {"a": [[1, np.inf]]}, "a is inf at [0, 1], for which ovp4 has no code"),
    ({"a_format": "fp8e4m3"}, {"a": [["x", "y"]]}, "a must hold real numbers, not <U1"),
    ({"a_format": "fp8e4m3"}, {"a": [[1, 2], [3]]}, "a must be an array of numbers, not [[1, 2], "
                                                    "[3]]"),
    ({"a_format": "bipolar2"}, {"a": [[1, 2]]}, "a: 2 is not a value of bipolar2"),
    ({"a_format": "bipolar2"}, {"a": [[1, 5]]}, "a must hold bipolar2 values, -3 to 3, not 5 at "
                                                "[0, 1]"),
    ({"a_format": "ternary"}, {"a": [[1.0, 0]]}, "a must hold integers, not float64"),
    ({"a_format": "bf16"}, {"a": Codes([[1, 2]], "fp16")}, "a holds codes of fp16, not of bf16"),
    ({"a_format": "bf16"}, {"a": Codes([1, 2], "bf16")},
     "a must be an array of shape (M, K), not of shape (2,)"),
])
def test_messages(values, arrays, message):
    config = SystolicConfig.parse(values)
    with pytest.raises(Error, match=f"^{re.escape(message)}$"):
        check(config, **({"w": [[1], [1]]} | arrays))


@pytest.mark.parametrize("make, message", [
    (lambda: Codes([[16]], "fp4e2m1"), "codes of fp4e2m1 are 0 to 15, not 16"),
    (lambda: Codes([[1.0]], "fp4e2m1"), "codes are integers, not float64"),
    (lambda: Codes([[1]], 4), "format must be the name of a number format, not 4"),
])
def test_messages_of_codes(make, message):
    with pytest.raises(Error, match=f"^{re.escape(message)}$"):
        make()


ALLOWED = ("must be int2…int16, uint2…uint16, bipolar1…bipolar16, ternary, binary, ovp4, ovp8, a "
           "float of up to 16 bits, mx<element>, bfp<bits>, bitmod3 or bitmod4")


def no_pair(a_format, w_format, nearest):
    return (f"a_format {a_format!r} and w_format {w_format!r} are no pair that the core takes; the "
            f"nearest is {nearest[0]!r} with {nearest[1]!r} (systolith formats shows the table)")


@pytest.mark.parametrize("values, message", [
    ({"a_format": "int32"}, f"a_format: {ALLOWED}, not 'int32'; the nearest is 'int16'"),
    ({"w_format": "uint1"}, f"w_format: {ALLOWED}, not 'uint1'; the nearest is 'uint2'"),
    ({"w_format": "fp32"}, f"w_format: {ALLOWED}, not 'fp32'; the nearest is 'bf16'"),
    ({"a_format": "fp16", "w_format": "fp8e4m3"}, no_pair("fp16", "fp8e4m3", ("bf16", "fp8e4m3"))),
    ({"a_format": "int4", "w_format": "fp16"}, no_pair("int4", "fp16", ("int4", "bf16"))),
    ({"a_format": "mxfp4", "w_format": "mxfp4/16"},
     no_pair("mxfp4e2m1", "mxfp4e2m1/16", ("mxfp4e2m1", "mxfp4e2m1"))),
    ({"a_format": "mxfp4", "w_format": "mxfp8e4m3"},
     no_pair("mxfp4e2m1", "mxfp8e4m3", ("mxfp4e2m1", "mxfp4e2m1"))),
    ({"a_format": "int4", "w_format": "bitmod4"}, no_pair("int4", "bitmod4", ("int8", "bitmod4"))),
    ({"a_format": "mxfp4", "accumulator": "exact"},
     "accumulator 'exact' cannot hold sums of mxfp4e2m1, whose scales go from 2^-127 to 2^127; use "
     "'fp32'"),
    ({"a_format": "bitmod4", "w_format": "bf16", "acc_width": 40},
     "acc_width has an effect only if accumulator is 'exact'; leave it out instead of 40"),
    ({"a_format": "bitmod4", "output": "requant"},
     "output 'requant' is for sums of integers; those of bitmod4 and int8 are floats: use 'raw'"),
    ({"a_format": "bf16", "accumulator": "exact"},
     "an exact accumulator for bf16, int8 and max_k 4096 takes 281 bits and may have at most 80; "
     "use accumulator 'fp32'"),
    ({"accumulator": "fp32"}, "accumulator 'fp32' is for floats; sums of int8 and int8 are "
                              "integers: use 'exact'"),
    ({"a_format": "bf16", "accumulator": "fp32", "acc_width": 40},
     "acc_width has an effect only if accumulator is 'exact'; leave it out instead of 40"),
    ({"acc_width": 70}, "acc_width must be at most 64 for sums of integers, not 70"),
    ({"columns_per_pe": 2, "dataflow": "os"},
     "columns_per_pe may be 2 only if dataflow is 'ws'; use 1"),
    ({"columns_per_pe": 2, "a_format": "bf16"},
     "columns_per_pe may be 2 only if operands are integers in the mesh; use 1"),
    ({"columns_per_pe": 2, "output": "requant"},
     "columns_per_pe may be 2 only if output is 'raw'; use 1"),
    ({"columns_per_pe": 2, "cols": 7}, "columns_per_pe may be 2 only if cols is even; use 1"),
    ({"a_format": "ovp4", "rows": 3}, "rows must be even for pairs of a_format ovp4, not 3"),
    ({"w_format": "ovp8", "cols": 3}, "cols must be even for pairs of w_format ovp8, not 3"),
    ({"w_format": "fp8e4m3", "output": "requant"},
     "output 'requant' is for sums of integers; those of int8 and fp8e4m3 are floats: use 'raw'"),
    ({"add_stages": 3}, "add_stages has an effect only if accumulator is 'fp32'; leave it at 4 "
                        "instead of 3"),
])
def test_config_messages(values, message):
    with pytest.raises(ConfigError, match=f"^{re.escape(message)}$"):
        SystolicConfig.parse(values)


@pytest.mark.parametrize("name, width", [
    ("fp8e4m3", 49), ("fp8e5m2", 77), ("fp6e3m2", 31), ("fp6e2m3", 25), ("fp4e2m1", 21),
    ("int8", 28),
])
def test_accumulator_widths_are_those_of_the_card(name, width):
    config = SystolicConfig.parse({"a_format": name, "w_format": name})
    assert (config.accumulator, config.acc_width) == ("exact", width)


def test_a_resolved_config_means_the_same():
    for values in ({"a_format": "bf16"}, {"a_format": "fp8e4m3"}, {}):
        config = SystolicConfig.parse(values)
        assert SystolicConfig.parse(config.model_dump()) == config


# ---- stimulus --------------------------------------------------------------------------------

@pytest.mark.parametrize("name", ELEMENTS)
@pytest.mark.parametrize("dataflow", ["ws", "os"])
def test_stimulus_is_legal_and_uses_every_code(name, dataflow):
    config = SystolicConfig.parse({"a_format": name, "w_format": name, "rows": 2, "cols": 2,
                                   "dataflow": dataflow})
    seen, flags = set(), 0
    for workload in islice(MODEL.stimulus(config, np.random.default_rng(1)), 120):
        seen |= set(np.unique(wires(config, workload)[0].array).tolist())
        flags |= MODEL.golden(config, workload)["flags"]
    if config.a_element.bits <= 8:
        codes = np.arange(1 << config.a_element.bits)
        pairs = isinstance(config.a_element, PairFormat)
        assert seen >= set(codes if pairs else codes[~invalid(config.a_element, codes)])
    special = [flag for flag, _ in config.flags if flag.endswith("invalid")]
    assert flags & flags_of(config, *special) == flags_of(config, *special)


def test_matrices_of_wide_integers_multiply_exactly():
    rng = np.random.default_rng(3)
    a, w = (rng.integers(-1 << 62, 1 << 62, shape) for shape in ((3, 4), (4, 2)))
    expected = a.astype(object) @ w.astype(object)
    assert golden.matmul(a, w).tolist() == expected.tolist()


@pytest.mark.parametrize(("values", "columns"), [
    ({"technology": "ice40"}, 2),
    ({"technology": "ice40", "w_format": "int9"}, 1),
    ({"technology": "ice40", "cols": 7}, 1),
    ({"technology": "ecp5"}, 1),
    ({"technology": "ecp5", "w_format": "int4"}, 2),
    ({"technology": "xilinx7"}, 2),
    ({"technology": "xilinx7", "w_format": "uint8"}, 2),
    ({"technology": "gowin"}, 1),
    ({}, 1),
])
def test_columns_share_a_pe_where_a_block_makes_two_products(values, columns):
    assert SystolicConfig.parse(values).columns_per_pe == columns
