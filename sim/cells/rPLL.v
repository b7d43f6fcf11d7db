// Stands in for the PLL of Gowin: a simulation drives the pin with the clock that the PLL would make.
module rPLL #(
  parameter FCLKIN = "27",
  parameter IDIV_SEL = 0,
  parameter FBDIV_SEL = 0,
  parameter ODIV_SEL = 8
) (
  input  wire CLKIN, CLKFB, RESET, RESET_P,
  input  wire [5:0] FBDSEL, IDSEL, ODSEL,
  input  wire [3:0] DUTYDA, PSDA, FDLY,
  output wire CLKOUT, LOCK
);
  assign CLKOUT = CLKIN;
  assign LOCK = ~RESET & ~RESET_P;
  (* maybe_unused *) wire unused = &{1'b0, CLKFB, FBDSEL, IDSEL, ODSEL, DUTYDA, PSDA, FDLY};
endmodule
