"""Commands that end in hardware."""

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

if TYPE_CHECKING:
    from rich.console import Console

    from systolith.fpga.synthesis import Synthesis


@click.command("synth")
@spec_options
@click.option("--device", required=True, metavar="DEVICE",
              help="Device to synthesize for, or gates; a wrong name lists them.")
@click.option("--pnr", is_flag=True, help="Place and route too, for the clock rate.")
@click.option("--freq", type=click.FloatRange(1, 1000), metavar="MHZ",
              help="Clock that place and route must reach; without it, it gets as far as it can.")
@click.option("--seed", type=click.IntRange(0, 2**31 - 1), default=1, show_default=True,
              help="Of place and route.")
@json_option
def synth_command(spec: str, settings: tuple[str, ...], name: str | None,
                  harden: str | None, device: str, pnr: bool,
                  freq: float | None, seed: int) -> Result:
    """Synthesize a core: area, and with --pnr the clock rate."""
    from systolith.fpga.synthesis import check_device, synthesize

    check_device(device, pnr or freq is not None)
    core = elaborated(spec, settings, name, harden)
    with show_progress(f"synthesizing {core.name}") as progress:
        found = synthesize(core, device, pnr=pnr or freq is not None, goal_mhz=freq, seed=seed,
                           progress=progress)
    missed = freq is not None and found.timing is not None and found.timing.fmax_mhz < freq
    return Result(found.as_dict(), lambda console: _show_synthesis(console, found, missed),
                  FAILED if missed else 0)


def _show_synthesis(console: "Console", found: "Synthesis", missed: bool) -> None:
    table = new_table("resource", "used", "of", "share", "what it is")
    for column in table.columns[1:4]:
        column.justify = "right"
    for name, amount in found.resources.items():
        total = found.capacity.get(name)
        table.add_row(name, f"{amount:,.0f}", f"{total:,}" if total else "",
                      f"{amount / total:.1%}" if total else "", found.meaning[name])
    console.print(table)
    if found.excess:
        click.echo(f"\n{found.name} does not fit {found.device}: {found.excess}")
    timing = found.timing
    if timing is None:
        return
    verdict = f"; MISSED: {timing.goal_mhz:g} MHz were asked for" if missed else ""
    click.echo(f"\nclock: {timing.fmax_mhz:.1f} MHz with seed {timing.seed}{verdict}")
    if timing.caveat:
        click.echo(f"do not trust this rate: {timing.caveat}")
    click.echo("\nlongest path")
    table = new_table("through", "ns")
    table.columns[1].justify = "right"
    for step in timing.critical_path:
        table.add_row(step.name, f"{step.delay_ns:.2f}")
    console.print(table)


@click.command("build")
@spec_options
@click.option("--board", required=True, metavar="BOARD",
              help="Board to build for; a wrong name lists them.")
@click.option("--freq", type=click.FloatRange(1, 500), metavar="MHZ",
              help="Clock of the core; by default that of the board's oscillator.")
@click.option("--baud", type=click.IntRange(300, 50_000_000), default=1_000_000, show_default=True,
              help="Rate of the UART.")
@click.option("--seed", type=click.IntRange(0, 2**31 - 1), default=1, show_default=True,
              help="Of place and route.")
@click.option("--seeds", type=click.IntRange(1, 100), default=1, metavar="N",
              help="Try up to so many seeds until the clock is reached.")
@click.option("-o", "--output", type=Path, metavar="DIR",
              help="Where to write; by default build/<name>.")
@json_option
def build_command(spec: str, settings: tuple[str, ...], name: str | None,
                  harden: str | None, board: str,
                  freq: float | None, baud: int, seed: int, seeds: int,
                  output: Path | None) -> Result:
    """Build a bitstream: the core behind a UART, on a board."""
    from systolith import generating
    from systolith.fpga import boards
    from systolith.fpga.build import build, write

    boards.get(board)
    core = elaborated(spec, settings, name, harden)
    with show_progress(f"building {core.name}") as progress:
        built = build(core, board, mhz=freq, baud=baud, seed=seed, seeds=seeds, progress=progress)
    directory = generating.default_directory(core.name) if output is None else output
    written = write(built, directory)
    report = {**built.report, "files": [str(path) for path in written]}

    def show(console: "Console") -> None:
        table = new_table("resource", "used", "of", "share")
        for column in table.columns[1:]:
            column.justify = "right"
        for resource, amount in built.resources.items():
            total = report["capacity"].get(resource)
            table.add_row(resource, f"{amount:,.0f}", f"{total:,}" if total else "",
                          f"{amount / total:.1%}" if total else "")
        console.print(table)
        timing = built.timing
        click.echo(f"\nclock: {report['clock_mhz']:g} MHz; up to {timing.fmax_mhz:.1f} MHz with "
                   f"seed {timing.seed}")
        if timing.caveat:
            click.echo(f"do not trust this rate: {timing.caveat}")
        for path in written:
            click.echo(f"written: {path}")

    return Result(report, show)


@click.command("program")
@click.argument("bitstream", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--board", required=True, metavar="BOARD", help="Board that is plugged in.")
@click.option("--flash", is_flag=True, help="Into the flash, to stay after power is lost.")
@json_option
def program_command(bitstream: Path, board: str, flash: bool) -> Result:
    """Load a bitstream into a board, with openFPGALoader."""
    from systolith.fpga import boards
    from systolith.fpga.programming import program

    target = boards.get(board)
    program(bitstream, target, flash=flash)
    return Result({"bitstream": str(bitstream), "board": board, "flash": flash},
                  lambda console: click.echo(f"{target.title} holds {bitstream}"))


@click.command("run")
@spec_options
@click.option("--port", metavar="PORT", help="Serial port of the board; without it the RTL is "
                                             "simulated.")
@click.option("--baud", type=click.IntRange(300, 50_000_000), default=1_000_000, show_default=True,
              help="Rate of the UART, as built.")
@click.option("--input", "source", required=True, type=click.Path(path_type=Path, dir_okay=False),
              metavar="FILE", help="Operands and settings by name, an .npz file.")
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path, dir_okay=False),
              metavar="FILE", help="Where the results go, an .npz file.")
@json_option
def run_command(spec: str, settings: tuple[str, ...], name: str | None,
                harden: str | None, port: str | None,
                baud: int, source: Path, output: Path) -> Result:
    """Compute with a core: on a board, or simulated."""
    from systolith.arrays import read_arrays, write_arrays
    from systolith.running import Core
    from systolith.spec import resolve

    request = resolve(spec, settings, name, harden)
    arguments = read_arrays(source)
    with show_progress(f"running {request.name}"):
        core = Core(request, f"serial:{port}" if port else "sim", baud)
        try:
            results = core(**arguments)
        finally:
            core.close()
    write_arrays(output, results)
    last = core.last
    assert last is not None
    document = {"name": core.name, "backend": core.backend, "cycles": last.cycles,
                "counters": dict(last.counters), "flags": list(last.flags), "output": str(output),
                "results": {key: list(value.shape) for key, value in results.items()}}
    return Result(document, lambda console: click.echo(
        f"{output}: {', '.join(f'{key} {value.shape}' for key, value in results.items())}; "
        f"{last.cycles:,} cycles, flags: {', '.join(last.flags) or 'none'}"))


COMMANDS = (synth_command, build_command, program_command, run_command)
