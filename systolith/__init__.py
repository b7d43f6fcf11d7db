"""Parameters in, proven accelerator RTL out.

>>> import systolith
>>> core = systolith.load("systolic", rows=8, cols=8)      # doctest: +SKIP
>>> c = core(a=A, w=W)["c"]                                # doctest: +SKIP
>>> core.last.cycles, core.last.utilization                # doctest: +SKIP
"""

from importlib import import_module
from typing import TYPE_CHECKING

from systolith.hdl.errors import Error

if TYPE_CHECKING:
    from systolith.generating import generate, templates
    from systolith.running import Core, Run, load
    from systolith.sim.formats import Codes

    __version__: str

__all__ = ["Codes", "Core", "Error", "Run", "__version__", "generate", "load", "templates"]

_HOMES = {"Codes": "sim.formats", "Core": "running", "Run": "running", "load": "running",
          "generate": "generating", "templates": "generating"}


def __getattr__(name: str) -> object:
    """Import what is asked for: ``import systolith`` waits for neither numpy nor Amaranth."""
    if name == "__version__":
        from importlib.metadata import version

        value: object = version("systolith")
    elif name in _HOMES:
        value = getattr(import_module(f"systolith.{_HOMES[name]}"), name)
    else:
        raise AttributeError(f"module 'systolith' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
