"""Figures of the bit-serial core: products per cycle, areas, clock rates, digits by weight type."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

import systolith
from systolith.bench.results import SEED, Figure, Grid, Part, Progress, Table, at_least, same
from systolith.demo import digits
from systolith.demo.quantize import Dense
from systolith.hdl.bitserial.config import LANES, TYPES, BitserialConfig, WeightType
from systolith.hdl.formats import BitmodFormat
from systolith.sim.formats import quantize_groups, quantize_scales

ARRAY = {"rows": 8, "cols": 8, "group": 128}
GROUPS = 1, 2, 129                                       # of K in a product
#: Multiply-accumulates per cycle and PE that the paper has.
PAPER = {"int8": 1, "int6": 4 / 3, "bitmod4": 2, "bitmod3": 2}
CLOCKED = {"fp16": {"rows": 2, "cols": 2, "group": 128},
           "int8": {"rows": 2, "cols": 2, "group": 128, "a_format": "int8"}}
DIGITS = {"rows": 4, "cols": 2, "group": 32, "rounding": "rne"}
DEVICE = "ecp5-25k"


def tables(progress: Progress, *, quick: bool) -> Iterator[Part]:
    """Measure everything, a table at a time."""
    yield _throughput(progress, ARRAY | ({"rows": 2, "cols": 2} if quick else {}))
    yield _area(progress)
    if not quick:
        yield _clock(progress)
    yield _digits(progress)


def _throughput(progress: Progress, values: dict[str, Any]) -> Table:
    """Cycles of the simulated RTL for products of one tile, from which its length is known."""
    progress("compiling an array of bit-serial PEs")
    core = systolith.load("bitserial", **values)
    golden = systolith.load("bitserial", **values, backend="golden")
    rows, cols, group = (values[name] for name in ("rows", "cols", "group"))
    figures = []
    for kind in TYPES:
        progress(f"products of {kind.name} weights")
        cycles = [_cycles(core, golden, kind, rows, cols, count * group) for count in GROUPS]
        per_group = cycles[1] - cycles[0]
        macs = group / per_group
        paper = PAPER.get(kind.name)
        figures += [
            Figure(f"cycles for one more group of {group}, {kind.name}", per_group, "cycles",
                   f"{group // LANES * kind.terms}", per_group == group // LANES * kind.terms),
            Figure(f"multiply-accumulates per cycle and PE, {kind.name}", macs, "MAC",
                   "" if paper is None else f"{paper:.3g}",
                   None if paper is None else macs == paper),
            at_least(f"share of that over K = {GROUPS[-1] * group}, start and end included, "
                     f"{kind.name}", 100 * GROUPS[-1] * group / cycles[-1] / macs, "%", 99)]
    return Table(f"Simulated RTL, {rows} × {cols} PEs, fp16 activations", tuple(figures),
                 "The counted cycles are those of the scaling and of the sums over groups too: "
                 "both are hidden.")


def _cycles(core: Any, golden: Any, kind: WeightType, rows: int, cols: int, inner: int) -> int:
    rng = np.random.default_rng(SEED)
    codes = rng.integers(0, 1 << kind.format.bits, (cols, inner))
    if not kind.mixture:
        codes -= codes >> kind.format.bits - 1 << kind.format.bits
    arguments = {"a": rng.normal(size=(rows, inner)), "w": codes, "types": kind.name,
                 "scales": rng.integers(1, 128, (cols, inner // core.config.group))}
    result = core(**arguments)["sums"]
    if inner <= GROUPS[1] * core.config.group:           # the model of a PE takes its time
        same(result, golden(**arguments)["sums"])
    return core.last.cycles


def _area(progress: Progress) -> Table:
    """Gate equivalents of a PE and of what it competes with."""
    from systolith.fpga.synthesis import synthesize
    from systolith.hdl.arithmetic.mac import RoundedMac
    from systolith.hdl.bitserial.encoder import TermEncoder
    from systolith.hdl.bitserial.pe import PE
    from systolith.hdl.formats import FP16, Operand

    def gates(component: Any) -> float:
        return synthesize(component, "gates", progress=progress).resources["gates"]

    config = BitserialConfig.parse(ARRAY)
    pe = gates(PE(config))
    exact = gates(PE(BitserialConfig.parse({**ARRAY, "a_format": "int8"})))
    encoder = gates(TermEncoder(config.special_decode))
    mac = gates(RoundedMac(Operand.of(FP16), Operand.of(FP16), 1, 1))
    tile = config.rows * config.cols * pe
    encoders = config.cols * LANES * encoder
    return Table("Area in gate equivalents", (
        Figure("PE, fp16 activations", pe, "GE"),
        Figure("PE, int8 activations", exact, "GE"),
        Figure("plain MAC PE: fp16 products summed in fp32", mac, "GE"),
        Figure("PE, fp16 activations, against the plain one", 100 * (pe / mac - 1), "%",
               "paper: −24 % in 28 nm"),
        Figure("the same for each multiply-accumulate per cycle, bitmod4",
               100 * (pe / PAPER["bitmod4"] / mac - 1), "%"),
        Figure("encoder of a weight's terms", encoder, "GE"),
        Figure("encoders, share of an 8 × 8 tile of PEs and encoders",
               100 * encoders / (tile + encoders), "%", "paper: 2.4 %"),
    ), "Decoders and registers of the operands are outside of the PEs, in all of them.")


def _clock(progress: Progress) -> Grid:
    from systolith.fpga.synthesis import synthesize
    from systolith.generators import registry
    from systolith.generators.core import elaborate

    template = registry.get("bitserial")
    rows = []
    for name, values in CLOCKED.items():
        core = elaborate(template, template.config.parse(values), f"bitserial_{name}")
        found = synthesize(core, DEVICE, pnr=True, progress=progress)
        used = found.resources
        rows.append((f"{name}, {values['rows']} × {values['cols']} PEs",
                     int(used["logic"]), int(used["ff"]), found.timing.fmax_mhz))
    return Grid("Whole cores on ECP5", ("activations", "logic cells", "flip-flops", "MHz"),
                tuple(rows), "LFE5U-25F, speed grade 6, seed 1.")


@dataclass(frozen=True)
class DigitsRun:
    """The network of the digits demo with weights of one type.

    Attributes
    ----------
    accuracy : float
        Share of the test images with the right label.
    cycles : int
        Of both layers, all test images.
    """

    accuracy: float
    cycles: int


def run_digits(types: tuple[str, ...] = tuple(kind.name for kind in TYPES), *,
               backend: str = "sim", progress: Progress = lambda step: None
               ) -> dict[str, DigitsRun]:
    """Classify the test images of the digits demo, weights quantized to each type in groups.

    Activations are fp16; biases are added and negative values cut off outside of the core.
    """
    data = digits.load_digits()
    network = digits.train(data)
    core = systolith.load("bitserial", **DIGITS, backend=backend)
    found = {}
    for name in types:
        progress(f"digits with {name} weights")
        x, cycles = data.test, 0
        for layer in network:
            x = core(a=x, **quantized_weights(layer, name, core.config.group))["y"] + layer.bias
            cycles += core.last.cycles
            x = np.maximum(x, 0) if layer.relu else x
        found[name] = DigitsRun(digits.accuracy(x, data.test_labels), cycles)
    return found


def quantized_weights(layer: Dense, name: str, group: int) -> dict[str, Any]:
    """Weights of a layer as the core takes them: codes, and both levels of scales.

    Integers are symmetric: a group's largest magnitude goes to the largest integer.
    """
    weights = layer.weights.T
    kind = next(kind for kind in TYPES if kind.name == name)
    if kind.mixture:
        codes, scales, select = quantize_groups(BitmodFormat(kind.format.bits, group), weights)
    else:
        padded = np.pad(weights, ((0, 0), (0, -weights.shape[1] % group)))
        groups = padded.reshape(len(padded), -1, group)
        scales = np.abs(groups).max(2) / kind.format.code_high
        divisors = np.repeat(np.where(scales == 0, 1, scales), group, axis=1)
        codes = np.rint(weights / divisors[:, :weights.shape[1]]).astype(np.int64)
        select = np.zeros(scales.shape, np.int64)
    levels, channels = quantize_scales(scales)
    return {"w": codes, "types": name, "scales": levels, "select": select, "channels": channels}


def _digits(progress: Progress) -> Grid:
    data = digits.load_digits()
    x = data.test
    for layer in digits.train(data):
        x = layer(x)
    exact = digits.accuracy(x, data.test_labels)
    rows = [(name, 100 * run.accuracy, run.cycles)
            for name, run in run_digits(progress=progress).items()]
    return Grid(f"{len(data.test)} handwritten digits, both layers on the simulated RTL",
                ("weights", "accuracy, %", "cycles"),
                (("float64, no core", 100 * exact, None), *rows),
                f"{DIGITS['rows']} × {DIGITS['cols']} PEs, fp16 activations, groups of "
                f"{DIGITS['group']} weights.")
