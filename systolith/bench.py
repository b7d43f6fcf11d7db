"""The project's own figures, measured here and now: what `systolith bench` prints."""

import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import systolith
from systolith.generators import registry
from systolith.generators.core import elaborate
from systolith.generators.template import Template

Progress = Callable[[str], None]
SEED = 1


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
    """Figures that belong together."""

    title: str
    figures: tuple[Figure, ...]


def at_least(what: str, value: float, unit: str, bound: float) -> Figure:
    """A figure that should not be lower than ``bound``."""
    return Figure(what, value, unit, f"at least {bound:g}", value >= bound)


def at_most(what: str, value: float, unit: str, bound: float) -> Figure:
    """A figure that should not be higher than ``bound``."""
    return Figure(what, value, unit, f"at most {bound:g}", value <= bound)


def run(progress: Progress, *, quick: bool = False) -> Iterator[Table]:
    """Measure everything, a table at a time.

    Parameters
    ----------
    progress : callable
        Gets a line on each step that begins.
    quick : bool
        Leave out what takes minutes: the large arrays.
    """
    from systolith import bench_sparse  # which builds its tables of this module's

    yield _utilization(progress)
    yield _emission(progress)
    yield from bench_sparse.tables(progress)
    with _fresh_cache():
        sizes = (8, 16) if quick else (8, 16, 32, 64)
        builds, rates = _simulation(progress, sizes)
        yield builds
        yield rates
        yield _verification(progress)


def _systolic(**config: Any) -> dict[str, Any]:
    return {"rows": 8, "cols": 8, **config}


def _utilization(progress: Progress) -> Table:
    """Cycles of whole products, from the counters of the RTL."""
    rng = np.random.default_rng(SEED)
    figures = []
    for size, shape, bound in ((16, (256, 256, 256), 0.99), (8, (1000, 77, 33), None)):
        for dataflow in ("ws", "os"):
            progress(f"running {shape[0]} x {shape[1]} x {shape[2]} on {size} x {size}, {dataflow}")
            core = systolith.load("systolic", rows=size, cols=size, dataflow=dataflow)
            m, k, n = shape
            a = rng.integers(-128, 128, (m, k))
            w = rng.integers(-128, 128, (k, n))
            _same(core(a=a, w=w)["c"], a @ w)
            measured = core.last.counters["cycles_busy"]
            golden = systolith.load("systolic", rows=size, cols=size, dataflow=dataflow,
                                    backend="golden")
            golden(a=a, w=w)
            what = f"PE utilization, {dataflow}, {m} x {k} x {n} int8 on {size} x {size}"
            share = m * n * k / (size * size * measured)
            limit = _shape_limit(core.config, m, k, n)
            figures.append(at_least(what, 100 * share, "%", 100 * bound) if bound else
                           Figure(what, 100 * share, "%", f"the shape allows {100 * limit:.1f}"))
            figures.append(Figure(f"cycles, {dataflow}, the same: RTL counter", measured, "cycles",
                                  f"cycle model says {golden.last.cycles:,}",
                                  measured == golden.last.cycles == core.last.cycles))
    return Table("Utilization, from the counters of the simulated RTL", tuple(figures))


def _shape_limit(config: Any, m: int, k: int, n: int) -> float:
    """Utilization if there were no pipeline to fill: what padding to whole tiles leaves."""
    def padded(size: int, tile: int) -> int:
        return -(-size // tile) * tile

    if config.dataflow == "ws":
        return m * k * n / (m * padded(k, config.rows) * padded(n, config.cols))
    return m * k * n / (padded(m, config.rows) * k * padded(n, config.cols))


def _emission(progress: Progress) -> Table:
    template = registry.get("systolic")
    figures = []
    for rows, cols, seconds, kilobytes in ((64, 64, 3, 90), (256, 256, 10, 250),
                                           (251, 239, 10, 250)):
        progress(f"generating {rows} x {cols}")
        core, elapsed = _timed(lambda rows=rows, cols=cols: _generated(template, rows, cols))
        name = f"{rows} x {cols} core"
        figures += [
            at_most(f"{name}: time to generate", elapsed, "s", seconds),
            at_most(f"{name}: Verilog", len(core.verilog) / 1000, "kB", kilobytes),
            at_most(f"{name}: distinct modules", len(core.manifest["modules"]), "modules", 80),
        ]
    return Table("Generation", tuple(figures))


def _generated(template: Template, rows: int, cols: int):
    return elaborate(template, template.config.parse({"rows": rows, "cols": cols}), "core")


def _simulation(progress: Progress, sizes: tuple[int, ...]) -> tuple[Table, Table]:
    """Builds of compiled models with only the runtime in the cache, and simulated clock rates."""
    from systolith.sim.simulators import verilator

    progress("compiling the runtime of Verilator")
    _, elapsed = _timed(lambda: verilator.runtime(trace=False))
    builds = [Figure("runtime of Verilator, once per machine", elapsed, "s")]
    rates = []
    bounds = {16: 25, 32: 60, 64: 200}
    rng = np.random.default_rng(SEED)
    for size in sizes:
        progress(f"compiling {size} x {size}")
        core, elapsed = _timed(
            lambda size=size: systolith.load("systolic", rows=size, cols=size))
        what = f"compiled model of {size} x {size}"
        builds.append(at_most(what, elapsed, "s", bounds[size]) if size in bounds
                      else Figure(what, elapsed, "s"))
        if size > 32:
            continue
        a = rng.integers(-128, 128, (512, 4 * size))
        w = rng.integers(-128, 128, (4 * size, 4 * size))
        fast, elapsed = 0, 0.0
        while elapsed < 1:
            results, seconds = _timed(lambda core=core, a=a, w=w: core(a=a, w=w))
            _same(results["c"], a @ w)
            fast, elapsed = fast + core.last.cycles, elapsed + seconds
        progress(f"cocotb on {size} x {size}")
        slow = _cocotb_rate(size, progress)
        rates += [
            Figure(f"sim, {size} x {size}", fast / elapsed / 1000, "kHz"),
            Figure(f"cocotb, {size} x {size}", slow / 1000, "kHz"),
        ]
        ratio = fast / elapsed / slow
        what = f"sim over cocotb, {size} x {size}"
        rates.append(at_least(what, ratio, "times", 10) if size == 16
                     else Figure(what, ratio, "times"))
    return (Table("Building compiled models", tuple(builds)),
            Table("Simulated clock, whole arrays in Python to whole arrays", tuple(rates)))


def _cocotb_rate(size: int, progress: Progress) -> float:
    """Clock cycles per second of the regression's run without stalls."""
    report = _verify({"rows": size, "cols": size}, progress)
    check = next(check for check in report.checks if check.name == "without_stalls")
    return check.cycles / check.seconds


def _verify(config: dict[str, Any], progress: Progress, simulator: str | None = "verilator"):
    from systolith import simulation

    template = registry.get("systolic")
    core = elaborate(template, template.config.parse(config), "core")
    with tempfile.TemporaryDirectory() as folder:
        report = simulation.verify(core, simulator=simulator, seed=SEED, frames=None, waves=False,
                                   directory=Path(folder), progress=progress)
    if not report.passed:
        raise RuntimeError(f"verify failed: {report.failures[0].message}")
    return report


def _verification(progress: Progress) -> Table:
    _verify({}, progress, None)
    progress("verify of the same core again")
    report, elapsed = _timed(lambda: _verify({}, lambda step: None, None))
    names = " and ".join(report.simulators)
    return Table("Verification", (
        at_most(f"verify of an unchanged 8 x 8 core under {names}", elapsed, "s", 5),))


def _timed(call: Callable[[], Any]) -> tuple[Any, float]:
    started = time.perf_counter()
    result = call()
    return result, time.perf_counter() - started


def _same(got: np.ndarray, want: np.ndarray) -> None:
    if not np.array_equal(got, want):
        raise RuntimeError("a figure was measured on a wrong result")


@contextmanager
def _fresh_cache() -> Iterator[None]:
    """Build everything anew, without touching the user's cache."""
    before = os.environ.get("SYSTOLITH_CACHE")
    with tempfile.TemporaryDirectory(prefix="systolith-bench-") as folder:
        os.environ["SYSTOLITH_CACHE"] = folder
        try:
            yield
        finally:
            if before is None:
                del os.environ["SYSTOLITH_CACHE"]
            else:
                os.environ["SYSTOLITH_CACHE"] = before


def as_markdown(tables: list[Table]) -> str:
    """The tables for a document."""
    lines = []
    for table in tables:
        lines += [f"### {table.title}", "", "| measured | figure | target |", "|---|---:|---|"]
        for figure in table.figures:
            verdict = {True: " ✓", False: " **missed**", None: ""}[figure.reached]
            lines.append(f"| {figure.what} | {number(figure.value)} {figure.unit} "
                         f"| {figure.target}{verdict} |")
        lines.append("")
    return "\n".join(lines)


def number(value: float) -> str:
    """A figure for people: three digits, or all of a count."""
    if value == int(value) or abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}" if abs(value) < 10 else f"{value:.1f}" if abs(value) < 99.95 \
        else f"{value:.0f}"


def record(tables: list[Table], root: Path) -> list[Path]:
    """Write the figures into ``docs/figures.md`` and the README of a checkout.

    Raises
    ------
    Error
        If ``root`` is not a checkout of the project.
    """
    page, readme = root / "docs" / "figures.md", root / "README.md"
    start, end = "<!-- figures -->", "<!-- /figures -->"
    text = readme.read_text() if readme.exists() else ""
    if start not in text or end not in text or not page.parent.is_dir():
        raise systolith.Error(f"{root} is not a checkout of Systolith: figures go into its "
                              "docs/figures.md and README.md")
    body = as_markdown(tables)
    machine = f"{os.cpu_count()} processors, Python simulation host; seconds depend on the machine."
    page.write_text("# Figures\n\nMeasured by `systolith bench --record .` (`make bench`) with "
                    f"version {systolith.__version__}; {machine}\n\n{body}")
    headlines = [figure for table in tables for figure in table.figures
                 if figure.reached is not None and not figure.what.startswith("cycles")]
    short = as_markdown([Table("", tuple(headlines))]).partition("\n\n")[2]
    readme.write_text(text[:text.index(start)] + start + "\n\n" + short + "\n"
                      + text[text.index(end):])
    return [page, readme]
