"""What a rung of the verification ladder is.

A rung is a module of this package with a function ::

    def run(core: GeneratedCore, options: Options, progress: Progress) -> RungResult

and a line in :data:`systolith.signoff.ladder.RUNGS`. It proves or measures one thing about a core
that is given as text, for any template, and never needs to know which. ``verify --level``,
``signoff``, the page, the JUnit file and the documentation's table follow from the registration.

- A check that fails is an :class:`Outcome` with a message, never an exception. Exceptions are for
  tools that are missing or broken (:class:`~systolith.sim.simulators.errors.ToolError`) and for
  requests that are wrong (:class:`~systolith.hdl.errors.Error`).
- A check that was not run is an outcome with ``skipped`` and the reason; nothing is left out
  silently.
- Figures go to tables; places that someone should look at (holes, survivors, what is not proven) to
  findings. A finding does not fail a rung; whatever fails it is an outcome too.
- Files go to ``options.directory``, which may not exist yet, under names that start with the
  rung's, and are listed in ``files``. Nothing is written elsewhere.
- The same arguments give the same result, but for times. Random choices come from ``options.seed``.
- Work that splits into many pieces goes through :func:`systolith.signoff.spread.spread`, which
  honours ``options.jobs`` and ``options.scheduler``.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from systolith.generators.core import GeneratedCore

Progress = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Options:
    """What the command line says about a run.

    Attributes
    ----------
    directory : Path
        Where the files of a rung go.
    seed : int
        Of everything random.
    repeats : int
        Seeds to run where a rung repeats itself: ``seed``, ``seed + 1``, …
    count : int or None
        Mutants, configurations, upsets or whatever else a rung counts; its own default if None.
    jobs : int
        Processes on this machine.
    scheduler : str or None
        Address of a Dask scheduler, whose workers take the work instead.
    simulator, frames, waves
        As in :func:`systolith.sim.simulators.regression.verify`.
    """

    directory: Path
    seed: int = 1
    repeats: int = 1
    count: int | None = None
    jobs: int = 1
    scheduler: str | None = None
    simulator: str | None = None
    frames: int | None = None
    waves: bool = False


@dataclass(frozen=True)
class Outcome:
    """One check: passed, unless it has a message of failure or a reason why it was skipped."""

    name: str
    message: str | None = None
    skipped: str | None = None
    seconds: float = 0.0


@dataclass(frozen=True)
class Table:
    """Figures; cells are strings or numbers."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str | int | float, ...], ...]


@dataclass(frozen=True)
class Finding:
    """A place that someone should look at, and why it is as it is."""

    where: str
    text: str


@dataclass(frozen=True, kw_only=True)
class RungResult:
    """What a rung found.

    Attributes
    ----------
    rung : str
    outcomes : tuple of Outcome
        The rung passed if none of them failed and not all were skipped.
    tables, findings
        For people; see :mod:`systolith.signoff.rung`.
    summary : str
        The result in a few words: ``"214 of 214 mutants killed"``.
    seeds : tuple of int
    tools : mapping
        Version of each tool that ran, by name.
    seconds : float
    files : tuple of Path
        Written into ``options.directory``.
    details : mapping
        More for machines, JSON-able; ``--json`` prints its entries beside the others.
    """

    rung: str
    outcomes: tuple[Outcome, ...]
    summary: str = ""
    tables: tuple[Table, ...] = ()
    findings: tuple[Finding, ...] = ()
    seeds: tuple[int, ...] = ()
    tools: Mapping[str, str] = field(default_factory=dict)
    seconds: float = 0.0
    files: tuple[Path, ...] = ()
    details: Mapping[str, Any] = field(default_factory=dict)

    @property
    def failures(self) -> tuple[Outcome, ...]:
        return tuple(outcome for outcome in self.outcomes if outcome.message is not None)

    @property
    def status(self) -> str:
        """``passed``, ``failed`` or ``skipped``."""
        if self.failures:
            return "failed"
        skipped = all(outcome.skipped is not None for outcome in self.outcomes)
        return "skipped" if skipped else "passed"

    @property
    def passed(self) -> bool:
        return not self.failures

    @property
    def closing(self) -> str:
        """The summary, and the seeds that give it again."""
        if not self.seeds:
            return self.summary
        plural = "s" * (len(self.seeds) > 1)
        return f"{self.summary}, seed{plural} {', '.join(map(str, self.seeds))}"

    def as_dict(self) -> dict[str, Any]:
        """JSON-able."""
        shown = asdict(self) | {"files": [str(path) for path in self.files]}
        return {**shown.pop("details"), **shown, "status": self.status, "passed": self.passed}


@dataclass(frozen=True)
class Rung:
    """An entry of the ladder.

    Attributes
    ----------
    name : str
        Of ``verify --level``.
    summary : str
        What it proves, in one line.
    module : str
        Of this package, with the function ``run``; imported when it is needed.
    signoff : bool
        Whether ``signoff`` runs it by default.
    """

    name: str
    summary: str
    module: str
    signoff: bool = True

    def run(self, core: "GeneratedCore", options: Options, progress: Progress) -> RungResult:
        """Run the rung; see :mod:`systolith.signoff.rung`."""
        return import_module(f"systolith.signoff.{self.module}").run(core, options, progress)
