"""Bad frames at a bit-serial core: what is flagged, and what comes out all the same."""

from dataclasses import replace

import numpy as np
import pytest

from systolith.generators import registry
from systolith.generators.core import elaborate, write
from systolith.sim.bitserial import MODEL
from systolith.sim.frames import Beats
from systolith.sim.model import Workload
from systolith.sim.simulators import verilator
from systolith.sim.simulators.core import Core
from systolith.sim.simulators.harness import Pauses

VALUES = {"rows": 2, "cols": 1, "group": 16, "a_format": "int8"}
PAUSED = {name: Pauses(0.3, 0.3) for name in ("a", "w", "s", "y")}
RNG = np.random.default_rng(5)
A, W = RNG.integers(-128, 128, (2, 48)), RNG.integers(-128, 128, (1, 48))   # three groups


@pytest.fixture(scope="module")
def simulator(tmp_path_factory):
    template, folder = registry.get("bitserial"), tmp_path_factory.mktemp("core")
    core = elaborate(template, template.config.parse(VALUES), "core")
    write(core, folder)
    with verilator.simulator(Core.read(folder / "core.v", folder / "core.json",
                                       core.model)) as simulator:
        yield simulator


def good():
    config = registry.get("bitserial").config.parse(VALUES)
    return MODEL.pack(config, MODEL.check(config, Workload("", {"a": A, "w": W, "scales": 3})))


def frames(*beats):
    return Beats.join([Beats.frame(part) for part in beats], 0)


@pytest.mark.parametrize("pauses", [{}, PAUSED], ids=["full speed", "pauses"])
@pytest.mark.parametrize("a, w, groups, inner, flags", [
    (4, 12, 1, 16, ["w_long"]), (12, 8, 2, 32, ["a_long"]),
    (6, 6, 2, 24, ["short"]), (7, 12, 2, 28, ["short", "w_long"]), (1, 1, 1, 4, ["short"]),
], ids=str)
def test_frames_that_end_early(simulator, pauses, a, w, groups, inner, flags):
    """A tile is as long as its shorter frame, completed with zeros to a whole group."""
    job = good()
    changed = {"a": frames(job.inputs["a"].data[:a]), "w": frames(job.inputs["w"].data[:w]),
               "s": frames(*job.inputs["s"].data[:groups, None])}
    sums, raised = run(simulator, changed, pauses)
    assert raised == flags
    np.testing.assert_array_equal(sums[0], 6 * (A[:, :inner] @ W[:, :inner].T)[:, 0])
    np.testing.assert_array_equal(sums[1], 6 * (A @ W.T)[:, 0])


@pytest.mark.parametrize("pauses", [{}, PAUSED], ids=["full speed", "pauses"])
def test_scales_of_more_than_one_beat(simulator, pauses):
    """The first beat of a frame counts for its group."""
    scales = frames([[5], [7]], [[3]], [[2], [1], [1]])
    sums, raised = run(simulator, {"s": scales}, pauses)
    assert raised == ["s_long"]
    weights = W * np.repeat([5, 3, 2], 16)
    np.testing.assert_array_equal(sums[0], 2 * (A @ weights.T)[:, 0])
    np.testing.assert_array_equal(sums[1], 6 * (A @ W.T)[:, 0])


def run(simulator, changed, pauses):
    """Run a product with some streams changed, a good one behind it; sums and names of flags."""
    job, after = good(), good()
    inputs = {name: Beats.join([changed.get(name, job.inputs[name]), after.inputs[name]], 0)
              for name in job.inputs}
    job = replace(job, inputs=inputs, outputs={"y": 2 * job.outputs["y"]})
    result = simulator.run(job, pauses=pauses)
    flags = [name for bit, (name, _) in enumerate(simulator.core.config.flags)
             if result.flags >> bit & 1]
    assert result.beats["y"].last.tolist() == [False, True] * 2
    return result.beats["y"].data[:, 0].reshape(2, 2), flags
