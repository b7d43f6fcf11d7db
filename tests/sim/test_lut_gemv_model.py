"""The table-lookup model against the algorithm in exact fractions, and against plain products."""

import re
from fractions import Fraction
from itertools import islice

import numpy as np
import pytest

from systolith.hdl.errors import ConfigError, Error
from systolith.hdl.lut_gemv.config import LutGemvConfig
from systolith.sim.lut_gemv import MODEL
from systolith.sim.model import Workload

EXACT = {"rows": 4, "max_k": 64}
QUANTIZED = {"rows": 4, "max_k": 64, "table": "int8", "act_group": 16}
FP16 = {**QUANTIZED, "a_format": "fp16"}


def call(values, a, w, **settings):
    config = LutGemvConfig.parse(values)
    workload = MODEL.check(config, Workload("", {"a": a, "w": w}, settings))
    return config, workload, MODEL.golden(config, workload)


def by_the_paper(a, codes, bits, group):
    """Section 3 of the paper, a number at a time: 16 entries, int8 with a scale per ``group``.

    Codes u stand for u − 2^(n−1).
    """
    total = Fraction(0)
    for start in range(0, len(a), group):
        part = a[start:start + group]
        tables = [[sum(x if index >> j & 1 else -x for j, x in enumerate(part[i:i + 4]))
                   for index in range(16)] for i in range(0, len(part), 4)]
        scale = max(max(table) for table in tables) / Fraction(127)
        for plane in range(bits):
            alpha = Fraction(2) ** plane / 2
            for number, table in enumerate(tables):
                index = sum((codes[start + 4 * number + j] >> plane & 1) << j for j in range(4))
                total += alpha * scale * (round(table[index] / scale) if scale else 0)
        total += Fraction(1, 2) * sum(table[0] for table in tables)
    return total


@pytest.mark.parametrize("bits", [1, 2, 3, 4])
def test_quantized_tables_are_those_of_the_paper(bits):
    rng = np.random.default_rng(bits)
    a, w = rng.integers(-128, 128, (2, 32)), rng.integers(-1 << bits - 1, 1 << bits - 1, (3, 32))
    _, _, result = call(QUANTIZED, a, w, bits=bits)
    codes = (w + (1 << bits - 1)).tolist()
    for v, vector in enumerate(a.tolist()):
        for m, row in enumerate(codes):
            want = by_the_paper([Fraction(x) for x in vector], row, bits, 16)
            assert Fraction(int(result["sums"][v, m]), 2 * 127) == want
            assert result["y"][v, m] == pytest.approx(float(want), rel=1e-15)


def test_aligned_floats_give_the_tables_of_the_paper():
    """Activations that share an exponent are not rounded: the same fractions."""
    rng = np.random.default_rng(5)
    a = rng.integers(1024, 2048, (1, 32)) * rng.choice([-1, 1], (1, 32)) * 2.0**-12
    w = rng.integers(-8, 8, (3, 32))
    _, _, result = call(FP16, a, w)
    for m, row in enumerate((w + 8).tolist()):
        want = by_the_paper([Fraction(x) for x in a[0].tolist()], row, 4, 16)
        assert Fraction(int(result["sums"][0, m]), 254 << 24) == want


@pytest.mark.parametrize("bits", [1, 2, 3, 4])
@pytest.mark.parametrize("bipolar", [False, True])
def test_error_of_quantized_tables(bits, bipolar):
    """Half a step of a table entry for each lookup, at most."""
    rng = np.random.default_rng(bits)
    high = (1 << bits) - 1
    codes = rng.integers(0, high + 1, (5, 64))
    w = 2 * codes - high if bipolar else codes - (1 << bits - 1)
    a = rng.normal(size=(3, 64)).astype(np.float16).astype(float)
    _, _, result = call(FP16, a, w, bits=bits, bipolar=bipolar)
    largest = np.abs(a).reshape(3, 4, 4, 4).sum(3).max(2)
    step = (largest / 127).sum(1) * 4 * high * (1 if bipolar else 0.5)
    rounding = np.abs(a).max() * 2**-11 * 64 * high * 2
    assert (np.abs(result["y"] - a @ w.T) <= step[:, None] / 2 + rounding).all()


def test_ternary_weights_are_codes_of_two_bits():
    rng = np.random.default_rng(1)
    a, w = rng.integers(-128, 128, (2, 30)), rng.integers(-1, 2, (9, 30))
    _, _, result = call(EXACT, a, w, bits=2)
    np.testing.assert_array_equal(result["y"], a @ w.T)


@pytest.mark.parametrize("values", [EXACT, QUANTIZED, FP16, {**EXACT, "rows": 1}], ids=str)
def test_driver(values):
    """Beats looked up one by one in exact tables; what comes back is what went out."""
    config = LutGemvConfig.parse(values)
    for workload in islice(MODEL.stimulus(config, np.random.default_rng(2)), 14):
        workload = MODEL.check(config, workload)
        result = dict(MODEL.golden(config, workload))
        result.pop("flags")
        job = MODEL.pack(config, workload)
        beats = MODEL.expect(config, workload, result)["y"]
        assert len(beats) == job.outputs["y"] == beats.frames * config.rows
        back = MODEL.unpack(config, workload, {"y": beats.data})
        assert back.keys() == result.keys()
        for name, array in result.items():
            np.testing.assert_array_equal(back[name], array, workload.label)
            assert back[name].dtype == array.dtype
        if values["rows"] == 1 and not config.quantized:
            np.testing.assert_array_equal(_consume(job, workload.settings), result["y"].ravel())


def _consume(job, settings):
    """Results of the packed beats of one row per frame: Σ ±2^i over the planes."""
    bits, bipolar = settings["bits"], settings["bipolar"]
    vectors = np.split(job.inputs["a"].data, np.flatnonzero(job.inputs["a"].last) + 1)[:-1]
    frames = np.split(job.inputs["w"].data[:, 0], np.flatnonzero(job.inputs["w"].last) + 1)[:-1]
    users = job.inputs["w"].user[job.inputs["w"].last].tolist()
    found, vector = [], 0
    for frame, user in zip(frames, users, strict=True):
        assert user & 7 == bits - 1 | bipolar << 2
        a = vectors[vector]
        signs = 2 * (frame.reshape(bits, len(a), 1) >> np.arange(4) & 1) - 1
        doubled = int(((signs * a).sum((1, 2)) << np.arange(bits)[::-1]).sum())
        found.append(doubled if bipolar else (doubled - int(a.sum())) // 2)
        vector += user >> 3
    assert vector == len(vectors)
    return found


@pytest.mark.parametrize("values", [EXACT, FP16], ids=str)
def test_cycles_are_linear_in_the_bits_of_a_weight(values):
    config = LutGemvConfig.parse(values)
    cycles = [MODEL.cycles(config, MODEL.check(config, Workload("", {
        "a": np.zeros((1, 64), int), "w": np.full((40, 64), -1)}, {"bits": bits})))
        for bits in (1, 2, 3, 4)]
    assert np.diff(cycles).tolist() == [64 // 4 * 40 // 4] * 3


def test_storage_of_tables():
    """A quarter of 16 entries of fp16; 0.4 of 16 exact sums of int8 in −127 to 127."""
    config = LutGemvConfig.parse(FP16)
    assert 8 * config.entry.bits / (16 * 16) == 0.25
    assert 8 * config.entry.bits / (16 * (4 * 127).bit_length() + 16) == 0.4


def test_widest_sums_fit_and_one_bit_less_would_not():
    config = LutGemvConfig.parse({"rows": 1, "max_k": 16})
    _, _, result = call(config.model_dump(), np.full((1, 16), -128), np.full((1, 16), -15),
                        bipolar=True)
    assert result["y"][0, 0] == 128 * 15 * 16 > config.y.high // 2


@pytest.mark.parametrize("a, w, settings, message", [
    ([[1, 2]], [[1]], {}, "a has shape (1, 2) and w has shape (1, 1); a is (V, K), w is (M, K), "
                          "and the K must be equal"),
    ([[1]], [[8]], {}, "w must hold 4-bit values, -8 to 7, not 8 at [0, 0]"),
    ([[1]], [[2]], {"bits": 2, "bipolar": True},
     "w must hold odd integers, as bipolar weights are, not 2 at [0, 0]"),
    ([[1]], [[1]], {"bits": 5}, "bits must hold values from 1 to 4, not 5"),
    ([[1]], [[1]], {"bipolar": 1}, "bipolar must be true or false, not 1"),
    ([[200]], [[1]], {}, "a must hold int8 values, -128 to 127, not 200 at [0, 0]"),
    (np.ones((1, 65), int), np.ones((1, 65), int), {}, "a has K = 65, more than max_k = 64"),
])
def test_messages(a, w, settings, message):
    with pytest.raises(Error, match=f"^{re.escape(message)}$"):
        call(EXACT, a, w, **settings)


def test_messages_of_floats():
    with pytest.raises(Error, match=r"^a must hold numbers, not bool$"):
        call(FP16, [[True]], [[1]])
    with pytest.raises(Error, match=r"^a must be an array of shape \(V, K\), every size"):
        call(FP16, [1.0], [[1]])


def test_numbers_beyond_the_range_saturate_and_infinities_do_not():
    _, workload, result = call(FP16, [[1e6, -1e9, np.inf]], [[1, 1, 1]])
    np.testing.assert_array_equal(workload.arrays["a"], [[65504, -65504, np.inf]])
    assert result["flags"] == 1 << 4


@pytest.mark.parametrize("values, message", [
    ({"a_format": "fp16"}, "table must be 'int8' if a_format is 'fp16', not 'exact'"),
    ({"act_group": 32}, "act_group has an effect only if table is 'int8'; leave it at 64 instead "
                        "of 32"),
    ({"table": "int8", "act_group": 10}, "act_group must be a multiple of 4, not 10"),
    ({"table": "int8", "max_k": 100}, "max_k must be a multiple of 64, not 100"),
    ({"max_k": 6}, "max_k must be a multiple of 4, not 6"),
    ({"a_format": "fp16", "table": "int8", "max_k": 16384},
     "sums over max_k = 16384 would take 66 bits, more than 64; reduce max_k"),
])
def test_config_messages(values, message):
    with pytest.raises(ConfigError, match=f"^{re.escape(message)}$"):
        LutGemvConfig.parse(values)
