"""The report of a build as one page: HTML and SVG without anything from outside."""

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from systolith.fpga import hierarchy
from systolith.fpga.devices import RESOURCES
from systolith.fpga.hierarchy import Module
from systolith.generators.render import render

if TYPE_CHECKING:
    from systolith.fpga.build import Built

#: Columns and rows of the devices, as nextpnr numbers their tiles.
GRIDS = {
    "ice40-up5k": (26, 32), "ice40-hx8k": (34, 34), "ecp5-12k": (73, 51), "ecp5-25k": (73, 51),
    "ecp5-45k": (91, 72), "ecp5-85k": (127, 96), "gw1nr-9": (47, 29), "gw2ar-18": (56, 55),
    "gatemate-a1": (166, 134),
}
#: In these the rows count from the bottom.
UPWARDS = ("ice40", "gatemate")

HUES = 6                     # parts of the design that have a colour of their own in the floorplan
DEEPEST, SMALLEST = 6, 0.004         # levels of modules, and share of the logic, that are shown
SHOWN = ("lut", "carry", "lutram", "ff", "dsp", "bram")


@dataclass(frozen=True)
class Row:
    """A line of the table of modules."""

    depth: int
    module: Module


@dataclass(frozen=True)
class Floorplan:
    """Where the parts of the design are.

    Attributes
    ----------
    width, height : int
        Columns and rows of the device.
    parts : list of (name, tiles)
        Parts, and how many tiles they are in; the place in the list is the colour.
    tiles : list of (column, row, part, opacity)
        The rows from above.
    """

    width: int
    height: int
    parts: list[tuple[str, int]]
    tiles: list[tuple[int, int, int, float]]


def page(built: "Built") -> str:
    """HTML: resources by module, clock, longest path, floorplan, seeds, and the command."""
    modules = built.synthesized.modules
    used = [name for name in SHOWN if built.resources[name]]
    return render(
        "report.html.jinja", package="systolith.fpga", built=built, board=built.top.board,
        core=built.top.linked.core, link=built.top.linked.link, timing=built.timing,
        resources=_resources(built), columns=used, meaning=RESOURCES,
        rows=rows(modules, built.resources), floorplan=floorplan(built), path=_path(built),
        fastest=max(timing.fmax_mhz for timing in built.history) or 1)


def rows(module: Module, total: dict[str, float], depth: int = 0) -> list[Row]:
    """The modules worth showing, each before what is in it."""
    found = [Row(depth, module)]
    if depth + 1 < DEEPEST:
        for part in module.parts:
            if any(part.resources[name] >= max(1, SMALLEST * total[name])
                   for name in ("logic", "ff", "dsp", "bram")):
                found += rows(part, total, depth + 1)
    return found


def floorplan(built: "Built") -> Floorplan:
    """Count the cells of each part in each tile."""
    device, paths = built.top.board.device, built.synthesized.paths
    parts = _parts(paths)
    tiles: dict[tuple[int, int], Counter[str]] = {}
    for column, row, cell in built.placement:
        part = parts[hierarchy.owner(cell, paths)]
        tiles.setdefault((column, row), Counter())[part] += 1
    sizes = Counter(cells.most_common(1)[0][0] for cells in tiles.values())
    ranked = [name for name, _ in sizes.most_common()]
    names = ranked[:HUES]
    colour = {name: min(index, HUES) for index, name in enumerate(ranked)}
    shown = [(name, sizes[name]) for name in names]
    if rest := sum(sizes[name] for name in ranked[HUES:]):
        shown.append(("others", rest))
    width, height = GRIDS[device.name]
    width = max([width, *(column + 1 for column, _ in tiles)])
    height = max([height, *(row + 1 for _, row in tiles)])
    flip = device.family.name in UPWARDS
    drawn = []
    for (column, row), cells in sorted(tiles.items()):
        count = cells.total()
        drawn.append((column, height - 1 - row if flip else row,
                      colour[cells.most_common(1)[0][0]], round(min(1, 0.4 + count / 14), 2)))
    return Floorplan(width, height, shown, drawn)


def _parts(paths: dict[str, str]) -> dict[str, str]:
    """By path: the link, or the part of the core that it is in; the rest is the board's."""
    found = {}
    for path in paths:
        steps = path.split(".")
        if "u_link" in steps:
            found[path] = "link"
        elif "u_inner" in steps:
            inside = ".".join(steps[:steps.index("u_inner") + 2])
            found[path] = paths.get(inside, paths[path])
        elif "u_core" in steps:
            inside = ".".join(steps[:steps.index("u_core") + 2])
            found[path] = paths.get(inside, paths[path])
        else:
            found[path] = "clock and reset"
    return found


def _resources(built: "Built") -> list[dict[str, Any]]:
    capacity = built.top.board.device.capacity
    return [{"name": name, "amount": amount, "total": capacity.get(name),
             "share": amount / capacity[name] if capacity.get(name) else None,
             "meaning": RESOURCES[name]}
            for name, amount in built.resources.items() if amount or name in capacity]


def _path(built: "Built") -> list[dict[str, Any]]:
    """The longest path, with the time at which each name is reached."""
    steps, time = [], 0.0
    for step in built.timing.critical_path:
        time += step.delay_ns
        steps.append({"name": step.name, "delay": step.delay_ns, "time": time})
    return [{**step, "from": (step["time"] - step["delay"]) / (time or 1),
             "share": step["delay"] / (time or 1)} for step in steps]
