"""The sparse chain's golden model, driver and cycle model against plain integers."""

import re
from itertools import islice

import numpy as np
import pytest

from systolith.bench import sparse_chain
from systolith.hdl.errors import ConfigError, Error
from systolith.hdl.formats.patterns import Pattern
from systolith.hdl.sparse_chain.config import SparseChainConfig
from systolith.sim.model import Workload
from systolith.sim.sparse import pack, prune
from systolith.sim.sparse_chain import MODEL, driver, structure

CONFIGS = [
    {"buffer_depth": 32},
    {"chains": 1, "group": 1, "max_speedup": 16, "max_tokens": 8, "buffer_depth": 8},
    {"chains": 3, "cells": 4, "group": 1, "lanes": 1, "max_m": 4, "max_speedup": 4,
     "max_tokens": 1, "buffer_depth": 4},
    {"chains": 1, "cells": 64, "group": 4, "max_m": 4, "max_speedup": 4, "max_tokens": 2,
     "buffer_depth": 2}]
CONFIG = SparseChainConfig.parse({"buffer_depth": 32})


def workload(config=CONFIG, **arguments):
    return MODEL.check(config, Workload("", arguments))


def workloads(config, count):
    return islice(MODEL.stimulus(config, np.random.default_rng(5)), count)


@pytest.mark.parametrize("values", CONFIGS, ids=str)
def test_golden_model_is_a_matrix_product(values):
    config = SparseChainConfig.parse(values)
    for case in workloads(config, 40):
        a, w = (case.arrays[name].astype(object) for name in "aw")
        golden = MODEL.golden(config, case)
        np.testing.assert_array_equal(golden["c"], a @ w, case.label)
        assert golden["flags"] == 0


@pytest.mark.parametrize("values", CONFIGS, ids=str)
def test_lanes_carries_and_reduction_nodes_give_the_same(values):
    config = SparseChainConfig.parse(values)
    for case in workloads(config, 40):
        through_chains = structure.product(config, case.arrays["a"], driver.packed(config, case))
        np.testing.assert_array_equal(MODEL.golden(config, case)["c"], through_chains, case.label)


@pytest.mark.parametrize("cells", [4, 8, 16, 32, 64])
@pytest.mark.parametrize("group", [1, 2, 4])
@pytest.mark.parametrize("a, w", [(-128, -128), (-128, 127), (127, -128)])
def test_packed_lanes_hold_the_extremes_at_any_length(cells, group, a, w):
    """Products of -128 and -128 are the ones that a lane could not hold without the adjust."""
    config = SparseChainConfig.parse({"cells": cells, "group": group, "max_m": 4, "chains": 1,
                                      "max_speedup": 1})
    weights = pack(np.full((cells, 1), w), (cells, 1), patterns="4:4")
    both = structure.product(config, np.array([[a] * cells, [-1 - a] * cells]), weights)
    assert both.tolist() == [[a * w * cells], [(-1 - a) * w * cells]]


def test_order_within_a_group_does_not_change_a_sum():
    rng = np.random.default_rng(2)
    weights, tokens = rng.integers(-128, 128, (3, 16)), rng.integers(-128, 128, (2, 2, 16))
    pattern = Pattern(4, 16)
    indices = np.array([np.concatenate([rng.permutation(16)[:4] for _ in range(4)])
                        for _ in range(3)])
    shuffle = np.concatenate([4 * column + rng.permutation(4) for column in range(4)])
    np.testing.assert_array_equal(
        structure.segment_sums(CONFIG, pattern, weights, indices, tokens),
        structure.segment_sums(CONFIG, pattern, weights[:, shuffle], indices[:, shuffle], tokens))


@pytest.mark.parametrize("values", CONFIGS, ids=str)
def test_results_come_back_from_their_beats(values):
    config = SparseChainConfig.parse(values)
    for case in workloads(config, 25):
        golden = MODEL.golden(config, case)
        beats = MODEL.expect(config, case, golden)
        assert len(beats["c"]) == MODEL.pack(config, case).outputs["c"]
        back = MODEL.unpack(config, case, {"c": beats["c"].data})
        np.testing.assert_array_equal(back["c"], golden["c"])
        assert back["c"].dtype == golden["c"].dtype == np.int32
        again = MODEL.check(config, case)
        assert all((again.arrays[name] == case.arrays[name]).all() for name in case.arrays)


def test_beats_by_hand():
    config = SparseChainConfig.parse({"chains": 2, "cells": 4, "group": 1, "max_m": 4,
                                      "max_speedup": 2, "max_tokens": 4, "buffer_depth": 4})
    w = np.zeros((4, 4), int)
    w[1, 0], w[3, 0], w[0, 1], w[2, 2], w[3, 3] = 1, 2, 3, 4, -1
    case = workload(config, a=[[1, 2, 3, 4], [5, 6, 7, 8], [9, 10, 11, 12]], w=w, patterns="2:4")
    job = MODEL.pack(config, case)
    assert job.inputs["a"].data.tolist() == [[1, 2, 3, 4, 5, 6, 7, 8], [9, 10, 11, 12, 0, 0, 0, 0]]
    assert job.inputs["a"].user.tolist() == [1, 1]
    assert job.inputs["p"].data.tolist() == [[0x42, 0, 0, 0, 0, 0, 0, 0]]
    assert job.inputs["p"].user.tolist() == [1]
    assert job.inputs["w"].data.tolist() == [[
        1 | 1 << 8, 2 | 3 << 8, 3, 0 | 1 << 8, 0, 4 | 2 << 8, 0, 255 | 3 << 8]]
    c = MODEL.expect(config, case, MODEL.golden(config, case))["c"]
    assert c.data.tolist() == [[10, 22, 12, 28], [34, 0, 44, 0], [3, 15, -4, -8], [27, 0, -12, 0]]
    assert c.last.tolist() == [False, False, False, True]


def test_tokens_are_cut_into_powers_of_two():
    config = SparseChainConfig.parse({"max_tokens": 16, "buffer_depth": 32})
    def tiling(m, k):
        return driver.Tiling.of(config, workload(config, a=np.ones((m, k), int), w=[[1]] * k))
    assert tiling(45, 16).rounds == (8, 8, 4, 2, 1)      # 23 pairs
    assert tiling(45, 16 * 9).rounds == (2,) * 11 + (1,)               # 3 times 9 blocks would fit
    assert tiling(1, 512).rounds == (1,)


@pytest.mark.parametrize("pattern", [p for p in CONFIG.patterns if p.n], ids=str)
@pytest.mark.parametrize("tokens", [1, 16])
def test_cycles_follow_the_weights_kept(pattern, tokens):
    """A block more costs what its kept weights cost, no more and no less."""
    config = SparseChainConfig.parse({"buffer_depth": 256})
    def cycles(blocks):
        w = prune(np.ones((512, blocks * 16), int), pattern)
        case = workload(config, a=np.ones((tokens, 512), int), w=w, patterns=pattern)
        return MODEL.cycles(config, case), driver.packed(config, case).kept
    (few, few_kept), (many, many_kept) = cycles(2), cycles(6)
    assert (many - few) * config.chains * config.cells == (
        (many_kept - few_kept) * -(-tokens // config.lanes))


def test_skipped_blocks_take_no_time():
    w = np.random.default_rng(1).integers(-128, 128, (32 * 16, 64))
    full = MODEL.cycles(CONFIG, workload(a=np.ones((1, 512), int), w=w))
    w[5 * 16:31 * 16] = 0
    assert full - MODEL.cycles(CONFIG, workload(a=np.ones((1, 512), int), w=w)) == 26 * 4 * 8


def test_scipy_and_packed_matrices_are_taken():
    w = prune(np.random.default_rng(1).integers(-128, 128, (64, 40)), "2:8")
    a = np.arange(64)[None] - 30
    packed = pack(w, (16, 16), patterns="4:8")
    case = workload(a=a, w=packed)
    np.testing.assert_array_equal(case.arrays["patterns"], packed.patterns)
    np.testing.assert_array_equal(MODEL.golden(CONFIG, case)["c"], a @ w)
    other = workload(a=a, w=pack(w, (32, 8)))
    assert (other.arrays["patterns"] == Pattern(2, 8).code).all()
    sparse = pytest.importorskip("scipy.sparse")
    np.testing.assert_array_equal(workload(a=a, w=sparse.csr_matrix(w)).arrays["w"], w)


@pytest.mark.parametrize("arguments, message", [
    ({"a": [[1]]}, "argument 'w' is missing; arguments are a, w, patterns"),
    ({"a": [[1]], "w": [[1]], "pattern": "2:4"}, "unknown argument 'pattern'"),
    ({"a": [[1, 2]], "w": [[1]]}, "a has 2 columns and w has 1 rows; both are K and must be equal"),
    ({"a": [[128]], "w": [[1]]}, "a must hold int8 values, -128 to 127, not 128 at [0, 0]"),
    ({"a": [[1]], "w": [[1.5]]}, "w must hold integers, not float64"),
    ({"a": np.ones((1, 513), int), "w": np.ones((513, 1), int)},
     "K is 513, and the activation buffer holds at most buffer_depth * cells = 512"),
    ({"a": [[1]], "w": [[1]], "patterns": "1:16"},
     "block [0, 0] has pattern 1:16; allowed are 0:16, 1:4, 2:4, 4:4, 1:8, 2:8, 4:8, 8:8, 2:16, "
     "4:16, 8:16, 16:16"),
    ({"a": [[1]], "w": [[1]], "patterns": "0:16"}, "and pattern 0:16 keeps 0")])
def test_mistakes_of_the_caller(arguments, message):
    with pytest.raises(Error, match=re.escape(message)):
        workload(**arguments)


@pytest.mark.parametrize("values, message", [
    ({"cells": 8}, "max_m must be at most cells, 8, not 16"),
    ({"max_m": 4}, "max_speedup must be at most max_m, 4, not 8"),
    ({"max_speedup": 16}, "group must be at most cells / max_speedup, 1, not 2: a segment is made "
                          "of whole groups"),
    ({"max_tokens": 1}, "max_tokens must be at least lanes, 2, not 1"),
    ({"buffer_depth": 500}, "buffer_depth must be a power of two and at least max_tokens / lanes, "
                            "8, not 500"),
    ({"buffer_depth": 4}, "buffer_depth must be a power of two"),
    ({"cells": 12}, "cells must be 4, 8, 16, 32 or 64, not 12"),
    ({"chains": 0}, "chains must be at least 1, not 0")])
def test_what_cannot_be_built(values, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        SparseChainConfig.parse(values)


def test_accumulators_hold_the_largest_sum():
    for values in CONFIGS:
        config = SparseChainConfig.parse(values)
        assert config.acc.low <= -128 * 127 * config.max_k
        assert config.acc.high >= 128 * 128 * config.max_k > config.acc.high // 2


def test_figures_reach_their_targets():
    table = next(sparse_chain.tables(lambda step: None, quick=True))
    reached = [figure.reached for figure in table.figures if figure.reached is not None]
    assert len(reached) == len(sparse_chain.PATTERNS) and all(reached)
