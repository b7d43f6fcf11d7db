"""CXXRTL, the C++ backend of Yosys: the second simulator that needs nothing but PyPI and a
compiler."""

import importlib.metadata
import importlib.util
import shutil
import sys
from functools import cache as once
from pathlib import Path

from systolith.sim.simulators import cache, tools
from systolith.sim.simulators.core import Core, adapter
from systolith.sim.simulators.errors import ToolError
from systolith.sim.simulators.harness import SOURCE, Simulator

OPTIMIZE = "-O1"             # -O2 takes half as long again to compile and runs no faster

_MODEL = """\
#include "model.cc"
struct Model {
    cxxrtl_design::%s top;
    void eval() { top.step(); }
    uint8_t* internal(const char*, const char*, size_t&) { return nullptr; }
    void coverage(const char*) {}
};
template <size_t bits> uint8_t* address(cxxrtl::value<bits>& port) {
    return reinterpret_cast<uint8_t*>(port.data);
}
template <size_t bits> uint8_t* address(cxxrtl::wire<bits>& port) {
    return reinterpret_cast<uint8_t*>(port.curr.data);
}
#define PORT(name) address(model.top.name)
"""


@once
def installation() -> Path:
    """The share directory of pyosys.

    Raises
    ------
    ToolError
        If pyosys is not installed.
    """
    spec = importlib.util.find_spec("pyosys")
    if not spec or not spec.submodule_search_locations:
        raise ToolError("pyosys", "not installed", install=tools.INSTALL["pyosys"])
    return Path(spec.submodule_search_locations[0]) / "share"


def simulator(core: Core) -> Simulator:
    """Build what is not in the cache, and return a fresh instance of the core."""
    return Simulator(core, build(core))


def build(core: Core, model: str = _MODEL, driver: Path = SOURCE, debug: int = 0) -> Path:
    """Return the shared library of a core, for :class:`Simulator`.

    Parameters
    ----------
    model : str
        C++ for :func:`~systolith.sim.simulators.core.adapter`, with ``%s`` for the top module.
    driver : Path
        C++ that includes ``harness.cpp``, or is it.
    debug : int
        How much CXXRTL tells about the design at run time, 0 to 4.
    """
    headers = installation() / "include" / "backends" / "cxxrtl" / "runtime"
    script = Path(__file__).with_name("write_cxxrtl.py")
    source = adapter(core, model % mangle(core.name), mangle)

    def make(folder: Path) -> None:
        for path in {SOURCE, driver}:
            shutil.copy(path, folder)
        (folder / "adapter.h").write_text(source)
        # Yosys ends the whole process on some errors.
        tools.run("pyosys", [sys.executable, script, core.name, "model.cc", str(debug),
                             *core.sources], cwd=folder)
        objects = tools.compile_units([(folder / driver.name, [OPTIMIZE])],
                                      ["-I", str(folder), "-I", str(headers)], folder)
        tools.link(objects, folder / "core.so", shared=True)
        for path in folder.iterdir():
            if path.name != "core.so":
                path.unlink()

    key = cache.key(importlib.metadata.version("pyosys"), tools.compiler_version(), OPTIMIZE,
                    core.name, *core.texts(), source, script.read_bytes(),
                    SOURCE.read_bytes(), driver.read_bytes(), str(debug))
    return cache.entry("cxxrtl", key, make) / "core.so"


def mangle(name: str) -> str:
    """The C++ name that CXXRTL gives to a public Verilog name."""
    return "p_" + name.replace("_", "__")
