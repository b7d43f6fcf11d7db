"""Figures of the verification ladder: every template signed off, and in two harder forms.

All of it takes many hours. What one run has signed the next one finds in the build cache, as long
as the Verilog and the tools are the same; a quick run shows what was signed so far. The pages go to
``build/signoff``.
"""

import json
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from statistics import fmean
from typing import Any

from systolith.bench.results import SEED, Grid, Part, Progress, Table, at_least, at_most
from systolith.fpga import toolchain
from systolith.generators import registry
from systolith.generators.core import GeneratedCore, elaborate
from systolith.signoff import report
from systolith.signoff.faults import COUNT
from systolith.signoff.ladder import RUNGS, climb
from systolith.signoff.mutation import TARGET_SECONDS
from systolith.signoff.netlist import MOST_CELLS
from systolith.signoff.rung import Options
from systolith.sim.simulators import cache, verilator
from systolith.sim.simulators.upsets import OUTCOMES

#: Presets that are harder on the ladder than the defaults of their template: other formats, sizes
#: that divide nothing, other modes; one at least has netlists that are small enough to be run. Of
#: a template that is not here, the last two.
HARDER: Mapping[str, tuple[str, str]] = {
    "systolic": ("mixed_requant", "mx"),
    "ternary": ("2bit", "bitlinear"),
    "sparse_chain": ("quantized", "dense"),
    "topn": ("int8", "all"),
    "bitplane": ("parallel", "xnor"),
    "bitserial": ("rne", "int8"),
    "lut_gemv": ("fp16", "one_row"),
    "softmax": ("three_pass", "integer_replay"),
    "norm": ("bf16", "one_lane"),
    "activation": ("edge_moe", "bf16"),
    "gating": ("bounded", "glu_int8"),
    "dot": ("one_lane", "narrow"),
}
DEFAULT = "default"
PAGES = Path("build/signoff")
KIND = "signoff"             # of entries in the build cache
REPEATS = 3                  # seeds of the regression

#: Counts up when the ladder asks for more than it did, so that everything is signed again.
LADDER = 3


def tables(progress: Progress, *, quick: bool) -> Iterator[Part]:
    """Sign everything off, or show what is signed."""
    found = {}
    for template in registry.TEMPLATES:
        for form in forms(template.name):
            core = subject(template.name, form)
            place = cache.root() / KIND / key(core)
            if not quick:
                progress(f"{len(found)} signed; next {core.name}")
                place = signed(core, progress)
            if place.is_dir():
                found[core.name] = json.loads((place / "signoff.json").read_text())
                PAGES.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(place / "signoff.html", PAGES / f"{core.name}.html")
    total = sum(len(forms(template.name)) for template in registry.TEMPLATES)
    yield _targets(list(found.values()), total)
    yield _cores(found, total)
    yield _upsets_of_all(found)


def forms(template: str) -> tuple[str, ...]:
    """What of a template is signed off: its defaults, and presets."""
    return (DEFAULT, *HARDER.get(template, tuple(registry.get(template).presets)[-2:]))


def subject(template: str, form: str) -> GeneratedCore:
    """A core to sign off."""
    known = registry.get(template)
    values = {} if form == DEFAULT else dict(known.presets[form])
    return elaborate(known, known.config.parse(values), f"{template}_{form}")


def key(core: GeneratedCore) -> str:
    """What a signature depends on."""
    return cache.key(core.verilog, core.manifest["config_hash"], toolchain.yosys_label(),
                     verilator.version(), str((LADDER, SEED, REPEATS)))


def signed(core: GeneratedCore, progress: Progress) -> Path:
    """Climb the whole ladder, or find it climbed to the top; the folder of the reports."""
    def make(folder: Path) -> None:
        options = Options(directory=folder, seed=SEED, repeats=REPEATS)
        results = climb(core, [rung for rung in RUNGS if rung.signoff], options, progress)
        report.write(core, results, folder)

    known = cache.root() / KIND / key(core)
    if known.is_dir() and not json.loads((known / "signoff.json").read_text())["passed"]:
        shutil.rmtree(known)
    return cache.entry(KIND, key(core), make)


def _targets(documents: list[dict[str, Any]], total: int) -> Table:
    rungs = [_rungs(document) for document in documents]
    mutations = [found["mutation"] for found in rungs if "mutants" in found["mutation"]]
    upsets = [_upsets(found, "tmr") for found in rungs]
    injected = sum(sum(counts.values()) for counts in upsets)
    return Table("Targets", (
        at_least("cores that are signed off",
                 sum(document["passed"] for document in documents), "cores", total),
        at_most("mutants that survived, of those that are not equal",
                sum(found["survived"] for found in mutations), "mutants", 0),
        at_least("mutants made, fewest of a core",
                 min((found["mutants"] for found in mutations), default=0), "mutants", 200),
        at_most("time of a mutant, mean of all cores",
                1e3 * fmean([found["seconds_per_mutant"] for found in mutations] or [0]), "ms",
                1e3 * TARGET_SECONDS),
        at_most(f"upsets not masked with tmr, of {injected:,}",
                injected - sum(counts["masked"] for counts in upsets), "upsets", 0),
    ))


def _cores(found: Mapping[str, dict[str, Any]], total: int) -> Grid:
    rows = []
    for name, document in found.items():
        rungs = _rungs(document)
        mutation = rungs["mutation"]
        netlists = [row for table in rungs["netlist"]["tables"] if table["title"] == "Netlists"
                    for row in table["rows"]]
        failed = ", ".join(rung for rung, result in rungs.items() if not result["passed"])
        rows.append((name, f"failed: {failed}" if failed else "signed off",
                     *(mutation.get(count) for count in ("killed", "equal", "survived")),
                     1e3 * mutation["seconds_per_mutant"] if "mutants" in mutation else None,
                     sum(row[4] == "passed" for row in netlists),
                     sum(row[5] == "proven" for row in netlists),
                     sum(result["seconds"] for result in rungs.values())))
    return Grid("Cores", (
        "core", "result", "mutants killed", "proven equal", "survived", "ms a mutant",
        "netlists right", "proven equal to the source", "seconds"),
        tuple(rows),
        note=f"{len(rows)} of {total} cores; `systolith bench signoff` signs those that are "
             "missing and goes on where it was broken off, `--quick` shows what is signed. Every "
             "template as it comes, and two presets that are harder on the ladder. Milliseconds "
             "are of the processor in the exercise, without the proofs of what it does not "
             "notice. Netlists: of gates and five families, or of the one whose blocks the core "
             "instantiates, up to "
             f"{MOST_CELLS:,} cells.")


def _upsets_of_all(found: Mapping[str, dict[str, Any]]) -> Grid:
    rows = []
    for name, document in found.items():
        rungs = _rungs(document)
        counts = _upsets(rungs, "none")
        bits = rungs["faults"].get("upsets", {}).get("none", {})
        rows.append((name, bits.get("register_bits"), bits.get("memory_bits"),
                     *(100 * counts[outcome] / max(counts.total(), 1) for outcome in OUTCOMES)))
    return Grid("Upsets of cores without redundancy", (
        "core", "bits of registers", "bits of memories", *(f"{name}, %" for name in OUTCOMES)),
        tuple(rows),
        note=f"{COUNT:,} upsets of a core, seed {SEED}: three of four in registers, each bit in "
             "its turn, one of four in words of memories that are in use, where there are any. The "
             "workloads are the eight shortest ones of the stimulus, with random stalls; what an "
             "upset does in longer ones may differ.")


def _upsets(rungs: Mapping[str, Any], hardening: str) -> Counter[str]:
    """Upsets of a core by outcome."""
    found = rungs["faults"].get("upsets", {}).get(hardening, {})
    return sum((Counter(found.get(part, {})) for part in ("registers", "memories")), Counter())


def _rungs(document: Mapping[str, Any]) -> dict[str, Any]:
    return {result["rung"]: result for result in document["rungs"]}
