"""A module of a design with a mutant in it, as a program of its own::

    mutate_part.py TOP MODULE NAME VERILOG LINE SOURCE…

Writes MODULE, and what is in it, as NAME into the file VERILOG, after the Yosys command LINE; an
empty one changes nothing.
"""

import sys

from pyosys import libyosys as ys

from systolith.signoff.write_mutants import read


def main(top: str, module: str, name: str, verilog: str, line: str, *sources: str) -> None:
    design = read(top, list(sources))
    commands = (line, f"hierarchy -top {module}", f"rename {module} {name}",
                f"write_verilog -noattr {verilog}")
    for command in commands if line else commands[1:]:
        ys.run_pass(command, design)


if __name__ == "__main__":
    main(*sys.argv[1:])
