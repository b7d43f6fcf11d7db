"""Figures of the boards: efficiency of the host link, the largest cores that fit."""

from collections.abc import Iterator, Mapping

import numpy as np

from systolith.bench.board_fits import Fit, built_in, fit
from systolith.bench.results import (
    SEED,
    Figure,
    Grid,
    Progress,
    Table,
    at_least,
    at_most,
    number,
    same,
)
from systolith.fpga import boards
from systolith.fpga.build import TOP, TopLevel
from systolith.fpga.link.host import Session
from systolith.generators import registry
from systolith.generators.core import GeneratedCore, elaborate
from systolith.sim.cases import work_out
from systolith.sim.model import Workload
from systolith.sim.simulators.board import BoardPort
from systolith.sim.simulators.board import TopLevel as Simulated

BAUD = 3_000_000
QUICK = (("icebreaker", "systolic"), ("icebreaker", "dot"), ("ulx3s-85f", "systolic"))

Fits = Mapping[tuple[str, str], Fit | None]


def tables(progress: Progress, *, quick: bool) -> Iterator[Table | Grid]:
    """Measure everything, a table at a time."""
    yield _link(progress)
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
        core = _core("systolic", rows=size, cols=size, max_k=1024, acc_depth=128,
                     technology=boards.get(board).device.family.name)
        seconds = built_in(core, board, progress)
        figures.append(at_most(f"build of systolic {size} × {size} for {board}", seconds, "s",
                               bound))
    return Table("Multipliers and build times", tuple(figures))


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


def _core(template: str, **values: object) -> GeneratedCore:
    known = registry.get(template)
    return elaborate(known, known.config.parse(values), "core")


def _link(progress: Progress) -> Table:
    """From the simulated top level, at four cycles a bit: the least that the UART takes."""
    progress("link efficiency")
    rng = np.random.default_rng(SEED)
    figures = []
    x, y = rng.integers(-128, 128, (2, 4, 4800))
    figures.append(_efficiency("to the core, 38 kB in frames of 1200 beats", _core("dot", lanes=4),
                               {"x": x, "y": y}, outwards=False))
    a, w = rng.integers(-128, 128, (1200, 2)), rng.integers(-128, 128, (2, 8))
    figures.append(_efficiency("from the core, 38 kB in frames of 240 beats",
                               _core("systolic", rows=2, cols=4, acc_depth=240),
                               {"a": a, "w": w}, outwards=True))
    return Table("Link efficiency, 3 Mbaud at 12 MHz, simulated top level", tuple(figures),
                 note="Data over what the line carries in that time at 10 bits a byte, both ways "
                      "measured on a core whose traffic goes mostly that way.")


def _efficiency(what: str, core: GeneratedCore, arrays: dict[str, np.ndarray], *,
                outwards: bool) -> Figure:
    top = TopLevel.of(core, boards.get("icebreaker"), baud=BAUD)
    link = top.linked.link
    port = BoardPort(Simulated(TOP, top.verilog, "pin_clk", "pin_rx", "pin_tx"), link.clock_hz,
                     link.divisor)
    port.run(1000)
    case = work_out(core.template.load_model(), core.config, Workload(what, arrays))
    streams = {stream.name: stream.tdata_bits // 8 for stream in core.config.streams}
    with Session(port, core.config, core.name) as session:
        start = port.cycle
        result = session.run(case.job)
        seconds = (port.cycle - start) / link.clock_hz
    for name, beats in case.expected.items():
        same(result.beats[name].data, beats.data)
    moved = result.beats if outwards else case.job.inputs
    size = sum(len(beats) * streams[name] for name, beats in moved.items())
    return at_least(what, 100 * size / seconds / (link.real_baud / 10), "%", 90)
