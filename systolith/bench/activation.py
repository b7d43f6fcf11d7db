"""Figures of activation and norm: errors by function and implementation, area, clock rate."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from systolith.bench.results import Figure, Grid, Part, Plot, Progress, Table, at_most
from systolith.fpga.synthesis import synthesize
from systolith.generators import registry
from systolith.generators.core import elaborate
from systolith.hdl.activation.config import ActivationConfig
from systolith.hdl.formats import FloatFormat
from systolith.sim.activation import FUNCTIONS, MODEL
from systolith.sim.formats import decode, invalid
from systolith.sim.model import Workload

DEVICE = "ecp5-85k"
IMPLEMENTATIONS = ("table", "piecewise", "polynomial", "integer")
FORMATS = ("int8", "int16", "bf16", "fp16")
EXPONENTIAL = "exp, polynomial, bf16"
#: Cores that are also measured with four lanes, and whose clock rate is, as that of EXPONENTIAL.
SEVERAL_LANES = ("gelu, piecewise, int8", "gelu, integer, int8", "gelu, Edge-MoE, int32",
                 "silu, polynomial, bf16")
EDGE_MOE = registry.get("activation").presets["edge_moe"]


def tables(progress: Progress, *, quick: bool) -> Iterator[Part]:
    """Measure everything, a table at a time."""
    yield _published(progress)
    yield _errors(progress)
    yield _curves(progress)
    if not quick:
        yield _area(progress)
        yield _clock(progress)


def _config(function: str, implementation: str, format: str, **more: Any) -> ActivationConfig:
    return ActivationConfig.parse({"function": function, "implementation": implementation,
                                   "x_format": format, "y_format": format, **more})


def _choices() -> Iterator[tuple[str, str]]:
    for function in FUNCTIONS:
        for implementation in IMPLEMENTATIONS:
            if implementation != "integer" or function in ("gelu", "exp"):
                yield function, implementation


def _differences(config: ActivationConfig, step: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """f(x), and y less it, for every x of which f is in range, or every ``step``-th."""
    if isinstance(config.x, FloatFormat):
        codes = np.arange(1 << config.x.bits)
        given = x = decode(config.x, codes[~invalid(config.x, codes)])
    else:
        given = np.arange(config.x.code_low, config.x.code_high + 1, step)
        x = np.ldexp(given.astype(float), config.x.lsb_exponent)
    if config.implementation == "integer" and config.function == "exp":
        given, x = given[x <= 0], x[x <= 0]
    y = MODEL.golden(config, MODEL.check(config, Workload("", {"x": given[None]})))["y"][0]
    y = y.astype(float)
    if not isinstance(config.y, FloatFormat):
        y = np.ldexp(y, config.y.lsb_exponent)
    with np.errstate(over="ignore"):
        exact = FUNCTIONS[config.function](x)
    inside = (exact >= config.y.low) & (exact <= config.y.high) & np.isfinite(y)
    return exact[inside], (y[inside] - exact[inside])


def _published(progress: Progress) -> Table:
    progress("published errors")
    table = ActivationConfig.parse(dict(EDGE_MOE))
    x = np.arange(-6 << 22, 6 << 22, 7)
    y = MODEL.golden(table, MODEL.check(table, Workload("", {"x": x[None]})))["y"][0]
    edge_moe = np.abs(y / 2**22 - FUNCTIONS["gelu"](x / 2**22)).max()
    gelu = _config("gelu", "integer", "int16", x_fraction=12, y_fraction=12)
    power = _config("exp", "integer", "int16", x_fraction=12, y_fraction=14)
    figures = [
        at_most("GELU, table of 177 entries (Edge-MoE), every 7th input from −6 to 6: largest "
                "error", edge_moe, "", 1e-4),
        Figure("the same: entries", table.curve_segments.count + 1, "entries", "177",
               table.curve_segments.count == 176),
        at_most("integer GELU (I-BERT), int16 with 12 fraction bits: largest error",
                np.abs(_differences(gelu)[1]).max(), "", 0.0185),
        Figure("integer exp (I-BERT), int16 with 12 fraction bits: largest error",
               np.abs(_differences(power)[1]).max(), "",
               "polynomial alone 1.9e-3; the integer of ln 2 adds to it"),
    ]
    bf16 = _config("exp", "polynomial", "bf16")
    rng = np.random.default_rng(1)
    x = rng.uniform(-10 * np.log(2), 0, (1, 200_000)).astype(np.float32)
    x = MODEL.golden(bf16, MODEL.check(bf16, Workload("", {"x": x})))["y"], x
    rounded = decode(bf16.x, _bf16(x[1]))
    exact = np.exp(rounded)
    floor = np.abs(decode(bf16.y, _bf16(exact)) / exact - 1).mean()
    mean = 100 * np.abs(x[0] / exact - 1).mean()
    figures += [
        at_most("exp, bf16 in and out, uniform in [−10·ln 2, 0] and then rounded to bf16: mean "
                "relative error over that of correct rounding", mean / (100 * floor), "times",
                1.005),
        Figure("the same: mean relative error", mean, "%",
               f"correct rounding gives {100 * floor:.4f}"),
    ]
    return Table("Published errors", tuple(figures))


def _bf16(values: np.ndarray) -> np.ndarray:
    from systolith.hdl.formats import BF16
    from systolith.sim.formats import quantize

    return quantize(BF16, values)


def _errors(progress: Progress) -> Grid:
    rows = []
    for function, implementation in _choices():
        progress(f"error of {function}, {implementation}")
        for format in FORMATS:
            if implementation == "integer" and format not in ("int8", "int16"):
                continue
            config = _config(function, implementation, format)
            exact, error = _differences(config)
            bound = config.max_error
            normal = np.abs(exact) >= getattr(config.y, "smallest_normal", None) \
                if isinstance(config.y, FloatFormat) else None
            relative = (None if normal is None else
                        100 * float(np.abs(error[normal] / exact[normal]).mean()))
            absolute = function != "exp" or normal is None
            segments = (None if implementation == "integer" else
                        config.exponential.segments.count if function == "exp"
                        else config.curve_segments.count)
            limit = (None if bound is None else
                     f"{bound[0]:.2g}" if not bound[1] else
                     f"{bound[1]:.2g} · f" if function == "exp" else
                     f"{bound[0]:.2g} + {bound[1]:.2g} · f")
            rows.append((f"{function}, {implementation}, {format}", segments,
                         f"{np.abs(error).max():.2g}" if absolute else None, limit,
                         f"{np.abs(error).mean():.2g}" if absolute else None,
                         None if relative is None else f"{relative:.3g}"))
    return Grid("Error of every input against float64",
                ("function, implementation, x and y", "segments", "largest error", "bound",
                 "mean error", "mean relative error, %"), tuple(rows),
                "Automatic parameters; every input of which f is in the range of y, floats in all "
                "their 65,536 codes. Errors include the rounding of y: half a unit is 0.031 of "
                "int8 with 4 fraction bits, and 0.002 of int16 with 8. Relative errors are of "
                "normal numbers; where y is far below the error of d, as of gelu far on the left, "
                "they are large.")


def _curves(progress: Progress) -> Plot:
    progress("error over x")
    lines = []
    for implementation in IMPLEMENTATIONS:
        more = {} if implementation == "integer" else {"segment_fraction": 3, "precision": 20}
        config = ActivationConfig.parse({
            "implementation": implementation, "x_format": "int16", "x_fraction": 12,
            "y_format": "int32", "y_fraction": 24, **more})
        x = np.arange(-6 << 12, 6 << 12, 16)
        y = MODEL.golden(config, MODEL.check(config, Workload("", {"x": x[None]})))["y"][0]
        label = implementation if implementation == "integer" else \
            f"{implementation}, segments of 1/8"
        lines.append((label, x / 2**12, np.abs(y / 2.0**24 - FUNCTIONS["gelu"](x / 2**12))))

    def draw(axes) -> None:
        for label, x, error in lines:
            axes.semilogy(x, np.maximum(error, 1e-8), label=label, linewidth=0.8)
        axes.set_xlabel("x")
        axes.set_ylabel("|error|")
        axes.legend()

    return Plot("GELU: error over x by implementation", "activation_error", draw,
                "int16 with 12 fraction bits in, 24 fraction bits out; a constant, a line or a "
                "parabola on each segment of 1/8, and I-BERT's parabola of erf.")


def _cores(lanes: int) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    for function, implementation in _choices():
        yield (f"{function}, {implementation}, int8", "activation",
               {"function": function, "implementation": implementation, "lanes": lanes})
    yield "gelu, Edge-MoE, int32", "activation", {**EDGE_MOE, "lanes": lanes}
    yield ("silu, polynomial, bf16", "activation",
           {"function": "silu", "implementation": "polynomial", "x_format": "bf16",
            "y_format": "bf16", "lanes": lanes})
    yield (EXPONENTIAL, "activation",
           {"function": "exp", "implementation": "polynomial", "x_format": "bf16",
            "y_format": "bf16", "lanes": lanes})
    yield "norm, int8", "norm", {"lanes": lanes}
    yield ("norm, bf16", "norm", {"lanes": lanes, "x_format": "bf16", "x_fraction": 12,
                                  "y_format": "bf16"})


def _core(template: str, values: Mapping[str, Any], **more: Any):
    found = registry.get(template)
    return elaborate(found, found.config.parse({**values, **more}), "core")


def _area(progress: Progress) -> Grid:
    rows = []
    for lanes in (1, 4):
        for label, template, values in _cores(lanes):
            if lanes > 1 and template == "activation" and label not in SEVERAL_LANES:
                continue
            core = _core(template, values)
            ecp5 = synthesize(core, DEVICE, progress=progress).resources
            gates = synthesize(core, "gates", by_module=True,
                               progress=progress).resources
            rows.append((f"{label}, {lanes} lane{'s' * (lanes > 1)}",
                         *(ecp5[name] for name in ("lut", "carry", "ff", "dsp", "bram")),
                         gates["gates"], gates["memory_bits"]))
    return Grid(f"Area, whole cores: {DEVICE} and gate equivalents",
                ("core", "LUT", "carry", "FF", "DSP", "BRAM", "gate equivalents", "bits of memory"),
                tuple(rows), "Gate equivalents module by module.")


def _clock(progress: Progress) -> Table:
    figures = []
    for label, template, values in _cores(1):
        if template == "activation" and label not in (*SEVERAL_LANES, EXPONENTIAL):
            continue
        timing = synthesize(_core(template, values, technology="ecp5"), DEVICE, pnr=True,
                            goal_mhz=200, progress=progress).timing
        figures.append(Figure(f"{label}, 1 lane: clock", timing.fmax_mhz, "MHz"))
    return Table(f"Clock rate on {DEVICE}, place and route of the whole core", tuple(figures))
