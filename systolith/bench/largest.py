"""The largest core of each template that fits a device, and how fast it is there."""

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cache as once
from itertools import islice
from math import inf
from typing import Any

import numpy as np

from systolith.bench import findings
from systolith.bench.results import SEED, Progress
from systolith.fpga import boards, toolchain
from systolith.fpga.boards import Board
from systolith.fpga.build import build, ways
from systolith.fpga.errors import ConstraintError, CrashError, SlowError
from systolith.fpga.synthesis import synthesize
from systolith.generators import registry
from systolith.generators.core import GeneratedCore, elaborate
from systolith.generators.template import Template
from systolith.hdl.errors import ConfigError
from systolith.sim.model import Workload
from systolith.sim.simulators import cache

#: What the link takes beside a core, at most.
LINK = {"logic": 900, "ff": 1300, "bram": 6, "dsp": 0}

#: How full a device may get before routing fails, or takes hours.
FULLEST = 0.8

#: Share of the flip-flops that take a logic cell of their own, where that has one flip-flop behind
#: its table.
UNPAIRED = {"ice40": 0.6}

#: Seconds of the processor for each way to place and route, several times what builds take that end
#: at all; a core that takes longer counts as too large.
LIMIT_S = {"ice40": 120, "ecp5": 240, "gowin": 240, "gatemate": 240}
#: Logic and flip-flops of a core that are placed and routed in that time, where devices hold more.
MOST_PLACED = {"ecp5": 24_000, "gowin": 8_000, "gatemate": 12_000}
LIMITS = ", ".join(f"{seconds} s on {family}" for family, seconds in LIMIT_S.items())
PLACED = ", ".join(f"{count:,} on {family}" for family, count in MOST_PLACED.items())

#: Share of the board's clock below which a build is not tried again with that clock.
HOPELESS = 0.9

#: Clock that is tried first, in multiples of the board's own, which is the second try.
FASTER = {"icebreaker": 1.5, "ice40-hx8k-evn": 3, "orangecrab": 1, "tang-nano-9k": 1.5,
          "gatemate-evb": 1.5}
KIND = "largest"             # of entries in the build cache
WORKLOADS = 60               # of a template's stimulus, from which the most useful one is taken

_SIDES = ((1, 1), (1, 2), (2, 2), (2, 4), (4, 4), (4, 6), (4, 7), (6, 6), (6, 8), (8, 8), (8, 9),
          (10, 10), (12, 12), (12, 13), (16, 16))
_LENGTHS = (1, 2, 3, 4, 6, 8, 12, 16, 20, 24, 28, 32, 48, 64)

#: What a template's size is, the first that it has; and what else differs from its defaults.
_GROWING = ("chains", "rows", "lanes")
_BESIDE: Mapping[str, Mapping[str, Any]] = {"systolic": {"max_k": 1024, "acc_depth": 128}}

#: What stands below the smallest size of some, for devices that do not hold that: with what else
#: the template can do without.
_LEAN: Mapping[str, tuple[Mapping[str, Any], ...]] = {
    "sparse_chain": tuple({"chains": 1, "cells": 4, "lanes": lanes, "max_m": 4, "max_speedup": 2,
                           "max_tokens": 4} for lanes in (1, 2)),
    "bitserial": ({"rows": 1, "cols": 1, "a_format": "int8"},),
    "softmax": ({"lanes": 1, "algorithm": "integer"},),
    "norm": ({"lanes": 1, "affine": "weight", "w_format": "int8", "w_fraction": 6,
              "max_length": 128, "precision": 6},),
}

#: The same as ``_BESIDE`` for one family: no more than three quarters of the blocks of an ECP5 can
#: have enables of their own.
_BESIDE_ON: Mapping[tuple[str, str], Mapping[str, Any]] = {("systolic", "ecp5"): {"mac_stages": 4}}


def ladder(template: str) -> list[dict[str, Any]]:
    """Parameters by size, the smallest first; what is not named stays as the template has it."""
    fields = registry.get(template).config.model_fields
    beside = _BESIDE.get(template, {})
    lean = [dict(values) for values in _LEAN.get(template, ())]
    if {"rows", "cols"} <= fields.keys():
        return lean + [{"rows": rows, "cols": cols, **beside} for rows, cols in _SIDES]
    growing = next((name for name in _GROWING if name in fields), None)
    return lean + ([{growing: size, **beside} for size in _LENGTHS] if growing else [dict(beside)])


@dataclass(frozen=True)
class Fit:
    """A core on a device, or that none fits: then ``parameters`` is empty, and everything zero.

    Attributes
    ----------
    parameters : mapping
        Those that were chosen for it.
    resources, capacity : mapping
        Amounts by resource, with the link; what the device has.
    clock_mhz, fmax_mhz : float
        The clock it was built for, and the highest one.
    trusted : bool
        The timing model knows everything in it.
    peak, sustained : float
        Operations in a cycle at most, and on a workload; a multiply-accumulate counts as two, of
        the templates that do not multiply matrices each element as one.
    seconds : float
        Of the processor that the build took.
    """

    parameters: Mapping[str, Any]
    resources: Mapping[str, float]
    capacity: Mapping[str, int]
    clock_mhz: float
    fmax_mhz: float
    trusted: bool
    peak: float
    sustained: float
    seconds: float


def square(size: int, board: str) -> GeneratedCore:
    """A systolic core of so many rows and columns, as it is searched on a board."""
    known = registry.get("systolic")
    values = _values(known, {"rows": size, "cols": size, **_BESIDE["systolic"]}, boards.get(board))
    assert values is not None
    return _core(known, values)


def dies() -> dict[str, tuple[str, ...]]:
    """The boards that hold the same amount of the same family, by the first of them."""
    found: dict[tuple[Any, ...], list[str]] = {}
    for board in boards.BOARDS.values():
        found.setdefault((board.device.family.name, *sorted(board.device.capacity.items())),
                         []).append(board.name)
    return {names[0]: tuple(names) for names in found.values()}


def fit(template: str, board: str, progress: Progress) -> Fit:
    """Search the largest core of a template that a board holds, or find what was found before.

    What the cores are is in the key by the Verilog of a small one.
    """
    return Fit(**findings.find(KIND, key(template, board),
                               lambda folder: asdict(_search(template, board, progress))))


def fit_of_before(template: str, board: str) -> Fit | None:
    """What :func:`fit` found before; None where it was not asked."""
    found = findings.known(KIND, key(template, board))
    return Fit(**found) if found else None


def key(template: str, board: str) -> str:
    """What a fit depends on."""
    family = boards.get(board).device.family.name
    return cache.key(*_flow(board),
                     json.dumps([_sizes(template, board), _clocks(board), LINK, FULLEST,
                                 LIMIT_S[family], MOST_PLACED.get(family)]),
                     _small(template))


def _flow(board: str) -> tuple[str, ...]:
    """What the builds for a board depend on, beside the core and its clock."""
    device = boards.get(board).device
    return (toolchain.yosys_label(), toolchain.NEXTPNR[device.family.name].label, board,
            *device.steps("top"), *(" ".join(way) for way in ways(device.family.name)))


@once
def _small(template: str) -> str:
    known = registry.get(template)
    return _core(known, {**ladder(template)[0], "technology": "generic"}
                 if "technology" in known.config.model_fields else ladder(template)[0]).verilog


def _sizes(template: str, board: str) -> list[dict[str, Any]]:
    known, target = registry.get(template), boards.get(board)
    return [values for values in (_values(known, size, target) for size in ladder(template))
            if values is not None]


def _clocks(board: str) -> tuple[float, ...]:
    own = boards.get(board).clock_mhz
    return tuple(dict.fromkeys((FASTER.get(board, 2) * own, own)))


def _search(template: str, board: str, progress: Progress) -> Fit:
    """Sizes are bisected by synthesis of each distinct module, and those that may fit by place and
    route, the largest first. Every step is found again in the build cache, so a search that was
    broken off goes on where it was."""
    known, target = registry.get(template), boards.get(board)
    sizes = _sizes(template, board)
    low, high = -1, len(sizes)                           # known to fit, known to be too large
    while high - low > 1:
        # In growing steps up to the first that is too large, which takes longest; then in halves.
        middle = min(2 * low + 2, len(sizes) - 1) if high == len(sizes) else (low + high) // 2
        if _may_fit(_core(known, sizes[middle]), target, progress):
            low = middle
        else:
            high = middle
    # The smallest is worth place and route even where that leaves no room.
    if low < 0 and _may_fit(_core(known, sizes[0]), target, progress, fullest=1):
        low = 0
    best = Fit({}, {}, target.device.capacity, 0, 0, True, 0, 0, 0)
    low, high, middle = -1, low + 1, low                 # placed and routed, known not to be
    while high - low > 1:
        if (fit := _placed(known, sizes[middle], board, progress)) is None:
            high = middle
        else:
            best, low = fit, middle
        middle = (low + high) // 2
    return best


def _placed(template: Template, values: Mapping[str, Any], board: str,
            progress: Progress) -> Fit | None:
    """Figures of one size with the fastest clock that it reaches; None if it reaches none."""
    core, slowest = _core(template, values), boards.get(board).clock_mhz
    for mhz in _clocks(board):
        found = _built(core, board, mhz, progress)
        if "failure" not in found:
            return _figures(core, template, values, boards.get(board), found)
        if found["fmax_mhz"] < HOPELESS * slowest:
            break                                        # too large, or too slow for any clock
    return None


def _values(template: Template, size: Mapping[str, Any], board: Board) -> dict[str, Any] | None:
    """The parameters of a size with the blocks of the board's device where the template takes them;
    None where it has no such size."""
    family = board.device.family.name
    size = {**size, **_BESIDE_ON.get((template.name, family), {})}
    tries = [{**size, "technology": family}] if board.device.capacity.get("dsp") else []
    for values in (*tries, dict(size)):
        try:
            template.config.parse(values)
        except ConfigError:
            continue
        return values
    return None


def _core(template: Template, values: Mapping[str, Any]) -> GeneratedCore:
    return elaborate(template, template.config.parse(dict(values)), "core")


def _may_fit(core: GeneratedCore, board: Board, progress: Progress,
             fullest: float = FULLEST) -> bool:
    certain = board.device.family.resources(_blocks(core))
    if any(certain[name] > total for name, total in board.device.capacity.items()):
        return False                                     # without the minutes of its synthesis
    area = synthesize(core, board.device.name, by_module=True, progress=progress).resources
    if area["logic"] + area["ff"] > MOST_PLACED.get(board.device.family.name, inf):
        return False
    area["logic"] += UNPAIRED.get(board.device.family.name, 0) * area["ff"]
    return all(area[name] + LINK[name] <= total * (fullest if name in ("logic", "ff") else 1)
               for name, total in board.device.capacity.items())


def _blocks(core: GeneratedCore) -> dict[str, int]:
    """How many blocks of the device the Verilog instantiates, by type."""
    counts = dict.fromkeys(core.manifest["cells"], 0)
    instances = {module["name"]: module["instances"] for module in core.manifest["modules"]}
    for name, text in re.findall(r"^module (\w+) (.*?)^endmodule", core.verilog, re.M | re.S):
        for cell in counts:
            counts[cell] += instances[name] * len(re.findall(rf"^ +{cell} ", text, re.M))
    return counts


def _built(core: GeneratedCore, board: str, mhz: float,
           progress: Progress) -> dict[str, Any]:
    """Figures of the build; with a ``failure`` if it does not fit, or is too slow."""
    family = boards.get(board).device.family.name

    def make(folder) -> None:
        try:
            built = build(core, board, mhz=mhz, limit_s=LIMIT_S[family], progress=progress)
        except (ConstraintError, CrashError) as error:
            fmax = error.fmax_mhz if isinstance(error, SlowError) else 0.0
            found = {"failure": str(error), "fmax_mhz": fmax}
        else:
            found = {"resources": dict(built.resources), "fmax_mhz": built.timing.fmax_mhz,
                     "clock_mhz": built.timing.goal_mhz, "caveat": built.timing.caveat,
                     "seconds": built.seconds}
        (folder / "found.json").write_text(json.dumps(found))

    key = cache.key(*_flow(board), core.verilog, str(mhz), str(LIMIT_S[family]))
    found = json.loads((cache.entry("board-fit", key, make) / "found.json").read_text())
    if "failure" in found:
        progress(found["failure"])
    return found


def built_in(core: GeneratedCore, board: str, progress: Progress) -> float:
    """Processor seconds of a build, at the clock that is tried first; infinite if it fails."""
    mhz = _clocks(board)[0]
    return _built(core, board, mhz, progress).get("seconds", float("inf"))


def _figures(core: GeneratedCore, template: Template, values: Mapping[str, Any], board: Board,
             found: Mapping[str, Any]) -> Fit:
    model = template.load_model()
    best, useful = None, 0.0
    for workload in islice(_workloads(core, model), WORKLOADS):
        cycles = model.cycles(core.config, workload)
        share = model.utilization(core.config, workload, cycles)
        if best is None or share > useful:
            best, useful = (workload, cycles), share
    assert best is not None
    sustained = operations(template.name, best[0]) / best[1]
    return Fit(values, found["resources"], board.device.capacity, found["clock_mhz"],
               found["fmax_mhz"], not found["caveat"], sustained / useful, sustained,
               found["seconds"])


def _workloads(core: GeneratedCore, model):
    """A long matrix product first where the template takes one, then its stimulus."""
    rng = np.random.default_rng(SEED)
    config = core.config
    if core.template.name == "systolic":
        a = rng.integers(-128, 128, (256, 8 * config.rows))
        w = rng.integers(-128, 128, (8 * config.rows, 8 * config.cols))
        yield model.check(config, Workload("long", {"a": a, "w": w}))
        return
    if core.template.name == "dot":
        x, y = rng.integers(-128, 128, (2, 64, 16 * config.lanes))
        yield model.check(config, Workload("long", {"x": x, "y": y}))
        return
    yield from model.stimulus(config, rng)


def operations(template: str, workload: Workload) -> int:
    """Operations of a workload, as :class:`Fit` counts them."""
    arrays = workload.arrays
    if "packed" in arrays:
        return 2 * arrays["a"].size * len(arrays["packed"])
    if "a" in arrays:
        return 2 * len(arrays["a"]) * arrays["w"].size
    elements = arrays["i" if "i" in arrays else "x"]
    return elements.size * (2 if template == "dot" else 1)
