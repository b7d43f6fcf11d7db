"""What goes wrong between a core and a device, beside a request that is wrong or a missing tool."""

from systolith.sim.simulators.errors import ToolError


class ConstraintError(RuntimeError):
    """The core does not fit the device, or misses its clock; the message says by how much."""


class SlowError(ConstraintError):
    """The core misses its clock; ``fmax_mhz`` is what it reached."""

    def __init__(self, message: str, fmax_mhz: float):
        super().__init__(message)
        self.fmax_mhz = fmax_mhz


class UnfinishedError(ConstraintError):
    """Place and route did not end in the time that it had."""


class CrashError(ToolError):
    """Place and route crashes, whatever the seed."""
