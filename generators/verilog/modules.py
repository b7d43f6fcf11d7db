"""What a printed module is, its ports, and how another one instantiates it."""

import inspect
import re
from dataclasses import dataclass

from amaranth.hdl import Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In

from systolith.hdl.structure.linear_array import LinearArray


class Target:
    """What components see as their platform while they are emitted."""

    emits_repetition = True


@dataclass(frozen=True)
class Port:
    """A port of a module, but clk and rst."""

    name: str
    width: int
    is_input: bool


@dataclass
class Module:
    """A module as it is printed; ``needs`` are those of clk and rst that it has."""

    name: str
    doc: str
    text: str
    ports: list[Port]
    children: "list[tuple[Module, int]]"
    needs: frozenset[str]                    # of clk, rst
    cells: frozenset[str]                    # instantiated, from elsewhere
    component: wiring.Component              # that it was made from first


def module_name(component: wiring.Component) -> str:
    """What the module of a component is called, without the prefix of the design."""
    if isinstance(component, LinearArray):
        return component.module or f"{component.cell_name}_array"
    if name := getattr(component, "module_name", None):
        return name
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_",
                   type(component).__name__)
    return words.lower()


def doc_lines(component: wiring.Component) -> list[str]:
    """The summary paragraph of the docstring, as plain text."""
    paragraph = (inspect.getdoc(type(component)) or "").partition("\n\n")[0]
    plain = re.sub(r":[a-z]+:`~?\.?([^`]*)`", lambda match: match[1].split(".")[-1], paragraph)
    return [line.replace("``", "") for line in plain.splitlines()]


def port_signals(component: wiring.Component) -> list[tuple[Port, Value]]:
    """The ports of a component, and the signals behind them."""
    ports = []
    for path, member, value in component.signature.flatten(component):
        name = "_".join(str(part) for part in path)
        value = Value.cast(value)
        if len(value):
            ports.append((Port(name, len(value), member.flow == In), value))
    return ports


def port_list(needs: frozenset[str], ports: list[Port], registers: set[str] = frozenset()) -> str:
    """The head of a module; outputs among ``registers`` are declared as such."""
    lines = [f"  input  wire {name}" for name in ("clk", "rst") if name in needs]
    for port in ports:
        direction = "input " if port.is_input else "output"
        kind = "reg " if port.name in registers else "wire"
        size = f"[{port.width - 1}:0] " if port.width > 1 else ""
        lines.append(f"  {direction} {kind} {size}{port.name}")
    return "(\n" + ",\n".join(lines) + "\n);\n"


def instance_text(module: Module, label: str, connections: dict[str, str],
                  indent: str = "  ") -> str:
    """An instance of a module."""
    lines = [f"{indent}  .{name}({name})" for name in ("clk", "rst") if name in module.needs]
    lines += [f"{indent}  .{port.name}({connections[port.name]})" for port in module.ports]
    return f"{indent}{module.name} u_{label} (\n" + ",\n".join(lines) + f"\n{indent});\n"
