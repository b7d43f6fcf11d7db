"""Rung ``coverage``: what the regression has seen of a core, and what it has not.

Verilator counts lines, branches, terms of expressions and toggles while
:class:`~systolith.sim.simulators.exercise.Exercise` runs from several seeds; counts of all runs,
and of all instances of a module, are added up. Functional points come from the template's
streams, formats and registers, and from its model. A point that cannot be reached needs a reason:
Yosys finds the bit constant, or a list says why. Open lines, branches and functional points fail
the rung; open terms and toggles are listed.
"""

import importlib.metadata
import re
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from systolith.generators.core import GeneratedCore, write
from systolith.signoff import counting
from systolith.signoff.counting import Spot
from systolith.signoff.rung import Finding, Options, Outcome, Progress, RungResult, Table
from systolith.sim import points
from systolith.sim.simulators import tools, verilator
from systolith.sim.simulators.core import Core
from systolith.sim.simulators.errors import SimulationError
from systolith.sim.simulators.exercise import Exercise, ProblemError
from systolith.sim.simulators.exercise.counters import writable
from systolith.sim.simulators.exercise.malformed import ANY_SETTINGS
from systolith.sim.simulators.harness import Simulator

SEEDS = 3                    # at least
KINDS = ("line", "branch", "expr", "toggle")
MUST_BE_FULL = ("line", "branch")
PROGRAM = Path(__file__).with_name("constants.py")

#: What no core can reach: the kind, a pattern of module and comment, and why.
UNREACHABLE = (
    ("toggle", r".* (s_axil|bus)_a[rw]prot\[.*", "AXI4-Lite's protection bits do not matter here"),
    ("toggle", r".* unused\w*(\[.*)?:.*", "collects what is not read, for the linters"),
    ("expr", r".*\bunused_\w+.*", "collects what is not read, for the linters"),
)


def run(core: GeneratedCore, options: Options, progress: Progress) -> RungResult:
    """Measure the coverage of a core; see :mod:`systolith.signoff.rung`."""
    started = time.monotonic()
    seeds = tuple(options.seed + index for index in range(max(SEEDS, options.repeats)))
    with TemporaryDirectory(prefix="systolith-") as place:
        folder = Path(place)
        write(core, folder)
        files = Core.read(folder / f"{core.name}.v", folder / f"{core.name}.json", core.model)
        counted = writable(files, folder)
        progress(f"coverage: building {core.name}")
        library = verilator.build(counted, coverage=verilator.COUNT_ALL)
        total: Counter[Spot] = Counter()
        functional: Counter[str] = Counter()
        problem = None
        for seed in seeds:
            progress(f"coverage: running {core.name}, seed {seed}")
            problem = problem or _measure(counted, library, seed, options.frames, total, functional,
                                          folder / "coverage.dat")
        progress(f"coverage: looking for constants of {core.name}")
        steady = constants(core.name, files, folder)
    reasons = {spot: why for spot, count in total.items()
               if not count and (why := _reason(spot, steady, core))}
    rows, findings, outcomes = [], [], [Outcome("the exercise passes", problem)]
    for kind in KINDS:
        spots = [spot for spot in total if spot.kind == kind]
        hit = sum(total[spot] > 0 for spot in spots)
        explained = sum(spot in reasons for spot in spots)
        open_spots = sorted(spot for spot in spots if not total[spot] and spot not in reasons)
        reachable = len(spots) - explained
        rows.append((kind, len(spots), hit, explained, len(open_spots), _share(hit, reachable)))
        findings += [Finding(str(spot), "not reached") for spot in open_spots]
        if kind in MUST_BE_FULL:
            outcomes.append(Outcome(f"every {kind}", "\n".join(map(str, open_spots)) or None))
    wanted: dict[str, str | None] = dict.fromkeys(_events(files))
    wanted |= {point.name: point.unreachable for point in _points(files)}
    wanted |= {_raised(name): "constant, by Yosys" for name, _ in files.config.flags
               if (core.name, f"flag_{name}", 0) in steady}
    missed = [name for name, why in wanted.items() if why is None and not functional[name]]
    impossible = {name: why for name, why in wanted.items() if why is not None}
    hit = sum(functional[name] > 0 for name in wanted)
    rows.append(("functional", len(wanted), hit, len(impossible), len(missed),
                 _share(hit, len(wanted) - len(impossible))))
    outcomes.append(Outcome("every functional point", "\n".join(missed) or None))
    findings += [Finding(name, why) for name, why in impossible.items()]
    why_not = Counter(reasons.values())
    return RungResult(
        rung="coverage", outcomes=tuple(outcomes),
        summary=", ".join(f"{row[0]} {row[5]}" for row in rows), seeds=seeds,
        tables=(Table("Coverage", ("kind", "points", "reached", "explained", "open", "covered"),
                      tuple(rows)),
                Table("Functional points", ("point", "times"),
                      tuple((name, functional[name]) for name in wanted)),
                Table("Why points cannot be reached", ("reason", "points"),
                      tuple(sorted(why_not.items(), key=lambda item: -item[1])))),
        findings=tuple(findings),
        tools={"verilator": verilator.version(), "yosys": importlib.metadata.version("pyosys")},
        seconds=round(time.monotonic() - started, 3),
        details={"coverage": {row[0]: {"points": row[1], "reached": row[2], "explained": row[3],
                                       "open": row[4]} for row in rows}})


def _measure(files: Core, library: Path, seed: int, frames: int | None, total: Counter[Spot],
             functional: Counter[str], place: Path) -> str | None:
    """Run the exercise once; adds what was seen, and returns the first problem."""
    exercise = Exercise(files, seed, frames)
    problem = None
    with Simulator(files, library) as simulator:
        for step in exercise.steps():
            try:
                step.run(simulator)
            except (ProblemError, SimulationError) as error:
                problem = problem or f"seed {seed}: {step.name}: {error}"
                simulator.reset()
        for stream in files.streams:
            seen = simulator.seen(stream.name)
            for kind in ("streaks", "blocked", "starved"):
                functional[_stream_event(stream.name, kind)] += getattr(seen, kind)
        simulator.write_coverage(place)
    for spot, count in counting.read(place).items():
        if spot.module.startswith(files.name):           # not models of the blocks of an FPGA
            total[spot] += count
    functional.update(exercise.events)
    for point in _points(files):
        functional[point.name] += sum(bool(point.hit(case))
                                       for case in (*exercise.cases, *exercise.long))
    return problem


def _points(files: Core) -> Iterator[points.Point]:
    yield from points.points(files.model, files.config)
    yield from files.model.points(files.config)


def _events(files: Core) -> Iterator[str]:
    yield from Exercise.EVENTS
    if any(register.access == "rw" for register in files.registers.values()):
        yield ANY_SETTINGS
    yield from (_raised(name) for name, _ in files.config.flags)
    for stream in files.streams:
        yield from (_stream_event(stream.name, kind) for kind in ("streaks", "blocked", "starved"))


def _raised(flag: str) -> str:
    return f"flag {flag} raised"


def _stream_event(stream: str, kind: str) -> str:
    meaning = {"streaks": "a beat every cycle", "blocked": "a beat waits: full behind it",
               "starved": "ready with no beat: empty before it"}
    return f"stream {stream}: {meaning[kind]}"


def constants(top: str, files: Core, folder: Path) -> set[tuple[str, str, int]]:
    """Bits that Yosys finds constant: module, signal, index."""
    output = tools.run("pyosys", [sys.executable, PROGRAM, top, *files.sources], cwd=folder)
    lines = output.partition("CONSTANTS\n")[2].splitlines()
    return {(module, signal, int(index)) for module, signal, index in map(str.split, lines)}


def _reason(spot: Spot, steady: set[tuple[str, str, int]], core: GeneratedCore) -> str | None:
    if spot.kind == "toggle" and (found := re.match(r"([\w$]+)(?:\[(\d+)\])?:", spot.what)):
        signal, index = found.group(1), int(found.group(2) or 0)
        if (spot.module, signal, index) in steady:
            return "constant, by Yosys"
    text = f"{spot.module} {spot.what}"
    for kind, pattern, why in (*UNREACHABLE, *core.template.unreachable):
        if kind == spot.kind and re.fullmatch(pattern, text):
            return why
    return None


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.1%}" if whole else "–"
