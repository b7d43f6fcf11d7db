"""How long the systolic core takes, to the cycle."""

from systolith.hdl.systolic.config import SystolicConfig
from systolith.sim.model import Workload


def cycles(config: SystolicConfig, workload: Workload) -> int:
    """Cycles from the first accepted input beat to the last accepted output beat of a checked
    workload, both included, with nothing stalling."""
    raise NotImplementedError("the cycle model belongs to the pipeline of the RTL")
