"""The frame of the ladder: rungs, reports, work spread over processes."""

import json
import os
import signal
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import browser
import pytest

from systolith.generators import registry
from systolith.generators.core import elaborate
from systolith.hdl.errors import Error
from systolith.signoff import ladder, report
from systolith.signoff.rung import Finding, Options, Outcome, Rung, RungResult, Table
from systolith.signoff.spread import spread
from systolith.sim.simulators.errors import ToolError


@pytest.fixture
def core():
    template = registry.get("dot")
    return elaborate(template, template.config.parse({"lanes": 2}), "little")


RESULTS = (
    RungResult(rung="lint", outcomes=(Outcome("a"), Outcome("b", skipped="no <b> here")),
               summary="fine", tables=(Table("Numbers", ("x", "y"), (("<i>", 1234),)),),
               findings=(Finding("line 3", "look & see"),), seeds=(1, 2), tools={"tool": "1.2"},
               seconds=1.5),
    RungResult(rung="rtl", outcomes=(Outcome("c", "1 < 2\x00\nmore"),), summary="one failed"),
)


def test_status_follows_from_outcomes():
    lint, rtl = RESULTS
    assert (lint.status, rtl.status) == ("passed", "failed")
    assert replace(lint, outcomes=lint.outcomes[1:]).status == "skipped"


def test_junit_counts_every_check():
    root = ElementTree.fromstring(report.junit("little", RESULTS))
    assert (root.get("tests"), root.get("failures"), root.get("skipped")) == ("3", "1", "1")
    assert [suite.get("name") for suite in root] == ["little.lint", "little.rtl"]
    assert root.find(".//failure").text == "1 < 2\nmore"
    assert root.find(".//property[@name='version.tool']").get("value") == "1.2"


def test_page_stands_alone_and_escapes(core):
    text = report.page(core, RESULTS)
    assert "&lt;i&gt;" in text and "<i>" not in text and "1,234" in text
    assert "no &lt;b&gt; here" in text and "look &amp; see" in text and "FAILED" in text
    assert "http" not in text.replace("http-equiv", "") and 'name="viewport"' in text
    assert "prefers-color-scheme: dark" in text


@pytest.mark.parametrize("width", [360, 1280])
def test_the_page_in_a_browser(core, width, tmp_path):
    shown = browser.layout(report.page(core, RESULTS), width, tmp_path)
    assert width - 20 <= shown.width <= width and shown.height > 500
    assert not shown.beyond


def test_a_page_with_rungs_left_out_says_so(core):
    text = report.page(core, RESULTS[:1])
    assert "signed off" not in text and "not run" in text


def test_reports_are_written(core, tmp_path):
    written = report.write(core, RESULTS, tmp_path / "new")
    assert [path.name for path in written] == ["signoff.html", "signoff.xml", "signoff.json"]
    document = json.loads(written[2].read_text())
    assert document["passed"] is False and document["rungs"][0]["status"] == "passed"
    with pytest.raises(Error, match="cannot write into"):
        report.write(core, RESULTS, written[0])


def test_a_broken_tool_fails_its_rung_alone(core, tmp_path, monkeypatch):
    def run(self, core, options, progress):
        if self.name == "rtl":
            raise ToolError("verilator", "not installed")
        return RESULTS[0]

    monkeypatch.setattr(Rung, "run", run)
    found = ladder.climb(core, ladder.RUNGS[:2], Options(directory=tmp_path), print)
    assert [result.status for result in found] == ["passed", "failed"]
    assert "not installed" in found[1].failures[0].message


@pytest.mark.parametrize("known", ladder.RUNGS, ids=lambda known: known.name)
def test_every_rung_can_be_asked_for(known):
    assert ladder.rung(known.name) is known and known.summary.endswith(".")
    module = Path(ladder.__file__).with_name(f"{known.module}.py")
    assert "def run(core: GeneratedCore, options: Options, progress: Progress)" in \
        module.read_text()


def test_an_unknown_rung_is_refused():
    with pytest.raises(Error, match="unknown level 'moon'; levels are lint, rtl"):
        ladder.rung("moon")


def square(number: int) -> int:
    return number * number


def die_once(place: str) -> str:
    """Kill the process that this runs in, the first time."""
    mark = Path(place)
    if not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return mark.name


def die(number: int) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def test_work_goes_over_processes(tmp_path):
    options = Options(directory=tmp_path, jobs=2)
    assert dict(spread(square, range(5), options)) == {n: n * n for n in range(5)}
    assert dict(spread(square, [], options)) == {}


def test_no_result_is_lost_with_a_process(tmp_path):
    places = [str(tmp_path / name) for name in "abc"]
    (tmp_path / "b").touch()
    assert dict(spread(die_once, places, Options(directory=tmp_path, jobs=2))) == {
        0: "a", 1: "b", 2: "c"}


def test_work_that_always_kills_is_given_up(tmp_path):
    with pytest.raises(ToolError, match="died 4 times"):
        list(spread(die, [1, 2], Options(directory=tmp_path, jobs=2)))


def test_an_address_without_a_scheduler_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("systolith.signoff.spread.SECONDS", 1)
    options = Options(directory=tmp_path, scheduler="tcp://127.0.0.1:9")
    with pytest.raises(Error, match="no Dask scheduler answers at "):
        list(spread(square, [1], options))
