"""Models of block memories against memories as Verilog describes them, through Yosys's mapping."""

import os
import subprocess
import sys

import pytest

from systolith.fpga import toolchain
from systolith.fpga.board_netlist import cell_models
from systolith.fpga.gates import cells_by_type
from systolith.sim.simulators import verilator

#: One clock, one port to write and one to read; `{initial}` and `{reset}` are filled in.
MEMORY = """\
module memory (
  input  wire             clk, we, re, rst,
  input  wire [{top}:0]   wa, ra,
  input  wire [{msb}:0]   d,
  output reg  [{msb}:0]   q
);
  (* ram_style = "block", no_rw_check *) reg [{msb}:0] words [0:{last}];
  integer i;
  initial for (i = 0; i <= {last}; i = i + 1) words[i] = i * 40503;
  {process}
endmodule
"""
PROCESSES = {
    "none": "always @(posedge clk) if (re) q <= words[ra];",
    "synchronous": "always @(posedge clk) if (rst) q <= 0; else if (re) q <= words[ra];",
    "asynchronous": "always @(posedge clk or posedge rst) if (rst) q <= 0; "
                    "else if (re) q <= words[ra];",
}
WRITE = "\n  always @(posedge clk) if (we) words[wa] <= d;"
BENCH = """\
module bench;
  reg clk = 0, we = 0, re = 0, rst = 0;
  reg [{top}:0] wa = 0, ra = 0;
  reg [{msb}:0] d = 0;
  wire [{msb}:0] got, want;
  memory want_it (.clk(clk), .we(we), .re(re), .rst(rst), .wa(wa), .ra(ra), .d(d), .q(want));
  mapped got_it (.clk(clk), .we(we), .re(re), .rst(rst), .wa(wa), .ra(ra), .d(d), .q(got));
  integer n, wrong = 0, reads = 0;
  initial begin
    #1 re = 1; clk = 1; #1 clk = 0;
    for (n = 0; n < 3000; n = n + 1) begin
      we = $urandom; re = $urandom; rst = {reset};
      wa = $urandom % 24; ra = $urandom % 24; d = {{$urandom, $urandom}};
      if (we & re & wa == ra) re = 0;             // undefined
      #1 if (got !== want) wrong = wrong + 1;
      clk = 1;
      #1 if (got !== want) wrong = wrong + 1;
      reads = reads + (re & want != 0);
      clk = 0;
    end
    $display("%0d wrong, %0s", wrong, reads > 500 ? "read" : "hardly read");
    $finish;
  end
endmodule
"""


@pytest.mark.parametrize("width, depth, reset", [
    *(pytest.param(*entry, marks=pytest.mark.nightly) for entry in (
        (1, 16384, "none"), (2, 8192, "asynchronous"), (4, 4096, "none"), (36, 512, "none"),
        (36, 512, "synchronous"))),
    (9, 2048, "synchronous"), (18, 1024, "asynchronous"), (36, 512, "asynchronous")])
def test_block_memory_of_ecp5(width, depth, reset, tmp_path):
    process = PROCESSES[reset] + WRITE
    fields = {"top": depth.bit_length() - 2, "msb": width - 1, "last": depth - 1,
              "process": process}
    memory = MEMORY.format(**fields)
    (tmp_path / "memory.v").write_text(memory)
    toolchain.yosys(("read_verilog memory.v", "synth_ecp5 -top memory",
                     "rename memory mapped", "tee -q -o cells.json stat -json",
                     "write_verilog mapped.v"), tmp_path)
    used = cells_by_type(tmp_path / "cells.json")
    assert used["DP16KD"] == 1
    bench = BENCH.format(**fields, reset="0" if reset == "none" else "$urandom % 8 == 0")
    (tmp_path / "bench.v").write_text(bench + cell_models(used, "ecp5"))
    root, program = verilator.installation()
    # Verilator's makefile would take what is called python on PATH, if anything is.
    subprocess.run([program, "--binary", "--timing", "-Wno-fatal", "-Wno-lint", "-CFLAGS",
                    "-O0 -std=gnu++20 -fcoroutines", "-MAKEFLAGS", f"PYTHON3={sys.executable}",
                    "--top-module", "bench", "-Mdir", "bench", "bench.v", "memory.v", "mapped.v"],
                   cwd=tmp_path, check=True,
                   env={**os.environ, "VERILATOR_ROOT": str(root)}, stdout=subprocess.DEVNULL)
    told = subprocess.run([tmp_path / "bench" / "Vbench"], cwd=tmp_path, check=True, text=True,
                          stdout=subprocess.PIPE).stdout
    assert told.startswith("0 wrong, read\n"), told
