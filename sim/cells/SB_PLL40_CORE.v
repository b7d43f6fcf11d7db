// Stands in for the PLL of the iCE40 behind any pin: a simulation drives the pin with the clock that the
// PLL would make.
module SB_PLL40_CORE #(
  parameter FEEDBACK_PATH = "SIMPLE",
  parameter [3:0] DIVR = 4'd0,
  parameter [6:0] DIVF = 7'd0,
  parameter [2:0] DIVQ = 3'd0,
  parameter [2:0] FILTER_RANGE = 3'd0
) (
  input  wire REFERENCECLK, RESETB, BYPASS,
  output wire PLLOUTGLOBAL, LOCK
);
  assign PLLOUTGLOBAL = REFERENCECLK;
  assign LOCK = RESETB & ~BYPASS;
endmodule
