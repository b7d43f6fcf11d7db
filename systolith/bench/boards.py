"""Figures of the boards: the largest core of each template that fits."""

from collections.abc import Iterator, Mapping

from systolith.bench.board_fits import Fit, built_in, fit
from systolith.bench.results import Grid, Progress, Table, at_least, at_most, number
from systolith.fpga import boards
from systolith.generators import registry
from systolith.generators.core import elaborate

QUICK = (("icebreaker", "systolic"),)

Fits = Mapping[tuple[str, str], Fit | None]


def tables(progress: Progress, *, quick: bool) -> Iterator[Table | Grid]:
    """Measure everything, a table at a time."""
    pairs = QUICK if quick else [(board, template.name) for board in boards.BOARDS
                                 for template in registry.TEMPLATES]
    found = {pair: fit(pair[1], pair[0], progress) for pair in pairs}
    yield _targets(found, progress)
    yield _fits(found)


def _targets(found: Fits, progress: Progress) -> Table:
    figures = []
    for board, what, bound in (("icebreaker", "iCE40 UP5K", 100), ("ulx3s-85f", "ECP5-85F", 90)):
        if held := found.get((board, "systolic")):
            share = 100 * held.resources["dsp"] / held.capacity["dsp"]
            figures.append(at_least(f"multipliers of the {what} in a systolic core, int8", share,
                                    "%", bound))
    for board, size, bound in (("icebreaker", 4, 60), ("ulx3s-85f", 8, 120)):
        if (board, "systolic") in found:
            template = registry.get("systolic")
            core = elaborate(template, template.config.parse({
                "rows": size, "cols": size, "max_k": 1024, "acc_depth": 128,
                "technology": boards.get(board).device.family.name}), "core")
            figures.append(at_most(f"build of systolic {size} × {size} for {board}",
                                   built_in(core, board, progress), "s", bound))
    return Table("Multipliers and build times", tuple(figures),
                 note="Times are of the processor, synthesis included: an upper bound of what "
                      "passes on a machine that does nothing else.")


def _fits(found: Fits) -> Grid:
    rows = []
    for (board, template), held in found.items():
        if held is None:
            rows.append((f"{board}, {template}", "does not fit", *[None] * 10))
            continue
        dsp = held.capacity.get("dsp")
        size = ", ".join(f"{key} {value}" for key, value in held.parameters.items())
        rate = held.clock_mhz / 1e3
        rows.append((
            f"{board}, {template}", size, *(held.resources[name] for name in ("lut", "ff", "dsp")),
            100 * held.resources["dsp"] / dsp if dsp else None, held.resources["bram"],
            held.clock_mhz, held.fmax_mhz if held.trusted else f"({number(held.fmax_mhz)})",
            held.peak * rate, held.sustained * rate, held.seconds))
    return Grid("The largest cores that fit", (
        "board, template", "parameters", "LUT", "FF", "DSP", "of the DSPs, %", "BRAM", "clock, MHz",
        "highest clock, MHz", "peak, Gop/s", "sustained, Gop/s", "build, s"), tuple(rows),
        note="With the link. Sizes are from a fixed ladder for each template, parameters not named "
             "are the template's own. A multiply-accumulate counts as two operations; softmax, "
             "norm, activation and topn count elements. Sustained: the core alone, its data always "
             "there, on the most useful workload; the link is slower. Highest clocks in brackets "
             "are those of a timing model that leaves delays out.")
