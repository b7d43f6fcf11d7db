"""Rung ``lint``: three independent front ends read the text, and none may object to anything."""

import importlib.metadata
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

from systolith.generators.core import GeneratedCore, write
from systolith.signoff.rung import Options, Outcome, Progress, RungResult, Table
from systolith.sim.simulators import verilator
from systolith.sim.simulators.errors import ToolError

#: Waivers, all of them, by tool; each must say why.
WAIVERS = {
    "verilator": {"DECLFILENAME": "one file holds all modules of a core; said in its header"},
    "slang": {},
    "yosys": {},
}

#: Programs of their own: Yosys ends its process on errors, and a crash takes no other work along.
_SLANG = """\
import sys
from pyslang.driver import Driver
driver = Driver()
driver.addStandardArgs()
if (driver.parseCommandLine(sys.argv[1]) and driver.processOptions()
        and driver.parseAllSources()):
    compilation = driver.createCompilation()
    found = [*compilation.getAllDiagnostics(), *driver.runAnalysis(compilation).getDiagnostics()]
    manager = driver.sourceManager
    for item in found:
        place = item.location
        print(f"{manager.getFileName(place)}:{manager.getLineNumber(place)}: {item.code}")
else:
    print("slang cannot read the text")
"""
_YOSYS = """\
import sys
from pyosys import libyosys as ys
design = ys.Design()
for command in sys.argv[1:]:
    ys.run_pass(command, design)
"""


def run(core: GeneratedCore, options: Options, progress: Progress) -> RungResult:
    """Lint the Verilog of a core; see :mod:`systolith.signoff.rung`."""
    started = time.monotonic()
    outcomes, rows = [], []
    with TemporaryDirectory(prefix="systolith-") as folder:
        write(core, folder)
        sources = [Path(folder, name) for name in core.files if name.endswith(".v")]
        for name, check in CHECKS.items():
            progress(f"lint: {name} reads {core.name}")
            begun = time.monotonic()
            found = [line.replace(f"{folder}/", "") for line in check(core.name, sources)]
            seconds = round(time.monotonic() - begun, 3)
            outcomes.append(Outcome(name, "\n".join(found) or None, seconds=seconds))
            rows.append((name, len(found), ", ".join(
                f"{rule}: {why}" for rule, why in WAIVERS[name].items()) or "none"))
    total = sum(row[1] for row in rows)
    return RungResult(
        rung="lint", outcomes=tuple(outcomes), summary=f"{total} warnings",
        tables=(Table("Warnings", ("tool", "warnings", "waived"), tuple(rows)),),
        tools={"verilator": verilator.version(), "slang": _version("pyslang"),
               "yosys": _version("pyosys")},
        seconds=round(time.monotonic() - started, 3))


def verilator_warnings(top: str, sources: list[Path]) -> list[str]:
    """What ``verilator --lint-only -Wall`` says, a warning or error a line."""
    root, program = verilator.installation()
    done = subprocess.run([program, "--lint-only", "-Wall", "--top-module", top, *sources],
                          env={**os.environ, "VERILATOR_ROOT": str(root)}, capture_output=True,
                          text=True, errors="replace", check=False)
    found = [line for line in done.stderr.splitlines() if line.startswith("%")]
    if done.returncode and not found:
        raise ToolError("verilator", f"ended in status {done.returncode}", output=done.stderr)
    return found


def slang_warnings(top: str, sources: list[Path]) -> list[str]:
    """What slang says with ``-Weverything``, a diagnostic a line."""
    listed = " ".join(f'"{source}"' for source in sources)
    done = _in_python(_SLANG, [f"slang -Weverything --top {top} {listed}"])
    if "No module named" in done.stderr:
        raise ToolError("pyslang", "not installed", install="pip install 'systolith[signoff]'")
    if done.returncode:
        raise ToolError("pyslang", f"ended in status {done.returncode}", output=done.stderr)
    return done.stdout.splitlines()


def yosys_warnings(top: str, sources: list[Path]) -> list[str]:
    """What Yosys says while it reads the text and in ``check``, a line each."""
    reads = [f'read_verilog "{source}"' for source in sources]
    done = _in_python(_YOSYS, [*reads, f"hierarchy -check -top {top}", "proc", "check"])
    output = done.stdout + done.stderr
    if "No module named" in output:
        raise ToolError("pyosys", "not installed", install="pip install pyosys")
    found = re.findall(r"^(?:Warning|.*ERROR): .*", output, re.MULTILINE)
    if done.returncode and not found:
        raise ToolError("pyosys", f"ended in status {done.returncode}", output=output)
    return list(dict.fromkeys(found))


CHECKS: dict[str, Callable[[str, list[Path]], list[str]]] = {
    "verilator": verilator_warnings, "slang": slang_warnings, "yosys": yosys_warnings}


def warnings(core: GeneratedCore, folder: Path) -> list[str]:
    """What all three say about a core, written into ``folder``."""
    write(core, folder)
    sources = [folder / name for name in core.files if name.endswith(".v")]
    return [line for check in CHECKS.values() for line in check(core.name, sources)]


def _in_python(program: str, arguments: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", program, *arguments], text=True, errors="replace",
                          capture_output=True, check=False)


def _version(package: str) -> str:
    return importlib.metadata.version(package)
