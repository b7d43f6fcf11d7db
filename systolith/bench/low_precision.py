"""Figures of the engines for weights of a few bits: one matrix-vector product on all of them."""

from collections.abc import Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import numpy as np

from systolith.bench import adders, bitserial, engines
from systolith.bench.engines import ENGINES, RUNS, SIZE
from systolith.bench.results import SEED, Figure, Grid, Part, Plot, Progress, Table, same
from systolith.demo import digits, matmul_free
from systolith.demo.quantize import Dense
from systolith.fpga.synthesis import synthesize
from systolith.generators import registry

if TYPE_CHECKING:
    from matplotlib.axes import Axes

DEVICE = "ecp5-85k"
#: Rows whose results are computed, to compare with the product in floats.
ROWS = 64
VECTORS = 32
#: Weights whose changes are counted: the difference of so many rows, of so many columns.
COUNTED_ROWS, COUNTED_COLUMNS = (32, 64), 640
NOTE = ("Cycles from the cycle models, which the regressions hold to the RTL. Activations are "
        "int8, by the largest of the vector; those of bitserial are fp16. Error: root mean square "
        "of y − W·a over that of W·a, normal random W and a, a scale per row (bitserial: per 128 "
        f"weights), {ROWS} rows, {VECTORS} vectors. Bytes are those of the packed weights alone.")
AREA = (f"Area of the whole core on {DEVICE}; LUT: LUT4, and two for each carry cell. Changes of "
        "nets stand for energy: counted in simulation of the flattened core, without clock, "
        "insides of memories and glitches, over "
        f"{COUNTED_ROWS[1] - COUNTED_ROWS[0]} rows of {COUNTED_COLUMNS} weights in full flow, and "
        "scaled to all weights.")
LAYER = {"channels": 256, "hidden": 768, "tokens": 8}
SMALL_LAYER = {"channels": 24, "hidden": 40, "tokens": 4}


def tables(progress: Progress, *, quick: bool) -> Iterator[Part]:
    """Measure everything, a part at a time; ``quick`` leaves out what is synthesized."""
    with ExitStack() as stack:
        rows = _product(progress, stack, quick)
    columns = ("weight bits", "engine", "cycles", "weight bytes", "error %", "LUT", "FF", "BRAM",
               "LUT · cycles, million", "net changes, million")
    shown = 5 if quick else len(columns)
    yield Grid(f"One matrix-vector product, {SIZE} x {SIZE}", columns[:shown],
               tuple(row[:shown] for row in rows), NOTE if quick else f"{NOTE} {AREA}")
    yield Plot("Cost and error by engine and precision", "low_precision",
               lambda axes: _draw(axes, rows, quick),
               "Marks of the same form belong to the same engine; labels are bits of a weight.")
    yield _linear()
    if not quick:
        yield adders.saved(progress)
        yield from adders.planes_against_products(progress)
    yield _digits(progress, "golden" if quick else "sim")
    yield _layer(progress, **(SMALL_LAYER if quick else LAYER))


def _product(progress: Progress, stack: ExitStack, quick: bool) -> list[tuple[Any, ...]]:
    rng = np.random.default_rng(SEED)
    w, a = rng.normal(size=(ROWS, SIZE)), rng.normal(size=(VECTORS, SIZE))
    area, counters = {}, {}
    for engine in () if quick else ENGINES:
        from systolith.bench.toggles import Counter

        progress(f"synthesis of {engine}")
        area[engine] = synthesize(engines.generate(engine), DEVICE).resources
        progress(f"counting changes in {engine}")
        counters[engine] = stack.enter_context(Counter(engines.generate(engine)))
    rows = []
    for bits, names in RUNS.items():
        for engine in names:
            progress(f"{bits} bits on {engine}")
            arguments, stored = engines.operands(engine, bits, w, a[:1])
            # The same rows again and again: cycles do not depend on values.
            for name in {"w", "select"} & arguments.keys():
                times = (1, SIZE // ROWS) if engine == "bitplane" else (SIZE // ROWS, 1)
                arguments[name] = np.tile(arguments[name], times)
            cycles = engines.cycles(engine, arguments)
            exact = a @ w.T
            error = np.sqrt(((engines.result(engine, bits, w, a) - exact)**2).mean()
                            / (exact**2).mean())
            row = (f"{bits:g}", engine, cycles, SIZE * SIZE * stored / 8, float(100 * error))
            if not quick:
                found = area[engine]
                row += (found["logic"], found["ff"], found["bram"], found["logic"] * cycles / 1e6,
                        _changes(counters[engine], engine, bits, w, a[:1]) / 1e6)
            rows.append(row)
    return rows


def _changes(counter: Any, engine: str, bits: float, w: np.ndarray, a: np.ndarray) -> float:
    """Changes of nets in the whole product, from some rows more of a shorter one."""
    counts = []
    for rows in COUNTED_ROWS:
        arguments, _ = engines.operands(engine, bits, w[:rows, :COUNTED_COLUMNS],
                                        a[:, :COUNTED_COLUMNS])
        counts.append(counter.changes(engines.workload(engine, arguments))[0])
    weights = (COUNTED_ROWS[1] - COUNTED_ROWS[0]) * COUNTED_COLUMNS
    return (counts[1] - counts[0]) / weights * SIZE**2


def _draw(axes: "Axes", rows: list[tuple[Any, ...]], quick: bool) -> None:
    cost = 2 if quick else 8
    for engine, mark in zip(ENGINES, "os^Dv", strict=True):
        mine = [row for row in rows if row[1] == engine]
        axes.plot([row[cost] for row in mine], [row[4] for row in mine], mark, label=engine)
        for row in mine:
            axes.annotate(row[0], (row[cost], row[4]), textcoords="offset points", xytext=(5, 4))
    axes.set_xscale("log", base=2)
    axes.set_xlabel("cycles" if quick else "LUT · cycles, million")
    axes.set_ylabel("error, %")
    axes.legend()


def _linear() -> Table:
    """What table lookup takes."""
    rng = np.random.default_rng(SEED)
    a = rng.integers(-128, 128, (1, SIZE))
    cycles = []
    for bits in (1, 2, 3, 4):
        w = rng.integers(-1 << bits - 1, 1 << bits - 1, (SIZE, SIZE))
        cycles.append(engines.cycles("lut_gemv", {"a": a, "w": w, "bits": bits}))
    step = cycles[1] - cycles[0]
    constant = cycles[0] - step
    figures = [Figure(f"cycles, {bits} bits", count, "cycles", f"{bits} · {step:,} + {constant}",
                      count == bits * step + constant)
               for bits, count in zip((1, 2, 3, 4), cycles, strict=True)]
    config = registry.get("lut_gemv").config.parse({"a_format": "fp16", "table": "int8"})
    stored = 8 * config.entry.bits
    exact = registry.get("lut_gemv").config.parse({}).unquantized.bits
    figures += [
        Figure("table storage over 16 entries of fp16", stored / (16 * 16), "times", "a quarter",
               stored / (16 * 16) == 0.25),
        Figure(f"table storage over 16 exact sums of int8 (of ±127: {exact - 1} bits)",
               stored / (16 * (exact - 1)), "times", "0.4", stored / (16 * (exact - 1)) == 0.4),
    ]
    for bits, other, adds in ((2, "ternary", 1), (1, "bit-plane sums (an add per weight bit)", 1),
                              (4, "bit-plane sums (an add per weight bit)", 4)):
        # A lookup of four weights and a plane is one addition; a table takes 12, once for all rows.
        lookups = bits / 4 + 12 / 4 / SIZE
        figures.append(Figure(f"additions of activations, {bits} bits, {other} over lut_gemv",
                              adds / lookups, "times"))
    return Table("lut_gemv: time, storage and additions", tuple(figures))


def _digits(progress: Progress, backend: str) -> Grid:
    """The network of the digits demo, its weights quantized after training, on every engine."""
    data = digits.load_digits()
    trained = digits.train(data)
    rows: list[tuple[Any, ...]] = [
        ("float", "–", 100 * digits.accuracy(_float(trained, data.test), data.test_labels), None)]
    serial = bitserial.run_digits(backend=backend, progress=progress)
    rows += [(name, "bitserial", 100 * run.accuracy, run.cycles) for name, run in serial.items()]
    cores: dict[str, Any] = {}
    for bits, names in RUNS.items():
        for engine in names:
            if engine == "bitserial":
                continue
            progress(f"digits, {bits} bits on {engine}")
            core = cores.setdefault(engine, engines.load(engine, backend))
            golden = engines.load(engine)
            cycles, x = 0, data.test
            for layer in trained:
                codes, scales = engines.quantize_rows(np.asarray(layer.weights).T, bits)
                a, scale = engines.int8(x)
                arguments, _ = engines.integer_operands(engine, bits, a, codes)
                y = engines.integer_product(core, bits, arguments, codes)
                same(y, engines.integer_product(golden, bits, arguments, codes))
                cycles += core.last.cycles
                x = y * scales * scale + layer.bias
                x = np.maximum(x, 0) if layer.relu else x
            rows.append((f"{bits:g}", engine, 100 * digits.accuracy(x, data.test_labels), cycles))
    where = "on the simulated RTL" if backend == "sim" else "on the golden models"
    return Grid(f"{len(data.test)} handwritten digits, both layers quantized after training, "
                f"{where}", ("weights, bits or type", "engine", "accuracy %", "cycles"),
                tuple(rows),
                "Weights with a scale per output, activations of int8 with a scale per image; of "
                f"bitserial ({bitserial.DIGITS['rows']} × {bitserial.DIGITS['cols']} PEs) a scale "
                f"per {bitserial.DIGITS['group']} weights, activations of fp16.")


def _float(layers: tuple[Dense, ...], x: np.ndarray) -> np.ndarray:
    for layer in layers:
        x = layer(x)
    return x


def _layer(progress: Progress, channels: int, hidden: int, tokens: int) -> Table:
    """A whole layer without matrix multiplications on the cores."""
    progress("compiling the cores of a layer without matrix multiplications")
    cores = matmul_free.Cores.load(channels, hidden)
    layer = matmul_free.Layer.random(channels, hidden, SEED)
    x = np.random.default_rng(SEED).normal(size=(tokens, channels))
    codes = np.rint(x * 2**matmul_free.FRACTION).astype(int)
    progress("running the layer")
    y, steps = matmul_free.run(cores, layer, codes)
    _, expected = matmul_free.run(matmul_free.Cores.load(channels, hidden, backend="golden"),
                                  layer, codes)
    right = sum(not list(matmul_free.differences([want], [got]))
                for want, got in zip(expected, steps, strict=True))
    by_core = matmul_free.cycles_by_core(steps)
    figures = [Figure(f"cycles per token, {name}", count / tokens, "cycles")
               for name, count in by_core.items()]
    figures.append(Figure("cycles per token, one core after the other",
                          sum(by_core.values()) / tokens, "cycles"))
    figures.append(Figure("calls whose every bit and cycle are those of the models", right,
                          "calls", f"{len(steps)}", right == len(steps)))
    got = y / 2**matmul_free.FRACTION
    exact = [matmul_free.reference(layer, x, quantized=quantized) for quantized in (True, False)]
    figures += [
        Figure("error against float64 with activations of int8", _error(got, exact[0]), "%"),
        Figure("error against float64", _error(got, exact[1]), "%"),
        Figure("what activations of int8 alone cost", _error(exact[0], exact[1]), "%"),
    ]
    config = cores.ternary.config
    return Table(
        f"A layer without matrix multiplications, {channels} channels, simulated RTL",
        tuple(figures),
        f"MLGRU and a gated linear unit of {hidden} (docs/gating.md), random weights, a sequence "
        f"of {tokens} tokens. {config.rows} rows of {config.word} weights at a time in ternary, "
        f"{cores.norm.config.lanes} lanes elsewhere. Errors: root mean square over that of the "
        "result.")


def _error(got: np.ndarray, want: np.ndarray) -> float:
    return float(100 * np.sqrt(((got - want)**2).mean() / (want**2).mean()))
