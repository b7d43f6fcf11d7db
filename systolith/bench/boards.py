"""Figures of the boards: efficiency of the host link."""

from collections.abc import Iterator

import numpy as np

from systolith.bench.results import SEED, Figure, Progress, Table, at_least
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


def _core(**values: object) -> GeneratedCore:
    template = registry.get("dot")
    return elaborate(template, template.config.parse(values), "core")


def _link(progress: Progress) -> Table:
    """From the simulated top level, at four cycles a bit: the least that the UART takes."""
    progress("link efficiency")
    core = _core(lanes=4)
    top = TopLevel.of(core, boards.get("icebreaker"), baud=BAUD)
    link = top.linked.link
    port = BoardPort(Simulated(TOP, top.verilog, "pin_clk", "pin_rx", "pin_tx"), link.clock_hz,
                     link.divisor)
    port.run(1000)
    model = core.template.load_model()
    figures = []
    rng = np.random.default_rng(SEED)
    with Session(port, core.config, core.name) as session:
        for what, frames, length, results in (("to the core, 38 kB", 4, 4800, False),
                                              ("from the core, 6 kB", 1500, 1, True)):
            x, y = rng.integers(-128, 128, (2, frames, length))
            case = work_out(model, core.config, Workload(what, {"x": x, "y": y}))
            start = port.cycle
            session.run(case.job)
            seconds = (port.cycle - start) / link.clock_hz
            size = frames * core.config.streams[-1].tdata_bits // 8 if results else x.size + y.size
            share = 100 * size / seconds / (link.real_baud / 10)
            title = f"data over what the line could carry, {what}"
            figures.append(Figure(title, share, "%") if results
                           else at_least(title, share, "%", 90))
    return Table("Link efficiency, 3 Mbaud at 12 MHz, simulated top level", tuple(figures),
                 note="Towards the core in long frames. From the core each result is a frame of "
                      "one beat, and two input frames have to arrive for it.")
