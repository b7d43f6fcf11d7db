"""Patterns, pruning and the compressed weight format, against references one weight at a time."""

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from systolith.hdl.errors import Error
from systolith.hdl.formats.patterns import PATTERNS, Pattern
from systolith.sim.sparse import PackedMatrix, pack, prune


def pruned_one_by_one(column, pattern):
    """Keep the largest magnitudes of every group, the lower index of equal ones."""
    kept = [0] * len(column)
    for start in range(0, len(column), pattern.m):
        group = list(enumerate(column))[start:start + pattern.m]
        for index, value in sorted(group, key=lambda item: (-abs(item[1]), item[0]))[:pattern.n]:
            kept[index] = value
    return kept


# ---- patterns --------------------------------------------------------------------------------

@pytest.mark.parametrize("text, byte, index_bits", [
    ("0:16", 0x00, 0), ("2:16", 0x02, 4), ("16:16", 0x10, 0), ("2:8", 0x22, 3), ("8:8", 0x28, 0),
    ("1:4", 0x41, 2), ("2:4", 0x42, 2), ("4:4", 0x44, 0)])
def test_the_byte_of_a_pattern(text, byte, index_bits):
    pattern = Pattern.parse(text)
    assert (pattern.code, pattern.index_bits, str(pattern)) == (byte, index_bits, text)
    assert Pattern.from_code(byte) == pattern


def test_every_pattern_has_a_byte_of_its_own():
    assert len({pattern.code for pattern in PATTERNS}) == len(PATTERNS) == 4 + 5 + 6
    assert Pattern.parse("dense") == (16, 16)


@pytest.mark.parametrize("text", ["", "2", "3:4", "8:4", "2:32", "-1:4", "2:4:8", "1.0:4"])
def test_what_is_no_pattern(text):
    with pytest.raises(Error, match="pattern must be dense or N:M"):
        Pattern.parse(text)


@pytest.mark.parametrize("byte", [3, 0x60, 0x48, 0x30, 0x80, 0x90])
def test_what_is_no_pattern_byte(byte):
    with pytest.raises(Error, match=f"^{byte:#04x} is not the byte of a pattern"):
        Pattern.from_code(byte)


# ---- pruning ---------------------------------------------------------------------------------

@pytest.mark.parametrize("pattern", PATTERNS, ids=str)
@pytest.mark.parametrize("length", [1, 16, 35])
def test_pruning_keeps_the_largest(pattern, length):
    w = np.random.default_rng(length).integers(-4, 5, (length, 7))       # many equal magnitudes
    want = np.array([pruned_one_by_one(column, pattern) for column in w.T.tolist()]).T
    np.testing.assert_array_equal(prune(w, pattern), want)
    np.testing.assert_array_equal(prune(w.T, str(pattern), axis=1), want.T)


def test_pruning_of_floats_and_extremes():
    nan = prune(np.array([1.0, np.nan, np.inf, -3.0]), "1:4")
    assert np.isnan(nan[1]) and not nan[[0, 2, 3]].any()
    assert prune(np.array([-128, 127, -127, 5], np.int8), "1:4").tolist() == [-128, 0, 0, 0]
    assert prune(np.array([5, -5, 5, 5]), "2:4").tolist() == [5, -5, 0, 0]
    assert prune(np.ones((4, 2), np.float32), "1:4").dtype == np.float32


@pytest.mark.parametrize("weights, axis, message", [
    ([1, 2], 1, "axis must be that of an array of 1 dimensions, not 1"),
    ([True], 0, "weights must be integers or floats, not bool"),
    ([[1], [1, 2]], 0, "weights must be an array of numbers, of one shape")])
def test_pruning_refuses(weights, axis, message):
    with pytest.raises(Error, match=re.escape(message)):
        prune(weights, "2:4", axis)


# ---- packing ---------------------------------------------------------------------------------

@settings(deadline=None, max_examples=60)
@given(st.integers(1, 50), st.integers(1, 40), st.sampled_from([(16, 16), (4, 3), (8, 5), (32, 1)]),
       st.sampled_from([0, 0.02, 0.2, 1]), st.integers(0, 1000))
def test_round_trip_of_unstructured_matrices(k, n, block, density, seed):
    rng = np.random.default_rng(seed)
    w = rng.integers(-128, 128, (k, n)) * (rng.random((k, n)) < density)
    packed = pack(w, block)
    np.testing.assert_array_equal(packed.toarray(), w)
    again = pack(packed, block, patterns=packed.patterns)
    np.testing.assert_array_equal(again.values, packed.values)
    np.testing.assert_array_equal(again.indices, packed.indices)


@pytest.mark.parametrize("pattern", [p for p in PATTERNS if p.n], ids=str)
def test_a_pruned_matrix_gets_its_pattern(pattern):
    w = np.random.default_rng(1).integers(1, 128, (32, 32))
    packed = pack(prune(w, pattern))
    assert packed.kept == w.size * pattern.n // pattern.m
    indices = packed.kept * pattern.index_bits // 8
    assert packed.nbytes == 4 + packed.kept + indices
    assert packed.compression_ratio == w.size / packed.nbytes
    forced = pack(prune(w, pattern), patterns=pattern)
    assert (forced.patterns == pattern.code).all()
    np.testing.assert_array_equal(forced.toarray(), packed.toarray())


def test_smallest_pattern_of_each_block():
    w = np.zeros((32, 16), np.int8)
    w[:3, 0] = 1                                         # three together: 4 of 8 holds them
    w[16:20:2, 5] = 1                                    # two in one group of four, or of eight
    assert [Pattern.from_code(code) for code in pack(w).patterns[:, 0]] == [(4, 16), (2, 16)]
    assert pack(w, allowed=[Pattern(2, 4), Pattern(4, 4)]).patterns[:, 0].tolist() == [0x44, 0x42]
    assert not pack(np.zeros((5, 5), int)).patterns.any()


def test_values_and_indices_in_order():
    w = np.zeros((4, 2), int)
    w[1, 0], w[3, 1], w[2, 1] = -5, 7, 9
    packed = pack(w, (4, 2), patterns="2:4")
    assert packed.values.tolist() == [0, -5, 9, 7]       # a zero fills the lowest free index
    assert packed.indices.tolist() == [0, 1, 2, 3]


def test_scipy_matrices():
    sparse = pytest.importorskip("scipy.sparse")
    w = sparse.random(40, 24, 0.1, random_state=1, data_rvs=lambda n: np.arange(n) % 90 + 1)
    w = w.astype(np.int16).tocsr()
    np.testing.assert_array_equal(pack(w).toarray(), w.toarray())
    np.testing.assert_array_equal(prune(w, "2:8"), prune(w.toarray(), "2:8"))


@pytest.mark.parametrize("arguments, message", [
    ({"weights": np.ones(3, int)}, "weights must be a matrix, not of shape (3,)"),
    ({"weights": [[128]]}, "weights must be integers from -128 to 127"),
    ({"weights": [[0.5]]}, "weights must be integers from -128 to 127"),
    ({"weights": np.ones((16, 1), int), "patterns": "2:4"},
     "block [0, 0] has 4 weights that are not zero in a group of 4, and pattern 2:4 keeps 2"),
    ({"weights": [[1]], "patterns": "2:8", "allowed": [Pattern(16, 16)]},
     "block [0, 0] has pattern 2:8; allowed are 16:16"),
    ({"weights": [[1]], "allowed": [Pattern(0, 16)]},
     "no allowed pattern holds block [0, 0]; allowed are 0:16"),
    ({"weights": [[1]], "patterns": np.array([[3]])}, "0x03 is not the byte of a pattern"),
    ({"weights": [[1]], "patterns": np.array([1])},
     "patterns must be bytes of shape (1, 1), one for each block, not int64 of shape (1,)")])
def test_packing_refuses(arguments, message):
    with pytest.raises(Error, match=re.escape(message)):
        pack(**arguments)


@pytest.mark.parametrize("change, message", [
    ({"indices": [0, 4, 0, 1]}, "group 0: index 4 is not below 4; indices of a group ascend"),
    ({"indices": [0, 1, 2, 2]}, "group 1: index 2 does not follow the index before it"),
    ({"indices": [1, 0, 0, 1]}, "block [0, 0], pattern 2:4, group 0: index 0 does not follow"),
    ({"values": [1, 2, 3]}, "the patterns stand for 4 weights, and there are 3 values"),
    ({"patterns": [[0x62]]}, "0x62 is not the byte of a pattern"),
    ({"patterns": [[0x22]]}, "pattern 2:8 does not fit blocks of 4 rows"),
    ({"patterns": [[0x42, 0]]}, "has patterns of shape (1, 1), not (1, 2)")])
def test_a_wrong_packed_matrix_is_refused(change, message):
    parts = {"patterns": [[0x42]], "values": [1, 2, 3, 4], "indices": [0, 1, 2, 3], **change}
    with pytest.raises(Error, match=re.escape(message)):
        PackedMatrix((4, 2), (4, 2), np.array(parts["patterns"], np.uint8),
                     np.array(parts["values"], np.int8), np.array(parts["indices"], np.uint8))
