"""The systolic golden model and driver against plain integers.

References here are written the naive way, one scalar at a time, from docs/systolic.md.
"""

import re
from fractions import Fraction
from itertools import islice
from math import floor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from systolith.hdl.errors import Error
from systolith.hdl.systolic.config import SystolicConfig
from systolith.sim import frames
from systolith.sim.model import Workload
from systolith.sim.systolic import MODEL, exact, golden

INT32_LOW, INT32_HIGH = -(1 << 31), (1 << 31) - 1
FORMATS = [f"{sign}int{bits}" for sign in ("", "u") for bits in (2, 3, 5, 8, 13, 16)]
ROUNDINGS = ("tflite", "rne", "half_up", "floor")


# ---- references ------------------------------------------------------------------------------

def wrap(value, element):
    value %= 1 << element.bits
    return value - (1 << element.bits) if value > element.high else value


def dot(config, a, w):
    """One output element as (sum, overflow), a and w lists of ints."""
    products = [x * y for x, y in zip(a, w, strict=True)]
    step = config.rows if config.dataflow == "ws" else 1
    acc, overflow = 0, False
    for k in range(0, len(products), step):
        exact = acc + sum(products[k:k + step])
        acc = wrap(exact, config.acc)
        overflow |= acc != exact
    return acc, overflow


def saturate(value):
    return max(INT32_LOW, min(INT32_HIGH, value))


def half_away(value):
    return floor(abs(value) + Fraction(1, 2)) * (1 if value >= 0 else -1)


def scale(rounding, x, multiplier, shift):
    if rounding == "tflite":
        x1 = saturate(x << max(shift, 0))
        product = x1 * multiplier
        if x1 == multiplier == INT32_LOW:
            high = INT32_HIGH
        else:
            nudged = Fraction(product + (2**30 if product >= 0 else 1 - 2**30), 2**31)
            high = int(nudged)                         # int() truncates towards zero
        return half_away(Fraction(high, 2 ** max(-shift, 0)))
    y = Fraction(x * multiplier, 2 ** (31 - shift))
    return {"rne": round, "floor": floor,
            "half_up": lambda value: floor(value + Fraction(1, 2))}[rounding](y)


def requantize(config, workload, acc, bias, multiplier, shift):
    """One output element as (value, saturated)."""
    x = saturate(acc + bias)
    y = scale(config.rounding, x, multiplier, shift) + workload.settings["out_zero_point"]
    c = min(max(y, workload.settings["clamp_low"]), workload.settings["clamp_high"])
    return c, x != acc + bias


def flags_of(config, raised):
    return sum(1 << bit for bit, (name, _) in enumerate(config.flags) if name in raised)


def split(beats):
    """Frames of a stream as lists of (lanes, user)."""
    result, frame = [], []
    for lanes, last, user in zip(beats.data.tolist(), beats.last, beats.user, strict=True):
        frame.append((lanes, int(user)))
        if last:
            result.append(frame)
            frame = []
    assert not frame
    return result


def interpret(config, workload, job):
    """Consume the beats of a job as the page describes the streams; return c frames and flags."""
    a_frames, w_frames = split(job.inputs["a"]), split(job.inputs["w"])
    assert len(a_frames) == len(w_frames)
    q_frames = split(job.inputs["q"]) if config.output == "requant" else []
    c_frames, raised = [], set()

    def add(acc, term):
        if wrap(acc + term, config.acc) != acc + term:
            raised.add("overflow")
        return wrap(acc + term, config.acc)

    def emit(sums):
        if config.output == "requant":
            q = [lanes for lanes, _ in q_frames.pop(0)]
            assert len(q) == config.cols
            results = [[requantize(config, workload, acc, *q[j]) for j, acc in enumerate(row)]
                       for row in sums]
            if any(saturated for row in results for _, saturated in row):
                raised.add("saturated")
            sums = [[value for value, _ in row] for row in results]
        c_frames.append(sums)

    sums, open_sum = None, False
    for a_frame, w_frame in zip(a_frames, w_frames, strict=True):
        w = [lanes for lanes, _ in w_frame]
        if config.dataflow == "ws":
            assert len(w) == config.rows and 1 <= len(a_frame) <= config.acc_depth
            user = a_frame[0][1]
            assert bool(user & 1) != open_sum
            if user & 1:
                sums = [[0] * config.cols for _ in a_frame]
            assert len(sums) == len(a_frame)
            sums = [[add(acc, sum(x * w[i][j] for i, x in enumerate(lanes)))
                     for j, acc in enumerate(row)]
                    for row, (lanes, _) in zip(sums, a_frame, strict=True)]
            open_sum = not user & 2
        else:
            assert len(a_frame) == len(w)
            sums = [[0] * config.cols for _ in range(config.rows)]
            for (lanes, _), weights in zip(a_frame, w, strict=True):
                sums = [[add(acc, lanes[i] * weights[j]) for j, acc in enumerate(row)]
                        for i, row in enumerate(sums)]
        if not open_sum:
            emit(sums)
    assert not q_frames and not open_sum
    return c_frames, flags_of(config, raised)


# ---- strategies ------------------------------------------------------------------------------

@st.composite
def configs(draw, outputs=("raw", "requant")):
    side, formats = st.integers(1, 5), st.sampled_from(FORMATS)
    values = {"rows": draw(side), "cols": draw(side),
              "a_format": draw(formats), "w_format": draw(formats),
              "dataflow": draw(st.sampled_from(["ws", "os"])),
              "output": draw(st.sampled_from(outputs)),
              "max_k": draw(st.sampled_from([1, 7, 4096]))}
    if draw(st.booleans()):
        values["acc_width"] = draw(st.integers(4, 63))
    if values["dataflow"] == "ws":
        values["acc_depth"] = draw(st.integers(1, 7))
    if values["output"] == "requant":
        values["out_format"] = draw(formats)
        values["rounding"] = draw(st.sampled_from(ROUNDINGS))
    return SystolicConfig.parse(values)


def int32s():
    return st.one_of(st.integers(INT32_LOW, INT32_HIGH),
                     st.sampled_from([INT32_LOW, -1, 0, 1, 1 << 30, INT32_HIGH]))


@st.composite
def workloads(draw, config, most=12):
    m, k, n = (draw(st.integers(1, most)) for _ in "mkn")

    def matrix(element, rows, cols):
        values = st.one_of(st.integers(element.low, element.high),
                           st.sampled_from([element.low, element.high]))
        return draw(st.lists(st.lists(values, min_size=cols, max_size=cols),
                             min_size=rows, max_size=rows))

    arrays = {"a": matrix(config.a, m, k), "w": matrix(config.w, k, n)}
    scalars = {}
    if config.output == "requant":
        columns = {"min_size": n, "max_size": n}
        arrays["multiplier"] = draw(st.lists(int32s(), **columns))
        arrays["shift"] = draw(st.lists(st.integers(-31, 31), **columns))
        # A bias must fit int32 with and without what the zero point adds: so must that alone.
        sums = [sum(row[j] for row in arrays["w"]) for j in range(n)]
        most = INT32_HIGH // max(1, *map(abs, sums))
        zero_point = draw(st.integers(max(config.a.low, -most), min(config.a.high, most)))
        arrays["bias"] = [max(INT32_LOW, INT32_LOW + zero_point * total,
                              min(INT32_HIGH, INT32_HIGH + zero_point * total, draw(int32s())))
                          for total in sums]
        out = st.integers(config.out.low, config.out.high)
        scalars = {"a_zero_point": zero_point, "clamp_low": draw(out), "clamp_high": draw(out),
                   "out_zero_point": draw(st.integers(-1 << 16, (1 << 16) - 1))}
    return MODEL.check(config, Workload("drawn", arrays, scalars))


@st.composite
def calls(draw, **options):
    config = draw(configs(**options))
    return config, draw(workloads(config))


# ---- golden ----------------------------------------------------------------------------------

@given(calls(outputs=("raw",)))
def test_golden_equals_wrapped_matmul(call):
    config, workload = call
    a, w = workload.arrays["a"], workload.arrays["w"]
    expected = [[wrap(int(value), config.acc) for value in row] for row in (a @ w).tolist()]
    np.testing.assert_array_equal(expected, MODEL.golden(config, workload)["c"])


@given(calls())
@settings(deadline=None)
def test_golden_equals_scalar_reference(call):
    config, workload = call
    a, w = workload.arrays["a"].tolist(), workload.arrays["w"].T.tolist()
    raised, expected = set(), []
    for row in a:
        expected.append([])
        for j, column in enumerate(w):
            value, overflow = dot(config, row, column)
            raised |= {"overflow"} if overflow else set()
            if config.output == "requant":
                arrays = workload.arrays
                bias = int(arrays["bias"][j]) - workload.settings["a_zero_point"] * sum(column)
                value, saturated = requantize(config, workload, value, bias,
                                              int(arrays["multiplier"][j]), int(arrays["shift"][j]))
                raised |= {"saturated"} if saturated else set()
            expected[-1].append(value)
    result = MODEL.golden(config, workload)
    np.testing.assert_array_equal(expected, result["c"])
    assert flags_of(config, raised) == result["flags"]


@pytest.mark.parametrize("fmt", ["int16", "uint16"])
def test_large_sums_are_exact(fmt):
    """Sums beyond 2**31, which a single-precision or int32 product would lose."""
    config = SystolicConfig.parse({"a_format": fmt, "w_format": fmt, "max_k": 1 << 24})
    rng = np.random.default_rng(1)
    a = rng.integers(config.a.high - 3, config.a.high, (3, 5000), endpoint=True)
    w = rng.integers(config.w.high - 3, config.w.high, (5000, 2), endpoint=True)
    result = MODEL.golden(config, MODEL.check(config, Workload("", {"a": a, "w": w})))
    np.testing.assert_array_equal(a @ w, result["c"])
    assert result["flags"] == 0 and result["c"].dtype == np.int64


def test_matmul_is_exact_where_one_float_product_is_not(monkeypatch):
    rng = np.random.default_rng(2)
    a, w = rng.integers(0, 1 << 16, (5, 40)), rng.integers(0, 1 << 16, (40, 3))
    monkeypatch.setattr(exact, "_DOUBLE_EXACT", 7 << 32)           # slices of 7
    np.testing.assert_array_equal(a @ w, exact.matmul(a, w))


@pytest.mark.parametrize("chunk", [1, 5, 1 << 22])
def test_overflow_that_comes_back_is_flagged_per_addition(monkeypatch, chunk):
    """8 and -8 in one K tile cancel inside the mesh (ws), but not in a PE (os)."""
    monkeypatch.setattr(golden, "_PRODUCTS_AT_ONCE", chunk)
    a, w = np.array([[4, 4, -4, -4], [1, 0, 0, 0]]), np.ones((4, 1), np.int64)
    for dataflow, rows, overflow in (("ws", 4, False), ("ws", 2, True), ("os", 4, True)):
        config = SystolicConfig.parse({"rows": rows, "dataflow": dataflow, "acc_width": 4})
        workload = MODEL.check(config, Workload("", {"a": a, "w": w}))
        result = MODEL.golden(config, workload)
        assert result["c"].tolist() == [[0], [1]]
        assert result["flags"] == (1 if overflow else 0), (dataflow, rows)


@given(st.sampled_from(ROUNDINGS), int32s(), int32s(), st.integers(-31, 31))
@settings(max_examples=500)
def test_scale_equals_fractions(rounding, x, multiplier, shift):
    got = golden.SCALE[rounding](*(np.array([value]) for value in (x, multiplier, shift)))
    assert scale(rounding, x, multiplier, shift) == got[0]


@pytest.mark.parametrize("rounding", ROUNDINGS)
def test_scale_at_the_ends_of_every_range(rounding):
    ends = [INT32_LOW, INT32_LOW + 1, -3, -1, 0, 1, 3, 1 << 30, INT32_HIGH - 1, INT32_HIGH]
    cases = [(x, multiplier, shift) for x in ends for multiplier in ends
             for shift in range(-31, 32)]
    got = golden.SCALE[rounding](*np.array(cases).T)
    assert [scale(rounding, *case) for case in cases] == got.tolist()


@pytest.mark.parametrize("acc, half_up, tflite", [
    (12345, 135, 135), (-12345, -135, -135), (46, 1, 1), (-46, -1, -1), (1000000, 10938, 10938),
    (137, 1, 2), (-137, -1, -2),
])
def test_published_vectors(acc, half_up, tflite):
    """0.7 / 64 = 1503238554 · 2^(−31 − 6); acc 137 rounds twice in tflite, once in half_up."""
    arguments = np.array([acc]), np.array([1503238554]), np.array([-6])
    assert golden.SCALE["half_up"](*arguments)[0] == half_up
    assert golden.SCALE["tflite"](*arguments)[0] == tflite


# ---- driver ----------------------------------------------------------------------------------

@given(calls())
@settings(deadline=None, max_examples=150)
def test_beats_computed_one_by_one_give_the_golden_result(call):
    config, workload = call
    job, result = MODEL.pack(config, workload), MODEL.golden(config, workload)
    c_frames, flags = interpret(config, workload, job)
    assert flags == result["flags"]
    expected = MODEL.expect(config, workload, result)["c"]
    assert c_frames == [[lanes for lanes, _ in frame] for frame in split(expected)]
    beats = np.array([row for frame in c_frames for row in frame])
    assert len(beats) == job.outputs["c"]
    unpacked = MODEL.unpack(config, workload, {"c": beats})
    np.testing.assert_array_equal(result["c"], unpacked["c"])
    assert result["c"].dtype == unpacked["c"].dtype


@given(calls())
@settings(deadline=None, max_examples=50)
def test_beats_survive_the_wire(call):
    config, workload = call
    job = MODEL.pack(config, workload)
    for stream in config.streams:
        if stream.direction == "in":
            data = job.inputs[stream.name].data
            wire = frames.to_bytes(stream, data)
            np.testing.assert_array_equal(data, frames.from_bytes(stream, wire))


@given(calls(), st.integers(-3, 3))
@settings(deadline=None, max_examples=50)
def test_pad_fills_every_lane_without_an_element(call, pad):
    config, workload = call
    result = MODEL.golden(config, workload)
    filled = MODEL.expect(config, workload, {"c": np.full_like(result["c"], 99)}, pad)["c"]
    elements = filled.data == 99
    assert elements.sum() == result["c"].size
    assert (filled.data[~elements] == pad).all()


def test_frames_of_ws():
    config = SystolicConfig.parse({"rows": 2, "cols": 2, "acc_depth": 2})
    a, w = np.arange(1, 10).reshape(3, 3), np.arange(11, 20).reshape(3, 3)
    job = MODEL.pack(config, MODEL.check(config, Workload("", {"a": a, "w": w})))
    one_n_tile = [[([1, 2], 1), ([4, 5], 1)], [([3, 0], 2), ([6, 0], 2)],
                  [([7, 8], 1)], [([9, 0], 2)]]
    assert split(job.inputs["a"]) == 2 * one_n_tile
    left = [[([11, 12], 0), ([14, 15], 0)], [([17, 18], 0), ([0, 0], 0)]]
    right = [[([13, 0], 0), ([16, 0], 0)], [([19, 0], 0), ([0, 0], 0)]]
    assert split(job.inputs["w"]) == 2 * left + 2 * right
    assert (job.writes, job.outputs) == ({}, {"c": 6})


def test_frames_of_os_with_requant():
    config = SystolicConfig.parse({"rows": 2, "cols": 2, "dataflow": "os", "output": "requant"})
    workload = MODEL.check(config, Workload(
        "", {"a": [[1, 2], [3, 4], [5, 6]], "w": [[7, 8, 9], [1, 2, 3]], "bias": [100, 200, 300],
             "multiplier": 1 << 30, "shift": [0, 1, 2]}, {"a_zero_point": 2, "clamp_high": 90}))
    job = MODEL.pack(config, workload)
    assert split(job.inputs["a"]) == 2 * [[([1, 3], 0), ([2, 4], 0)], [([5, 0], 0), ([6, 0], 0)]]
    assert split(job.inputs["w"]) == (2 * [[([7, 8], 0), ([1, 2], 0)]]
                                      + 2 * [[([9, 0], 0), ([3, 0], 0)]])
    assert split(job.inputs["q"]) == (
        2 * [[([84, 1 << 30, 0], 0), ([180, 1 << 30, 1], 0)]]
        + 2 * [[([276, 1 << 30, 2], 0), ([0, 0, 0], 0)]])
    assert job.writes == {"out_zero_point": 0, "clamp_low": -128, "clamp_high": 90}
    assert job.outputs == {"c": 8}
    filled = MODEL.expect(config, workload, MODEL.golden(config, workload))["c"].data
    assert filled[3].tolist() == [42, 90]          # row beyond M: bias times 2^(shift − 1), clamped
    assert filled[5].tolist() == [90, 0]


def test_utilization_is_useful_over_offered():
    config = SystolicConfig.parse({"rows": 4, "cols": 2})
    workload = MODEL.check(config, Workload("", {"a": [[1] * 6] * 5, "w": [[1] * 3] * 6}))
    assert MODEL.utilization(config, workload, 25) == 5 * 6 * 3 / (4 * 2 * 25)


# ---- check -----------------------------------------------------------------------------------

@pytest.mark.parametrize("layout", [
    lambda array: array.tolist(), np.asfortranarray, lambda array: array.astype(">i2"),
    lambda array: np.repeat(array, 2, axis=1)[:, ::2], lambda array: array[::-1, ::-1][::-1, ::-1],
    lambda array: array.astype(np.uint64),
])
def test_any_layout_and_integer_dtype(layout):
    config = SystolicConfig.parse({})
    a, w = np.arange(6).reshape(2, 3), np.arange(12).reshape(3, 4)
    workload = MODEL.check(config, Workload("", {"a": layout(a), "w": layout(w)}))
    np.testing.assert_array_equal(a @ w, MODEL.golden(config, workload)["c"])


def test_broadcast_arrays_and_a_second_check():
    config = SystolicConfig.parse({"output": "requant"})
    ones = np.broadcast_to(np.int8(1), (9, 9))
    workload = MODEL.check(config, Workload("", {"a": ones, "w": ones},
                                            {"multiplier": 1 << 30, "shift": np.int8(1)}))
    assert (MODEL.golden(config, workload)["c"] == 9).all()
    again = MODEL.check(config, workload)
    assert again.settings == workload.settings
    for name, array in workload.arrays.items():
        np.testing.assert_array_equal(array, again.arrays[name])


@pytest.mark.parametrize("width, signed, dtype", [
    (32, True, np.int32), (33, True, np.int64), (31, False, np.int32), (32, False, np.int64)])
def test_result_dtype(width, signed, dtype):
    config = SystolicConfig.parse({"acc_width": width, **({} if signed else {
        "a_format": "uint8", "w_format": "uint8"})})
    workload = MODEL.check(config, Workload("", {"a": [[1]], "w": [[2]]}))
    assert MODEL.golden(config, workload)["c"].dtype == dtype


def raw(**arrays):
    return {}, {"a": [[1, 2]], "w": [[1], [2]], **arrays}


def requant(**arrays):
    return {"output": "requant"}, {"a": [[1, 2]], "w": [[1], [2]], "multiplier": 1, "shift": 0,
                                   **arrays}


@pytest.mark.parametrize("case, message", [
    (raw(a=[1, 2]), "a must be an array of shape (M, K), not of shape (2,)"),
    (raw(a=3), "a must be an array of shape (M, K), not of shape ()"),
    (raw(a=[[1, 2], [3]]), "a must be an array of integers, not [[1, 2], [3]]"),
    (raw(w=np.zeros((2, 0), int)), "w has shape (2, 0); every size must be at least 1"),
    (raw(a=[[1.0, 2.0]]), "a must hold integers, not float64"),
    (raw(a=[[True, False]]), "a must hold integers, not bool"),
    (raw(a=[[1j, 2]]), "a must hold integers, not complex128"),
    (raw(a=[["1", "2"]]), "a must hold integers, not <U1"),
    (raw(a=np.array([[1, 2]], object)),
     "a must hold integers, not Python objects, or ints beyond 64 bits"),
    (raw(a=[[1, 1 << 70]]), "a must hold integers, not Python objects, or ints beyond 64 bits"),
    (raw(a=[[1, 200]]), "a must hold int8 values, -128 to 127, not 200 at [0, 1]"),
    (raw(a=np.array([[1, 1 << 63]], np.uint64)),
     "a must hold int8 values, -128 to 127, not 9223372036854775808 at [0, 1]"),
    (raw(w=[[-129], [0]]), "w must hold int8 values, -128 to 127, not -129 at [0, 0]"),
    (raw(a=[[1, 2, 3]]), "a has 3 columns and w has 2 rows; both are K and must be equal"),
    (raw(bias=[1]), "unknown argument 'bias'; arguments are a, w"),
    (requant(b=1), "unknown argument 'b'; arguments are a, w, multiplier, shift, bias, "
                   "a_zero_point, out_zero_point, clamp_low, clamp_high"),
    (requant(shift=None), "argument 'shift' is missing; arguments are a, w, multiplier, shift, "
                          "bias, a_zero_point, out_zero_point, clamp_low, clamp_high"),
    (requant(shift=32), "shift must hold values from -31 to 31, not 32"),
    (requant(shift=[-32]), "shift must hold values from -31 to 31, not -32 at [0]"),
    (requant(multiplier=1 << 31),
     "multiplier must hold values from -2147483648 to 2147483647, not 2147483648"),
    (requant(multiplier=0.5), "multiplier must hold integers, not float64"),
    (requant(multiplier=[1, 2]), "multiplier has 2 values and the result has 1 columns; give one "
                                 "for each, or a single one"),
    (requant(multiplier=[[1]]), "multiplier must be an array of shape (N), not of shape (1, 1)"),
    (requant(a_zero_point=128), "a_zero_point must hold int8 values, -128 to 127, not 128"),
    (requant(a_zero_point=[1]), "a_zero_point must be one integer, not of shape (1,)"),
    (requant(out_zero_point=65536),
     "out_zero_point must hold values from -65536 to 65535, not 65536"),
    (requant(clamp_high=128), "clamp_high must hold values from -128 to 127, not 128"),
    (requant(bias=(1 << 31) - 1, a_zero_point=-1),
     "bias[0] - a_zero_point * sum(w[:, 0]) is 2147483650 and must fit int32, -2147483648 to "
     "2147483647"),
])
def test_messages(case, message):
    values, arrays = case
    config = SystolicConfig.parse(values)
    with pytest.raises(Error, match=f"^{re.escape(message)}$"):
        MODEL.check(config, Workload("", arrays))


def test_sizes_have_a_limit():
    huge = np.broadcast_to(np.int8(0), (1, 1 << 31))
    with pytest.raises(Error, match=r"^a has shape .*; every size must be less than 2147483648$"):
        MODEL.check(SystolicConfig.parse({}), Workload("", {"a": huge, "w": huge.T}))


def test_argument_given_twice():
    message = r"^argument 'shift' is given both as an array and as a setting$"
    with pytest.raises(Error, match=message):
        MODEL.check(SystolicConfig.parse({"output": "requant"}),
                    Workload("", requant()[1], {"shift": 1}))


# ---- stimulus --------------------------------------------------------------------------------

@pytest.mark.parametrize("values", [
    {}, {"dataflow": "os", "output": "requant", "rounding": "rne"},
    {"rows": 1, "cols": 1, "a_format": "uint2", "w_format": "int2", "acc_width": 6},
    {"rows": 3, "cols": 5, "acc_depth": 4, "output": "requant", "out_format": "uint16",
     "a_format": "uint16", "w_format": "int16", "max_k": 1},
    {"rows": 32, "cols": 16, "a_format": "int16", "w_format": "uint3", "output": "requant"},
], ids=str)
def test_stimulus_is_legal_reproducible_and_bounded(values):
    config = SystolicConfig.parse(values)
    first, second = (list(islice(MODEL.stimulus(config, np.random.default_rng(5)), 120))
                     for _ in range(2))
    for one, other in zip(first, second, strict=True):
        assert one.label == other.label
        np.testing.assert_array_equal(one.arrays["a"], other.arrays["a"])
        assert one.settings == other.settings
        beats = max(map(len, MODEL.pack(config, one).inputs.values()))
        assert beats <= 9000 + 2 * config.rows, one.label


@pytest.mark.parametrize("dataflow", ["ws", "os"])
def test_stimulus_reaches_every_bit_and_flag(dataflow):
    config = SystolicConfig.parse({"dataflow": dataflow, "acc_width": 20, "rows": 4, "cols": 4,
                                   "output": "requant"})
    flags, positive, negative = 0, 0, 0
    for workload in islice(MODEL.stimulus(config, np.random.default_rng(0)), 100):
        flags |= MODEL.golden(config, workload)["flags"]
        sums = workload.arrays["a"] @ workload.arrays["w"]
        positive, negative = max(positive, sums.max()), min(negative, sums.min())
    assert flags == flags_of(config, {"overflow", "saturated"})
    assert positive > config.acc.high and negative < config.acc.low


def test_stimulus_fills_the_automatic_accumulator():
    config = SystolicConfig.parse({"max_k": 64, "rows": 4})
    sums = [MODEL.golden(config, workload)["c"]
            for workload in islice(MODEL.stimulus(config, np.random.default_rng(0)), 40)
            if workload.arrays["a"].shape[1] == 64]
    assert max(c.max() for c in sums) == 64 * 128 * 128
    assert min(c.min() for c in sums) == -64 * 128 * 127
