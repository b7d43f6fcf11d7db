"""What goes wrong between a core and a device, beside a request that is wrong or a missing tool."""


class ConstraintError(RuntimeError):
    """The core does not fit the device, or misses its clock; the message says by how much."""
