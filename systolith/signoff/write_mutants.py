"""All mutants of a design in one text, as a program of its own, for Yosys ends whole processes::

    write_mutants.py TOP VERILOG LIST COUNT SEED SOURCE…

VERILOG has an input ``mutsel`` of 16 bits; 0 selects the design as it is, i the mutant of line i of
LIST. Modules whose names do not begin with TOP (models of FPGA blocks) are left as they are.
"""

import re
import sys
from pathlib import Path

from pyosys import libyosys as ys

from systolith.sim.simulators.exercise.counters import COUNTER_REGISTERS, STORED

SELECT, SELECT_BITS = "mutsel", 16
HELD = f"{SELECT}_held"

#: All registers have the same clock: that is read off the text.
CLOCK = re.compile(r"-port \w*CLK\b")
#: A read without a clock is always enabled: no text says so.
ENABLE = re.compile(r"-port EN ")

#: Share of the mutants asked for that must be left without those; how many are asked for at most.
ENOUGH, MOST = 0.85, 8

#: A mutant may close a loop that is none while another one is selected.
HEADER = "/* verilator lint_off UNOPTFLAT */\n"


def read(top: str, sources: list[str]) -> ys.Design:
    """The design in which the names of a list of mutants mean what they meant."""
    design = ys.Design()
    reads = [f'read_verilog "{source}"' for source in sources]
    for command in (*reads, f"hierarchy -check -top {top}", "proc", "opt_clean"):
        ys.run_pass(command, design)
    return design


def control(line: str, index: int, bits: int = SELECT_BITS) -> str:
    """The command that makes a mutant where the input, of so many bits, selects ``index``."""
    return line.replace("mutate ", f"mutate -ctrl {SELECT} {bits} {index} ", 1)


def main(top: str, verilog: str, mutants: str, count: str, seed: str, *sources: str) -> None:
    design = read(top, list(sources))
    wanted, asked = int(count), int(count)
    # Contents of tables cannot depend on an input.
    tables, reads = _cells(design, "$meminit"), _cells(design, "$memrd")
    while True:
        ys.run_pass(f"mutate -list {asked} -seed {seed} -none -o {mutants} {top} {top}_*", design)
        lines = [line.strip() for line in Path(mutants).read_text().splitlines()
                 if line.startswith("mutate") and not CLOCK.search(line)
                 and tables.isdisjoint(line.split())
                 and not (ENABLE.search(line) and reads & {*line.split()})]
        if len(lines) > ENOUGH * wanted or asked > MOST * wanted:
            break
        asked = -(-asked * wanted // len(lines))
    lines = lines[:wanted + 1]                           # the first is no change
    Path(mutants).write_text("".join(f"{line}\n" for line in lines))
    for index, line in enumerate(lines):
        ys.run_pass(control(line, index), design)
    ys.run_pass(f"write_verilog -noattr {verilog}", design)
    text = re.sub(rf"^module {top}\(.*?^endmodule", _hold_selection, Path(verilog).read_text(),
                  flags=re.MULTILINE | re.DOTALL)
    Path(verilog).write_text(HEADER + re.sub(r"^module .*?^endmodule", _name_registers, text,
                                             flags=re.MULTILINE | re.DOTALL))


def _cells(design: ys.Design, kind: str) -> set[str]:
    """Names of cells whose type begins so."""
    return {cell.name.str() for module in design.modules_.values()
            for cell in module.cells_.values() if cell.type.str().startswith(kind)}


def _hold_selection(found: re.Match[str]) -> str:
    """The core takes its selection from a register: Verilator looks at all that depends on an
    input several times a cycle, and with the mutants that were nearly everything."""
    header, body = found.group().split(";", 1)
    body = re.sub(rf"(?<!\.)\b{SELECT}\b", HELD, body)
    ports = re.search(rf"  input \[\d+:0\] {HELD};\n  wire \[\d+:0\] {HELD};\n", body)
    register = (f"  input [{SELECT_BITS - 1}:0] {SELECT};\n  reg [{SELECT_BITS - 1}:0] {HELD};\n"
                f"  always @(posedge clk)\n    {HELD} <= {SELECT};\n")
    assert ports
    return header + ";" + body.replace(ports.group(), register)


def _name_registers(found: re.Match[str]) -> str:
    """The registers of a counter keep names that :meth:`Simulator.deposit` finds, where a mutant
    stands between the register and the wire of its name."""
    text = found.group()
    if not re.match(r"module \w+_event_counter\b", text):
        return text
    stored = set(re.findall(r"^  reg .*?(\w+);", text, re.MULTILINE))
    drives = re.findall(r"^  assign (.*?) = (.*?);", text, re.MULTILINE)
    for name in COUNTER_REGISTERS:
        if name in stored:
            continue
        seen, ahead = {name}, [name]
        while ahead:
            wire = ahead.pop(0)
            if wire in stored:
                text = re.sub(rf"\b{wire}\b", f"{name}{STORED}", text)
                break
            for target, source in drives:
                if re.search(rf"\b{wire}\b", target):
                    new = [word for word in re.findall(r"\b[a-z_]\w*", source) if word not in seen]
                    seen |= set(new)
                    ahead += new
    return text


if __name__ == "__main__":
    main(*sys.argv[1:])
