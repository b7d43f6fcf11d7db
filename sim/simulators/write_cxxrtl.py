"""Verilog to CXXRTL's C++, as a program of its own: ``write_cxxrtl.py TOP OUTPUT DEBUG VERILOG…``.

One flat module simulates fastest, but its compile time grows faster than its size: a flat 16 x 16
mesh took 172 s. So where a design has more than ``FLAT`` cells, the smallest modules of at least
``CLUSTER`` cells stay modules (rows of a mesh, say) and everything else is flattened around them:
4 s.
"""

import sys

from pyosys import libyosys as ys

FLAT = 2_000
CLUSTER = 100


def main(top: str, output: str, debug: str, *sources: str) -> None:
    design = ys.Design()
    reads = [f'read_verilog "{source}"' for source in sources]
    for command in (*reads, f"hierarchy -check -top {top}", "proc"):
        design.run_pass(command)
    modules = {name.str(): module for name, module in design.modules_.items()}
    children = {name: [cell.type.str() for _, cell in module.cells_.items()]
                for name, module in modules.items()}
    cells: dict[str, int] = {}

    def count(name: str) -> int:
        if name not in cells:
            cells[name] = sum(count(child) if child in modules else 1 for child in children[name])
        return cells[name]

    if count(f"\\{top}") > FLAT:
        for name, module in modules.items():
            inside = [count(child) for child in children[name] if child in modules]
            if name != f"\\{top}" and count(name) >= CLUSTER > max(inside, default=0):
                module.set_bool_attribute(ys.IdString("\\keep_hierarchy"), True)
    design.run_pass("flatten")
    design.run_pass(f'write_cxxrtl -g{debug} "{output}"')


if __name__ == "__main__":
    main(*sys.argv[1:])
