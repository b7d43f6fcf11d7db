"""What a core looks like from outside: streams and registers, as plain data.

The component, the manifest, the drivers, the documentation and the register map files all read
these descriptors.
"""

from dataclasses import dataclass
from typing import Literal

from systolith.hdl.formats import Format

MAGIC = 0x5359_5354          # "SYST"
VERSION = 1                  # of the common register map


@dataclass(frozen=True)
class UserField:
    """Some bits of ``tuser``."""

    name: str
    lsb: int
    bits: int
    doc: str


@dataclass(frozen=True)
class Stream:
    """One AXI4-Stream port of a core.

    Lane ``i`` of a beat is ``tdata[i*w +: w]`` for elements of ``w`` bits; the beat is zero-padded
    to whole bytes. ``tlast`` marks the last beat of a frame.

    Attributes
    ----------
    name : str
        The port is ``s_axis_<name>`` or ``m_axis_<name>``.
    direction : "in" or "out"
        Seen from the core.
    lanes : int
        Elements per beat.
    element : Format
        Lanes hold its codes; two's complement or unsigned for integers.
    frame : str
        What a frame holds, beat by beat, in the template's own letters.
    user : tuple of UserField
        Read on the first beat of a frame.
    """

    name: str
    direction: Literal["in", "out"]
    lanes: int
    element: Format
    frame: str
    user: tuple[UserField, ...] = ()

    @property
    def prefix(self) -> str:
        """Prefix of the Verilog ports."""
        return f"{'s' if self.direction == 'in' else 'm'}_axis_{self.name}"

    @property
    def data_bits(self) -> int:
        """Bits of a beat that carry data."""
        return self.lanes * self.element.bits

    @property
    def tdata_bits(self) -> int:
        """Width of ``tdata``: :attr:`data_bits` in whole bytes."""
        return -(-self.data_bits // 8) * 8

    @property
    def tuser_bits(self) -> int:
        """Width of ``tuser``; 0 where there is none."""
        return max((field.lsb + field.bits for field in self.user), default=0)


@dataclass(frozen=True)
class Field:
    """Some bits of a register."""

    name: str
    lsb: int
    bits: int
    doc: str
    signed: bool = False
    reset: int = 0


@dataclass(frozen=True)
class Register:
    """One 32-bit word of the AXI4-Lite map.

    ``access`` is ``"ro"`` (read only), ``"rw"`` (read and write), ``"w1c"`` (writing a one clears
    the bit) or ``"wo"`` (writing a one acts, reads as zero).
    """

    name: str
    offset: int
    access: Literal["ro", "rw", "w1c", "wo"]
    fields: tuple[Field, ...]
    doc: str


#: Byte offset of the first register of a template's own.
TEMPLATE_REGISTERS = 0x80

COUNTERS = (
    ("cycles_busy", "Cycles from the first accepted input beat to the last accepted output beat, "
                    "both included, summed over busy periods."),
    ("stalled_input", "Busy cycles in which the core waited for an input beat."),
    ("stalled_output", "Busy cycles in which an output beat waited to be taken."),
    ("frames", "Output frames that left the core."),
)


def common_registers(config_hash: str, flags: tuple[tuple[str, str], ...]) -> tuple[Register, ...]:
    """The registers that every core has.

    Parameters
    ----------
    config_hash : str
        SHA-256 in hexadecimal; the first 32 bits are readable.
    flags : tuple of (name, doc)
        The template's sticky error flags, in bit order.
    """
    def word(name, offset, access, doc, *fields):
        return Register(name, offset, access, fields, doc)

    counters = []
    for index, (name, doc) in enumerate(COUNTERS):
        offset = 0x20 + 8 * index
        counters.append(word(f"{name}_low", offset, "ro",
                             f"{doc} Low word; reading it latches the high word.",
                             Field("value", 0, 32, "Bits 31:0.")))
        counters.append(word(f"{name}_high", offset + 4, "ro",
                             f"High word of {name}, as latched by reading the low word.",
                             Field("value", 0, 32, "Bits 63:32.")))
    return (
        word("magic", 0x00, "ro", "Marks a Systolith core.",
             Field("value", 0, 32, "ASCII SYST.", reset=MAGIC)),
        word("version", 0x04, "ro", "Version of the common register map.",
             Field("value", 0, 32, "Version.", reset=VERSION)),
        word("config_hash", 0x08, "ro", "First 32 bits of the config hash.",
             Field("value", 0, 32, "Config hash, bits 255:224.", reset=int(config_hash[:8], 16))),
        word("status", 0x0C, "ro", "State of the core.",
             Field("busy", 0, 1, "Frames are in flight or half received.")),
        word("control", 0x10, "wo", "Actions.",
             Field("clear_counters", 0, 1, "Set all counters to zero.")),
        word("errors", 0x14, "w1c", "Sticky error flags; write ones to clear.",
             *(Field(name, bit, 1, doc) for bit, (name, doc) in enumerate(flags))),
        *counters,
    )
