"""What number formats cost: gates and ECP5 cells of a PE, decoders, latency, accumulators."""

from collections.abc import Iterator

from systolith.bench.results import Figure, Grid, Progress, Table
from systolith.fpga.synthesis import synthesize
from systolith.hdl.arithmetic.mac import OperandDecoder
from systolith.hdl.formats import IntegerFormat
from systolith.hdl.systolic.config import SystolicConfig
from systolith.hdl.systolic.mesh import processing_element
from systolith.hdl.systolic.timing import latency

FORMATS = ("int4", "int8", "bipolar4", "ternary", "fp4e2m1", "fp6e2m3", "fp6e3m2", "fp8e2m5",
           "fp8e3m4", "fp8e4m3", "fp8e5m2", "bf16", "mxfp4e2m1", "mxfp8e4m3", "bfp8", "bitmod4",
           "ovp4", "ovp8")
QUICK = ("int8", "fp8e4m3", "ovp4")
SIZE = 8
DEVICE = "ecp5-85k"


def tables(progress: Progress, *, quick: bool) -> Iterator[Table | Grid]:
    """Each format with itself, then the relations that papers give."""
    names = QUICK if quick else FORMATS
    cores = [(name, _config(name)) for name in names]
    cores.insert(names.index("fp8e4m3") + 1, ("fp8e4m3, fp32 sums",
                                              _config("fp8e4m3", accumulator="fp32")))
    gates, rows = {}, []
    for label, config in cores:
        progress(f"synthesizing a PE of {label}")
        cell = processing_element(config)
        gates[label] = area = synthesize(cell(config), "gates").resources["gates"]
        cells = synthesize(cell(config), DEVICE).resources
        decoder = _decoder(config)
        rows.append((label, area, area / gates["int8"] if "int8" in gates else None, decoder,
                     cells["lut"], cells["carry"], cells["ff"], cells["dsp"],
                     latency(config)["latency"], config.acc_width))
    yield Grid(
        f"Formats with themselves, output-stationary, {SIZE} x {SIZE}, 4096 products",
        ("format", "PE, gates", "over int8", "decoder, gates", "PE, LUT4", "PE, CCU2C", "PE, FF",
         "PE, DSP", "core latency, cycles", "accumulator, bits"), tuple(rows),
        "Gates are two-input NANDs of generic synthesis, flip-flops included. A decoder stands on "
        "the border, one for each row and each column; of pairs one for two.")
    yield _relations(gates, {label: row[3] for (label, _), row in zip(cores, rows, strict=True)})


def _config(name: str, **values: str) -> SystolicConfig:
    return SystolicConfig.parse({"rows": SIZE, "cols": SIZE, "dataflow": "os", "a_format": name,
                                 "w_format": name, **values})


def _decoder(config: SystolicConfig) -> float:
    if isinstance(config.a_operand.format, IntegerFormat):
        return 0.0
    return synthesize(OperandDecoder(config.a_operand), "gates").resources["gates"]


def _relations(gates: dict[str, float], decoders: dict[str, float]) -> Table:
    int8 = gates["int8"]
    figures = [
        Figure("PE of fp8e4m3 over int8, exact sums", 100 * (gates["fp8e4m3"] / int8 - 1), "%",
               "+53 in arXiv 2303.17951"),
        Figure("PE of fp8e4m3 over int8, fp32 sums",
               100 * (gates["fp8e4m3, fp32 sums"] / int8 - 1), "%", "+183 in arXiv 2303.17951"),
    ]
    side = 64
    for name, paper in (("ovp4", "2.2"), ("ovp8", "1.5")):
        if name in gates:
            share = side * decoders[name]                  # a decoder for two of 2 * side lanes
            figures.append(Figure(
                f"{name} decoders of {side} x {side} PEs, share of PEs and decoders",
                100 * share / (share + side * side * gates[name]), "%",
                f"{paper} of the core in OliVe"))
    return Table("Relations that papers give", tuple(figures),
                 "The papers count gates of a multiply-accumulate unit, or square micrometres at "
                 "22 nm; here a PE has the registers of its operands and its drain chain too.")
