"""Figures: what a measurement yields becomes tables, pages and pictures."""

import json
import re
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest

import systolith
from systolith import bench
from systolith.bench import documents, findings, signoff
from systolith.bench.results import (
    Figure,
    Grid,
    Plot,
    Table,
    as_dict,
    at_least,
    at_most,
    missed,
    number,
)
from systolith.generators import registry
from systolith.signoff import rung
from systolith.signoff.rung import Outcome, RungResult
from systolith.sim.simulators import cache

ROOT = Path(__file__).parent.parent


def parts(value=3.0):
    return [
        Table("Rates", (at_least("rate", value, "MHz", 2), Figure("area", 1234, "LUT")), "A note."),
        Grid("Areas", ("core", "LUT", "share"), (("small", 12, None), ("large", 3456, "all"))),
        Plot("Rates", "rates", lambda axes: axes.plot([1, 2], [3, value])),
    ]


def checkout(folder: Path) -> Path:
    (folder / "docs/figures").mkdir(parents=True)
    (folder / "README.md").write_text("before\n<!-- figures -->\nold\n<!-- /figures -->\nafter\n")
    return folder


def test_every_topic_has_a_page_and_a_line_in_the_list():
    pages = {path.stem for path in (ROOT / "docs/figures").glob("*.md")}
    assert pages == set(bench.TOPICS)
    listing = (ROOT / "docs/figures.md").read_text()
    for topic, what in bench.TOPICS.items():
        assert f"| [`{topic}`](figures/{topic}.md) | {what} |" in listing
        page = (ROOT / f"docs/figures/{topic}.md").read_text()
        assert re.search(rf"`systolith bench {topic}( --quick)? --record \.`", page)


def test_every_topic_is_a_module_that_measures():
    for topic in bench.TOPICS:
        module = __import__(f"systolith.bench.{topic}", fromlist=["tables"])
        assert callable(module.tables)


def test_an_unknown_topic_is_refused_before_anything_is_measured():
    with pytest.raises(systolith.Error, match=r"^unknown topic 'systolik'"):
        next(bench.run(["sparse_chain", "systolik"], lambda step: pytest.fail(step)))


@pytest.mark.parametrize("value, verdict", [(3, False), (1, True)])
def test_a_figure_below_its_target_is_missed(value, verdict):
    assert missed(parts(value)) is verdict
    assert missed([Table("t", (at_most("time", value, "s", 2),))]) is not verdict


def test_a_page_holds_every_figure(tmp_path):
    written = documents.record("sparse_chain", parts(1.0), checkout(tmp_path))
    assert {path.name for path in written} == {"rates.svg", "sparse_chain.md"}
    page = (tmp_path / "docs/figures/sparse_chain.md").read_text()
    assert "| rate | 1 MHz | at least 2 **missed** |\n| area | 1,234 LUT |  |" in page
    assert "A note." in page
    assert ("| core | LUT | share |\n|---|---:|---:|\n"
            "| small | 12 | – |\n| large | 3,456 | all |\n") in page
    assert "![Rates](../images/rates.svg)" in page
    assert "old" in (tmp_path / "README.md").read_text()


def test_the_readme_quotes_figures_with_a_target(tmp_path):
    documents.record(documents.HEADLINES, parts(), checkout(tmp_path))
    text = (tmp_path / "README.md").read_text()
    assert "| rate | 3 MHz | at least 2 ✓ |" in text and "area" not in text and "old" not in text
    assert text.startswith("before\n") and text.endswith("<!-- /figures -->\nafter\n")


def test_pictures_are_the_same_byte_for_byte(tmp_path):
    texts = []
    for folder in ("one", "two"):
        documents.save(parts()[2], tmp_path / folder / "rates.svg")
        texts.append((tmp_path / folder / "rates.svg").read_bytes())
    assert texts[0] == texts[1] and texts[0].startswith(b"<?xml")


def test_a_folder_that_is_no_checkout_is_refused(tmp_path):
    with pytest.raises(systolith.Error, match="is not a checkout of Systolith"):
        documents.record("systolic", parts(), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_parts_as_json():
    assert [set(as_dict(part)) for part in parts()] == [
        {"title", "figures", "note"}, {"title", "columns", "rows", "note"},
        {"title", "plot", "note"}]


@pytest.mark.parametrize("value, text", [(3, "3"), (12345.6, "12,346"), (0.1234, "0.123"),
                                         (12.34, "12.3"), (99.97, "100")])
def test_numbers_for_people(value, text):
    assert number(value) == text


def test_adders_are_counted_by_their_bits():
    from systolith.bench.adders import adder_bits
    from systolith.hdl.arithmetic.popcount import Popcount
    from systolith.hdl.arithmetic.products import AdderTree
    from systolith.hdl.formats import IntegerFormat

    assert adder_bits(Popcount(7)) == 4                  # full adders: 2, 1 and 1
    assert adder_bits(AdderTree(IntegerFormat(8, True), 4, 1)) == 9 + 9 + 10
    assert adder_bits(AdderTree(IntegerFormat(8, True), 4, 1, carries=True)) == 9 + 9 + 10


def test_changes_of_nets_are_counted():
    import numpy as np

    from systolith.bench.toggles import Counter
    from systolith.generators import registry
    from systolith.generators.core import elaborate
    from systolith.sim.model import Workload

    template = registry.get("dot")
    core = elaborate(template, template.config.parse({"lanes": 1}), "core")
    with Counter(core) as counter:

        def changes(x, y):
            return counter.changes(Workload("", {"x": [x], "y": [y]}))[0]

        changes([0] * 200, [0] * 200)                        # from the state at power-up
        still = changes([0] * 200, [0] * 200)
        assert changes([0] * 200, [0] * 200) == still        # nothing is left from the run before
        # All 8 bits of x change in every cycle: at the pins, behind the slice, and in the product.
        assert changes([0, -1] * 100, [0] * 200) >= still + 2 * 8 * 190
        longer = changes([0, -1] * 200, [0] * 400) - changes([0, -1] * 100, [0] * 200)
        assert longer == pytest.approx(changes([0, -1] * 300, [0] * 600)
                                       - changes([0, -1] * 200, [0] * 400), rel=0.05)
        assert np.ndim(still) == 0 and still > 0


def test_every_template_has_two_harder_forms_to_sign_off():
    assert set(signoff.HARDER) == {template.name for template in registry.TEMPLATES}
    for template in registry.TEMPLATES:
        configs = [template.config.parse(dict(template.presets.get(form, {})))
                   for form in signoff.forms(template.name)]
        assert len(configs) == 3
        assert all(form in template.presets for form in signoff.HARDER[template.name])


def test_what_was_signed_is_shown_and_what_failed_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("SYSTOLITH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(signoff, "PAGES", tmp_path / "pages")
    monkeypatch.setattr(registry, "TEMPLATES", (registry.get("topn"),))
    monkeypatch.setattr(signoff, "RUNGS", tuple(rung for rung in signoff.RUNGS
                                                if rung.name in ("mutation", "netlist", "faults")))
    climbs = []
    monkeypatch.setattr(signoff, "climb", lambda *args: climbs.append(args) or climbed())
    assert list(signoff.tables(print, quick=True))[1].rows == ()
    for _ in range(2):       # what failed is tried again
        signoff.signed(signoff.subject("topn", "all"), print)
    assert len(climbs) == 2
    targets, cores, upsets = signoff.tables(print, quick=True)
    assert [(figure.value, figure.reached) for figure in targets.figures] == [
        (0, False), (1, False), (240, True), (5, True), (2, False)]
    assert cores.rows == (("topn_all", "failed: mutation", 230, 9, 1, 5, 1, 0, 3),)
    assert upsets.rows == (("topn_all", 7, 0, 80, 0, 0, 0, 20, 0),)
    assert (tmp_path / "pages/topn_all.html").read_text().startswith("<!doctype html>")


def searching(keys):
    """A topic with a search, and what it was asked for."""
    topic = ModuleType("searching")
    topic.FINDINGS, topic.keys, topic.asked = "search", lambda: keys, []
    topic.find = lambda key: findings.find("search", key, lambda folder: topic.asked.append(key)
                                           or {"largest": len(key)})
    return topic


def test_what_one_machine_has_found_the_next_one_knows(tmp_path, monkeypatch):
    old, new = cache.key("old"), cache.key("new")
    topic = searching({"one": old, "two": new})
    monkeypatch.setenv("SYSTOLITH_CACHE", str(tmp_path / "first"))
    assert findings.known("search", old) is None
    topic.find(old)
    written, = findings.keep("searching", topic, tmp_path)
    assert written == tmp_path / "docs/figures/found/searching.json"
    assert list(json.loads(written.read_text())) == ["one"]

    monkeypatch.setenv("SYSTOLITH_CACHE", str(tmp_path / "second"))
    findings.recall("searching", topic, tmp_path)
    assert topic.find(old) == {"largest": 64} == findings.known("search", old)
    assert topic.asked == [old]
    topic.find(new)
    findings.keep("searching", topic, tmp_path)
    assert list(json.loads(written.read_text())) == ["one", "two"]


def test_what_was_found_for_another_state_is_neither_shown_nor_kept(tmp_path, monkeypatch):
    monkeypatch.setenv("SYSTOLITH_CACHE", str(tmp_path / "first"))
    before = searching({"one": cache.key("before")})
    before.find(cache.key("before"))
    path, = findings.keep("searching", before, tmp_path)
    monkeypatch.setenv("SYSTOLITH_CACHE", str(tmp_path / "second"))
    now = searching({"one": cache.key("now")})
    findings.recall("searching", now, tmp_path)
    assert findings.known("search", cache.key("before")) is None
    findings.keep("searching", now, tmp_path)
    assert json.loads(path.read_text()) == {}


@pytest.mark.parametrize("text", ["", "[]", '{"one": 1}', '{"one": {"found": {}}}'])
def test_damaged_findings_are_refused(text, tmp_path):
    path = tmp_path / findings.FOLDER / "searching.json"
    path.parent.mkdir(parents=True)
    path.write_text(text)
    with pytest.raises(systolith.Error, match=r"searching\.json does not hold findings: "):
        findings.recall("searching", searching({}), tmp_path)


def test_topics_without_a_search_keep_nothing(tmp_path):
    module = ModuleType("measuring")
    findings.recall("measuring", module, tmp_path)
    assert findings.keep("measuring", module, tmp_path) == []


def test_the_findings_of_the_project_have_pages():
    for path in (ROOT / findings.FOLDER).glob("*.json"):
        module = import_module(f"systolith.bench.{path.stem}")
        assert isinstance(module, findings.Searching)
        assert set(json.loads(path.read_text())) <= set(module.keys())


def climbed():
    """A climb on which a mutant and two upsets came through."""
    def upsets(**counts):
        return {"registers": counts, "memories": {}, "register_bits": 7, "memory_bits": 0}

    passed = (Outcome("works"),)
    return [
        RungResult(rung="mutation", outcomes=(Outcome("killed", "one survived"),), seconds=1,
                   details={"mutants": 240, "killed": 230, "equal": 9, "survived": 1,
                            "seconds_per_mutant": 0.005}),
        RungResult(rung="netlist", outcomes=passed, seconds=1, tables=(
            rung.Table("Netlists", ("cells of", "cells", "cycles", "frames", "simulation",
                                    "equivalence", "seconds"),
                       (("gates", 9, 9, 9, "passed", "not proven", 1),)),)),
        RungResult(rung="faults", outcomes=passed, seconds=1, details={"upsets": {
            "none": upsets(masked=8, silent=2), "tmr": upsets(masked=98, silent=2)}})]
