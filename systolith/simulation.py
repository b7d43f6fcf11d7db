"""The one place where the face meets the simulators."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from systolith.generators.core import GeneratedCore, write

if TYPE_CHECKING:
    from systolith.sim.simulators.core import Core
    from systolith.sim.simulators.harness import Simulator


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


def verify(core: GeneratedCore, *, simulator: str | None, level: str, seed: int,
           frames: int | None, waves: bool) -> dict[str, Any]:
    """Run the regression of ``core``; the report has a key ``passed``.

    Raises
    ------
    ToolError
        If a tool is missing or failed.
    """
    from systolith.sim.simulators import regression

    with _on_disk(core) as files:
        return regression.verify(files, simulator=simulator, level=level, seed=seed, frames=frames,
                                 waves=waves)


@contextmanager
def _on_disk(core: GeneratedCore) -> Iterator["Core"]:
    from systolith.sim.simulators.core import Core

    with TemporaryDirectory(prefix="systolith-") as folder:
        write(core, folder)
        place = Path(folder)
        yield Core.read(place / f"{core.name}.v", place / f"{core.name}.json", core.model)
