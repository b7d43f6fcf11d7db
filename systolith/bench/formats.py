"""What number formats cost: gates and ECP5 cells of whole cores, PEs, multiply-accumulate units and
decoders; latency, accumulators; and what papers say of the same."""

from collections.abc import Iterator, Mapping

from amaranth.lib import wiring

from systolith.bench.results import Figure, Grid, Progress, Table
from systolith.fpga.synthesis import synthesize
from systolith.generators import registry
from systolith.generators.core import elaborate
from systolith.hdl.arithmetic.mac import ExactMac, OperandDecoder, RoundedMac
from systolith.hdl.formats import IntegerFormat, Operand, parse_format, product_format
from systolith.hdl.systolic.config import SystolicConfig
from systolith.hdl.systolic.mesh import processing_element
from systolith.hdl.systolic.timing import latency

FORMATS = ("int4", "int8", "bipolar4", "ternary", "fp4e2m1", "fp6e2m3", "fp6e3m2", "fp8e2m5",
           "fp8e3m4", "fp8e4m3", "fp8e5m2", "bf16", "mxfp4e2m1", "mxfp8e4m3", "bfp8", "bitmod4",
           "ovp4", "ovp8")
QUICK = ("int8", "fp8e4m3", "ovp4")
SPLITS = ("fp8e2m5", "fp8e3m4", "fp8e4m3", "fp8e5m2")
SIZE = 8
TERMS = 4096
DEVICE = "ecp5-85k"
FP32_SUMS = "fp8e4m3, fp32 sums"

#: Of OliVe's array: one decoder for each row and each column of 64 x 64 PEs.
PAIR_ARRAY = 64
PAIR_DECODERS = {"ovp4": 2.2, "ovp8": 1.5}


def tables(progress: Progress, *, quick: bool) -> Iterator[Table | Grid]:
    """Each format with itself, then the relations that papers give."""
    names = QUICK if quick else FORMATS
    configs = {}
    for name in names:
        configs[name] = _config(name)
        if name == "fp8e4m3":
            configs[FP32_SUMS] = _config(name, accumulator="fp32")
    cores = _cores(configs, progress)
    yield Grid(
        f"Whole cores of {SIZE} x {SIZE}, output-stationary, {TERMS} products",
        ("format", "gates", "over int8", "gates of the mesh, %", "LUT4", "CCU2C", "FF", "DSP",
         "latency, cycles", "accumulator, bits"), tuple(cores.values()),
        "With shell, buffers and borders. Gates are two-input NANDs of generic synthesis, "
        "flip-flops included, memories not. LUT4 to DSP are ECP5 cells, with the multiplier "
        "blocks of `technology: ecp5`. Every distinct module is synthesized once and counts as "
        "often as it occurs.")
    parts = _parts(configs, progress)
    yield Grid(
        "Their parts",
        ("format", "PE, gates", "over int8", "PE, LUT4", "PE, CCU2C", "PE, FF", "PE, DSP",
         "decoder, gates", "decoders in the core"), tuple(parts.values()),
        "A decoder stands on the border, one for each row and each column; of pairs one for two.")
    units = _units(progress, quick=quick)
    yield Grid(
        "Multiply-accumulate units alone, with a register for the product and one for the sum",
        ("unit", "gates", "over int8", "with its decoders", "over int8", "sum, bits"),
        tuple(units.values()),
        "The fp32 sum is added in one cycle here; in a core it is cut by registers.")
    yield _relations(parts, units)


def _config(name: str, **values: str) -> SystolicConfig:
    return SystolicConfig.parse({"rows": SIZE, "cols": SIZE, "dataflow": "os", "a_format": name,
                                 "w_format": name, "max_k": TERMS, **values})


def _gates(part: wiring.Component) -> float:
    return synthesize(part, "gates").resources["gates"]


def _cores(configs: Mapping[str, SystolicConfig], progress: Progress) -> dict[str, tuple]:
    template = registry.get("systolic")
    rows: dict[str, tuple] = {}
    for label, config in configs.items():
        progress(f"synthesizing a core of {label}")
        area = synthesize(elaborate(template, config, "core"), "gates",
                          by_module=True).resources["gates"]
        blocks = template.config.parse({**config.model_dump(), "technology": "ecp5"})
        cells = synthesize(elaborate(template, blocks, "core"), DEVICE, by_module=True).resources
        mesh = SIZE * SIZE * _gates(processing_element(config)(config))
        rows[label] = (label, area, area,
                       100 * mesh / area, *(cells[each] for each in ("lut", "carry", "ff", "dsp")),
                       latency(config)["latency"], config.acc_width)
    return {label: (label, area, area / rows["int8"][1], *rest)
            for label, (_, area, _, *rest) in rows.items()}


def _parts(configs: Mapping[str, SystolicConfig], progress: Progress) -> dict[str, tuple]:
    int8 = _gates(processing_element(configs["int8"])(configs["int8"]))
    rows = {}
    for label, config in configs.items():
        progress(f"synthesizing a PE of {label}")
        cell = processing_element(config)
        area = _gates(cell(config))
        cells = synthesize(cell(config), DEVICE).resources
        decoders = 0 if isinstance(config.a_operand.format, IntegerFormat) \
            else 2 * SIZE // config.a_operand.group
        rows[label] = (label, area, area / int8, cells["lut"], cells["carry"], cells["ff"],
                       cells["dsp"], _decoder(config.a_operand), decoders)
    return rows


def _decoder(operand: Operand) -> float:
    return 0.0 if isinstance(operand.format, IntegerFormat) else _gates(OperandDecoder(operand))


def _units(progress: Progress, *, quick: bool) -> dict[str, tuple]:
    """Label to label, gates, ratio, gates with decoders, ratio, bits of the sum."""
    progress("synthesizing multiply-accumulate units")
    found = {}
    int8 = Operand.of(parse_format("int8"))
    found["int8, 32-bit sum"] = (_gates(ExactMac(int8, int8, IntegerFormat(32, True), 2)), 0.0, 32)
    for name in ("fp8e4m3",) if quick else (*SPLITS, "fp6e3m2", "fp4e2m1"):
        format = parse_format(name)
        operand, kept = Operand.of(format), Operand.of(format, keep_specials=True)
        exact = product_format(format, format, TERMS)
        found[f"{name}, exact sum"] = (_gates(ExactMac(operand, operand, exact, 2)),
                                       2 * _decoder(operand), exact.bits)
        if name in ("fp8e4m3", "fp8e5m2"):
            found[f"{name}, fp32 sum"] = (_gates(RoundedMac(kept, kept, 1, 1)),
                                          2 * _decoder(kept), 32)
    first = found["int8, 32-bit sum"][0]
    return {label: (label, area, area / first, area + decoders, (area + decoders) / first, bits)
            for label, (area, decoders, bits) in found.items()}


def _relations(parts: Mapping[str, tuple], units: Mapping[str, tuple]) -> Table:
    def over(label: str, column: int) -> float:
        return 100 * (units[label][column] - 1)

    figures = [
        Figure("unit of fp8e4m3 over int8, exact sum", over("fp8e4m3, exact sum", 2), "%",
               "+53 in arXiv 2303.17951"),
        Figure("the same with its decoders", over("fp8e4m3, exact sum", 4), "%",
               "+53 in arXiv 2303.17951"),
        Figure("unit of fp8e4m3 over int8, fp32 sum", over("fp8e4m3, fp32 sum", 2), "%",
               "+183 in arXiv 2303.17951"),
        Figure("the same with its decoders", over("fp8e4m3, fp32 sum", 4), "%",
               "+183 in arXiv 2303.17951"),
        Figure("PE of fp8e4m3 over int8, exact sums", 100 * (parts["fp8e4m3"][2] - 1), "%"),
        Figure("PE of fp8e4m3 over int8, fp32 sums", 100 * (parts[FP32_SUMS][2] - 1), "%"),
    ]
    ratios = [units[f"{name}, exact sum"][4] for name in SPLITS if f"{name}, exact sum" in units]
    if len(ratios) == len(SPLITS):
        rising = ratios == sorted(ratios)
        figures.append(Figure(f"unit of {SPLITS[-1]} over {SPLITS[0]}, exact sums",
                              ratios[-1] / ratios[0], "x",
                              "each exponent bit costs more, in arXiv 2303.17951", rising))
    side = PAIR_ARRAY
    for name, paper in PAIR_DECODERS.items():
        if name not in parts:
            continue
        for count, whose in ((2 * side, "one a row and column"), (side, "one for two lanes")):
            share = count * parts[name][7]
            figures.append(Figure(
                f"{count} {name} decoders of {side} x {side} PEs, {whose}",
                100 * share / (share + side * side * parts[name][1]), "%",
                f"{paper} of the core in OliVe"))
    if "ovp4" in parts:
        figures.append(Figure("PE of ovp4 over its decoder of a pair",
                              parts["ovp4"][1] / parts["ovp4"][7], "x", "1.3 in OliVe"))
    return Table("Relations that papers give", tuple(figures), (
        "arXiv 2303.17951 counts gates of a multiply-accumulate unit whose parts it does not list; "
        "the unit here is a multiplier, an aligned addition and the registers of product and sum, "
        "of 4096 products. A PE has the registers of its operands and its drain chain beside it; "
        "OliVe's, of 50 µm² at 22 nm beside a decoder of 37 µm², cannot have them."))
