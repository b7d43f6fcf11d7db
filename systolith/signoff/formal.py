"""Rung ``formal``: proofs without bound, of the core and of the parts that it is made of.

Of the core as it is: offered beats and responses hold until they are taken, whatever its memories
and multipliers give, and no path leads from an input to an output without a register. Of every part
that has proofs (:mod:`systolith.proofs.registry`): all of them, at small sizes.
"""

import importlib.metadata
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from amaranth.lib import wiring

from systolith.generators.core import GeneratedCore
from systolith.generators.verilog import emit
from systolith.hdl.shell import Core
from systolith.proofs import cores, engine
from systolith.proofs.proof import COVER_DEPTH, Proof, prove
from systolith.proofs.registry import PROOFS
from systolith.signoff.rung import Finding, Options, Outcome, Progress, RungResult, Table

SECONDS = 300                # for the proof of a core


def run(core: GeneratedCore, options: Options, progress: Progress) -> RungResult:
    """Prove a core and its parts; see :mod:`systolith.signoff.rung`."""
    started = time.monotonic()
    kinds = _kinds(core)
    outcomes, rows = [], []
    with TemporaryDirectory(prefix="systolith-") as scratch:
        folder = Path(scratch)
        progress(f"formal: paths through {core.name}")
        begun = time.monotonic()
        paths = cores.combinational_paths(core, folder / "paths")
        outcomes.append(Outcome(
            "no path from an input to an output without a register",
            f"there is one from {', '.join(paths)}" if paths else None,
            seconds=round(time.monotonic() - begun, 3)))
        progress(f"formal: contract of {core.name}")
        outcome, row = _contract(core, folder / "core")
        outcomes.append(outcome)
        rows.append(row)
        for index, proof in enumerate(_chosen(kinds)):
            progress(f"formal: {proof.name}")
            begun = time.monotonic()
            answer = prove(proof, folder / f"part_{index}")
            seconds = round(time.monotonic() - begun, 3)
            outcomes.append(Outcome(proof.name, answer.message, seconds=seconds))
            rows.append((proof.name, "any" if answer.verdict.status == "proven" else
                         str(answer.verdict.depth), answer.verdict.method, answer.verdict.latches,
                         len(answer.checks), seconds))
    failed = sum(outcome.message is not None for outcome in outcomes)
    proven = sum(row[1] == "any" for row in rows)
    without = sorted(kinds - {proof.part for proof in PROOFS} - {"LinearArray"})
    return RungResult(
        rung="formal", outcomes=tuple(outcomes),
        summary=f"{proven} of {len(rows)} proven without bound" + (f", {failed} FAILED" if failed
                                                                   else ""),
        tables=(Table("Proofs", ("what", "depth", "method", "latches", "properties", "seconds"),
                      tuple(rows)),),
        findings=(Finding("parts", "without a proof of their own, left to the regression: "
                          + ", ".join(without)),) if without else (),
        tools={"yosys": importlib.metadata.version("pyosys")},
        seconds=round(time.monotonic() - started, 3))


def _kinds(core: GeneratedCore) -> set[str]:
    """Names of the classes of components in a core."""
    return {type(component).__name__ for component in components(core).values()} - {"Core"}


def components(core: GeneratedCore) -> dict[str, wiring.Component]:
    """What the modules of a core were made from, by name."""
    top = Core(core.config, core.template.component(core.config))
    return {module.name: module.component for module in emit(top, name=core.name).modules}


def _chosen(kinds: set[str]) -> list[Proof]:
    return [proof for proof in PROOFS if proof.part in kinds]


def _contract(core: GeneratedCore, folder: Path) -> tuple[Outcome, tuple]:
    begun = time.monotonic()
    harness = cores.contract(core)
    checks = len(harness.names)
    verdict = engine.prove(harness.graph(folder), SECONDS)
    covers = cores.contract(core).graph(folder, covers=True)
    seen = engine.search(covers, 4 * COVER_DEPTH, SECONDS)
    message = None
    if verdict.status == "refuted":
        message = f"does not hold, in cycle {verdict.depth}"
    elif verdict.status != "proven":
        message = f"not proven in {verdict.seconds:.0f} s"
    elif seen.status != "refuted":
        message = f"proven in vain: not every stream moves in {4 * COVER_DEPTH} cycles"
    seconds = round(time.monotonic() - begun, 3)
    name = "streams and register port of the core"
    depth = "any" if verdict.status == "proven" else str(verdict.depth)
    return (Outcome(name, message, seconds=seconds),
            (name, depth, verdict.method, verdict.latches, checks, seconds))
