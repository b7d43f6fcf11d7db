"""Writing cores from Python."""

from pathlib import Path
from typing import Any

from systolith import spec
from systolith.generators import registry
from systolith.generators.core import GeneratedCore, elaborate, write


def templates() -> tuple[str, ...]:
    """The names of all templates."""
    return tuple(template.name for template in registry.TEMPLATES)


def default_directory(name: str) -> Path:
    """Where the files of a core go that nobody chose a directory for."""
    return Path("build") / name


def generate(template: str, directory: str | Path | None = None, *, name: str | None = None,
             harden: str | None = None, **config: Any) -> GeneratedCore:
    """Write the Verilog of a core, its manifest and its register map.

    Parameters
    ----------
    template : str
        Name of a template, or path of a spec file.
    directory : path, optional
        ``build/<name>`` by default. All files are written, or none.
    name : str, optional
        Name of the core; the template's by default.
    harden : "none", "tmr-registers" or "tmr", optional
        Against upsets of state; docs/hardening.md.
    **config
        Parameters of the template; they win over the file.

    Raises
    ------
    Error
        If the request is wrong, or the files cannot be written.
    """
    request = spec.from_values(template, config, name, harden)
    core = elaborate(request.template, request.config, request.name, request.hardening)
    write(core, default_directory(core.name) if directory is None else directory)
    return core
