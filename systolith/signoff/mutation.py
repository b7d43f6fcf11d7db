"""Rung ``mutation``: the tests notice when the design is changed.

Yosys changes the design in many places, one at a time: a bit of a cell's port inverted, stuck, or
exchanged for its neighbour under a condition. All mutants are one design with an input that
selects among them, so that one build runs them all.
:class:`~systolith.sim.simulators.exercise.Exercise` must find each. What survives that is a hole in
the tests, unless it is proven to compute the same, or the proof of its part (:mod:`.formal`) fails
with it.
"""

import importlib.metadata
import multiprocessing
import re
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from amaranth.lib import wiring

from systolith.generators.core import GeneratedCore, write
from systolith.proofs import engine
from systolith.proofs.engine import Verdict
from systolith.proofs.registry import SPECIFICATIONS
from systolith.signoff import formal
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
PART = Path(__file__).with_name("mutate_part.py")
PART_CYCLES, PART_SECONDS = 30, 30       # in which the proof of a part must fail

Search = Callable[[Simulator], str | None]   # for a problem with a core


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
    equal : bool
        It is proven to compute what the design computes.
    seconds : float
        Of its simulation.
    """

    index: int
    line: str
    problem: str | None = None
    equal: bool = False
    seconds: float = 0.0

    @property
    def alive(self) -> bool:
        """Nothing is known that is wrong with it, nor that nothing is."""
        return self.problem is None and not self.equal

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
    with judging(core, progress) as judge:
        found = [judge.in_parents(mutant) if mutant.alive else mutant for mutant in found]
    holes = [mutant for mutant in found if mutant.alive]
    equal = [mutant for mutant in found if mutant.equal]
    killed = len(found) - len(holes) - len(equal)
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
        row[2] += mutant.equal
        row[3] += mutant.alive
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
                       + [Finding(mutant.place, "proven equal") for mutant in equal]),
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
        for search in (exercise.further_problem, exercise.first_problem):
            if problem := _try(files, library, search, mutants[0]).problem:
                raise SimulationError(f"the design itself fails: {problem}")
        required = {event for event in exercise.events if event.startswith(("flag ", GOES_ON))}

        def first(simulator: Simulator) -> str | None:
            return exercise.first_problem(simulator, required)

        found = list(_run_all(files, library, first, mine))
        with judging(core, progress) as judge:
            judged = judge.in_modules([mutant for mutant in found if mutant.problem is None])
        left = [mutant for mutant in judged if mutant.alive]
        progress(f"mutation: running {len(left)} mutants of {core.name} for longer")
        last = {mutant.index: mutant for mutant in (
            *judged, *_run_all(files, library, exercise.further_problem, left))}
        return [last.get(mutant.index, mutant) for mutant in found]


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


def _try(files: Core, library: Path, search: Search, mutant: Mutant) -> Mutant:
    started = time.monotonic()
    with Simulator(files, library) as simulator:
        simulator.control(SELECT, mutant.index)
        simulator.reset()
        problem = search(simulator)
    return replace(mutant, problem=problem,
                   seconds=mutant.seconds + time.monotonic() - started)


def _run_all(files: Core, library: Path, search: Search, mutants: list[Mutant]):
    """Try every mutant in a process of their own, which one that does not settle may end."""
    context = multiprocessing.get_context("fork")
    left = list(mutants)
    while left:
        receive, send = context.Pipe(duplex=False)
        process = context.Process(target=_serve,
                                  args=(send, files, library, search, left))
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


def _serve(send, files, library, search, mutants) -> None:
    import os

    quiet = os.open(os.devnull, os.O_WRONLY)      # Verilator says why it stops
    os.dup2(quiet, 1)
    os.dup2(quiet, 2)
    for mutant in mutants:
        send.send(_try(files, library, search, mutant))


@dataclass(frozen=True)
class Judge:
    """What proofs say about survivors; ``folder`` holds the core's files."""

    core: GeneratedCore
    folder: Path
    progress: Progress
    components: Mapping[str, wiring.Component]
    around: Mapping[str, Set[str]]

    def in_modules(self, mutants: Sequence[Mutant]) -> list[Mutant]:
        """Compare modules with mutants in them to those without, whatever their inputs, and to
        their specification where they have one."""
        found = []
        for module in sorted({mutant.module for mutant in mutants}):
            mine = [mutant for mutant in mutants if mutant.module == module]
            same = self._same(mine, module)
            rest = [mutant for mutant in mine if mutant.index not in same]
            wrong = self._refuted(rest, module) if rest else {}
            found += [replace(mutant, equal=mutant.index in same, problem=wrong.get(mutant.index))
                      for mutant in mine]
        return found

    def in_parents(self, mutant: Mutant) -> Mutant:
        """What is different in a module may be equal in all modules that it is in, and so on up
        to the whole core; or the specification of one of them finds it."""
        wrong: dict[int, str] = {}

        def same(module: str) -> bool:
            for name in sorted(self.around[module]):
                if not self._same([mutant], name):
                    wrong.update(self._refuted([mutant], name))
                    if wrong or not same(name):
                        return False
            return bool(self.around[module])

        equal = same(mutant.module)
        return replace(mutant, equal=equal, problem=wrong.get(mutant.index))

    def _same(self, mutants: Sequence[Mutant], module: str) -> set[int]:
        """Indices of those of which a proof says so: of all at once, or of each."""
        self.progress(f"mutation: are {len(mutants)} survivors equal to {module}? "
                      f"{mutants[0].place}{', …' if len(mutants) > 1 else ''}")
        lines = self.folder / "lines.txt"
        lines.write_text("".join(f"{mutant.line}\n" for mutant in mutants))
        said = tools.run("pyosys", [sys.executable, PROOF, self.core.name, module, lines.name,
                                    *_names(self.core)], cwd=self.folder)
        if said.endswith("\nEQUAL\n"):
            return {mutant.index for mutant in mutants}
        if len(mutants) == 1:
            return set()
        groups = 2 if len(mutants) > SINGLY else len(mutants)
        return set().union(*(self._same(mutants[part::groups], module) for part in range(groups)))

    def _refuted(self, mutants: Sequence[Mutant], module: str) -> dict[int, str]:
        """What the specification of a part finds wrong with mutants of it, by index."""
        component = self.components.get(module)
        specification = SPECIFICATIONS.get(type(component))
        if specification is None:
            return {}
        self.progress(f"mutation: does the proof of {module} fail with {len(mutants)} survivors?")

        def found(line: str) -> Verdict:
            tools.run("pyosys", [sys.executable, PART, self.core.name, module, "dut", "part.v",
                                 line, *_names(self.core)], cwd=self.folder)
            text = (self.folder / "part.v").read_text()
            harness = specification(component, lambda _: text)
            return engine.search(engine.circuit(harness.sources(), self.folder / "part"),
                                 PART_CYCLES, PART_SECONDS)

        if found("").status == "refuted":    # what it assumes does not hold for this size
            return {}
        return {mutant.index: f"proof of {type(component).__name__}: fails, in cycle "
                              f"{answer.depth}"
                for mutant in mutants if (answer := found(mutant.line)).status == "refuted"}


@contextmanager
def judging(core: GeneratedCore, progress: Progress) -> Iterator[Judge]:
    """A judge for mutants of a core."""
    with TemporaryDirectory(prefix="systolith-") as place:
        write(core, Path(place))
        yield Judge(core, Path(place), progress, formal.components(core), _parents(core.verilog))


def _parents(verilog: str) -> dict[str, set[str]]:
    """Modules, and those that have instances of them."""
    bodies = dict(re.findall(r"^module (\w+) (.*?)^endmodule", verilog, re.M | re.S))
    return {name: {other for other, body in bodies.items()
                   if re.search(rf"^ +{name} u_\w+ \(", body, re.M)} for name in bodies}
