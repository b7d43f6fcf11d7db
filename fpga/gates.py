"""Area in gates, by generic synthesis: comparable between designs, and needs no cell library.

The unit is the gate equivalent, the area of a two-input NAND. A cell counts for its transistors in
static CMOS divided by the four of that NAND.
"""

import json
from pathlib import Path

from systolith.fpga import toolchain
from systolith.fpga.design import Design
from systolith.sim.simulators import cache

RESOURCES = {
    "gates": "gate equivalents of logic and flip-flops together",
    "logic_gates": "gate equivalents of the logic",
    "flip_flops": "flip-flops, each a plain one; enables and resets are logic",
    "memory_bits": "bits in memories, which are not part of the gates",
}

#: Transistors by cell; the flip-flop is the usual one of transmission gates with its clock buffers.
TRANSISTORS = {
    "$_NOT_": 2, "$_NAND_": 4, "$_NOR_": 4, "$_AND_": 6, "$_OR_": 6, "$_XOR_": 10, "$_XNOR_": 10,
    "$_MUX_": 12, "$_AOI3_": 6, "$_OAI3_": 6, "$_AOI4_": 8, "$_OAI4_": 8, "$_DFF_P_": 24,
}
PER_GATE = TRANSISTORS["$_NAND_"]
_LOGIC = ",".join(cell.strip("$_") for cell in TRANSISTORS if cell not in ("$_NOT_", "$_DFF_P_"))


def count(design: Design, *, by_module: bool = False) -> tuple[dict[str, float], dict[str, int]]:
    """Amounts by resource, and cells by type.

    With ``by_module``, each distinct module is synthesized once and counts as often as it occurs.
    """
    script = (
        "read_verilog design.v",
        f"hierarchy -top {design.name}",
        "proc -norom",
        *([] if by_module else ["flatten"]),
        "tee -q -o memories.json stat -json",
        f"synth {'' if by_module else '-flatten '}-top {design.name} -run coarse:fine",
        "opt -fast -full",
        "opt -undriven -fine",
        "techmap",
        "opt",
        "dfflegalize -cell $_DFF_P_ 01",
        f"abc -g {_LOGIC}",
        "opt_clean",
        "tee -q -o cells.json stat -json",
    )

    def build(folder: Path) -> None:
        (folder / "design.v").write_text(design.verilog)
        toolchain.yosys(script, folder)
        bits = json.loads((folder / "memories.json").read_text())["design"]["num_memory_bits"]
        cells = cells_by_type(folder / "cells.json")
        for path in folder.iterdir():
            path.unlink()
        (folder / "result.json").write_text(json.dumps({"memory_bits": bits, "cells": cells}))

    key = cache.key(toolchain.yosys_label(), *script, design.verilog)
    found = json.loads((cache.entry("gates", key, build) / "result.json").read_text())
    cells = {cell: number for cell, number in found["cells"].items()
             if not cell.startswith(("$mem", "$scopeinfo"))}      # the latter is a remark
    total = {cell: number * TRANSISTORS[cell] / PER_GATE for cell, number in cells.items()}
    registers = total.get("$_DFF_P_", 0)
    return {"gates": sum(total.values()), "logic_gates": sum(total.values()) - registers,
            "flip_flops": cells.get("$_DFF_P_", 0), "memory_bits": found["memory_bits"]}, cells


def cells_by_type(path: Path) -> dict[str, int]:
    """Cells of a whole design, from ``stat -json``; instances of its modules are none."""
    found = json.loads(path.read_text())
    modules = {name.removeprefix("\\") for name in found["modules"]}
    return {cell: count for cell, count in found["design"]["num_cells_by_type"].items()
            if cell not in modules and cell != "$scopeinfo"}
