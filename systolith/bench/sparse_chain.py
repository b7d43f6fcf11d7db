"""Figures of the sparse chain: cycles by pattern, digits with pruned weights."""

from collections.abc import Iterator
from typing import Any

import numpy as np

import systolith
from systolith.bench.results import SEED, Figure, Progress, Table, at_least, same
from systolith.demo import digits
from systolith.demo.quantize import Dense, quantize_network
from systolith.hdl.formats.patterns import DENSE, Pattern
from systolith.hdl.sparse_chain.config import SparseChainConfig
from systolith.sim.model import Workload
from systolith.sim.sparse import prune
from systolith.sim.sparse_chain import MODEL

LARGE = {"chains": 4}                                    # 4 chains of 16 cells, 2 tokens each
SMALL = {"chains": 1, "cells": 16, "max_tokens": 8, "buffer_depth": 64}
DIGITS = {"chains": 1, "cells": 16, "max_tokens": 16, "buffer_depth": 32}
PATTERNS = ("dense", "2:4", "1:4", "4:8", "2:8", "2:16", "mixed")


def tables(progress: Progress, *, quick: bool) -> Iterator[Table]:
    """Measure everything, a table at a time."""
    yield _utilization(progress)
    yield _rtl(progress)
    yield _digits(progress)


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
