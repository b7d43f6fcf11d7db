"""The documents say true things: links lead somewhere, commands and examples exist and run."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
EXCERPT = re.compile(r"# (\S+\.py)\n")              # first line of a block taken from a file
COMMAND = Path(sys.executable).with_name("systolith")
NOT_TRACKED = {".git", ".venv", "build", "dist", "__pycache__", ".pytest_cache", ".ruff_cache",
               ".hypothesis"}


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def blocks(text: str, *languages: str) -> list[str]:
    return [body for language, body in re.findall(r"^```(\w*)\n(.*?)^```", text, re.M | re.S)
            if language in languages]


def prose(text: str) -> str:
    return re.sub(r"^```.*?^```", "", text, flags=re.M | re.S)


def anchors(path: Path) -> set[str]:
    """Fragments of a document's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", prose(path.read_text()), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def commands(text: str) -> list[str]:
    """Every ``systolith …`` that a document shows, in a block or in a line."""
    shown = [line for block in blocks(text, "sh", "") for line in block.splitlines()]
    shown += re.findall(r"`([^`\n]+)`", prose(text))
    return [line.strip().removeprefix("$ ") for line in shown
            if re.match(r"(\$ )?systolith( |$)", line.strip())]


def run(*arguments: str) -> str:
    done = subprocess.run([COMMAND, *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("path", DOCUMENTS, ids=relative)
def test_links_resolve(path):
    broken = []
    text = prose(path.read_text())
    for target in re.findall(r"\]\(([^)\s]+)\)|src=\"([^\"]+)\"", text):
        link = "".join(target)
        if re.match(r"https?://|mailto:", link):
            continue
        name, _, fragment = link.partition("#")
        file = (path.parent / name) if name else path
        if not file.exists() or (fragment and fragment not in anchors(file)):
            broken.append(link)
    assert broken == []


def test_every_page_is_reachable():
    linked = {(path.parent / target).resolve() for path in DOCUMENTS
              for target in re.findall(r"\]\(([^)#\s]+\.md)", path.read_text())}
    orphans = [relative(path) for path in DOCUMENTS
               if path.resolve() not in linked and path.name != "README.md"]
    assert orphans == []


@pytest.fixture(scope="session")
def helps() -> dict[str, str]:
    """Help texts by command; the program's own under the empty name."""
    listing = run("--help")
    names = re.findall(r"^  ([a-z]+)  ", listing.partition("Commands:")[2], re.M)
    return {"": listing, **{name: run(name, "--help") for name in names}}


@pytest.mark.parametrize("path", DOCUMENTS, ids=relative)
def test_commands_exist(path, helps):
    wrong = []
    for line in commands(path.read_text()):
        words = line.partition("  ")[0].partition(" #")[0].split()[1:]
        name = words[0] if words and not words[0].startswith("-") else ""
        unknown = [word for word in re.findall(r"--[a-z][a-z-]*", " ".join(words))
                   if name in helps and word not in helps[name]]
        if name not in helps or unknown:
            wrong.append(line)
    assert wrong == []


def test_every_command_is_documented(helps):
    text = (ROOT / "docs/cli.md").read_text()
    missing = [name for name in helps if name and not re.search(rf"`systolith {name}\b", text)]
    assert missing == []


@pytest.mark.parametrize("path", DOCUMENTS, ids=relative)
def test_python_examples_run(path):
    namespace = {}
    for example in blocks(path.read_text(), "python"):
        if not EXCERPT.match(example):
            exec(compile(example, relative(path), "exec"), namespace)


@pytest.mark.parametrize("path", DOCUMENTS, ids=relative)
def test_excerpts_stand_in_the_files_they_name(path):
    for example in blocks(path.read_text(), "python"):
        if named := EXCERPT.match(example):
            source = (ROOT / named[1]).read_text()
            for piece in re.split(r"^ *\.\.\.\n", example[named.end():], flags=re.M):
                assert piece.strip("\n") in source, f"{named[1]} does not hold:\n{piece}"


def test_make_targets_exist():
    rules = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.M))
    named = {target for path in DOCUMENTS
             for block in [*blocks(path.read_text(), "sh"),
                           *re.findall(r"`(make [^`\n]+)`", path.read_text())]
             for target in re.findall(r"^make ([a-z]+)", block, re.M)}
    assert named and named <= rules


def test_no_file_names_a_place_on_one_machine():
    found = []
    for path in ROOT.rglob("*"):
        parts = path.relative_to(ROOT).parts
        if (NOT_TRACKED & set(parts) or any(part.endswith(".egg-info") for part in parts)
                or path.suffix in (".png", ".vcd", ".pyc") or not path.is_file()):
            continue
        for number, line in enumerate(path.read_text().splitlines(), 1):
            if re.search(r"(?<![\w.}>])/(home|root|Users|work|tmp)/\w", line):
                found.append(f"{relative(path)}:{number}: {line.strip()}")
    assert found == []
