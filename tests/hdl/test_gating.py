"""Frames of the wrong length in the gating core, compiled; states that outlive them."""

import numpy as np
import pytest

from systolith.generators import registry
from systolith.generators.core import elaborate, write
from systolith.sim.frames import Beats
from systolith.sim.model import Job, Workload
from systolith.sim.simulators import verilator
from systolith.sim.simulators.core import Core
from systolith.sim.simulators.harness import Pauses

TEMPLATE = registry.get("gating")
CONFIG = TEMPLATE.config.parse({"lanes": 2, "max_channels": 6, "x_format": "int8",
                                "lower_bound": "stream"})
MODEL = TEMPLATE.load_model()
RNG = np.random.default_rng(1)
F, NEW = (RNG.integers(-128, 128, (3, 6)) for _ in range(2))
B = RNG.integers(0, CONFIG.bound.code_high + 1, (3, 6))


@pytest.fixture(scope="module")
def simulator(tmp_path_factory):
    folder = tmp_path_factory.mktemp("gating")
    core = elaborate(TEMPLATE, CONFIG, "core")
    write(core, folder)
    with verilator.simulator(Core.read(folder / "core.v", folder / "core.json",
                                       core.model)) as running:
        yield running


def h(f, i, b):
    return MODEL.golden(CONFIG, MODEL.check(CONFIG, Workload("", {"f": f, "i": i, "b": b})))["h"]


def frames(array, beats, starts=(0, 0, 0)):
    """Three frames, the second of as many beats as given, repeated where it has not so many."""
    rows = [row.reshape(-1, 2) for row in array]
    rows[1] = np.resize(rows[1], (beats, 2))
    return Beats.join([Beats.frame(row, start) for row, start in zip(rows, starts, strict=True)], 2)


@pytest.mark.parametrize("stalls", [False, True])
@pytest.mark.parametrize("f_beats, i_beats, b_beats, flags", [
    (3, 3, 3, ()),
    (1, 1, 1, ()),
    (5, 3, 3, ("f_long",)),
    (5, 5, 2, ("f_long", "i_differs", "b_differs")),
    (3, 1, 3, ("i_differs",)),
    (3, 3, 6, ("b_differs",)),
    (1, 3, 2, ("i_differs", "b_differs")),
])
def test_frames_of_the_wrong_length(simulator, f_beats, i_beats, b_beats, flags, stalls):
    beats = min(f_beats, 3)
    i, b = NEW.copy(), B.copy()
    i[1, 2 * i_beats:], b[1, 2 * b_beats:] = 0, 0
    # A channel beyond a short token keeps its state, as if the token had not been.
    whole, skipped = h(F, i, b), h(F[[0, 2]], i[[0, 2]], b[[0, 2]])
    third = np.where(np.arange(6) < 2 * beats, whole[2], skipped[1])
    job = Job({}, {"f": frames(F, f_beats, (1, 0, 0)), "i": frames(NEW, i_beats),
                   "b": frames(B, b_beats)}, {"h": 6 + beats})
    pauses = {name: Pauses(0.3, 0.4) for name in "fibh"} if stalls else {}
    result = simulator.run(job, pauses=pauses, patience=500)
    assert result.beats["h"].data.ravel().tolist() == [
        *whole[0], *whole[1, :2 * beats], *third]
    assert result.beats["h"].last.tolist() == [beat in (2, 2 + beats, 5 + beats)
                                               for beat in range(6 + beats)]
    names = [name for name, _ in CONFIG.flags]
    assert result.flags == sum(1 << names.index(name) for name in flags)


def test_states_outlive_a_call_until_a_sequence_starts(simulator):
    golden = h(F, NEW, B)
    for token in range(3):
        inputs = {"f": Beats.frame(F[token].reshape(-1, 2), int(token == 0)),
                  "i": Beats.frame(NEW[token].reshape(-1, 2)),
                  "b": Beats.frame(B[token].reshape(-1, 2))}
        result = simulator.run(Job({}, inputs, {"h": 3}), patience=500)
        assert result.beats["h"].data.ravel().tolist() == golden[token].tolist()
