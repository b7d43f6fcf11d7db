"""The one place where the face meets the simulators."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from systolith.generators.core import GeneratedCore, write

if TYPE_CHECKING:
    from systolith.sim.simulators.core import Core
    from systolith.sim.simulators.harness import Simulator
    from systolith.sim.simulators.regression import Report


def compiled(core: GeneratedCore) -> "Simulator":
    """Compile ``core``, or find it compiled, and return an instance of it.

    Raises
    ------
    ToolError
        If a tool is missing or failed.
    """
    from systolith.sim.simulators import verilator

    with _on_disk(core) as files:
        return verilator.simulator(files)


def verify(core: GeneratedCore, *, simulator: str | None, seed: int, frames: int | None,
           waves: bool, directory: Path, progress: Callable[[str], None]) -> "Report":
    """Run the regression of ``core``; waveforms and logs of failures go to ``directory``.

    Raises
    ------
    ToolError
        If a tool is missing or failed.
    """
    from systolith.sim.simulators import regression

    options = {} if frames is None else {"frames": frames}
    with _on_disk(core) as files:
        return regression.verify(files.verilog, files.manifest, core.model, simulator=simulator,
                                 seed=seed, waves=waves, directory=directory, progress=progress,
                                 **options)


@contextmanager
def _on_disk(core: GeneratedCore) -> Iterator["Core"]:
    from systolith.sim.simulators.core import Core

    with TemporaryDirectory(prefix="systolith-") as folder:
        write(core, folder)
        place = Path(folder)
        yield Core.read(place / f"{core.name}.v", place / f"{core.name}.json", core.model)
