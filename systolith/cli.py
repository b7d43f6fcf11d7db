"""The command line.

Exit status: 0 done; 1 the check failed; 2 the request is wrong; 3 a tool is missing or failed;
70 a defect of Systolith itself; 130 interrupted; 141 the reader of the output went away.
"""

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

import systolith
from systolith import fpga_commands, verify_commands
from systolith.console import (
    BROKEN_PIPE,
    DEFECT,
    FAILED,
    INTERRUPTED,
    TOOL,
    WRONG,
    Result,
    elaborated,
    json_option,
    new_console,
    new_table,
    set_option,
    show_progress,
    spec_options,
)
from systolith.hdl.errors import Error

if TYPE_CHECKING:
    from rich.console import Console

    from systolith.bench.results import Part


def main() -> None:
    """Entry point of the program ``systolith``."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Run one command line; returns the exit status."""
    as_json = "--json" in arguments
    try:
        try:
            result = systolith_command.main(list(arguments), "systolith", standalone_mode=False)
            if not isinstance(result, Result):         # --help and --version have printed
                sys.stdout.flush()
                return int(result or 0)
            if as_json:
                click.echo(json.dumps(result.document, indent=2))
            else:
                result.show(new_console(sys.stdout))
            sys.stdout.flush()
            return result.status
        except BrokenPipeError:
            raise
        except (KeyboardInterrupt, click.Abort, Exception) as error:
            return _report(error, as_json)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE


def _report(error: BaseException, as_json: bool) -> int:
    details = _explain(error)
    if os.environ.get("SYSTOLITH_DEBUG") == "1":
        import traceback

        traceback.print_exception(error, file=sys.stderr)
    if as_json:
        click.echo(json.dumps({"error": details}, indent=2))
        sys.stdout.flush()
    else:
        click.echo(f"systolith: {details['message']}", err=True)
    return details["status"]


def _explain(error: BaseException) -> dict[str, Any]:
    """An error as ``kind``, ``message``, ``status`` and what else is known about it."""
    def details(kind: str, status: int, message: str, **more: Any) -> dict[str, Any]:
        return {"kind": kind, "status": status, "message": message, **more}

    if isinstance(error, (KeyboardInterrupt, click.Abort)):
        return details("interrupted", INTERRUPTED, "interrupted")
    if isinstance(error, click.UsageError):
        command = error.ctx.command_path if error.ctx else "systolith"
        return details("usage", WRONG, f"{error.format_message()} See `{command} --help`.")
    if isinstance(error, click.ClickException):
        return details("usage", WRONG, error.format_message())
    if isinstance(error, Error):
        problems = [{key: value for key, value in vars(problem).items() if value is not None}
                    for problem in getattr(error, "problems", ()) if not isinstance(problem, tuple)]
        return details("request", WRONG, str(error), **({"problems": problems} if problems else {}))
    from systolith.fpga.errors import ConstraintError
    from systolith.sim.simulators.errors import SimulationError, ToolError

    if isinstance(error, ToolError):
        return details("tool", TOOL, str(error), tool=error.tool, tail=error.tail,
                       install=error.install)
    if isinstance(error, (SimulationError, ConstraintError)):
        return details("check", FAILED, str(error))
    summary = " ".join(f"{type(error).__name__}: {error}".split())
    return details("defect", DEFECT, f"a defect of Systolith, not of the request: {summary} "
                                     "(SYSTOLITH_DEBUG=1 shows where)")


def _print_version(context: click.Context, _parameter: click.Parameter, asked: bool) -> None:
    if asked and not context.resilient_parsing:
        click.echo(f"systolith {systolith.__version__}")
        context.exit()


@click.group("systolith", context_settings={"help_option_names": ["-h", "--help"]},
             epilog="Exit status: 0 done; 1 the check failed; 2 the request is wrong; 3 a tool is "
                    "missing or failed; 70 a defect of Systolith; 130 interrupted.")
@click.option("--version", is_flag=True, is_eager=True, expose_value=False,
              callback=_print_version, help="Print the version.")
def systolith_command() -> None:
    """Parameters in, proven accelerator RTL out.

    SPEC is the name of a template, or a YAML file with the keys template, name and config. The name
    of a template wins over a file of the same name.
    """


@systolith_command.command("list")
@json_option
def list_command() -> Result:
    """List the templates."""
    from systolith.generators import registry

    def show(console: "Console") -> None:
        table = new_table("template", "what it is")
        for template in registry.TEMPLATES:
            table.add_row(template.name, template.summary)
        console.print(table)

    return Result({"templates": [
        {"name": template.name, "summary": template.summary, "reference": template.reference}
        for template in registry.TEMPLATES]}, show)


@systolith_command.command("show")
@click.argument("template")
@set_option
@json_option
def show_command(template: str, settings: tuple[str, ...]) -> Result:
    """Show a template: parameters, streams, registers, paper, an example."""
    from systolith import spec
    from systolith.generators import registry
    from systolith.generators.describe import describe

    known = registry.get(template)
    told = describe(known, spec.resolve(known.name, settings).config)
    return Result(told, lambda console: _show_template(console, told))


def _show_template(console: "Console", told: dict[str, Any]) -> None:
    console.print(f"{told['name']}: {told['summary']}\n\n{told['doc']}\n")
    console.print("Parameters")
    table = new_table("parameter", "allowed", "default", "unit", "paper", "what it is")
    for parameter in told["parameters"]:
        table.add_row(parameter["name"], _allowed(parameter), _plain(parameter["default"], "auto"),
                      parameter["unit"] or "", _plain(parameter["paper"], ""), parameter["doc"])
    console.print(table)
    changed = {entry["name"]: told["config"][entry["name"]] for entry in told["parameters"]
               if entry["default"] not in (None, told["config"][entry["name"]])}
    where = ", ".join(f"{key}={value}" for key, value in changed.items()) or "the defaults"
    console.print(f"\nStreams with {where}")
    table = new_table("stream", "ports", "lanes", "element", "tdata", "tuser", "frame")
    for stream in told["streams"]:
        user = ", ".join(f"{field['name']} [{field['lsb'] + field['bits'] - 1}:{field['lsb']}]: "
                         f"{field['doc']}" for field in stream["tuser"])
        table.add_row(stream["name"], f"{stream['prefix']}_…", str(stream["lanes"]),
                      stream["element"]["format"], f"{stream['tdata_bits']} bits", user,
                      stream["frame"])
    console.print(table)
    console.print("\nRegisters (AXI4-Lite)")
    table = new_table("offset", "register", "access", "what it is")
    for register in told["registers"]:
        table.add_row(f"0x{register['offset']:02X}", register["name"], register["access"],
                      register["doc"])
    console.print(table)
    console.print("\nError flags (register errors)")
    table = new_table("bit", "flag", "meaning")
    for bit, flag in enumerate(told["flags"]):
        table.add_row(str(bit), flag["name"], flag["doc"])
    console.print(table)
    console.print("\nLatency and throughput, in cycles")
    table = new_table("figure", "value")
    for figure, value in told["latency"].items():
        table.add_row(figure, str(value))
    console.print(table)
    console.print(f"\nPaper: {told['reference']}")
    for figure in told["reproduces"]:
        console.print(f"Reproduces: {figure}")
    console.print(f"Example: {told['example']}")


def _allowed(parameter: dict[str, Any]) -> str:
    if parameter["choices"]:
        return " | ".join(map(str, parameter["choices"]))
    low, high = parameter["low"], parameter["high"]
    if low is None and high is None:
        return parameter["type"]
    return f"{_plain(low, '')}…{_plain(high, '')}"


def _plain(value: object, absent: str) -> str:
    return absent if value is None else str(value)


@systolith_command.command("generate")
@spec_options
@click.option("-o", "--output", type=Path, metavar="DIR",
              help="Where to write; by default build/<name>.")
@click.option("--with", "flows", metavar="FLOW,...",
              help="Also files for other flows: fusesoc, vivado, quartus, litex.")
@json_option
def generate_command(spec: str, settings: tuple[str, ...], name: str | None,
                     harden: str | None, output: Path | None, flows: str | None) -> Result:
    """Write Verilog, manifest, resolved config and register map."""
    from systolith import generating
    from systolith.generators.core import write
    from systolith.generators.flows import with_flows

    core = elaborated(spec, settings, name, harden)
    if flows is not None:
        core = with_flows(core, [flow.strip() for flow in flows.split(",")])
    directory = generating.default_directory(core.name) if output is None else output
    written = write(core, directory)
    modules, size = len(core.manifest["modules"]), len(core.verilog.encode())

    def show(console: "Console") -> None:
        for path in written:
            click.echo(path)
        click.echo(f"{core.name}: {modules} modules, {size} bytes of Verilog, "
                   f"sha256 {core.manifest['sha256'][:16]}…")

    return Result({"name": core.name, "template": core.template.name,
                   "config": core.manifest["config"],
                   "config_hash": core.manifest["config_hash"], "directory": str(directory),
                   "files": [str(path) for path in written], "modules": modules,
                   "verilog_bytes": size, "sha256": core.manifest["sha256"]}, show)


@systolith_command.command("schema")
@click.argument("template")
@json_option
def schema_command(template: str) -> Result:
    """Print the JSON Schema of a template's spec files, for editors."""
    from systolith.generators import registry
    from systolith.generators.describe import spec_schema

    schema = spec_schema(registry.get(template))
    return Result(schema, lambda console: click.echo(json.dumps(schema, indent=2)))


@systolith_command.command("bench")
@click.argument("topics", nargs=-1, metavar="[TOPIC]...")
@click.option("--quick", is_flag=True, help="Leave out what takes many minutes.")
@click.option("--record", "root", type=click.Path(path_type=Path, file_okay=False, exists=True),
              metavar="DIR", help="Write the figures into the documents of a checkout.")
@json_option
def bench_command(topics: tuple[str, ...], quick: bool, root: Path | None) -> Result:
    """Measure the figures in the documents, of all topics or of those named."""
    from systolith import bench
    from systolith.bench import documents, results

    found, written = {}, []
    with show_progress("measuring") as progress:
        for topic, parts in bench.run(topics, progress, quick=quick, checkout=root):
            found[topic] = parts
            if root:
                written += documents.record(topic, parts, root, quick=quick)
    missed = any(results.missed(parts) for parts in found.values())

    def show(console: "Console") -> None:
        for parts in found.values():
            for part in parts:
                _show_figures(console, part)
        for path in written:
            click.echo(f"written: {path}")

    return Result({"topics": {topic: [results.as_dict(part) for part in parts]
                              for topic, parts in found.items()}}, show, FAILED if missed else 0)


def _show_figures(console: "Console", part: "Part") -> None:
    from systolith.bench import results

    if isinstance(part, results.Plot):
        return
    if isinstance(part, results.Grid):
        table = new_table(*part.columns, title=part.title)
        for row in part.rows:
            table.add_row(*map(results.cell, row))
        right = table.columns[1:]
    else:
        table = new_table("measured", "figure", "unit", "target", "", title=part.title)
        for figure in part.figures:
            table.add_row(figure.what, results.number(figure.value), figure.unit, figure.target,
                          results.VERDICT[figure.reached])
        right = table.columns[1:2]
    for column in right:
        column.justify = "right"
    console.print(table)
    click.echo(f"{part.note}\n" if part.note else "")


@systolith_command.command("formats")
@click.argument("name", required=False)
@json_option
def formats_command(name: str | None) -> Result:
    """List the number formats and the pairs that systolic takes, or show the range, the specials
    and the values of one."""
    from systolith.hdl.formats import FORMS, parse_format
    from systolith.hdl.systolic.pairs import RULES, table

    if name is None:
        data = {"forms": list(FORMS), "pairs": {"rules": list(RULES), "table": table()}}
        return Result(data, lambda console: _show_forms(console, data))
    from systolith.sim.formats.describe import describe

    data = describe(parse_format(name))
    return Result(data, lambda console: _show_format(console, data))


def _show_forms(console: "Console", data: dict[str, Any]) -> None:
    click.echo("\n".join(data["forms"]))
    click.echo("\nPairs that systolic takes as A and W, in any order:")
    click.echo("\n".join(f"- {rule}" for rule in data["pairs"]["rules"]))
    click.echo()
    partners = new_table("format", "with")
    for format, others in data["pairs"]["table"].items():
        partners.add_row(format, ", ".join(others))
    console.print(partners)


def _show_format(console: "Console", data: dict[str, Any]) -> None:
    low, high = data["range"]
    click.echo(f"{data['name']}: {data['encoding']}\n")
    facts = new_table("property", "value")
    for key, value in (("bits", data["bits"]), ("range", f"{low} … {high}"),
                       ("step", data["step"]), ("fixed point", data["fixed"]["name"]),
                       *data["parameters"].items(),
                       *((part["name"], f"{part['bits']} bits per {part['per']}: {part['doc']}")
                         for part in data["shared"]),
                       ("rounding", data["rounding"]), ("saturation", data["saturation"]),
                       ("illegal codes", data["illegal"])):
        facts.add_row(key, str(value))
    console.print(facts)
    for special in data["specials"]:
        click.echo(f"{special['code']}: {special['meaning']}")
    if data["values"]:
        click.echo()
        columns = list(data["values"][0])
        values = new_table(*columns)
        for row in data["values"]:
            values.add_row(*(str(row.get(column, "")) for column in columns))
        console.print(values)


@systolith_command.command("doctor")
@json_option
def doctor_command() -> Result:
    """Tell what is installed, what is missing, and how to get it."""
    from systolith.doctor import examine

    findings = examine()
    missing = [finding for finding in findings if finding.needed and not finding.found]

    def show(console: "Console") -> None:
        table = new_table("tool", "state", "version", "what for", "how to get it")
        for finding in findings:
            state = ("found" if finding.found else "MISSING" if finding.needed
                     else "absent, optional")
            table.add_row(finding.name, state, finding.version or "", finding.purpose,
                          "" if finding.found else finding.install)
        console.print(table)
        click.echo("\n" + (f"missing: {', '.join(finding.name for finding in missing)}" if missing
                           else "everything needed is here"))

    return Result({"ok": not missing, "tools": [vars(finding) for finding in findings]}, show,
                  TOOL if missing else 0)


@systolith_command.command("clean")
@json_option
def clean_command() -> Result:
    """Remove the cache of compiled models."""
    from systolith.sim.simulators import cache

    place, freed = cache.root(), cache.clean()
    return Result({"cache": str(place), "freed_bytes": freed},
                  lambda console: click.echo(f"{place}: {freed / 1e6:.1f} MB freed"))


for command in (*verify_commands.COMMANDS, *fpga_commands.COMMANDS):
    systolith_command.add_command(command)
