// iCE40 UltraPlus multiplier, 16 by 16 bits or twice 8 by 8, signed or unsigned, with registers for
// the factors, behind the partial products and for the product. FPGA-TN-02007.
module SB_MAC16 #(
  parameter [0:0] A_REG = 0,
  parameter [0:0] B_REG = 0,
  parameter [0:0] A_SIGNED = 0,
  parameter [0:0] B_SIGNED = 0,
  parameter [0:0] MODE_8x8 = 0,
  parameter [0:0] TOP_8x8_MULT_REG = 0,
  parameter [0:0] BOT_8x8_MULT_REG = 0,
  parameter [0:0] PIPELINE_16x16_MULT_REG1 = 0,
  parameter [0:0] PIPELINE_16x16_MULT_REG2 = 0,
  parameter [1:0] TOPOUTPUT_SELECT = 3,
  parameter [1:0] BOTOUTPUT_SELECT = 3
) (
  input  wire CLK, CE, AHOLD, BHOLD, CHOLD, DHOLD,
  input  wire IRSTTOP, IRSTBOT, ORSTTOP, ORSTBOT, OLOADTOP, OLOADBOT,
  input  wire ADDSUBTOP, ADDSUBBOT, OHOLDTOP, OHOLDBOT, CI, ACCUMCI, SIGNEXTIN,
  input  wire [15:0] A, B, C, D,
  output wire [31:0] O
);
  generate
    if (TOPOUTPUT_SELECT != (MODE_8x8 ? 2 : 3) || BOTOUTPUT_SELECT != TOPOUTPUT_SELECT ||
        TOP_8x8_MULT_REG != BOT_8x8_MULT_REG ||
        (!MODE_8x8 && TOP_8x8_MULT_REG != PIPELINE_16x16_MULT_REG1)) begin : gen_unsupported
      SB_MAC16_is_modelled_as_a_multiplier_only unsupported ();
    end
  endgenerate

  reg [15:0] a_register, b_register;
  wire [15:0] a = A_REG ? a_register : A;
  wire [15:0] b = B_REG ? b_register : B;
  wire [31:0] a_wide = {{16{A_SIGNED & a[15]}}, a};
  wire [31:0] b_wide = {{16{B_SIGNED & b[15]}}, b};
  wire [15:0] a_high = {{8{A_SIGNED & a[15]}}, a[15:8]};
  wire [15:0] b_high = {{8{B_SIGNED & b[15]}}, b[15:8]};
  wire [15:0] a_low = {{8{A_SIGNED & a[7]}}, a[7:0]};
  wire [15:0] b_low = {{8{B_SIGNED & b[7]}}, b[7:0]};
  wire [15:0] high = a_high * b_high;
  wire [15:0] low = a_low * b_low;
  wire [31:0] product = MODE_8x8 ? {high, low} : a_wide * b_wide;

  reg [31:0] partial_register, product_register;
  wire [31:0] partial = TOP_8x8_MULT_REG ? partial_register : product;
  assign O = !MODE_8x8 && PIPELINE_16x16_MULT_REG2 ? product_register : partial;

  always @(posedge CLK)
    if (CE) begin
      if (!AHOLD)
        a_register <= A;
      if (!BHOLD)
        b_register <= B;
      partial_register <= product;
      product_register <= partial;
    end

  (* maybe_unused *) wire unused =
    &{1'b0, C, D, CHOLD, DHOLD, IRSTTOP, IRSTBOT, ORSTTOP, ORSTBOT, OLOADTOP, OLOADBOT, ADDSUBTOP,
      ADDSUBBOT, OHOLDTOP, OHOLDBOT, CI, ACCUMCI, SIGNEXTIN};
endmodule
