"""Area, clock rate, error and throughput of every softmax algorithm."""

from collections.abc import Iterator, Mapping
from statistics import median
from typing import Any

import numpy as np

from systolith.bench.results import SEED, Figure, Grid, Part, Plot, Progress, Table, at_least
from systolith.bench.softmax import compared, config_of
from systolith.fpga.synthesis import synthesize
from systolith.generators import registry
from systolith.generators.core import GeneratedCore, elaborate
from systolith.hdl.arithmetic.inverse import Inverse
from systolith.hdl.softmax.base2 import Base2Normalizer, Base2Sum
from systolith.hdl.softmax.base2 import inverse_parameters as base2_inverse
from systolith.hdl.softmax.config import SoftmaxConfig
from systolith.hdl.softmax.logits import LogitStage
from systolith.hdl.softmax.normalizers import PowerNormalizer
from systolith.hdl.softmax.power_sums import OnlineSum
from systolith.hdl.softmax.records import RowInverse
from systolith.sim.model import Workload
from systolith.sim.softmax import MODEL

DEVICE = "ecp5-85k"
GOAL_MHZ = 170
TARGET_MHZ = 150
LENGTH = 256
LANES = (1, 4, 16)
#: Seeds of place and route by lanes; with none it is left out. The clock rate is their median.
SEEDS: Mapping[int, tuple[int, ...]] = {1: (1, 2, 3), 4: (1,), 16: (1,)}
#: The same for a quick run, which also synthesizes several lanes module by module.
QUICK_SEEDS: Mapping[int, tuple[int, ...]] = {1: (1,), 4: (), 16: ()}
ALGORITHMS: Mapping[str, Mapping[str, Any]] = {
    "three_pass": {"algorithm": "three_pass", "precision": 16},
    "two_pass": {"algorithm": "two_pass", "precision": 16},
    "online": {"algorithm": "online", "precision": 16},
    "single_pass": {"algorithm": "single_pass", "precision": 16, "store": "replay"},
    "base2": {"algorithm": "base2"},
    "integer": {"algorithm": "integer"},
    "ibert": {"algorithm": "ibert"},
}
#: Of one lane and four: other formats of the same algorithm.
FORMATS: Mapping[str, Mapping[str, Any]] = {
    "online, bf16 in and out": {"algorithm": "online", "in_format": "bf16", "out_format": "bf16"},
    "online, fp16 in and out": {"algorithm": "online", "in_format": "fp16", "out_format": "fp16"},
    "online, precision 20": {"algorithm": "online"},
    "online, uint16 out": {"algorithm": "online", "out_format": "uint16"},
    "online, logarithm in int8": {"algorithm": "online", "output": "log", "out_format": "int8"},
}
#: The open engine, measured in the same flow: 32 scores of int8 in a row.
PEER = {"length": 32, "lut": 2400, "carry": 1700, "ff": 1600, "overhead": 7}


Area = Mapping[str, float]


def tables(progress: Progress, *, quick: bool) -> Iterator[Part]:
    """Measure everything, a table at a time; quickly with less place and route."""
    yield from _cores(progress, mean_errors(), quick)
    yield _peer(progress, quick)
    yield _against_fp16(progress)


def mean_errors() -> dict[str, float]:
    """Mean absolute errors of the algorithms in units of 2^-8, over normal rows."""
    rows = np.random.default_rng(SEED).normal(0, 2, (200, LENGTH)).clip(-8, 8)
    found = {}
    for name, values in ALGORITHMS.items():
        got, want = compared(config_of(values, LENGTH), rows)
        found[name] = float(abs(got - want).mean() * 256)
    return found


def _cores(progress: Progress, errors: Mapping[str, float], quick: bool) -> Iterator[Part]:
    """Whole cores by algorithm and lanes."""
    seeds_of = QUICK_SEEDS if quick else SEEDS
    rows, clocks, points = [], [], {}
    for lanes in LANES:
        for name, values in (ALGORITHMS | (FORMATS if lanes == 1 else {})).items():
            seeds = seeds_of[lanes] if name in ALGORITHMS else ()
            used, gates, rates = measured(values, lanes, seeds, progress,
                                          by_module=quick and lanes > 1)
            fmax = median(rates) if rates else None
            label = f"{name}, {lanes} lane{'s' * (lanes > 1)}"
            rows.append((label, *(used[each] for each in ("lut", "carry", "ff", "dsp", "bram")),
                         gates["gates"], gates["memory_bits"], fmax,
                         lanes * fmax if fmax else None, cycles_a_row(values, lanes),
                         f"{errors[name]:.2f}" if name in errors else None))
            if fmax:
                clocks.append(at_least(f"{label}: clock", fmax, "MHz", TARGET_MHZ))
            if name in errors:
                points.setdefault(name, []).append((lanes, used["logic"], errors[name]))
    several = "4 and 16 lanes are synthesized module by module, without optimization across " \
              "modules, but not placed and routed; like other formats they have no clock rate" \
              if quick else "Other formats are synthesized, but not placed and routed"
    yield Grid(f"Softmax: area and clock rate, rows of up to {LENGTH} on ECP5",
               ("algorithm", "LUT", "carry", "FF", "DSP", "BRAM", "gate equivalents",
                "bits of memory", "MHz", "million elements/s", "cycles a row",
                "mean error, units of 2^-8"),
               tuple(rows), f"Whole cores with registers and streams, int8 in and uint8 out where "
               f"nothing else is said, rows of {LENGTH} kept in the core but for single_pass; "
               "real exponents with a precision of 16, whose products fit the multiplier blocks; "
               f"gate equivalents with generic multipliers, module by module. {several}. Cycles a "
               "row are sustained, measured by the exact cycle model. Errors are those of 200 "
               "normal rows of 256 against float64.")
    yield Table("Softmax: clock rates, place and route on ECP5", tuple(clocks),
                f"{DEVICE}, speed grade 6, goal {GOAL_MHZ} MHz. One lane: {_told(seeds_of[1])}"
                + "".join(f"; {lanes} lanes: {_told(seeds_of[lanes])}" for lanes in LANES[1:]
                          if seeds_of[lanes])
                + ". With 16 lanes the multiplier blocks of real exponents, three quarters of the "
                  "device's, lie all over it.")
    yield _pareto(points)


def _told(seeds: tuple[int, ...]) -> str:
    return f"median over seeds {', '.join(map(str, seeds))}" if len(seeds) > 1 else \
        f"seed {seeds[0]}"


def core_of(values: Mapping[str, Any], lanes: int, **more: Any) -> GeneratedCore:
    """A core of so many lanes."""
    template = registry.get("softmax")
    return elaborate(template, template.config.parse(
        {"max_length": LENGTH, **values, "lanes": lanes, **more}), "softmax")


def measured(values: Mapping[str, Any], lanes: int, seeds: tuple[int, ...],
             progress: Progress, *, by_module: bool) -> tuple[Area, Area, list[float]]:
    """Cells, gate equivalents, and clock rates by seed."""
    core = core_of(values, lanes, technology="ecp5")
    cells = synthesize(core, DEVICE, by_module=by_module, progress=progress).resources
    gates = synthesize(core_of(values, lanes), "gates", by_module=True,
                       progress=progress).resources
    return cells, gates, clock_rates(core, seeds, progress)


def clock_rates(core: GeneratedCore, seeds: tuple[int, ...], progress: Progress) -> list[float]:
    """Clock rates by seed of place and route."""
    found = (synthesize(core, DEVICE, pnr=True, goal_mhz=GOAL_MHZ, seed=seed, progress=progress)
             for seed in seeds)
    return [each.timing.fmax_mhz for each in found if each.timing]


def cycles_a_row(values: Mapping[str, Any], lanes: int, length: int = LENGTH) -> int:
    """Cycles that one more row takes behind others."""
    config = SoftmaxConfig.parse({"max_length": length, **values, "lanes": lanes})
    few, many = (MODEL.cycles(config, MODEL.check(config, Workload(
        "", {"x": np.zeros((rows, length), int)}))) for rows in (40, 50))
    return round((many - few) / 10)


def _pareto(points: Mapping[str, list[tuple[int, float, float]]]) -> Plot:
    def draw(axes) -> None:
        for name, found in points.items():
            lanes, cells, error = (np.array(column) for column in zip(*found, strict=True))
            axes.scatter(cells / lanes, error, s=20 * lanes, alpha=0.6, label=name)
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_xlabel("logic cells for an element a cycle")
        axes.set_ylabel("mean absolute error, units of 2^-8")
        axes.legend(markerscale=0.5)

    return Plot("Softmax: error over area", "softmax_pareto", draw,
                f"Each algorithm with {', '.join(map(str, LANES))} lanes on ECP5; the larger "
                "the point, the more elements a cycle. Multiplier blocks and memories are not "
                "part of the cells.")


def _peer(progress: Progress, quick: bool) -> Table:
    """The two-pass row engine for 32 scores, at the throughput of which one lane is enough."""
    length = PEER["length"]
    theirs = PEER["lut"] + 2 * PEER["carry"]
    figures = [Figure("open two-pass engine, N = 32: LUT and two for each carry cell", theirs, "",
                      "N + 7 cycles a row, none at 150 MHz"),
               Figure("the same: flip-flops", PEER["ff"], ""),
               Figure("the same: cycles a row", length + PEER["overhead"], "")]
    seeds = (QUICK_SEEDS if quick else SEEDS)[1]
    for name in ("integer", "base2", "online"):
        core = core_of(ALGORITHMS[name], 1, max_length=length, technology="ecp5")
        found = synthesize(core, DEVICE, progress=progress)
        ours = found.resources["lut"] + 2 * found.resources["carry"]
        figures += [
            Figure(f"{name}, 1 lane: LUT and two for each carry cell", ours, "",
                   f"{theirs / ours:.1f} times fewer; {found.resources['dsp']:.0f} DSP"),
            Figure("the same: flip-flops", found.resources["ff"], ""),
            Figure("the same: cycles a row", cycles_a_row(ALGORITHMS[name], 1, length), ""),
            at_least("the same: clock", median(clock_rates(core, seeds, progress)), "MHz",
                     TARGET_MHZ),
        ]
    return Table("Softmax: against an open engine, rows of 32", tuple(figures),
                 "Whole cores with AXI streams, registers and row store against the peer's row "
                 "engine alone, which keeps its row in flip-flops.")


def _against_fp16(progress: Progress) -> Table:
    """What Softermax compares: units in front of the division, and behind it."""
    lanes = {"lanes": 4, "max_length": 512}
    base2 = SoftmaxConfig.parse({"algorithm": "base2", **lanes})
    fp16 = SoftmaxConfig.parse({"in_format": "fp16", "out_format": "fp16", **lanes})

    def gates(component) -> float:
        return synthesize(component, "gates", by_module=True,
                          progress=progress).resources["gates"]

    inverse, row_inverse = gates(Inverse(base2_inverse(base2))), gates(RowInverse(fp16))
    ours = gates(Base2Sum(base2)) - inverse
    theirs = gates(OnlineSum(fp16)) - row_inverse + gates(LogitStage(fp16))
    ours_last = gates(Base2Normalizer(base2)) + inverse
    theirs_last = gates(PowerNormalizer(fp16)) + row_inverse
    return Table("Softmax: base2 against fp16, 4 lanes, gate equivalents", (
        Figure("base2, maximum and sum", ours, "GE"),
        Figure("online with fp16 in and out, maximum and sum", theirs, "GE"),
        Figure("ratio", ours / theirs, "", "paper: 0.25"),
        Figure("base2, inverse and normalization", ours_last, "GE"),
        Figure("online with fp16 in and out, inverse and normalization", theirs_last, "GE"),
        Figure("ratio of these", ours_last / theirs_last, "", "paper: 0.65"),
    ), "The paper compares with units of DesignWare in 7 nm; the fp16 unit here is this core's "
       "own, which computes in fixed point behind its inputs.")
