"""The devices that a core can be built for: capacity, and how the tools call them.

Capacities are those of the open tools' device databases; the suite compares the two.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from systolith.fpga import ice40_multipliers
from systolith.hdl.config import did_you_mean
from systolith.hdl.errors import Error

#: What a device has and a core uses.
RESOURCES = {
    "lut": "look-up tables that hold logic",
    "carry": "cells of carry chains",
    "lutram": "memories made of look-up tables",
    "logic": "logic cells taken by all of these; a lower bound until placement",
    "ff": "flip-flops",
    "dsp": "multiplier blocks",
    "bram": "block memories",
}


@dataclass(frozen=True)
class Family:
    """What the devices of one architecture share.

    Attributes
    ----------
    name : str
        Also the value of the parameter ``technology`` of cores that use its cells.
    synthesis : str
        The Yosys command.
    inside : str
        Its further options for a part of a design, which has no pads.
    cells : sequence of (pattern, {resource: amount})
        What each cell type takes; the first pattern that fits the whole name counts.
    bram_bytes : int
        What a block memory holds when it is as wide as a byte.
    before : tuple of str
        Yosys commands ahead of that one.
    multipliers : callable, optional
        Gives further ones, which map products, for devices that have multipliers; where that
        command does not do it, or not well. ``flat`` says whether modules are dissolved.
    """

    name: str
    synthesis: str
    inside: str
    cells: tuple[tuple[str, Mapping[str, float]], ...]
    bram_bytes: int = 2048
    before: tuple[str, ...] = ()
    multipliers: Callable[..., tuple[str, ...]] | None = None

    def resources(self, cells: Mapping[str, int]) -> dict[str, float]:
        """Sum up cells by type to amounts by resource."""
        total = dict.fromkeys(RESOURCES, 0.0)
        for cell, count in cells.items():
            for pattern, amounts in self.cells:
                if re.fullmatch(pattern, cell):
                    for resource, amount in amounts.items():
                        total[resource] += count * amount
                    break
        return total


@dataclass(frozen=True)
class Device:
    """One device.

    Attributes
    ----------
    name : str
        As ``--device`` takes it.
    title : str
        The maker's name for it.
    family : Family
    capacity : mapping
        By resource; what the device has not, or does not count, is missing.
    synthesis : str
        Options of the Yosys command for this device.
    route : tuple of str
        Options of nextpnr.
    goal_mhz : float
        Clock that place and route tries to reach where nobody asks for another one.
    pins : tuple of three str
        Pins for a clock, an input and an output, where nextpnr does not choose them.
    caveat : str
        Why a clock rate of the timing model is not to be trusted; empty where it is.
    """

    name: str
    title: str
    family: Family
    capacity: Mapping[str, int]
    route: tuple[str, ...]
    goal_mhz: float
    synthesis: str = ""
    pins: tuple[str, ...] = ()
    caveat: str = ""

    def steps(self, top: str, *, inside: bool = False, flat: bool = True) -> tuple[str, ...]:
        """Yosys commands from processes to cells.

        Parameters
        ----------
        inside : bool
            What is synthesized is a part of a design, without pads.
        flat : bool
            Dissolve all modules.
        """
        options = (self.synthesis, self.family.inside if inside else "",
                   "" if flat else "-noflatten", f"-top {top}")
        products = self.family.multipliers if "dsp" in self.capacity else None
        return (*self.family.before, *(products(flat=flat) if products else ()),
                " ".join(filter(None, (self.family.synthesis, *options))))

    @property
    def technologies(self) -> tuple[str, ...]:
        """Values of the parameter ``technology`` that it has the cells of."""
        return ("generic", self.family.name) if "dsp" in self.capacity else ("generic",)


#: Yosys takes a wish for memories of look-up tables for an order, which families without any
#: cannot carry out.
WITHOUT_LUTRAM = ("setattr -unset ram_style a:ram_style=distributed",)

ICE40 = Family("ice40", "synth_ice40 -abc9", "", (
    (r"SB_LUT4", {"lut": 1, "logic": 1}),
    (r"SB_CARRY", {"carry": 1}),                     # shares the logic cell of a look-up table
    (r"SB_DFF.*", {"ff": 1}),
    (r"SB_MAC16", {"dsp": 1}),
    (r"SB_RAM40_4K.*", {"bram": 1}),
), bram_bytes=512, before=WITHOUT_LUTRAM, multipliers=ice40_multipliers.steps)

ECP5 = Family("ecp5", "synth_ecp5", "", (
    (r"LUT4", {"lut": 1, "logic": 1}),
    (r"CCU2C", {"carry": 1, "logic": 2}),
    (r"TRELLIS_DPR16X4", {"lutram": 1, "logic": 4}),
    (r"TRELLIS_FF", {"ff": 1}),
    (r"MULT18X18D", {"dsp": 1}),
    (r"DP16KD|PDPW16KD", {"bram": 1}),
))

GOWIN = Family("gowin", "synth_gowin", "-noiopads", (
    (r"LUT[1-4]", {"lut": 1, "logic": 1}),
    (r"ALU", {"carry": 1, "logic": 1}),
    (r"RAM16S.*", {"lutram": 1, "logic": 4}),
    (r"DL?FF?.*", {"ff": 1}),
    (r"MULT9X9|PADD9|MULTADDALU9X9", {"dsp": 0.5}),
    (r"MULT36X36", {"dsp": 2}),
    (r"MULT.*|PADD18", {"dsp": 1}),
    (r"(SP|SDP|DP|pROM)(X9)?B?", {"bram": 1}),
))

GATEMATE = Family("gatemate", "synth_gatemate -luttree -nomx8", "-noiopad -noclkbuf", (
    (r"CC_LUT\d|CC_L2T4|CC_MX2", {"lut": 1, "logic": 1}),
    (r"CC_L2T5|CC_MX4", {"lut": 1, "logic": 2}),
    (r"CC_ADDF", {"carry": 1, "logic": 1}),
    (r"CC_DFF", {"ff": 1}),
    (r"CC_MULT", {"dsp": 1}),
    (r"CC_BRAM_20K|CC_FIFO_40K", {"bram": 1}),
    (r"CC_BRAM_40K", {"bram": 2}),
), before=WITHOUT_LUTRAM)

_GOWIN_CAVEAT = "the open timing model has no delays for Gowin's multipliers"


def _ice40(name: str, title: str, size: str, package: str, capacity: Mapping[str, int],
           goal: float, synthesis: str, caveat: str = "") -> Device:
    # Tiles filled less than to the brim leave room for what belongs together.
    return Device(name, title, ICE40, capacity,
                  (f"--{size}", "--package", package, "--placer-heap-beta", "0.8"), goal,
                  synthesis, caveat=caveat)


def _ecp5(size: int, logic: int, dsp: int, bram: int) -> Device:
    return Device(f"ecp5-{size}k", f"Lattice LFE5U-{size}F, speed grade 6", ECP5,
                  {"logic": logic, "ff": logic, "dsp": dsp, "bram": bram},
                  # Blocks far from their registers are what limits: timing weighs more than by
                  # default.
                  (f"--{size}k", "--package", "CABGA381", "--speed", "6",
                   "--lpf-allow-unconstrained", "--placer-heap-timingweight", "100"), 200)


def _gowin(name: str, title: str, part: str, chip: str, family: str,
           capacity: Mapping[str, int], pins: tuple[str, ...]) -> Device:
    return Device(name, title, GOWIN, capacity, ("--device", part, "--vopt", f"family={chip}"),
                  100, f"-family {family}", pins, _GOWIN_CAVEAT)


DEVICES: Mapping[str, Device] = MappingProxyType({device.name: device for device in (
    _ice40("ice40-up5k", "Lattice iCE40UP5K", "up5k", "sg48",
           {"logic": 5280, "ff": 5280, "dsp": 8, "bram": 30}, 48, "-device u",
           "the timing model treats every multiplier of the UP5K as registered"),
    _ice40("ice40-hx8k", "Lattice iCE40HX8K", "hx8k", "ct256",
           {"logic": 7680, "ff": 7680, "bram": 32}, 100, "-device hx"),
    _ecp5(12, 24288, 28, 56),            # the same die as the 25k
    _ecp5(25, 24288, 28, 56),
    _ecp5(45, 43848, 72, 108),
    _ecp5(85, 83640, 156, 208),
    _gowin("gw1nr-9", "Gowin GW1NR-LV9", "GW1NR-LV9QN88PC6/I5", "GW1N-9C", "gw1n",
           {"logic": 8640, "ff": 6480, "dsp": 20, "bram": 26}, ("52", "18", "17")),
    _gowin("gw2ar-18", "Gowin GW2AR-LV18", "GW2AR-LV18QN88C8/I7", "GW2A-18C", "gw2a",
           {"logic": 20736, "ff": 15552, "dsp": 48, "bram": 46}, ("4", "70", "69")),
    Device("gatemate-a1", "Cologne Chip CCGM1A1", GATEMATE,
           {"logic": 40960, "ff": 40960, "bram": 64},
           ("--device", "CCGM1A1", "--vopt", "allow-unconstrained"), 50),
)})

#: Not a device: the area in gates, without any library of cells.
GATES = "gates"


def get(name: str) -> Device:
    """Return the device called ``name``.

    Raises
    ------
    Error
        If there is none.
    """
    if name not in DEVICES:
        names = (GATES, *DEVICES)
        raise Error(f"unknown device {name!r}{did_you_mean(name, names)}; devices are "
                    f"{', '.join(names)}")
    return DEVICES[name]
