"""A core with its link: what a board holds, without the pins."""

from dataclasses import dataclass

from systolith.fpga.design import Design
from systolith.generators.core import GeneratedCore
from systolith.generators.verilog import emit
from systolith.hdl.link.config import LinkConfig
from systolith.hdl.link.link import Link


@dataclass(frozen=True)
class LinkedCore:
    """A core behind a UART.

    The core is the text that ``systolith generate`` writes, unchanged.

    Attributes
    ----------
    core : GeneratedCore
    link : LinkConfig
    verilog : str
        Of the core, the link, and the module :attr:`name` that joins them; its ports are ``clk``,
        ``rst``, ``rx`` and ``tx``.
    """

    core: GeneratedCore
    link: LinkConfig
    verilog: str

    @property
    def name(self) -> str:
        return f"{self.core.name}_linked"

    @property
    def technology(self) -> str:
        return self.core.manifest["technology"]

    @classmethod
    def of(cls, core: GeneratedCore, link: LinkConfig) -> "LinkedCore":
        """Put a link around a core."""
        component = Link(link, core.config.streams)
        name = f"{core.name}_link"
        emitted = emit(component, name=name)
        own = Design(name, emitted.text)
        inside = Design.of(core)
        return cls(core, link, "\n".join([core.verilog, emitted.text,
                                          _join(core.name, inside, own)]))


def _join(name: str, core: Design, link: Design) -> str:
    wires, ends = [], {"clk": "clk", "rst": "rst | restart"}
    for port in core.ports:
        if port.name not in ends:
            ends[port.name] = port.name
            span = f"[{port.width - 1}:0] " if port.width > 1 else ""
            wires.append(f"  wire {span}{port.name};")
    swapped = {"s_ax": "m_ax", "m_ax": "s_ax"}
    link_ends = {"clk": "clk", "rst": "rst", "rx": "rx", "tx": "tx", "restart": "restart"}
    for port in link.ports:
        if port.name not in link_ends:
            link_ends[port.name] = swapped[port.name[:4]] + port.name[4:]
    return f"""\
`default_nettype none

// {name} and its link.
module {name}_linked (
  input  wire clk,
  input  wire rst,
  input  wire rx,
  output wire tx
);
  wire restart;
{chr(10).join(wires)}

  {link.name} u_link (
{_ports(link, link_ends)}
  );

  {core.name} u_core (
{_ports(core, ends)}
  );
endmodule

`default_nettype wire
"""


def _ports(design: Design, ends: dict[str, str]) -> str:
    return ",\n".join(f"    .{port.name}({ends[port.name]})" for port in design.ports)
