"""What a measurement gives: figures with targets, tables, plots; and their text."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Progress = Callable[[str], None]
SEED = 1
VERDICT = {True: "reached", False: "MISSED", None: ""}


@dataclass(frozen=True)
class Figure:
    """One measured number.

    Attributes
    ----------
    what : str
        What was measured, with the core and the workload.
    value : float
    unit : str
    target : str
        What it should reach, empty if it is shown for comparison only.
    reached : bool or None
    """

    what: str
    value: float
    unit: str
    target: str = ""
    reached: bool | None = None


@dataclass(frozen=True)
class Table:
    """Figures that belong together, one a row."""

    title: str
    figures: tuple[Figure, ...]
    note: str = ""


@dataclass(frozen=True)
class Grid:
    """Figures of several things side by side.

    Attributes
    ----------
    columns : tuple of str
        Headings with units; that of the row names first.
    rows : tuple of tuples
        A name and its values; text as it is, None for what does not apply.
    note : str
        Conditions, and what the figures say.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]
    note: str = ""


@dataclass(frozen=True)
class Plot:
    """A picture of figures.

    Attributes
    ----------
    name : str
        File name of the picture, without its ending.
    draw : callable
        Draws into the axes of Matplotlib that it gets.
    size : tuple of float
        Width and height in inches.
    """

    title: str
    name: str
    draw: Callable[["Axes"], None]
    note: str = ""
    size: tuple[float, float] = (8, 5)


Part = Table | Grid | Plot


def at_least(what: str, value: float, unit: str, bound: float) -> Figure:
    """A figure that should not be lower than ``bound``."""
    return Figure(what, value, unit, f"at least {bound:g}", value >= bound)


def at_most(what: str, value: float, unit: str, bound: float) -> Figure:
    """A figure that should not be higher than ``bound``."""
    return Figure(what, value, unit, f"at most {bound:g}", value <= bound)


def missed(parts: list[Part]) -> bool:
    """Whether a figure did not reach its target."""
    return any(figure.reached is False for part in parts if isinstance(part, Table)
               for figure in part.figures)


def number(value: float) -> str:
    """A figure for people: three digits, or all of a count."""
    if value == int(value) or abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}" if abs(value) < 10 else f"{value:.1f}" if abs(value) < 99.95 \
        else f"{value:.0f}"


def cell(value: Any) -> str:
    """An entry of a grid for people."""
    if value is None:
        return "–"
    return value if isinstance(value, str) else number(value)


def as_dict(part: Part) -> dict[str, Any]:
    """For JSON."""
    if isinstance(part, Plot):
        return {"title": part.title, "plot": part.name, "note": part.note}
    if isinstance(part, Grid):
        return {"title": part.title, "columns": list(part.columns),
                "rows": [list(row) for row in part.rows], "note": part.note}
    return {"title": part.title, "figures": [vars(figure) for figure in part.figures],
            "note": part.note}


def timed(call: Callable[[], Any]) -> tuple[Any, float]:
    """What ``call`` returns, and the seconds it took."""
    started = time.perf_counter()
    result = call()
    return result, time.perf_counter() - started


def same(got: np.ndarray, want: np.ndarray) -> None:
    """Stop where a result is wrong: its cycles would not count."""
    if not np.array_equal(got, want):
        raise RuntimeError("a figure was measured on a wrong result")
