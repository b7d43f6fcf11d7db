"""Bad frames and settings at a bit-plane core: what is flagged, and what comes out all the same."""

from dataclasses import replace

import numpy as np
import pytest

from systolith.generators import registry
from systolith.generators.core import elaborate, write
from systolith.sim.bitplane import MODEL
from systolith.sim.frames import Beats
from systolith.sim.model import Workload
from systolith.sim.simulators import verilator
from systolith.sim.simulators.core import Core
from systolith.sim.simulators.harness import Pauses

VALUES = {"rows": 2, "cols": 1, "word": 8, "max_a_bits": 3, "max_w_bits": 2, "max_k": 40,
          "output": "scaled"}
PAUSED = {name: Pauses(0.3, 0.3) for name in ("a", "w", "s", "c")}
RNG = np.random.default_rng(5)
A, W = RNG.integers(-4, 4, (2, 24)), RNG.integers(-2, 2, (24, 1))          # three words


@pytest.fixture(scope="module")
def simulator(tmp_path_factory):
    template, folder = registry.get("bitplane"), tmp_path_factory.mktemp("core")
    core = elaborate(template, template.config.parse(VALUES), "core")
    write(core, folder)
    with verilator.simulator(Core.read(folder / "core.v", folder / "core.json",
                                       core.model)) as simulator:
        yield simulator


def good(a=A, w=W):
    config = registry.get("bitplane").config.parse(VALUES)
    workload = MODEL.check(config, Workload("", {"a": a, "w": w, "scale": 3}))
    return MODEL.pack(config, workload)


def run(simulator, job, changed, pauses, writes=None):
    """Run a job with some streams changed, a good one behind it; return sums and flag names."""
    after = good()
    inputs = {name: Beats.join([changed.get(name, job.inputs[name]), after.inputs[name]], 0)
              for name in job.inputs}
    job = replace(job, inputs=inputs, outputs={"c": 2 * job.outputs["c"]},
                  writes=job.writes | (writes or {}))
    result = simulator.run(job, pauses=pauses)
    flags = [name for bit, (name, _) in enumerate(simulator.core.config.flags)
             if result.flags >> bit & 1]
    assert result.beats["c"].last.tolist() == [False, True] * 2
    return result.beats["c"].data[:, 0].reshape(2, 2), flags


def without_planes(values, bits):
    """``values`` of three words with the lowest ``bits`` bits of the last word's codes cleared."""
    values = values.copy()
    values[16:] = values[16:] >> bits << bits
    return values


@pytest.mark.parametrize("pauses", [{}, PAUSED], ids=["full speed", "pauses"])
@pytest.mark.parametrize("changed, first, flags", [
    ({"a": 6}, A[:, :16] @ W[:16], ["w_long"]),
    ({"w": 4}, A[:, :16] @ W[:16], ["a_long"]),
    ({"a": 7}, without_planes(A.T, 2).T @ W, ["a_short"]),
    ({"w": 5}, A @ without_planes(W, 1), ["w_short"]),
    ({"a": 1}, (A[:, :8] >> 2 << 2) @ W[:8], ["w_long", "a_short"]),
], ids=str)
def test_frames_that_end_early(simulator, pauses, changed, first, flags):
    job = good()
    cut = {name: Beats.frame(job.inputs[name].data[:length]) for name, length in changed.items()}
    sums, raised = run(simulator, job, cut, pauses)
    assert raised == flags
    np.testing.assert_array_equal(sums[0], 3 * first[:, 0])
    np.testing.assert_array_equal(sums[1], 3 * (A @ W)[:, 0])


@pytest.mark.parametrize("pauses", [{}, PAUSED], ids=["full speed", "pauses"])
def test_more_words_than_a_sum_can_hold(simulator, pauses):
    job = good()
    long = {name: Beats.frame(np.tile(job.inputs[name].data, (2, 1))) for name in "aw"}
    sums, raised = run(simulator, job, long, pauses)
    assert raised == ["a_long", "w_long"]
    np.testing.assert_array_equal(sums[0], 3 * (A @ W + A[:, :16] @ W[:16])[:, 0])
    np.testing.assert_array_equal(sums[1], 3 * (A @ W)[:, 0])


@pytest.mark.parametrize("pauses", [{}, PAUSED], ids=["full speed", "pauses"])
def test_scales_of_more_than_one_beat(simulator, pauses):
    sums, raised = run(simulator, good(), {"s": Beats.frame(np.array([[5], [7], [9]]))}, pauses)
    assert raised == ["s_long"]
    np.testing.assert_array_equal(sums, [5 * (A @ W)[:, 0], 3 * (A @ W)[:, 0]])


UNSIGNED_A = A & 7


@pytest.mark.parametrize("writes, sums", [
    ({"a_bits": 0}, A @ W), ({"a_bits": 9}, A @ W), ({"w_bits": 3}, A @ W),
    ({"a_code": 3}, UNSIGNED_A @ W), ({"a_code": 2}, UNSIGNED_A @ W),
], ids=str)
def test_settings_out_of_range(simulator, writes, sums):
    """Too many planes or none count as all, codes of no meaning as unsigned."""
    got, raised = run(simulator, good(), {}, {}, writes)
    assert raised == ["settings"]
    np.testing.assert_array_equal(got, 3 * np.tile(sums[:, 0], (2, 1)))
