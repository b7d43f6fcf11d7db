"""Files with which other people's flows take a core in."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from importlib.metadata import version
from types import MappingProxyType

from amaranth.hdl import Shape
from amaranth.lib.wiring import Out

from systolith.generators.core import GeneratedCore
from systolith.generators.render import render
from systolith.hdl.bus import axi_lite
from systolith.hdl.config import did_you_mean
from systolith.hdl.errors import Error

#: Yosys's command for a technology, without ``synth_``; FuseSoC's yosys takes one of these.
_YOSYS = {"generic": "ecp5", "ecp5": "ecp5", "ice40": "ice40", "gowin": "gowin",
          "xilinx7": "xilinx"}
CLOCK_NS = 10                # goal that the scripts set where none is given


def _fusesoc(core: GeneratedCore) -> dict[str, str]:
    return {f"{core.name}.core": render(
        "fusesoc.core.jinja", core=core, version=version("systolith"),
        cells=f"{core.name}_cells.v" in core.files, arch=_YOSYS[core.manifest["technology"]])}


def _vivado(core: GeneratedCore) -> dict[str, str]:
    _check(core, "Vivado", "xilinx7")
    return {f"{core.name}_vivado.tcl": render("vivado.tcl.jinja", core=core, period=CLOCK_NS)}


def _quartus(core: GeneratedCore) -> dict[str, str]:
    _check(core, "Quartus")
    return {f"{core.name}_quartus.tcl": render("quartus.tcl.jinja", core=core, period=CLOCK_NS)}


def _litex(core: GeneratedCore) -> dict[str, str]:
    bus = [(name, "input" if member.flow == Out else "output", Shape.cast(member.shape).width)
           for name, member in axi_lite.Signature().members.items()]
    title = "".join(part[:1].upper() + part[1:] for part in core.name.split("_")) or "Core"
    return {f"{core.name}_litex.py": render(
        "litex.py.jinja", core=core, title=title, streams=core.manifest["streams"],
        bus=bus)}


#: What ``generate --with`` takes.
FLOWS: Mapping[str, Callable[[GeneratedCore], dict[str, str]]] = MappingProxyType({
    "fusesoc": _fusesoc, "vivado": _vivado, "quartus": _quartus, "litex": _litex,
})


def with_flows(core: GeneratedCore, names: Iterable[str]) -> GeneratedCore:
    """The core with the files of these flows among its files.

    Parameters
    ----------
    names : iterable of str
        Keys of :data:`FLOWS`.

    Raises
    ------
    Error
        If there is no such flow, or it cannot build what the core is made of.
    """
    files = dict(core.files)
    for name in names:
        if name not in FLOWS:
            raise Error(f"unknown flow {name!r}{did_you_mean(name, FLOWS)}; flows are "
                        f"{', '.join(FLOWS)}")
        files |= FLOWS[name](core)
    return replace(core, files=files)


def _check(core: GeneratedCore, tool: str, *own: str) -> None:
    technology = core.manifest["technology"]
    if technology not in ("generic", *own):
        raise Error(f"{core.name} is made of {technology} cells, which {tool} does not know; "
                    f"technology must be {' or '.join(('generic', *own))}")
