"""Rung ``netlist``: what synthesis makes of the core, under the workloads of the regression.

For every family the core is synthesized, the vendor's models of the cells are put into the
netlist, and Verilator runs it on the template's stimulus, with and without stalls: values, flags
and cycles must be the golden model's. Where it can be decided, netlist and source are also proven
to give the same outputs for ever. A netlist that is too large is skipped, with its size.
"""

import importlib.metadata
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from systolith.fpga import devices
from systolith.fpga.core_netlist import Netlist, netlist, targets_of
from systolith.fpga.synthesis import synthesize
from systolith.generators.core import GeneratedCore, write
from systolith.proofs import engine
from systolith.signoff.rung import Finding, Options, Outcome, Progress, RungResult, Table
from systolith.sim.cases import draw, mismatch
from systolith.sim.simulators import verilator
from systolith.sim.simulators.core import Core
from systolith.sim.simulators.errors import SimulationError, ToolError
from systolith.sim.simulators.harness import Pauses

#: Cells of the largest netlist that is simulated: Verilator takes minutes beyond.
MOST_CELLS = 25_000
_LIMIT = f"netlists of up to {MOST_CELLS:,} are simulated: sign a smaller instance off"
#: Share of that, counted module by module, above which a core is not synthesized as a whole.
SURELY = 2
#: Bits of state up to which equivalence is tried, and seconds that it may take.
MOST_LATCHES = 20_000
SECONDS = 60
#: The same once the cells of another family were not decided: these rarely are then.
SECONDS_AFTER = 5
PAUSES = Pauses(stop=0.2, go=0.5)


def run(core: GeneratedCore, options: Options, progress: Progress) -> RungResult:
    """Synthesize a core for every family and run it; see :mod:`systolith.signoff.rung`."""
    started = time.monotonic()
    outcomes: list[Outcome] = []
    rows, findings = [], []
    about = 0
    if not core.manifest["cells"]:                       # those have no gates
        progress(f"netlist: size of {core.name}")
        about = gates_about(core)
    # The gates of a core that is too large: no family needs to be tried then.
    too_large = f"about {about:,}" if about > SURELY * MOST_CELLS else ""
    for target in targets_of(core):
        if too_large:
            outcomes.append(Outcome(target.name, skipped=f"{too_large} gates; {_LIMIT}"))
            rows.append((target.name, 0, 0, 0, "skipped", "not tried", 0.0))
            continue
        progress(f"netlist: {core.name} in cells of {target.name}")
        begun = time.monotonic()
        try:
            made = netlist(core, target)
        except ToolError as error:
            outcomes.append(Outcome(target.name, str(error)))
            continue
        count = sum(made.cells.values())
        if count > MOST_CELLS:
            outcomes.append(Outcome(target.name, skipped=f"{count:,} cells; {_LIMIT}"))
            too_large = f"{count:,}" if target.name == "gates" else ""
            rows.append((target.name, count, 0, 0, "skipped", "not tried",
                         round(time.monotonic() - begun, 1)))
            continue
        cycles, frames, message = 0, 0, None
        for message, more_cycles, more_frames in simulated(core, made, options):
            cycles, frames = cycles + more_cycles, frames + more_frames
            if message:
                break
        outcomes.append(Outcome(target.name, message, seconds=round(time.monotonic() - begun, 3)))
        progress(f"netlist: equivalence of {core.name} and its cells of {target.name}")
        decided = all(row[5] != "not proven" for row in rows)
        proof, why = compared(core, made, SECONDS if decided else SECONDS_AFTER)
        if proof == "REFUTED":
            outcomes.append(Outcome(f"{target.name} equivalence", why))
        elif proof != "proven":
            findings.append(Finding(target.name, f"equivalence not proven: {why}"))
        rows.append((target.name, count, cycles, frames, "FAILED" if message else "passed", proof,
                     round(time.monotonic() - begun, 1)))
    failed = sum(outcome.message is not None for outcome in outcomes)
    ran, equal = (sum(row[column] == word for row in rows)
                  for column, word in ((4, "passed"), (5, "proven")))
    return RungResult(
        rung="netlist", outcomes=tuple(outcomes),
        summary=f"{ran} of {len(rows)} netlists agree with the golden model, {equal} proven "
                "equivalent" + (f", {failed} FAILED" if failed else ""),
        tables=(Table("Netlists", ("cells of", "cells", "cycles", "frames", "simulation",
                                   "equivalence", "seconds"), tuple(rows)),
                Table("What is mapped", ("cells of", "synthesis", "blocks"),
                      tuple((target.name, target.synthesis, target.blocks)
                            for target in targets_of(core)))),
        findings=tuple(findings), seeds=(options.seed,),
        tools={"yosys": importlib.metadata.version("pyosys"), "verilator": verilator.version()},
        seconds=round(time.monotonic() - started, 3))


def gates_about(core: GeneratedCore) -> int:
    """Gates and bits of memories, counted module by module: seconds, where the netlist of a large
    core takes minutes."""
    found = synthesize(core, devices.GATES, by_module=True)
    return sum(found.cells.values()) + int(found.resources["memory_bits"])


def simulated(core: GeneratedCore, made: Netlist, options: Options
              ) -> Iterator[tuple[str | None, int, int]]:
    """What is wrong, cycles and frames of each run of the netlist."""
    rng = np.random.default_rng(options.seed)
    with TemporaryDirectory(prefix="systolith-") as scratch:
        folder = Path(scratch)
        write(core, folder)
        written = Core.read(folder / f"{core.name}.v", folder / f"{core.name}.json", core.model)
        (folder / "netlist.v").write_text(made.verilog)
        model, config = written.model, written.config
        cases = draw(model, config, options.seed, options.frames)
        with verilator.simulator(replace(written, sources=(folder / "netlist.v",))) as simulator:
            for case in cases:
                for pauses in ({}, {stream.name: PAUSES for stream in written.streams}):
                    try:
                        got = simulator.run(case.job, pauses=pauses, seed=int(rng.integers(2**32)))
                    except SimulationError as error:
                        yield f"workload {case.workload.label!r}: {error}", 0, 0
                        return
                    message = next(filter(None, (
                        mismatch(model, config, case, stream, beats, got.beat_cycles[stream])
                        for stream, beats in got.beats.items())), None)
                    wanted = [("error flags", got.flags, case.flags)]
                    if not pauses:
                        wanted.append(("cycles", got.cycles, case.cycles))
                    for what, value, want in wanted:
                        if value != want and not message:
                            message = (f"workload {case.workload.label!r}: {what} expected {want}, "
                                       f"got {value}")
                    yield message, got.cycles, case.frames


def compared(core: GeneratedCore, made: Netlist, seconds: int = SECONDS) -> tuple[str, str]:
    """``proven``, ``REFUTED`` or ``not proven``, and why."""
    gold = "\n".join(text for name, text in core.files.items() if name.endswith(".v"))
    with TemporaryDirectory(prefix="systolith-") as folder:
        try:
            verdict = engine.equivalent(gold, made.verilog, core.name, Path(folder), seconds,
                                        MOST_LATCHES)
        except ToolError as error:
            return "not proven", str(error).splitlines()[0]
    if verdict.status == "proven":
        return "proven", ""
    if verdict.status == "refuted":
        return "REFUTED", "netlist and source can give different outputs, from a state of zeros"
    if verdict.latches > MOST_LATCHES:
        return "not proven", (f"{verdict.latches:,} bits of state in both; up to {MOST_LATCHES:,} "
                              "are tried")
    return "not proven", f"not decided in {verdict.seconds:.0f} s"
