"""Place and route, for the clock rate of a design and the path that limits it."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from systolith.fpga import enables, toolchain
from systolith.fpga.design import Design
from systolith.fpga.devices import Device
from systolith.fpga.errors import ConstraintError, UnfinishedError
from systolith.fpga.pin_shell import INSTANCE, PINS, TOP, pin_shell
from systolith.sim.simulators import cache
from systolith.sim.simulators.errors import LateError, ToolError

#: What nextpnr says when a design is larger than the device.
_TOO_LARGE = re.compile(r"ERROR: (.*(?:no BELs remaining|Unable to place|unable to find|too many|"
                        r"failed to place|exceeds).*)", re.I)
_NO_REGION = re.compile(r"ERROR: Failed to expand region .* of (\d+ \w+)")

#: What Yosys' autoname and nextpnr's packer add to the name of the register or wire.
_ADDED = re.compile(r"(_[A-Z][A-Z0-9]*(?:_|$)|\$).*|(\.\d+)+$")


_BIT = re.compile(r"\[\d+\]$")


@dataclass(frozen=True)
class Step:
    """A piece of a path: ``delay_ns`` from the piece before it up to ``name``."""

    name: str
    delay_ns: float


@dataclass(frozen=True)
class Timing:
    """What place and route found.

    Attributes
    ----------
    fmax_mhz : float
        Highest clock rate.
    goal_mhz : float
        The rate it tried to reach.
    seed : int
    critical_path : tuple of Step
        From the register where it starts to the one where it ends, in names of the source.
    placed : mapping
        Used and available cells by nextpnr's type, with the registers of the shell.
    caveat : str
        Why ``fmax_mhz`` is not to be trusted; empty where it is.
    """

    fmax_mhz: float
    goal_mhz: float
    seed: int
    critical_path: tuple[Step, ...]
    placed: Mapping[str, tuple[int, int]]
    caveat: str


def place_and_route(design: Design, device: Device, netlist: bytes, *, goal_mhz: float,
                    seed: int) -> Timing:
    """Place and route the synthesized ``design`` inside a shell of registers.

    Parameters
    ----------
    netlist : bytes
        RTLIL of the design, made of the device's cells.

    Raises
    ------
    ConstraintError
        If it does not fit.
    ToolError
        If nextpnr is missing or fails.
    """
    family = device.family
    program = toolchain.NEXTPNR[family.name]
    shell = pin_shell(design)
    script = (
        "read_verilog shell.v",
        *device.steps(TOP),
        f"delete {design.name}",
        "read_rtlil netlist.il",
        f"hierarchy -top {TOP}",
        "flatten",
        "opt_clean",
        "write_json routed.json",
    )
    pins = "".join(f'IO_LOC "{name}" {pin};\n'
                   for name, pin in zip(PINS, device.pins, strict=bool(device.pins)))
    arguments = ("--json", "routed.json", "--report", "report.json", "--seed", str(seed),
                 "--freq", f"{goal_mhz:g}", "--timing-allow-fail", "--quiet", *device.route,
                 *(("--vopt", "cst=pins.cst") if pins else ()))

    def build(folder: Path) -> None:
        (folder / "shell.v").write_text(shell)
        (folder / "netlist.il").write_bytes(netlist)
        (folder / "pins.cst").write_text(pins)
        toolchain.yosys(script, folder)
        (folder / "netlist.il").unlink()
        run_nextpnr(program, arguments, folder, device)
        report = json.loads((folder / "report.json").read_text())
        for path in folder.iterdir():
            path.unlink()
        (folder / "report.json").write_text(json.dumps(report))

    key = cache.key(toolchain.yosys_label(), program.label, *script, *arguments, shell, pins,
                    netlist)
    report = json.loads((cache.entry("route", key, build) / "report.json").read_text())
    return read_report(report, goal_mhz, seed, device.caveat, f"{INSTANCE}.")


def run_nextpnr(program: toolchain.Program, arguments: Sequence[str], folder: Path,
                device: Device, *, limit_s: float | None = None) -> None:
    """Run nextpnr; a design that is too large, or not placed and routed within ``limit_s`` seconds
    of the processor, is a :class:`ConstraintError`, the latter an :class:`UnfinishedError`."""
    enables.check(folder / arguments[arguments.index("--json") + 1], device)
    try:
        program.run(arguments, folder, limit_s=limit_s)
    except LateError:
        raise UnfinishedError(f"place and route for {device.title} did not end within "
                              f"{limit_s:g} s of the processor") from None
    except ToolError as error:
        if found := _TOO_LARGE.search(error.tail):
            why = found[1]
        elif found := _NO_REGION.search(error.tail):
            why = f"no region of it holds {found[1]}"
        else:
            raise
        raise ConstraintError(f"the design does not fit {device.title}: {why}") from None


def read_report(report: Mapping[str, Any], goal_mhz: float, seed: int, caveat: str,
                prefix: str = "") -> Timing:
    """nextpnr's JSON report as :class:`Timing`; ``prefix`` is left out of names."""
    fmax = min((clock["achieved"] for clock in report["fmax"].values()), default=0.0)
    paths = [path["path"] for path in report["critical_paths"]
             if not path["from"].startswith("<async>") and not path["to"].startswith("<async>")]
    longest = max(paths, key=lambda steps: sum(step["delay"] for step in steps), default=[])
    placed = {cell: (entry["used"], entry["available"])
              for cell, entry in report["utilization"].items() if entry["used"]}
    return Timing(round(fmax, 2), goal_mhz, seed, tuple(_steps(longest, prefix)), placed, caveat)


def _steps(path: Sequence[Mapping[str, Any]], prefix: str) -> list[Step]:
    """The path as steps between names of the source; what tools invented is part of the step."""
    steps: list[Step] = []
    delay = 0.0
    for index, piece in enumerate(path):
        delay += piece["delay"]
        name = source_name(piece.get("net") or piece["to"]["cell"], prefix)
        last = index == len(path) - 1
        if not name:
            if not last:
                continue
            name = "?"
        if steps and steps[-1].name == name:
            steps[-1] = Step(name, round(steps[-1].delay_ns + delay, 3))
        else:
            steps.append(Step(name, round(delay, 3)))
        delay = 0.0
    return steps


def source_name(name: str, prefix: str = "") -> str:
    """The wire or register of the source that a tool's name comes from; empty if none."""
    name = name.removeprefix("$flatten\\").removeprefix(prefix)
    return _ADDED.sub("", _BIT.sub("", name))
