"""A proof of a component, and of its own worth: what is broken must be refuted."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from systolith.proofs import engine
from systolith.proofs.engine import Verdict
from systolith.proofs.harness import Edit, Harness

#: Gets a component, and a function that changes its Verilog.
Specification = Callable[[Any, Edit], Harness]

SECONDS = 120                # for one proof
COVER_DEPTH = 40             # cycles in which everything that should be possible must be seen


@dataclass(frozen=True)
class Proof:
    """Properties of one component at one size, proven without bound.

    Attributes
    ----------
    make : partial
        Makes the component.
    size : str
        What tells it from others of its class, in words.
    specification : callable
        Gets the component, and a function that changes Verilog; returns a harness.
    breaks : tuple of (str, str)
        Text of the component's Verilog, and what to put in its place: the proof must fail then.
    nightly : bool
        Takes more than a few seconds.
    """

    make: partial
    size: str
    specification: Specification
    breaks: tuple[tuple[str, str], ...] = ()
    nightly: bool = False

    @property
    def name(self) -> str:
        """Component and size."""
        return f"{self.part}, {self.size}"

    @property
    def part(self) -> str:
        """Name of the component's class."""
        return self.make.func.__name__

    def build(self, edit: Edit = lambda text: text) -> Harness:
        """The component as ``edit`` changes it, and what it owes."""
        return self.specification(self.make(), edit)


@dataclass(frozen=True)
class Answer:
    """What came of a proof.

    Attributes
    ----------
    proof : Proof
    verdict : Verdict
    checks : tuple of str
        What was to be proven.
    failed : tuple of str
        Which of them do not hold, where it was refuted.
    covered : Verdict
        Whether everything that should be possible is.
    """

    proof: Proof
    verdict: Verdict
    checks: tuple[str, ...]
    failed: tuple[str, ...]
    covered: Verdict

    @property
    def message(self) -> str | None:
        """What is wrong; None if all is proven."""
        if self.verdict.status == "refuted":
            return (f"does not hold: {', '.join(self.failed) or 'some of ' + str(self.checks)}, "
                    f"in cycle {self.verdict.depth}")
        if self.verdict.status != "proven":
            return f"not proven in {self.verdict.seconds:.0f} s"
        if self.covered.status != "refuted":
            return f"proven in vain: not everything is possible in {COVER_DEPTH} cycles"
        return None


def prove(proof: Proof, folder: Path, seconds: int = SECONDS) -> Answer:
    """Prove, and make sure that the proof is about something."""
    harness = proof.build()
    checks = harness.names
    verdict = engine.prove(harness.graph(folder), seconds)
    failed: tuple[str, ...] = ()
    if verdict.status == "refuted":
        failed = tuple(name for name in checks if engine.search(
            proof.build().graph(folder, (name,)), (verdict.depth or 0) + 1, seconds
        ).status == "refuted")
    covered = engine.search(proof.build().graph(folder, covers=True), COVER_DEPTH, seconds)
    return Answer(proof, verdict, checks, failed, covered)


def broken(proof: Proof, index: int, folder: Path, seconds: int = SECONDS) -> Verdict:
    """What the proof says of the component with break ``index``."""
    old, new = proof.breaks[index]

    def edit(text: str) -> str:
        if text.count(old) != 1:
            raise ValueError(f"{proof.name}: {old!r} occurs {text.count(old)} times in its "
                             "Verilog, not once")
        return text.replace(old, new)

    return engine.prove(proof.build(edit).graph(folder), seconds)
