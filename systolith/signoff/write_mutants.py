"""All mutants of a design in one text, as a program of its own, for Yosys ends whole processes::

    write_mutants.py TOP VERILOG LIST COUNT SEED SOURCE…

VERILOG has an input ``mutsel`` of 16 bits; 0 selects the design as it is, i the mutant of line i of
LIST. Modules whose names do not begin with TOP (models of FPGA blocks) are left as they are.
"""

import re
import sys
from pathlib import Path

from pyosys import libyosys as ys

from systolith.sim.simulators.exercise import COUNTER_WORDS, STORED

SELECT, SELECT_BITS = "mutsel", 16

#: A mutant may close a loop that is none while another one is selected.
HEADER = "/* verilator lint_off UNOPTFLAT */\n"


def read(top: str, sources: list[str]) -> ys.Design:
    """The design in which the names of a list of mutants mean what they meant."""
    design = ys.Design()
    reads = [f'read_verilog "{source}"' for source in sources]
    for command in (*reads, f"hierarchy -check -top {top}", "proc", "opt_clean"):
        ys.run_pass(command, design)
    return design


def control(line: str, index: int) -> str:
    """The command that makes a mutant where the input selects ``index``."""
    return line.replace("mutate ", f"mutate -ctrl {SELECT} {SELECT_BITS} {index} ", 1)


def main(top: str, verilog: str, mutants: str, count: str, seed: str, *sources: str) -> None:
    design = read(top, list(sources))
    ys.run_pass(f"mutate -list {count} -seed {seed} -none -o {mutants} {top} {top}_*", design)
    lines = [line.strip() for line in Path(mutants).read_text().splitlines()
             if line.startswith("mutate")]
    Path(mutants).write_text("".join(f"{line}\n" for line in lines))
    for index, line in enumerate(lines):
        ys.run_pass(control(line, index), design)
    ys.run_pass(f"write_verilog -noattr {verilog}", design)
    text = Path(verilog).read_text()
    Path(verilog).write_text(HEADER + re.sub(r"^module .*?^endmodule", _name_registers, text,
                                             flags=re.MULTILINE | re.DOTALL))


def _name_registers(found: re.Match[str]) -> str:
    """A counter's words keep a register that :meth:`Simulator.deposit` finds, where mutants have
    split theirs into pieces of wires."""
    text = found.group()
    if not re.match(r"module \w+_event_counter\b", text):
        return text
    for word in COUNTER_WORDS:
        pieces = re.search(rf"assign \{{ [^=]*\b{word}\[[^=]*\}} = (_\d+_);", text)
        if pieces:
            text = re.sub(rf"\b{pieces.group(1)}\b", f"{word}{STORED}", text)
    return text


if __name__ == "__main__":
    main(*sys.argv[1:])
