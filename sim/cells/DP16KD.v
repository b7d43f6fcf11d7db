// ECP5 block memory of 16 kbit with two ports of 1, 2, 4, 9 or 18 bits; or with port A to write and
// port B to read, where one of them has 36 bits. FPGA-TN-02204. What one port reads while the other
// writes it is undefined there; here it comes out inverted, so that nothing can rely on it.
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
  localparam WIDE = DATA_WIDTH_A == 36 || DATA_WIDTH_B == 36;

  generate
    if (CLKAMUX != "CLKA" || CLKBMUX != "CLKB" || CSDECODE_A != "0b000" || CSDECODE_B != "0b000")
      begin : gen_clocks
        DP16KD_is_modelled_with_plain_clocks_and_without_selects unsupported ();
      end
    if (RESETMODE != ASYNC_RESET_RELEASE || (RESETMODE != "SYNC" && RESETMODE != "ASYNC"))
      begin : gen_reset
        DP16KD_is_modelled_with_a_reset_that_begins_and_ends_alike unsupported ();
      end
  endgenerate

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
  reg [35:0] words [0:511];
  integer index;
  initial
    for (index = 0; index < 512; index = index + 1)
      words[index] = {initial_words[40 * index + 20 +: 18], initial_words[40 * index +: 18]};

  wire [13:0] address_a = {
    ADA13, ADA12, ADA11, ADA10, ADA9, ADA8, ADA7, ADA6, ADA5,
    ADA4, ADA3, ADA2, ADA1, ADA0
  };
  wire [13:0] address_b = {
    ADB13, ADB12, ADB11, ADB10, ADB9, ADB8, ADB7, ADB6, ADB5,
    ADB4, ADB3, ADB2, ADB1, ADB0
  };
  wire [17:0] in_a = {
    DIA17, DIA16, DIA15, DIA14, DIA13, DIA12, DIA11, DIA10, DIA9,
    DIA8, DIA7, DIA6, DIA5, DIA4, DIA3, DIA2, DIA1, DIA0
  };
  wire [17:0] in_b = {
    DIB17, DIB16, DIB15, DIB14, DIB13, DIB12, DIB11, DIB10, DIB9,
    DIB8, DIB7, DIB6, DIB5, DIB4, DIB3, DIB2, DIB1, DIB0
  };
  // A word of 36 bits has its lower half at the pins of port A.
  wire [35:0] data_a = {WIDE ? in_b : 18'd0, in_a};
  wire [35:0] data_b = {18'd0, in_b};
  wire [35:0] q_a, q_b, mask_a, mask_b, placed_a, placed_b;
  assign {
    DOA17, DOA16, DOA15, DOA14, DOA13, DOA12, DOA11, DOA10, DOA9,
    DOA8, DOA7, DOA6, DOA5, DOA4, DOA3, DOA2, DOA1, DOA0
  } = DATA_WIDTH_B == 36 ? q_b[17:0] : q_a[17:0];
  assign {
    DOB17, DOB16, DOB15, DOB14, DOB13, DOB12, DOB11, DOB10, DOB9,
    DOB8, DOB7, DOB6, DOB5, DOB4, DOB3, DOB2, DOB1, DOB0
  } = DATA_WIDTH_B == 36 ? q_b[35:18] : q_b[17:0];

  DP16KD_port #(
    .WIDTH(DATA_WIDTH_A), .REGMODE(REGMODE_A), .WRITEMODE(WRITEMODE_A), .RESETMODE(RESETMODE)
  ) port_a (
    .clk(CLKA), .we(WEA), .ce(CEA), .oce(OCEA), .rst(RSTA), .address(address_a),
    .data(data_a), .row(words[address_a[13:5]]),
    .elsewhere(address_a[13:5] == address_b[13:5] ? mask_b : 36'd0),
    .mask(mask_a), .placed(placed_a), .q(q_a)
  );

  DP16KD_port #(
    .WIDTH(DATA_WIDTH_B), .REGMODE(REGMODE_B), .WRITEMODE(WRITEMODE_B), .RESETMODE(RESETMODE)
  ) port_b (
    .clk(CLKB), .we(WEB), .ce(CEB), .oce(OCEB), .rst(RSTB), .address(address_b),
    .data(data_b), .row(words[address_b[13:5]]),
    .elsewhere(address_a[13:5] == address_b[13:5] ? mask_a : 36'd0),
    .mask(mask_b), .placed(placed_b), .q(q_b)
  );

  integer bit_a, bit_b;
  always @(posedge CLKA)
    for (bit_a = 0; bit_a < 36; bit_a = bit_a + 1)
      if (mask_a[bit_a])
        words[address_a[13:5]][bit_a] <= placed_a[bit_a];
  always @(posedge CLKB)
    for (bit_b = 0; bit_b < 36; bit_b = bit_b + 1)
      if (mask_b[bit_b])
        words[address_b[13:5]][bit_b] <= placed_b[bit_b];

  (* maybe_unused *) wire unused = &{1'b0, CSA0, CSA1, CSA2, CSB0, CSB1, CSB2, q_a[35:18]};
endmodule

// One port: what it writes of a row of 36 bits, and what it reads.
module DP16KD_port #(
  parameter WIDTH = 18,
  parameter REGMODE = "NOREG",
  parameter WRITEMODE = "NORMAL",
  parameter RESETMODE = "SYNC"
) (
  input  wire        clk, we, ce, oce, rst,
  input  wire [13:0] address,
  input  wire [35:0] data,
  input  wire [35:0] row,                              // as it was before, and
  input  wire [35:0] elsewhere,                        // what the other port writes of it
  output reg  [35:0] mask,
  output wire [35:0] placed,
  output wire [35:0] q
);
  reg [5:0] shift;
  always @* begin
    shift = {5'b0, address[4]} * 6'd18;
    mask = 36'd0;
    case (WIDTH)
      36: begin
        shift = 6'd0;
        mask = {{9{address[3]}}, {9{address[2]}}, {9{address[1]}}, {9{address[0]}}};
      end
      18: mask = {18'd0, {9{address[1]}}, {9{address[0]}}} << shift;
      default: begin
        shift = shift + (address[3] ? 6'd9 : 6'd0);
        case (WIDTH)
          9: mask = 36'h1FF;
          4: begin
            shift = shift + {3'd0, address[2], 2'd0};
            mask = 36'hF;
          end
          2: begin
            shift = shift + {3'd0, address[2:1], 1'd0};
            mask = 36'h3;
          end
          default: begin
            shift = shift + {3'd0, address[2:0]};
            mask = 36'h1;
          end
        endcase
        mask = mask << shift;
      end
    endcase
    if (~(ce & we))
      mask = 36'd0;
  end
  assign placed = data << shift;

  localparam [35:0] ALL = WIDTH == 36 ? {36{1'b1}} : (36'd1 << WIDTH) - 36'd1;
  wire [35:0] past = ((row ^ elsewhere) >> shift) & ALL;
  wire [35:0] present = (((row & ~mask) | (placed & mask)) >> shift) & ALL;
  reg [35:0] latch = 36'd0, output_register = 36'd0;
  wire clear = RESETMODE == "ASYNC" && rst;
  always @(posedge clk or posedge clear)
    if (clear) begin
      latch <= 36'd0;
      output_register <= 36'd0;
    end else begin
      if (rst)
        latch <= 36'd0;
      else if (ce && (~we || WRITEMODE == "READBEFOREWRITE"))
        latch <= past;
      else if (ce && WRITEMODE == "WRITETHROUGH")
        latch <= present;
      if (rst)
        output_register <= 36'd0;
      else if (oce)
        output_register <= latch;
    end
  assign q = REGMODE == "OUTREG" ? output_register : latch;
endmodule
