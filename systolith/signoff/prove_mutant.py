"""Whether mutants are the design itself, as a program of its own::

    prove_mutant.py TOP MODULE LINES SOURCE…

LINES is a file with the Yosys commands that make the mutants. An input chooses among them anew in
every cycle. MODULE with them and without, what is in it included, become one circuit that says
whether an output differs, and ABC proves by induction over equal signals that none ever does: for
any sequence of inputs, from the state in which every register without a value of its own is zero.
Of the whole core, data that go with a handshake only count while they are valid.
Prints ``EQUAL``, ``DIFFERENT`` or ``UNKNOWN``.
"""

import re
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
#: Data of a stream and answers on the register bus, and which handshake they belong to.
DATA = (r"(\w+)_(t)(?:data|last|user)", r"(\w+)_(r)(?:data|resp)", r"(\w+)_(b)resp")
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
            unchanged = design.module(ys.IdString(f"\\{module}"))
            unchanged.addWire(ys.IdString(f"\\{SELECT}"), SELECT_BITS).port_input = True
            unchanged.fixup_ports()
        whole = module
        if module == top:
            whole = f"{top}_seen"
            Path("seen.v").write_text(_seen(design, top, whole))
            ys.run_pass("read_verilog seen.v", design)
        for command in (f"hierarchy -top {whole}", "flatten"):
            ys.run_pass(command, design)
        memories = design.module(ys.IdString(f"\\{whole}")).memories.values()
        if sum(memory.width * memory.size for memory in memories) > MEMORY_BITS:
            print("UNKNOWN: the memories are too large")
            return
        for command in ("memory_map", "opt_clean", f"rename {whole} {name}",
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


def _seen(design: ys.Design, top: str, name: str) -> str:
    """Verilog of a module around the core whose outputs are 0 where nobody may look at them."""
    ports, lines = [], []
    for wire in design.module(ys.IdString(f"\\{top}")).wires_.values():
        port, size = wire.name.str()[1:], f"[{wire.width - 1}:0]"
        if wire.port_input:
            ports.append(f"input {size} {port}")
        elif wire.port_output:
            ports.append(f"output {size} {port}")
            lines.append(f"wire {size} inner_{port};")
    for port in (line.split()[-1] for line in ports if line.startswith("output")):
        found = next((found for pattern in DATA if (found := re.fullmatch(pattern, port))), None)
        seen = f"inner_{found[1]}_{found[2]}valid ? inner_{port} : 0" if found else f"inner_{port}"
        lines.append(f"assign {port} = {seen};")
    pins = ", ".join(f".{port}({'inner_' * line.startswith('output')}{port})"
                     for line in ports for port in (line.split()[-1],))
    return (f"module {name} ({', '.join(ports)});\n" + "\n".join(lines)
            + f"\n{top} u_core ({pins});\nendmodule\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
