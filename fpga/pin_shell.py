"""A shell of registers around a design, so that three pins are enough to time it.

A core has hundreds of ports, more than a device has pins. In the shell every input of the design
comes from a register of a chain that one pin feeds, and every output goes to a register, from which
a second chain carries it to another pin. So every path of the design runs between registers, as it
does inside a system, and no logic is optimized away.
"""

from systolith.fpga.design import Design, Port

TOP = "pin_shell"
INSTANCE = "design"
CLOCK, SERIAL_IN, SERIAL_OUT = PINS = ("clk", "serial_in", "serial_out")


def pin_shell(design: Design) -> str:
    """Verilog of the shell, and of the design as a black box."""
    ports = design.ports
    inputs = [port for port in ports if port.direction == "input" and port.name != "clk"]
    outputs = [port for port in ports if port.direction == "output"]
    clocked = [f".{port.name}(clk)" for port in ports if port.name == "clk"]
    drives = _slices(inputs, "stimulus")
    results = _slices(outputs, "results")
    width_in = sum(port.width for port in inputs)
    width_out = sum(port.width for port in outputs)
    connections = ",\n    ".join([*clocked, *drives, *results])
    declared = ", ".join(f"{port.direction} [{port.width - 1}:0] {port.name}" for port in ports)
    return f"""\
module {TOP} (input {CLOCK}, input {SERIAL_IN}, output {SERIAL_OUT});
  reg  [{width_in - 1}:0] stimulus;
  wire [{width_out - 1}:0] results;
  reg  [{width_out - 1}:0] captured;
  reg  [{width_out - 1}:0] folded;
  always @(posedge {CLOCK}) begin
    stimulus <= {{stimulus, {SERIAL_IN}}};
    captured <= results;
    folded <= {{folded, {SERIAL_IN}}} ^ captured;
  end
  assign {SERIAL_OUT} = folded[{width_out - 1}];
  {design.name} {INSTANCE} (
    {connections}
  );
endmodule

(* blackbox *)
module {design.name} ({declared});
endmodule
"""


def _slices(ports: list[Port], vector: str) -> list[str]:
    connections, position = [], 0
    for port in ports:
        connections.append(f".{port.name}({vector}[{position} +: {port.width}])")
        position += port.width
    return connections
