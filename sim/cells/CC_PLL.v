// Stands in for the PLL of GateMate: a simulation drives the pin with the clock that the PLL would make.
module CC_PLL #(
  parameter REF_CLK = "10.0",
  parameter OUT_CLK = "10.0",
  parameter PERF_MD = "ECONOMY",
  parameter LOW_JITTER = 1,
  parameter CI_FILTER_CONST = 2,
  parameter CP_FILTER_CONST = 4
) (
  input  wire CLK_REF, CLK_FEEDBACK, USR_CLK_REF, USR_LOCKED_STDY_RST,
  output wire CLK0, USR_PLL_LOCKED
);
  assign CLK0 = CLK_REF;
  assign USR_PLL_LOCKED = ~USR_LOCKED_STDY_RST;
  (* maybe_unused *) wire unused = &{1'b0, CLK_FEEDBACK, USR_CLK_REF};
endmodule
