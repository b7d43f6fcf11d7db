"""Stands in for parts of other branches; delete this file, and its import, when they are in."""

import sys
from importlib import import_module
from types import ModuleType


class ToolError(RuntimeError):
    def __init__(self, tool, reason, *, output="", install=""):
        self.tool, self.install, self.tail = tool, install, output
        super().__init__("\n".join(filter(None, [f"{tool}: {reason}", output, install])))


class SimulationError(RuntimeError):
    pass


def _stand_in(name, **contents):
    try:
        import_module(name)
    except ModuleNotFoundError:
        module = ModuleType(name)
        vars(module).update(contents)
        sys.modules[name] = module
        parent, _, child = name.rpartition(".")
        setattr(import_module(parent), child, module)


_stand_in("systolith.hdl.systolic.core", SystolicCore=None, latency=lambda config: {})
_stand_in("systolith.generators.templates.dot")
if not hasattr(sys.modules["systolith.generators.templates.dot"], "TEMPLATE"):
    from systolith.generators.templates import systolic

    sys.modules["systolith.generators.templates.dot"].TEMPLATE = systolic.TEMPLATE
_stand_in("systolith.sim.simulators.errors", ToolError=ToolError, SimulationError=SimulationError)
_stand_in("systolith.sim.simulators.cache")
_stand_in("systolith.sim.simulators.verilator")
_stand_in("systolith.sim.simulators.regression")
