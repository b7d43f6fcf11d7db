"""A design as Verilog: each distinct module once, parents before their children."""

import re
from collections import Counter
from dataclasses import dataclass

from amaranth.hdl import Fragment
from amaranth.lib import wiring

from systolith.generators.verilog.modules import Module, Target, module_name
from systolith.generators.verilog.printer import ModulePrinter
from systolith.generators.verilog.repetition import RepetitionPrinter
from systolith.hdl.structure.linear_array import LinearArray


@dataclass(frozen=True)
class EmittedModule:
    """One module of the text.

    Attributes
    ----------
    name : str
    instances : int
        How often it occurs in the whole design; 1 for the top.
    doc : str
        What it is, one sentence.
    component : wiring.Component
        What it was made from, or the first of several whose text is the same.
    """

    name: str
    instances: int
    doc: str
    component: wiring.Component


@dataclass(frozen=True)
class Emitted:
    """Verilog of a design.

    Attributes
    ----------
    text : str
    modules : tuple of EmittedModule
        What it consists of, top first.
    cells : tuple of str
        Modules that it instantiates and does not contain, in alphabetical order.
    """

    text: str
    modules: tuple[EmittedModule, ...]
    cells: tuple[str, ...]


def emit(component: wiring.Component, *, name: str, header: str = "",
         hardening: str = "none") -> Emitted:
    """Print ``component`` and everything in it as Verilog-2005.

    Parameters
    ----------
    component : wiring.Component
        The top; its members become the ports, nested names joined by ``_``.
    name : str
        Name of the top module and prefix of all others.
    header : str
        Lines for the comment at the top of the text.
    hardening : str
        Against upsets of single bits, as in :mod:`systolith.generators.verilog.hardening`.

    Raises
    ------
    EmitError
        If the design holds something that the emitter does not print.
    """
    library = Library(name, hardening)
    top = library.add(component, name)
    counts: Counter[str] = Counter()
    library.count(top, 1, counts)
    modules = [library.modules[key] for key in _top_down(top)]
    comment = "".join(f"// {line}".rstrip() + "\n" for line in header.splitlines())
    text = "\n".join([comment + "`default_nettype none\n",
                      *(module.text for module in modules),
                      "`default_nettype wire\n"])
    cells = {cell for module in modules for cell in module.cells}
    return Emitted(text, tuple(EmittedModule(module.name, counts[module.name], module.doc,
                                             module.component)
                               for module in modules), tuple(sorted(cells)))


def _top_down(top: Module) -> list[str]:
    """Names of all modules, a parent before its children."""
    order: list[str] = []

    def visit(module: Module):
        if module.name in order:
            order.remove(module.name)
        order.append(module.name)
        for child, _ in module.children:
            visit(child)

    visit(top)
    return order


class Library:
    """All modules of one design; equal bodies are stored once."""

    def __init__(self, prefix: str, hardening: str = "none"):
        self.prefix, self.hardening = prefix, hardening
        self.modules: dict[str, Module] = {}
        self._by_body: dict[tuple, Module] = {}

    def add(self, component: wiring.Component, name: str | None = None) -> Module:
        """Print a component and everything in it, or find them printed."""
        if isinstance(component, LinearArray):
            printer = RepetitionPrinter(self, component)
        else:
            printer = ModulePrinter(self, component, Fragment.get(component, Target()))
        return self._store(printer, component, name)

    def add_fragment(self, component: wiring.Component, fragment: Fragment) -> Module:
        """Like :meth:`add`, for a component that has been elaborated as part of its parent."""
        if isinstance(component, LinearArray):
            return self.add(component)
        printer = ModulePrinter(self, component, fragment)
        return self._store(printer, component)

    def count(self, module: Module, times: int, counts: Counter):
        """Add how often a module and everything in it occurs, if it does so many times."""
        counts[module.name] += times
        for child, each in module.children:
            self.count(child, times * each, counts)

    def _store(self, printer, component: wiring.Component, name: str | None = None) -> Module:
        name = name or f"{self.prefix}_{module_name(component)}"
        key = (re.sub(r"_\d+$", "", name), printer.body)
        if key in self._by_body:
            return self._by_body[key]
        unique, index = name, 2
        while unique in self.modules:
            unique, index = f"{name}_{index}", index + 1
        comment = "".join(f"// {line}\n" for line in printer.doc_lines)
        module = Module(unique, printer.doc_lines[0] if printer.doc_lines else "",
                        f"{comment}module {unique} {printer.body}endmodule\n",
                        printer.ports, printer.children, printer.needs, printer.cells,
                        component)
        self.modules[unique] = module
        self._by_body[key] = module
        return module
