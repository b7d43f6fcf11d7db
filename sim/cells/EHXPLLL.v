// Stands in for the PLL of the ECP5: a simulation drives the pin with the clock that the PLL would make.
module EHXPLLL #(
  parameter CLKI_DIV = 1,
  parameter CLKFB_DIV = 1,
  parameter CLKOP_DIV = 1,
  parameter CLKOP_CPHASE = 0,
  parameter CLKOP_FPHASE = 0,
  parameter FEEDBK_PATH = "CLKOP",
  parameter CLKOP_ENABLE = "ENABLED",
  parameter PLLRST_ENA = "DISABLED",
  parameter INTFB_WAKE = "DISABLED",
  parameter STDBY_ENABLE = "DISABLED",
  parameter DPHASE_SOURCE = "DISABLED",
  parameter OUTDIVIDER_MUXA = "DIVA"
) (
  input  wire CLKI, CLKFB, RST, STDBY, PHASESEL0, PHASESEL1, PHASEDIR, PHASESTEP, PHASELOADREG,
  input  wire PLLWAKESYNC, ENCLKOP,
  output wire CLKOP, LOCK
);
  assign CLKOP = CLKI;
  assign LOCK = ~RST;
  (* maybe_unused *) wire unused = &{1'b0, CLKFB, STDBY, PHASESEL0, PHASESEL1, PHASEDIR, PHASESTEP,
                                     PHASELOADREG, PLLWAKESYNC, ENCLKOP};
endmodule
