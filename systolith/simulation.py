"""The one place where the face meets the simulators."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Literal

from systolith.generators.core import GeneratedCore, write

if TYPE_CHECKING:
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
    from systolith.sim.simulators.core import Core

    with _on_disk(core) as (verilog, manifest):
        return verilator.simulator(Core.read(verilog, manifest, core.model))


def verify(core: GeneratedCore, *, simulator: Literal["verilator", "icarus"] | None, seed: int,
           frames: int | None, waves: bool, directory: Path,
           progress: Callable[[str], None]) -> "Report":
    """Run the regression of ``core``; see :func:`systolith.sim.simulators.regression.verify`.

    Raises
    ------
    ToolError
        If a tool is missing or failed.
    """
    from systolith.sim.simulators import regression

    with _on_disk(core) as (verilog, manifest):
        return regression.verify(verilog, manifest, core.model, simulator=simulator, seed=seed,
                                 frames=frames,
                                 waves=waves, directory=directory, progress=progress)


@contextmanager
def _on_disk(core: GeneratedCore) -> Iterator[tuple[Path, Path]]:
    """Paths of the Verilog and the manifest while the block runs."""
    with TemporaryDirectory(prefix="systolith-") as folder:
        write(core, folder)
        yield Path(folder, f"{core.name}.v"), Path(folder, f"{core.name}.json")
