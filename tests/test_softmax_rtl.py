"""The softmax core where sums saturate, and under bad traffic."""

import numpy as np
import pytest

from systolith.generators import registry
from systolith.generators.core import elaborate, write
from systolith.sim.frames import Beats
from systolith.sim.model import Job, Workload
from systolith.sim.simulators import regression, verilator
from systolith.sim.simulators.core import Core
from systolith.sim.simulators.harness import Pauses
from systolith.sim.softmax import MODEL

TEMPLATE = registry.get("softmax")
INTEGER = {"algorithm": "integer", "lanes": 2, "max_length": 12}


def compiled(values, folder):
    """A simulator of a core."""
    core = elaborate(TEMPLATE, TEMPLATE.config.parse(values), "core")
    write(core, folder)
    return verilator.simulator(Core.read(folder / "core.v", folder / "core.json", core.model))


@pytest.mark.parametrize("values", [
    {"lanes": 1, "sum_integer": 1},
    {"lanes": 4, "sum_integer": 1, "sum_fraction": 2, "in_format": "uint6"},
    {"lanes": 2, "sum_integer": 1, "sum_fraction": 15, "precision": 15},
])
def test_sums_of_base2_at_their_end(values, tmp_path):
    """What is added may be more than a sum can hold; a rise of the maximum may leave one bit."""
    core = elaborate(TEMPLATE, TEMPLATE.config.parse({"algorithm": "base2", **values}), "core")
    write(core, tmp_path)
    report = regression.verify(tmp_path / "core.v", tmp_path / "core.json", core.model,
                               directory=tmp_path / "out", tests=("without_stalls",))
    assert not [f"{check.name}: {check.message}" for check in report.failures]


# ---- bad traffic -----------------------------------------------------------------------------

def frame(rows, length, lanes=2):
    return Beats.frame(np.reshape(rows, (-1, lanes)), user=length)


def golden(config, row, length, mask=None):
    arrays = {"x": [row], "lengths": [length]} | ({} if mask is None else {"mask": [mask]})
    workload = MODEL.check(config, Workload("", arrays, {"whole_rows": 1}))
    return MODEL.golden(config, workload)["y"].reshape(-1, config.lanes)


def names(config, flags):
    return {name for bit, (name, _) in enumerate(config.flags) if flags >> bit & 1}


GOOD = [5, 3, 1, 7]


def test_rows_too_long_too_short_and_masks_that_differ(tmp_path):
    lanes = INTEGER["lanes"]
    with compiled({**INTEGER, "max_length": 6, "additive_mask": True}, tmp_path) as simulator:
        config = simulator.core.config
        long, zeros = [1, 2, 3, 4, 5, 6, 7, 8], [0] * 8
        good = (frame(GOOD, 4), frame(zeros[:4], 0), [golden(config, GOOD, 4, zeros[:4])])
        shortened = [0, 0, -128, -128]
        for x, mask, want, flags in (
                (frame(long, 6), frame(zeros[:6], 0),
                 golden(config, long[:6], 6, zeros[:6]), {"row_long"}),
                (frame(long, 7), frame(zeros, 0),
                 golden(config, long[:6], 6, zeros[:6]), {"row_long", "mask_differs"}),
                (frame(GOOD, 5), frame(zeros[:4], 0), golden(config, GOOD, 4, zeros[:4]),
                 {"row_short"}),
                (frame(GOOD, 4), frame(zeros[:2], 0), golden(config, GOOD, 4, shortened),
                 {"mask_differs"}),
                (frame(GOOD, 4), frame(zeros[:8], 0), golden(config, GOOD, 4, zeros[:4]),
                 {"mask_differs"}),
                (frame(GOOD, 0), frame(zeros[:4], 0), np.zeros((2, 2), int), {"row_empty"})):
            beats = np.concatenate([want, *good[2]])
            job = Job({}, {"x": Beats.join([x, good[0]], lanes),
                           "mask": Beats.join([mask, good[1]], lanes)}, {"y": len(beats)})
            for pauses in ({}, {"x": Pauses(0.5, 0.5), "mask": Pauses(0.5, 0.5)}):
                result = simulator.run(job, pauses=pauses)
                np.testing.assert_array_equal(result.beats["y"].data, beats)
                assert np.flatnonzero(result.beats["y"].last).tolist() == [
                    len(want) - 1, len(beats) - 1]
                assert names(config, result.flags) == flags


def test_a_replayed_row_that_differs(tmp_path):
    with compiled({**INTEGER, "max_length": 6, "store": "replay"}, tmp_path) as simulator:
        config = simulator.core.config
        good = golden(config, GOOD, 4)
        for again, count, flags in ((frame(GOOD[:2], 2), 1, {"replay_differs"}),
                                    (frame([*GOOD, 0, 0], 4), 3, {"replay_differs"}),
                                    (frame(GOOD, 4), 2, set())):
            job = Job({}, {"x": Beats.join([frame(GOOD, 4)] * 2, 2),
                           "replay": Beats.join([again, frame(GOOD, 4)], 2)}, {"y": count + 2})
            result = simulator.run(job)
            y = result.beats["y"].data
            np.testing.assert_array_equal(y[:min(count, 2)], good[:count])
            np.testing.assert_array_equal(y[count:], good)
            assert names(config, result.flags) == flags


def test_rows_replayed_twice_that_differ(tmp_path):
    """The third reading decides how many beats leave; the row behind is right in any case."""
    values = {"algorithm": "ibert", "lanes": 2, "max_length": 6, "store": "replay",
              "additive_mask": True}
    with compiled(values, tmp_path) as simulator:
        config = simulator.core.config
        good, zeros = frame(GOOD, 4), frame([0] * 4, 0)
        want = golden(config, GOOD, 4, [0] * 4)
        short, long = frame(GOOD[:2], 2), frame([*GOOD, 0, 0], 4)
        for second, third, mask, flags in (
                (good, good, zeros, set()), (good, short, frame([0] * 2, 0), {"replay_differs"}),
                (good, long, frame([0] * 6, 0), {"replay_differs"}),
                (long, good, zeros, {"replay_differs", "mask_differs"}),
                (good, good, frame([0] * 2, 0), {"mask_differs"})):
            count = len(third)
            job = Job({}, {
                "x": Beats.join([good] * 2, 2), "mask": Beats.join([zeros] * 2, 2),
                "replay": Beats.join([second, good], 2), "replay_mask": Beats.join([zeros] * 2, 2),
                "replay_2": Beats.join([third, good], 2),
                "replay_2_mask": Beats.join([mask, zeros], 2)}, {"y": count + 2})
            result = simulator.run(job)
            y = result.beats["y"].data
            if second is good:
                kept = min(count, len(mask), 2)
                np.testing.assert_array_equal(y[:kept], want[:kept])
                assert not y[kept:count].any()
            np.testing.assert_array_equal(y[count:], want)
            assert names(config, result.flags) == flags
