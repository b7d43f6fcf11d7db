"""Whether a mutant is the design itself, as a program of its own::

    prove_mutant.py TOP MODULE LINE SOURCE…

LINE is the Yosys command that makes the mutant. Prints ``EQUAL`` where it is proven.

Registers of both start from any equal state; so what is proven holds after any sequence of inputs.
"""

import sys

from pyosys import libyosys as ys

from systolith.signoff.write_mutants import read

STEPS = 4


def main(top: str, module: str, line: str, *sources: str) -> None:
    proof = ys.Design()
    # The mutant first: names of cells count on from design to design.
    for name, change in (("gate", line), ("gold", "")):
        design = read(top, list(sources))
        if change:
            ys.run_pass(change, design)
        for command in (f"hierarchy -top {module}", "flatten", "memory_map", "opt -full",
                        "async2sync", "opt_clean", f"rename {module} {name}",
                        f"write_rtlil {name}.il"):
            ys.run_pass(command, design)
        ys.run_pass(f"read_rtlil {name}.il", proof)
    for command in ("equiv_make gold gate proof", "hierarchy -top proof", "opt_clean",
                    f"equiv_simple -undef -seq {STEPS}", f"equiv_induct -undef -seq {STEPS}",
                    "equiv_status -assert"):
        ys.run_pass(command, proof)
    print("EQUAL")


if __name__ == "__main__":
    main(*sys.argv[1:])
