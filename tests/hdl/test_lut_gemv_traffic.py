"""Bad frames at a table-lookup core: what is flagged, and what comes out all the same."""

from dataclasses import replace

import numpy as np
import pytest

from systolith.generators import registry
from systolith.generators.core import elaborate, write
from systolith.sim.frames import Beats
from systolith.sim.lut_gemv import MODEL
from systolith.sim.model import Workload
from systolith.sim.simulators import verilator
from systolith.sim.simulators.core import Core
from systolith.sim.simulators.harness import Pauses

VALUES = {"rows": 2, "table": "int8", "act_group": 8, "max_k": 24}
PAUSED = {name: Pauses(0.3, 0.3) for name in ("a", "w", "y")}
BITS = 2
RNG = np.random.default_rng(5)
A, W = RNG.integers(-128, 128, (1, 16)), RNG.integers(-2, 2, (2, 16))       # two blocks


@pytest.fixture(scope="module")
def simulator(tmp_path_factory):
    template, folder = registry.get("lut_gemv"), tmp_path_factory.mktemp("core")
    core = elaborate(template, template.config.parse(VALUES), "core")
    write(core, folder)
    with verilator.simulator(Core.read(folder / "core.v", folder / "core.json",
                                       core.model)) as simulator:
        yield simulator


def job(a, w):
    config = registry.get("lut_gemv").config.parse(VALUES)
    workload = MODEL.check(config, Workload("", {"a": a, "w": w}, {"bits": BITS}))
    return MODEL.pack(config, workload), MODEL.golden(config, workload)["sums"][0]


def cut(beats, length):
    return Beats.frame(beats.data[:length], int(beats.user[0]))


def extended(beats, more):
    return Beats.frame(np.concatenate([beats.data, beats.data[:more]]), int(beats.user[0]))


def indices_of_zero(w, start):
    """Weights whose planes are cut off from beat ``start`` of a frame: bits of 0 in their place.

    A block has a beat for each of its 2 tables and planes, the upper plane first.
    """
    codes = w + 2
    for beat in range(start, 8):
        block, plane, table = beat // 4, 1 - beat % 4 // 2, beat % 2
        columns = np.s_[8 * block + 4 * table:8 * block + 4 * table + 4]
        codes[:, columns] &= ~(1 << plane)
    return codes - 2


@pytest.mark.parametrize("pauses", [{}, PAUSED], ids=["full speed", "pauses"])
@pytest.mark.parametrize("case", ["a_short", "a_long", "w_short", "w_short at once", "w_long"])
def test_frames_of_a_wrong_length(simulator, pauses, case):
    good, sums = job(A, W)
    first, want = dict(good.inputs), sums
    if case == "a_short":                                # the second block gets zeros
        first["a"] = cut(first["a"], 3)
        want = job(np.where(np.arange(16) < 12, A, 0), W)[1]
    elif case == "a_long":                               # cut after max_k, so K is 24
        a, w = np.tile(A, 2)[:, :24], np.tile(W, 2)[:, :24]
        longest, want = job(a, w)
        first = {**longest.inputs, "a": extended(longest.inputs["a"], 2)}
    elif case == "w_long":
        first["w"] = extended(first["w"], 3)
    else:
        length = 1 if case.endswith("once") else 5
        first["w"] = cut(first["w"], length)
        want = job(A, indices_of_zero(W, length))[1]
    inputs = {name: Beats.join([first[name], good.inputs[name]], 0) for name in first}
    result = simulator.run(replace(good, inputs=inputs, outputs={"y": 4}), pauses=pauses)
    raised = [name for bit, (name, _) in enumerate(simulator.core.config.flags)
              if result.flags >> bit & 1]
    assert raised == [case.split()[0]]
    assert result.beats["y"].last.tolist() == [False, True] * 2
    np.testing.assert_array_equal(result.beats["y"].data[:, 0], np.concatenate([want, sums]))
