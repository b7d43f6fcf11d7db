"""A regression that runs in milliseconds: a compiled core against every model there is of it.

Values, flags and cycles against the template's golden and cycle model, with and without pauses; the
register bank against :class:`~systolith.sim.registers.RegisterModel`; counters against what they
count. Coverage and mutation are measured with it. Its parts, each with steps of its own:

- :mod:`.traffic`: well-formed frames;
- :mod:`.malformed`: frames and settings that no driver makes;
- :mod:`.registers` and :mod:`.counters`.
"""

from collections.abc import Iterable, Iterator, Set
from functools import cached_property

import numpy as np

from systolith.sim.cases import Case, draw, work_out
from systolith.sim.simulators.core import Core
from systolith.sim.simulators.errors import SimulationError
from systolith.sim.simulators.exercise.counters import Counters
from systolith.sim.simulators.exercise.malformed import ANY_BITS, Malformed
from systolith.sim.simulators.exercise.part import ProblemError, Step
from systolith.sim.simulators.exercise.registers import Registers
from systolith.sim.simulators.exercise.traffic import PATTERNS, SMALL, Traffic
from systolith.sim.simulators.harness import Simulator

MOST_BEATS = 5_000           # of a case: larger ones take too long to run thousands of times
MOST_BEATS_ONCE = 20_000     # of one that is run once
MORE_BEATS = 60_000          # of further random cases, for what is still unnoticed after all steps


class Exercise:
    """Steps for one core; the same in every run, whatever the core does.

    Parameters
    ----------
    core : Core
    seed : int
        Of workloads, pauses, and register accesses.
    frames : int, optional
        As in :func:`systolith.sim.cases.draw`.

    Attributes
    ----------
    cases : list of Case
        Smallest first.
    long : list of Case
        Of more than :data:`MOST_BEATS` beats; without those of more than :data:`MOST_BEATS_ONCE`.
    events : set of str
        What has happened in the steps so far that no case tells by itself.
    """

    #: What can be among the events, whatever the core; flags come from its config.
    EVENTS = (*(f"pauses: {name}" for name in PATTERNS), "frames back to back",
              "a reset in a frame", "frames of wrong lengths", ANY_BITS, "frames without end",
              "registers read in traffic", "counters carry into their high word", "counters wrap")

    def __init__(self, core: Core, seed: int, frames: int | None = None):
        self.core, self.seed = core, seed
        drawn = sorted(draw(core.model, core.config, seed, frames), key=lambda case: case.beats)
        self.cases = [case for case in drawn if case.beats <= MOST_BEATS] or drawn[:1]
        self.long = [case for case in drawn[len(self.cases):] if case.beats <= MOST_BEATS_ONCE]
        self.events: set[str] = set()

    def first_steps(self) -> Iterator[Step]:
        """A tenth of the time of all steps, and most of what they find."""
        shared = self.core, self.seed, self.cases, self.events
        traffic, registers = Traffic(*shared), Registers(*shared)
        small, large = self.cases[:SMALL], self.cases[SMALL:]
        yield from map(traffic.plain, small)
        yield Step("registers", registers.alone)
        yield Step("overlapping accesses", registers.overlapping)
        yield from map(traffic.plain, reversed(large))

    def counter_steps(self) -> Iterator[Step]:
        """The next tenth, and most of what is left."""
        counters = Counters(self.core, self.seed, self.cases, self.events)
        yield Step("counters", counters.counts)
        yield Step("rates", counters.rates)

    def later_steps(self) -> Iterator[Step]:
        """The others, those that find most for their time first."""
        shared = self.core, self.seed, self.cases, self.events
        traffic, malformed = Traffic(*shared), Malformed(*shared)
        yield Step("ignored elements", traffic.ignored)
        yield from traffic.stalled()
        yield Step("late beats", traffic.late_beats)
        yield Step("back to back", traffic.back_to_back)
        yield Step("filled up", traffic.filled_up)
        yield Step("registers in traffic", Registers(*shared).in_traffic)
        yield Step("resets in frames", traffic.resets)
        yield Step("right after resets", traffic.after_resets)
        yield Step("bad traffic", malformed.bad_traffic)
        yield Step("any bits", malformed.any_bits)
        yield Step("short frames", malformed.short_frames)
        yield Step("long frames", malformed.long_frames)
        yield Step("unlike frames", malformed.unlike_frames)
        yield Step("resets in wrong frames", malformed.resets)
        yield Step("going on", malformed.going_on)
        yield Step("endless frames", malformed.endless_frames)
        yield Step("wild settings", malformed.wild_settings)
        yield Step("wild users", malformed.wild_users)
        yield Step("refused", malformed.refused)
        yield from map(traffic.plain, self.long)

    def steps(self) -> Iterator[Step]:
        """All steps."""
        yield from self.first_steps()
        yield from self.counter_steps()
        yield from self.later_steps()

    def quick_problem(self, simulator: Simulator) -> str | None:
        """Run :meth:`first_steps` up to the first that fails; says which and how."""
        return _first_problem(self.first_steps(), simulator)

    def counter_problem(self, simulator: Simulator) -> str | None:
        """The same of :meth:`counter_steps`."""
        return _first_problem(self.counter_steps(), simulator)

    def later_problem(self, simulator: Simulator, required: Set[str] = frozenset()
                      ) -> str | None:
        """The same of :meth:`later_steps`.

        Fails, too, if one of the events ``required`` has not happened in the end.
        """
        return self._problem(self.later_steps(), simulator, required)

    def first_problem(self, simulator: Simulator, required: Set[str] = frozenset()
                      ) -> str | None:
        """The same of all steps."""
        return self._problem(self.steps(), simulator, required)

    def _problem(self, steps: Iterable[Step], simulator: Simulator, required: Set[str]
                 ) -> str | None:
        self.events.clear()
        if problem := _first_problem(steps, simulator):
            return problem
        if missing := sorted(required - self.events):
            return f"events: {', '.join(missing)}: never"
        return None

    def further_problem(self, simulator: Simulator) -> str | None:
        """Run further random cases of :data:`MORE_BEATS` beats together, without pauses.

        Lowest bits of what is rounded away show in one result of thousands.
        """
        traffic = Traffic(self.core, self.seed, self._further, self.events)
        return _first_problem(map(traffic.plain, self._further), simulator)

    @cached_property
    def _further(self) -> list[Case]:
        cases, left = [], MORE_BEATS
        rng = np.random.default_rng((self.seed, MORE_BEATS))
        for workload in self.core.model.stimulus(self.core.config, rng):
            if not workload.corner:
                case = work_out(self.core.model, self.core.config, workload)
                if case.beats <= MOST_BEATS:
                    cases.append(case)
                left -= case.beats
                if left <= 0:
                    break
        return cases


def _first_problem(steps: Iterable[Step], simulator: Simulator) -> str | None:
    for step in steps:
        try:
            step.run(simulator)
        except (ProblemError, SimulationError) as problem:
            return f"{step.name}: {problem}"
    return None
