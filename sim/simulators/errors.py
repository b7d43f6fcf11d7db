"""What goes wrong with tools and with the cores they simulate; neither is the caller's mistake."""

TAIL = 20


class ToolError(RuntimeError):
    """An external tool is missing or failed.

    Attributes
    ----------
    tool : str
        Name of the program.
    tail : str
        Its last lines of output, empty if it is missing.
    install : str
        How to get it.
    """

    def __init__(self, tool: str, reason: str, *, output: str = "", install: str = ""):
        self.tool, self.install = tool, install
        self.tail = "\n".join(output.strip().splitlines()[-TAIL:])
        parts = [f"{tool}: {reason}"]
        if self.tail:
            parts.append(self.tail)
        if install:
            parts.append(f"to install it: {install}")
        super().__init__("\n".join(parts))


class LateError(ToolError):
    """An external tool takes longer than it may."""


class SimulationError(RuntimeError):
    """A core does not behave as its manifest says: it hangs, or gives beats nobody expects."""


class HangError(SimulationError):
    """A core does not go on, or does not answer on its register bus."""
