"""What every test can use, and the closing list of what was verified."""

import sys
from collections import Counter, defaultdict
from pathlib import Path

import hypothesis
import numpy as np
import pytest
from amaranth.hdl import Fragment
from amaranth.lib.wiring import Out
from amaranth.sim import Simulator
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parent))             # for what tests share

import compiled

# How long an example takes depends on what else the machine does.
hypothesis.settings.register_profile("systolith", deadline=None)
hypothesis.settings.load_profile("systolith")

VERIFIED = "verified"


@pytest.fixture
def verified(record_property):
    """Report agreement for the closing list: call it after the comparison has passed.

    ``verified(template, config, simulator, workloads=1, cycles=0)`` says that so many workloads of
    a configuration, given by a short label, gave the golden model's values on a simulator.
    It counts only if the test passes. Reports of all processes are added up.
    """
    def record(template: str, config: str, simulator: str, workloads: int = 1,
               cycles: int = 0) -> None:
        record_property(VERIFIED, [template, config, simulator, workloads, cycles])
    return record


@pytest.fixture
def evaluate():
    """Run an arithmetic component in Amaranth's simulator; see :func:`_evaluate`."""
    return _evaluate


@pytest.fixture
def evaluate_compiled():
    """As ``evaluate``, for millions of cases: see :func:`compiled.evaluate`."""
    return compiled.evaluate


def _evaluate(component, **inputs):
    """Outputs of ``component`` for arrays of inputs, one element per evaluation or cycle.

    Inputs are integers; every output comes back as an integer array (of objects where int64 is too
    narrow), shifted by the component's latency.
    """
    ports = {name: getattr(component, name) for name in inputs}
    members = component.signature.members.items()
    outputs = {name: getattr(component, name) for name, member in members if member.flow == Out}
    columns = [np.asarray(values).tolist() for values in inputs.values()]
    rows = list(zip(*columns, strict=True))
    latency = component.latency
    seen = []

    async def combinational(ctx):
        for row in rows:
            for port, value in zip(ports.values(), row, strict=True):
                ctx.set(port, value)
            seen.append([ctx.get(output) for output in outputs.values()])

    async def clocked(ctx):
        for row in rows + rows[-1:] * (latency - 1):
            for port, value in zip(ports.values(), row, strict=True):
                ctx.set(port, value)
            await ctx.tick()
            seen.append([ctx.get(output) for output in outputs.values()])

    simulator = Simulator(Fragment.get(component, None))
    if latency:
        simulator.add_clock(1e-6)
    simulator.add_testbench(clocked if latency else combinational)
    simulator.run()
    columns = zip(*seen[max(latency - 1, 0):], strict=True)
    return {name: np.array(column) for name, column in zip(outputs, columns, strict=True)}


def pytest_terminal_summary(terminalreporter):
    workloads, cycles = defaultdict(Counter), Counter()
    for report in terminalreporter.getreports("passed"):
        for name, value in report.user_properties:
            if name == VERIFIED and report.when == "call":
                template, config, simulator, count, measured = value
                workloads[template, config][simulator] += count
                cycles[simulator] += measured
    if not workloads:
        return
    simulators = sorted({name for counts in workloads.values() for name in counts})
    table = Table("template", "configuration", title="workloads equal to the golden model")
    for simulator in simulators:
        table.add_column(simulator, justify="right")
    for (template, config), counts in sorted(workloads.items()):
        table.add_row(template, config, *(f"{counts[name]:,}" if name in counts else "–"
                                          for name in simulators))
    table.add_section()
    table.add_row("all", f"{len(workloads)} configurations",
                  *(f"{sum(counts[name] for counts in workloads.values()):,}"
                    for name in simulators))
    if cycles.total():
        table.add_row("", "clock cycles", *(f"{cycles[name]:,}" for name in simulators))
    terminalreporter.section("verified")
    Console(file=terminalreporter._tw._file, width=100).print(table)
