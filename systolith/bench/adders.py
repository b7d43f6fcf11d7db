"""What sums cost: adders in the netlists of lanes, and bit planes beside multipliers."""

import json
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from amaranth.lib import wiring

from systolith.bench.engines import ENGINES, SIZE
from systolith.bench.results import Grid, Progress
from systolith.fpga import devices, toolchain
from systolith.fpga.design import Design
from systolith.fpga.synthesis import STATISTICS, netlist
from systolith.generators import registry

#: One-bit logic becomes gates, in which the full adders of compressors are found.
_SCRIPT = ("read_verilog design.v", "hierarchy -top {name}", "proc", "flatten", "opt -full",
           "wreduce", "opt_clean", "simplemap t:$and t:$or t:$xor t:$not", "opt", "extract_fa -fa",
           "opt_clean", "write_json design.json")
#: Formats of the systolic PE that a bit-plane PE of p planes of each operand competes with.
PRECISIONS = (1, 2, 4, 8)
FAMILIES = {"ECP5": ("ecp5-85k", " -nodsp"), "iCE40": ("ice40-hx8k", "")}


def adder_bits(component: wiring.Component) -> int:
    """Bits of all adders and subtractors of words, and full adders of compressor trees.

    A carry into an adder is part of it.
    """
    design = Design.of(component)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "design.v").write_text(design.verilog)
        toolchain.yosys(tuple(line.format(name=design.name) for line in _SCRIPT), folder)
        cells = json.loads((folder / "design.json").read_text())["modules"][design.name]["cells"]
    total = 0
    for cell in cells.values():
        width = {key: int(str(value), 2) for key, value in cell["parameters"].items()
                 if key.endswith("WIDTH")}
        if cell["type"] == "$fa":
            total += width["WIDTH"]
        elif cell["type"] == "$neg" or (
                cell["type"] in ("$add", "$sub") and min(width["A_WIDTH"], width["B_WIDTH"]) > 1):
            total += width["Y_WIDTH"]
    return total


def saved(progress: Progress) -> Grid:
    """Adder bits that work for one weight of a matrix-vector product with int8 activations."""
    from systolith.hdl.bitplane.pe import BitplanePE
    from systolith.hdl.lut_gemv.lane import LookupLane
    from systolith.hdl.lut_gemv.tables import TableBuilder
    from systolith.hdl.ternary.lane import TernaryLane

    progress("adders in netlists")
    lut, plane, ternary = (_config(engine) for engine in
                           ("lut_gemv", "bitplane", "ternary, 1.6 bits"))
    lane, build, pe, tree = (adder_bits(each) for each in (
        LookupLane(lut), TableBuilder(lut.fixed, lut.unquantized), BitplanePE(plane),
        TernaryLane(ternary)))
    rows = []
    for bits in (1, 2, 4):
        lookup = lane * bits / 4 + build / 4 / SIZE
        planes = pe * 8 * bits / plane.word
        add = tree / ternary.word if bits == 2 else None
        rows.append((f"{bits}", lookup, planes, planes / lookup, add, add and add / lookup))
    return Grid("Adder bits at work for each weight, activations of int8",
                ("weight bits", "lut_gemv", "bitplane", "over lut_gemv", "ternary",
                 "over lut_gemv "), tuple(rows),
                "Bits of the adders in the netlist of a row, and full adders of its compressor "
                "trees, times the cycles that they take for a weight: "
                f"lut_gemv {lane} bits for 4 weights and a plane, and {build} for the tables of 4 "
                f"activations, shared by {SIZE:,} rows; bitplane {pe} for {plane.word} weights and "
                f"a pair of planes, 8 planes of activations; ternary {tree} for {ternary.word} "
                "weights.")


def planes_against_products(progress: Progress) -> Iterator[Grid]:
    """Binary operations per cycle and LUT of PEs of `bitplane` and of `systolic`."""
    from systolith.hdl.bitplane.pe import BitplanePE
    from systolith.hdl.systolic.pe import OutputStationaryPE

    for family, (name, options) in FAMILIES.items():
        target = devices.get(name)
        target = replace(target, synthesis=target.synthesis + options)
        rows = []
        for bits in PRECISIONS:
            progress(f"PEs of {bits} bits on {family}")
            values = {"max_a_bits": bits, "max_w_bits": bits, "word": 32, "max_k": SIZE}
            serial, parallel = (BitplanePE(registry.get("bitplane").config.parse(
                values | {"planes": planes})) for planes in ("serial", "parallel"))
            format = "binary" if bits == 1 else f"int{bits}"
            product = OutputStationaryPE(registry.get("systolic").config.parse({
                "dataflow": "os", "a_format": format, "w_format": format,
                "acc_width": 2 * bits + SIZE.bit_length()}))
            found = [2 * operations / _luts(pe, target) for pe, operations in (
                (serial, 32), (parallel, 32 * bits * bits), (product, bits * bits))]
            rows.append((f"{bits}", *found, max(found[:2]) / found[2]))
        crossing = next((bits for bits, *_, ratio in rows if ratio < 1), None)
        note = (f"bitplane gives more up to the precision before {crossing} bits" if crossing else
                "bitplane gives more at every precision here")
        yield Grid(f"Binary operations per cycle and LUT of a PE, {family}",
                   ("bits of both operands", "bitplane, serial", "bitplane, parallel", "systolic",
                    "better bitplane over systolic"), tuple(rows),
                   "A product of p-bit numbers is p² ands or exclusive ors and as many additions. "
                   f"PEs for sums of {SIZE:,} products, word 32, output-stationary; LUT of logic "
                   f"and two for a carry cell of ECP5, no multiplier blocks; {note}.")


def _luts(pe: wiring.Component, target: devices.Device) -> float:
    cells = json.loads((netlist(Design.of(pe), target) / STATISTICS).read_text())
    return target.family.resources(cells)["logic"]


def _config(engine: str) -> Any:
    name, values = ENGINES[engine]
    return registry.get(name).config.parse(values)
