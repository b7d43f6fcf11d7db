"""A change of a design, and what is known about it."""

import re
from dataclasses import dataclass


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
    assumed : bool
        That is proven for surroundings of its module as the specification of that assumes them.
    seconds : float
        Of the processor, in its simulation.
    """

    index: int
    line: str
    problem: str | None = None
    equal: bool = False
    assumed: bool = False
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
