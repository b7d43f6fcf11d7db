"""Rows and parameters of the wrong length in the normalization core, compiled."""

import numpy as np
import pytest

from systolith.generators import registry
from systolith.generators.core import elaborate, write
from systolith.sim.frames import Beats
from systolith.sim.model import Job, Workload
from systolith.sim.simulators import verilator
from systolith.sim.simulators.core import Core
from systolith.sim.simulators.harness import Pauses

TEMPLATE = registry.get("norm")
CONFIG = TEMPLATE.config.parse({"lanes": 2, "max_length": 6, "w_fraction": 4, "b_fraction": 4})
MODEL = TEMPLATE.load_model()
X = np.array([[90, -3, 17, -80, 55, 8], [1, 2, -3, 4, 5, 6]])
W = np.array([[16, 15, 14, 13, 12, 11], [20, 21, 22, 23, 24, 25]])
B = np.array([[1, -1, 2, -2, 3, -3], [0, 5, 6, 7, 8, 9]])


@pytest.fixture(scope="module")
def simulator(tmp_path_factory):
    folder = tmp_path_factory.mktemp("norm")
    core = elaborate(TEMPLATE, CONFIG, "core")
    write(core, folder)
    with verilator.simulator(Core.read(folder / "core.v", folder / "core.json",
                                       core.model)) as running:
        yield running


def rows(first, then):
    """Two frames; of the first, as many beats as given, repeated where it has not so many."""
    array, beats = first
    cut = np.resize(array[0].reshape(-1, 2), (beats, 2))
    return Beats.join([Beats.frame(cut), Beats.frame(then[1].reshape(-1, 2))], 2)


def y(x, w, b):
    workload = MODEL.check(CONFIG, Workload("", {"x": [x], "w": [w], "b": [b]},
                                            {"epsilon": 0.5}))
    return MODEL.golden(CONFIG, workload)["y"][0], MODEL.pack(CONFIG, workload).writes


@pytest.mark.parametrize("stalls", [False, True])
@pytest.mark.parametrize("x_beats, w_beats, b_beats, flags", [
    (3, 3, 3, ()),
    (1, 1, 1, ("row_short",)),
    (2, 3, 1, ("row_short", "w_differs", "b_differs")),
    (5, 3, 3, ("row_long",)),
    (3, 1, 3, ("w_differs",)),
    (3, 6, 3, ("w_differs",)),
    (3, 2, 5, ("w_differs", "b_differs")),
])
def test_frames_of_the_wrong_length(simulator, x_beats, w_beats, b_beats, flags, stalls):
    kept = min(x_beats, 3)
    first, writes = y(*(np.where(np.arange(6) < 2 * beats, array[0], 0)
                        for array, beats in ((X, x_beats), (W, w_beats), (B, b_beats))))
    second, _ = y(X[1], W[1], B[1])
    job = Job(writes, {"x": rows((X, x_beats), X), "w": rows((W, w_beats), W),
                       "b": rows((B, b_beats), B)}, {"y": kept + 3})
    pauses = {name: Pauses(0.3, 0.4) for name in "xwby"} if stalls else {}
    result = simulator.run(job, pauses=pauses, patience=500)
    got = result.beats["y"].data.ravel().tolist()
    assert got == [*first[:2 * kept].tolist(), *second.tolist()]
    assert result.beats["y"].last.tolist() == [beat in (kept - 1, kept + 2)
                                               for beat in range(kept + 3)]
    names = [name for name, _ in CONFIG.flags]
    assert result.flags == sum(1 << names.index(name) for name in flags)


@pytest.mark.parametrize("length, taken", [(0, 1), (7, 6)])
def test_length_beyond_its_range(simulator, length, taken):
    elements = np.arange(6) < taken
    beats = -(-taken // 2)
    expected, writes = y(*(np.where(elements, array[1], 0)[:taken] for array in (X, W, B)))
    frame = {name: Beats.frame(np.where(elements, array[1], 0)[:2 * beats].reshape(-1, 2))
             for name, array in (("x", X), ("w", W), ("b", B))}
    result = simulator.run(Job({**writes, "length": length}, frame, {"y": beats}), patience=500)
    assert result.beats["y"].data.ravel()[:taken].tolist() == expected.tolist()
    names = [name for name, _ in CONFIG.flags]
    assert result.flags & 1 << names.index("length_bad")
