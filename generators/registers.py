"""The register map of a core as SystemRDL, as a C header and as a page."""

from systolith.generators import render
from systolith.generators.names import RDL_KEYWORDS
from systolith.hdl.config import CoreConfig
from systolith.hdl.interface import Field, Register, common_registers

ACCESS = {"ro": "read only", "rw": "read and write", "w1c": "write 1 to clear",
          "wo": "write only, reads as zero"}

_RDL_ACCESS = {
    "ro": "sw = r; hw = w;",
    "rw": "sw = rw; hw = r;",
    "w1c": "sw = rw; onwrite = woclr; hw = w; hwset;",
    "wo": "sw = w; hw = r;",
}


def register_map(config: CoreConfig) -> tuple[Register, ...]:
    """Every register of a core, the common ones first."""
    return (*common_registers(config.config_hash, config.flags), *config.registers)


def system_rdl(config: CoreConfig, name: str) -> str:
    """The map as a SystemRDL 2.0 ``addrmap <name>_registers``."""
    return render.render("registers.rdl.jinja", name=name, registers=register_map(config),
                         access=_RDL_ACCESS, mask=mask, reset=reset, identifier=_rdl_identifier)


def c_header(config: CoreConfig, name: str) -> str:
    """The map as C99 macros ``<NAME>_<REGISTER>_OFFSET``, ``…_<FIELD>_SHIFT``, ``_MASK``, …"""
    return render.render("registers.h.jinja", name=name, registers=register_map(config),
                         mask=mask, reset=reset)


def page(config: CoreConfig, name: str, title: str) -> str:
    """The map as a Markdown page."""
    return render.render("registers.md.jinja", name=name, title=title, access=ACCESS,
                         registers=register_map(config))


def mask(field: Field) -> int:
    """The bits of ``field`` within its register."""
    return ((1 << field.bits) - 1) << field.lsb


def reset(field: Field) -> int:
    """The reset value of ``field`` as the code it has on the bus."""
    return field.reset & ((1 << field.bits) - 1)


def _rdl_identifier(name: str) -> str:
    return f"\\{name}" if name in RDL_KEYWORDS else name
