"""The bit-plane model against the formulas of bit-level products, and plain numbers."""

import re
from itertools import islice

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from systolith.hdl.bitplane.config import BIPOLAR, TWOS_COMPLEMENT, BitplaneConfig
from systolith.hdl.errors import ConfigError, Error
from systolith.hdl.formats import BipolarFormat, IntegerFormat
from systolith.sim.bitplane import MODEL
from systolith.sim.formats import decode, encode
from systolith.sim.model import Workload
from systolith.sim.planes import bit_planes, from_planes, in_words


@st.composite
def calls(draw):
    a_most, w_most = draw(st.integers(1, 8)), draw(st.integers(1, 8))
    config = BitplaneConfig.parse({
        "rows": draw(st.integers(1, 3)), "cols": draw(st.integers(1, 3)),
        "word": draw(st.integers(8, 11)), "max_a_bits": a_most, "max_w_bits": w_most,
        "max_k": 40, "planes": draw(st.sampled_from(["serial", "parallel"]))})
    families = draw(st.sampled_from([("bipolar", "bipolar"), ("int", "int"), ("int", "uint"),
                                     ("uint", "int"), ("uint", "uint")]))
    bits = draw(st.integers(1, a_most)), draw(st.integers(1, w_most))
    m, k, n = draw(st.integers(1, 5)), draw(st.integers(1, 25)), draw(st.integers(1, 5))
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    values = []
    for family, width, shape in zip(families, bits, ((m, k), (k, n)), strict=True):
        codes = rng.integers(0, 1 << width, shape)
        values.append(2 * codes - (1 << width) + 1 if family == "bipolar" else
                      np.where(codes >> (width - 1), codes - (1 << width), codes)
                      if family == "int" else codes)
    names = [f"{family}{width}" for family, width in zip(families, bits, strict=True)]
    return config, Workload("", {"a": values[0], "w": values[1]},
                            {"a_format": names[0], "w_format": names[1]})


def tile_from_beats(config, a, w, writes):
    """One tile from the beats of its two frames, by counting ones plane by plane.

    Source: arXiv 2409.17870, with the popcounts of all pairs of planes gathered before the one
    constant of bipolar codes: Y = K·(2^p − 1)·(2^q − 1) − 2 · Σ 2^(i+j) · popcount(W_i ^ X_j).
    """
    bits = writes.get("a_bits", config.max_a_bits), writes.get("w_bits", config.max_w_bits)
    operands = []
    for beats, tile, planes in ((a, config.rows, bits[0]), (w, config.cols, bits[1])):
        if config.serial:
            words = beats.reshape(-1, planes, tile, config.word)[:, ::-1]
        else:
            words = beats.reshape(-1, tile, planes, config.word).swapaxes(1, 2)
        operands.append(words)
    total = np.zeros((config.rows, config.cols), np.int64)
    bipolar = writes["a_code"] == BIPOLAR
    for j in range(bits[0]):
        for i in range(bits[1]):
            left, right = operands[0][:, j, :, None], operands[1][:, i, None]
            ones = (left ^ right if bipolar else left & right).sum(axis=(0, 3))
            negative = ((j == bits[0] - 1 and writes["a_code"] == TWOS_COMPLEMENT)
                        != (i == bits[1] - 1 and writes["w_code"] == TWOS_COMPLEMENT))
            total += (-ones if negative else ones) << (i + j)
    return writes["offset"] - 2 * total if bipolar else total


@given(calls())
def test_counted_planes_give_the_product(call):
    config, workload = call
    workload = MODEL.check(config, workload)
    job, result = MODEL.pack(config, workload), MODEL.golden(config, workload)
    want = workload.arrays["a"] @ workload.arrays["w"]
    np.testing.assert_array_equal(result["c"], want)
    frames = {name: np.split(beats.data, np.flatnonzero(beats.last)[:-1] + 1)
              for name, beats in job.inputs.items()}
    tiles = [tile_from_beats(config, a, w, job.writes)
             for a, w in zip(frames["a"], frames["w"], strict=True)]
    beats = MODEL.expect(config, workload, result)["c"]
    np.testing.assert_array_equal(np.concatenate(tiles), beats.data)
    assert job.outputs["c"] == len(beats) == beats.frames * config.rows
    unpacked = MODEL.unpack(config, workload, {"c": beats.data})["c"]
    np.testing.assert_array_equal(unpacked, want)
    assert config.acc.low <= want.min() and want.max() <= config.acc.high


def test_codes_of_bipolar_numbers():
    """Code 101 of three bits is +3; −1 in two's complement of 4 bits is −1 = 2·(−1) + 1."""
    assert decode(BipolarFormat(3), np.array([0b101])) == 3
    code = encode(IntegerFormat(4, signed=True), np.array([-1])) ^ 0b1000
    assert code == 0b0111 and decode(BipolarFormat(4), code) == -1


@pytest.mark.parametrize("planes", ["serial", "parallel"])
def test_xnor_layer(planes):
    """Binary layer with a scale per channel: K − 2 · popcount(w ^ x), times mean |W| (XNOR-Net)."""
    rng = np.random.default_rng(1)
    config = BitplaneConfig.parse({"rows": 2, "cols": 3, "word": 8, "planes": planes,
                                   "max_a_bits": 1, "max_w_bits": 1, "output": "scaled"})
    x, w = rng.normal(size=(5, 37)), rng.normal(size=(37, 7))
    alpha = np.rint(np.abs(w).mean(axis=0) * (1 << 15)).astype(int)
    signs = {"a": np.where(x >= 0, 1, -1), "w": np.where(w >= 0, 1, -1)}
    workload = MODEL.check(config, Workload("", signs | {"scale": alpha}, {
        "a_format": "bipolar1", "w_format": "bipolar1"}))
    c = MODEL.golden(config, workload)["c"] / (1 << 15)
    differ = (np.signbit(x)[:, :, None] ^ np.signbit(w)[None]).sum(axis=1)
    np.testing.assert_allclose(c, (37 - 2 * differ) * np.abs(w).mean(axis=0), atol=37 * 2.0**-16)


def test_planes_and_words():
    codes = np.arange(64).reshape(4, 16)
    planes = bit_planes(codes, 6)
    np.testing.assert_array_equal(from_planes(planes), codes)
    words = in_words(planes, 5)
    assert words.shape == (6, 4, 4, 5)
    np.testing.assert_array_equal(words.reshape(6, 4, 20)[..., :16], planes)
    assert not words[..., 3, 1:].any()


def call(config, m=1, k=1, n=1, **settings):
    arrays = {"a": np.ones((m, k), int), "w": np.ones((k, n), int)}
    if config.output == "scaled":
        arrays["scale"] = np.ones(n, int)
    return MODEL.check(config, Workload("", arrays, settings))


def test_cycles_scale_with_the_pairs_of_planes():
    """cdiv(K, KW) · p · q cycles for a tile, tile by tile without a gap (arXiv 2409.17870)."""
    config = BitplaneConfig.parse({"rows": 1, "cols": 4, "word": 32})
    sizes = {"m": 1, "k": 2048, "n": 2048}
    cycles = {(p, q): MODEL.cycles(config, call(config, **sizes, a_format=f"uint{q}",
                                                w_format=f"uint{p}"))
              for p, q in ((1, 1), (1, 8), (4, 8), (8, 8))}
    fill = cycles[1, 1] - 2048 // 4 * 2048 // 32
    assert 0 < fill < 20
    assert cycles == {pair: 2048 // 4 * 2048 // 32 * pair[0] * pair[1] + fill for pair in cycles}
    wide = BitplaneConfig.parse({"rows": 1, "cols": 4, "word": 32, "planes": "parallel"})
    assert abs(MODEL.cycles(wide, call(wide, **sizes)) - cycles[1, 1]) < 3


def test_utilization_counts_bits_in_use():
    config = BitplaneConfig.parse({"rows": 2, "cols": 2, "word": 8})
    workload = call(config, 2, 8, 2, a_format="uint3", w_format="uint2")
    assert MODEL.utilization(config, workload, 100) == 2 * 8 * 2 * 6 / (2 * 2 * 8 * 100)


def test_stimulus_reaches_the_ends_of_the_accumulator():
    config = BitplaneConfig.parse({"word": 8, "max_k": 16, "max_a_bits": 2, "max_w_bits": 3})
    sums = [MODEL.golden(config, workload)["c"]
            for workload in islice(MODEL.stimulus(config, np.random.default_rng(0)), 60)]
    assert max(c.max() for c in sums) == 16 * 3 * 7
    assert config.acc.high < 2 * 16 * 3 * 7


@pytest.mark.parametrize("arguments, message", [
    ({"a": [[1]], "w": [[1]], "a_format": "bipolar4"},
     "a_format bipolar4 and w_format int4 do not go together: both are bipolar, or neither; "
     "bipolar<n> values also are int<n + 1> values"),
    ({"a": [[1]], "w": [[1]], "w_format": "uint5"},
     "w_format must be int<bits>, uint<bits> or bipolar<bits> of 1 to 4 bits, not 'uint5'"),
    ({"a": [[1]], "w": [[1]], "w_format": "fp16"},
     "w_format must be int<bits>, uint<bits> or bipolar<bits> of 1 to 4 bits, not 'fp16'"),
    ({"a": [[1]], "w": [[1]], "w_format": 3},
     "w_format must be int<bits>, uint<bits> or bipolar<bits> of 1 to 4 bits, not 3"),
    ({"a": [[3, 2]], "w": [[1], [1]], "a_format": "bipolar3", "w_format": "bipolar1"},
     "a must hold bipolar3 values, which are odd, not 2 at [0, 1]"),
    ({"a": [[1, 1]], "w": [[1]]},
     "a has 2 columns and w has 1 rows; both are K and must be equal"),
    ({"a": [[1] * 9], "w": [[1]] * 9}, "K is 9 and must be at most max_k = 8"),
    ({"a": [[8]], "w": [[1]]}, "a must hold int4 values, -8 to 7, not 8 at [0, 0]"),
    ({"a": [[1]], "w": [[1]], "scale": 1},
     "unknown argument 'scale'; arguments are a, w, a_format, w_format"),
])
def test_messages(arguments, message):
    config = BitplaneConfig.parse({"max_a_bits": 4, "max_w_bits": 4, "max_k": 8})
    with pytest.raises(Error, match=f"^{re.escape(message)}$"):
        MODEL.check(config, Workload("", arguments))


@pytest.mark.parametrize("values, message", [
    ({"word": 7}, "word must be at least 8, not 7"),
    ({"max_a_bits": 9}, "max_a_bits must be at most 8, not 9"),
    ({"planes": "both"}, "planes must be 'serial' or 'parallel', not 'both'"),
])
def test_config_messages(values, message):
    with pytest.raises(ConfigError, match=f"^{re.escape(message)}$"):
        BitplaneConfig.parse(values)
