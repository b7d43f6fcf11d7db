"""Figures of the sparse chain: cycles by pattern, digits with pruned and with quantized weights,
break-even with a dense array."""

from collections.abc import Iterator
from typing import Any

import numpy as np

import systolith
from systolith.bench.results import (
    SEED,
    Figure,
    Grid,
    Plot,
    Progress,
    Table,
    at_least,
    at_most,
    same,
)
from systolith.demo import digits
from systolith.demo.quantize import Dense, quantize_network
from systolith.fpga.synthesis import synthesize
from systolith.generators import registry
from systolith.generators.core import elaborate
from systolith.hdl.formats.patterns import DENSE, Pattern
from systolith.hdl.sparse_chain.config import SparseChainConfig
from systolith.sim.model import Workload
from systolith.sim.sparse import prune, quantize
from systolith.sim.sparse_chain import MODEL

LARGE = {"chains": 4}                                    # 4 chains of 16 cells, 2 tokens each
SMALL = {"chains": 1, "cells": 16, "max_tokens": 8, "buffer_depth": 64}
DIGITS = {"chains": 1, "cells": 16, "max_tokens": 16, "buffer_depth": 32}
QUANTIZED = DIGITS | {"weights": "quantized", "planes": 1}
#: Both with 64 multiply-accumulates per cycle.
SPARSE = {"chains": 2, "buffer_depth": 512, "technology": "ecp5"}
SYSTOLIC = {"rows": 8, "cols": 8, "technology": "ecp5"}
DEVICE = "ecp5-85k"
PATTERNS = ("dense", "2:4", "1:4", "4:8", "2:8", "2:16", "mixed")


def tables(progress: Progress, *, quick: bool) -> Iterator[Table | Grid | Plot]:
    """Measure everything, a table at a time."""
    yield _utilization(progress)
    yield _rtl(progress)
    yield _digits(progress)
    yield _mixed_precision(progress)
    if not quick:
        yield from _break_even(progress)


def _utilization(progress: Progress) -> Table:
    """From the cycle model, which every regression holds to the RTL."""
    config = SparseChainConfig.parse(LARGE)
    figures, cycles = [], {}
    for name in PATTERNS:
        progress(f"256 x 1024 x 1024, {name}")
        work = _product(config, name, 256, 1024, 1024)
        cycles[name] = MODEL.cycles(config, work)
        share = MODEL.utilization(config, work, cycles[name])
        figures += [at_least(f"MAC utilization, {name}", 100 * share, "%", 98),
                    Figure(f"cycles, {name}", cycles[name], "cycles")]
        if name != "dense":
            ideal = "" if name == "mixed" else f"M/N is {Pattern.parse(name).speedup}"
            figures.append(Figure(f"speed-up over dense, {name}", cycles["dense"] / cycles[name],
                                  "times", ideal))
    # Forward and backward products with pruned weights, and the dense one of the weight update.
    step = 3 * cycles["dense"] / (2 * cycles["2:8"] + cycles["dense"])
    figures.append(Figure("speed-up of a training step, 2:8 in two of three products", step,
                          "times", "SAT: 2.0 in theory, 1.75 measured"))
    macs = config.chains * config.cells * config.lanes
    return Table(f"Sparse chain: 256 x 1024 x 1024 (M x K x N) on {macs} MACs per cycle",
                 tuple(figures))


def _rtl(progress: Progress) -> Table:
    """The same patterns on a size that the simulated RTL runs in no time."""
    progress("compiling a sparse chain")
    core = systolith.load("sparse_chain", **SMALL)
    figures = []
    for name in PATTERNS:
        work = _product(core.config, name, 32, 256, 64)
        result = core(**work.arrays)["c"]
        same(result, work.arrays["a"] @ work.arrays["w"])
        expected = MODEL.cycles(core.config, work)
        measured = core.last.counters["cycles_busy"]
        figures.append(Figure(f"cycles, {name}: RTL counter", measured, "cycles",
                              f"cycle model says {expected:,}",
                              measured == expected == core.last.cycles))
    return Table("Sparse chain: 32 x 256 x 64 on the simulated RTL, one chain", tuple(figures))


def _digits(progress: Progress) -> Table:
    """The network of the digits demo, pruned after training, its products on the RTL."""
    progress("digits on a sparse chain")
    data = digits.load_digits()
    trained = digits.train(data)
    core = systolith.load("sparse_chain", **DIGITS)
    requantizer = systolith.load("systolic", output="requant", backend="golden")
    figures, dense_cycles = [], 0
    for name in ("dense", "2:4", "2:8"):
        network = [Dense(prune(layer.weights, name), layer.bias, layer.relu) for layer in trained]
        codes, cycles = None, 0
        for layer in quantize_network(network, data.train):
            codes = layer.input.quantize(data.test) if codes is None else codes
            # The quantized weights keep the zeros, so the layer fits the pattern as it is.
            product = core(a=codes, w=layer.weights, patterns=name)["c"]
            same(product, codes.astype(np.int64) @ layer.weights)
            cycles += core.last.cycles
            codes = requantizer(a=codes, **layer.arguments)["c"]
        dense_cycles = dense_cycles or cycles
        accuracy = digits.accuracy(codes, data.test_labels)
        figures += [Figure(f"accuracy, {name}", 100 * accuracy, "%"),
                    Figure(f"cycles, {name}", cycles, "cycles",
                           "" if name == "dense" else
                           f"{dense_cycles / cycles:.2f} times fewer than dense")]
    return Table(f"Sparse chain: {len(data.test)} handwritten digits, both layers on the simulated "
                 "RTL", tuple(figures))


def _mixed_precision(progress: Progress) -> Table:
    """The same network in codes of 3 to 8 bits, 3.5 in the mean, pruned and not."""
    progress("digits in mixed precision")
    data = digits.load_digits()
    trained = digits.train(data)
    core = systolith.load("sparse_chain", **QUANTIZED)
    config = core.config
    stream = next(stream for stream in config.streams if stream.name == "w")
    requantizer = systolith.load("systolic", output="requant", backend="golden")
    figures = []
    for name in ("dense", "2:4"):
        network = [Dense(prune(layer.weights, name), layer.bias, layer.relu) for layer in trained]
        results = {}
        for bits in (8, 3.5):
            codes, moved, dense = None, 0, 0
            packed_bytes, kept, spent = 0, 0, 0.0
            for layer in quantize_network(network, data.train):
                codes = layer.input.quantize(data.test) if codes is None else codes
                packed = quantize(layer.weights, (config.cells, config.block_columns),
                                  parts=config.chains, bits=bits, patterns=name,
                                  allowed=config.patterns)
                product = core(a=codes, w=packed)["c"]
                expanded = packed.toarray().astype(np.int64)
                same(product, codes.astype(np.int64) @ expanded)
                work = MODEL.check(config, Workload(name, {"a": codes[:1], "w": packed}))
                beats = len(MODEL.pack(config, work).inputs["w"])
                moved, dense = moved + beats * stream.tdata_bits // 8, dense + layer.weights.size
                packed_bytes, kept = packed_bytes + packed.nbytes, kept + packed.kept
                spent += packed.average_bits * packed.kept
                # The zero point of the activations is folded into a sum over the weights used.
                codes = requantizer(a=codes, **layer.arguments | {"w": expanded})["c"]
            results[bits] = digits.accuracy(codes, data.test_labels)
        what = "not pruned" if name == "dense" else f"pruned to {name}"
        figures += [
            Figure(f"accuracy, {what}, int8", 100 * results[8], "%"),
            Figure(f"accuracy, {what}, mixed", 100 * results[3.5], "%"),
            at_most(f"mean width of a code, {what}", spent / kept, "bits", 3.5),
            Figure(f"bytes stored, {what}: patterns, widths, scales, codes, indices", packed_bytes,
                   "bytes", f"dense int8 takes {dense:,}"),
            Figure(f"bytes on w for each pass of the weights, {what}", moved, "bytes",
                   f"{dense / moved:.2f} times fewer than dense int8"),
        ]
    return Table(f"Sparse chain: {len(data.test)} handwritten digits in mixed precision, both "
                 "layers on the simulated RTL", tuple(figures),
                 "Codes of 3, 4, 5, 6 or 8 bits by block, the weights quantized after training; "
                 "every product equals that of the golden model's int8 weights.")


def _break_even(progress: Progress) -> Iterator[Grid | Plot]:
    """A sparse chain and a dense array with as many MACs, synthesized, placed and routed."""
    found = {}
    for name, values in (("sparse_chain", SPARSE), ("systolic", SYSTOLIC)):
        template = registry.get(name)
        core = elaborate(template, template.config.parse(values), name)
        found[name] = synthesize(core, DEVICE, pnr=True, progress=progress)
    rows = []
    for name, run in found.items():
        used = run.resources
        rows.append((name, *(used[what] for what in ("logic", "ff", "dsp", "bram")),
                     run.timing.fmax_mhz))
    sparse, dense = found["sparse_chain"], found["systolic"]
    speed = sparse.timing.fmax_mhz / dense.timing.fmax_mhz
    factors = {what: speed * dense.resources[what] / sparse.resources[what]
               for what in ("logic", "ff", "dsp")}
    limit = 1 / SparseChainConfig.parse(SPARSE).max_speedup
    path = " → ".join(step.name.removeprefix("u_inner.") for step in sparse.timing.critical_path)
    yield Grid("Sparse chain and dense array with 64 MACs per cycle, with their shells, ECP5-85",
               ("core", "LUT4 sites", "FF", "DSP", "block RAM", "Fmax, MHz"), tuple(rows),
               f"Parameters: {_settings(SPARSE)}; {_settings(SYSTOLIC)}; place and route with seed "
               "1. The array keeps no activations: its host feeds them for each tile of weights. "
               f"Longest path of the chain: `{path}`.")
    yield Grid("Density of weights below which the sparse chain wins",
               ("throughput", "density"), tuple(
                   (f"per {label}", min(factors[what], 1.0) if factors[what] >= limit
                    else "never") for what, label in (
                        ("logic", "LUT4"), ("ff", "FF"), ("dsp", "DSP"))),
               "Products per second, skipped ones included, by resource: density = Fmax of the "
               "chain · resource of the array / (Fmax of the array · resource of the chain), at "
               f"most 1; never, if that is below {limit:g}, the smallest that this instance makes "
               "use of.")

    def draw(axes) -> None:
        densities = np.linspace(0.05, 1, 200)
        for what, label in (("logic", "per LUT4"), ("dsp", "per DSP")):
            axes.plot(densities, factors[what] / np.maximum(densities, limit), label=label)
        axes.axhline(1, color="black", linewidth=0.8)
        axes.set_xlabel("density of the weights, N/M")
        axes.set_ylabel("throughput of the chain over the dense array")
        axes.set_ylim(bottom=0)
        axes.legend()

    yield Plot("Sparse chain over dense array, by density", "sparse_chain_break_even", draw,
               "Multiply-accumulates per second and resource, ECP5-85; the dense array is 1.")


def _settings(values: dict[str, Any]) -> str:
    return ", ".join(f"{key} {value}" for key, value in values.items())


def _product(config: SparseChainConfig, name: str, m: int, k: int, n: int) -> Workload:
    """Random operands; the weights pruned to a pattern, or to a random one for each block."""
    rng = np.random.default_rng(SEED)
    a, w = rng.integers(-128, 128, (m, k)), rng.integers(-128, 128, (k, n))
    rows, columns = config.cells, config.block_columns
    codes = np.full((-(-k // rows), -(-n // columns)), DENSE.code)
    codes[...] = (rng.choice([pattern.code for pattern in config.patterns], codes.shape)
                  if name == "mixed" else Pattern.parse(name).code)
    for row, column in np.ndindex(*codes.shape):
        block = np.s_[row * rows:(row + 1) * rows, column * columns:(column + 1) * columns]
        w[block] = prune(w[block], Pattern.from_code(int(codes[row, column])))
    arguments: dict[str, Any] = {"a": a, "w": w, "patterns": codes}
    return MODEL.check(config, Workload(name, arguments))
