"""From a config to the files of a core, and those files into a directory."""

import json
import os
import re
import shutil
import tempfile
import textwrap
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from systolith.generators import registers, render
from systolith.generators.manifest import manifest
from systolith.generators.names import ascii_text, check_hardening, check_name
from systolith.generators.template import Template
from systolith.hdl.config import CoreConfig
from systolith.hdl.errors import Error
from systolith.sim.cells import models

COMMENT_WIDTH = 96


@dataclass(frozen=True)
class GeneratedCore:
    """A core as text.

    Attributes
    ----------
    name : str
        Of the top module and of the files.
    template : Template
    config : CoreConfig
    verilog : str
    manifest : dict
        See :mod:`systolith.generators.manifest`.
    hardening : str
        Against upsets, as in :mod:`systolith.generators.verilog.hardening`.
    files : mapping from file name to text
        Everything that ``systolith generate`` writes, the Verilog first.
    """

    name: str
    template: Template
    config: CoreConfig
    verilog: str
    manifest: dict[str, Any]
    files: Mapping[str, str]
    hardening: str = "none"

    @property
    def model(self) -> str:
        """``"module:name"`` of the software model."""
        return self.template.model


@dataclass(frozen=True)
class Port:
    """A port of the top module; ``direction`` is ``"input"`` or ``"output"``."""

    name: str
    direction: str
    width: int


def elaborate(template: Template, config: CoreConfig, name: str,
              hardening: str = "none") -> GeneratedCore:
    """Build the core of ``config`` and print it; the same text for the same arguments."""
    from systolith.generators.verilog import emit
    from systolith.hdl.shell import Core

    check_name(name)
    check_hardening(hardening)
    component = Core(config, template.component(config))
    emitted = emit(component, name=name, header=_header(template, config, name, hardening),
                   hardening=hardening)
    modules = [{"name": module.name, "instances": module.instances, "doc": module.doc}
               for module in emitted.modules]
    described = manifest(template, config, name=name, verilog=emitted.text, modules=modules,
                         cells=emitted.cells, hardening=hardening)
    title = f"{template.name}: {template.summary}"
    files = {
        f"{name}.v": emitted.text,
        f"{name}.json": json.dumps(described, indent=2) + "\n",
        f"{name}.yaml": _resolved_spec(template, config, name, hardening),
        f"{name}.rdl": registers.system_rdl(config, name),
        f"{name}.h": registers.c_header(config, name),
        f"{name}.md": registers.page(config, name, title),
        f"{name}_instance.vh": _instance(component, name),
    }
    if emitted.cells:
        files[f"{name}_cells.v"] = _cell_models(name, emitted.cells)
    return GeneratedCore(name, template, config, emitted.text, described, files, hardening)


def ports(component) -> list[Port]:
    """The ports of the module that a top component becomes, clock and reset first."""
    from amaranth.hdl import Value
    from amaranth.lib.wiring import In

    found = {"clk": Port("clk", "input", 1), "rst": Port("rst", "input", 1)}
    for path, member, value in component.signature.flatten(component):
        name = "_".join(str(part) for part in path)
        direction = "input" if member.flow == In else "output"
        found[name] = Port(name, direction, len(Value.cast(value)))
    return list(found.values())


def write(core: GeneratedCore, directory: str | Path) -> list[Path]:
    """Write the files of ``core`` into ``directory``: all of them or none.

    The directory is made if need be; what else it holds is left alone. Files that Systolith wrote
    are replaced.

    Raises
    ------
    Error
        If a file is in the way that Systolith did not write, or the directory cannot be written.
    """
    directory = Path(directory)
    shown = str(directory) if str(directory).isprintable() else repr(str(directory))
    made: list[Path] = []
    try:
        if directory.exists() and not directory.is_dir():
            raise Error(f"cannot write into {shown}: it is not a directory")
        targets = [directory / name for name in core.files]
        for target in targets:
            _check_replaceable(target)
        made = _missing(directory)
        directory.mkdir(parents=True, exist_ok=True)
        _write_all(core.files, directory, f".{core.name}-")
    except (OSError, ValueError) as error:
        for folder in reversed(made):
            if folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()
        if isinstance(error, Error):
            raise
        reason = getattr(error, "strerror", None) or error
        raise Error(f"cannot write into {shown}: {reason}; nothing was written") from None
    return targets


def _header(template: Template, config: CoreConfig, name: str, hardening: str) -> str:
    values = config.model_dump(mode="json")
    width = max(map(len, values))
    origin = f"Template {template.name}; it implements {ascii_text(template.reference)}"
    return "\n".join([
        render.banner(),
        "",
        f"{name}: {ascii_text(template.summary)}",
        *textwrap.wrap(origin, COMMENT_WIDTH),
        "",
        "Parameters:",
        *(f"  {key:{width}} = {json.dumps(value)}" for key, value in values.items()),
        f"Config hash: {config.config_hash}",
        *([f"Hardened against upsets of state: {hardening}"] if hardening != "none" else []),
        "",
        "This file belongs to whoever generated it.",
        "",
        "verilator lint_off DECLFILENAME",
    ])


def _resolved_spec(template: Template, config: CoreConfig, name: str, hardening: str) -> str:
    spec = {"template": template.name, "name": name,
            **({"harden": hardening} if hardening != "none" else {}),
            "config": config.model_dump(mode="json")}
    return (f"# {render.banner()}\n"
            "# Every parameter of the core; generating from this file gives the same bytes.\n"
            + yaml.safe_dump(spec, sort_keys=False, default_flow_style=False))


def _cell_models(name: str, cells: tuple[str, ...]) -> str:
    return (f"// {render.banner()}\n"
            f"// Models of the FPGA blocks in {name}.v, for simulation only.\n"
            "// verilator lint_off DECLFILENAME\n\n"
            "`default_nettype none\n\n" + models(cells) + "\n`default_nettype wire\n")


def _instance(component, name: str) -> str:
    found = ports(component)
    width = max(len(f"[{port.width - 1}:0]") for port in found)
    return render.render("instance.vh.jinja", name=name, ports=found, width=width)


def _check_replaceable(target: Path) -> None:
    if not os.path.lexists(target):
        return
    shown = str(target) if str(target).isprintable() else repr(str(target))
    if target.is_symlink() or not target.is_file():
        raise Error(f"{shown} exists and is not a regular file; nothing was written")
    if not _written_here(target):
        raise Error(f"{shown} exists and was not written by Systolith; move it away, or choose "
                    "another directory or name; nothing was written")


def _written_here(path: Path) -> bool:
    if path.suffix == ".json":
        try:
            content = json.loads(path.read_text("utf-8"))
        except (ValueError, RecursionError):
            return False
        return isinstance(content, dict) and {"schema", "template", "config_hash",
                                              "sha256"} <= content.keys()
    with path.open("rb") as file:
        start = file.read(80)
    return re.match(rb"(CAPI=2:\n)?(//|#|/\*|<!--) " + render.MARKER.encode(),
                    start) is not None


def _missing(directory: Path) -> list[Path]:
    """``directory`` and its parents that do not exist, outermost first."""
    return [folder for folder in (*reversed(directory.parents), directory) if not folder.exists()]


@contextmanager
def _undoing() -> Iterator[list[tuple[Path, Path]]]:
    """A list of renames (from, to) that are taken back, last first, if the block fails."""
    renames: list[tuple[Path, Path]] = []
    try:
        yield renames
    except BaseException:
        for now, before in reversed(renames):
            now.rename(before)
        raise


def _write_all(files: Mapping[str, str], directory: Path, prefix: str) -> None:
    scratch = Path(tempfile.mkdtemp(prefix=prefix, dir=directory))
    try:
        for name, text in files.items():
            (scratch / name).write_text(text, encoding="utf-8", newline="\n")
        with _undoing() as done:
            for name in files:
                target, kept = directory / name, scratch / f"{name}.old"
                if target.exists():
                    target.rename(kept)
                    done.append((kept, target))
                (scratch / name).rename(target)
                done.append((target, scratch / name))
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
