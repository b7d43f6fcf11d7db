"""Rung ``mutation``: the tests notice when the design is changed.

Yosys changes the design in many places, one at a time: a bit of a cell's port inverted, stuck, or
exchanged for its neighbour under a condition. All mutants are one design with an input that
selects among them, so that one build runs them all.
:class:`~systolith.sim.simulators.exercise.Exercise` must find each. What survives that is a hole in
the tests, unless it is proven to compute the same, or the proof of its part (:mod:`.formal`) fails
with it. Some compute the same only where their part is used as its proof assumes: the exercise must
then show that it is (:mod:`.surroundings`).
"""

import importlib.metadata
import multiprocessing
import re
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from systolith.generators.core import GeneratedCore, write
from systolith.signoff import surroundings
from systolith.signoff.judge import judging, source_names
from systolith.signoff.mutant import Mutant
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
TARGET_SECONDS = 0.1         # of the processor per mutant, on average
REPORT_EVERY = 20            # mutants
LATER_SECONDS = 1            # that later steps may take, or proofs come before them
FAST_SECONDS = 5             # for a first proof
PATIENCE_SECONDS = 120       # for one mutant, before its simulation counts as hung
ASSUMED = " in the surroundings that the specification of its module assumes"
PROGRAM = Path(__file__).with_name("write_mutants.py")

Search = Callable[[Simulator], str | None]   # for a problem with a core


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
        found = [judge.as_assumed(mutant) if mutant.alive else mutant for mutant in found]
        components = judge.components
    holes = [mutant for mutant in found if mutant.alive]
    equal = [mutant for mutant in found if mutant.equal]
    killed = len(found) - len(holes) - len(equal)
    mean = sum(mutant.seconds for mutant in found) / max(len(found), 1)
    outcomes = [
        Outcome("every mutant is killed or proven equal", "\n".join(
            f"survived: {mutant.place}" for mutant in holes) or None),
    ]
    for module in sorted({mutant.module for mutant in found if mutant.assumed}):
        progress(f"mutation: is {module} of {core.name} used as specified?")
        with TemporaryDirectory(prefix="systolith-") as place:
            outcomes.append(Outcome(
                f"{module} is used as its specification assumes",
                surroundings.problem(core, Path(place), module, components[module], options.seed,
                                     options.frames)))
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
        findings=tuple(([Finding("time", f"{mean:.3f} s a mutant, {TARGET_SECONDS} s are the aim")]
                        if mean > TARGET_SECONDS else [])
                       + [Finding(mutant.place, "survived") for mutant in holes]
                       + [Finding(mutant.place, "proven equal" + mutant.assumed * ASSUMED)
                          for mutant in equal]),
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
        for search in (exercise.quick_problem, exercise.counter_problem, exercise.further_problem,
                       exercise.later_problem):
            itself = _try(files, library, search, mutants[0])
            if itself.problem:
                raise SimulationError(f"the design itself fails: {itself.problem}")
        # Of the later steps, which came last.
        required = {event for event in exercise.events if event.startswith(("flag ", GOES_ON))}

        def later(simulator: Simulator) -> str | None:
            return exercise.later_problem(simulator, required)

        found = {mutant.index: mutant for mutant in mine}

        def search_for(search: Search, how: str) -> None:
            left = [mutant for mutant in found.values() if mutant.alive]
            for done, mutant in enumerate(_run_all(files, library, search, left)):
                if done % REPORT_EVERY == 0:
                    progress(f"mutation: {done} of {len(left)} mutants of {core.name} run{how}")
                found[mutant.index] = mutant

        def ask(question: Callable[[list[Mutant]], list[Mutant]]) -> None:
            found.update((mutant.index, mutant) for mutant in question(
                [mutant for mutant in found.values() if mutant.alive]))

        def search_counters() -> None:
            search_for(exercise.counter_problem, " through the steps of counters")

        def search_later() -> None:
            search_for(later, " through later steps")

        slow = itself.seconds > LATER_SECONDS
        search_for(exercise.quick_problem, "")
        if not slow:
            search_counters()
            search_later()
        with judging(core, progress) as judge:
            ask(partial(judge.against_specifications, solve=False))
            ask(partial(judge.same_in_modules, seconds=FAST_SECONDS, whole=False))
            if slow:
                search_counters()
            ask(judge.against_specifications)
            ask(judge.same_in_modules)
            ask(lambda mutants: [judge.in_parents(mutant) for mutant in mutants])
        if slow:
            search_later()
        search_for(exercise.further_problem, " for longer")
        return [found[mutant.index] for mutant in mine]


def build(core: GeneratedCore, folder: Path, count: int, seed: int) -> tuple[Core, list[Mutant]]:
    """Write a core with all its mutants into ``folder``; the first mutant is no change."""
    write(core, folder)
    manifest = folder / f"{core.name}.json"
    files = Core.read(folder / f"{core.name}.v", manifest, core.model)
    tools.run("pyosys", [sys.executable, PROGRAM, core.name, "mutants.v", "mutants.txt",
                         str(count), str(seed), *source_names(core)], cwd=folder)
    lines = (folder / "mutants.txt").read_text().splitlines()
    mutated = replace(files, sources=(folder / "mutants.v",), controls=((SELECT, SELECT_BITS),))
    return writable(mutated, folder), [Mutant(index, line) for index, line in enumerate(lines)]


def _try(files: Core, library: Path, search: Search, mutant: Mutant) -> Mutant:
    started = time.process_time()
    with Simulator(files, library) as simulator:
        simulator.control(SELECT, mutant.index)
        simulator.reset()
        problem = search(simulator)
    return replace(mutant, problem=problem,
                   seconds=mutant.seconds + time.process_time() - started)


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
