"""A bitstream back to Verilog: what the configuration bits of an iCE40 do, in place of the RTL.

Project IceStorm's ``icebox_vlog`` reads the bits; it knows logic, but no block memories and no
multipliers. The program comes with Debian's fpga-icestorm and is not on PyPI.
"""

import json
import re
import shutil
import tempfile
from pathlib import Path

from systolith.fpga import devices, toolchain
from systolith.fpga.design import Design, Port
from systolith.fpga.place_route import run_nextpnr
from systolith.fpga.synthesis import check_technology, netlist, read_netlist
from systolith.generators.core import GeneratedCore
from systolith.hdl.errors import Error
from systolith.sim.simulators import cache, tools

DEVICE = "ice40-hx8k"
CHIP = "chip"
_PAD = re.compile(r"X(\d+)/Y(\d+)/io(\d)$")


def core_from_bitstream(core: GeneratedCore, *, seed: int = 1) -> str:
    """Place and route a core alone, its ports at pins, and read the bitstream back.

    Parameters
    ----------
    core : GeneratedCore
        Small enough for the 206 pins of the HX8K, and without memories.
    seed : int
        Of place and route.

    Returns
    -------
    str
        Verilog of a module that is called like the core and has its ports.

    Raises
    ------
    Error
        If the core has memories or multiplier blocks.
    ConstraintError
        If it does not fit.
    ToolError
        If a tool is missing or fails.
    """
    design, device = Design.of(core), devices.get(DEVICE)
    check_technology(design.name, design.technology, device.technologies, DEVICE)
    program = tools.find("icebox_vlog")
    nextpnr = toolchain.NEXTPNR["ice40"]
    folder = netlist(design, device)
    cells = json.loads((folder / "statistics.json").read_text())
    if blocks := sorted(cell for cell in cells if cell.startswith(("SB_RAM", "SB_MAC"))):
        raise Error(f"icebox_vlog does not know the blocks in {core.name}: {', '.join(blocks)}")
    arguments = ("--json", "netlist.json", "--asc", "routed.asc", "--write", "routed.json",
                 "--seed", str(seed), "--freq", "12", "--timing-allow-fail", "--quiet",
                 *device.route)

    def build(place: Path) -> None:
        with tempfile.TemporaryDirectory(prefix="systolith-") as scratch:
            work = Path(scratch)
            (work / "netlist.il").write_bytes(read_netlist(folder))
            toolchain.yosys(("read_rtlil netlist.il", "write_json netlist.json"), work)
            run_nextpnr(nextpnr, arguments, work, device)
            toolchain.PACK["ice40"].run(("routed.asc", "top.bin"), work)
            (work / "routed.asc").unlink()               # what follows comes from the bits alone
            toolchain.ICEUNPACK.run(("top.bin", "back.asc"), work)
            text = tools.run("icebox_vlog", [program, "-s", "-n", CHIP, "back.asc"], cwd=work)
            (work / "chip.v").write_text(text)
            toolchain.yosys(("read_verilog chip.v", "proc", "opt_clean",
                             "write_verilog -noattr clean.v"), work)
            chip = (work / "clean.v").read_text()
            (place / "core.v").write_text(
                chip + _wrapper(design, chip, json.loads((work / "routed.json").read_text())))
            shutil.copy(work / "top.bin", place)

    key = cache.key(Path(__file__).read_bytes(), toolchain.yosys_label(), nextpnr.label,
                    toolchain.PACK["ice40"].label, Path(program).read_bytes(), *arguments,
                    read_netlist(folder))
    return (cache.entry("unpacked", key, build) / "core.v").read_text()


def _wrapper(design: Design, chip: str, routed: dict) -> str:
    """The chip with the names of the core's ports at its pads; inputs without use have none."""
    header = re.search(rf"^module {CHIP}\((.*?)\);", chip, re.M | re.S)
    there = set(re.findall(r"\w+", header[1])) if header else set()
    pads = {}
    for module in routed["modules"].values():
        for name, cell in module["cells"].items():
            if cell["type"] == "SB_IO" and (
                    found := _PAD.search(cell["attributes"].get("NEXTPNR_BEL", ""))):
                pads[name.removesuffix("$sb_io")] = "_".join(("io", *found.groups()))
    declared = ",\n".join(f"  {port.direction} wire {_span(port)}{port.name}"
                          for port in design.ports)
    ends = ",\n".join(
        f"    .{pads[name]}({name})" for port in design.ports for name in _bits(port)
        if port.direction == "output" or pads.get(name) in there)
    return f"\nmodule {design.name} (\n{declared}\n);\n  {CHIP} u_chip (\n{ends}\n  );\nendmodule\n"


def _bits(port: Port) -> list[str]:
    return ([f"{port.name}[{bit}]" for bit in range(port.width)] if port.width > 1
            else [port.name])


def _span(port: Port) -> str:
    return f"[{port.width - 1}:0] " if port.width > 1 else ""
