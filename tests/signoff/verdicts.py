"""Cells of a small design, and what the proof says of mutants of them."""

import re
import sys

from systolith.signoff.judge import PROOF
from systolith.sim.simulators import tools

LIST = """
import sys
from pathlib import Path
from pyosys import libyosys as ys
from systolith.signoff.write_mutants import read
design = read("queue", ["queue.v"])
cells = design.module(ys.IdString("\\\\queue")).cells_.values()
names = [cell.name.str() for cell in cells]
Path("cells.txt").write_text("\\n".join(names))
"""


def cells_of(folder, top, module=None):
    program = LIST.replace("\\\\queue", f"\\\\{module or top}").replace("queue", top)
    tools.run("python", [sys.executable, "-c", program], cwd=folder)
    return (folder / "cells.txt").read_text().splitlines()


def said(folder, top, line):
    """The verdict about a mutant."""
    (folder / "lines.txt").write_text(f"{line}\n")
    text = tools.run("python", [sys.executable, PROOF, top, top, "lines.txt", "60", f"{top}.v"],
                     cwd=folder)
    return re.search(r"^(EQUAL|DIFFERENT|UNKNOWN)", text, re.M)[1]
