"""Whether mutants are the design itself, as a program of its own::

    prove_mutant.py TOP MODULE LINES SOURCE…

LINES is a file with the Yosys commands that make the mutants. An input chooses among them anew in
every cycle. MODULE with them and without, what is in it included, become one circuit that says
whether an output differs, and ABC proves by induction over equal signals that none ever does: for
any sequence of inputs, from the state in which every register without a value of its own is zero.
Prints ``EQUAL``, ``DIFFERENT`` or ``UNKNOWN``.
"""

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

from pyosys import libyosys as ys

from systolith.signoff.write_mutants import SELECT, SELECT_BITS, control, read

MITER = ("miter -equiv -flatten -make_assert gold gate proof", "hierarchy -top proof",
         "chformal -lower", "async2sync", "setundef -undriven -init -zero", "setundef -zero",
         "dffunmap", "techmap", "simplemap", "dfflegalize -cell $_DFF_P_ 01", "opt_expr",
         "opt_clean", "aigmap", "write_aiger -zinit proof.aig")
SECONDS = 30                 # for ABC
MEMORY_BITS = 1 << 14        # of a module of which something can be proven
ABC = "read_aiger proof.aig; fold; strash; scorr; dprove"


def main(top: str, module: str, lines: str, *sources: str) -> None:
    mutants = Path(lines).read_text().splitlines()
    proof = ys.Design()
    # The mutants first: names of cells count on from design to design.
    for name, changes in (("gate", mutants), ("gold", [])):
        design = read(top, list(sources))
        for index, line in enumerate(changes, 1):
            ys.run_pass(control(line, index), design)
        if not changes:
            whole = design.module(ys.IdString(f"\\{module}"))
            whole.addWire(ys.IdString(f"\\{SELECT}"), SELECT_BITS).port_input = True
            whole.fixup_ports()
        for command in (f"hierarchy -top {module}", "flatten"):
            ys.run_pass(command, design)
        memories = design.module(ys.IdString(f"\\{module}")).memories.values()
        if sum(memory.width * memory.size for memory in memories) > MEMORY_BITS:
            print("UNKNOWN: the memories are too large")
            return
        for command in ("memory_map", "opt_clean", f"rename {module} {name}",
                        f"write_rtlil {name}.il"):
            ys.run_pass(command, design)
        ys.run_pass(f"read_rtlil {name}.il", proof)
    for command in MITER:
        ys.run_pass(command, proof)
    abc = Path(find_spec("pyosys").submodule_search_locations[0]) / "yosys-abc"
    try:
        done = subprocess.run([abc, "-c", ABC], capture_output=True, text=True, check=False,
                              timeout=SECONDS)
    except subprocess.TimeoutExpired:
        print("UNKNOWN")
        return
    equal, different = (text in done.stdout for text in
                        ("are equivalent", "are not equivalent"))
    proven = equal or "UNSATISFIABLE" in done.stdout
    print("DIFFERENT" if different else "EQUAL" if proven else f"UNKNOWN {done.stdout[-500:]}")


if __name__ == "__main__":
    main(*sys.argv[1:])
