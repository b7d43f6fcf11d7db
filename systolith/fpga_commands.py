"""Commands that end in hardware."""

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
def synth_command(spec: str, settings: tuple[str, ...], name: str | None, device: str, pnr: bool,
                  freq: float | None, seed: int) -> Result:
    """Synthesize a core: area, and with --pnr the clock rate."""
    from systolith.fpga.synthesis import check_device, synthesize

    check_device(device, pnr or freq is not None)
    core = elaborated(spec, settings, name)
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


COMMANDS = (synth_command,)
