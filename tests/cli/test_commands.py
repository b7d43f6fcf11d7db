"""The command line: output, exit status, and one JSON document under --json."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import jsonschema
import pytest

from systolith import simulation
from systolith.sim.simulators import errors
from systolith.sim.simulators.regression import Check, Report

HERE = Path(__file__).parent

COMMANDS = [["list"], ["show", "toy"], ["schema", "toy"], ["generate", "toy"], ["doctor"],
            ["verify", "toy"], ["clean"]]


def outcome_of(core: str, seed: int) -> Report:
    """A passed report; failed with seed 666."""
    message = "c[3] is 4, expected 5" if seed == 666 else None
    check = Check("without_stalls", "verilator", 1000, 100, 10, 0.5, message)
    return Report(core, seed, ("verilator",), (check,))


@pytest.fixture
def parts(monkeypatch):
    """Stand-ins for the regression and the cache; returns what verify was called with."""
    from systolith.sim.simulators import cache

    calls = []

    def verify(core, **options):
        options.pop("progress")(f"verilator: building {core.name}")
        calls.append(options)
        return outcome_of(core.name, options["seed"])

    monkeypatch.setattr(simulation, "verify", verify)
    monkeypatch.setattr(cache, "root", lambda: Path("/cache"), raising=False)
    monkeypatch.setattr(cache, "clean", lambda: 1_500_000, raising=False)
    return calls


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
def test_every_command_prints_one_document(systolith, parts, command):
    outcome = systolith(*command, "--json")
    assert outcome.status in (0, 3)
    assert isinstance(outcome.document, dict)
    text = systolith(*command)
    assert text.status == outcome.status
    assert text.out.strip()


@pytest.mark.parametrize("arguments, kind", [
    (["generate", "nothing"], "request"), (["show", "nothing"], "request"),
    (["schema", "nothing"], "request"), (["generate"], "usage"), (["nothing"], "usage"),
    (["generate", "toy", "--nothing"], "usage"), (["verify", "toy", "--seed", "x"], "usage"),
    (["verify", "toy", "--frames", "0"], "usage"), (["verify", "toy", "--level", "x"], "usage"),
    (["verify", "toy", "--simulator", "x"], "usage"), ([], "usage"),
])
def test_wrong_requests(systolith, arguments, kind):
    outcome = systolith(*arguments, "--json")
    assert outcome.status == 2
    assert outcome.document["error"]["kind"] == kind
    assert outcome.document["error"]["status"] == 2
    assert outcome.err == ""
    if arguments:
        plain = systolith(*arguments)
        assert (plain.status, plain.out) == (2, "")
        assert len(plain.err.splitlines()) == 1


def test_show_tells_everything(systolith):
    text = systolith("show", "toy").out
    for part in ("lanes", "1…256", "wrap | clamp", "auto", "16", "[see] *the*.", "s_axis_x_…",
                 "Any number of x[i].", "overflow", "On adding one", "1 + 1 = 2", "cycles_busy_low",
                 "systolith generate toy --set lanes=8", "1 beat per cycle"):
        assert part in " ".join(text.split()), part
    told = systolith("show", "toy", "--set", "lanes=3", "--json").document
    assert told["streams"][0]["lanes"] == 3
    assert told["parameters"][0] == {
        "name": "lanes", "type": "integer", "low": 1, "high": 256, "choices": None, "default": 4,
        "unit": "elements", "paper": 16, "doc": "Elements per beat."}


def test_markup_in_texts_is_text(systolith):
    assert "[bold]to every[/bold]" in systolith("list").out


def test_schema_takes_what_generate_takes(systolith):
    schema = systolith("schema", "toy", "--json").document
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate({"template": "toy", "name": "a", "config": {"limits": {"low": 1}}}, schema)
    for bad in ({}, {"template": "x"}, {"template": "toy", "config": {"lanes": 0}},
                {"template": "toy", "config": {"limits": {"x": 1}}},
                {"template": "toy", "name": "a b"}, {"template": "toy", "other": 1}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(bad, schema)


def test_generate_writes_to_build(systolith, tmp_path):
    outcome = systolith("generate", "toy", "--name", "adder")
    assert outcome.status == 0
    paths = outcome.out.splitlines()[:7]
    assert paths[0] == "build/adder/adder.v"
    assert all((tmp_path / path).is_file() for path in paths)


def test_verify_passes_options_on_and_prints_the_seed(systolith, parts):
    outcome = systolith("verify", "toy")
    assert outcome.status == 0
    assert outcome.out.endswith("toy: passed under verilator, seed 1\n")
    assert outcome.err == "verilator: building toy\n"
    systolith("verify", "toy", "--seed", "7", "--frames", "3", "--simulator", "icarus", "--waves",
              "-o", "out")
    assert parts[0] == {"simulator": None, "seed": 1, "frames": None, "waves": False,
                        "directory": Path("build/toy")}
    assert parts[1] == {"simulator": "icarus", "seed": 7, "frames": 3, "waves": True,
                        "directory": Path("out")}


def test_failed_verification_ends_in_1(systolith, parts):
    outcome = systolith("verify", "toy", "--seed", "666", "--json")
    assert outcome.status == 1
    assert outcome.document["passed"] is False
    assert outcome.document["seed"] == 666
    assert "c[3] is 4, expected 5" in systolith("verify", "toy", "--seed", "666").out


def raising(monkeypatch, error):
    def verify(core, **options):
        raise error

    monkeypatch.setattr(simulation, "verify", verify)


def test_missing_tool_ends_in_3(systolith, monkeypatch):
    raising(monkeypatch, errors.ToolError("iverilog", "not found", install="apt install it"))
    outcome = systolith("verify", "toy", "--json")
    assert outcome.status == 3
    assert outcome.document["error"]["tool"] == "iverilog"
    assert outcome.document["error"]["install"] == "apt install it"
    assert systolith("verify", "toy").status == 3


def test_hanging_core_ends_in_1(systolith, monkeypatch):
    raising(monkeypatch, errors.SimulationError("toy hangs"))
    assert systolith("verify", "toy", "--json").document["error"]["kind"] == "check"
    assert systolith("verify", "toy").status == 1


def test_interrupt_ends_in_130(systolith, monkeypatch):
    raising(monkeypatch, KeyboardInterrupt())
    outcome = systolith("verify", "toy", "--json")
    assert (outcome.status, outcome.document["error"]["kind"]) == (130, "interrupted")


def test_defect_is_one_line_unless_debugging(systolith, monkeypatch, capsys):
    raising(monkeypatch, ZeroDivisionError("a\nb"))
    outcome = systolith("verify", "toy")
    assert outcome.status == 70
    assert outcome.err.splitlines()[-1].startswith(
        "systolith: a defect of Systolith, not of the request: ZeroDivisionError: a b")
    monkeypatch.setenv("SYSTOLITH_DEBUG", "1")
    from systolith.cli import run

    assert run(["verify", "toy"]) == 70
    assert "Traceback (most recent call last)" in capsys.readouterr().err


def test_doctor_misses_tools(systolith, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    outcome = systolith("doctor", "--json")
    assert outcome.status == 3
    missing = {tool["name"] for tool in outcome.document["tools"] if not tool["found"]}
    assert {"g++", "make", "iverilog"} <= missing
    assert not missing & {"python", "numpy", "pyosys"}
    text = systolith("doctor")
    assert text.status == 3
    assert "missing: g++" in text.out


def test_clean_tells_what_it_freed(systolith, parts):
    assert systolith("clean").out == "/cache: 1.5 MB freed\n"


def test_program(program):
    assert re.fullmatch(r"systolith \d+\.\d+\.\d+\n", program("--version").out)
    outcome = program("generate", "toy", "--json")
    assert (outcome.status, outcome.err) == (0, "")
    assert outcome.document["name"] == "toy"
    wrong = program("generate", "toy", "--set", "lanes=0", "--json")
    assert wrong.status == 2
    assert json.loads(wrong.out)["error"]["message"] == (
        "--set lanes=0: lanes must be at least 1, not 0")


def test_no_colour_and_no_escapes_in_a_pipe(program):
    for env in ({}, {"NO_COLOR": "1"}, {"TERM": "xterm-256color"}):
        assert "\x1b" not in program("show", "toy", env=env).out


def test_closed_pipe_is_quiet(program, tmp_path):
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run([sys.executable, HERE / "toy.py", "show", "toy"], stdout=write, text=True,
                          stderr=subprocess.PIPE, timeout=60, check=False)
    os.close(write)
    assert (done.returncode, done.stderr) == (141, "")


def test_interrupted_process_ends_in_130(tmp_path):
    """Ctrl-C while a spec is being waited for."""
    code = ("import time, toy\nfrom systolith import cli\n"
            "from systolith.generators import registry\n"
            "class Slow(tuple):\n"
            "    def __iter__(self):\n"
            "        print('ready', flush=True)\n"
            "        time.sleep(30)\n"
            "registry.TEMPLATES = Slow()\n"
            "import sys\n"
            "sys.argv[1:] = ['list']\n"
            "cli.main()\n")
    process = subprocess.Popen([sys.executable, "-c", code], cwd=HERE,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                               # A background job of a shell ignores interrupts, and so would it.
                               preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))
    assert process.stdout.readline() == "ready\n"
    time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert (process.returncode, err.lstrip()) == (130, "systolith: interrupted\n")


def test_starting_does_not_import_what_it_does_not_need():
    code = ("import sys\nfrom systolith.cli import run\nrun(['--version'])\n"
            "print(sorted({'numpy', 'amaranth', 'cocotb', 'pyosys', 'rich', 'pydantic', 'jinja2'} "
            "& set(sys.modules)))")
    done = subprocess.run([sys.executable, "-c", code], text=True, capture_output=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
