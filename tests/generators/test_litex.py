"""A core in a LiteX SoC: elaborated by LiteX, simulated with Verilator, asked over LiteX's UART.

Not run where LiteX is not installed (``pip install litex liteeth litescope litedram``).
"""

import importlib
import sys

import pytest

from systolith.generators import registry
from systolith.generators.core import elaborate, write
from systolith.generators.flows import with_flows
from systolith.hdl.interface import MAGIC
from systolith.sim.simulators.board import BoardPort, TopLevel

litex = pytest.importorskip("litex", reason="LiteX is not installed: its wrapper was not run")
pytestmark = [pytest.mark.nightly, pytest.mark.filterwarnings("ignore")]

CLOCK_HZ, BAUD = 12_000_000, 1_000_000
ORIGIN = 0x3000_0000


def soc(wrapper, folder):
    """Verilog of a SoC with the core on its bus, and CSRs at the core's streams."""
    from litex.build.generic_platform import Pins, Subsignal
    from litex.build.sim import SimPlatform
    from litex.gen import LiteXModule
    from litex.soc.integration.soc import SoCRegion
    from litex.soc.integration.soc_core import SoCMini
    from litex.soc.interconnect.csr import CSRStatus, CSRStorage
    from migen import ClockDomain, If, Signal

    platform = SimPlatform("SIM", [
        ("sys_clk", 0, Pins(1)), ("sys_rst", 0, Pins(1)),
        ("serial", 0, Subsignal("tx", Pins(1)), Subsignal("rx", Pins(1)))])

    class Clocks(LiteXModule):
        def __init__(self):
            self.cd_sys = ClockDomain()
            self.comb += [self.cd_sys.clk.eq(platform.request("sys_clk")),
                          self.cd_sys.rst.eq(platform.request("sys_rst"))]

    class Ends(LiteXModule):
        def __init__(self, core):
            self.x = CSRStorage(32, name="x")
            self.y = CSRStorage(32, name="y")
            self.z = CSRStatus(32, name="z")
            for word, sink in ((self.x, core.sink_x), (self.y, core.sink_y)):
                there = Signal()
                self.comb += [sink.valid.eq(there), sink.data.eq(word.storage), sink.last.eq(1)]
                self.sync += If(word.re, there.eq(1)).Elif(sink.ready, there.eq(0))
            self.comb += core.source_z.ready.eq(1)
            self.sync += If(core.source_z.valid, self.z.status.eq(core.source_z.data))

    class Soc(SoCMini):
        def __init__(self):
            self.crg = Clocks()
            SoCMini.__init__(self, platform, clk_freq=CLOCK_HZ, ident="", uart_name="serial")
            self.add_uartbone(name="serial", baudrate=BAUD)
            self.core = wrapper(platform)
            self.bus.add_slave("core", self.core.bus,
                               SoCRegion(origin=ORIGIN, size=0x1000, cached=False))
            self.ends = Ends(self.core)

    made = Soc()
    made.finalize()
    platform.get_verilog(made, name="soc").write(str(folder / "soc.v"))
    ends = made.bus.regions["csr"].origin + 0x800 * made.csr.locs["ends"]
    return (folder / "soc.v").read_text(), ends


class UartBone:
    """The host's end of LiteX's bridge from a UART to its bus; addresses in bytes."""

    def __init__(self, port):
        self.port = port

    def write(self, address, value):
        self.port.write(bytes([1, 1]) + (address >> 2).to_bytes(4, "big")
                        + value.to_bytes(4, "big"))

    def read(self, address):
        self.port.write(bytes([2, 1]) + (address >> 2).to_bytes(4, "big"))
        octets = b""
        while len(octets) < 4 and (more := self.port.read(0.01)):
            octets += more
        return int.from_bytes(octets, "big")


def test_a_core_in_a_soc(tmp_path, monkeypatch):
    template = registry.get("dot")
    core = with_flows(elaborate(template, template.config.parse({"lanes": 4}), "my_dot"),
                      ["litex"])
    write(core, tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "my_dot_litex", raising=False)
    verilog, ends = soc(importlib.import_module("my_dot_litex").MyDot, tmp_path)
    # Migen writes combinational logic with "<=", which Verilator wants to be told is meant.
    text = f"`timescale 1ns / 1ps\n// verilator lint_off COMBDLY\n{core.verilog}\n{verilog}"
    port = BoardPort(TopLevel("soc", text, "sys_clk", "serial_rx", "serial_tx"), CLOCK_HZ,
                     CLOCK_HZ // BAUD)
    port.run(1000)
    bus = UartBone(port)
    offsets = {entry["name"]: entry["offset"] for entry in core.manifest["registers"]}
    assert bus.read(ORIGIN + offsets["magic"]) == MAGIC
    assert bus.read(ORIGIN + offsets["config_hash"]) == int(core.config.config_hash[:8], 16)
    bus.write(ends, 0x04FE_0301)                         # 1, 3, -2, 4
    bus.write(ends + 4, 0x0504_0302)                     # 2, 3, 4, 5
    assert bus.read(ends + 8) == 2 + 9 - 8 + 20
    assert bus.read(ORIGIN + offsets["frames_low"]) == 1
    port.close()
