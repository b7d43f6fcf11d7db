"""Figures of the systolic core: cycles, generation, builds, simulated clock rates."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

import systolith
from systolith.bench.results import SEED, Figure, Progress, Table, at_least, at_most, same, timed
from systolith.generators import registry
from systolith.generators.core import elaborate
from systolith.generators.template import Template


def tables(progress: Progress, *, quick: bool) -> Iterator[Table]:
    """Measure everything, a table at a time; ``quick`` leaves out the large arrays."""
    yield _utilization(progress)
    yield _emission(progress)
    with _fresh_cache():
        sizes = (8, 16) if quick else (8, 16, 32, 64)
        builds, rates = _simulation(progress, sizes)
        yield builds
        yield rates
        yield _verification(progress)


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
            same(core(a=a, w=w)["c"], a @ w)
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
        core, elapsed = timed(lambda rows=rows, cols=cols: _generated(template, rows, cols))
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
    _, elapsed = timed(lambda: verilator.runtime(trace=False))
    builds = [Figure("runtime of Verilator, once per machine", elapsed, "s")]
    rates = []
    bounds = {16: 25, 32: 60, 64: 200}
    rng = np.random.default_rng(SEED)
    for size in sizes:
        progress(f"compiling {size} x {size}")
        core, elapsed = timed(
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
            results, seconds = timed(lambda core=core, a=a, w=w: core(a=a, w=w))
            same(results["c"], a @ w)
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
    report, elapsed = timed(lambda: _verify({}, lambda step: None, None))
    names = " and ".join(report.simulators)
    return Table("Verification", (
        at_most(f"verify of an unchanged 8 x 8 core under {names}", elapsed, "s", 5),))


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
