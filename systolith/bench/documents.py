"""Figures as documents: a page and pictures for each topic, the headlines in the README."""

import os
from importlib import import_module
from pathlib import Path

import systolith
from systolith.bench import TOPICS, findings
from systolith.bench.results import Grid, Part, Plot, Table, cell, number

PAGES, PICTURES = Path("docs/figures"), Path("docs/images")
HEADLINES = "systolic"                              # the topic that the README quotes
START, END = "<!-- figures -->", "<!-- /figures -->"


def record(topic: str, parts: list[Part], root: Path, *, quick: bool = False) -> list[Path]:
    """Write what was measured into the documents of a checkout, and what a long search has found;
    ``quick`` says how it was measured.

    Returns
    -------
    list of Path
        What was written.

    Raises
    ------
    Error
        If ``root`` is not a checkout of the project.
    """
    readme = root / "README.md"
    text = readme.read_text() if readme.exists() else ""
    if START not in text or END not in text or not (root / PAGES).is_dir():
        raise systolith.Error(f"{root} is not a checkout of Systolith: figures go into its "
                              f"{PAGES}/ and README.md")
    written = []
    for part in parts:
        if isinstance(part, Plot):
            written.append(root / PICTURES / f"{part.name}.svg")
            save(part, written[-1])
    page = root / PAGES / f"{topic}.md"
    page.write_text(as_page(topic, parts, quick=quick))
    written += [page, *findings.keep(topic, import_module(f"systolith.bench.{topic}"), root)]
    if topic == HEADLINES:
        readme.write_text(text[:text.index(START)] + START + "\n\n" + as_headlines(parts) + "\n"
                          + text[text.index(END):])
        written.append(readme)
    return written


def as_page(topic: str, parts: list[Part], *, quick: bool = False) -> str:
    """The page of a topic."""
    command = f"systolith bench {topic}{' --quick' * quick} --record ."
    lines = [f"# Figures: {topic}", "", f"What is here: {TOPICS[topic]}.", "",
             f"Measured by `{command}` with version "
             f"{systolith.__version__}; {os.cpu_count()} processors, seconds depend on the "
             "machine.", ""]
    for part in parts:
        lines += [f"## {part.title}", "", *_body(part), ""]
        if part.note:
            lines += [part.note, ""]
    return "\n".join(lines)


def as_headlines(parts: list[Part]) -> str:
    """The figures that have a target, in one table; counts of cycles are for the page."""
    figures = tuple(figure for part in parts if isinstance(part, Table) for figure in part.figures
                    if figure.reached is not None and not figure.what.startswith("cycles"))
    return "\n".join([*_body(Table("", figures)), ""])


def _body(part: Part) -> list[str]:
    if isinstance(part, Plot):
        return [f"![{part.title}](../images/{part.name}.svg)"]
    if isinstance(part, Grid):
        return ["| " + " | ".join(part.columns) + " |",
                "|---|" + "---:|" * (len(part.columns) - 1),
                *("| " + " | ".join(map(cell, row)) + " |" for row in part.rows)]
    verdict = {True: " ✓", False: " **missed**", None: ""}
    return ["| measured | figure | target |", "|---|---:|---|",
            *(f"| {figure.what} | {number(figure.value)} {figure.unit} | "
              f"{figure.target}{verdict[figure.reached]} |" for figure in part.figures)]


def save(plot: Plot, path: Path) -> None:
    """Draw a picture, byte for byte the same for the same figures.

    Raises
    ------
    Error
        If Matplotlib is missing.
    """
    try:
        import matplotlib
    except ModuleNotFoundError:
        raise systolith.Error("pictures of figures need Matplotlib: pip install "
                              "'systolith[bench]'") from None
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    style = {"svg.hashsalt": plot.name, "svg.fonttype": "none", "font.size": 10,
             "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True,
             "grid.alpha": 0.3}
    with matplotlib.rc_context(style):
        figure = Figure(figsize=plot.size, layout="constrained")
        FigureCanvasSVG(figure)
        axes = figure.add_subplot()
        axes.set_title(plot.title, loc="left")
        plot.draw(axes)
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, format="svg", metadata={"Date": None})
