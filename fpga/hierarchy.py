"""Which module of the source the cells of a flat netlist belong to, and what each module takes."""

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from systolith.fpga.devices import Family

_MODULE = re.compile(r"^module \\(\S+)$")
_CELL = re.compile(r"^ +cell (\S+) \\(\S+)$")


@dataclass
class Module:
    """Instances of one module within another, taken together.

    Attributes
    ----------
    name : str
        Of the module.
    instances : int
    resources : dict
        Amounts by resource, of everything inside.
    parts : list of Module
        Those inside that take something, the largest first.
    """

    name: str
    instances: int
    resources: dict[str, float] = field(default_factory=dict)
    parts: list["Module"] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {"name": self.name, "instances": self.instances, "resources": self.resources,
                "parts": [part.as_dict() for part in self.parts]}


def instances(rtlil: str, top: str) -> dict[str, str]:
    """The modules of a design by path, as in ``{"": "top", "u_core.u_pe": "pe"}``.

    Parameters
    ----------
    rtlil : str
        Of the design before it is flattened.
    """
    inside: dict[str, list[tuple[str, str]]] = {}
    here: list[tuple[str, str]] = []
    for line in rtlil.splitlines():
        if found := _MODULE.match(line):
            here = inside.setdefault(found[1], [])
        elif found := _CELL.match(line):
            here.append((found[1].removeprefix("\\"), found[2]))
    paths: dict[str, str] = {}
    todo = [("", top)]
    while todo:
        path, module = todo.pop()
        paths[path] = module
        todo += [(f"{path}.{name}" if path else name, kind) for kind, name in inside[module]
                 if kind in inside]
    return paths


def owner(cell: str, paths: Mapping[str, str]) -> str:
    """The path of the instance that a cell of the flat netlist comes from."""
    while cell:
        cell = cell.rpartition(".")[0]
        if cell in paths:
            return cell
    return ""


def modules(cells: Iterable[tuple[str, str]], paths: Mapping[str, str], family: Family) -> Module:
    """The tree of modules with what each takes.

    Parameters
    ----------
    cells : iterable of (name, type)
        Of the flat netlist.
    paths : mapping
        From :func:`instances`.
    """
    own: dict[str, Counter[str]] = {}
    for name, kind in cells:
        own.setdefault(owner(name, paths), Counter())[kind] += 1
    inside: dict[str, list[str]] = {}
    for path in paths:
        if path:
            inside.setdefault(owner(path, paths), []).append(path)
    return _module([""], paths, own, inside, family)


def cells_of(netlist: str, top: str) -> list[tuple[str, str]]:
    """Names and types of the cells in Yosys's JSON of a flat design."""
    cells = json.loads(netlist)["modules"][top]["cells"]
    return [(name, cell["type"]) for name, cell in cells.items()]


def _module(places: list[str], paths: Mapping[str, str], own: Mapping[str, Counter[str]],
            inside: Mapping[str, list[str]], family: Family) -> Module:
    groups: dict[str, list[str]] = {}
    for place in places:
        for part in inside.get(place, ()):
            groups.setdefault(paths[part], []).append(part)
    parts = [_module(group, paths, own, inside, family) for group in groups.values()]
    cells: Counter[str] = sum((own[place] for place in places if place in own), Counter())
    resources = family.resources(cells)
    for part in parts:
        for name, amount in part.resources.items():
            resources[name] += amount
    parts = sorted((part for part in parts if any(part.resources.values())),
                   key=lambda part: -part.resources["logic"])
    return Module(paths[places[0]], len(places), resources, parts)
