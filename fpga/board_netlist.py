"""The synthesized netlist of a board as Verilog that takes the place of the RTL it came from.

A netlist is simulated with models of the device's cells: those that come with Yosys, and those of
:mod:`systolith.sim.cells` for cells of which Yosys knows the ports only, and for PLLs. Only modules
that are used are taken, so that any simulator can read the text.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache as once
from pathlib import Path

from systolith.fpga import toolchain
from systolith.fpga.build import TOP, TopLevel, synthesize_top
from systolith.sim import cells as own
from systolith.sim.simulators import cache, verilator

#: Yosys's library of each family, and what must be defined for a plain simulator to read it.
_LIBRARIES = {
    "ice40": ("ice40/cells_sim.v", ("NO_ICE40_DEFAULT_ASSIGNMENTS",)),
    "ecp5": ("ecp5/cells_sim.v", ()),
    "gowin": ("gowin/cells_sim.v", ()),
    "gatemate": ("gatemate/cells_sim.v", ()),
}

#: Yosys's models of memories in look-up tables fill them in a way that Verilator warns of.
_HEADER = "/* verilator lint_off INITIALDLY */\n"

_MODULE = re.compile(r"^[ \t]*module\s+(\w+)\b.*?\bendmodule\b", re.M | re.S)
_BEHAVIOUR = re.compile(r"\b(assign|always|wire .*=)")
_STRING = re.compile(r'"[^"\n]*"')
_SPECIFY = re.compile(r"^\s*specify\b.*?\bendspecify\b", re.M | re.S)


@dataclass(frozen=True)
class Netlist:
    """A design made of a device's cells.

    Attributes
    ----------
    name : str
        Of the top module: that of the RTL, with the same ports.
    family : str
    verilog : str
        Of the netlist alone.
    models : str
        Of the cells in it.
    cells : tuple of str
        Their types.
    """

    name: str
    family: str
    verilog: str
    models: str
    cells: tuple[str, ...]

    @property
    def text(self) -> str:
        """Everything that a simulator needs."""
        return f"{_HEADER}{self.models}\n{self.verilog}"


def of_board(top: TopLevel) -> Netlist:
    """The netlist that becomes a board's bitstream; its ports are pins.

    A PLL in it passes its clock on: the pin is driven with the clock of the core.

    Raises
    ------
    ToolError
        If Yosys fails.
    """
    made = synthesize_top(top)
    content, script = made.netlist.encode(), ("read_json netlist.json",
                                              "write_verilog -noattr netlist.v")

    def build(folder: Path) -> None:
        (folder / "netlist.json").write_bytes(content)
        toolchain.yosys(script, folder)
        verilator.keep(folder, "netlist.v")

    key = cache.key(toolchain.yosys_label(), *script, content)
    text = (cache.entry("netlist", key, build) / "netlist.v").read_text()
    family = top.board.device.family.name
    return Netlist(TOP, family, text, cell_models(made.cells, family), tuple(sorted(made.cells)))


def cell_models(kinds: Iterable[str], family: str) -> str:
    """Verilog of cells of a family, and of the modules that these are made of.

    Raises
    ------
    KeyError
        If there is no model of a cell.
    """
    texts: dict[str, str] = {}
    library = _library(family)
    wanted = set(kinds)
    while wanted:
        name = wanted.pop()
        if name in library:
            texts[name] = library[name]
            words = set(re.findall(r"\w+", _STRING.sub("", texts[name])))
            wanted |= words & (library.keys() - texts.keys())
        else:
            texts[name] = own.models([name])
    return "\n\n".join(texts[name] for name in sorted(texts)) + "\n"


@once
def _library(family: str) -> dict[str, str]:
    """The modules of Yosys's library that say what a cell does, by name; without macros, and
    without delays. The PLLs among them need a simulator that knows about time."""
    file, defines = _LIBRARIES[family]
    text = verilator.preprocess(toolchain.yosys_share() / file, defines)
    modules = {found[1]: _SPECIFY.sub("", found[0]) for found in _MODULE.finditer(text)}
    return {name: text for name, text in modules.items()
            if _BEHAVIOUR.search(text) and "PLL" not in name}
