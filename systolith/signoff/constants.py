"""Bits of a design that never change, as a program of its own: ``constants.py TOP SOURCE…``.

Writes ``netlist.json`` into the working directory.

Prints a line for each bit of a named signal that Yosys finds constant, ``MODULE SIGNAL BIT``, if it
is constant in every instance of the module.
"""

import json
import sys
from collections import defaultdict
from pathlib import Path

from pyosys import libyosys as ys


def main(top: str, *sources: str) -> None:
    design = ys.Design()
    reads = [f'read_verilog "{source}"' for source in sources]
    for command in (*reads, f"hierarchy -check -top {top}", "proc"):
        ys.run_pass(command, design)
    kinds = {"": top}                        # instance path to module

    def walk(path: str, name: str) -> None:
        for identifier, cell in design.module(ys.IdString(f"\\{name}")).cells_.items():
            child = cell.type.str()
            if child.startswith("\\") and design.module(cell.type) is not None:
                inner = f"{path}{identifier.str().removeprefix(chr(92))}."
                kinds[inner] = child[1:]
                walk(inner, child[1:])

    walk("", top)
    for command in ("flatten", "memory -nomap", "opt -full", "opt_clean"):
        ys.run_pass(command, design)
    ys.run_pass("write_json netlist.json", design)
    netlist = json.loads(Path("netlist.json").read_text())["modules"][top]
    steady: dict[tuple[str, str, int], list[bool]] = defaultdict(list)
    for name, net in netlist["netnames"].items():
        path, _, signal = name.rpartition(".")
        kind = kinds.get(f"{path}." if path else "")
        if kind is not None and not net["hide_name"]:
            for index, bit in enumerate(net["bits"]):
                steady[kind, signal, index].append(isinstance(bit, str))
    print("CONSTANTS")
    for (kind, signal, index), found in sorted(steady.items()):
        if all(found):
            print(kind, signal, index)


if __name__ == "__main__":
    main(*sys.argv[1:])
