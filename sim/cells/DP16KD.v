// ECP5 block memory of 16 kbit with two ports of 1, 2, 4, 9 or 18 bits. FPGA-TN-02204. What one
// port reads while the other writes it is undefined there; here it comes out inverted, so that
// nothing can rely on it.
module DP16KD #(
  parameter DATA_WIDTH_A = 18,
  parameter DATA_WIDTH_B = 18,
  parameter REGMODE_A = "NOREG",
  parameter REGMODE_B = "NOREG",
  parameter WRITEMODE_A = "NORMAL",
  parameter WRITEMODE_B = "NORMAL",
  parameter RESETMODE = "SYNC",
  parameter ASYNC_RESET_RELEASE = "SYNC",
  parameter CSDECODE_A = "0b000",
  parameter CSDECODE_B = "0b000",
  parameter CLKAMUX = "CLKA",
  parameter CLKBMUX = "CLKB",
  parameter GSR = "AUTO",
  parameter [319:0] INITVAL_00 = 320'b0,
  parameter [319:0] INITVAL_01 = 320'b0,
  parameter [319:0] INITVAL_02 = 320'b0,
  parameter [319:0] INITVAL_03 = 320'b0,
  parameter [319:0] INITVAL_04 = 320'b0,
  parameter [319:0] INITVAL_05 = 320'b0,
  parameter [319:0] INITVAL_06 = 320'b0,
  parameter [319:0] INITVAL_07 = 320'b0,
  parameter [319:0] INITVAL_08 = 320'b0,
  parameter [319:0] INITVAL_09 = 320'b0,
  parameter [319:0] INITVAL_0A = 320'b0,
  parameter [319:0] INITVAL_0B = 320'b0,
  parameter [319:0] INITVAL_0C = 320'b0,
  parameter [319:0] INITVAL_0D = 320'b0,
  parameter [319:0] INITVAL_0E = 320'b0,
  parameter [319:0] INITVAL_0F = 320'b0,
  parameter [319:0] INITVAL_10 = 320'b0,
  parameter [319:0] INITVAL_11 = 320'b0,
  parameter [319:0] INITVAL_12 = 320'b0,
  parameter [319:0] INITVAL_13 = 320'b0,
  parameter [319:0] INITVAL_14 = 320'b0,
  parameter [319:0] INITVAL_15 = 320'b0,
  parameter [319:0] INITVAL_16 = 320'b0,
  parameter [319:0] INITVAL_17 = 320'b0,
  parameter [319:0] INITVAL_18 = 320'b0,
  parameter [319:0] INITVAL_19 = 320'b0,
  parameter [319:0] INITVAL_1A = 320'b0,
  parameter [319:0] INITVAL_1B = 320'b0,
  parameter [319:0] INITVAL_1C = 320'b0,
  parameter [319:0] INITVAL_1D = 320'b0,
  parameter [319:0] INITVAL_1E = 320'b0,
  parameter [319:0] INITVAL_1F = 320'b0,
  parameter [319:0] INITVAL_20 = 320'b0,
  parameter [319:0] INITVAL_21 = 320'b0,
  parameter [319:0] INITVAL_22 = 320'b0,
  parameter [319:0] INITVAL_23 = 320'b0,
  parameter [319:0] INITVAL_24 = 320'b0,
  parameter [319:0] INITVAL_25 = 320'b0,
  parameter [319:0] INITVAL_26 = 320'b0,
  parameter [319:0] INITVAL_27 = 320'b0,
  parameter [319:0] INITVAL_28 = 320'b0,
  parameter [319:0] INITVAL_29 = 320'b0,
  parameter [319:0] INITVAL_2A = 320'b0,
  parameter [319:0] INITVAL_2B = 320'b0,
  parameter [319:0] INITVAL_2C = 320'b0,
  parameter [319:0] INITVAL_2D = 320'b0,
  parameter [319:0] INITVAL_2E = 320'b0,
  parameter [319:0] INITVAL_2F = 320'b0,
  parameter [319:0] INITVAL_30 = 320'b0,
  parameter [319:0] INITVAL_31 = 320'b0,
  parameter [319:0] INITVAL_32 = 320'b0,
  parameter [319:0] INITVAL_33 = 320'b0,
  parameter [319:0] INITVAL_34 = 320'b0,
  parameter [319:0] INITVAL_35 = 320'b0,
  parameter [319:0] INITVAL_36 = 320'b0,
  parameter [319:0] INITVAL_37 = 320'b0,
  parameter [319:0] INITVAL_38 = 320'b0,
  parameter [319:0] INITVAL_39 = 320'b0,
  parameter [319:0] INITVAL_3A = 320'b0,
  parameter [319:0] INITVAL_3B = 320'b0,
  parameter [319:0] INITVAL_3C = 320'b0,
  parameter [319:0] INITVAL_3D = 320'b0,
  parameter [319:0] INITVAL_3E = 320'b0,
  parameter [319:0] INITVAL_3F = 320'b0
) (
  input  wire CLKA, WEA, CEA, OCEA, RSTA, CSA0, CSA1, CSA2,
  input  wire ADA0, ADA1, ADA2, ADA3, ADA4, ADA5, ADA6, ADA7, ADA8,
  input  wire ADA9, ADA10, ADA11, ADA12, ADA13,
  input  wire DIA0, DIA1, DIA2, DIA3, DIA4, DIA5, DIA6, DIA7, DIA8,
  input  wire DIA9, DIA10, DIA11, DIA12, DIA13, DIA14, DIA15, DIA16, DIA17,
  input  wire CLKB, WEB, CEB, OCEB, RSTB, CSB0, CSB1, CSB2,
  input  wire ADB0, ADB1, ADB2, ADB3, ADB4, ADB5, ADB6, ADB7, ADB8,
  input  wire ADB9, ADB10, ADB11, ADB12, ADB13,
  input  wire DIB0, DIB1, DIB2, DIB3, DIB4, DIB5, DIB6, DIB7, DIB8,
  input  wire DIB9, DIB10, DIB11, DIB12, DIB13, DIB14, DIB15, DIB16, DIB17,
  output wire DOA0, DOA1, DOA2, DOA3, DOA4, DOA5, DOA6, DOA7, DOA8,
  output wire DOA9, DOA10, DOA11, DOA12, DOA13, DOA14, DOA15, DOA16, DOA17,
  output wire DOB0, DOB1, DOB2, DOB3, DOB4, DOB5, DOB6, DOB7, DOB8,
  output wire DOB9, DOB10, DOB11, DOB12, DOB13, DOB14, DOB15, DOB16, DOB17
);
  generate
    if (RESETMODE != "SYNC" || CLKAMUX != "CLKA" || CLKBMUX != "CLKB" || CSDECODE_A != "0b000"
        || CSDECODE_B != "0b000") begin : gen_unsupported
      DP16KD_is_modelled_with_plain_clocks_and_a_synchronous_reset unsupported ();
    end
  endgenerate

  function [17:0] mask_of(input integer width, input [13:0] address);
    case (width)
      18: mask_of = {{9{address[1]}}, {9{address[0]}}};
      9: mask_of = 18'h1FF << shift_of(width, address);
      default: mask_of = ((18'd1 << width) - 18'd1) << shift_of(width, address);
    endcase
  endfunction

  function [4:0] shift_of(input integer width, input [13:0] address);
    case (width)
      18: shift_of = 5'd0;
      9: shift_of = address[3] ? 5'd9 : 5'd0;
      4: shift_of = (address[3] ? 5'd9 : 5'd0) + (address[2] ? 5'd4 : 5'd0);
      2: shift_of = (address[3] ? 5'd9 : 5'd0) + {2'b00, address[2:1], 1'b0};
      default: shift_of = (address[3] ? 5'd9 : 5'd0) + {2'b00, address[2:0]};
    endcase
  endfunction

  function [17:0] width_mask(input integer width);
    width_mask = width == 18 ? 18'h3FFFF : (18'd1 << width) - 18'd1;
  endfunction

  // 16 words of 18 bits in each INITVAL, each in the lower part of 20 bits.
  wire [20479:0] initial_words = {
    INITVAL_3F, INITVAL_3E, INITVAL_3D, INITVAL_3C, INITVAL_3B, INITVAL_3A, INITVAL_39,
    INITVAL_38, INITVAL_37, INITVAL_36, INITVAL_35, INITVAL_34, INITVAL_33, INITVAL_32,
    INITVAL_31, INITVAL_30, INITVAL_2F, INITVAL_2E, INITVAL_2D, INITVAL_2C, INITVAL_2B,
    INITVAL_2A, INITVAL_29, INITVAL_28, INITVAL_27, INITVAL_26, INITVAL_25, INITVAL_24,
    INITVAL_23, INITVAL_22, INITVAL_21, INITVAL_20, INITVAL_1F, INITVAL_1E, INITVAL_1D,
    INITVAL_1C, INITVAL_1B, INITVAL_1A, INITVAL_19, INITVAL_18, INITVAL_17, INITVAL_16,
    INITVAL_15, INITVAL_14, INITVAL_13, INITVAL_12, INITVAL_11, INITVAL_10, INITVAL_0F,
    INITVAL_0E, INITVAL_0D, INITVAL_0C, INITVAL_0B, INITVAL_0A, INITVAL_09, INITVAL_08,
    INITVAL_07, INITVAL_06, INITVAL_05, INITVAL_04, INITVAL_03, INITVAL_02, INITVAL_01,
    INITVAL_00
  };
  reg [17:0] words [0:1023];
  integer index;
  initial
    for (index = 0; index < 1024; index = index + 1)
      words[index] = initial_words[20 * index +: 18];

  wire [13:0] address_a = {
    ADA13, ADA12, ADA11, ADA10, ADA9, ADA8, ADA7, ADA6, ADA5,
    ADA4, ADA3, ADA2, ADA1, ADA0
  };
  wire [17:0] data_a = {
    DIA17, DIA16, DIA15, DIA14, DIA13, DIA12, DIA11, DIA10, DIA9,
    DIA8, DIA7, DIA6, DIA5, DIA4, DIA3, DIA2, DIA1, DIA0
  };
  wire write_a = CEA & WEA;
  wire [4:0] shift_a = shift_of(DATA_WIDTH_A, address_a);
  wire [17:0] mask_a = write_a ? mask_of(DATA_WIDTH_A, address_a) : 18'd0;
  wire [17:0] next_a = (words[address_a[13:4]] & ~mask_a)
                     | ((data_a << shift_a) & mask_a);
  reg [17:0] latch_a = 18'd0, output_a = 18'd0;
  assign {
    DOA17, DOA16, DOA15, DOA14, DOA13, DOA12, DOA11, DOA10, DOA9,
    DOA8, DOA7, DOA6, DOA5, DOA4, DOA3, DOA2, DOA1, DOA0
  } = REGMODE_A == "OUTREG" ? output_a : latch_a;

  wire [13:0] address_b = {
    ADB13, ADB12, ADB11, ADB10, ADB9, ADB8, ADB7, ADB6, ADB5,
    ADB4, ADB3, ADB2, ADB1, ADB0
  };
  wire [17:0] data_b = {
    DIB17, DIB16, DIB15, DIB14, DIB13, DIB12, DIB11, DIB10, DIB9,
    DIB8, DIB7, DIB6, DIB5, DIB4, DIB3, DIB2, DIB1, DIB0
  };
  wire write_b = CEB & WEB;
  wire [4:0] shift_b = shift_of(DATA_WIDTH_B, address_b);
  wire [17:0] mask_b = write_b ? mask_of(DATA_WIDTH_B, address_b) : 18'd0;
  wire [17:0] next_b = (words[address_b[13:4]] & ~mask_b)
                     | ((data_b << shift_b) & mask_b);
  reg [17:0] latch_b = 18'd0, output_b = 18'd0;
  assign {
    DOB17, DOB16, DOB15, DOB14, DOB13, DOB12, DOB11, DOB10, DOB9,
    DOB8, DOB7, DOB6, DOB5, DOB4, DOB3, DOB2, DOB1, DOB0
  } = REGMODE_B == "OUTREG" ? output_b : latch_b;

  wire [17:0] seen_a = words[address_a[13:4]]
                     ^ (address_a[13:4] == address_b[13:4] ? mask_b : 18'd0);
  always @(posedge CLKA) begin
    if (write_a)
      words[address_a[13:4]] <= next_a;
    if (RSTA)
      latch_a <= 18'd0;
    else if (CEA & ~WEA)
      latch_a <= (seen_a >> shift_a) & width_mask(DATA_WIDTH_A);
    else if (CEA && WRITEMODE_A == "WRITETHROUGH")
      latch_a <= (next_a >> shift_a) & width_mask(DATA_WIDTH_A);
    else if (CEA && WRITEMODE_A == "READBEFOREWRITE")
      latch_a <= (seen_a >> shift_a) & width_mask(DATA_WIDTH_A);
    if (RSTA)
      output_a <= 18'd0;
    else if (OCEA)
      output_a <= latch_a;
  end

  wire [17:0] seen_b = words[address_b[13:4]]
                     ^ (address_b[13:4] == address_a[13:4] ? mask_a : 18'd0);
  always @(posedge CLKB) begin
    if (write_b)
      words[address_b[13:4]] <= next_b;
    if (RSTB)
      latch_b <= 18'd0;
    else if (CEB & ~WEB)
      latch_b <= (seen_b >> shift_b) & width_mask(DATA_WIDTH_B);
    else if (CEB && WRITEMODE_B == "WRITETHROUGH")
      latch_b <= (next_b >> shift_b) & width_mask(DATA_WIDTH_B);
    else if (CEB && WRITEMODE_B == "READBEFOREWRITE")
      latch_b <= (seen_b >> shift_b) & width_mask(DATA_WIDTH_B);
    if (RSTB)
      output_b <= 18'd0;
    else if (OCEB)
      output_b <= latch_b;
  end

  (* maybe_unused *) wire unused = &{1'b0, CSA0, CSA1, CSA2, CSB0, CSB1, CSB2};
endmodule
