"""Figures of the engines for weights of a few bits: one matrix-vector product on all of them."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

import systolith
from systolith.bench.results import SEED, Figure, Grid, Part, Plot, Progress, Table
from systolith.demo import digits
from systolith.demo.quantize import Dense
from systolith.fpga.synthesis import synthesize
from systolith.generators import registry
from systolith.generators.core import elaborate
from systolith.hdl.formats import parse_format
from systolith.sim.formats.groups import quantize_groups
from systolith.sim.model import Workload

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SIZE = 2048
DEVICE = "ecp5-85k"
#: Template and parameters of each engine, by the name in the tables.
ENGINES: dict[str, tuple[str, dict[str, Any]]] = {
    "bitserial": ("bitserial", {"rows": 1, "cols": 8}),
    "bitplane": ("bitplane", {"rows": 1, "cols": 8, "word": 32, "max_w_bits": 4, "max_k": SIZE}),
    "lut_gemv": ("lut_gemv", {"rows": 16, "max_k": SIZE}),
    "ternary, 1.6 bits": ("ternary", {"rows": 8, "word": 20, "max_k": 2060}),
    "ternary, 2 bits": ("ternary", {"rows": 8, "word": 20, "packing": "2bit", "max_k": 2060}),
}
#: Bits of a weight to the engines that have them.
RUNS: dict[float, tuple[str, ...]] = {
    4: ("bitserial", "bitplane", "lut_gemv"),
    3: ("bitserial", "bitplane", "lut_gemv"),
    2: ("bitplane", "lut_gemv"),
    1.58: ("ternary, 1.6 bits", "ternary, 2 bits", "bitplane", "lut_gemv"),
    1: ("bitplane", "lut_gemv"),
}
#: Rows whose results are computed, to compare with the product in floats.
ROWS = 64
NOTE = ("Cycles from the cycle models, which the regressions hold to the RTL. Activations are "
        "int8, by the largest of the vector; those of bitserial are fp16. Error: root mean square "
        "of y − W·a over that of W·a, normal random W and a, a scale per row (bitserial: per 128 "
        f"weights), {ROWS} rows. Bytes are those of the packed weights alone. Area of the whole "
        f"core on {DEVICE}; LUT: LUT4, and two for each carry cell.")


def tables(progress: Progress, *, quick: bool) -> Iterator[Part]:
    """Measure everything, a part at a time; the area is left out if ``quick``."""
    rows = _product(progress, quick)
    yield Grid(f"One matrix-vector product, {SIZE} x {SIZE}",
               ("weight bits", "engine", "cycles", "weight bytes", "error %", "LUT", "FF", "BRAM",
                "LUT · cycles, million"), tuple(rows), NOTE)
    yield Plot("Cycles and error by engine and precision", "low_precision",
               lambda axes: _draw(axes, rows),
               "Marks of the same form belong to the same engine; labels are bits of a weight.")
    yield _linear()
    yield _digits(progress)


def _core(engine: str):
    template, values = ENGINES[engine]
    return systolith.load(template, backend="golden", **values)


def _product(progress: Progress, quick: bool) -> list[tuple[Any, ...]]:
    rng = np.random.default_rng(SEED)
    w, a = rng.normal(size=(SIZE, SIZE)), rng.normal(size=SIZE)
    area = {engine: (None, None, None) if quick else _area(progress, engine)
            for engine in ENGINES}
    rows = []
    for bits, engines in RUNS.items():
        for engine in engines:
            progress(f"{bits} bits on {engine}")
            arguments, stored = _operands(engine, bits, w, a)
            cycles = _cycles(engine, arguments)
            y = _result(engine, bits, w[:ROWS], a)
            exact = w[:ROWS] @ a
            error = np.sqrt(((y - exact) ** 2).mean() / (exact**2).mean())
            lut, ff, bram = area[engine]
            rows.append((f"{bits:g}", engine, cycles, SIZE * SIZE * stored / 8, float(100 * error),
                         lut, ff, bram, None if lut is None else lut * cycles / 1e6))
    return rows


def _area(progress: Progress, engine: str) -> tuple[float, float, float]:
    progress(f"synthesis of {engine}")
    name, values = ENGINES[engine]
    template = registry.get(name)
    core = elaborate(template, template.config.parse(values), name)
    resources = synthesize(core, DEVICE).resources
    return resources["logic"], resources["ff"], resources["bram"]


def quantize_rows(w: np.ndarray, bits: float) -> tuple[np.ndarray, np.ndarray]:
    """Integers and a scale per row: of the scales tried, the one of least squared error.

    4, 3 and 2 bits: two's complement; 1.58: −1, 0, 1; 1: −1, 1.
    """
    if bits == 1:
        return np.where(w < 0, -1, 1), np.abs(w).mean(1)
    low, high = (-1, 1) if bits < 2 else (-1 << int(bits) - 1, (1 << int(bits) - 1) - 1)
    # The more negative end takes the larger magnitude.
    best, codes, scales = np.full(len(w), np.inf), np.zeros(w.shape, int), np.zeros(len(w))
    for share in np.linspace(0.1, 1.1, 51):
        scale = share * np.abs(w).max(1) / max(high, 1)
        trial = np.clip(np.rint(w / scale[:, None]), low, high).astype(int)
        error = ((trial * scale[:, None] - w) ** 2).sum(1)
        better = error < best
        codes[better], scales[better], best = trial[better], scale[better], np.minimum(best, error)
    return codes, scales


def _operands(engine: str, bits: float, w: np.ndarray,
              a: np.ndarray) -> tuple[dict[str, Any], float]:
    """Arguments of a call for weights of so many bits, without scales; bits that a weight takes."""
    if engine == "bitserial":
        format = parse_format(f"bitmod{bits}")
        codes, _, select = quantize_groups(format, w)
        return {"a": a[None], "w": codes, "types": format.name,
                "select": select}, bits
    codes, _ = quantize_rows(w, bits)
    return _integer_operands(engine, bits, _int8(a)[0][None], codes)


def _integer_operands(engine: str, bits: float, a: np.ndarray,
                      codes: np.ndarray) -> tuple[dict[str, Any], float]:
    """Of integer activations (V, K) and weights (M, K)."""
    planes = max(int(np.ceil(bits)), 1)
    if engine == "bitplane":
        if bits == 1:
            # 2a + 1 is what bipolar8 holds: the results are 2 · (W · a) + Σ W.
            return {"a": 2 * a + 1, "w": codes.T, "a_format": "bipolar8",
                    "w_format": "bipolar1"}, 1
        return {"a": a, "w": codes.T, "a_format": "int8", "w_format": f"int{planes}"}, planes
    if engine == "lut_gemv":
        return {"a": a, "w": codes, "bits": planes, "bipolar": bits == 1}, planes
    return {"a": a, "w": codes}, 1.6 if "1.6" in engine else 2


def _int8(a: np.ndarray) -> tuple[np.ndarray, float]:
    scale = float(np.abs(a).max()) / 127
    return np.rint(a / scale).astype(int), scale


def _cycles(engine: str, arguments: dict[str, Any]) -> int:
    core = _core(engine)
    template = registry.get(ENGINES[engine][0])
    model = template.load_model()
    arrays = {name: value for name, value in arguments.items() if np.ndim(value)}
    settings = {name: value for name, value in arguments.items() if not np.ndim(value)}
    work = model.check(core.config, Workload(engine, arrays, settings))
    return model.cycles(core.config, work)


def _result(engine: str, bits: float, w: np.ndarray, a: np.ndarray) -> np.ndarray:
    """W · a as the engine gives it, in floats."""
    arguments, _ = _operands(engine, bits, w, a)
    if engine == "bitserial":
        # A group at a time, so that its scale can be what it is in floats.
        format = parse_format(f"bitmod{bits}")
        _, scales, _ = quantize_groups(format, w)
        core, y = _core(engine), np.zeros(len(w))
        for group in range(scales.shape[1]):
            part = np.s_[:, 128 * group:128 * (group + 1)]
            y += core(a=arguments["a"][part], w=arguments["w"][part], types=arguments["types"],
                      select=arguments["select"][:, group:group + 1])["y"][0] * scales[:, group]
        return y
    codes, scales = quantize_rows(w, bits)
    _, scale = _int8(a)
    return _product_of(engine, bits, arguments, codes)[0] * scales * scale


def _product_of(engine: str, bits: float, arguments: dict[str, Any],
                codes: np.ndarray) -> np.ndarray:
    """Integer results (V, M)."""
    result = _core(engine)(**arguments)
    if engine == "bitplane":
        c = result["c"]
        return (c - codes.sum(1)) // 2 if bits == 1 else c
    return result["y"]


def _draw(axes: "Axes", rows: list[tuple[Any, ...]]) -> None:
    for engine, mark in zip(ENGINES, "os^Dv", strict=True):
        mine = [row for row in rows if row[1] == engine]
        axes.plot([row[2] for row in mine], [row[4] for row in mine], mark, label=engine)
        for row in mine:
            axes.annotate(row[0], (row[2], row[4]), textcoords="offset points", xytext=(5, 4))
    axes.set_xscale("log", base=2)
    axes.set_xlabel("cycles")
    axes.set_ylabel("error, %")
    axes.legend()
    axes.grid(alpha=0.3)


def _linear() -> Table:
    """What table lookup saves."""
    rng = np.random.default_rng(SEED)
    a = rng.integers(-128, 128, (1, SIZE))
    cycles = []
    for bits in (1, 2, 3, 4):
        w = rng.integers(-1 << bits - 1, 1 << bits - 1, (SIZE, SIZE))
        cycles.append(_cycles("lut_gemv", {"a": a, "w": w, "bits": bits}))
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


def _digits(progress: Progress) -> Grid:
    """The network of the digits demo, its weights quantized after training."""
    data = digits.load_digits()
    trained = digits.train(data)
    rows = [("float", "–", 100 * digits.accuracy(_float(trained, data.test), data.test_labels),
             None)]
    for bits, engines in RUNS.items():
        for engine in engines:
            if engine == "bitserial":
                continue                                 # its groups are longer than the rows
            progress(f"digits, {bits} bits on {engine}")
            cycles, x = 0, data.test
            for layer in trained:
                codes, scales = quantize_rows(np.asarray(layer.weights).T, bits)
                a, scale = _int8(x)
                arguments, _ = _integer_operands(engine, bits, a, codes)
                y = _product_of(engine, bits, arguments, codes)
                cycles += _cycles(engine, arguments)
                x = y * scales * scale + layer.bias
                x = np.maximum(x, 0) if layer.relu else x
            rows.append((f"{bits:g}", engine, 100 * digits.accuracy(x, data.test_labels), cycles))
    return Grid(f"{len(data.test)} handwritten digits, both layers quantized after training",
                ("weight bits", "engine", "accuracy %", "cycles"), tuple(rows),
                "Weights with a scale per output, activations of int8 with one scale per layer; "
                "values from the golden models, cycles from the cycle models.")


def _float(layers: tuple[Dense, ...], x: np.ndarray) -> np.ndarray:
    for layer in layers:
        x = layer(x)
    return x
