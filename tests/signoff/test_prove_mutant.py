"""Mutants are proven equal if they are, however hard that is to see, and only then."""

import re
import sys

import pytest

from systolith.signoff.judge import PROOF
from systolith.sim.simulators import tools

#: At most four entries are under way, and what goes into the memory counts only where it is
#: written.
DESIGN = """\
module queue (input clk, input rst, input take, input [3:0] x, output full, output reg [3:0] y);
  reg [2:0] count;
  reg [3:0] under_way;
  reg [3:0] memory [0:3];
  reg [1:0] place;
  wire enter = take & (count < 3'd4);
  wire [1:0] where = enter ? place : x[1:0];
  assign full = count == 3'd4;
  always @(posedge clk)
    if (rst) begin
      count <= 3'd0;
      under_way <= 4'd0;
      place <= 2'd0;
    end else begin
      count <= count + {2'd0, enter} - {2'd0, under_way[3]};
      under_way <= {under_way[2:0], enter};
      place <= place + {1'd0, enter};
    end
  always @(posedge clk) begin
    if (enter)
      memory[where] <= x;
    y <= memory[place];
  end
endmodule
"""
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


@pytest.fixture(scope="module")
def queue(tmp_path_factory):
    folder = tmp_path_factory.mktemp("queue")
    (folder / "queue.v").write_text(DESIGN)
    tools.run("python", [sys.executable, "-c", LIST], cwd=folder)
    return folder, (folder / "cells.txt").read_text().splitlines()


@pytest.mark.parametrize("cell, port, bit, mode, verdict", [
    ("$eq$", "A", 0, "const0", "EQUAL"),                 # 5 for 4, and there are never 5
    ("$eq$", "A", 0, "const1", "DIFFERENT"),
    ("$eq$", "A", 2, "inv", "DIFFERENT"),
    ("$ternary$", "A", 0, "inv", "EQUAL"),               # where nothing is written
    ("$ternary$", "B", 0, "inv", "DIFFERENT"),
    ("$lt$", "A", 1, "const0", "EQUAL"),                 # 6 for 4
    ("$lt$", "A", 2, "const0", "DIFFERENT"),
])
def test_verdicts(queue, cell, port, bit, mode, verdict):
    folder, cells = queue
    name, = (known for known in cells if known.startswith(cell))
    (folder / "lines.txt").write_text(
        f"mutate -mode {mode} -module queue -cell {name} -port {port} -portbit {bit}\n")
    said = tools.run("python", [sys.executable, PROOF, "queue", "queue", "lines.txt", "60",
                                "queue.v"], cwd=folder)
    assert re.search(r"^(EQUAL|DIFFERENT|UNKNOWN)", said, re.M)[1] == verdict


@pytest.mark.parametrize("mode, contents, verdict", [
    ("inv", "", "EQUAL"),                                # as good a place as any other
    ("const0", "", "DIFFERENT"),                         # two places are one
    ("inv", "initial memory[1] = 4'd3;", "DIFFERENT")])
def test_places_of_a_memory_are_exchanged(mode, contents, verdict, tmp_path):
    (tmp_path / "ring.v").write_text(f"""\
module ring (input clk, input rst, input take, input [3:0] x, output reg [3:0] y);
  reg [3:0] memory [0:3];
  reg [1:0] place;
  wire [1:0] at = ~place;
  {contents}
  always @(posedge clk)
    place <= rst ? 2'd0 : place + 2'd1;
  always @(posedge clk) begin
    if (take)
      memory[at] <= x;
    y <= memory[at];
  end
endmodule
""")
    listing = LIST.replace("queue", "ring")
    tools.run("python", [sys.executable, "-c", listing], cwd=tmp_path)
    cell, = (name for name in (tmp_path / "cells.txt").read_text().splitlines()
             if name.startswith("$not$"))
    (tmp_path / "lines.txt").write_text(
        f"mutate -mode {mode} -module ring -cell {cell} -port Y -portbit 0\n")
    said = tools.run("python", [sys.executable, PROOF, "ring", "ring", "lines.txt", "60",
                                "ring.v"], cwd=tmp_path)
    assert re.search(r"^(EQUAL|DIFFERENT|UNKNOWN)", said, re.M)[1] == verdict
