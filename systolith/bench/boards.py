"""Figures of the boards: the largest core of each template that fits.

A search of everything takes many hours. What one run has found the next one finds in the build
cache, or in the checkout that it records in; a quick run shows what was found so far, and searches
the systolic core of one board only.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from systolith.bench import largest
from systolith.bench.largest import LIMITS, PLACED, Fit, built_in, dies, fit, fit_of_before, square
from systolith.bench.results import Grid, Progress, Table, at_least, at_most, number
from systolith.fpga import boards
from systolith.generators import registry

FINDINGS = largest.KIND
QUICK = (("icebreaker", "systolic"),)

Fits = Mapping[tuple[str, str], Fit | None]              # None: not measured yet


def tables(progress: Progress, *, quick: bool) -> Iterator[Table | Grid]:
    """Measure everything, a table at a time."""
    pairs = sorted(_pairs(), key=lambda pair: (pair[1] != "systolic",
                                               boards.get(pair[0]).device.capacity["logic"]))
    found: dict[tuple[str, str], Fit | None] = {}
    for board, template in pairs:
        if quick and (board, template) not in QUICK:
            found[board, template] = fit_of_before(template, board)
        else:
            progress(f"{len(found)} of {len(pairs)} searches done; next {template} on {board}")
            found[board, template] = fit(template, board, progress)
    yield _targets(found, progress)
    yield _fits(found)


def keys() -> dict[str, str]:
    """Of what :mod:`~systolith.bench.findings` keeps."""
    return {f"{template} on {board}": largest.key(template, board) for board, template in _pairs()}


def _pairs() -> list[tuple[str, str]]:
    return [(board, template.name) for board in dies() for template in registry.TEMPLATES]


def _targets(found: Fits, progress: Progress) -> Table:
    figures = []
    for board, what, bound in (("icebreaker", "iCE40 UP5K", 100), ("ulx3s-85f", "ECP5-85F", 90)):
        held = found[board, "systolic"]
        if held and held.parameters:
            share = 100 * held.resources["dsp"] / held.capacity["dsp"]
            figures.append(at_least(f"multipliers of the {what} in a systolic core, int8", share,
                                    "%", bound))
    for board, size, bound in (("icebreaker", 4, 60), ("ulx3s-45f", 8, 120)):
        figures.append(at_most(f"build of systolic {size} × {size} for {board}",
                               built_in(square(size, board), board, progress), "s", bound))
    return Table("Multipliers and build times", tuple(figures),
                 note="Times are of the processor, synthesis included: an upper bound of what "
                      "passes on a machine that does nothing else.")


def _fits(found: Fits) -> Grid:
    rows = []
    for board, names in dies().items():
        device = f"{boards.get(board).device.title} ({', '.join(names)})"
        rows += [_row(device, template.name, held) for template in registry.TEMPLATES
                 if (held := found[board, template.name]) is not None]
    return Grid("The largest cores that fit", (
        "device (boards), template", "parameters", "LUT", "FF", "DSP", "of the DSPs, %", "BRAM",
        "clock, MHz", "highest clock, MHz", "peak, Gop/s", "sustained, Gop/s", "build, s"),
        tuple(rows),
        note=f"{len(rows)} of {len(found)} pairs of device and template are measured; `systolith "
             "bench boards` searches those that are missing and goes on where it was broken off, "
             "`--quick` shows what is known. "
             "With the link. Boards with devices of the same size share a row, built for the "
             "first of them. Sizes are from a fixed ladder for each template, parameters not named "
             "are the template's own; where its smallest size is too large, parts that it can do "
             "without go first. Of the ways to place and route, each gets so many seconds of the "
             f"processor: {LIMITS}; a core with which none ends counts as too large, and so does "
             f"one of more look-up tables and flip-flops than end in that time ({PLACED}). A "
             "multiply-accumulate counts as two operations; softmax, norm, activation and topn "
             "count elements. Sustained: the core alone, its data always there, on the most useful "
             "workload; the link is slower. Highest clocks in brackets "
             "are those of a timing model that leaves delays out.")


def _row(device: str, template: str, held: Fit) -> tuple[Any, ...]:
    name = f"{device}, {template}"
    if not held.parameters:
        return name, "does not fit", *[None] * 10
    dsp = held.capacity.get("dsp")
    size = ", ".join(f"{key} {value}" for key, value in held.parameters.items())
    rate = held.clock_mhz / 1e3
    return (name, size, *(held.resources[name] for name in ("lut", "ff", "dsp")),
            100 * held.resources["dsp"] / dsp if dsp else None, held.resources["bram"],
            held.clock_mhz, held.fmax_mhz if held.trusted else f"({number(held.fmax_mhz)})",
            held.peak * rate, held.sustained * rate, held.seconds)
