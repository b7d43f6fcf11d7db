"""What a climb found, for machines (JUnit, JSON) and for people (one page without other files)."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import jinja2

from systolith.generators.core import GeneratedCore
from systolith.hdl.errors import Error
from systolith.signoff.ladder import RUNGS
from systolith.signoff.rung import RungResult


def document(core: GeneratedCore, results: Sequence[RungResult]) -> dict[str, Any]:
    """The outcome of a climb; JSON-able."""
    return {"name": core.name, "template": core.template.name,
            "config": core.manifest["config"], "config_hash": core.manifest["config_hash"],
            "sha256": core.manifest["sha256"], "version": version("systolith"),
            "passed": all(result.passed for result in results),
            "rungs": [result.as_dict() for result in results]}


def write(core: GeneratedCore, results: Sequence[RungResult], directory: Path) -> list[Path]:
    """Write ``signoff.html``, ``signoff.xml`` (JUnit) and ``signoff.json`` into ``directory``.

    Raises
    ------
    Error
        If they cannot be written.
    """
    texts = {"signoff.html": page(core, results), "signoff.xml": junit(core.name, results),
             "signoff.json": json.dumps(document(core, results), indent=2) + "\n"}
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for name, text in texts.items():
            (directory / name).write_text(text, encoding="utf-8")
    except OSError as error:
        raise Error(f"cannot write into {directory}: {error.strerror}") from None
    return [directory / name for name in texts]


def junit(name: str, results: Sequence[RungResult]) -> str:
    """A JUnit document: a suite for each rung, a case for each check."""
    root = ElementTree.Element("testsuites", name=name)
    totals = [0, 0, 0]
    for result in results:
        counts = [len(result.outcomes), len(result.failures),
                  sum(outcome.skipped is not None for outcome in result.outcomes)]
        totals = [total + count for total, count in zip(totals, counts, strict=True)]
        suite = ElementTree.SubElement(
            root, "testsuite", name=f"{name}.{result.rung}", tests=str(counts[0]),
            failures=str(counts[1]), skipped=str(counts[2]), errors="0",
            time=f"{result.seconds:.3f}")
        properties = ElementTree.SubElement(suite, "properties")
        for key, value in (*((f"version.{tool}", text) for tool, text in result.tools.items()),
                           *(("seed", str(seed)) for seed in result.seeds)):
            ElementTree.SubElement(properties, "property", name=key, value=value)
        for outcome in result.outcomes:
            case = ElementTree.SubElement(suite, "testcase", name=outcome.name,
                                          classname=f"{name}.{result.rung}",
                                          time=f"{outcome.seconds:.3f}")
            if outcome.message is not None:
                text = _printable(outcome.message)
                failure = ElementTree.SubElement(case, "failure", message=text.splitlines()[0][:200]
                                                 if text else "failed")
                failure.text = text
            elif outcome.skipped is not None:
                ElementTree.SubElement(case, "skipped", message=_printable(outcome.skipped))
    for key, total in zip(("tests", "failures", "skipped"), totals, strict=True):
        root.set(key, str(total))
    ElementTree.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(
        root, encoding="unicode") + "\n"


def page(core: GeneratedCore, results: Sequence[RungResult]) -> str:
    """One HTML page for people; needs no other file and no network."""
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, autoescape=True,
                                     trim_blocks=True, lstrip_blocks=True)
    environment.filters["number"] = lambda value: (
        f"{value:,}" if isinstance(value, int) else f"{value:.3g}" if isinstance(value, float)
        else value)
    template = environment.from_string(
        files("systolith.signoff").joinpath("report.html.jinja").read_text("utf-8"))
    tools = {name: text for result in results for name, text in result.tools.items()}
    ran = {result.rung for result in results}
    pictures = {path: Path(path).read_text("utf-8") for result in results
                for path in map(str, result.files) if path.endswith(".svg")}
    return template.render(
        core=core, results=results, document=document(core, results), tools=tools,
        pictures=pictures, seconds=sum(result.seconds for result in results),
        summaries={rung.name: rung.summary for rung in RUNGS},
        missing=[rung.name for rung in RUNGS if rung.name not in ran],
        date=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"))


def _printable(text: str) -> str:
    """Without the characters that XML cannot carry."""
    return "".join(character for character in text
                   if character in "\t\n\r" or ord(character) >= 0x20)
