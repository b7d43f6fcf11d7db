"""Mutants are proven equal if they are, however hard that is to see, and only then."""

import pytest

from tests.signoff.verdicts import cells_of, said

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


@pytest.fixture(scope="module")
def queue(tmp_path_factory):
    folder = tmp_path_factory.mktemp("queue")
    (folder / "queue.v").write_text(DESIGN)
    return folder, cells_of(folder, "queue")


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
    assert said(folder, "queue",
                f"mutate -mode {mode} -module queue -cell {name} -port {port} -portbit {bit}"
                ) == verdict


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
    cell, = (name for name in cells_of(tmp_path, "ring") if name.startswith("$not$"))
    assert said(tmp_path, "ring",
                f"mutate -mode {mode} -module ring -cell {cell} -port Y -portbit 0") == verdict


@pytest.mark.parametrize("looked_at, verdict", [
    ("run[1] | run[2]", "EQUAL"),                        # at both words, and no more
    ("run[1] | run[2] | run[3]", "DIFFERENT")])
def test_what_nobody_looks_at_may_be_multiplied(looked_at, verdict, tmp_path):
    (tmp_path / "drain.v").write_text(f"""\
module drain (input clk, input rst, input start, input [15:0] a, input [15:0] b,
              input [15:0] factor, output reg [31:0] y);
  reg [15:0] first, second;
  reg [31:0] product;
  reg [3:0] run;
  wire accept = start & ~run[0];
  always @(posedge clk) begin
    run <= rst ? 4'd0 : {{run[2:0], accept}};
    first <= accept ? a : second;
    product <= first * factor;
    y <= ({looked_at}) ? product : 32'd0;
    second <=
      accept ? b : 16'd0;
  end
endmodule
""")
    cell, = (name for name in cells_of(tmp_path, "drain") if "$ternary$drain.v:13" in name)
    assert said(tmp_path, "drain",
                f"mutate -mode inv -module drain -cell {cell} -port A -portbit 5") == verdict


@pytest.mark.parametrize("stages, begin, verdict", [
    (2, "", "EQUAL"),                                    # the highest bit is turned and turned back
    (2, " = 4'd0", "DIFFERENT"),                         # but for what was there at first
    (3, "", "DIFFERENT")])
def test_what_is_turned_twice_is_as_it_was(stages, begin, verdict, tmp_path):
    links = "".join(f"  stage u_{index} (clk, x, sum[{index - 1}], sum[{index}]);\n"
                    for index in range(1, stages + 1))
    valid = "run[0]" if begin else f"run[{stages}]"
    (tmp_path / "column.v").write_text(f"""\
module stage (input clk, input [3:0] x, input [3:0] in, output reg [3:0] out{begin});
  always @(posedge clk)
    out <= in + (x & 4'd7);
endmodule
module column (input clk, input rst, input start, input [3:0] x, output [3:0] y);
  wire [3:0] sum [0:{stages}];
  reg [{stages}:0] run;
  assign sum[0] = 4'd0;
{links}
  always @(posedge clk)
    run <= rst ? 0 : {{run, start}};
  assign y = {valid} ? sum[{stages}] : 4'd0;
endmodule
""")
    cell, = (name for name in cells_of(tmp_path, "column", "stage") if name.startswith("$add$"))
    assert said(tmp_path, "column",
                f"mutate -mode inv -module stage -cell {cell} -port A -portbit 3") == verdict
