"""Figures of the multiplier blocks: clock rates alone, and in systolic cores with their shell."""

from collections.abc import Iterator
from statistics import median

from amaranth.hdl import Shape

from systolith.bench.results import Figure, Progress, Table, at_least
from systolith.fpga.synthesis import Synthesis, synthesize
from systolith.generators import registry
from systolith.generators.core import elaborate
from systolith.hdl.arithmetic.multiplier import Multiplier, PairMultiplier

INT8 = Shape(8, signed=True)
SEEDS = (1, 2, 3)
CORES = (
    ("8 x 8 int8 core with shell, ECP5", "ecp5-85k", 195,
     {"technology": "ecp5", "mac_stages": 3}),
    ("4 x 4 int8 core with shell, UP5K", "ice40-up5k", 60,
     {"technology": "ice40", "rows": 4, "cols": 4, "max_k": 16, "acc_width": 20,
      "acc_depth": 256}),
)


def tables(progress: Progress, *, quick: bool) -> Iterator[Table]:
    """Measure everything, a table at a time; ``quick`` takes one seed."""
    yield _blocks(progress)
    for name, device, bound, values in CORES:
        template = registry.get("systolic")
        core = elaborate(template, template.config.parse(values), "systolic")
        runs = [synthesize(core, device, pnr=True, seed=seed, progress=progress)
                for seed in (SEEDS[:1] if quick else SEEDS)]
        yield _core(name, bound, values, runs)


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


def _core(name: str, bound: float, values: dict, runs: list[Synthesis]) -> Table:
    rates = [run.timing.fmax_mhz for run in runs]
    resources = runs[0].resources
    slowest = min(runs, key=lambda run: run.timing.fmax_mhz).timing.critical_path
    figures = (
        at_least("clock rate, lowest of the seeds", min(rates), "MHz", bound),
        Figure("clock rate, median", median(rates), "MHz"),
        Figure("clock rate, highest", max(rates), "MHz"),
        *(Figure(what, resources[what], "cells") for what in ("lut", "carry", "ff", "dsp", "bram")),
    )
    settings = ", ".join(f"{key} {value}" for key, value in values.items())
    seeds = ", ".join(str(run.timing.seed) for run in runs)
    path = " → ".join(step.name.removeprefix("u_inner.") for step in slowest)
    return Table(name, figures, f"Parameters: {settings}; place and route with seeds {seeds}. "
                                f"Longest path of the slowest: `{path}`.")
