// Hand-written core for the tests of the simulators: y = ±(a + b) + offset, lane by lane.
// The parameters' defaults are replaced by the tests.
module adder #(
  parameter LANES = 4,
  parameter [31:0] HASH = 32'h0
) (
  input  wire                clk,
  input  wire                rst,
  input  wire [8*LANES-1:0]  s_axis_a_tdata,
  input  wire                s_axis_a_tvalid,
  output wire                s_axis_a_tready,
  input  wire                s_axis_a_tlast,
  input  wire                s_axis_a_tuser,
  input  wire [8*LANES-1:0]  s_axis_b_tdata,
  input  wire                s_axis_b_tvalid,
  output wire                s_axis_b_tready,
  input  wire                s_axis_b_tlast,
  output wire [16*LANES-1:0] m_axis_y_tdata,
  output reg                 m_axis_y_tvalid,
  input  wire                m_axis_y_tready,
  output reg                 m_axis_y_tlast,
  input  wire [11:0]         s_axil_awaddr,
  input  wire [2:0]          s_axil_awprot,
  input  wire                s_axil_awvalid,
  output wire                s_axil_awready,
  input  wire [31:0]         s_axil_wdata,
  input  wire [3:0]          s_axil_wstrb,
  input  wire                s_axil_wvalid,
  output wire                s_axil_wready,
  output wire [1:0]          s_axil_bresp,
  output reg                 s_axil_bvalid,
  input  wire                s_axil_bready,
  input  wire [11:0]         s_axil_araddr,
  input  wire [2:0]          s_axil_arprot,
  input  wire                s_axil_arvalid,
  output wire                s_axil_arready,
  output reg  [31:0]         s_axil_rdata,
  output wire [1:0]          s_axil_rresp,
  output reg                 s_axil_rvalid,
  input  wire                s_axil_rready
);
  reg        framing, negate, mismatch;
  reg [7:0]  offset;
  reg [63:0] cycles_busy, stalled_input, stalled_output, frames;
  reg [31:0] latched [0:3];

  wire accept = s_axis_a_tvalid & s_axis_b_tvalid & (~m_axis_y_tvalid | m_axis_y_tready);
  wire emit = m_axis_y_tvalid & m_axis_y_tready;
  wire busy = framing | m_axis_y_tvalid;
  wire negated = framing ? negate : s_axis_a_tuser;
  assign s_axis_a_tready = accept;
  assign s_axis_b_tready = accept;

  genvar i;
  generate
    for (i = 0; i < LANES; i = i + 1) begin : lane
      adder_lane lane (.clk(clk), .enable(accept), .negate(negated), .offset(offset),
                       .a(s_axis_a_tdata[8*i +: 8]), .b(s_axis_b_tdata[8*i +: 8]),
                       .y(m_axis_y_tdata[16*i +: 16]));
    end
  endgenerate

  always @(posedge clk) begin
    if (accept) begin
      m_axis_y_tlast <= s_axis_a_tlast;
      m_axis_y_tvalid <= 1'b1;
      framing <= ~s_axis_a_tlast;
      negate <= negated;
    end else if (emit) m_axis_y_tvalid <= 1'b0;
    if (rst) begin
      m_axis_y_tvalid <= 1'b0;
      framing <= 1'b0;
    end
  end

  wire write = s_axil_awvalid & s_axil_wvalid & ~s_axil_bvalid;
  wire read = s_axil_arvalid & ~s_axil_rvalid;
  assign s_axil_awready = write;
  assign s_axil_wready = write;
  assign s_axil_arready = read;
  assign s_axil_bresp = 2'b00;
  assign s_axil_rresp = 2'b00;

  always @(posedge clk) begin
    if (accept | busy) cycles_busy <= cycles_busy + 1;
    if (busy & ~accept & (~m_axis_y_tvalid | m_axis_y_tready)) stalled_input <= stalled_input + 1;
    if (m_axis_y_tvalid & ~m_axis_y_tready) stalled_output <= stalled_output + 1;
    if (emit & m_axis_y_tlast) frames <= frames + 1;
    if (s_axil_bready) s_axil_bvalid <= 1'b0;
    if (write) begin
      s_axil_bvalid <= 1'b1;
      if (s_axil_awaddr[11:2] == 10'h20 && s_axil_wstrb[0]) offset <= s_axil_wdata[7:0];
      if (s_axil_awaddr[11:2] == 10'h05 && s_axil_wstrb[0] && s_axil_wdata[0]) mismatch <= 1'b0;
    end
    if (accept & (s_axis_a_tlast ^ s_axis_b_tlast)) mismatch <= 1'b1;
    if (s_axil_rready) s_axil_rvalid <= 1'b0;
    if (read) begin
      s_axil_rvalid <= 1'b1;
      case (s_axil_araddr[11:2])
        10'h00: s_axil_rdata <= 32'h53595354;
        10'h01: s_axil_rdata <= 32'd1;
        10'h02: s_axil_rdata <= HASH;
        10'h03: s_axil_rdata <= {31'd0, busy};
        10'h05: s_axil_rdata <= {31'd0, mismatch};
        10'h08: {latched[0], s_axil_rdata} <= cycles_busy;
        10'h09: s_axil_rdata <= latched[0];
        10'h0a: {latched[1], s_axil_rdata} <= stalled_input;
        10'h0b: s_axil_rdata <= latched[1];
        10'h0c: {latched[2], s_axil_rdata} <= stalled_output;
        10'h0d: s_axil_rdata <= latched[2];
        10'h0e: {latched[3], s_axil_rdata} <= frames;
        10'h0f: s_axil_rdata <= latched[3];
        10'h20: s_axil_rdata <= {24'd0, offset};
        default: s_axil_rdata <= 32'd0;
      endcase
    end
    if (rst | (write && s_axil_awaddr[11:2] == 10'h04 && s_axil_wstrb[0] && s_axil_wdata[0])) begin
      cycles_busy <= 64'd0;
      stalled_input <= 64'd0;
      stalled_output <= 64'd0;
      frames <= 64'd0;
    end
    if (rst) begin
      s_axil_bvalid <= 1'b0;
      s_axil_rvalid <= 1'b0;
      offset <= 8'd3;
      mismatch <= 1'b0;
      latched[0] <= 32'd0;
      latched[1] <= 32'd0;
      latched[2] <= 32'd0;
      latched[3] <= 32'd0;
    end
  end
endmodule

module adder_lane (
  input  wire        clk,
  input  wire        enable,
  input  wire        negate,
  input  wire [7:0]  offset,
  input  wire [7:0]  a,
  input  wire [7:0]  b,
  output reg  [15:0] y
);
  wire [15:0] sum = {{8{a[7]}}, a} + {{8{b[7]}}, b};
  always @(posedge clk) if (enable) y <= (negate ? -sum : sum) + {{8{offset[7]}}, offset};
endmodule
