"""Netlists as plain Verilog: what synthesis made of a core, with every cell replaced by its model.

Yosys puts the vendor's models of the cells (those that it ships) into the netlist, and simplifies
what their parameters settle. The result is one flat module with the ports of the core, for any
simulator. Look-up tables become multiplexers of constants, and flip-flops stay one by one, so that
a simulator sees what the device computes and not what the source said.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from systolith.fpga import ice40_multipliers, toolchain
from systolith.fpga.devices import WITHOUT_LUTRAM
from systolith.generators.core import GeneratedCore
from systolith.sim.cells import models
from systolith.sim.simulators import cache
from systolith.sim.simulators.cxxrtl import installation


@dataclass(frozen=True)
class Target:
    """Cells that a core is mapped to.

    Attributes
    ----------
    name : str
        Also the ``technology`` of cores that instantiate its blocks.
    synthesis : str
        The Yosys command, without the top.
    cells : str
        The vendor's models, in Yosys's share directory; empty for gates, which Yosys knows.
    blocks : str
        What of the family's multipliers and memories takes part, in words.
    before : tuple of str
        Yosys commands ahead of that one.
    """

    name: str
    synthesis: str
    cells: str
    blocks: str
    before: tuple[str, ...] = ()


#: What a core can be mapped to. Inferred blocks take part where Yosys has a model of them.
TARGETS: Mapping[str, Target] = MappingProxyType({target.name: target for target in (
    Target("gates", "synth -flatten", "", "gates and flip-flops"),
    Target("ice40", "synth_ice40 -abc9 -device u", "ice40/cells_sim.v",
           "with multipliers and block memories",
           (*WITHOUT_LUTRAM, *ice40_multipliers.steps(flat=True))),
    Target("ecp5", "synth_ecp5 -nodsp -nobram", "ecp5/cells_sim.v",
           "multipliers and memories from look-up tables, but for blocks that the core "
           "instantiates"),
    Target("gowin", "synth_gowin -noiopads -nodsp -nobram", "gowin/cells_sim.v",
           "multipliers and memories from look-up tables, but for blocks that the core "
           "instantiates"),
    Target("xilinx7", "synth_xilinx -flatten -nodsp -nobram -noiopad -noclkbuf",
           "xilinx/cells_sim.v",
           "multipliers and memories from look-up tables, but for blocks that the core "
           "instantiates"),
    Target("gatemate", "synth_gatemate -luttree -nomx8 -noiopad -noclkbuf -nomult -nobram",
           "gatemate/cells_sim.v", "multipliers and memories from look-up tables", WITHOUT_LUTRAM),
)})


def targets_of(core: GeneratedCore) -> list[Target]:
    """What a core can be mapped to: everything, or the family whose blocks it instantiates."""
    technology = core.manifest["technology"]
    if technology == "generic" or not core.manifest["cells"]:
        return list(TARGETS.values())
    return [TARGETS[technology]]


@dataclass(frozen=True)
class Netlist:
    """A core, synthesized.

    Attributes
    ----------
    verilog : str
        One module, called and connected as the core.
    cells : mapping
        Cells of the target, by type.
    """

    verilog: str
    cells: Mapping[str, int]


def netlist(core: GeneratedCore, target: Target) -> Netlist:
    """Synthesize a core and spell its cells out; cached by content.

    Raises
    ------
    ToolError
        If Yosys is missing or fails.
    """
    top, blocks = core.name, core.manifest["cells"]
    share = installation()
    synthesis = (
        "read_verilog core.v", f"hierarchy -top {top}", "proc", "write_rtlil processed.il",
        "design -reset", "read_rtlil processed.il",
        *target.before, f"{target.synthesis} -top {top}", "tee -q -o statistics.json stat -json",
        "write_rtlil netlist.il")
    folder_of_cells = Path(target.cells).parent
    options = f'-defer -overwrite -D NO_ICE40_DEFAULT_ASSIGNMENTS -I"{share / folder_of_cells}"'
    reads = [f'read_verilog {options} "{share / target.cells}"'] if target.cells else []
    if blocks:               # after the vendor's, which leaves some of them without a behaviour
        reads.append("read_verilog -overwrite -defer blocks.v")
    expansion = (
        "design -reset", "read_rtlil netlist.il", "delete =A:blackbox", *reads,
        f"hierarchy -check -top {top}", "proc", "flatten",
        # Bit by bit, a loop through a vector is no loop.
        "splitnets", "opt -full", "opt_clean -purge", "memory_collect", "check -assert",
        "write_verilog -noattr netlist.v")

    def build(folder: Path) -> None:
        (folder / "core.v").write_text(core.verilog)
        (folder / "blocks.v").write_text(models(blocks))
        toolchain.yosys((*synthesis, *expansion), folder)
        for path in folder.iterdir():
            if path.name not in ("netlist.v", "statistics.json"):
                path.unlink()

    key = cache.key(toolchain.yosys_label(), *synthesis, *expansion, core.verilog, models(blocks))
    place = cache.entry("netlist", key, build)
    counts = json.loads((place / "statistics.json").read_text())["design"]["num_cells_by_type"]
    return Netlist((place / "netlist.v").read_text(),
                   {cell: count for cell, count in counts.items() if cell != "$scopeinfo"})
