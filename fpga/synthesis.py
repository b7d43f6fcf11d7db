"""From a core to the cells of a device: how much of it the core takes."""

import gzip
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from amaranth.lib import wiring

from systolith.fpga import devices, gates, toolchain
from systolith.fpga.design import Design
from systolith.fpga.devices import Device
from systolith.fpga.errors import ConstraintError
from systolith.fpga.place_route import Timing, place_and_route
from systolith.generators.core import GeneratedCore
from systolith.hdl.errors import Error
from systolith.sim.simulators import cache

NETLIST = "netlist.il"
STATISTICS = "statistics.json"


@dataclass(frozen=True)
class Synthesis:
    """What a design takes of a device.

    Attributes
    ----------
    name : str
        Of the design.
    device : str
        A device of :data:`systolith.fpga.devices.DEVICES`, or ``"gates"``.
    resources : mapping
        Amounts by resource; :data:`systolith.fpga.devices.RESOURCES` tells what they are, and
        :data:`systolith.fpga.gates.RESOURCES` for ``"gates"``.
    capacity : mapping
        What the device has of them.
    cells : mapping
        Cells by type, as Yosys counts them.
    timing : Timing or None
        After place and route.
    tools : tuple of str
        Names and versions.
    """

    name: str
    device: str
    resources: Mapping[str, float]
    capacity: Mapping[str, int]
    cells: Mapping[str, int]
    timing: Timing | None
    tools: tuple[str, ...]

    @property
    def meaning(self) -> Mapping[str, str]:
        """What each resource is, in words."""
        return gates.RESOURCES if self.device == devices.GATES else devices.RESOURCES

    @property
    def utilization(self) -> dict[str, float]:
        """Used share of what the device has, by resource."""
        return {name: self.resources[name] / total for name, total in self.capacity.items()}

    @property
    def excess(self) -> str:
        """Which resources are not enough, and by how much; empty if the design may fit."""
        return ", ".join(f"{self.resources[name]:,.0f} {name} of {total:,}"
                         for name, total in self.capacity.items()
                         if self.resources[name] > total)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {**asdict(self), "utilization": self.utilization, "fits": not self.excess}


def synthesize(source: GeneratedCore | wiring.Component | Design, device: str, *,
               pnr: bool = False, goal_mhz: float | None = None, seed: int = 1,
               by_module: bool = False,
               progress: Callable[[str], None] = lambda message: None) -> Synthesis:
    """Synthesize a core, or any component, for a device.

    Parameters
    ----------
    source : GeneratedCore, wiring.Component or Design
    device : str
        A name from :data:`systolith.fpga.devices.DEVICES`, or ``"gates"`` for gate equivalents.
    pnr : bool
        Also place and route it, between registers (:mod:`systolith.fpga.pin_shell`), which gives
        the clock rate. Area figures are those of the design alone.
    goal_mhz : float, optional
        Clock that place and route tries to reach; by default one that suits the device.
    seed : int
        Of place and route.
    by_module : bool
        Synthesize each distinct module once and count it as often as it occurs: quick for arrays,
        but nothing is optimized across modules, and nothing can be placed.
    progress : callable
        Is told what is done.

    Returns
    -------
    Synthesis
        The same for the same arguments and tools; results are cached by content.

    Raises
    ------
    Error
        If the device is unknown, or the core is made of another device's cells.
    ToolError
        If a tool is missing or fails.
    ConstraintError
        If the design does not fit and ``pnr`` is asked for.
    """
    design = source if isinstance(source, Design) else Design.of(source)
    check_device(device, pnr)
    if pnr and by_module:
        raise Error("what is synthesized module by module cannot be placed and routed")
    if device == devices.GATES:
        check_technology(design.name, design.technology, ("generic",), device)
        progress(f"{design.name}: synthesis to gates")
        resources, cells = gates.count(design, by_module=by_module)
        return Synthesis(design.name, device, resources, {}, cells, None,
                         (toolchain.yosys_label(),))
    target = devices.get(device)
    check_technology(design.name, design.technology, target.technologies, device)
    progress(f"{design.name}: synthesis for {target.title}")
    place = netlist(design, target, by_module=by_module)
    cells = json.loads((place / STATISTICS).read_text())
    result = Synthesis(design.name, device, target.family.resources(cells), target.capacity,
                       cells, None, (toolchain.yosys_label(),))
    if not pnr:
        return result
    if result.excess:
        raise ConstraintError(f"{design.name} does not fit {target.title}: it needs "
                              f"{result.excess}")
    progress(f"{design.name}: place and route for {target.title}, seed {seed}")
    timing = place_and_route(design, target, read_netlist(place),
                             goal_mhz=goal_mhz or target.goal_mhz, seed=seed)
    tools = (*result.tools, toolchain.NEXTPNR[target.family.name].label)
    return Synthesis(**{**vars(result), "timing": timing, "tools": tools})


def check_device(device: str, pnr: bool) -> None:
    """Raise :class:`Error` where ``device`` is unknown, or cannot be placed and routed."""
    if device != devices.GATES:
        devices.get(device)
    elif pnr:
        raise Error("gates cannot be placed and routed; choose a device")


def netlist(design: Design, device: Device, *, by_module: bool = False) -> Path:
    """Synthesize ``design`` without pads; returns the folder that holds the netlist as RTLIL
    (:func:`read_netlist`) and the cells by type."""
    script = (
        "read_verilog design.v",
        f"hierarchy -top {design.name}",
        # Read again as processed RTLIL: instances of cells with parameters survive synthesis.
        "proc",
        "write_rtlil processed.il",
        "design -reset",
        "read_rtlil processed.il",
        *device.steps(design.name, inside=True, flat=not by_module),
        "autoname",
        f"tee -q -o {STATISTICS} stat -json",
        f"write_rtlil {NETLIST}",
    )

    def build(folder: Path) -> None:
        (folder / "design.v").write_text(design.verilog)
        toolchain.yosys(script, folder)
        cells = gates.cells_by_type(folder / STATISTICS)
        text = (folder / NETLIST).read_bytes()
        for path in folder.iterdir():
            path.unlink()
        (folder / STATISTICS).write_text(json.dumps(cells))
        (folder / f"{NETLIST}.gz").write_bytes(gzip.compress(text, 1, mtime=0))

    key = cache.key(toolchain.yosys_label(), *script, design.verilog)
    return cache.entry("synthesis", key, build)


def read_netlist(folder: Path) -> bytes:
    """The RTLIL in a folder that :func:`netlist` returned."""
    return gzip.decompress((folder / f"{NETLIST}.gz").read_bytes())


def check_technology(name: str, technology: str, allowed: tuple[str, ...], target: str) -> None:
    """Raise :class:`Error` where a core is made of cells that ``target`` does not have."""
    if technology not in allowed:
        raise Error(f"{name} is made of {technology} cells, which {target} does not have; "
                    f"technology must be {' or '.join(allowed)}")
