"""How often the nets of a core change: what stands for its energy where there is no power model.

The core is flattened by Yosys, so that every net is there once: outputs of registers, memories and
operators, bit by bit. Verilator counts the changes of each. Clock, insides of memories, carries
inside of adders, glitches and wires of different length do not count.
"""

import re
import tempfile
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Self

from systolith.fpga import toolchain
from systolith.generators.core import GeneratedCore, write
from systolith.sim.model import Workload
from systolith.sim.simulators import verilator
from systolith.sim.simulators.core import Core
from systolith.sim.simulators.harness import Simulator

_FLATTEN = ("hierarchy -top {name}", "proc", "flatten", "opt_expr", "opt_merge", "opt_clean -purge",
            "write_verilog -noattr flat.v")
#: A line of Verilator's coverage file: fields of a point after \x01, keys before \x02.
_CHANGES = re.compile(r"^C '(.*)' (\d+)$", re.MULTILINE)


class Counter:
    """A core that counts the changes of its nets; a context that frees it.

    Parameters
    ----------
    core : GeneratedCore
    """

    def __init__(self, core: GeneratedCore):
        self._generated = core
        self._model = core.template.load_model()
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            write(core, folder)
            found = Core.read(folder / f"{core.name}.v", folder / f"{core.name}.json", core.model)
            script = [f"read_verilog {path.name}" for path in found.sources]
            toolchain.yosys((*script, *(line.format(name=core.name) for line in _FLATTEN)), folder)
            flat = replace(found, sources=(folder / "flat.v",))
            library = verilator.build(flat, coverage=verilator.COUNT_TOGGLES)
        self._simulator = Simulator(flat, library)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self._simulator.close()

    def changes(self, workload: Workload) -> tuple[int, int]:
        """Changes of all nets while a workload runs, and the cycles that it takes.

        Raises
        ------
        RuntimeError
            If a result differs from the golden model's.
        """
        config, model = self._generated.config, self._model
        workload = model.check(config, workload)
        before = self._total()
        result = self._simulator.run(model.pack(config, workload))
        after = self._total()
        wanted = model.expect(config, workload, model.golden(config, workload))
        for name, beats in wanted.items():
            if (result.beats[name].data != beats.data).any():
                raise RuntimeError("toggles were counted on a wrong result")
        return after - before, result.cycles

    def _total(self) -> int:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "toggles.dat")
            self._simulator.write_coverage(path)
            text = path.read_text(errors="replace")
        total = 0
        for point, count in _CHANGES.findall(text):
            fields = dict(field.split("\x02", 1) for field in point.split("\x01") if field)
            net = fields["o"].rpartition(":")[0]
            total += 0 if net.rpartition(".")[2] == "clk" else int(count)
        return total
