"""From a core to a bitstream: link, top level, synthesis, place and route, packing."""

import json
import re
import resource
import shlex
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from systolith.fpga import boards, hierarchy, pll, report, toolchain
from systolith.fpga.boards import Board
from systolith.fpga.devices import Device
from systolith.fpga.errors import ConstraintError, CrashError, SlowError
from systolith.fpga.gates import cells_by_type
from systolith.fpga.hierarchy import Module
from systolith.fpga.linked import LinkedCore
from systolith.fpga.place_route import Timing, read_report, run_nextpnr
from systolith.fpga.synthesis import check_technology
from systolith.generators.core import GeneratedCore
from systolith.generators.render import banner
from systolith.hdl.errors import Error
from systolith.hdl.link.config import LinkConfig
from systolith.sim.simulators import cache
from systolith.sim.simulators.errors import ToolError

TOP = "board_top"
DEFAULT_BAUD = 1_000_000
CRASHES = 7                  # of place and route that are answered with a further seed

#: On some placements a program in WebAssembly runs out of its stack, and the placer for GateMate
#: forgets multipliers that had to make room (nextpnr, pull request 1779).
CRASH = re.compile("wasm trap|Found unbound cell")
_BEL = re.compile(r"X(\d+)/?Y(\d+)/")
_STATIC = "--placer", "static"
_ROUTER2 = "--router", "router2"
#: Options of nextpnr that take about half of the time; what it does without them may be faster. On
#: an iCE40 that is nearly full, router2 may not come to an end; for Gowin there is no such placer.
QUICK = {"ice40": _STATIC, "ecp5": _STATIC + _ROUTER2, "gatemate": _STATIC + _ROUTER2}
QUICK_S = 600                # of the processor, after which another way is taken in any case
#: Share of the clock below which the other way is not tried where time is limited.
FAR = 0.8
SUFFIX = {"ice40": "bin", "ecp5": "bit", "gowin": "fs", "gatemate": "bit"}


@dataclass(frozen=True)
class TopLevel:
    """What becomes a bitstream.

    Attributes
    ----------
    board : Board
    linked : LinkedCore
    verilog : str
        Everything; the top module is :data:`TOP`, its ports are pins.
    mhz : float or None
        The clock that was asked for; None where it is the board's own.
    """

    board: Board
    linked: LinkedCore
    verilog: str
    mhz: float | None = None

    @classmethod
    def of(cls, core: GeneratedCore, board: Board, *, mhz: float | None = None,
           baud: int = DEFAULT_BAUD) -> "TopLevel":
        """Put a core with its link on a board; each stream's buffer takes one block memory.

        Raises
        ------
        Error
            If the clock cannot be made, or the baud rate not made of it.
        """
        clock, actual = pll.instance(board.device.family.name, board.pll, board.clock_mhz,
                                     mhz or board.clock_mhz)
        link = LinkConfig.parse({"clock_hz": round(actual * 1e6), "baud": baud,
                                 "buffer_bytes": board.device.family.bram_bytes})
        linked = LinkedCore.of(core, link)
        top = f"""\
// {core.name} on {board.title}: {actual:g} MHz, {baud} baud.
module {TOP} (
  input  wire pin_clk,
  input  wire pin_rx,
  output wire pin_tx
);
{clock}
  // Reset ends some cycles after the clock is stable.
  reg [1:0] stable = 2'd0;
  reg [3:0] settled = 4'd0;
  always @(posedge clk) begin
    stable <= {{stable[0], locked}};
    if (~stable[1])
      settled <= 4'd0;
    else if (~(&settled))
      settled <= settled + 4'd1;
  end

  {linked.name} u_linked (
    .clk(clk),
    .rst(~(&settled)),
    .rx(pin_rx),
    .tx(pin_tx)
  );
endmodule
"""
        return cls(board, linked, linked.verilog + "\n" + top, mhz)


@dataclass(frozen=True)
class Synthesized:
    """A board's top level made of cells.

    Attributes
    ----------
    netlist : str
        Yosys's JSON.
    cells : mapping
        Cells by type.
    modules : Module
        What each module of the source takes.
    paths : mapping
        The modules by path, as :func:`systolith.fpga.hierarchy.instances` gives them.
    seconds : float
        Of the processor that it took, when it was done.
    """

    netlist: str
    cells: Mapping[str, int]
    modules: Module
    paths: Mapping[str, str]
    seconds: float


@dataclass(frozen=True)
class Attempt:
    """Place and route with one seed; ``failure`` is empty unless it gave nothing."""

    seed: int
    goal_mhz: float
    fmax_mhz: float
    failure: str = ""


@dataclass(frozen=True)
class Built:
    """A bitstream, and what is known about it.

    Attributes
    ----------
    top : TopLevel
    bitstream : bytes
    resources : mapping
        Amounts by resource.
    timing : Timing
        With the seed that was kept.
    history : tuple of Attempt
        With every seed that was tried.
    tools : tuple of str
        Names and versions.
    synthesized : Synthesized
    placement : list of (column, row, cell)
        Where the cells are.
    seconds : float
        Of the processor that synthesis and the seed that was kept took, when they were done.
    """

    top: TopLevel
    bitstream: bytes
    resources: Mapping[str, float]
    timing: Timing
    history: tuple[Attempt, ...]
    tools: tuple[str, ...]
    synthesized: Synthesized
    placement: list[tuple[int, int, str]]
    seconds: float

    @property
    def report(self) -> dict[str, Any]:
        """For JSON."""
        core, board, link = self.top.linked.core, self.top.board, self.top.linked.link
        capacity = board.device.capacity
        return {
            "generator": banner(), "name": core.name, "template": core.template.name,
            "config": core.manifest["config"], "config_hash": core.manifest["config_hash"],
            "board": board.name, "device": board.device.title,
            "clock_mhz": link.clock_hz / 1e6, "baud": link.baud,
            "resources": dict(self.resources), "capacity": dict(capacity),
            "timing": asdict(self.timing),
            "seeds": [asdict(attempt) for attempt in self.history],
            "modules": self.synthesized.modules.as_dict(), "command": self.command,
            "tools": list(self.tools), "bitstream_bytes": len(self.bitstream),
        }

    @property
    def command(self) -> str:
        """What builds this again."""
        core, board, link = self.top.linked.core, self.top.board, self.top.linked.link
        words = ["systolith", "build", core.template.name]
        if core.name != core.template.name:
            words += ["--name", core.name]
        for key, value in core.config.chosen().items():
            words += ["--set", f"{key}={value if isinstance(value, str) else json.dumps(value)}"]
        words += ["--board", board.name]
        if self.top.mhz is not None:
            words += ["--freq", f"{self.top.mhz:g}"]
        if link.baud != DEFAULT_BAUD:
            words += ["--baud", str(link.baud)]
        return shlex.join([*words, "--seed", str(self.timing.seed)])


def build(core: GeneratedCore, board: str, *, mhz: float | None = None, baud: int = DEFAULT_BAUD,
          seed: int = 1, seeds: int = 1, limit_s: float | None = None,
          progress: Callable[[str], None] = lambda message: None) -> Built:
    """Build a bitstream.

    Parameters
    ----------
    board : str
        A name from :data:`systolith.fpga.boards.BOARDS`.
    mhz : float, optional
        Clock of the core; that of the board's oscillator by default.
    seed, seeds : int
        The first seed of place and route, and how many to try until the clock is reached.
    limit_s : float, optional
        Seconds of the processor for each way to place and route; without a limit by default.

    Raises
    ------
    Error
        If the request is wrong.
    ConstraintError
        If the core is too large, or takes too long; a :class:`SlowError` if no seed reaches the
        clock.
    ToolError
        If a tool is missing or fails; a :class:`CrashError` if place and route crashes with every
        seed.
    """
    target = boards.get(board)
    top = TopLevel.of(core, target, mhz=mhz, baud=baud)
    check_technology(core.name, top.linked.technology, target.device.technologies, target.name)
    progress(f"{core.name}: synthesis for {target.title}")
    synthesized = synthesize_top(top)
    resources = target.device.family.resources(synthesized.cells)
    excess = ", ".join(f"{resources[name]:,.0f} {name} of {total:,}"
                       for name, total in target.device.capacity.items()
                       if resources[name] > total)
    if excess:
        raise ConstraintError(f"{core.name} with its link does not fit {target.title}: it needs "
                              f"{excess}")
    goal = top.linked.link.clock_hz / 1e6
    attempts: list[Attempt] = []
    best: Timing | None = None
    number = seed
    while len([attempt for attempt in attempts if not attempt.failure]) < seeds:
        progress(f"{core.name}: place and route for {target.title}, seed {number}")
        placed = _place(top, synthesized.netlist, goal, number, limit_s)
        if placed is None:
            attempts.append(Attempt(number, goal, 0, "place and route crashed"))
            if len([attempt for attempt in attempts if attempt.failure]) > CRASHES:
                raise CrashError(toolchain.NEXTPNR[target.device.family.name].name,
                                 f"crashed with {CRASHES + 1} seeds, the last {number}")
            number += 1
            continue
        bitstream, timing, placement, seconds = placed
        attempts.append(Attempt(number, goal, timing.fmax_mhz))
        if timing.fmax_mhz >= goal:
            tools = (toolchain.yosys_label(), toolchain.NEXTPNR[target.device.family.name].label,
                     toolchain.PACK[target.device.family.name].label)
            return Built(top, bitstream, resources, timing, tuple(attempts), tools, synthesized,
                         placement, synthesized.seconds + seconds)
        best = max(best or timing, timing, key=lambda timing: timing.fmax_mhz)
        number += 1
    assert best is not None
    path = best.critical_path
    where = f"; the longest path leads from {path[0].name} to {path[-1].name}" if path else ""
    raise SlowError(f"{core.name} misses {goal:g} MHz on {target.title} by "
                    f"{goal - best.fmax_mhz:.1f} MHz ({best.fmax_mhz:.1f} MHz with seed "
                    f"{best.seed}){where}", best.fmax_mhz)


def write(built: Built, directory: Path) -> list[Path]:
    """Write bitstream, top level, constraints and report: all of them or none.

    Raises
    ------
    Error
        If the directory cannot be written.
    """
    board = built.top.board
    stem = f"{built.top.linked.core.name}_{board.name.replace('-', '_')}"
    constraints, text = board.constraints
    files = {
        f"{stem}.{SUFFIX[board.device.family.name]}": built.bitstream,
        f"{stem}.v": f"// {banner()}\n{built.top.verilog}".encode(),
        f"{stem}{Path(constraints).suffix}": text.encode(),
        f"{stem}.json": (json.dumps(built.report, indent=2) + "\n").encode(),
        f"{stem}.html": report.page(built).encode(),
    }
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".build-", dir=directory) as scratch:
            for name, content in files.items():
                Path(scratch, name).write_bytes(content)
            for name in files:
                if (directory / name).is_dir():
                    raise Error(f"{directory / name} is a directory; nothing was written")
            for name in files:
                Path(scratch, name).replace(directory / name)
    except OSError as error:
        raise Error(f"cannot write into {directory}: {error.strerror}") from None
    return [directory / name for name in files]


def synthesize_top(top: TopLevel) -> Synthesized:
    """Synthesize a board's top level, or find it synthesized."""
    device = top.board.device
    script = (
        "read_verilog design.v",
        f"hierarchy -top {TOP}",
        # Read again as processed RTLIL: instances of cells with parameters survive synthesis.
        "proc",
        "write_rtlil processed.il",
        "design -reset",
        "read_rtlil processed.il",
        *device.steps(TOP),
        "autoname",
        "tee -q -o statistics.json stat -json",
        "write_json netlist.json",
    )

    def make(folder: Path) -> None:
        started = processor_seconds()
        (folder / "design.v").write_text(top.verilog)
        toolchain.yosys(script, folder)
        cells = cells_by_type(folder / "statistics.json")
        paths = hierarchy.instances((folder / "processed.il").read_text(), TOP)
        for path in folder.iterdir():
            if path.name != "netlist.json":
                path.unlink()
        (folder / "cells.json").write_text(json.dumps(cells))
        (folder / "paths.json").write_text(json.dumps(paths))
        (folder / "seconds.json").write_text(json.dumps(processor_seconds() - started))

    place = cache.entry("board-synthesis",
                        cache.key(toolchain.yosys_label(), *script, "seconds", top.verilog), make)
    paths = json.loads((place / "paths.json").read_text())
    netlist = (place / "netlist.json").read_text()
    modules = hierarchy.modules(hierarchy.cells_of(netlist, TOP), paths, device.family)
    return Synthesized(netlist, json.loads((place / "cells.json").read_text()), modules, paths,
                       json.loads((place / "seconds.json").read_text()))


def _place(top: TopLevel, netlist: str, goal: float, seed: int,
           limit_s: float | None
           ) -> tuple[bytes, Timing, list[tuple[int, int, str]], float] | None:
    """Bitstream, timing, placement and seconds of the processor; None where nextpnr crashes."""
    board, family = top.board, top.board.device.family.name
    program, packer = toolchain.NEXTPNR[family], toolchain.PACK[family]
    file, text = board.constraints
    pins, result, pack = {
        "ice40": (("--pcf", file, "--asc", "routed.asc"), "top.bin", ("routed.asc", "top.bin")),
        "ecp5": (("--lpf", file, "--textcfg", "routed.config"), "top.bit",
                 ("routed.config", "top.bit")),
        "gowin": (("--vopt", f"cst={file}"), "top.fs",
                  ("-d", _chip(board), "-o", "top.fs", "routed.json")),
        "gatemate": (("--vopt", f"ccf={file}", "--vopt", "out=routed.txt"), "top.bit",
                     ("routed.txt", "top.bit")),
    }[family]
    arguments = ("--json", "netlist.json", "--report", "report.json", "--seed", str(seed),
                 "--freq", f"{goal:g}", "--timing-allow-fail", "--quiet", "--write", "routed.json",
                 *board.route, *pins)
    tried = ways(family)

    def make(folder: Path) -> None:
        started = processor_seconds()
        with tempfile.TemporaryDirectory(prefix="systolith-") as scratch:
            work = Path(scratch)
            (work / "netlist.json").write_text(netlist)
            (work / file).write_text(text)
            try:
                route(program, arguments, tried, work, board.device, goal, limit_s)
            except ToolError as error:
                if not CRASH.search(error.tail):
                    raise
                (folder / "crashed").write_text(error.tail)
                return
            packer.run(pack, work)
            shutil.copy(work / result, folder / "bitstream")
            shutil.copy(work / "report.json", folder)
            placed = _placement((work / "routed.json").read_text())
            (folder / "placement.json").write_text(json.dumps(placed))
        (folder / "seconds.json").write_text(json.dumps(processor_seconds() - started))

    key = cache.key("seconds", program.label, packer.label, *arguments,
                    *(" ".join(way) for way in tried), *pack, text, netlist)
    place = cache.entry("bitstream", key, make)
    if (place / "crashed").exists():
        return None
    report = json.loads((place / "report.json").read_text())
    return ((place / "bitstream").read_bytes(),
            read_report(report, goal, seed, board.device.caveat),
            json.loads((place / "placement.json").read_text()),
            json.loads((place / "seconds.json").read_text()))


def ways(family: str) -> tuple[tuple[str, ...], ...]:
    """Options of nextpnr with which place and route is tried, one after the other."""
    return (QUICK[family], ()) if family in QUICK else ((),)


def processor_seconds() -> float:
    """Of this process and of those that it has waited for, so far."""
    return sum(usage.ru_utime + usage.ru_stime for usage in map(
        resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)))


def route(program: toolchain.Program, arguments: Sequence[str], ways: Sequence[Sequence[str]],
          folder: Path, device: Device, goal: float, limit_s: float | None = None) -> None:
    """Place and route one way after the other, until one fits and reaches the clock.

    Where time is limited, a way that stays far below the clock is the last. All but the last way
    are limited in any case, as they may not come to an end.
    """
    for options in ways[:-1]:
        try:
            run_nextpnr(program, (*arguments, *options), folder, device,
                        limit_s=limit_s or QUICK_S)
        except (ConstraintError, ToolError):
            continue
        report = json.loads((folder / "report.json").read_text())
        fmax = read_report(report, goal, 0, "").fmax_mhz
        if fmax >= goal or (limit_s is not None and fmax < FAR * goal):
            return
    run_nextpnr(program, (*arguments, *ways[-1]), folder, device, limit_s=limit_s)


def _placement(routed: str) -> list[tuple[int, int, str]]:
    """Column, row and name of every cell in nextpnr's JSON."""
    found = []
    for module in json.loads(routed)["modules"].values():
        for name, cell in module["cells"].items():
            if at := _BEL.match(cell["attributes"].get("NEXTPNR_BEL", "")):
                found.append((int(at[1]), int(at[2]), name))
    return found


def _chip(board: Board) -> str:
    """Gowin's name of the chip, as its packer knows it; empty for the other families."""
    return next((option.removeprefix("family=") for option in board.device.route
                 if option.startswith("family=")), "")
