"""A generated core as the simulators see it: its Verilog, its manifest and its software model."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from systolith.hdl.config import CoreConfig
from systolith.hdl.errors import Error
from systolith.hdl.interface import Register, Stream, common_registers
from systolith.sim.model import Model, load_model

AXIL_PORTS = ("awaddr", "awvalid", "awready", "wdata", "wstrb", "wvalid", "wready", "bresp",
              "bvalid", "bready", "araddr", "arvalid", "arready", "rdata", "rresp", "rvalid",
              "rready")


@dataclass(frozen=True)
class Core:
    """What ``generate`` wrote, read back.

    Attributes
    ----------
    name : str
        Of the top module.
    sources : tuple of Path
        Its Verilog, and the models of the FPGA blocks in it, if there are any.
    manifest : Path
    model_path : str
        ``"module:name"`` of the software model.
    config : CoreConfig
    controls : tuple of (str, int)
        Inputs, by name and width, that an instrumented core has beside those of every core.
    """

    name: str
    sources: tuple[Path, ...]
    manifest: Path
    model_path: str
    config: CoreConfig
    controls: tuple[tuple[str, int], ...] = ()

    @classmethod
    def read(cls, verilog: Path, manifest: Path, model: str) -> "Core":
        """Read a manifest.

        Raises
        ------
        Error
            If it cannot be read, or does not describe a core of this model.
        """
        try:
            values = json.loads(manifest.read_text())
            name, config, cells = values["name"], values["config"], values["cells"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise Error(f"cannot read the manifest {manifest}: {error!r}") from None
        if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
            raise Error(f"the manifest {manifest} names the module {name!r}, which is not a "
                        "Verilog identifier")
        sources = [verilog.absolute()]
        if cells:
            sources.append(sources[0].with_name(f"{sources[0].stem}_cells.v"))
        return cls(name, tuple(sources), manifest.absolute(), model,
                   load_model(model).config.parse(config))

    def texts(self) -> list[bytes]:
        """What is in :attr:`sources`."""
        return [source.read_bytes() for source in self.sources]

    @property
    def model(self) -> Model:
        return load_model(self.model_path)

    @cached_property
    def streams(self) -> tuple[Stream, ...]:
        return self.config.streams

    @property
    def inputs(self) -> list[Stream]:
        return [stream for stream in self.streams if stream.direction == "in"]

    @property
    def outputs(self) -> list[Stream]:
        return [stream for stream in self.streams if stream.direction == "out"]

    @cached_property
    def registers(self) -> dict[str, Register]:
        """All registers by name, the common ones first."""
        common = common_registers(self.config.config_hash, self.config.flags)
        return {register.name: register for register in (*common, *self.config.registers)}

    def register(self, name: str) -> Register:
        """The register called ``name``.

        Raises
        ------
        Error
            If there is none.
        """
        if name not in self.registers:
            raise Error(f"{self.name} has no register {name!r}; registers are "
                        f"{', '.join(self.registers)}")
        return self.registers[name]


def adapter(core: Core, model: str, mangle: Callable[[str], str] = str) -> str:
    """C++ that gives ``harness.cpp`` the ports of a core.

    Parameters
    ----------
    core : Core
    model : str
        C++ that defines ``struct Model`` with ``eval``, ``internal`` and ``coverage`` as
        harness.cpp asks of a core, and a macro ``PORT(name)`` that is the address of a port of
        ``model``.
    mangle : callable
        Verilog name to C++ name.
    """
    def port(name: str) -> str:
        return f"PORT({mangle(name)})"

    lines = [model, "struct Core {", "    Model model;", "    void eval() { model.eval(); }",
             "    uint8_t* internal(const char* scope, const char* name, size_t& bytes) {",
             "        return model.internal(scope, name, bytes);", "    }",
             "    void coverage(const char* path) { model.coverage(path); }",
             "    Ports ports() {", "        return {",
             f"            {port('clk')}, {port('rst')},", "            {",
             *(f"                {port(f's_axil_{name}')}," for name in AXIL_PORTS),
             "            },", "            {"]
    for stream in core.streams:
        user = port(f"{stream.prefix}_tuser") if stream.tuser_bits else "nullptr"
        data, valid, ready, last = (port(f"{stream.prefix}_{name}")
                                    for name in ("tdata", "tvalid", "tready", "tlast"))
        lines += ["                {" + ", ".join([
            str(stream.direction == "in").lower(), str(stream.tdata_bits // 8),
            str(-(-stream.tuser_bits // 8)), data, valid, ready, last, user]) + "},"]
    lines += ["            },", "            {",
              *(f"                {{{-(-bits // 8)}, {port(name)}}},"
                for name, bits in core.controls),
              "            },", "        };", "    }", "};", ""]
    return "\n".join(lines)
