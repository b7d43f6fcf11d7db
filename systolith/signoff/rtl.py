"""Rung ``rtl``: the cocotb regression, on two simulators, from several states at power-up.

The first run is the whole regression. Each further seed repeats it under Verilator with other
stimulus, other pauses and other random values of every register without a reset and of every
``x``: what passes does not depend on the state at power-up.
"""

import importlib.metadata
import time
from pathlib import Path

from systolith import simulation
from systolith.generators.core import GeneratedCore
from systolith.signoff import waveform
from systolith.signoff.rung import Options, Outcome, Progress, RungResult, Table
from systolith.sim.simulators.regression import PERIOD, Report


def run(core: GeneratedCore, options: Options, progress: Progress) -> RungResult:
    """Run the regression of a core; see :mod:`systolith.signoff.rung`."""
    started = time.monotonic()
    seeds = tuple(options.seed + index for index in range(options.repeats))
    reports: list[Report] = []
    for seed in seeds:
        first = seed == options.seed
        reports.append(simulation.verify(
            core, simulator=options.simulator if first else "verilator", seed=seed,
            frames=options.frames, waves=options.waves,
            directory=options.directory if first else options.directory / f"seed_{seed}",
            progress=progress))
    several = len(reports) > 1
    checks = [(report.seed, check) for report in reports for check in report.checks]
    outcomes = tuple(
        Outcome(f"{check.simulator}.{check.name}" + (f".seed_{seed}" if several else ""),
                check.message, seconds=check.seconds) for seed, check in checks)
    rows = tuple((check.name, check.simulator, *([seed] if several else []), check.cycles,
                  check.beats, check.frames, check.seconds,
                  "passed" if check.message is None else "FAILED") for seed, check in checks)
    columns = ("test", "simulator", *(["seed"] if several else []), "cycles", "beats", "frames",
               "seconds", "result")
    first = reports[0]
    failed = sum(not report.passed for report in reports)
    files = dict.fromkeys(Path(path) for report in reports
                          for path in (*report.waves, *report.logs, *pictures(core, report)))
    return RungResult(
        rung="rtl", outcomes=outcomes,
        summary=f"{'FAILED' if failed else 'passed'} under {' and '.join(first.simulators)}",
        tables=(Table("Regression", columns, rows),), seeds=seeds,
        tools={name: importlib.metadata.version(package)
               for name, package in (("cocotb", "cocotb"), ("verilator", "verilator"),
                                     ("yosys", "pyosys"))},
        seconds=round(time.monotonic() - started, 3), files=tuple(files),
        details={**first.as_dict(), "reports": [report.as_dict() for report in reports]})


def pictures(core: GeneratedCore, report: Report) -> list[Path]:
    """Draw the streams around the first beat that differs, of every failure that has one."""
    written = []
    streams = core.config.streams
    names = [f"{stream.prefix}_{signal}" for stream in streams
             for signal in ("tvalid", "tready", "tlast", "tdata")]
    for check in report.failures:
        for wave in map(Path, report.waves):
            if check.time is None or wave.suffix != ".vcd" or check.simulator not in wave.name:
                continue
            before = min(waveform.BEFORE, check.cycle)
            # What the edge sees is there a step before it.
            start = check.time - 1 - before * PERIOD
            samples = waveform.read_vcd(wave, names, start,
                                        check.time + waveform.AFTER * PERIOD, PERIOD)
            path = wave.with_name(f"rtl.{check.simulator}.{check.name}.svg")
            path.write_text(waveform.draw(samples, check.cycle - before, check.cycle,
                                          f"{core.name}, {check.name}: {check.message}"[:150]))
            written.append(path)
    return written
