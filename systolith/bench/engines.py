"""The engines for weights of a few bits, and what each takes for the same product."""

from typing import Any

import numpy as np

import systolith
from systolith.generators import registry
from systolith.generators.core import GeneratedCore, elaborate
from systolith.hdl.formats import parse_format
from systolith.sim.formats.groups import quantize_groups
from systolith.sim.model import Workload

SIZE = 2048
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


def load(engine: str, backend: str = "golden") -> Any:
    """The core of an engine as a function."""
    template, values = ENGINES[engine]
    return systolith.load(template, backend=backend, **values)


def generate(engine: str) -> GeneratedCore:
    """Its Verilog."""
    name, values = ENGINES[engine]
    template = registry.get(name)
    return elaborate(template, template.config.parse(values), name)


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


def operands(engine: str, bits: float, w: np.ndarray,
             a: np.ndarray) -> tuple[dict[str, Any], float]:
    """Arguments of a call for weights of so many bits, without scales; bits that a weight takes."""
    if engine == "bitserial":
        format = parse_format(f"bitmod{bits}")
        codes, _, select = quantize_groups(format, w)
        return {"a": a, "w": codes, "types": format.name,
                "select": select}, bits
    codes, _ = quantize_rows(w, bits)
    return integer_operands(engine, bits, int8(a)[0], codes)


def integer_operands(engine: str, bits: float, a: np.ndarray,
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


def int8(a: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Vectors (V, K) in int8, and a scale for each (V, 1)."""
    scale = np.abs(a).max(1, keepdims=True) / 127
    return np.rint(a / scale).astype(int), scale


def workload(engine: str, arguments: dict[str, Any]) -> Workload:
    """A call of the engine, checked."""
    core = load(engine)
    arrays = {name: value for name, value in arguments.items() if np.ndim(value)}
    settings = {name: value for name, value in arguments.items() if not np.ndim(value)}
    return registry.get(ENGINES[engine][0]).load_model().check(
        core.config, Workload(engine, arrays, settings))


def cycles(engine: str, arguments: dict[str, Any]) -> int:
    """What the cycle model says."""
    model = registry.get(ENGINES[engine][0]).load_model()
    return model.cycles(load(engine).config, workload(engine, arguments))


def result(engine: str, bits: float, w: np.ndarray, a: np.ndarray) -> np.ndarray:
    """W · a of every vector as the engine gives it, in floats, (V, M)."""
    arguments, _ = operands(engine, bits, w, a)
    if engine == "bitserial":
        # A group at a time, so that its scale can be what it is in floats.
        format = parse_format(f"bitmod{bits}")
        _, scales, _ = quantize_groups(format, w)
        core, y = load(engine), np.zeros((len(a), len(w)))
        for group in range(scales.shape[1]):
            part = np.s_[:, 128 * group:128 * (group + 1)]
            y += core(a=arguments["a"][part], w=arguments["w"][part], types=arguments["types"],
                      select=arguments["select"][:, group:group + 1])["y"] * scales[:, group]
        return y
    codes, scales = quantize_rows(w, bits)
    _, scale = int8(a)
    return integer_product(load(engine), bits, arguments, codes) * scales * scale


def integer_product(core: Any, bits: float, arguments: dict[str, Any],
                    codes: np.ndarray) -> np.ndarray:
    """Integer results (V, M) of a core that :func:`load` gave."""
    result = core(**arguments)
    if "c" in result:
        c = result["c"]
        return (c - codes.sum(1)) // 2 if bits == 1 else c
    return result["y"]
