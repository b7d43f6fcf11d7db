// Gowin multiplier, 18 by 18 bits, signed or unsigned, with registers for the factors, behind the
// partial products and for the product. UG287.
module MULT18X18 #(
  parameter [0:0] AREG = 0,
  parameter [0:0] BREG = 0,
  parameter [0:0] PIPE_REG = 0,
  parameter [0:0] OUT_REG = 0,
  parameter [0:0] ASIGN_REG = 0,
  parameter [0:0] BSIGN_REG = 0,
  parameter [0:0] SOA_REG = 0,
  parameter MULT_RESET_MODE = "SYNC"
) (
  input  wire CLK, CE, RESET, ASIGN, BSIGN, ASEL, BSEL,
  input  wire [17:0] A, B, SIA, SIB,
  output wire [35:0] DOUT
);
  generate
    if (ASIGN_REG || BSIGN_REG || SOA_REG || MULT_RESET_MODE != "SYNC") begin : gen_unsupported
      MULT18X18_is_modelled_with_constant_signs unsupported ();
    end
  endgenerate

  reg [17:0] a_register, b_register;
  reg [35:0] pipeline_register, output_register;
  wire [17:0] a = AREG ? a_register : A;
  wire [17:0] b = BREG ? b_register : B;
  wire [35:0] a_wide = {{18{ASIGN & a[17]}}, a};
  wire [35:0] b_wide = {{18{BSIGN & b[17]}}, b};
  wire [35:0] product = a_wide * b_wide;
  wire [35:0] between = PIPE_REG ? pipeline_register : product;
  assign DOUT = OUT_REG ? output_register : between;

  always @(posedge CLK)
    if (CE) begin
      a_register <= A;
      b_register <= B;
      pipeline_register <= product;
      output_register <= between;
    end

  (* maybe_unused *) wire unused = &{1'b0, RESET, ASEL, BSEL, SIA, SIB};
endmodule
