"""The online pruning unit: model against one element at a time, RTL, bad frames, a chain behind."""

import re
from itertools import islice

import numpy as np
import pytest

from systolith.generators import registry
from systolith.generators.core import elaborate, write
from systolith.hdl.errors import ConfigError, Error
from systolith.hdl.formats.patterns import Pattern
from systolith.hdl.sparse_chain.config import SparseChainConfig
from systolith.hdl.topn.config import TopNConfig
from systolith.sim.cases import draw, mismatch
from systolith.sim.frames import Beats
from systolith.sim.model import Job, Workload
from systolith.sim.simulators import verilator
from systolith.sim.simulators.core import Core
from systolith.sim.simulators.errors import SimulationError
from systolith.sim.simulators.harness import Pauses
from systolith.sim.sparse import from_groups, pack, prune
from systolith.sim.sparse_chain import MODEL as CHAIN
from systolith.sim.topn import MODEL

CONFIG = TopNConfig.parse({"lanes": 2, "max_m": 8})
CONFIGS = [{"lanes": 2}, {"lanes": 1, "x_format": "uint5", "max_m": 4, "max_n": 1},
           {"lanes": 3, "x_format": "int3", "max_m": 8, "max_n": 8}]
STALLS = {"x": Pauses(0.3, 0.3), "z": Pauses(0.3, 0.2)}


def kept_one_by_one(column, pattern):
    """(value, index) of what stays of each group of a column."""
    column, kept = [*column, *[0] * (-len(column) % pattern.m)], []
    for start in range(0, len(column), pattern.m):
        group = list(enumerate(column[start:start + pattern.m]))
        best = sorted(group, key=lambda item: (-abs(item[1]), item[0]))[:pattern.n]
        kept += [(value, index) for index, value in sorted(best)]
    return kept


@pytest.mark.parametrize("values", CONFIGS, ids=str)
def test_golden_model(values):
    config = TopNConfig.parse(values)
    for case in islice(MODEL.stimulus(config, np.random.default_rng(3)), 60):
        golden = MODEL.golden(config, case)
        pattern = Pattern.parse(case.settings["pattern"])
        for column, x in enumerate(case.arrays["x"].T.tolist()):
            got = zip(golden["values"][:, column].tolist(), golden["indices"][:, column].tolist(),
                      strict=True)
            assert list(got) == kept_one_by_one(x, pattern), case.label
        beats = MODEL.expect(config, case, golden)
        assert len(beats["z"]) == MODEL.pack(config, case).outputs["z"]
        back = MODEL.unpack(config, case, {"z": beats["z"].data})
        for name in ("values", "indices"):
            np.testing.assert_array_equal(back[name], golden[name])


@pytest.mark.parametrize("arguments, message", [
    ({"x": [[1]], "pattern": "8:16"}, "pattern 8:16 was not built in; patterns are 1:4, 2:4, 4:4, "
                                      "1:8, 2:8, 4:8"),
    ({"x": [[1]], "pattern": "0:4"}, "pattern 0:4 was not built in"),
    ({"x": [[1]], "pattern": 3}, "pattern must be a text such as '2:8', not 3"),
    ({"x": [[1]]}, "argument 'pattern' is missing"),
    ({"x": [[200]], "pattern": "2:8"}, "x must hold int8 values")])
def test_mistakes_of_the_caller(arguments, message):
    with pytest.raises(Error, match=re.escape(message)):
        MODEL.check(CONFIG, Workload("", {}, arguments))


@pytest.mark.parametrize("values, message", [
    ({"max_m": 4, "max_n": 8}, "max_n must be at most max_m, 4, not 8"),
    ({"x_format": "fp16"}, "x_format: must be int2…int16 or uint2…uint16, not 'fp16'")])
def test_what_cannot_be_built(values, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        TopNConfig.parse(values)


def simulator(folder, config, old="", new=""):
    template = registry.get("topn")
    generated = elaborate(template, config, "core")
    write(generated, folder)
    assert old in generated.verilog
    (folder / "core.v").write_text(generated.verilog.replace(old, new) if old
                                   else generated.verilog)
    return verilator.simulator(Core.read(folder / "core.v", folder / "core.json",
                                         generated.model))


@pytest.fixture(scope="module")
def core(tmp_path_factory):
    with simulator(tmp_path_factory.mktemp("topn"), CONFIG) as built:
        yield built


@pytest.mark.parametrize("pauses", [{}, STALLS], ids=["freely", "stalled"])
def test_bad_frames(core, pauses):
    """One of no pattern, one that ends within a group; the frame after them is right."""
    x = np.arange(16).reshape(8, 2)
    good = MODEL.check(CONFIG, Workload("", {"x": x}, {"pattern": "2:4"}))
    frame = MODEL.pack(CONFIG, good).inputs["x"]
    lost = [Beats.frame(x, code) for code in (3, Pattern(8, 8).code, Pattern(2, 16).code, 0)]
    short = Beats.frame(x[:6], Pattern(2, 4).code)
    completed = MODEL.check(CONFIG, Workload("", {"x": x[:6]}, {"pattern": "2:4"}))
    result = core.run(Job({}, {"x": Beats.join([*lost, short, frame], 2)}, {"z": 8}),
                      pauses=pauses, seed=2)
    for case, part in ((completed, slice(0, 4)), (good, slice(4, 8))):
        want = MODEL.expect(CONFIG, case, MODEL.golden(CONFIG, case))["z"]
        np.testing.assert_array_equal(result.beats["z"].data[part], want.data)
        np.testing.assert_array_equal(result.beats["z"].last[part], want.last)
    assert result.flags == 0b11
    after = core.run(MODEL.pack(CONFIG, good), pauses=pauses)
    np.testing.assert_array_equal(after.beats["z"].data, want.data)
    assert after.flags == 0


@pytest.mark.parametrize("pattern", ["2:4", "2:8", "4:8"])
def test_what_it_keeps_runs_in_a_sparse_chain(core, pattern):
    """Dense weights through the RTL of the unit, then as they come into the chain's format."""
    rng = np.random.default_rng(4)
    w, a = rng.integers(-128, 128, (37, 9)), rng.integers(-128, 128, (3, 37))
    case = MODEL.check(CONFIG, Workload("", {"x": w}, {"pattern": pattern}))
    kept = MODEL.unpack(CONFIG, case, {"z": core.run(MODEL.pack(CONFIG, case)).beats["z"].data})
    chain = SparseChainConfig.parse({"chains": 1, "cells": 8, "max_m": 8, "max_speedup": 4,
                                     "buffer_depth": 16})
    packed = from_groups(kept["values"], kept["indices"], w.shape, pattern, (8, 4))
    np.testing.assert_array_equal(packed.toarray(), prune(w, pattern))
    work = CHAIN.check(chain, Workload("", {"a": a, "w": packed}))
    assert (work.arrays["patterns"] == Pattern.parse(pattern).code).all()
    np.testing.assert_array_equal(CHAIN.golden(chain, work)["c"], a @ prune(w, pattern))
    np.testing.assert_array_equal(pack(packed, (8, 4), patterns=pattern).kept, packed.kept)


def test_kept_weights_of_a_wrong_shape():
    with pytest.raises(Error, match=re.escape("values must be of shape (4, 3), not (3, 3)")):
        from_groups(np.zeros((3, 3), int), np.zeros((4, 3), int), (8, 3), "2:4")


BREAKS = {
    "later of equal magnitudes kept": ("size > (", "size >= ("),
    "ranks not pushed": ("beaten[0]", "1'b0"),
    "output overwritten": ("left == 3'd1", "left != 3'd0"),
}


def problems(built, config=CONFIG):
    for case in draw(MODEL, config, 1, None):
        for pauses in ({}, STALLS):
            try:
                result = built.run(case.job, pauses=pauses, patience=500)
            except SimulationError as error:
                return str(error)
            message = mismatch(MODEL, config, case, "z", result.beats["z"],
                               result.beat_cycles["z"])
            if message:
                return message
            if not pauses and result.cycles != case.cycles:
                return f"{result.cycles} cycles instead of {case.cycles}"
    return None


def test_the_unit_as_it_is(core):
    assert problems(core) is None


@pytest.mark.nightly
def test_a_lane_that_keeps_one(tmp_path):
    config = TopNConfig.parse({"lanes": 1, "x_format": "uint5", "max_m": 4, "max_n": 1})
    with simulator(tmp_path, config) as built:
        assert problems(built, config) is None


@pytest.mark.nightly
@pytest.mark.parametrize("name", BREAKS)
def test_a_broken_unit_is_caught(name, tmp_path):
    with simulator(tmp_path, CONFIG, *BREAKS[name]) as built:
        assert problems(built)
