"""Figures of the multiplier blocks between registers, and of whole cores that are made of them."""

from collections.abc import Iterator
from statistics import median
from typing import Any

from amaranth.hdl import Shape

from systolith.bench.results import Figure, Grid, Part, Progress, Table, at_least
from systolith.fpga.synthesis import Synthesis, synthesize
from systolith.generators import registry
from systolith.generators.core import elaborate
from systolith.hdl.arithmetic.multiplier import Multiplier, PairMultiplier
from systolith.hdl.systolic.mesh import mesh

INT8 = Shape(8, signed=True)


#: Place and route tries for this much more than the clock to reach: it stops trying where it gets.
AMBITION = 1.2

SEEDS = (1, 2, 3, 4, 5)

#: Whole cores: what they are, their config, the device, the clock to reach.
CORES: tuple[tuple[str, dict[str, Any], str, float], ...] = (
    ("8 x 8 int8, ecp5", {"technology": "ecp5", "mac_stages": 4}, "ecp5-85k", 195),
    ("4 x 4 int8, ice40", {"rows": 4, "cols": 4, "technology": "ice40", "max_k": 16,
                           "acc_width": 20, "acc_depth": 256}, "ice40-up5k", 60),
)


def tables(progress: Progress, *, quick: bool) -> Iterator[Part]:
    """Measure everything, a table at a time; ``quick`` places and routes with one seed."""
    yield _blocks(progress)
    seeds = (1,) if quick else SEEDS
    runs = [(core, [_whole(core, seed, progress) for seed in seeds]) for core in CORES]
    yield _clocks(runs)
    yield _cells(runs, progress)


def _whole(core: tuple[str, dict[str, Any], str, float], seed: int, progress: Progress
           ) -> Synthesis:
    _, values, device, bound = core
    template = registry.get("systolic")
    made = elaborate(template, template.config.parse(values), "core")
    return synthesize(made, device, pnr=True, goal_mhz=round(bound * AMBITION), seed=seed,
                      progress=progress)


def _clocks(runs: list) -> Table:
    """Clock rates by seed, and their median."""
    figures = []
    for (what, _, device, bound), found in runs:
        rates = [run.timing.fmax_mhz for run in found]
        figures += [Figure(f"{what} on {device}, seed {run.timing.seed}", run.timing.fmax_mhz,
                           "MHz") for run in found]
        figures += [at_least(f"{what} on {device}, median", median(rates), "MHz", bound),
                    at_least(f"{what} on {device}, best", max(rates), "MHz", bound)]
    return Table("Whole systolic cores with their shell: clock rates", tuple(figures),
                 "Placed and routed between registers (`systolith synth systolic --pnr`), with a "
                 f"goal of {AMBITION} times the clock to reach.")


def _cells(runs: list, progress: Progress) -> Grid:
    """What the cores take, their meshes alone, per PE too, and the longest path of the first
    seed."""
    rows = []
    for (what, values, device, _), found in runs:
        config = registry.get("systolic").config.parse(values)
        path = found[0].timing.critical_path
        for part, used, longest in (
                (what, found[0].resources, f"`{path[0].name}` to `{path[-1].name}`"),
                (f"its {config.rows} x {config.cols} PEs alone",
                 synthesize(mesh(config), device, progress=progress).resources, "")):
            rows.append((part,
                         *(int(used[name]) for name in ("lut", "carry", "ff", "dsp", "bram")),
                         round((used["logic"] + used["ff"]) / (config.rows * config.cols), 1),
                         longest))
    return Grid("Whole systolic cores: cells", (
        "core", "LUT", "carry", "FF", "DSP", "BRAM", "(LUT + FF) / PE", "longest path, seed 1"),
        tuple(rows),
        "Per PE of a core, everything is counted: mesh, accumulators, buffers, control, AXI shell "
        "and counters. A carry cell of ECP5 (CCU2C) takes two look-up tables.")


def _blocks(progress: Progress) -> Table:
    """Blocks between registers: their operand and product registers, nothing else."""
    figures = []
    for technology, device in (("ecp5", "ecp5-85k"), ("ice40", "ice40-up5k")):
        for what, part in (
                ("int8 product", Multiplier(INT8, INT8, 1, technology, operand_registers=True)),
                ("int8 x int4, two products",
                 PairMultiplier(INT8, Shape(4, signed=True), 1, technology,
                                operand_registers=True))):
            found = synthesize(part, device, pnr=True, progress=progress)
            figures.append(Figure(f"{what} in a block, {device}", found.timing.fmax_mhz, "MHz"))
    return Table("Blocks between registers", tuple(figures),
                 "Operand and product registers of the block, seed 1. The model of the tools "
                 "counts blocks of the UP5K as registered.")
