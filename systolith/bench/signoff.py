"""Figures of the verification ladder: every template signed off, and in two harder forms.

All of it takes many hours. What one run has signed the next one finds in the build cache, or in the
checkout that it records in, as long as the Verilog and the tools are the same; a quick run shows
what was signed so far. The pages of what was signed on this machine go to ``build/signoff``.
"""

import shutil
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean

from systolith.bench import findings
from systolith.bench.results import SEED, Grid, Part, Progress, Table, at_least, at_most
from systolith.fpga import toolchain
from systolith.generators import registry
from systolith.generators.core import GeneratedCore, elaborate
from systolith.signoff import report
from systolith.signoff.faults import COUNT
from systolith.signoff.ladder import RUNGS, climb
from systolith.signoff.mutation import TARGET_SECONDS
from systolith.signoff.netlist import MOST_CELLS
from systolith.signoff.rung import Options, RungResult
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
PAGE, PAGES = "signoff.html", Path("build/signoff")
FINDINGS = "signoff"         # kind of entries in the build cache
REPEATS = 3                  # seeds of the regression

#: Counts up when the ladder asks for more than it did, so that everything is signed again.
LADDER = 3


@dataclass(frozen=True)
class Signature:
    """What the ladder gave for a core.

    Attributes
    ----------
    failed : list of str
        Rungs; none of a core that is signed off.
    mutants : mapping
        Those killed, equal and survived; empty where no mutants were made.
    seconds_per_mutant : float
        Of the processor, in the exercise.
    netlists_right, netlists_equal : int
        Those that gave the results of the golden model; those proven equal to the source.
    bits : mapping
        Of state, in registers and in memories.
    upsets : mapping
        By hardening, how many had which outcome.
    seconds : float
        That all of it took.
    """

    failed: list[str]
    mutants: Mapping[str, int]
    seconds_per_mutant: float
    netlists_right: int
    netlists_equal: int
    bits: Mapping[str, int]
    upsets: Mapping[str, Mapping[str, int]]
    seconds: float


def tables(progress: Progress, *, quick: bool) -> Iterator[Part]:
    """Sign everything off, or show what is signed."""
    found: dict[str, Signature] = {}
    subjects = _subjects()
    for core in subjects:
        if not quick:
            progress(f"{len(found)} signed; next {core.name}")
            found[core.name] = signed(core, progress)
        elif (before := findings.known(FINDINGS, key(core))) is not None:
            found[core.name] = Signature(**before)
        page = cache.root() / FINDINGS / key(core) / PAGE
        if page.exists():
            PAGES.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(page, PAGES / f"{core.name}.html")
    yield _targets(list(found.values()), len(subjects))
    yield _cores(found, len(subjects))
    yield _upsets_of_all(found)


def keys() -> dict[str, str]:
    """Of what :mod:`~systolith.bench.findings` keeps."""
    return {core.name: key(core) for core in _subjects()}


def _subjects() -> list[GeneratedCore]:
    return [subject(template.name, form) for template in registry.TEMPLATES
            for form in forms(template.name)]


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


def signed(core: GeneratedCore, progress: Progress) -> Signature:
    """Climb the whole ladder, or find it climbed to the top."""
    def climbed(folder: Path) -> findings.Document:
        options = Options(directory=folder, seed=SEED, repeats=REPEATS)
        results = climb(core, [rung for rung in RUNGS if rung.signoff], options, progress)
        report.write(core, results, folder)
        return asdict(_signature(results))

    before = findings.known(FINDINGS, key(core))
    if before and before["failed"]:
        shutil.rmtree(cache.root() / FINDINGS / key(core))
    return Signature(**findings.find(FINDINGS, key(core), climbed))


def _signature(results: Sequence[RungResult]) -> Signature:
    by_name = {result.rung: result for result in results}
    mutation = by_name["mutation"].details
    netlists = [row for table in by_name["netlist"].tables if table.title == "Netlists"
                for row in table.rows]
    upsets = by_name["faults"].details.get("upsets", {})
    return Signature(
        [result.rung for result in results if not result.passed],
        {name: mutation[name] for name in ("killed", "equal", "survived") if name in mutation},
        mutation.get("seconds_per_mutant", 0.0),
        sum(row[4] == "passed" for row in netlists),
        sum(row[5] == "proven" for row in netlists),
        {part: upsets["none"][f"{part}_bits"] for part in ("register", "memory") if upsets},
        {hardening: dict(sum((Counter(counts[part]) for part in ("registers", "memories")),
                             Counter()))
         for hardening, counts in upsets.items()},
        sum(result.seconds for result in results))


def _targets(found: list[Signature], total: int) -> Table:
    mutated = [signature for signature in found if signature.mutants]
    upsets: Counter[str] = sum((Counter(signature.upsets.get("tmr", {})) for signature in found),
                               Counter())
    return Table("Targets", (
        at_least("cores that are signed off", sum(not signature.failed for signature in found),
                 "cores", total),
        at_most("mutants that survived, of those that are not equal",
                sum(signature.mutants["survived"] for signature in mutated), "mutants", 0),
        at_least("mutants made, fewest of a core",
                 min((sum(signature.mutants.values()) for signature in mutated), default=0),
                 "mutants", 200),
        at_most("time of a mutant, mean of all cores",
                1e3 * fmean([signature.seconds_per_mutant for signature in mutated] or [0]), "ms",
                1e3 * TARGET_SECONDS),
        at_most(f"upsets not masked with tmr, of {upsets.total():,}",
                upsets.total() - upsets["masked"], "upsets", 0),
    ))


def _cores(found: Mapping[str, Signature], total: int) -> Grid:
    rows = tuple(
        (name, f"failed: {', '.join(signature.failed)}" if signature.failed else "signed off",
         *(signature.mutants.get(count) for count in ("killed", "equal", "survived")),
         1e3 * signature.seconds_per_mutant if signature.mutants else None,
         signature.netlists_right, signature.netlists_equal, signature.seconds)
        for name, signature in found.items())
    return Grid("Cores", (
        "core", "result", "mutants killed", "proven equal", "survived", "ms a mutant",
        "netlists right", "proven equal to the source", "seconds"),
        rows,
        note=f"{len(rows)} of {total} cores; `systolith bench signoff` signs those that are "
             "missing and goes on where it was broken off, `--quick` shows what is signed. Every "
             "template as it comes, and two presets that are harder on the ladder. Milliseconds "
             "are of the processor in the exercise, without the proofs of what it does not "
             "notice. Netlists: of gates and five families, or of the one whose blocks the core "
             "instantiates, up to "
             f"{MOST_CELLS:,} cells.")


def _upsets_of_all(found: Mapping[str, Signature]) -> Grid:
    rows = []
    for name, signature in found.items():
        counts = Counter(signature.upsets.get("none", {}))
        rows.append((name, signature.bits.get("register"), signature.bits.get("memory"),
                     *(100 * counts[outcome] / max(counts.total(), 1) for outcome in OUTCOMES)))
    return Grid("Upsets of cores without redundancy", (
        "core", "bits of registers", "bits of memories", *(f"{name}, %" for name in OUTCOMES)),
        tuple(rows),
        note=f"{COUNT:,} upsets of a core, seed {SEED}: three of four in registers, each bit in "
             "its turn, one of four in words of memories that are in use, where there are any. The "
             "workloads are the eight shortest ones of the stimulus, with random stalls; what an "
             "upset does in longer ones may differ.")
