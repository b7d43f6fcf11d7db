"""What every test can use, and the closing list of what was verified."""

from collections import Counter, defaultdict

import pytest
from rich.console import Console
from rich.table import Table

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
