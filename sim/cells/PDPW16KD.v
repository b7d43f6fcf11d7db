// ECP5 block memory of 512 words of 36 bits, one port to write and one to read, with an output
// register. FPGA-TN-02204. A word that is read while it is being written is undefined there; here
// it comes out inverted, so that nothing can rely on it.
module PDPW16KD #(
  parameter DATA_WIDTH_W = 36,
  parameter DATA_WIDTH_R = 36,
  parameter REGMODE = "NOREG",
  parameter GSR = "DISABLED"
) (
  input  wire CLKW, CEW, CLKR, CER, OCER, RST,
  input  wire CSW0, CSW1, CSW2, CSR0, CSR1, CSR2, BE0, BE1, BE2, BE3,
  input  wire ADW0, ADW1, ADW2, ADW3, ADW4, ADW5, ADW6, ADW7, ADW8,
  input  wire ADR0, ADR1, ADR2, ADR3, ADR4, ADR5, ADR6, ADR7, ADR8,
  input  wire ADR9, ADR10, ADR11, ADR12, ADR13,
  input  wire DI0, DI1, DI2, DI3, DI4, DI5, DI6, DI7, DI8,
  input  wire DI9, DI10, DI11, DI12, DI13, DI14, DI15, DI16, DI17,
  input  wire DI18, DI19, DI20, DI21, DI22, DI23, DI24, DI25, DI26,
  input  wire DI27, DI28, DI29, DI30, DI31, DI32, DI33, DI34, DI35,
  output wire DO0, DO1, DO2, DO3, DO4, DO5, DO6, DO7, DO8,
  output wire DO9, DO10, DO11, DO12, DO13, DO14, DO15, DO16, DO17,
  output wire DO18, DO19, DO20, DO21, DO22, DO23, DO24, DO25, DO26,
  output wire DO27, DO28, DO29, DO30, DO31, DO32, DO33, DO34, DO35
);
  generate
    if (GSR != "DISABLED" || DATA_WIDTH_W != 36 || DATA_WIDTH_R != 36) begin : gen_unsupported
      PDPW16KD_is_modelled_for_36_bits_without_a_global_reset unsupported ();
    end
  endgenerate

  wire [8:0] write_word = {
    ADW8, ADW7, ADW6, ADW5, ADW4, ADW3, ADW2, ADW1, ADW0
  };
  wire [13:0] read_bit = {
    ADR13, ADR12, ADR11, ADR10, ADR9, ADR8, ADR7, ADR6, ADR5,
    ADR4, ADR3, ADR2, ADR1, ADR0
  };
  wire [35:0] written = {
    DI35, DI34, DI33, DI32, DI31, DI30, DI29, DI28, DI27,
    DI26, DI25, DI24, DI23, DI22, DI21, DI20, DI19, DI18,
    DI17, DI16, DI15, DI14, DI13, DI12, DI11, DI10, DI9,
    DI8, DI7, DI6, DI5, DI4, DI3, DI2, DI1, DI0
  };
  wire [8:0] read_word = read_bit[13:5];
  wire write = CEW & BE0 & BE1 & BE2 & BE3;

  reg [35:0] words [0:511];
  reg [35:0] latch, output_register;
  assign {
    DO35, DO34, DO33, DO32, DO31, DO30, DO29, DO28, DO27,
    DO26, DO25, DO24, DO23, DO22, DO21, DO20, DO19, DO18,
    DO17, DO16, DO15, DO14, DO13, DO12, DO11, DO10, DO9,
    DO8, DO7, DO6, DO5, DO4, DO3, DO2, DO1, DO0
  } = REGMODE == "OUTREG" ? output_register : latch;

  always @(posedge CLKW)
    if (write)
      words[write_word] <= written;

  always @(posedge CLKR) begin
    if (CER)
      latch <= words[read_word] ^ {36{write & (write_word == read_word)}};
    if (OCER)
      output_register <= latch;
  end

  (* maybe_unused *) wire unused =
    &{1'b0, CSW0, CSW1, CSW2, CSR0, CSR1, CSR2, RST, read_bit[4:0]};
endmodule
