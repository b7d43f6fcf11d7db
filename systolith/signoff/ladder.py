"""The rungs, in the order in which a core climbs them, and the climb."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from systolith.hdl.errors import Error
from systolith.signoff.rung import Options, Outcome, Progress, Rung, RungResult

if TYPE_CHECKING:
    from systolith.generators.core import GeneratedCore

RUNGS: tuple[Rung, ...] = (
    Rung("lint", "Verilator, slang and Yosys have nothing to say about the text.", "lint"),
    Rung("rtl", "Values, flags and cycles of the RTL are the golden model's, on two simulators, "
                "whatever the state at power-up.", "rtl"),
    Rung("coverage", "The regression reaches every line, branch and functional point.", "coverage"),
    Rung("formal", "The parts of the core, its streams and its register port keep their contracts: "
                   "proven without bound.", "formal"),
    Rung("mutation", "The regression notices every change of the design that is one.", "mutation"),
    Rung("netlist", "What synthesis makes of the core for every family gives the golden model's "
                    "values, flags and cycles.", "netlist"),
    Rung("faults", "What upsets of single bits do; with triple redundancy, nothing.", "faults"),
    Rung("random", "Configurations that nobody chose work, and malformed ones are refused.",
         "random_configs"),
)


def rung(name: str) -> Rung:
    """The rung called ``name``.

    Raises
    ------
    Error
        If there is none.
    """
    for known in RUNGS:
        if known.name == name:
            return known
    raise Error(f"unknown level {name!r}; levels are {', '.join(known.name for known in RUNGS)}")


@dataclass(frozen=True)
class Piece:
    """One rung of one core, for another process: all of it goes through pickle."""

    rung: str
    template: str
    config: dict[str, Any]
    name: str
    hardening: str
    options: Options
    carry: bool              # the files come back in the result: the disk is another machine's


def climb(core: "GeneratedCore", rungs: Sequence[Rung], options: Options, progress: Progress
          ) -> list[RungResult]:
    """Run rungs on a core, side by side where the options say so; the order of ``rungs`` is kept.

    A tool that is missing or broken fails its rung and leaves the others alone.
    """
    from systolith.signoff.spread import spread

    options.directory.mkdir(parents=True, exist_ok=True)
    if options.scheduler is None and options.jobs == 1:
        return [_guarded(known, core, options, progress) for known in rungs]
    inner = replace(options, jobs=1, scheduler=None)
    config = core.config.model_dump(mode="json")
    pieces = [Piece(known.name, core.template.name, config, core.name, core.hardening,
                    inner, options.scheduler is not None) for known in rungs]
    found: dict[int, RungResult] = {}
    for index, (result, files) in spread(_climb_elsewhere, pieces, options):
        for name, content in files.items():
            (options.directory / name).write_bytes(content)
        found[index] = replace(result, files=tuple(
            options.directory / path.name for path in result.files)) if files else result
        progress(f"{result.rung}: {result.status}, {result.summary}")
    return [found[index] for index in range(len(rungs))]


def _guarded(known: Rung, core: "GeneratedCore", options: Options, progress: Progress
             ) -> RungResult:
    from systolith.sim.simulators.errors import ToolError

    try:
        return known.run(core, options, progress)
    except ToolError as error:
        return RungResult(rung=known.name, outcomes=(Outcome(error.tool, str(error)),),
                          summary=f"{error.tool} failed")


def _climb_elsewhere(piece: Piece) -> tuple[RungResult, dict[str, bytes]]:
    from systolith.generators import registry
    from systolith.generators.core import elaborate

    template = registry.get(piece.template)
    core = elaborate(template, template.config.parse(piece.config), piece.name,
                     piece.hardening)
    with TemporaryDirectory(prefix="systolith-") as scratch:
        options = replace(piece.options, directory=Path(scratch)) if piece.carry else piece.options
        result = _guarded(rung(piece.rung), core, options, lambda message: None)
        if not piece.carry:
            return result, {}
        return result, {path.name: path.read_bytes() for path in map(Path, result.files)}

