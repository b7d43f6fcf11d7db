"""The boards that a core can be built for: device, pins, clock.

Pins of boards that amaranth-boards knows are compared with it by the suite; those of the others
come from published pin lists. None has been tried on hardware.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from systolith.fpga.devices import DEVICES, Device
from systolith.hdl.config import did_you_mean
from systolith.hdl.errors import Error


@dataclass(frozen=True)
class Board:
    """One board.

    Attributes
    ----------
    name : str
        As ``--board`` takes it.
    title : str
    device : Device
    clock_mhz : float
        Of its oscillator.
    clock, rx, tx : str
        Pins; ``rx`` and ``tx`` seen from the device.
    pll : str
        The PLL cell that its clock pin can feed.
    uart : str
        What is at the other end of the UART.
    loader : tuple of str
        Arguments of openFPGALoader.
    package, speed : str
        Of an ECP5, where not those of the device's entry.
    """

    name: str
    title: str
    device: Device
    clock_mhz: float
    clock: str
    rx: str
    tx: str
    pll: str
    uart: str
    loader: tuple[str, ...]
    package: str = ""
    speed: str = ""

    @property
    def route(self) -> tuple[str, ...]:
        """Options of nextpnr."""
        options = list(self.device.route)
        for option, value in (("--package", self.package), ("--speed", self.speed)):
            if value:
                options[options.index(option) + 1] = value
        return tuple(option for option in options if option != "--lpf-allow-unconstrained")

    @property
    def constraints(self) -> tuple[str, str]:
        """Name and text of the file that ties the pins."""
        pins = {"pin_clk": self.clock, "pin_rx": self.rx, "pin_tx": self.tx}
        match self.device.family.name:
            case "ice40":
                return "pins.pcf", "".join(f"set_io {name} {pin}\n" for name, pin in pins.items())
            case "ecp5":
                lines = [f'LOCATE COMP "{name}" SITE "{pin}";\nIOBUF PORT "{name}" '
                         "IO_TYPE=LVCMOS33;\n" for name, pin in pins.items()]
                return "pins.lpf", "".join(lines)
            case "gowin":
                lines = [f'IO_LOC "{name}" {pin};\nIO_PORT "{name}" IO_TYPE=LVCMOS33;\n'
                         for name, pin in pins.items()]
                return "pins.cst", "".join(lines)
            case _:
                return "pins.ccf", "".join(
                    f'Pin_{"out" if name == "pin_tx" else "in"} "{name}" Loc = "{pin}";\n'
                    for name, pin in pins.items())


def _ulx3s(size: int) -> Board:
    return Board(f"ulx3s-{size}f", f"ULX3S with LFE5U-{size}F", DEVICES[f"ecp5-{size}k"], 25,
                 "G2", "M1", "L4", "EHXPLLL", "FT231X on the board", ("-b", "ulx3s"))


def _colorlight(name: str, size: int) -> Board:
    return Board(f"colorlight-{name}", f"Colorlight {name} on its extension board",
                 DEVICES[f"ecp5-{size}k"], 25, "P3", "H18", "J17", "EHXPLLL",
                 "DAPLink of the extension board", ("-b", f"colorlight-{name}"))


_BOARDS = (
    Board("icebreaker", "1BitSquared iCEBreaker", DEVICES["ice40-up5k"], 12, "35", "6", "9",
          "SB_PLL40_PAD", "FT2232H on the board, second port", ("-b", "ice40_generic")),
    Board("ice40-hx8k-evn", "Lattice iCE40-HX8K breakout board", DEVICES["ice40-hx8k"], 12, "J3",
          "B10", "B12", "SB_PLL40_CORE", "FT2232H on the board, second port",
          ("-b", "ice40_generic")),
    *(_ulx3s(size) for size in (12, 25, 45, 85)),
    _colorlight("i5", 25),
    _colorlight("i9", 45),
    Board("orangecrab", "OrangeCrab r0.2 with LFE5U-25F", DEVICES["ecp5-25k"], 48, "A9", "N17",
          "M18", "EHXPLLL", "an adapter at the header's pins 0 (rx) and 1 (tx)",
          ("-b", "orangeCrab"), "CSFBGA285", "8"),
    Board("tang-nano-9k", "Sipeed Tang Nano 9K", DEVICES["gw1nr-9"], 27, "52", "18", "17", "rPLL",
          "BL702 on the board", ("-b", "tangnano9k")),
    Board("tang-nano-20k", "Sipeed Tang Nano 20K", DEVICES["gw2ar-18"], 27, "4", "70", "69",
          "rPLL", "BL616 on the board", ("-b", "tangnano20k")),
    Board("gatemate-evb", "Cologne Chip GateMate evaluation board", DEVICES["gatemate-a1"], 10,
          "IO_SB_A8", "IO_NB_A2", "IO_NB_A1", "CC_PLL", "a USB UART Pmod at PMODA",
          ("-b", "gatemate_evb_jtag")),
)

BOARDS: Mapping[str, Board] = MappingProxyType({board.name: board for board in _BOARDS})


def get(name: str) -> Board:
    """Return the board called ``name``.

    Raises
    ------
    Error
        If there is none.
    """
    if name not in BOARDS:
        raise Error(f"unknown board {name!r}{did_you_mean(name, BOARDS)}; boards are "
                    f"{', '.join(BOARDS)}")
    return BOARDS[name]
