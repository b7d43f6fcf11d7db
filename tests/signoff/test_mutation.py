"""Mutants are made, run, killed or proven equal; tests that look away leave them alive."""

import pytest

from systolith.generators import registry
from systolith.generators.core import elaborate
from systolith.signoff import judge, mutation
from systolith.signoff.judge import Judge
from systolith.signoff.mutant import Mutant
from systolith.signoff.rung import Options
from systolith.sim.simulators.exercise import Exercise, ProblemError, Step


@pytest.fixture
def core():
    template = registry.get("dot")
    return elaborate(template, template.config.parse({"lanes": 1}), "core")


def run(core, tmp_path, count: int):
    return mutation.run(core, Options(directory=tmp_path, count=count), lambda message: None)


@pytest.mark.parametrize("seconds", [0, 60])
def test_mutants_are_killed_or_judged_in_either_order(core, tmp_path, monkeypatch, seconds):
    monkeypatch.setattr(mutation, "LATER_SECONDS", seconds)
    result = run(core, tmp_path, 25)
    killed, equal, survived = (result.details[key] for key in ("killed", "equal", "survived"))
    assert killed + equal == result.details["mutants"] == 24 and killed > 18 and not survived
    assert sum(row[1] for row in result.tables[0].rows) == 24


def look_away(monkeypatch):
    monkeypatch.setattr(Exercise, "first_steps", lambda self: iter(()))
    monkeypatch.setattr(Exercise, "counter_steps", lambda self: iter(()))
    monkeypatch.setattr(Exercise, "later_steps", lambda self: iter(()))
    monkeypatch.setattr(Exercise, "further_problem", lambda self, simulator: None)


def test_tests_that_look_away_leave_holes(core, tmp_path, monkeypatch):
    look_away(monkeypatch)
    monkeypatch.setattr(judge, "specification_of", lambda component: None)
    monkeypatch.setattr(Judge, "in_parents", lambda self, mutant: mutant)    # takes minutes
    result = run(core, tmp_path, 6)
    assert result.status == "failed" and result.details["killed"] == 0
    assert "survived: core" in result.failures[0].message


@pytest.mark.parametrize("kept", [True, False])
def test_equal_as_used_needs_such_use(core, tmp_path, monkeypatch, kept):
    look_away(monkeypatch)
    monkeypatch.setattr(judge, "specification_of", lambda component: None)
    monkeypatch.setattr(Judge, "in_parents", lambda self, mutant: mutant)
    monkeypatch.setattr(judge.surroundings, "same", lambda *question: True)
    monkeypatch.setattr(judge.surroundings, "problem",
                        lambda *question: None if kept else "values: y[0] is 1")
    result = run(core, tmp_path, 6)
    assert result.status == ("passed" if kept else "failed") and not result.details["survived"]
    asked = [outcome.name for outcome in result.outcomes[1:]]
    assert asked and all(name.endswith("is used as its specification assumes") for name in asked)
    assert any("in the surroundings that" in finding.text for finding in result.findings)


def test_what_the_exercise_does_not_see_the_proof_of_its_part_does(core, tmp_path, monkeypatch):
    look_away(monkeypatch)
    monkeypatch.setattr(Judge, "in_parents", lambda self, mutant: mutant)
    monkeypatch.setattr(judge, "PART_SECONDS", 2)
    result = run(core, tmp_path, 8)
    assert result.details["killed"]
    assert all(name.startswith("proof of ") for name, _ in result.tables[1].rows)


def test_a_design_that_fails_by_itself_says_so(core, tmp_path, monkeypatch):
    def fail(simulator):
        raise ProblemError("c[3] is 4")

    monkeypatch.setattr(Exercise, "later_steps", lambda self: iter([Step("values", fail)]))
    result = run(core, tmp_path, 6)
    assert "the design itself fails: values: c[3] is 4" in result.failures[0].message


def test_enables_of_reads_without_a_clock_are_left_alone(tmp_path):
    template = registry.get("systolic")
    values = template.presets["mixed_requant"]
    core = elaborate(template, template.config.parse(dict(values)), "core")
    _, mutants = mutation.build(core, tmp_path, 400, 1)
    reads = [mutant.line for mutant in mutants if "$memrd" in mutant.line]
    assert reads and not any("-port EN " in line for line in reads)


def test_whole_cores_may_be_left_for_later(core, monkeypatch):
    asked: list[str] = []
    monkeypatch.setattr(Judge, "_same", lambda self, mutants, module, seconds:
                        asked.append(module) or {mutant.index for mutant in mutants})
    mutants = [Mutant(index, f"mutate -mode inv -module {module} -cell a -port Y -portbit 0")
               for index, module in enumerate(("core", "core_fifo"))]
    with judge.judging(core, lambda message: None) as judged:
        kept = judged.same_in_modules(mutants, whole=False)
        assert asked == ["core_fifo"] and [mutant.equal for mutant in kept] == [False, True]
        assert all(mutant.equal for mutant in judged.same_in_modules(mutants))


def test_a_mutant_says_where_it_is():
    mutant = Mutant(3, r"mutate -mode inv -module core_a -cell $and$core.v:6$1 -port Y -portbit 0 "
                       r"-wire busy -wirebit 2 -src core.v:6.5-6.9")
    assert mutant.module == "core_a"
    assert mutant.place == "core_a: inv of Y[0] of $and$core.v:6$1, at busy[2]"
