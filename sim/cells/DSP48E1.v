// Xilinx 7 series multiplier and adder: P = (A + D) * B + Z, all signed, Z one of 0, PCIN, P and C,
// with the registers of its operands, of A + D, of the product and of P. UG479.
module DSP48E1 #(
  parameter [55:0] A_INPUT = "DIRECT",
  parameter [55:0] B_INPUT = "DIRECT",
  parameter [39:0] USE_DPORT = "FALSE",
  parameter integer AREG = 1,
  parameter integer ACASCREG = 1,
  parameter integer BREG = 1,
  parameter integer BCASCREG = 1,
  parameter integer CREG = 1,
  parameter integer DREG = 1,
  parameter integer ADREG = 1,
  parameter integer MREG = 1,
  parameter integer PREG = 1,
  parameter integer OPMODEREG = 1,
  parameter integer ALUMODEREG = 0,
  parameter integer CARRYINREG = 0,
  parameter integer CARRYINSELREG = 0,
  parameter integer INMODEREG = 0
) (
  input  wire CLK,
  input  wire [29:0] A, ACIN,
  input  wire [17:0] B, BCIN,
  input  wire [47:0] C, PCIN,
  input  wire [24:0] D,
  input  wire [6:0] OPMODE,
  input  wire [4:0] INMODE,
  input  wire [3:0] ALUMODE,
  input  wire [2:0] CARRYINSEL,
  input  wire CARRYIN, CARRYCASCIN, MULTSIGNIN,
  input  wire CEA1, CEA2, CEB1, CEB2, CEC, CED, CEAD, CEM, CEP,
  input  wire CECTRL, CEINMODE, CEALUMODE, CECARRYIN,
  input  wire RSTA, RSTB, RSTC, RSTD, RSTM, RSTP,
  input  wire RSTCTRL, RSTINMODE, RSTALUMODE, RSTALLCARRYIN,
  output wire [29:0] ACOUT,
  output wire [17:0] BCOUT,
  output wire [47:0] P, PCOUT
);
  generate
    if (ALUMODEREG != 0 || CARRYINREG != 0 || CARRYINSELREG != 0 || INMODEREG != 0 ||
        ACASCREG != (AREG > 0 ? 1 : 0) || BCASCREG != (BREG > 0 ? 1 : 0)) begin : gen_unsupported
      DSP48E1_is_modelled_with_constant_modes unsupported ();
    end
  endgenerate

  wire [29:0] a_in = A_INPUT == "CASCADE" ? ACIN : A;
  wire [17:0] b_in = B_INPUT == "CASCADE" ? BCIN : B;
  reg [29:0] a_first, a_last;
  reg [17:0] b_first, b_last;
  reg [24:0] d_register, ad_register;
  reg [47:0] c_register, p_register;
  reg [42:0] m_register;
  reg [6:0] opmode_register;

  wire [29:0] a = AREG == 0 ? a_in : a_last;
  wire [17:0] b = BREG == 0 ? b_in : b_last;
  wire [24:0] d = DREG == 1 ? d_register : D;
  wire [47:0] c = CREG == 1 ? c_register : C;
  wire [6:0] opmode = OPMODEREG == 1 ? opmode_register : OPMODE;
  assign ACOUT = AREG == 2 ? a_first : a;
  assign BCOUT = BREG == 2 ? b_first : b;

  wire [24:0] ad = a[24:0] + d;
  wire [24:0] ad_used = ADREG == 1 ? ad_register : ad;
  wire [24:0] factor = USE_DPORT == "TRUE" ? ad_used : a[24:0];
  wire [42:0] product = {{18{factor[24]}}, factor} * {{25{b[17]}}, b};
  wire [42:0] m = MREG == 1 ? m_register : product;
  reg [47:0] z;
  wire [47:0] sum = {{5{m[42]}}, m} + z;
  assign P = PREG == 1 ? p_register : sum;
  assign PCOUT = P;

  always @*
    case (opmode[6:4])
      3'b000: z = 48'd0;
      3'b001: z = PCIN;
      3'b010: z = p_register;
      3'b011: z = c;
      default: z = 48'bx;
    endcase

  always @(posedge CLK) begin
    if (CEA1)
      a_first <= a_in;
    if (CEA2)
      a_last <= AREG == 2 ? a_first : a_in;
    if (CEB1)
      b_first <= b_in;
    if (CEB2)
      b_last <= BREG == 2 ? b_first : b_in;
    if (CEC)
      c_register <= C;
    if (CED)
      d_register <= D;
    if (CEAD)
      ad_register <= ad;
    if (CEM)
      m_register <= product;
    if (CECTRL)
      opmode_register <= OPMODE;
    if (CEP)
      p_register <= sum;
  end

  (* maybe_unused *) wire unused =
    &{1'b0, INMODE, ALUMODE, CARRYINSEL, CARRYIN, CARRYCASCIN, MULTSIGNIN, CEINMODE, CEALUMODE,
      CECARRYIN, RSTA, RSTB, RSTC, RSTD, RSTM, RSTP, RSTCTRL, RSTINMODE, RSTALUMODE, RSTALLCARRYIN,
      opmode[3:0], a[29:25]};
endmodule
