"""A piece of Verilog and its ports: what synthesis works on."""

import re
from dataclasses import dataclass
from typing import Literal

from amaranth.lib import wiring

from systolith.generators.core import GeneratedCore
from systolith.generators.verilog import emit

_PORT = re.compile(r"^  (input|output) +(?:wire|reg) +(?:signed +)?(?:\[(\d+):0\] +)?(\w+),?$",
                   re.MULTILINE)


@dataclass(frozen=True)
class Port:
    """A port of the top module."""

    name: str
    direction: Literal["input", "output"]
    width: int


@dataclass(frozen=True)
class Design:
    """Verilog that the emitter wrote.

    Attributes
    ----------
    name : str
        Of the top module.
    verilog : str
    technology : str
        Whose cells it instantiates; ``"generic"`` where none.
    """

    name: str
    verilog: str
    technology: str = "generic"

    @classmethod
    def of(cls, source: "GeneratedCore | wiring.Component") -> "Design":
        """The design of a core, or of any component of the library."""
        if isinstance(source, GeneratedCore):
            return cls(source.name, source.verilog, source.manifest["technology"])
        name = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", type(source).__name__).lower()
        return cls(name, emit(source, name=name).text,
                   getattr(source, "technology", "generic"))

    @property
    def ports(self) -> list[Port]:
        """The ports of the top module, in order."""
        start = re.search(rf"^module {self.name} \($", self.verilog, re.M)
        if start is None:
            raise ValueError(f"the text holds no module {self.name}")
        header = self.verilog[start.end():self.verilog.index(");", start.end())]
        return [Port(name, "input" if direction == "input" else "output", int(high or 0) + 1)
                for direction, high, name in _PORT.findall(header)]
