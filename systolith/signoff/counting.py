"""What Verilator counted: its coverage files, read and merged."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, order=True)
class Spot:
    """A thing that can happen in the text of a design.

    Attributes
    ----------
    kind : str
        ``line``, ``branch``, ``expr`` or ``toggle``.
    module : str
    line, column : int
        In the Verilog.
    what : str
        Verilator's comment: the signal's bit and direction, the branch, the values of a term.
    """

    kind: str
    module: str
    line: int
    column: int
    what: str

    def __str__(self) -> str:
        return f"{self.module}:{self.line}: {self.kind} {self.what}"


def read(path: Path) -> Counter[Spot]:
    """Counts of a ``coverage.dat``; instances of a module are added up."""
    counts: Counter[Spot] = Counter()
    for line in path.read_text("latin-1").splitlines():
        if not line.startswith("C '"):
            continue
        body, _, count = line[3:].rpartition("' ")
        values = dict(part.split("\x02", 1) for part in body.split("\x01") if "\x02" in part)
        kind, _, module = values.get("page", "/").partition("/")
        counts[Spot(kind.removeprefix("v_"), module, int(values.get("l", 0)),
                    int(values.get("n", 0)), values.get("o", ""))] += int(count)
    return counts


def merged(paths: Iterable[Path]) -> Counter[Spot]:
    """Counts of several files, added up; what was never counted stays with a zero."""
    total: Counter[Spot] = Counter()
    for path in paths:
        for spot, count in read(path).items():
            total[spot] += count
    return total
