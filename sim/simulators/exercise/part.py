"""What the parts of the exercise share: a core's cases, and how a run of one is checked."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from systolith.sim.cases import Case, mismatch
from systolith.sim.frames import Beats
from systolith.sim.model import Job
from systolith.sim.registers import RegisterModel
from systolith.sim.simulators.core import Core
from systolith.sim.simulators.harness import PATIENCE, Result, Simulator

SETTLE = 64                  # cycles beyond a case's own until nothing more happens
WAY = 16                     # cycles, at most, from where a flag may be seen to its register


class ProblemError(Exception):
    """The core does something else than its models."""


@dataclass(frozen=True)
class Step:
    """A piece of the exercise; ``run`` raises :class:`ProblemError` or
    :class:`~systolith.sim.simulators.errors.SimulationError`."""

    name: str
    run: Callable[[Simulator], None]


def equal(what: str, got: object, want: object) -> None:
    """Raise a :class:`ProblemError` that names ``what`` unless the two are equal."""
    if got != want:
        raise ProblemError(f"{what}: {got}, expected {want}")


@dataclass
class Part:
    """Steps about one side of a core.

    Attributes
    ----------
    core : Core
    seed : int
        Of everything random.
    cases : list of Case
        Smallest first.
    events : set of str
        What has happened so far that no case tells by itself; all parts add to the same set.
    """

    core: Core
    seed: int
    cases: list[Case]
    events: set[str]

    def check(self, case: Case, result: Result, *, stalled: bool) -> None:
        """Values, flags and counters of a run; without pauses, its cycles too."""
        for stream in case.expected:
            if message := mismatch(self.core.model, self.core.config, case, stream,
                                   result.beats[stream], result.beat_cycles[stream]):
                raise ProblemError(message)
        label = case.workload.label
        equal(f"{label!r}: error flags", result.flags, case.flags)
        self.raised(result.flags)
        if not stalled:
            equal(f"{label!r}: cycles", result.cycles, case.cycles)
        equal(f"{label!r}: counter frames", result.counters["frames"], case.frames)
        busy = result.counters["cycles_busy"]
        if not stalled:
            equal(f"{label!r}: counter cycles_busy", busy, result.cycles)
            equal(f"{label!r}: counter stalled_output", result.counters["stalled_output"], 0)
            waits = self.core.model.stalled_input(self.core.config, case.workload)
            if waits is not None:
                equal(f"{label!r}: counter stalled_input", result.counters["stalled_input"], waits)
        elif busy > result.cycles:   # it rests where a source pauses between frames
            raise ProblemError(f"{label!r}: counter cycles_busy is {busy} after {result.cycles} "
                               "cycles")

    def is_as_new(self, simulator: Simulator) -> None:
        """Registers hold what a reset gives them."""
        equal("status after a reset", simulator.read("status"), 0)
        for name, register in self.core.registers.items():
            if register.access != "wo":
                want = RegisterModel([register]).read(register.offset)[1]
                equal(f"{name} after a reset", simulator.read(name), want)

    def cut_off(self, simulator: Simulator, job: Job, flag: int) -> None:
        """Reset a job in each of the cycles in which a flag that it raises may be on its way."""
        for cycles in self._on_its_way(simulator, job, flag):
            simulator.prepare(job)
            simulator.begin(job)
            simulator.go(cycles)
            simulator.reset(1)
            self.is_as_new(simulator)

    def _on_its_way(self, simulator: Simulator, job: Job, flag: int) -> range:
        """Cycles of a job after which a flag is on its way to its register."""
        simulator.prepare(job)
        simulator.begin(job)
        begun = not_yet = simulator.cycle
        while True:
            asked = simulator.cycle
            if simulator.read("errors") & flag:
                break
            if asked > begun + PATIENCE:
                raise ProblemError(f"flag {flag:#b} is not raised as before")
            not_yet = asked
        told = simulator.cycle
        simulator.reset()
        return range(max(1, not_yet - begun - WAY), told - begun + 1)

    def raised(self, flags: int, how: str = "raised") -> None:
        """Take note of error flags, and of how it came to them."""
        names = [name for bit, (name, _) in enumerate(self.core.config.flags) if flags >> bit & 1]
        self.events |= {f"flag {name} {what}" for name in names for what in ("raised", how)}

    def patience(self, *cases: Case) -> int:
        """Cycles without a beat after which runs of these count as hung."""
        return 500 + 2 * sum(case.cycles for case in cases)

    def small_case(self) -> Case:
        """The smallest that takes some cycles and whose first frames are longer than a beat."""
        long = [case for case in self.cases if case.cycles >= 12]
        open_ended = [case for case in long if self.stays_open(case)]
        return (open_ended or long or self.cases[-1:])[0]

    def stays_open(self, case: Case) -> bool:
        """Whether the first beat of every input leaves a frame half received."""
        return all(len(beats) and not beats.last[0] for beats in case.job.inputs.values())


def joined(core: Core, cases: list[Case]) -> Job:
    """Cases of the same settings, one right after the other."""
    job = cases[0].job
    return replace(
        job,
        inputs={stream.name: Beats.join([case.job.inputs[stream.name] for case in cases],
                                        stream.lanes) for stream in core.inputs},
        outputs={stream.name: sum(case.job.outputs[stream.name] for case in cases)
                 for stream in core.outputs})
