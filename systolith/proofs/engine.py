"""Proofs about circuits with one output, ``bad``: can it ever be high?

Yosys makes an and-inverter graph of the circuit, and ABC, which comes with Yosys, decides:

- :func:`prove` without bound, by IC3 (property-directed reachability: induction strengthened by
  clauses that the solver finds itself; ABC checks the invariant that it ends with);
- :func:`search` for a run of bounded length that makes it high, by bounded model checking;
- :func:`simulate` for one among random inputs.

Registers without a reset start with any value, as after power-up; so do memories.
"""

import re
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from systolith.fpga import toolchain
from systolith.sim.simulators.errors import ToolError

#: From a circuit of several modules to flip-flops with an initial value of zero, and gates.
_FLATTEN = ("hierarchy -check -top harness", "proc", "flatten")
_LOWER = (
    # What is undefined may be anything, and no pass may choose what suits it.
    "setundef -undriven -anyseq", "setundef -anyseq", "opt -full",
    "memory_map", "setundef -anyseq", "opt -full",
    "async2sync", "dffunmap", "techmap", "simplemap", "dfflegalize -cell $_DFF_P_ 01",
    "opt_expr", "opt_clean", "setundef -anyseq", "aigmap", "opt_clean",
    "write_aiger -zinit circuit.aig",
)
#: Of a simulation: cycles of 64 · words runs at once, and how often they go on from rare states.
_SIMULATION = "sim3 -F 40 -W 20 -R 200"
#: From a flat circuit without memories to gates, where what is undefined is zero: two circuits are
#: compared from there.
GATES_FROM_ZERO = (
    "async2sync", "setundef -undriven -init -zero", "setundef -zero", "dffunmap", "techmap",
    "simplemap", "dfflegalize -cell $_DFF_P_ 01", "opt_expr", "opt_clean", "aigmap", "opt_clean",
)


@dataclass(frozen=True)
class Verdict:
    """What ABC says about ``bad``.

    Attributes
    ----------
    status : "proven", "bounded", "refuted" or "open"
        Never high; not high in the first :attr:`depth` cycles; high in cycle :attr:`depth`; not
        decided in the time given.
    depth : int or None
        In cycles, reset included.
    method : str
    seconds : float
    latches : int
        Size of the circuit.
    """

    status: Literal["proven", "bounded", "refuted", "open"]
    depth: int | None
    method: str
    seconds: float
    latches: int


def circuit(sources: Mapping[str, str], folder: Path, cut: Sequence[str] = ()) -> Path:
    """Write the graph of the module ``harness`` into ``folder``.

    Parameters
    ----------
    sources : mapping from file name to text
        Verilog (``.v``) and RTLIL (``.il``).
    cut : sequence of str
        Types of cells to remove: their outputs become free.
    """
    folder.mkdir(parents=True, exist_ok=True)
    reads = []
    for name, text in sources.items():
        (folder / name).write_text(text)
        reads.append(f"{'read_rtlil' if name.endswith('.il') else 'read_verilog'} {name}")
    removed = (() if not cut else (
        "memory -nomap", "delete " + " ".join(f"t:{cell}" for cell in cut)))
    toolchain.yosys((*reads, *_FLATTEN, *removed, *_LOWER), folder)
    return folder / "circuit.aig"


def equivalent(gold: str, gate: str, top: str, folder: Path, seconds: int,
               most: int) -> Verdict:
    """Decide whether two texts of a module ``top`` give the same outputs for ever.

    Both start with all registers and memories at zero: only what has a reset is known otherwise,
    and names of registers do not survive synthesis. With more than ``most`` latches in both, the
    verdict is ``open`` at once.
    """
    folder.mkdir(parents=True, exist_ok=True)
    script = []
    for name, text in (("gold", gold), ("gate", gate)):
        (folder / f"{name}.v").write_text(text)
        script += [f"read_verilog {name}.v", f"hierarchy -check -top {top}", "proc", "flatten",
                   # Models of flip-flops that are set by reset start so, too.
                   "setattr -unset init w:*",
                   "memory_map", "opt -full", f"rename {top} {name}", f"design -stash {name}"]
    script += ["design -copy-from gold -as gold gold", "design -copy-from gate -as gate gate",
               "miter -equiv -flatten gold gate harness", "hierarchy -top harness",
               *GATES_FROM_ZERO, "write_aiger -zinit circuit.aig"]
    toolchain.yosys(script, folder)
    size = latches(folder / "circuit.aig")
    if size > most:
        return Verdict("open", None, "signal correspondence", 0.0, size)
    return _abc(folder / "circuit.aig", "fold; strash; scorr; dprove", "signal correspondence",
                seconds)


def prove(graph: Path, seconds: int, conflicts: int | None = None) -> Verdict:
    """Decide without bound, or give up after ``seconds``; with at most so many ``conflicts`` for
    each pair of registers that may be equal."""
    if _never(graph):
        return Verdict("proven", None, "constant", 0.0, 0)
    # Registers that are equal by induction are merged first. IC3 has nothing to say about a
    # circuit that this leaves without gates, so then it gets the whole one.
    merge = "scorr" if conflicts is None else f"scorr -C {conflicts}"
    verdict = _abc(graph, f"{merge}; pdr -T {seconds}", "IC3", seconds)
    if verdict.status == "open" and verdict.seconds < seconds / 2:
        verdict = _abc(graph, f"pdr -T {seconds}", "IC3", seconds)
    return verdict


def search(graph: Path, depth: int, seconds: int) -> Verdict:
    """Look for a run of at most ``depth`` cycles.

    Where a cycle takes too long in which there is none, those behind it have their turn.
    """
    if _never(graph):
        return Verdict("bounded", depth, "constant", 0.0, 0)
    found = _search(graph, 0, depth, seconds)
    if found.status == "bounded" and found.depth is not None and found.depth < depth - 1:
        later = _search(graph, found.depth + 1, depth, seconds)
        if later.status == "refuted":
            return later
    return found


def simulate(graph: Path, seconds: int) -> Verdict:
    """Look for a run among random ones: wrong arithmetic shows at once, where solvers take long."""
    if not latches(graph):
        return Verdict("open", None, "simulation", 0.0, 0)
    return _abc(graph, f"{_SIMULATION} -T {seconds}", "simulation", seconds)


def latches(graph: Path) -> int:
    """How many there are in a circuit."""
    return int(graph.read_bytes()[:200].split()[3])


def _never(graph: Path) -> bool:
    """The output is zero, whatever comes."""
    return not latches(graph) and graph.read_bytes()[:200].split(b"\n")[1] == b"0"


def _search(graph: Path, first: int, depth: int, seconds: int) -> Verdict:
    command = f"bmc3 -S {first} -F {depth} -T {seconds}"
    try:
        return _abc(graph, f"scorr; {command}", "BMC", seconds)
    except _NothingLeftError:        # of the registers, when those that are equal were merged
        return _abc(graph, command, "BMC", seconds)


class _NothingLeftError(Exception):
    pass


def abc() -> Path:
    """The program, which comes with Yosys.

    Raises
    ------
    ToolError
        If pyosys is missing.
    """
    spec = find_spec("pyosys")
    if not spec or not spec.submodule_search_locations:
        raise ToolError("pyosys", "not installed", install="pip install pyosys")
    return Path(spec.submodule_search_locations[0]) / "yosys-abc"


def _abc(graph: Path, command: str, method: str, seconds: int) -> Verdict:
    started = time.monotonic()
    script = f"read_aiger {graph.name}; print_stats; {command}"
    try:
        done = subprocess.run([abc(), "-c", script], cwd=graph.parent, text=True,
                              errors="replace", stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, check=False, timeout=1.5 * seconds + 10)
    except OSError as error:
        raise ToolError("yosys-abc", f"cannot be started ({error.strerror})") from None
    except subprocess.TimeoutExpired:        # not every command keeps to a time
        return Verdict("open", None, method, time.monotonic() - started, 0)
    text = done.stdout
    taken = round(time.monotonic() - started, 3)
    size = re.search(r"lat\s*=\s*(\d+)", text)
    if size is None or done.returncode:
        raise ToolError("yosys-abc", "failed", output=text)
    count = int(size[1])
    if re.search(r"^SATISFIABLE|Networks are not equivalent", text, re.MULTILINE):
        return Verdict("refuted", None, method, taken, count)
    if found := re.search(r"asserted in frame (\d+)", text):
        return Verdict("refuted", int(found[1]), method, taken, count)
    if re.search(r"Property proved|^UNSATISFIABLE|Networks are equivalent", text, re.MULTILINE):
        return Verdict("proven", None, method, taken, count)
    if "Explored all reachable states" in text:
        return Verdict("proven", None, method, taken, count)
    if found := re.search(r"No output asserted in (\d+) frames", text):
        return Verdict("bounded", int(found[1]), method, taken, count)
    if method == "BMC":
        if "Does not work for combinational networks" in text and "scorr" in command:
            raise _NothingLeftError
        raise ToolError("yosys-abc", "gave no answer", output=text)
    return Verdict("open", None, method, taken, count)
