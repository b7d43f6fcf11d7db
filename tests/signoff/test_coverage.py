"""Coverage is counted, merged, and its holes are explained or fail the rung."""

from dataclasses import replace

import pytest

from systolith.generators import registry
from systolith.generators.core import elaborate
from systolith.signoff import counting, coverage
from systolith.signoff.counting import Spot
from systolith.signoff.rung import Options
from systolith.sim.points import points
from systolith.sim.simulators.exercise import Exercise

DATA = """\
# SystemC::Coverage-3
C '\x01f\x02a.v\x01l\x027\x01n\x023\x01page\x02v_toggle/core\x01o\x02busy[2]:0->1\x01h\x02TOP.x' 4
C '\x01f\x02a.v\x01l\x027\x01n\x023\x01page\x02v_toggle/core\x01o\x02busy[2]:0->1\x01h\x02TOP.y' 2
C '\x01f\x02a.v\x01l\x029\x01n\x021\x01page\x02v_line/core\x01o\x02block\x01h\x02TOP.x' 0
"""


@pytest.fixture
def core():
    template = registry.get("dot")
    return elaborate(template, template.config.parse({"lanes": 1}), "core")


def test_instances_and_runs_add_up(tmp_path):
    path = tmp_path / "coverage.dat"
    path.write_text(DATA)
    assert counting.merged([path, path]) == {Spot("toggle", "core", 7, 3, "busy[2]:0->1"): 12,
                                             Spot("line", "core", 9, 1, "block"): 0}


def test_reasons(core):
    toggle = Spot("toggle", "core_x", 1, 1, "data[3]:0->1")
    assert coverage._reason(toggle, {("core_x", "data", 3)}, core) == "constant, by Yosys"
    assert coverage._reason(toggle, {("core_x", "data", 2)}, core) is None
    line = Spot("line", "core_x", 1, 1, "block")
    assert coverage._reason(line, set(), core) is None
    told = replace(core, template=replace(core.template, unreachable=(
        ("line", "core_x block", "never"),)))
    assert coverage._reason(line, set(), told) == "never"


def test_a_core_is_covered(core, tmp_path):
    result = coverage.run(core, Options(directory=tmp_path), lambda message: None)
    assert result.failures == ()
    found = result.details["coverage"]
    assert set(found) == {"line", "branch", "expr", "toggle", "functional"}
    assert found["toggle"]["reached"] > 1000 and found["functional"]["open"] == 0


def test_what_is_not_run_is_a_hole(core, tmp_path, monkeypatch):
    steps = Exercise.steps
    monkeypatch.setattr(Exercise, "steps", lambda self: (
        step for step in steps(self) if "back to back" not in step.name
        and step.name not in ("bad traffic", "endless frames")))
    result = coverage.run(core, Options(directory=tmp_path), lambda message: None)
    assert result.status == "failed"
    missed = "\n".join(outcome.message for outcome in result.failures)
    assert all(event in missed for event in (
        "frames back to back", "frames of wrong lengths", "frames without end"))


@pytest.mark.parametrize("template, values, point", [
    ("activation", {}, "stream y: lowest"), ("gating", {}, "stream h: lowest"),
    ("sparse_chain", {}, "stream p: highest"),
    ("systolic", {"max_k": 1 << 16}, "flag overflow raised")])
def test_what_no_input_gives_is_told_from_what_was_not_tried(template, values, point):
    found = registry.get(template)
    model, config = found.load_model(), found.config.parse(values)
    told = {each.name: each.unreachable for each in (*points(model, config),
                                                     *model.points(config))}
    assert told[point] and not told["stream " + config.streams[0].name + ": several frames"]
