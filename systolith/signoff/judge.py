"""Proofs about mutants that the exercise does not notice: do they change anything that matters?

A module with a mutant in it is compared to the module without (:mod:`.prove_mutant`), to the
specification that its part has (:mod:`systolith.proofs.registry`), and then so are the modules that
it is in. What is left may be equal in the surroundings that the specification assumes
(:mod:`.surroundings`).
"""

import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from amaranth.lib import wiring

from systolith.generators.core import GeneratedCore, write
from systolith.proofs import engine
from systolith.proofs.engine import Verdict
from systolith.proofs.registry import specification_of
from systolith.signoff import formal, surroundings
from systolith.signoff.mutant import Mutant
from systolith.signoff.rung import Progress
from systolith.sim.simulators import tools

SINGLY = 8                   # survivors, up to which each has a proof of its own
PROOF = Path(__file__).with_name("prove_mutant.py")
SECONDS = 60                 # that a proof of equality may take
SECONDS_OF_ALL = 300         # the same of the whole core, behind which nothing comes
PART_CYCLES, PART_SECONDS = 30, 20       # in which the proof of a part must fail
PART_SIMULATION_SECONDS = 3
#: A check is looked at alone where all have many latches, and it has few, or a third of them.
FEW_LATCHES, MANY_LATCHES, SHARE_OF_LATCHES = 200, 1000, 3

Checks = tuple[str, ...] | None          # names of some checks of a specification; all of them


@dataclass(frozen=True)
class Judge:
    """What proofs say about survivors; ``folder`` holds the core's files."""

    core: GeneratedCore
    folder: Path
    progress: Progress
    components: Mapping[str, wiring.Component]
    around: Mapping[str, Set[str]]

    def same_in_modules(self, mutants: Sequence[Mutant], seconds: float = SECONDS, *,
                        whole: bool = True) -> list[Mutant]:
        """Compare modules with mutants in them to those without, whatever their inputs; without
        ``whole`` not the core itself, of which alone the preparation may take a minute."""
        same = {index for module, mine in _by_module(mutants) if whole or module != self.core.name
                for index in self._same(mine, module, seconds)}
        return [replace(mutant, equal=mutant.index in same) for mutant in mutants]

    def against_specifications(self, mutants: Sequence[Mutant], *, solve: bool = True
                               ) -> list[Mutant]:
        """Hold modules with mutants in them to their specification, where they have one: with
        random inputs, and those that a solver finds."""
        wrong: dict[int, str] = {}
        for module, mine in _by_module(mutants):
            wrong |= self._refuted(mine, module, solve)
        return [replace(mutant, problem=wrong.get(mutant.index)) for mutant in mutants]

    def in_parents(self, mutant: Mutant) -> Mutant:
        """What is different in a module may be equal in all modules that it is in, and so on up
        to the whole core; or the specification of one of them finds it."""
        wrong: dict[int, str] = {}

        def same(module: str) -> bool:
            for name in sorted(self.around[module]):
                whole = name == self.core.name
                if not self._same([mutant], name, SECONDS_OF_ALL if whole else SECONDS):
                    wrong.update(self._refuted([mutant], name))
                    if wrong or not same(name):
                        return False
            return bool(self.around[module])

        equal = same(mutant.module)
        return replace(mutant, equal=equal, problem=wrong.get(mutant.index))

    def as_assumed(self, mutant: Mutant) -> Mutant:
        """What surroundings that are as assumed never bring to light."""
        self.progress(f"mutation: is {mutant.place} equal where its module is used as specified?")
        component = self.components.get(mutant.module)
        equal = surroundings.same(self.core, self.folder, source_names(self.core), mutant.module,
                                  component, mutant.line)
        return replace(mutant, equal=equal, assumed=equal)

    def _same(self, mutants: Sequence[Mutant], module: str, seconds: float = SECONDS
              ) -> set[int]:
        """Indices of those of which a proof says so: of all at once, or of each."""
        self.progress(f"mutation: are {len(mutants)} survivors equal to {module}? "
                      f"{mutants[0].place}{', …' if len(mutants) > 1 else ''}")
        lines = self.folder / "lines.txt"
        lines.write_text("".join(f"{mutant.line}\n" for mutant in mutants))
        said = tools.run("pyosys", [sys.executable, PROOF, self.core.name, module, lines.name,
                                    str(seconds), *source_names(self.core)], cwd=self.folder)
        if said.endswith("\nEQUAL\n"):
            return {mutant.index for mutant in mutants}
        if len(mutants) == 1:
            return set()
        groups = 2 if len(mutants) > SINGLY else len(mutants)
        return set().union(*(self._same(mutants[part::groups], module, seconds)
                             for part in range(groups)))

    def _refuted(self, mutants: Sequence[Mutant], module: str, solve: bool = True
                 ) -> dict[int, str]:
        """What the specification of a part finds wrong with mutants of it, by index."""
        component = self.components.get(module)
        specification = specification_of(component)
        if specification is None:
            return {}
        self.progress(f"mutation: does the proof of {module} fail with {len(mutants)} survivors?")

        def circuit(line: str, checks: Checks) -> Path:
            tools.run("pyosys", [sys.executable, surroundings.PART, self.core.name, module, "dut",
                                 "part.v", line, *source_names(self.core)], cwd=self.folder)
            text = (self.folder / "part.v").read_text()
            return specification(component, lambda _: text).graph(self.folder / "part", checks)

        def simulate(graph: Path) -> Verdict:
            return engine.simulate(graph, PART_SIMULATION_SECONDS)

        def search(graph: Path) -> Verdict:
            # What little there is of a counter may take long to come to its end.
            if engine.latches(graph) <= FEW_LATCHES:
                return engine.prove(graph, PART_SECONDS)
            return engine.search(graph, PART_CYCLES, PART_SECONDS)

        attempts: list[tuple[Callable[[Path], Verdict], Checks]] = [(simulate, None)]
        # All checks; where that is much, before them those alone that look at little: of a buffer,
        # not the data.
        size = engine.latches(circuit("", None)) if solve else 0
        if size > MANY_LATCHES:
            few = max(FEW_LATCHES, size // SHARE_OF_LATCHES)
            harness = specification(component, lambda text: text)
            names, _ = harness.names, harness.sources()  # Amaranth warns of what is not used
            attempts += [(search, (name,)) for name in names
                         if engine.latches(circuit("", (name,))) <= few]
        if solve:
            attempts.append((search, None))
        found: dict[int, str] = {}
        for attempt, checks in attempts:
            left = [mutant for mutant in mutants if mutant.index not in found]
            answers = {mutant.index: attempt(circuit(mutant.line, checks)) for mutant in left}
            wrong = {index: answer for index, answer in answers.items()
                     if answer.status == "refuted"}
            # Otherwise what it assumes does not hold for this size.
            if wrong and attempt(circuit("", checks)).status != "refuted":
                found |= {index: f"proof of {type(component).__name__}: fails in cycle "
                                 f"{answer.depth} ({answer.method})"
                          for index, answer in wrong.items()}
        return found


def _by_module(mutants: Sequence[Mutant]) -> Iterator[tuple[str, list[Mutant]]]:
    for module in sorted({mutant.module for mutant in mutants}):
        yield module, [mutant for mutant in mutants if mutant.module == module]


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


def source_names(core: GeneratedCore) -> list[str]:
    """Of the Verilog files; Yosys puts them into the names of cells, so they must not vary."""
    return [name for name in core.files if name.endswith(".v")]
