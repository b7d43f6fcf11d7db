"""Quantized weights on the host, and in the sparse chain's model, one weight at a time."""

import math
import re
from fractions import Fraction

import numpy as np
import pytest

from systolith.hdl.errors import ConfigError, Error
from systolith.hdl.sparse_chain.config import QUANTIZED_BITS, SparseChainConfig
from systolith.sim.model import Workload
from systolith.sim.sparse import QuantizedMatrix, pack, prune, quantize
from systolith.sim.sparse_chain import MODEL

CONFIG = SparseChainConfig.parse({"chains": 2, "cells": 8, "max_m": 8, "max_speedup": 2,
                                  "max_tokens": 4, "buffer_depth": 8, "weights": "quantized"})
BLOCK = CONFIG.cells, CONFIG.block_columns


def matrix(codes, bits, scales, block=(4, 2)):
    return QuantizedMatrix(pack(np.array(codes), block), np.array(bits, np.uint8),
                           np.array(scales, np.uint8))


@pytest.mark.parametrize("bits", QUANTIZED_BITS)
def test_what_a_code_stands_for(bits):
    """q · scale / 2^(bits - 1) in exact fractions, half up, saturated; every code and scale."""
    full = 1 << bits - 1
    for scale in range(1, 256, 1 if bits < 8 else 17):
        codes = np.zeros((4 * -(-2 * full // 4), 1), int)
        codes[:2 * full, 0] = range(-full, full)
        grid = len(codes) // 4, 1
        held = QuantizedMatrix(pack(codes, (4, 1)), np.full(grid, bits), np.full((*grid, 1), scale))
        want = [min(max(math.floor(Fraction(q * scale, full) + Fraction(1, 2)), -128), 127)
                for q in range(-full, full)]
        assert held.toarray()[:2 * full, 0].tolist() == want


def test_each_part_of_a_block_has_its_scale():
    held = matrix([[3, -4], [1, 2], [0, 0], [1, 1]], [[3]], [[[40, 60]]])
    assert held.toarray().tolist() == [[30, -60], [10, 30], [0, 0], [10, 15]]
    # 4:4 keeps all: a pattern byte, a width, two scales, eight codes of three bits.
    assert held.nbytes == 1 + 1 + 2 + 3


def test_eight_bits_leave_weights_as_they_are():
    w = np.random.default_rng(1).integers(-128, 128, (40, 24))
    np.testing.assert_array_equal(quantize(w, bits=8).toarray(), w)


@pytest.mark.parametrize("bits", QUANTIZED_BITS)
def test_more_bits_are_nearer_and_pruned_weights_stay_so(bits):
    w = prune(np.random.default_rng(2).normal(0, 30, (64, 32)).clip(-128, 127).astype(int), "2:8")
    held = quantize(w, bits=bits, parts=2, patterns="2:8")
    assert (held.toarray()[w == 0] == 0).all()
    error = np.abs(held.toarray() - w.astype(int)).max()
    assert error <= 128 / (1 << bits - 1)


def test_a_mean_width_is_kept_and_used_where_it_helps():
    rng = np.random.default_rng(3)
    w = rng.normal(0, rng.choice([2, 40], (8, 4)).repeat(16, 0).repeat(16, 1)).clip(-127, 127)
    w = np.rint(w).astype(int)
    mixed = quantize(w, bits=3.5)
    assert 3.2 < mixed.average_bits <= 3.5
    assert len(np.unique(mixed.bits)) > 1

    def error(held):
        return ((held.toarray() - w) ** 2).sum()

    # Half of the blocks hold little: the other half takes the bits.
    assert error(mixed) < error(quantize(w, bits=4)) < error(quantize(w, bits=3))


@pytest.mark.parametrize("make, message", [
    (lambda: matrix([[1]] * 4, [[3]], [[[0]]]), "block [0, 0] has the scale 0 in part 0; scales "
                                                "are 1 to 255"),
    (lambda: matrix([[1]] * 4, [[7]], [[[1]]]), "block [0, 0] has codes of 7 bits; widths are "
                                                "3, 4, 5, 6, 8"),
    (lambda: matrix([[4]] * 4, [[3]], [[[1]]]), "code 4 at [0, 0] does not fit the 3 bits of block "
                                                "[0, 0]"),
    (lambda: matrix([[1]] * 4, [[3, 3]], [[[1]]]), "bits must be of shape (1, 1)"),
    (lambda: quantize(np.ones((4, 4), int), bits=7), "bits must be 3, 4, 5, 6, 8"),
    (lambda: quantize(np.ones((4, 4), int), bits=2.5), "bits must be at least 3, not 2.5"),
    (lambda: quantize(np.ones((4, 4), int), parts=3), "parts must divide the 16 columns"),
])
def test_mistakes_on_the_host(make, message):
    with pytest.raises(Error, match=re.escape(message)):
        make()


def test_a_core_takes_them_three_ways():
    rng = np.random.default_rng(4)
    w, a = rng.integers(-128, 128, (20, 9)), rng.integers(-128, 128, (3, 20))
    held = quantize(w, BLOCK, parts=CONFIG.chains, bits=3.5, allowed=CONFIG.patterns)
    whole = MODEL.check(CONFIG, Workload("", {"a": a, "w": held}))
    apart = MODEL.check(CONFIG, Workload("", {
        "a": a, "w": held.codes, "bits": held.bits, "scales": held.scales}))
    for case in (whole, apart):
        np.testing.assert_array_equal(MODEL.golden(CONFIG, case)["c"],
                                      a @ held.toarray().astype(int))
    plain = MODEL.check(CONFIG, Workload("", {"a": a, "w": w}))
    np.testing.assert_array_equal(MODEL.golden(CONFIG, plain)["c"], a @ w)


@pytest.mark.parametrize("change, message", [
    ({"bits": None}, "bits and scales belong together"),
    ({"scales": np.zeros((1, 1, 2), int)}, "block [0, 0] has the scale 0 in part 0"),
    ({"scales": np.ones((1, 1, 3), int)}, "scales has 3 for each block, and there are 2 chains"),
    ({"bits": np.full((1, 1), 3)}, "code 9 at [0, 0] does not fit the 3 bits"),
])
def test_mistakes_of_the_caller(change, message):
    arguments = {"a": [[1]], "w": [[9]], "bits": np.full((1, 1), 5),
                 "scales": np.ones((1, 1, 2), int)}
    with pytest.raises(Error, match=re.escape(message)):
        MODEL.check(CONFIG, Workload("", {**arguments, **change}))


def test_blocks_of_another_core():
    with pytest.raises(Error, match=re.escape("this core takes blocks of (8, 4) with 2")):
        MODEL.check(CONFIG, Workload("", {"a": [[1]], "w": quantize([[9]])}))


@pytest.mark.parametrize("values, message", [
    ({"planes": 4}, "planes has an effect only if weights is 'quantized'"),
    ({"weights": "quantized", "w_format": "int4"}, "w_format must be 'int8', not 'int4'"),
    ({"weights": "quantized", "planes": 1, "cells": 4, "max_m": 4, "max_speedup": 1},
     "planes must be at least 2 with 4 cells, not 1"),
])
def test_what_cannot_be_built(values, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        SparseChainConfig.parse(values)


def test_a_dense_core_prunes():
    config = SparseChainConfig.parse({"chains": 1, "cells": 8, "max_m": 8, "max_speedup": 4,
                                      "weights": "dense"})
    rng = np.random.default_rng(5)
    w, a = rng.integers(-128, 128, (20, 9)), rng.integers(-128, 128, (3, 20))
    case = MODEL.check(config, Workload("", {"a": a, "w": w, "patterns": "2:8"}))
    np.testing.assert_array_equal(MODEL.golden(config, case)["c"], a @ prune(w, "2:8"))
