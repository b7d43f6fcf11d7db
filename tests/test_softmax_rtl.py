"""The softmax core under bad traffic, and broken on purpose."""

import numpy as np
import pytest

from systolith.generators import registry
from systolith.generators.core import elaborate, write
from systolith.sim.cases import draw, mismatch
from systolith.sim.frames import Beats
from systolith.sim.model import Job, Workload
from systolith.sim.simulators import verilator
from systolith.sim.simulators.core import Core
from systolith.sim.simulators.errors import SimulationError
from systolith.sim.simulators.harness import Pauses
from systolith.sim.softmax import MODEL

TEMPLATE = registry.get("softmax")
INTEGER = {"algorithm": "integer", "lanes": 2, "max_length": 12}


def compiled(values, folder, old=None, new=None):
    """A simulator of a core, its Verilog changed where asked for, and the config."""
    core = elaborate(TEMPLATE, TEMPLATE.config.parse(values), "core")
    write(core, folder)
    if old is not None:
        assert old in core.verilog
        (folder / "core.v").write_text(core.verilog.replace(old, new))
    return verilator.simulator(Core.read(folder / "core.v", folder / "core.json", core.model))


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


# ---- broken on purpose -----------------------------------------------------------------------

SERIAL = {"algorithm": "integer", "lanes": 3, "max_length": 6, "dividers": 2}
ONLINE = {"lanes": 2, "max_length": 12, "precision": 9}
THREE_PASS = ONLINE | {"algorithm": "three_pass"}
IBERT = {"algorithm": "ibert", "lanes": 2, "max_length": 12, "dividers": 1}
PATTERNS = ({}, {"x": Pauses(0.3, 0.3), "y": Pauses(0.3, 0.2)}, {"y": Pauses(0.05, 0.01)})

BREAKS = {
    "maximum of the row before": (INTEGER, "(in_row & ($signed(", "(1'b1 & ($signed("),
    "sum not halved": (INTEGER, "so_far >> delay_scaling_o", "so_far"),
    "half not rounded up": (INTEGER, " + {3'd0, rise[4]}", ""),
    "row store overrun": (INTEGER, "& mask_there & room &", "& mask_there &"),
    "divider of the row before": (SERIAL, "turn <= {turn[0], turn[1]}", "turn <= turn"),
    "inverse without its margin": (ONLINE, "inverse_mantissa - {6'd0, inverse_mantissa[10:6]}",
                                   "inverse_mantissa"),
    "sum of the row before": (THREE_PASS, "(in_row ? total : 20'd0)", "total"),
    "parabola without its bend": (IBERT, "{1'd0, exp_b} - {3'd0, divider_remainder}",
                                  "{1'd0, exp_b}"),
    "maximum without its mask": (SERIAL, "o <= keep ? x : ", "o <= keep ? x : x | "),
}


def problems(values, folder, old=None, new=None):
    """What the corner cases and some random ones show, without and with stalls."""
    found = []
    with compiled(values, folder, old, new) as simulator:
        config = simulator.core.config
        for case in draw(MODEL, config, 1, None):
            for pauses in PATTERNS:
                try:
                    result = simulator.run(case.job, pauses=pauses, patience=3000)
                except SimulationError as error:
                    found.append(str(error))
                    continue
                message = mismatch(MODEL, config, case, "y", result.beats["y"],
                                   result.beat_cycles["y"])
                if message or result.flags != case.flags:
                    found.append(message or "error flags differ")
                elif not pauses and result.cycles != case.cycles:
                    found.append(f"{result.cycles} cycles instead of {case.cycles}")
                if len(found) > 3:
                    return found
    return found


@pytest.mark.nightly
@pytest.mark.parametrize("values", [INTEGER, SERIAL, ONLINE, THREE_PASS, IBERT], ids=repr)
def test_the_core_as_it_is(values, tmp_path):
    assert problems(values, tmp_path) == []


@pytest.mark.nightly
@pytest.mark.parametrize("name", BREAKS)
def test_a_broken_core_is_caught(name, tmp_path):
    values, old, new = BREAKS[name]
    assert problems(values, tmp_path, old, new)
