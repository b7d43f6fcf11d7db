"""Imports point downward only; see ARCHITECTURE.md."""

import ast
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FOLDERS = {"systolith" if module == "systolith" else module.removeprefix("systolith."): folder
           for module, folder in tomllib.loads((ROOT / "pyproject.toml").read_text())
           ["tool"]["setuptools"]["package-dir"].items()}

#: Modules of hdl/ that say what things are called and how wide they are, and nothing else.
DESCRIPTORS = ("hdl.config", "hdl.errors", "hdl.formats", "hdl.interface", "hdl.*.config")

#: Which modules of this package a layer may import beside its own.
MAY_IMPORT = {
    "hdl": (),
    "sim": DESCRIPTORS,
    "testbenches": ("sim", *DESCRIPTORS),
    "generators": ("hdl", "sim"),
    "fpga": ("hdl", "generators", "sim"),
    "systolith": ("hdl", "sim", "testbenches", "generators", "fpga"),
}

#: Which outside packages a layer may import; layers that are missing here are free.
MAY_USE = {
    "hdl": {"amaranth"},
    "hdl.config": {"amaranth", "pydantic", "pydantic_core"},
    "hdl.*.config": {"amaranth", "pydantic", "pydantic_core"},
    "sim": {"numpy"},
}

#: Outside packages that a layer must not import, whatever else it uses.
MUST_NOT_USE = {
    "sim.simulators": {"amaranth"},
    "testbenches": {"amaranth", "pyosys"},
}


def layer_of(path: str) -> str:
    return path.split("/")[0]


def module_of(path: str) -> str:
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def matches(module: str, patterns) -> bool:
    """Whether ``module`` is, or lies below, one of ``patterns``; ``*`` is one component."""
    parts = module.split(".")
    return any(len(parts) >= len(want) and all(w in ("*", p) for p, w in zip(parts, want,
                                                                           strict=False))
               for want in (pattern.split(".") for pattern in patterns))


def imports(path: str, source: str):
    """Every import of a file as (line, dotted name); names taken from a package included."""
    package = module_of(path).split(".")
    if not path.endswith("__init__.py"):
        package = package[:-1]
    for node in ast.walk(ast.parse(source, path)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = package[:len(package) - node.level + 1]
                base = ".".join(["systolith", *above, *([base] if base else [])])
            yield from ((node.lineno, f"{base}.{alias.name}") for alias in node.names)


def own_module(name: str) -> str | None:
    """The module of this package that importing ``name`` loads, without the leading package."""
    if name.split(".")[0] != "systolith":
        return None
    inside = name.removeprefix("systolith").removeprefix(".")
    if inside.split(".")[0] not in MAY_IMPORT or inside.split(".")[0] == "systolith":
        return "systolith"
    path = ROOT / inside.replace(".", "/")
    if path.is_dir() or path.with_suffix(".py").is_file():
        return inside
    return inside.rpartition(".")[0] or inside


def limits(module: str) -> set[str] | None:
    """Outside packages ``module`` may use: of the longest pattern that fits; None is any."""
    if matches(module, MUST_NOT_USE):
        return None
    fitting = [pattern for pattern in MAY_USE if matches(module, [pattern])]
    return MAY_USE[max(fitting, key=lambda pattern: pattern.count("."))] if fitting else None


def violations(path: str, source: str) -> list[str]:
    """What ``path``, relative to the root, imports against the tables, a message each."""
    layer, module = layer_of(path), module_of(path)
    allowed = limits(module)
    forbidden = {name for pattern, names in MUST_NOT_USE.items() if matches(module, [pattern])
                 for name in names}
    found = []
    for line, name in imports(path, source):
        top = name.split(".")[0]
        if own := own_module(name):
            if layer_of(own.replace(".", "/")) != layer and not matches(own, MAY_IMPORT[layer]):
                target = "systolith" if own == "systolith" else f"systolith.{own}"
                found.append(f"{path}:{line}: {layer}/ may not import {target}")
        elif top in sys.stdlib_module_names:
            continue
        elif top in forbidden or (allowed is not None and top not in allowed):
            found.append(f"{path}:{line}: {module} may not import {top}")
    return found


def test_the_table_knows_every_folder():
    assert set(FOLDERS) == set(MAY_IMPORT)


@pytest.mark.parametrize("layer", MAY_IMPORT)
def test_imports_point_downward(layer):
    found = [message
             for path in sorted((ROOT / FOLDERS[layer]).rglob("*.py"))
             for message in violations(path.relative_to(ROOT).as_posix(), path.read_text())]
    assert found == [], "\n".join(["", *found])


@pytest.mark.parametrize(("path", "source", "message"), [
    ("hdl/pe.py", "import os\nimport numpy", "hdl/pe.py:2: hdl.pe may not import numpy"),
    ("hdl/pe.py", "from systolith.sim.model import Model",
     "hdl/pe.py:1: hdl/ may not import systolith.sim.model"),
    ("hdl/pe.py", "import pydantic", "hdl/pe.py:1: hdl.pe may not import pydantic"),
    ("hdl/structure/pe.py", "from ...sim import model",
     "hdl/structure/pe.py:1: hdl/ may not import systolith.sim.model"),
    ("sim/gemm.py", "def f():\n    from systolith.hdl import bus",
     "sim/gemm.py:2: sim/ may not import systolith.hdl.bus"),
    ("sim/gemm.py", "import amaranth", "sim/gemm.py:1: sim.gemm may not import amaranth"),
    ("sim/simulators/a.py", "from amaranth import Module",
     "sim/simulators/a.py:1: sim.simulators.a may not import amaranth"),
    ("testbenches/core.py", "from systolith import generators",
     "testbenches/core.py:1: testbenches/ may not import systolith.generators"),
    ("generators/emit.py", "import systolith",
     "generators/emit.py:1: generators/ may not import systolith"),
    ("generators/emit.py", "from systolith.cli import main",
     "generators/emit.py:1: generators/ may not import systolith"),
    ("generators/emit.py", "from systolith import load",
     "generators/emit.py:1: generators/ may not import systolith"),
    ("generators/emit.py", "from systolith.fpga import boards",
     "generators/emit.py:1: generators/ may not import systolith.fpga.boards"),
])
def test_a_wrong_import_is_found(path, source, message):
    assert violations(path, source) == [message]


@pytest.mark.parametrize(("path", "source"), [
    ("sim/gemm.py", "import numpy as np\nfrom systolith.hdl.systolic.config import SystolicConfig"),
    ("sim/gemm.py", "from systolith.hdl import formats\nfrom .model import Model"),
    ("sim/simulators/a.py", "import pyosys"),
    ("hdl/systolic/config.py", "from pydantic import Field"),
    ("testbenches/core.py", "import cocotb\nfrom systolith.sim.model import Model"),
    ("systolith/cli.py", "import click\nfrom systolith.generators import registry"),
])
def test_a_right_import_is_not(path, source):
    assert violations(path, source) == []
