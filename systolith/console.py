"""What the commands share: exit statuses, results, tables, progress, options."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from systolith.generators.core import GeneratedCore

PLAIN_WIDTH = 110           # of tables that go to a file or a pipe
FAILED, WRONG, TOOL, DEFECT, INTERRUPTED, BROKEN_PIPE = 1, 2, 3, 70, 130, 141


@dataclass(frozen=True)
class Result:
    """What a command found: as one JSON document, and as text for people."""

    document: dict[str, Any]
    show: Callable[["Console"], None]
    status: int = 0


def new_console(stream: Any) -> "Console":
    """Where tables and progress go."""
    from rich import console as rich_console

    class Console(rich_console.Console):
        def on_broken_pipe(self) -> None:
            raise BrokenPipeError

    return Console(file=stream, markup=False, highlight=False, emoji=False, soft_wrap=False,
                   width=None if stream.isatty() else PLAIN_WIDTH)


@contextmanager
def show_progress(message: str) -> Iterator[Callable[[str], None]]:
    """Show ``message`` while the block runs, and what the block tells the function it gets.

    On a terminal the latest message moves; elsewhere the block's messages are printed, a line each.
    """
    if sys.stderr.isatty():
        from rich.text import Text

        with new_console(sys.stderr).status(Text(message)) as status:
            yield lambda message: status.update(Text(message))
    else:
        yield lambda message: click.echo(message, err=True)


def new_table(*columns: str, title: str | None = None) -> "Table":
    """A table in the one style of this program."""
    from rich import box
    from rich.table import Table

    table = Table(*columns, title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False,
                  show_edge=False)
    table.columns[0].no_wrap = True
    return table


def json_option(function: Callable) -> Callable:
    """``--json``."""
    return click.option("--json", "as_json", is_flag=True, expose_value=False,
                        help="Print one JSON document on stdout.")(function)


def spec_options(function: Callable) -> Callable:
    """The argument SPEC, ``--set``, ``--name`` and ``--harden``."""
    function = click.option("--harden", metavar="LEVEL",
                            help="Against upsets of state: none, tmr-registers or tmr.")(function)
    function = click.option("--name", help="Name of the core; by default the file's, otherwise the "
                                           "template's.")(function)
    return set_option(click.argument("spec")(function))


def set_option(function: Callable) -> Callable:
    """``--set``."""
    return click.option("--set", "settings", multiple=True, metavar="KEY=VALUE",
                        help="Set a parameter; wins over the file. Repeatable.")(function)


def elaborated(spec: str, settings: tuple[str, ...], name: str | None,
               harden: str | None) -> "GeneratedCore":
    """The core that a command line asks for."""
    from systolith.generators.core import elaborate
    from systolith.spec import resolve

    request = resolve(spec, settings, name, harden)
    with show_progress(f"generating {request.name}"):
        return elaborate(request.template, request.config, request.name, request.hardening)
