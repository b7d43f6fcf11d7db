"""Commands that prove a core."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from systolith.console import (
    FAILED,
    Result,
    elaborated,
    json_option,
    new_table,
    show_progress,
    spec_options,
)
from systolith.signoff.ladder import RUNGS, climb, rung
from systolith.signoff.rung import Options, RungResult

if TYPE_CHECKING:
    from rich.console import Console

DEFAULT_SEED = 1
SEEDS = 3                    # that signoff runs the regression from

LEVELS = click.Choice([known.name for known in RUNGS])


def ladder_options(function: Callable) -> Callable:
    """What both commands take about seeds, amounts and machines."""
    for option in (
            click.option("-o", "--output", type=Path, metavar="DIR",
                         help="Where reports, waveforms and logs go; by default build/<name>."),
            click.option("--scheduler", metavar="ADDRESS",
                         help="Dask scheduler whose workers take the work."),
            click.option("--jobs", type=click.IntRange(1, 1024), default=1, show_default=True,
                         metavar="N", help="Processes on this machine."),
            click.option("--count", type=click.IntRange(1, 10**7), metavar="N",
                         help="Mutants, configurations or upsets; by default what the level says."),
            click.option("--frames", type=click.IntRange(1, 10**6), metavar="N",
                         help="Output frames of stimulus, at least."),
            click.option("--seed", type=click.IntRange(0, 2**32 - 1), default=DEFAULT_SEED,
                         show_default=True,
                         help="Of the stimulus and the stalls; reproduces a failure.")):
        function = option(function)
    return function


def _options(core, output: Path | None, **values) -> Options:
    from systolith.generating import default_directory

    return Options(directory=default_directory(core.name) if output is None else output, **values)


@click.command("verify")
@spec_options
@click.option("--level", type=LEVELS, default="rtl", show_default=True,
              help="Rung of the verification ladder.")
@click.option("--simulator", type=click.Choice(["verilator", "icarus"]),
              help="Only this one; by default Verilator, and Icarus or CXXRTL. Level rtl.")
@click.option("--waves", is_flag=True,
              help="Write a waveform, also where nothing fails. Level rtl.")
@ladder_options
@json_option
def verify_command(spec: str, settings: tuple[str, ...], name: str | None,
                   harden: str | None, level: str,
                   simulator: str | None, waves: bool, output: Path | None, **values) -> Result:
    """Prove the Verilog equal to the golden model, or climb another rung of the ladder."""
    core = elaborated(spec, settings, name, harden)
    options = _options(core, output, simulator=simulator, waves=waves, **values)
    with show_progress(f"verifying {core.name}, level {level}, seed {options.seed}") as progress:
        result = rung(level).run(core, options, progress)
    return Result({"name": core.name, "level": level, "seed": options.seed, **result.as_dict()},
                  lambda console: _show(console, core.name, result),
                  0 if result.passed else FAILED)


@click.command("signoff")
@spec_options
@click.option("--level", "levels", type=LEVELS, multiple=True,
              help="Only this rung; repeatable. By default all of them.")
@click.option("--seeds", "repeats", type=click.IntRange(1, 1000), default=SEEDS, show_default=True,
              metavar="N", help="Seeds to run the regression from.")
@ladder_options
@json_option
def signoff_command(spec: str, settings: tuple[str, ...], name: str | None,
                    harden: str | None, levels: tuple[str, ...], output: Path | None,
                    **values) -> Result:
    """Climb the whole verification ladder, and write one report of it."""
    from systolith.signoff import report

    core = elaborated(spec, settings, name, harden)
    options = _options(core, output, **values)
    if output is None:
        options = replace(options, directory=options.directory / "signoff")
    rungs = [known for known in RUNGS if known.name in levels or (not levels and known.signoff)]
    with show_progress(f"signing {core.name} off, seed {options.seed}") as progress:
        results = climb(core, rungs, options, progress)
    written = report.write(core, results, options.directory)
    document = report.document(core, results)

    def show(console: "Console") -> None:
        table = new_table("rung", "status", "result", "seconds")
        table.columns[3].justify = "right"
        for result in results:
            table.add_row(result.rung, result.status, result.summary, f"{result.seconds:.1f}")
        console.print(table)
        for result in results:
            for outcome in result.failures:
                click.echo(f"\n{result.rung}: {outcome.name}: {outcome.message}")
        for path in written:
            click.echo(f"written: {path}")
        click.echo(f"\n{core.name}: {'signed off' if document['passed'] else 'FAILED'}")

    return Result({**document, "files": [str(path) for path in written]}, show,
                  0 if document["passed"] else FAILED)


def _show(console: "Console", name: str, result: RungResult) -> None:
    for found in result.tables:
        table = new_table(*found.columns, title=found.title if len(result.tables) > 1 else None)
        for column, cell in zip(table.columns, found.rows[0] if found.rows else (), strict=False):
            if isinstance(cell, (int, float)):
                column.justify = "right"
        for row in found.rows:
            table.add_row(*(f"{cell:,}" if isinstance(cell, int) else f"{cell:.1f}"
                            if isinstance(cell, float) else cell for cell in row))
        console.print(table)
    for outcome in result.outcomes:
        if outcome.skipped is not None:
            click.echo(f"skipped: {outcome.name}: {outcome.skipped}")
    for finding in result.findings:
        click.echo(f"{finding.where}: {finding.text}")
    for outcome in result.failures:
        click.echo(f"\n{outcome.name}: {outcome.message}")
    for path in result.files:
        click.echo(f"written: {path}")
    click.echo(f"\n{name}: {result.closing}")


COMMANDS = (verify_command, signoff_command)
