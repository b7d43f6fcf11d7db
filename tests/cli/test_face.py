"""The names in ``systolith``: load, call, generate."""

import numpy as np
import pytest

import systolith
from systolith import simulation
from systolith.hdl.errors import Error
from systolith.sim.frames import Beats


class Outcome:
    def __init__(self, beats, cycles):
        self.beats, self.cycles, self.flags = beats, cycles, 0b10
        self.counters = {"cycles_busy": cycles, "stalled_input": 1, "stalled_output": 0,
                         "frames": 1}


class Simulator:
    """The toy, run by nobody's tools; counts how often it was compiled."""

    compiled = 0

    def __init__(self, core):
        Simulator.compiled += 1
        self.addend = core.config.addend

    def run(self, job):
        beats = job.inputs["x"]
        return Outcome({"y": Beats.frame(beats.data + self.addend)}, 11)


@pytest.fixture
def face(toy, monkeypatch):
    monkeypatch.setattr(simulation, "compiled", Simulator)
    return systolith


def test_all_is_all():
    assert systolith.__all__ == sorted(systolith.__all__)
    assert set(systolith.__all__) <= set(dir(systolith))
    for name in systolith.__all__:
        assert getattr(systolith, name) is not None
    assert issubclass(systolith.Error, ValueError)
    with pytest.raises(AttributeError, match=r"^module 'systolith' has no attribute 'lode'$"):
        systolith.lode  # noqa: B018


def test_sim_runs_the_core(face):
    core = face.load("toy", lanes=4, addend=3)
    assert core.last is None
    result = core(x=np.arange(6))
    np.testing.assert_array_equal(result["y"], np.arange(6) + 3)
    assert core.last.cycles == 11
    assert core.last.utilization == 6 / 44
    assert core.last.counters["stalled_input"] == 1
    assert core.last.flags == ("long",)


def test_golden_takes_cycles_from_the_model(face):
    core = face.load("toy", backend="golden", addend=100)
    result = core(x=[1, 28])
    assert result.keys() == {"y"}
    assert result["y"].tolist() == [101, -128]
    assert core.last == face.Run(3, 2 / 12, {"cycles_busy": 3}, ("overflow",))


@pytest.mark.parametrize("call, message", [
    (lambda core: core(np.arange(3)), r"operands are passed by name, as in core\(a=A, w=W\)"),
    (lambda core: core(), "arguments are x, not"),
    (lambda core: core(z=np.arange(3)), "arguments are x, not"),
    (lambda core: core(x=np.ones(3)), "x must be integers"),
    (lambda core: core(x=np.ones((2, 2), int)), "x must be integers"),
])
@pytest.mark.parametrize("backend", ["sim", "golden"])
def test_wrong_calls(face, backend, call, message):
    core = face.load("toy", backend=backend)
    core(x=[1])
    with pytest.raises(face.Error, match=message):
        call(core)
    assert core.last is None


@pytest.mark.parametrize("arguments, options, message", [
    (("toi",), {}, r"^'toi' is neither a template \(did you mean 'toy'\?\) nor a file that exists"),
    ((3,), {}, r"^a template is given by its name, not 3; templates are toy$"),
    (("toy",), {"lane": 3}, r"^unknown parameter 'lane' \(did you mean 'lanes'\?\)"),
    (("toy",), {"lanes": 0}, r"^lanes must be at least 1, not 0$"),
    (("toy",), {"lanes": 10**5000}, r"^lanes must be at most 256, not an integer of 16610 bits$"),
    (("toy",), {"name": "a b"}, r"^a core cannot be called 'a b'"),
    (("toy",), {"name": ""}, r"^a core cannot be called ''"),
    (("toy",), {"backend": "serial"},
     r"^unknown backend 'serial'; backends are 'sim', 'golden'"),
])
def test_wrong_requests(face, arguments, options, message):
    with pytest.raises(Error, match=message):
        face.load(*arguments, **options)


def test_file_as_template(face, tmp_path):
    (tmp_path / "a.yaml").write_text("template: toy\nname: adder\nconfig: {lanes: 2, addend: 5}\n")
    core = face.load("a.yaml", lanes=3, backend="golden")
    assert (core.name, core.config.lanes, core.config.addend) == ("adder", 3, 5)


def test_numpy_integers_are_integers(face):
    assert face.load("toy", backend="golden", lanes=np.int64(3)).config.lanes == 3


def test_generate(face, tmp_path):
    core = face.generate("toy", tmp_path / "out", name="adder", lanes=3)
    assert (tmp_path / "out/adder.v").read_text() == core.verilog
    face.generate("toy")
    assert (tmp_path / "build/toy/toy.v").is_file()
    assert face.templates() == ("toy",)
