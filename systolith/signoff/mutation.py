"""Rung ``mutation``: the tests notice when the design is changed.

Yosys changes the design in many places, one at a time: a bit of a cell's port inverted, stuck, or
exchanged for its neighbour under a condition. All mutants are one design with an input that
selects among them, so that one build runs them all.
:class:`~systolith.sim.simulators.exercise.Exercise` must find each; one that survives must be
proven to compute the same, or it is a hole in the tests.
"""

import importlib.metadata
import multiprocessing
import re
import sys
import time
from collections import defaultdict
from collections.abc import Set
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from systolith.generators.core import GeneratedCore, write
from systolith.signoff.rung import Finding, Options, Outcome, Progress, RungResult, Table
from systolith.signoff.spread import spread
from systolith.signoff.write_mutants import SELECT, SELECT_BITS
from systolith.sim.simulators import tools, verilator
from systolith.sim.simulators.core import Core
from systolith.sim.simulators.errors import SimulationError
from systolith.sim.simulators.exercise import Exercise
from systolith.sim.simulators.exercise.counters import writable
from systolith.sim.simulators.exercise.malformed import GOES_ON
from systolith.sim.simulators.harness import Simulator

DEFAULT_COUNT = 240
TARGET_SECONDS = 0.1         # per mutant, on average
SINGLY = 8                   # survivors, up to which each has a proof of its own
PATIENCE_SECONDS = 120       # for one mutant, before its simulation counts as hung
PROGRAM = Path(__file__).with_name("write_mutants.py")
PROOF = Path(__file__).with_name("prove_mutant.py")


@dataclass(frozen=True)
class Mutant:
    """One change.

    Attributes
    ----------
    index : int
        Value of the select input.
    line : str
        The Yosys command that makes it.
    problem : str or None
        How it was found; None if it survived.
    seconds : float
    """

    index: int
    line: str
    problem: str | None = None
    seconds: float = 0.0

    @property
    def module(self) -> str:
        return self._option("module")

    def _option(self, name: str) -> str:
        found = re.search(rf"-{name} \\?(\S+)", self.line)
        return found.group(1) if found else ""

    @property
    def place(self) -> str:
        """Where it is, in words."""
        cell, port, bit = (self._option(name) for name in ("cell", "port", "portbit"))
        wire = self._option("wire")
        return (f"{self.module}: {self._option('mode')} of {port}[{bit}] of {cell}"
                + (f", at {wire}[{self._option('wirebit')}]" if wire else ""))


@dataclass(frozen=True)
class Share:
    """Some mutants of a core, for another process."""

    template: str
    config: dict
    name: str
    count: int
    seed: int
    frames: int | None
    part: int
    parts: int


def run(core: GeneratedCore, options: Options, progress: Progress) -> RungResult:
    """Find the mutants of a core; see :mod:`systolith.signoff.rung`."""
    started = time.monotonic()
    count = options.count or DEFAULT_COUNT
    progress(f"mutation: making {count} mutants of {core.name}")
    parts = max(1, options.jobs if options.scheduler is None else 8)
    shares = [Share(core.template.name, core.config.model_dump(mode="json"), core.name, count,
                    options.seed, options.frames, part, parts) for part in range(parts)]
    try:
        if parts == 1:
            found = campaign(core, shares[0], progress)
        else:
            found = [mutant for _, share in spread(_elsewhere, shares, options) for mutant in share]
    except SimulationError as error:
        return RungResult(rung="mutation", outcomes=(Outcome("the exercise passes", str(error)),),
                          summary=str(error), seeds=(options.seed,))
    found.sort(key=lambda mutant: mutant.index)
    alive = [mutant for mutant in found if mutant.problem is None]
    equal = prove(core, alive, progress)
    holes = [mutant for mutant in alive if mutant.index not in equal]
    killed = len(found) - len(alive)
    mean = sum(mutant.seconds for mutant in found) / max(len(found), 1)
    outcomes = [
        Outcome("every mutant is killed or proven equal", "\n".join(
            f"survived: {mutant.place}" for mutant in holes) or None),
        Outcome(f"under {TARGET_SECONDS} s a mutant", None if mean < TARGET_SECONDS else
                f"{mean:.3f} s on average", seconds=round(mean, 4)),
    ]
    rows = defaultdict(lambda: [0, 0, 0, 0])
    for mutant in found:
        row = rows[mutant.module]
        row[0] += 1
        row[1] += mutant.problem is not None
        row[2] += mutant.index in equal
        row[3] += mutant in holes
    table = Table("Mutants by module",
                  ("module", "mutants", "killed", "proven equal", "survived", "kill rate"),
                  tuple((name, *row, f"{row[1] / max(row[0] - row[2], 1):.1%}"
                         if row[0] > row[2] else "–") for name, row in sorted(rows.items())))
    by_step: dict[str, int] = defaultdict(int)
    for mutant in found:
        if mutant.problem is not None:
            by_step[re.sub(r"'.*'", "…", mutant.problem.partition(":")[0])] += 1
    steps = Table("Mutants by the step that found them", ("step", "mutants"),
                  tuple(sorted(by_step.items(), key=lambda item: -item[1])))
    return RungResult(
        rung="mutation", outcomes=tuple(outcomes),
        summary=f"{killed} of {len(found) - len(equal)} mutants killed, {len(equal)} more proven "
                f"equal, {len(holes)} survived; {1000 * mean:.0f} ms each",
        tables=(table, steps), seeds=(options.seed,),
        findings=tuple([Finding(mutant.place, "survived") for mutant in holes]
                       + [Finding(mutant.place, "proven equal") for mutant in alive
                          if mutant.index in equal]),
        tools={"verilator": verilator.version(), "yosys": importlib.metadata.version("pyosys")},
        seconds=round(time.monotonic() - started, 3),
        details={"mutants": len(found), "killed": killed, "equal": len(equal),
                 "survived": len(holes), "seconds_per_mutant": round(mean, 4)})


def _elsewhere(share: Share) -> list[Mutant]:
    from systolith.generators import registry
    from systolith.generators.core import elaborate

    template = registry.get(share.template)
    core = elaborate(template, template.config.parse(share.config), share.name)
    return campaign(core, share, lambda message: None)


def campaign(core: GeneratedCore, share: Share, progress: Progress) -> list[Mutant]:
    """Make all mutants of a core, and run those of one share.

    Raises
    ------
    SimulationError
        If the design fails the exercise with no mutant selected.
    """
    with TemporaryDirectory(prefix="systolith-") as place:
        folder = Path(place)
        files, mutants = build(core, folder, share.count, share.seed)
        progress(f"mutation: building {core.name} with {len(mutants)} mutants")
        library = verilator.build(files)
        exercise = Exercise(files, share.seed, share.frames)
        mine = [mutant for mutant in mutants[1:] if mutant.index % share.parts == share.part]
        progress(f"mutation: running {len(mine)} mutants of {core.name}")
        if problem := _try(files, library, exercise, mutants[0]).problem:
            raise SimulationError(f"the design itself fails: {problem}")
        required = {event for event in exercise.events if event.startswith(("flag ", GOES_ON))}
        return list(_run_all(files, library, exercise, mine, required))


def build(core: GeneratedCore, folder: Path, count: int, seed: int) -> tuple[Core, list[Mutant]]:
    """Write a core with all its mutants into ``folder``; the first mutant is no change."""
    write(core, folder)
    manifest = folder / f"{core.name}.json"
    files = Core.read(folder / f"{core.name}.v", manifest, core.model)
    tools.run("pyosys", [sys.executable, PROGRAM, core.name, "mutants.v", "mutants.txt",
                         str(count), str(seed), *_names(core)], cwd=folder)
    lines = (folder / "mutants.txt").read_text().splitlines()
    mutated = replace(files, sources=(folder / "mutants.v",), controls=((SELECT, SELECT_BITS),))
    return writable(mutated, folder), [Mutant(index, line) for index, line in enumerate(lines)]


def _names(core: GeneratedCore) -> list[str]:
    """Of the Verilog files; Yosys puts them into the names of cells, so they must not vary."""
    return [name for name in core.files if name.endswith(".v")]


def _try(files: Core, library: Path, exercise: Exercise, mutant: Mutant,
         required: Set[str] = frozenset()) -> Mutant:
    started = time.monotonic()
    with Simulator(files, library) as simulator:
        simulator.control(SELECT, mutant.index)
        simulator.reset()
        problem = exercise.first_problem(simulator, required)
    return replace(mutant, problem=problem, seconds=time.monotonic() - started)


def _run_all(files: Core, library: Path, exercise: Exercise, mutants: list[Mutant],
             required: Set[str]):
    """Try every mutant in a process of their own, which one that does not settle may end."""
    context = multiprocessing.get_context("fork")
    left = list(mutants)
    while left:
        receive, send = context.Pipe(duplex=False)
        process = context.Process(target=_serve,
                                  args=(send, files, library, exercise, left, required))
        process.start()
        send.close()
        try:
            while left and receive.poll(PATIENCE_SECONDS):
                yield receive.recv()
                left.pop(0)
        except EOFError:
            pass
        finally:
            process.kill()
            process.join()
            receive.close()
        if left:
            yield replace(left.pop(0), problem="simulation: it does not settle, or has no end")


def _serve(send, files, library, exercise, mutants, required) -> None:
    import os

    quiet = os.open(os.devnull, os.O_WRONLY)      # Verilator says why it stops
    os.dup2(quiet, 1)
    os.dup2(quiet, 2)
    for mutant in mutants:
        send.send(_try(files, library, exercise, mutant, required))


def prove(core: GeneratedCore, mutants: list[Mutant], progress: Progress) -> set[int]:
    """Indices of the mutants that are proven to compute what the design computes; see
    :mod:`systolith.signoff.prove_mutant`.

    Those of a module at once, in the module alone, whatever its inputs; where that fails, each
    alone. What is not proven there may be in all modules that the module is in, and so on up to
    the whole core.
    """
    with TemporaryDirectory(prefix="systolith-") as place:
        folder = Path(place)
        write(core, folder)

        def proven(group: list[Mutant], module: str) -> set[int]:
            if not group:
                return set()
            progress(f"mutation: are {len(group)} survivors equal to {module}? "
                     f"{group[0].place}{', …' if len(group) > 1 else ''}")
            (folder / "lines.txt").write_text("".join(f"{mutant.line}\n" for mutant in group))
            done = tools.run("pyosys", [sys.executable, PROOF, core.name, module, "lines.txt",
                                        *_names(core)], cwd=folder)
            if done.endswith("\nEQUAL\n"):
                return {mutant.index for mutant in group}
            if len(group) == 1:
                return set()
            parts = 2 if len(group) > SINGLY else len(group)
            return set().union(*(proven(group[part::parts], module) for part in range(parts)))

        def proven_around(group: list[Mutant], module: str) -> set[int]:
            found = proven(group, module)
            rest = [mutant for mutant in group if mutant.index not in found]
            if rest and around[module]:
                found |= set.intersection(*(proven_around(rest, name) for name in around[module]))
            return found

        around = _parents(core.verilog)
        return set().union(*(
            proven_around([mutant for mutant in mutants if mutant.module == module], module)
            for module in sorted({mutant.module for mutant in mutants})))


def _parents(verilog: str) -> dict[str, set[str]]:
    """Modules, and those that have instances of them."""
    bodies = dict(re.findall(r"^module (\w+) (.*?)^endmodule", verilog, re.M | re.S))
    return {name: {other for other, body in bodies.items()
                   if re.search(rf"^ +{name} u_\w+ \(", body, re.M)} for name in bodies}
