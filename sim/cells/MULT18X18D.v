// ECP5 multiplier, 18 by 18 bits, signed or unsigned, with registers for the factors, behind the
// partial products and for the product. FPGA-TN-02205.
module MULT18X18D #(
  parameter REG_INPUTA_CLK = "NONE",
  parameter REG_INPUTA_CE = "CE0",
  parameter REG_INPUTB_CLK = "NONE",
  parameter REG_INPUTB_CE = "CE0",
  parameter REG_PIPELINE_CLK = "NONE",
  parameter REG_PIPELINE_CE = "CE0",
  parameter REG_OUTPUT_CLK = "NONE",
  parameter REG_OUTPUT_CE = "CE0",
  parameter GSR = "DISABLED"
) (
  input  wire CLK0, CE0, CE1, RST0, SIGNEDA, SIGNEDB, SOURCEA, SOURCEB,
  input  wire A0, A1, A2, A3, A4, A5, A6, A7, A8,
  input  wire A9, A10, A11, A12, A13, A14, A15, A16, A17,
  input  wire B0, B1, B2, B3, B4, B5, B6, B7, B8,
  input  wire B9, B10, B11, B12, B13, B14, B15, B16, B17,
  input  wire C0, C1, C2, C3, C4, C5, C6, C7, C8,
  input  wire C9, C10, C11, C12, C13, C14, C15, C16, C17,
  output wire P0, P1, P2, P3, P4, P5, P6, P7, P8,
  output wire P9, P10, P11, P12, P13, P14, P15, P16, P17,
  output wire P18, P19, P20, P21, P22, P23, P24, P25, P26,
  output wire P27, P28, P29, P30, P31, P32, P33, P34, P35
);
  generate
    if (GSR != "DISABLED") begin : gen_unsupported
      MULT18X18D_is_modelled_without_a_global_reset unsupported ();
    end
  endgenerate

  wire [17:0] a = {
    A17, A16, A15, A14, A13, A12, A11, A10, A9,
    A8, A7, A6, A5, A4, A3, A2, A1, A0
  };
  wire [17:0] b = {
    B17, B16, B15, B14, B13, B12, B11, B10, B9,
    B8, B7, B6, B5, B4, B3, B2, B1, B0
  };
  wire [17:0] c = {
    C17, C16, C15, C14, C13, C12, C11, C10, C9,
    C8, C7, C6, C5, C4, C3, C2, C1, C0
  };

  reg [17:0] a_register, b_register;
  reg [35:0] pipeline_register, output_register;
  wire [17:0] a_used = REG_INPUTA_CLK == "CLK0" ? a_register : a;
  wire [17:0] b_used = REG_INPUTB_CLK == "CLK0" ? b_register : b;
  wire [35:0] a_wide = {{18{SIGNEDA & a_used[17]}}, a_used};
  wire [35:0] b_wide = {{18{SIGNEDB & b_used[17]}}, b_used};
  wire [35:0] product = a_wide * b_wide;
  wire [35:0] between = REG_PIPELINE_CLK == "CLK0" ? pipeline_register : product;
  assign {
    P35, P34, P33, P32, P31, P30, P29, P28, P27,
    P26, P25, P24, P23, P22, P21, P20, P19, P18,
    P17, P16, P15, P14, P13, P12, P11, P10, P9,
    P8, P7, P6, P5, P4, P3, P2, P1, P0
  } = REG_OUTPUT_CLK == "CLK0" ? output_register : between;

  always @(posedge CLK0) begin
    if (REG_INPUTA_CE == "CE1" ? CE1 : CE0)
      a_register <= a;
    if (REG_INPUTB_CE == "CE1" ? CE1 : CE0)
      b_register <= b;
    if (REG_PIPELINE_CE == "CE1" ? CE1 : CE0)
      pipeline_register <= product;
    if (REG_OUTPUT_CE == "CE1" ? CE1 : CE0)
      output_register <= between;
  end

  (* maybe_unused *) wire unused = &{1'b0, RST0, SOURCEA, SOURCEB, c};
endmodule
