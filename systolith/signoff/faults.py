"""Rung ``faults``: upsets of single bits of the state while the core runs.

Every bit of every register has its turn, and words of memories that are in use at random. A core
as it is asked for is measured, and passes; with ``harden: tmr``, it must mask every upset.
"""

import importlib.metadata
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from systolith.generators.core import GeneratedCore, elaborate, write
from systolith.signoff.rung import Finding, Options, Outcome, Progress, RungResult, Table
from systolith.sim.simulators.core import Core
from systolith.sim.simulators.upsets import OUTCOMES, Campaign, campaign

COUNT = 10_000
SHOWN = 20                   # registers with the most silent upsets


def run(core: GeneratedCore, options: Options, progress: Progress) -> RungResult:
    """Upset a core, and the same core hardened; see :mod:`systolith.signoff.rung`."""
    started = time.monotonic()
    cores = [core]
    if core.hardening != "tmr":
        cores.append(elaborate(core.template, core.config, core.name, "tmr"))
    count = options.count or COUNT
    rows, details, outcomes, findings = [], {}, [], []
    for one in cores:
        progress(f"faults: {count:,} upsets of {one.name}, hardening {one.hardening}")
        begun = time.monotonic()
        found = measure(one, count=count, seed=options.seed, progress=progress)
        seconds = round(time.monotonic() - begun, 3)
        total = found.counts()
        details[one.hardening] = {"registers": found.counts(memory=False),
                                  "memories": found.counts(memory=True), "seconds": seconds,
                                  "register_bits": found.bits(memory=False),
                                  "memory_bits": found.bits(memory=True)}
        for what, memory in (("registers", False), ("memories", True)):
            counts = found.counts(memory=memory)
            if any(counts.values()):
                rows.append((one.hardening, what, found.bits(memory=memory), *counts.values()))
        reached = len(found.upsets) - total["masked"]
        message = None
        if one.hardening != "none" and reached:
            first = next(upset for upset in found.upsets if upset.outcome != "masked")
            message = (f"{reached} of {len(found.upsets)} upsets were seen from outside, first "
                       f"{first.place.name} word {first.word} bit {first.bit} in cycle "
                       f"{first.cycle} of workload {first.workload!r}: {first.outcome} "
                       f"{first.message}")
        outcomes.append(Outcome(f"hardening_{one.hardening}", message, seconds=seconds))
        if one.hardening == "none":
            findings += _weakest(found)
            shown = f"{_share(found, 'silent')} silent, {_share(found, 'miscounted')} miscounted"
        else:
            shown = f"{reached} seen with {one.hardening}"
        details[one.hardening]["summary"] = shown
    return RungResult(
        rung="faults", outcomes=tuple(outcomes),
        summary=f"{count:,} upsets: " + ", ".join(entry["summary"] for entry in details.values()),
        tables=(Table("Upsets", ("hardening", "state", "bits", *OUTCOMES), tuple(rows)),
                Table("Outcomes", ("outcome", "meaning"), tuple(OUTCOMES.items()))),
        findings=tuple(findings), seeds=(options.seed,),
        tools={"yosys": importlib.metadata.version("pyosys")},
        seconds=round(time.monotonic() - started, 3), details={"upsets": details})


def measure(core: GeneratedCore, *, count: int, seed: int,
            progress: Progress = lambda message: None) -> Campaign:
    """A campaign against a core."""
    with TemporaryDirectory(prefix="systolith-") as folder:
        write(core, folder)
        written = Core.read(Path(folder, f"{core.name}.v"), Path(folder, f"{core.name}.json"),
                            core.model)
        return campaign(written, count=count, seed=seed, progress=progress)


def _share(found: Campaign, outcome: str) -> str:
    return f"{found.counts()[outcome] / len(found.upsets):.1%}"


def _weakest(found: Campaign) -> list[Finding]:
    """Registers and memories by the number of upsets that stayed silent."""
    silent: dict[str, list[int]] = {}
    for upset in found.upsets:
        pair = silent.setdefault(upset.place.name, [0, 0])
        pair[0] += upset.outcome in ("silent", "hang")
        pair[1] += 1
    ranked = sorted(silent.items(), key=lambda entry: (-entry[1][0], entry[0]))[:SHOWN]
    return [Finding(name.replace(" ", "."), f"{bad} of {all_} upsets silent or a hang")
            for name, (bad, all_) in ranked if bad]
