# amaranth: UnusedElaboratable=no
"""Tables, lines and parabolas: coefficients, error bounds, and the RTL on every input."""

import math
from itertools import pairwise

import numpy as np
import pytest

from systolith.generators.verilog import emit
from systolith.hdl.arithmetic.config import Segments
from systolith.hdl.arithmetic.piecewise import Piecewise, fit, piecewise_latency
from systolith.hdl.formats import IntegerFormat
from systolith.sim import functions

S8, U8 = IntegerFormat(8, True, -5), IntegerFormat(8, False, -6)


def logistic(x):
    return 1 / (1 + np.exp(-x))


CASES = {
    "table": (np.sin, Segments(S8, IntegerFormat(9, True, -7), -128, 128, 0, 0)),
    "coarse table": (np.cos, Segments(U8, IntegerFormat(5, True, -2), 0, 256, 3, 0)),
    "lines": (np.tanh, Segments(S8, IntegerFormat(8, True, -7), -128, 128, 4)),
    "lines without guard": (np.exp2, Segments(U8, IntegerFormat(12, False, -8), 0, 256, 5,
                                              guard=0)),
    "endpoints": (np.sqrt, Segments(U8, IntegerFormat(10, False, -8), 0, 250, 3, guard=0,
                                    fit="endpoints")),
    "one segment": (logistic, Segments(S8, IntegerFormat(7, False, -7), -100, 101, 8)),
    "below": (logistic, Segments(S8, IntegerFormat(10, False, -9), -128, 128, 5, bound="below")),
    "parabolas": (np.exp2, Segments(S8, IntegerFormat(16, False, -11), -128, 128, 6, 2)),
    "parabolas, saturating": (np.exp, Segments(S8, IntegerFormat(6, False, -2), -90, 128, 6, 2)),
    "negative results": (np.sin, Segments(S8, IntegerFormat(6, True, -7), -128, 128, 5, 2)),
    "results smaller than the target": (lambda x: np.sin(x) / 16, Segments(
        S8, IntegerFormat(12, True, -7), -128, 128, 5, 2)),
    "small and never negative": (lambda x: x / 100, Segments(
        U8, IntegerFormat(12, True, -7), 0, 256, 5)),
    "segments of one input": (np.cos, Segments(U8, IntegerFormat(9, True, -7), 3, 90, 0, 1)),
    "unsigned shift": (np.square, Segments(IntegerFormat(6, False, 1), IntegerFormat(9, False, 4),
                                           0, 64, 2, 1)),
}


@pytest.mark.parametrize("name", CASES)
def test_every_input(name, evaluate):
    function, segments = CASES[name]
    part = Piecewise(lambda x: float(function(x)), segments)
    table = functions.coefficients(function, segments)
    assert part.coefficients == [tuple(row) for row in table.tolist()]
    x = np.arange(segments.source.code_low, segments.source.code_high + 1)
    expected = functions.evaluate(segments, table, x)
    assert (evaluate(part, x=x)["y"] == expected).all()
    inside = x[(x >= segments.start) & (x < segments.stop)]
    exact = function(inside * 2.0**segments.source.lsb_exponent)
    error = functions.evaluate(segments, table, inside) * 2.0**segments.target.lsb_exponent - exact
    assert part.max_error == pytest.approx(np.abs(error).max(), rel=1e-9)
    assert segments.bound == "nearest" or error.max() <= 0
    assert part.latency == piecewise_latency(segments)
    results = functions.evaluate(segments, table, inside)
    assert part.reach[0] <= results.min() and part.reach[1] >= results.max()


def test_only_a_result_that_can_leave_its_format_is_limited():
    """The last line ends exactly at the largest result, or one above it."""
    source = IntegerFormat(6, False)
    for slope, limited in ((4, False), (4.2, True)):
        segments = Segments(source, IntegerFormat(8, False), 0, 64, 6, 1)
        part = Piecewise(lambda x, slope=slope: slope * x, segments)
        results = functions.evaluate(segments, functions.coefficients(
            lambda x, slope=slope: slope * x, segments), np.arange(64))
        assert part.reach == (results.min(), results.max())
        assert ("result = 8'd255" in emit(part, name="part").text) == limited


def test_more_segments_and_higher_degrees_are_better():
    source, target = IntegerFormat(12, False, -12), IntegerFormat(24, False, -22)
    errors = [[fit(math.exp, source, target, count=count, degree=degree).max_error
               for count in (4, 8, 16)] for degree in (0, 1, 2)]
    for degree, row in enumerate(errors):
        for coarse, fine in pairwise(row):
            assert coarse / fine == pytest.approx(2**(degree + 1), rel=0.1)
    # Through Chebyshev nodes: f'' w² / 16 and f''' w³ / 192, the derivatives at most e.
    assert errors[1][2] <= math.e / 16**2 / 16 + 2e-7
    assert errors[2][2] <= math.e / 16**3 / 192 + 2e-7


def test_fit_finds_the_fewest_segments():
    source, target = IntegerFormat(10, False, -9), IntegerFormat(14, False, -12)
    part = fit(math.sqrt, source, target, start=0.5, stop=2, max_error=2e-4)
    assert part.max_error <= 2e-4
    coarser = fit(math.sqrt, source, target, start=0.5, stop=2, count=part.segments.count - 1)
    assert coarser.max_error > 2e-4
    assert (part.segments.start, part.segments.stop) == (256, 1024)


def test_wide_inputs_are_swept():
    source, target = IntegerFormat(24, False, -24), IntegerFormat(20, False, -18)
    part = fit(math.exp, source, target, count=16, degree=2)
    x = np.random.default_rng(1).integers(0, 1 << 24, 200_000)
    table = functions.coefficients(np.exp, part.segments)
    error = functions.evaluate(part.segments, table, x) * 2.0**-18 - np.exp(x * 2.0**-24)
    assert np.abs(error).max() <= part.max_error * 1.001


def test_gelu_table_of_edge_moe():
    """177 entries at distance 1/32 with 22 fraction bits: an error below 1e-4."""
    def delta(u):
        return u * math.erfc(u / math.sqrt(2)) / 2

    segments = Segments(IntegerFormat(27, False, -22), IntegerFormat(22, False, -22), 0,
                        11 << 21, 17, guard=0, fit="endpoints")
    part = Piecewise(delta, segments)
    assert segments.count + 1 == 177
    assert 9.5e-5 < part.max_error < 1e-4
    table = functions.coefficients(np.vectorize(delta), segments)
    # <32,10> vectors: y = relu(x) − delta(|x|).
    for x, y in ((3 << 20, 2432820), (-3 << 20, -712908), (4236247, 3574447),
                 (-13841204, -6698)):
        assert max(x, 0) - functions.evaluate(segments, table, np.array(abs(x))) == y


@pytest.mark.parametrize("make, message", [
    (lambda: Segments(S8, U8, -129, 3, 0), "start and stop must be -128 to 128 and in this order, "
                                           "not -129 and 3"),
    (lambda: Segments(S8, U8, 3, 3, 0), "start and stop must be -128 to 128 and in this order, "
                                        "not 3 and 3"),
    (lambda: Segments(S8, U8, 0, 3, 0, 3), "degree must be 0 to 2, not 3"),
    (lambda: Segments(S8, U8, 0, 3, -1), "segment_bits and guard must be at least 0, not -1 and 3"),
    (lambda: Segments(S8, U8, 0, 3, 0, 2, fit="endpoints"),
     "a fit through endpoints has degree 1, not 2"),
    (lambda: Segments(IntegerFormat(17, False), U8, 0, 1 << 17, 9, bound="below"),
     "a bound from below is proven for at most 65536 inputs, not 131072"),
    (lambda: fit(math.exp, S8, U8), "give either max_error or count"),
    (lambda: fit(math.exp, S8, U8, count=0), "count must be at least 1, not 0"),
    (lambda: fit(math.sin, S8, IntegerFormat(3, True, -1), max_error=0.1),
     "no number of segments of degree 1 has an error of at most 0.1 in units of 0.5"),
])
def test_messages(make, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        make()
