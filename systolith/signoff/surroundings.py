"""Modules in surroundings that keep to what their specifications assume.

What a mutant makes different may never come to pass: a place of a buffer that is free again before
it was taken. No solver sees that in a whole core, where it takes a sum of all that is on its way.
The specification of the part (:mod:`systolith.proofs.registry`) says it in a line, and is proven
for no other surroundings. So two questions are left: whether the mutant is equal in these, which is
proven, and whether the core is such surroundings, which the exercise shows: with a module in place
of the part that inverts its outputs as soon as something is not as assumed, it must still pass.
"""

import re
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from amaranth.lib import wiring

from systolith.fpga import toolchain
from systolith.fpga.design import Design, Port
from systolith.generators.core import GeneratedCore, write
from systolith.generators.verilog import emit
from systolith.proofs import engine
from systolith.proofs.registry import specification_of
from systolith.sim.simulators import tools, verilator
from systolith.sim.simulators.core import Core
from systolith.sim.simulators.exercise import Exercise
from systolith.sim.simulators.exercise.counters import writable
from systolith.sim.simulators.harness import Simulator

SECONDS = 60                 # for the proof that a mutant is equal
PART = Path(__file__).with_name("mutate_part.py")


def same(core: GeneratedCore, folder: Path, sources: Sequence[str], module: str,
         component: wiring.Component | None, line: str) -> bool:
    """Whether a module with a mutant does what it does without one, where its surroundings are as
    assumed; ``folder`` holds the core's files."""
    watching = _watcher(component)
    if component is None or watching is None:
        return False
    texts = {}
    for name, change in (("gold", ""), ("gate", line)):
        tools.run("pyosys", [sys.executable, PART, core.name, module, name, f"{name}.v", change,
                             *sources], cwd=folder)
        texts[f"{name}.v"] = _apart((folder / f"{name}.v").read_text(), name)
    graph = engine.circuit({**texts, "watcher.il": watching, "both.v": _both(_ports(component))},
                           folder / "surroundings")
    return engine.prove(graph, SECONDS).status == "proven"


def problem(core: GeneratedCore, folder: Path, module: str, component: wiring.Component,
            seed: int, frames: int | None) -> str | None:
    """What the exercise finds where a module inverts its outputs once its surroundings were not
    as assumed."""
    write(core, folder)
    files = Core.read(folder / f"{core.name}.v", folder / f"{core.name}.json", core.model)
    (folder / "watcher.il").write_text(_watcher(component) or "")
    toolchain.yosys(("read_rtlil watcher.il", "proc", "flatten", "opt_clean",
                     f"rename watcher {module}_watcher", "write_verilog -noattr watcher.v"), folder)
    source = folder / f"{core.name}.v"
    inside, found = re.subn(rf"^module {module} \(", f"module {module}_inside (",
                            source.read_text(), flags=re.M)
    assert found == 1, module
    source.write_text(inside + _inverting(module, _ports(component)))
    files = writable(replace(files, sources=(*files.sources, folder / "watcher.v")), folder)
    library, exercise = verilator.build(files), Exercise(files, seed, frames)
    for search in (exercise.first_problem, exercise.further_problem):
        with Simulator(files, library) as simulator:
            simulator.reset()
            if found := search(simulator):
                return found
    return None


def _watcher(component: wiring.Component | None) -> str | None:
    """RTLIL of what looks at the surroundings of a component, None where nothing can."""
    specification = specification_of(component)
    return None if specification is None else specification(component, lambda text: text).watcher()


def _ports(component: wiring.Component) -> list[Port]:
    """All but the clock."""
    return [port for port in Design("dut", emit(component, name="dut").text).ports
            if port.name != "clk"]


def _apart(text: str, name: str) -> str:
    """Verilog in which all modules but ``name`` have names of their own."""
    for inner in set(re.findall(r"^module (\w+)", text, re.M)) - {name}:
        text = re.sub(rf"\b{inner}\b", f"{name}_{inner}", text)
    return text


def _declared(ports: Sequence[Port], kind: str, prefix: str = "") -> str:
    return "".join(f"  {kind} [{port.width - 1}:0] {prefix}{port.name};\n" for port in ports)


def _instance(module: str, ports: Sequence[Port], outputs: str, **more: str) -> str:
    """With outputs on wires whose names begin so, and further pins."""
    pins = {"clk": "clk", **{port.name: port.name if port.direction == "input" else
                             outputs + port.name for port in ports}, **more}
    return (f"  {module} u_{module} ("
            + ", ".join(f".{pin}({wire})" for pin, wire in pins.items()) + ");\n")


def _watcher_instance(module: str, ports: Sequence[Port], outputs: str, **more: str) -> str:
    return _instance(module, [port for port in ports if port.name != "rst"], outputs,
                     dut_rst="rst", **more)


def _both(ports: Sequence[Port]) -> str:
    """The module ``harness``: from the first reset on, outputs are never different while the
    surroundings are as assumed."""
    given = [port for port in ports if port.direction == "input" and port.name != "rst"]
    outputs = [port for port in ports if port.direction == "output"]
    gold, gate = (", ".join(f"{name}_{port.name}" for port in outputs) for name in ("gold", "gate"))
    return ("module harness (input clk, input [5:0] reset_again,\n"
            + "".join(f"  input [{port.width - 1}:0] {port.name},\n" for port in given)
            + "  output bad);\n  reg started = 1'b0;\n  wire keeps;\n"
            + "  wire rst = ~started | &reset_again;\n  always @(posedge clk) started <= 1'b1;\n"
            + _declared(outputs, "wire", "gold_") + _declared(outputs, "wire", "gate_")
            + _instance("gold", ports, "gold_") + _instance("gate", ports, "gate_")
            + _watcher_instance("watcher", ports, "gold_", keeps="keeps")
            + f"  assign bad = started & keeps & {{{gold}}} != {{{gate}}};\nendmodule\n")


def _inverting(module: str, ports: Sequence[Port]) -> str:
    """A module around what was it, whose outputs turn once its surroundings were not as assumed."""
    outputs = [port for port in ports if port.direction == "output"]
    return (f"\nmodule {module} (input clk"
            + "".join(f", {port.direction} [{port.width - 1}:0] {port.name}" for port in ports)
            + ");\n  wire kept;\n" + _declared(outputs, "wire", "inside_")
            + ("" if any(port.name == "rst" for port in ports) else "  wire rst = 1'b0;\n")
            + _instance(f"{module}_inside", ports, "inside_")
            + _watcher_instance(f"{module}_watcher", ports, "inside_", kept="kept")
            + "".join(f"  assign {port.name} = inside_{port.name} ^ {{{port.width}{{~kept}}}};\n"
                      for port in outputs) + "endmodule\n")
