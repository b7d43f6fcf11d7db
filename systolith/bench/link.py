"""Figures of the host link: how much of the line carries data."""

from collections.abc import Iterator

import numpy as np

from systolith.bench.results import SEED, Figure, Progress, Table, at_least, same
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


def tables(progress: Progress, *, quick: bool) -> Iterator[Table]:
    """Measure everything, a table at a time."""
    yield _link(progress)


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
