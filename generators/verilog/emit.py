"""Components to modules: ports, signals, always blocks, instances, repetition."""

import inspect
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace

from amaranth.hdl import ClockSignal, Const, Fragment, Instance, Signal, Value
from amaranth.hdl._ast import Assign, Concat, Operator, Part, Slice, Switch
from amaranth.hdl._mem import MemoryInstance
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In

from systolith.generators.keywords import KEYWORDS
from systolith.generators.verilog.expressions import EmitError, Expressions, wrapped
from systolith.generators.verilog.folding import Constants, folded, folded_value
from systolith.generators.verilog.hardening import CascadeError, harden
from systolith.generators.verilog.statements import (
    covered_once,
    decided,
    effective,
    groups,
    is_plain,
    joined_plain,
    only,
    overwritten,
    read_for,
    reads,
)
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
    component : str
        Name of the class that it was made from.
    """

    name: str
    instances: int
    doc: str
    component: str


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
    library = _Library(name, hardening)
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


class _Target:
    """What components see as their platform while they are emitted."""

    emits_repetition = True


@dataclass
class _Module:
    name: str
    doc: str
    text: str
    ports: "list[_Port]"
    children: "list[tuple[_Module, int]]"
    needs: frozenset[str]                    # of clk, rst
    cells: frozenset[str]                    # instantiated, from elsewhere
    component: str                           # class it was made from


@dataclass(frozen=True)
class _Port:
    name: str
    width: int
    is_input: bool


def _top_down(top: _Module) -> list[str]:
    """Names of all modules, a parent before its children."""
    order: list[str] = []

    def visit(module: _Module):
        if module.name in order:
            order.remove(module.name)
        order.append(module.name)
        for child, _ in module.children:
            visit(child)

    visit(top)
    return order


class _Library:
    """All modules of one design; equal bodies are stored once."""

    def __init__(self, prefix: str, hardening: str = "none"):
        self.prefix, self.hardening = prefix, hardening
        self.modules: dict[str, _Module] = {}
        self._by_body: dict[tuple, _Module] = {}

    def add(self, component: wiring.Component, name: str | None = None) -> _Module:
        if isinstance(component, LinearArray):
            printer = _RepetitionPrinter(self, component)
        else:
            printer = _ModulePrinter(self, component, Fragment.get(component, _Target()))
        return self._store(printer, component, name)

    def add_fragment(self, component: wiring.Component, fragment: Fragment) -> _Module:
        """Like :meth:`add`, for a component that has been elaborated as part of its parent."""
        if isinstance(component, LinearArray):
            return self.add(component)
        printer = _ModulePrinter(self, component, fragment)
        return self._store(printer, component)

    def count(self, module: _Module, times: int, counts: Counter):
        counts[module.name] += times
        for child, each in module.children:
            self.count(child, times * each, counts)

    def _store(self, printer, component: wiring.Component, name: str | None = None) -> _Module:
        name = name or f"{self.prefix}_{module_name(component)}"
        key = (re.sub(r"_\d+$", "", name), printer.body)
        if key in self._by_body:
            return self._by_body[key]
        unique, index = name, 2
        while unique in self.modules:
            unique, index = f"{name}_{index}", index + 1
        comment = "".join(f"// {line}\n" for line in printer.doc_lines)
        module = _Module(unique, printer.doc_lines[0] if printer.doc_lines else "",
                         f"{comment}module {unique} {printer.body}endmodule\n",
                         printer.ports, printer.children, printer.needs, printer.cells,
                         type(component).__name__)
        self.modules[unique] = module
        self._by_body[key] = module
        return module


def module_name(component: wiring.Component) -> str:
    """What the module of a component is called, without the prefix of the design."""
    if isinstance(component, LinearArray):
        return component.module or f"{component.cell_name}_array"
    if name := getattr(component, "module_name", None):
        return name
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_",
                   type(component).__name__)
    return words.lower()


def _doc_lines(component: wiring.Component) -> list[str]:
    """The summary paragraph of the docstring, as plain text."""
    paragraph = (inspect.getdoc(type(component)) or "").partition("\n\n")[0]
    plain = re.sub(r":[a-z]+:`~?\.?([^`]*)`", lambda match: match[1].split(".")[-1], paragraph)
    return [line.replace("``", "") for line in plain.splitlines()]


def _port_signals(component: wiring.Component) -> list[tuple[_Port, Value]]:
    ports = []
    for path, member, value in component.signature.flatten(component):
        name = "_".join(str(part) for part in path)
        value = Value.cast(value)
        if len(value):
            ports.append((_Port(name, len(value), member.flow == In), value))
    return ports


def _port_list(needs: frozenset[str], ports: list[_Port], registers: set[str] = frozenset()) -> str:
    lines = [f"  input  wire {name}" for name in ("clk", "rst") if name in needs]
    for port in ports:
        direction = "input " if port.is_input else "output"
        kind = "reg " if port.name in registers else "wire"
        size = f"[{port.width - 1}:0] " if port.width > 1 else ""
        lines.append(f"  {direction} {kind} {size}{port.name}")
    return "(\n" + ",\n".join(lines) + "\n);\n"


def _instance(module: _Module, label: str, connections: dict[str, str], indent: str = "  ") -> str:
    lines = [f"{indent}  .{name}({name})" for name in ("clk", "rst") if name in module.needs]
    lines += [f"{indent}  .{port.name}({connections[port.name]})" for port in module.ports]
    return f"{indent}{module.name} u_{label} (\n" + ",\n".join(lines) + f"\n{indent});\n"


class _RepetitionPrinter:
    """A linear array as a generate loop."""

    def __init__(self, library: _Library, array: LinearArray):
        Fragment.get(array, _Target())                   # counts as elaborated
        cell = library.add(array.prototype)
        self.children = [(cell, array.count)]
        self.needs = cell.needs
        self.cells = frozenset()
        self.ports = [port for port, _ in _port_signals(array)]
        arrangement = f"{array.count} of {cell.name} in a line"
        if array.chain:
            arrangement += ", the last first" if array.from_last else ", the first first"
        self.doc_lines = [f"{arrangement}."]
        self.body = _port_list(self.needs, self.ports) + self._loop(array, cell)

    @staticmethod
    def _loop(array: LinearArray, cell: _Module) -> str:
        count, lines, connections = array.count, [], {}
        label = array.cell_name
        counter = "i"
        while counter in array.signature.members:        # a port may have that name
            counter += "_"

        def lane(name: str, width: int, index: str) -> str:
            if count == 1 and name in array.lanes:
                return name
            if width == 1:
                return f"{name}[{index}]"
            return f"{name}[{f'({index})' if ' ' in index else index}*{width} +: {width}]"

        for port in cell.ports:
            if port.name in array.broadcast:
                connections[port.name] = port.name
            elif port.name in array.lanes:
                connections[port.name] = lane(port.name, port.width, counter)
        for first, then in array.chain.items():
            width = array.widths[first]
            if not width:
                continue
            links = f"{first}_links"
            lines.append(f"  wire [{(count + 1) * width - 1}:0] {links};\n")
            start, end = (count, 0) if array.from_last else (0, count)
            here, next_ = counter, f"{counter} + 1"
            into, out = (next_, here) if array.from_last else (here, next_)

            def bits(index: int, width=width, links=links) -> str:
                low, high = index * width, (index + 1) * width - 1
                return f"{links}[{low}]" if width == 1 else f"{links}[{high}:{low}]"

            lines.append(f"  assign {bits(start)} = {first};\n  assign {then} = {bits(end)};\n")
            connections[first] = lane(links, width, into)
            connections[then] = lane(links, width, out)
        loop = f"{counter} = 0; {counter} < {count}; {counter} = {counter} + 1"
        lines.append(f"  genvar {counter};\n  generate\n    for ({loop}) begin : gen_{label}\n")
        lines.append(_instance(cell, label, connections, indent="      "))
        lines.append("    end\n  endgenerate\n")
        return "".join(lines)


class _ModulePrinter:
    """One elaborated component as the text of a module."""

    def __init__(self, library: _Library, component: wiring.Component, fragment: Fragment):
        self._library = library
        self._component = type(component).__name__
        try:
            fragment = harden(fragment, library.hardening)
        except CascadeError as error:
            raise EmitError(f"{self._component} cannot be hardened: {error}") from None
        self.doc_lines = _doc_lines(component)
        self._names: dict[int, str] = {}                 # id of signal -> name
        self._signals: dict[int, Signal] = {}            # keeps the ids alive
        self._wanted: dict[int, str] = {}                # names of signals, if they are free
        self._taken = {"clk", "rst", "unused"}
        self._widths: dict[str, int] = {}                # of wires that stand for expressions
        self._declared: list[str] = []
        self._body: list[str] = []
        self._uses: set[str] = set()
        self._expressions = Expressions(self._name, self._define)

        extra = set(fragment.statements) - {"comb", "sync"}
        if extra:
            raise EmitError(f"{type(component).__name__} uses the clock domain {min(extra)}; "
                            f"a core has one domain, sync")
        self._comb = list(decided(fragment.statements.get("comb", ())))
        self._sync = list(decided(fragment.statements.get("sync", ())))

        port_values = _port_signals(component)
        self.ports = [port for port, _ in port_values]
        for port, value in port_values:
            if port.name in KEYWORDS:
                raise EmitError(f"{type(component).__name__} has a port called {port.name}, "
                                f"a Verilog keyword")
            self._register(value, port.name)
        self._inputs = [value for port, value in port_values if port.is_input]
        self._outputs = [value for port, value in port_values if not port.is_input]

        self._memory_registers: set[int] = set()
        self._instances, self._memories, self._foreign = self._sort_children(fragment)
        self.children = [(module, 1) for _, module, _ in self._instances]
        self.cells = frozenset(instance.type for instance, _ in self._foreign)
        self._fold()
        self._eliminate_dead()
        self._direct = self._direct_connections()
        self._name_after_outputs()

        registers = self._print_statements()
        self._print_memories()
        self._print_instances()
        self.needs = frozenset(self._uses | {need for _, module, _ in self._instances
                                             for need in module.needs})
        self._print_unused()
        self._declare(registers)
        output_registers = {self._names[id(value)] for value in self._outputs
                            if id(value) in registers}
        self.body = (_port_list(self.needs, self.ports, output_registers)
                     + _spaced(self._declared + self._body))

    # Names

    def _register(self, signal: Value, name: str):
        if not isinstance(signal, Signal):
            raise EmitError(f"the port {name} is {signal!r}, not a signal")
        self._names[id(signal)] = self._unique(name)
        self._signals[id(signal)] = signal

    def _unique(self, wanted: str) -> str:
        base = re.sub(r"\W+", "_", wanted.replace("__", "_")).strip("_") or "value"
        if base in KEYWORDS or base[0].isdigit():
            base += "_"
        name, index = base, 2
        while name in self._taken:
            name, index = f"{base}_{index}", index + 1
        self._taken.add(name)
        return name

    def _name(self, signal: Signal) -> str:
        if id(signal) not in self._names:
            if signal.name in ("", "$signal"):
                raise EmitError(f"{self._component} has a signal without a name, of shape "
                                f"{signal.shape()!r}; assign it to a variable of its own or pass "
                                f"name=")
            self._register(signal, self._wanted.get(id(signal), signal.name))
        return self._names[id(signal)]

    def _define(self, base: str, width: int, text: str, signed: bool = False) -> str:
        name = self._unique(base)
        self._widths[name] = width
        self._body.append(f"  wire {'signed ' if signed else ''}{_range(width)}{name} = {text};\n")
        return name

    # Structure

    def _sort_children(self, fragment: Fragment):
        instances, memories, foreign = [], [], []
        for index, (child, name, _) in enumerate(fragment.subfragments):
            if isinstance(child, MemoryInstance):
                memories.append((child, self._unique(name or f"memory_{index}")))
                self._name_ports(*memories[-1])
                continue
            if isinstance(child, Instance):
                foreign.append((_Foreign.of(child), self._unique(name or f"{child.type}_{index}")))
                continue
            component = next((origin for origin in child.origins or ()
                              if isinstance(origin, wiring.Component)), None)
            if component is None or isinstance(component, Memory):
                raise EmitError(f"submodule {name or index} is not a component with ports")
            label = self._unique(name or module_name(component))
            module = self._library.add_fragment(component, child)
            ports = _port_signals(component)
            for port, value in ports:
                self._register(value, f"{label}_{port.name}")
            instances.append((label, module, ports))
        return instances, memories, foreign

    def _name_ports(self, memory: MemoryInstance, name: str):
        """Signals of ports that nobody named get the name of the memory."""
        for kind, ports in (("write", memory._write_ports), ("read", memory._read_ports)):
            for port in ports:
                for part in ("addr", "data", "en"):
                    value = getattr(port, f"_{part}")
                    if isinstance(value, Signal) and value.name.startswith("$"):
                        self._wanted[id(value)] = f"{name}_{kind}_{part}"

    def _fold(self):
        """Put constants in their place, signals among them that nothing drives."""
        driven = [*self._inputs]
        for _, _, ports in self._instances:
            driven += [value for port, value in ports if not port.is_input]
        for memory, _ in self._memories:
            driven += [s for port in memory._read_ports for s in port._data._lhs_signals()]
        for instance, _ in self._foreign:
            driven += [s for value, kind in instance.ports.values() if kind == "o"
                       for s in value._lhs_signals()]
        self._constants: Constants = {}
        values = [*self._memory_inputs(), *self._foreign_inputs()]
        self._comb, self._sync, self._constants = folded(self._comb, self._sync, driven, values)
        for index, (instance, label) in enumerate(self._foreign):
            ports = {name: (self._folded(value) if kind == "i" else value, kind)
                     for name, (value, kind) in instance.ports.items()}
            self._foreign[index] = replace(instance, ports=ports), label

    def _folded(self, value: Value) -> Value:
        return folded_value(value, self._constants)

    def _foreign_inputs(self):
        for instance, _ in self._foreign:
            yield from (value for value, kind in instance.ports.values() if kind == "i")

    def _eliminate_dead(self):
        """Keep only statements whose results reach an output, an instance or a memory."""
        statements = [("comb", s) for s in self._comb] + [("sync", s) for s in self._sync]
        drivers: dict[int, list] = {}
        for _, statement in statements:
            for signal in statement._lhs_signals():
                drivers.setdefault(id(signal), []).append(statement)
                self._signals[id(signal)] = signal
        pending = [*self._outputs]
        for _, _, ports in self._instances:
            pending += [value for port, value in ports if port.is_input]
        for value in (*self._memory_inputs(), *self._foreign_inputs()):
            pending += list(value._rhs_signals())
        self._live: dict[int, Signal] = {}
        while pending:
            signal = pending.pop()
            if id(signal) in self._live:
                continue
            self._live[id(signal)] = signal
            for statement in drivers.get(id(signal), ()):
                pending += read_for(statement, signal)
        self._comb = [s for s in (only(s, self._live) for s in self._comb) if s is not None]
        self._sync = [s for s in (only(s, self._live) for s in self._sync) if s is not None]
        self._read = Counter()
        for statement in self._comb + self._sync:
            self._read.update(id(s) for s in reads(statement))
        for value in (*self._memory_inputs(), *self._foreign_inputs()):
            self._read.update(id(s) for s in value._rhs_signals())

    def _memory_inputs(self):
        for memory, _ in self._memories:
            for port in memory._write_ports:
                yield from map(self._folded, (port._addr, port._data, port._en))
            for port in memory._read_ports:
                yield from map(self._folded, (port._addr, port._en))

    def _direct_connections(self) -> dict[int, Value]:
        """Inputs of instances that are nothing but another value, connected without a wire."""
        inputs = {id(value): value for _, _, ports in self._instances
                  for port, value in ports if port.is_input}
        assigned = Counter(id(s) for statement in self._comb for s in statement._lhs_signals())
        direct, kept = {}, []
        for statement in self._comb:
            target = statement.lhs if isinstance(statement, Assign) else None
            if (isinstance(target, Signal) and id(target) in inputs and assigned[id(target)] == 1
                    and not self._read[id(target)] and len(statement.rhs) == len(target)
                    and is_plain(statement.rhs)):
                direct[id(target)] = statement.rhs
            else:
                kept.append(statement)
        self._comb = kept
        return direct

    def _name_after_outputs(self):
        """Let a signal that only leaves through an output be that output."""
        assigned = Counter(id(s) for statement in self._comb for s in statement._lhs_signals())
        fixed = {id(value) for value in (*self._inputs, *self._outputs)}
        outputs = {id(value): index for index, value in enumerate(self._outputs)}
        kept = []
        for statement in self._comb:
            target = statement.lhs if isinstance(statement, Assign) else None
            source = statement.rhs if isinstance(statement, Assign) else None
            while isinstance(source, Operator) and source.operator in ("s", "u"):
                source, = source.operands
            if (isinstance(target, Signal) and id(target) in outputs
                    and assigned[id(target)] == 1 and not self._read[id(target)]
                    and isinstance(source, Signal) and len(source) == len(target)
                    and id(source) not in fixed):
                fixed.add(id(source))
                self._names[id(source)] = self._names[id(target)]
                self._signals[id(source)] = source
                self._outputs[outputs[id(target)]] = source
            else:
                kept.append(statement)
        self._comb = kept

    # Text

    def _print_statements(self) -> set[int]:
        registers: set[int] = set()
        for group in joined_plain(groups(self._sync)):
            signals = {id(s): s for statement in group for s in statement._lhs_signals()}
            registers |= set(signals)
            for resettable in (True, False):
                chosen = {key: s for key, s in signals.items() if s.reset_less != resettable}
                statements = [s for s in (only(s, chosen) for s in group) if s is not None]
                if statements:
                    self._print_always_clk(statements, list(chosen.values()) if resettable else [])
        for group in groups(self._comb):
            signals = {id(s): s for statement in group for s in statement._lhs_signals()}
            if all(isinstance(s, Assign) for s in group) and covered_once(group, signals):
                for statement in group:
                    if not len(statement.lhs):
                        continue
                    self._expressions.base = self._base(statement)
                    target = self._target(statement.lhs)
                    width = len(statement.lhs)
                    value = self._expressions.whole(statement.rhs, width)
                    self._body.append(f"  assign {target} = {value};\n")
                continue
            registers |= set(signals)
            read = {id(s) for statement in group for s in reads(statement)}
            parts = [signals] if not read & set(signals) else [{k: s} for k, s in signals.items()]
            for part in parts:
                statements = [s for s in (only(s, part) for s in group) if s is not None]
                self._print_always_comb(statements, list(part.values()))
        return registers

    def _append(self, block: str):
        """Add a block of several lines, set off by an empty line."""
        self._body.append("\n" + block)

    def _base(self, statement: Assign) -> str:
        return next((self._name(s) for s in statement._lhs_signals()), "value")

    def _print_always_clk(self, statements: list, reset: list[Signal]):
        self._uses.add("clk")
        # Yosys merges equal flip-flops unless the block that makes them says not to.
        kept = any("keep" in s.attrs for x in statements for s in x._lhs_signals())
        always = f"{_attributes({'keep': True}) if kept else ''}always @(posedge clk)"
        if not reset:
            for signal in {id(s): s for x in statements for s in x._lhs_signals()}.values():
                if signal.init:
                    raise EmitError(f"{self._component}: the register {self._name(signal)} has no "
                                    f"reset, so it cannot start at {signal.init}")
            lines = self._block(statements, "<=", 2)
            self._append(f"  {always}" + _begin(lines, "  "))
            return
        self._uses.add("rst")
        resets = [f"      {self._name(s)} <= {self._initial(s)};\n" for s in reset if len(s)]
        if len(statements) == 1 and isinstance(statements[0], Switch):
            lines = self._block(statements, "<=", 2)
            if lines[0].startswith("    if "):
                self._append(f"  {always}\n    if (rst) begin\n" + "".join(resets)
                             + "    end else " + lines[0].lstrip() + "".join(lines[1:]))
                return
        lines = self._block(statements, "<=", 3)
        self._append(f"  {always}\n    if (rst) begin\n" + "".join(resets)
                     + "    end else begin\n" + "".join(lines) + "    end\n")

    def _print_always_comb(self, statements: list, signals: list[Signal]):
        defaults = [f"    {self._name(s)} = {self._initial(s)};\n"
                    for s in signals if not overwritten(s, statements[0])]
        lines = self._block(statements, "=", 2)
        self._append("  always @* begin\n" + "".join(defaults + lines) + "  end\n")

    def _initial(self, signal: Signal) -> str:
        return self._expressions.sized(Const(signal.init, len(signal)), len(signal))

    def _block(self, statements: list, assign: str, depth: int) -> list[str]:
        lines: list[str] = []
        switched: set[int] = set()                       # signals that a switch has assigned
        for statement in effective(statements):
            if isinstance(statement, Assign):
                if not len(statement.lhs):
                    continue
                self._expressions.base = self._base(statement)
                value = self._expressions.whole(statement.rhs, len(statement.lhs))
                # Yosys moves a non-blocking assignment in front of the conditions before it.
                late = assign == "<=" and any(id(s) in switched for s in statement._lhs_signals())
                guard = "if (1'b1) " if late else ""
                lines.append(f"{'  ' * depth}{guard}{self._target(statement.lhs)} {assign} "
                             f"{value};\n")
            elif isinstance(statement, Switch):
                switched |= {id(s) for s in statement._lhs_signals()}
                lines += self._switch(statement, assign, depth)
            else:
                raise EmitError(f"cannot print {statement!r} as Verilog")
        return lines

    def _switch(self, statement: Switch, assign: str, depth: int) -> list[str]:
        cases = [(patterns, list(body)) for patterns, body, _ in statement.cases]
        conditions = self._if_chain(statement, cases)
        if conditions is None:
            return self._case(statement, cases, assign, depth)
        while cases and not cases[-1][1]:
            cases.pop()
        indent, lines = "  " * depth, []
        for index, (condition, (_, body)) in enumerate(zip(conditions, cases, strict=False)):
            inner = self._block(body, assign, depth + 1)
            start = indent if index == 0 else lines.pop().rstrip("\n") + " else "
            if condition is None:
                lines.append(f"{start}begin\n")
            else:
                lines.append(f"{start}if ({condition}) begin\n")
            lines += [*inner, f"{indent}end\n"]
        return lines

    def _if_chain(self, statement: Switch, cases: list) -> list[str | None] | None:
        """Conditions of an if / else-if chain, or None if the switch is a case statement."""
        test = statement.test
        parts = list(test.parts) if isinstance(test, Concat) else [test]
        if any(len(part) != 1 for part in parts):
            return None
        self._expressions.base = "test"
        conditions: list[str | None] = []
        for patterns, _ in cases:
            if patterns is None:
                conditions.append(None)
                continue
            if len(patterns) != 1 or len(patterns[0].replace("-", "")) != 1:
                return None
            position = len(patterns[0]) - 1 - max(patterns[0].find("0"), patterns[0].find("1"))
            text = self._expressions.condition(parts[position])
            if "0" in patterns[0]:
                text = f"!({text})" if " " in text else f"!{text}"
            conditions.append(text)
        return conditions

    def _case(self, statement: Switch, cases: list, assign: str, depth: int) -> list[str]:
        indent = "  " * depth
        self._expressions.base = "test"
        test = self._expressions.whole(statement.test, len(statement.test))
        width = len(statement.test)
        wild = any("-" in pattern for patterns, _ in cases for pattern in patterns or ())
        lines = [f"{indent}{'casez' if wild else 'case'} ({test})\n"]
        cases = [case for case in cases if case[0] != ()]
        whole = {pattern for patterns, _ in cases for pattern in patterns or ()}
        if not wild and cases[-1][0] is not None and len(whole) == 1 << width:
            cases[-1] = None, cases[-1][1]               # the last one is what is left
        seen_default = False
        for patterns, body in cases:
            inner = self._block(body, assign, depth + 2)
            if patterns is None:
                label, seen_default = "default", True
            else:
                label = ", ".join(_pattern(pattern, width) for pattern in patterns)
            if inner:
                lines.append(f"{indent}  {label}: begin\n")
                lines += [*inner, f"{indent}  end\n"]
            elif patterns is not None:
                lines.append(f"{indent}  {label}: ;\n")
            if patterns is None:
                if not inner:
                    lines.append(f"{indent}  default: ;\n")
                break
        if not seen_default:
            lines.append(f"{indent}  default: ;\n")
        lines.append(f"{indent}endcase\n")
        return lines

    def _target(self, value: Value) -> str:
        match value:
            case Signal():
                return self._name(value)
            case Slice():
                inner, start, stop = value.value, value.start, value.stop
                while isinstance(inner, (Slice, Operator)):
                    if isinstance(inner, Operator):
                        inner = inner.operands[0]
                    else:
                        start, stop = start + inner.start, stop + inner.start
                        inner = inner.value
                if isinstance(inner, Signal):
                    name = self._name(inner)
                    if stop - start == len(inner):
                        return name
                    bits = f"{start}" if stop - start == 1 else f"{stop - 1}:{start}"
                    return f"{name}[{bits}]"
            case Concat():
                parts = [self._target(part) for part in reversed(value.parts) if len(part)]
                return parts[0] if len(parts) == 1 else f"{{{', '.join(parts)}}}"
            case Operator() if value.operator in ("s", "u"):
                return self._target(value.operands[0])
            case Part() if isinstance(value.value, Signal):
                start = self._expressions.start(value)
                return f"{self._name(value.value)}[{start} +: {value.width}]"
        raise EmitError(f"cannot assign to {value!r} in Verilog")

    def _print_memories(self):
        for memory, name in self._memories:
            data = memory._data
            width = len(Const(0, data.shape)) if isinstance(data.shape, int) else None
            width = len(Value.cast(memory._read_ports[0]._data)) if memory._read_ports else width
            attributes = _attributes(memory._attrs)
            self._declared.append(f"  {attributes}reg {_range(width)}{name} "
                                  f"[0:{data.depth - 1}];\n")
            if any(data._init._raw):
                self._print_contents(name, width, data)
            for port in memory._write_ports:
                self._print_write(name, width, port)
            for port in memory._read_ports:
                self._print_read(name, port)

    def _print_contents(self, name: str, width: int, data):
        lines = [f"    {name}[{index}] = {width}'h{value & ((1 << width) - 1):x};\n"
                 for index, value in enumerate(data._init._raw)]
        self._body.append("  initial begin\n" + "".join(lines) + "  end\n")

    def _print_write(self, name: str, width: int, port):
        self._uses.add("clk")
        self._expressions.base = f"{name}_write"
        address = self._expressions.whole(self._folded(port._addr), len(port._addr))
        data = self._expressions.whole(self._folded(port._data), width)
        granule = port._granularity
        lines = []
        for index in range(len(port._en)):
            enable = self._expressions.condition(self._folded(port._en[index]))
            bits = "" if granule == width else f"[{(index + 1) * granule - 1}:{index * granule}]"
            source = data if granule == width else self._expressions.whole(
                self._folded(port._data[index * granule:(index + 1) * granule]), granule)
            lines.append(f"    if ({enable})\n      {name}[{address}]{bits} <= {source};\n")
        text = "".join(lines)
        self._append("  always @(posedge clk)\n" + text if len(lines) == 1 else
                     "  always @(posedge clk) begin\n" + text + "  end\n")

    def _print_read(self, name: str, port):
        if port._transparent_for:
            raise EmitError(f"memory {name} has a transparent read port, which FPGAs build from "
                            f"fabric; forward the data explicitly")
        self._expressions.base = f"{name}_read"
        address = self._expressions.whole(self._folded(port._addr), len(port._addr))
        target = self._target(port._data)
        if port._domain == "comb":
            self._body.append(f"  assign {target} = {name}[{address}];\n")
            return
        self._uses.add("clk")
        self._memory_registers |= {id(s) for s in port._data._lhs_signals()}
        enable = self._expressions.condition(self._folded(port._en))
        guard = "" if enable == "1'b1" else f"if ({enable})\n      "
        self._append(f"  always @(posedge clk)\n    {guard}{target} <= {name}[{address}];\n")

    def _print_instances(self):
        for label, module, ports in self._instances:
            connections = {}
            for port, value in ports:
                if id(value) in self._direct:
                    self._expressions.base = f"{label}_{port.name}"
                    connections[port.name] = self._expressions.whole(self._direct[id(value)],
                                                                     len(value))
                elif port.is_input and not self._is_driven(value):
                    connections[port.name] = self._initial(value)
                    self._expressions.read[self._names[id(value)]] = -1    # never declared
                else:
                    if not port.is_input and not self._is_read(value):
                        self._names[id(value)] = self._unique(f"unused_{label}_{port.name}")
                    name = connections[port.name] = self._names[id(value)]
                    if port.is_input:
                        self._expressions.read[name] = -1
            self._append(_instance(module, label, connections))
        for instance, label in self._foreign:
            self._print_foreign(instance, label)

    def _print_foreign(self, instance: "_Foreign", label: str):
        parameters = [f"    .{name}({_parameter(value)})"
                      for name, value in instance.parameters.items()]
        self._expressions.base = label
        connections = [f".{name}(clk)" for name in instance.clocks]
        if instance.clocks:
            self._uses.add("clk")
        for name, (value, kind) in instance.ports.items():
            text = (self._target(value) if kind == "o"
                    else self._expressions.whole(value, len(value)))
            connections.append(f".{name}({text})")
        head = f"  {instance.type} "
        if parameters:
            head += "#(\n" + ",\n".join(parameters) + "\n  ) "
        self._append(head + f"u_{label} (\n" + _rows(connections) + "\n  );\n")

    def _is_driven(self, value: Signal) -> bool:
        return any(id(value) == id(s) for statement in self._comb + self._sync
                   for s in statement._lhs_signals())

    def _is_read(self, value: Signal) -> bool:
        if self._read[id(value)] or any(value is output for output in self._outputs):
            return True
        return any(id(s) == id(value) for other in self._direct.values()
                   for s in other._rhs_signals())

    def _print_unused(self):
        """Gather what nothing reads, so that a linter knows it is no accident."""
        outputs = {self._names[id(value)] for value in self._outputs}
        widths = {self._names[key]: len(signal) for key, signal in self._signals.items()
                  if key in self._names and key not in self._direct} | self._widths
        unused = []
        for name, width in widths.items():
            if name not in outputs and width:
                unused += _slices(name, width, ~self._expressions.read.get(name, 0))
        if unused:
            items = wrapped(["1'b0", *unused])
            self._append(f"  (* maybe_unused *) wire unused = &{{{items}}};\n")

    def _declare(self, registers: set[int]):
        registers |= self._memory_registers
        port_names = {port.name for port in self.ports}
        connected = {id(value) for _, _, ports in self._instances for _, value in ports}
        lines = []
        for key, name in self._names.items():
            signal = self._signals[key]
            if name in port_names or key in self._direct or not len(signal):
                continue
            if key in connected and not self._is_read(signal) and not self._is_driven(signal) \
                    and not name.startswith("unused_"):
                continue
            kind = "reg " if key in registers else "wire"
            lines.append(f"  {_attributes(signal.attrs)}{kind} {_range(len(signal))}{name};\n")
            if not (key in registers or key in connected or self._is_driven(signal)
                    or self._is_foreign_output(signal)):
                self._body.append(f"  assign {name} = {self._initial(signal)};\n")
        for value in self._outputs:
            if not (self._is_driven(value) or self._is_foreign_output(value)
                    or id(value) in registers or id(value) in connected):
                self._body.append(f"  assign {self._names[id(value)]} = {self._initial(value)};\n")
        self._declared = lines + self._declared

    def _is_foreign_output(self, signal: Signal) -> bool:
        return any(id(s) == id(signal) for instance, _ in self._foreign
                   for value, kind in instance.ports.values() if kind == "o"
                   for s in value._lhs_signals()) or any(
            id(s) == id(signal) for memory, _ in self._memories for port in memory._read_ports
            for s in port._data._lhs_signals())


@dataclass(frozen=True)
class _Foreign:
    """An instance of a module from elsewhere; ``clocks`` are its inputs that take the clock."""

    type: str
    parameters: dict[str, object]
    clocks: tuple[str, ...]
    ports: dict[str, tuple[Value, str]]

    @classmethod
    def of(cls, instance: Instance) -> "_Foreign":
        clocks = tuple(name for name, (value, _) in instance.ports.items()
                       if isinstance(value, ClockSignal))
        ports = {name: port for name, port in instance.ports.items() if name not in clocks}
        return cls(instance.type, instance.parameters, clocks, ports)


def _rows(connections: list[str], width: int = 96) -> str:
    """Port connections, as many to a line as fit: primitives have a port for every bit."""
    rows = [""]
    for connection in connections:
        joined = f"{rows[-1]}, {connection}" if rows[-1] else f"    {connection}"
        if len(joined) < width:
            rows[-1] = joined
        else:
            rows.append(f"    {connection}")
    return ",\n".join(rows)


def _spaced(pieces: list[str]) -> str:
    """Lines and blocks as text, an empty line on either side of a block but not at the start."""
    text, after_block = "", False
    for piece in pieces:
        block = piece.startswith("\n")
        text += "\n" + piece if after_block and not block else piece
        after_block = block
    return text.removeprefix("\n")


def _slices(name: str, width: int, mask: int) -> list[str]:
    """The bits of a name that are in ``mask``, as few slices as there are runs of them."""
    mask &= (1 << width) - 1
    if mask == (1 << width) - 1:
        return [name]
    slices = []
    while mask:
        low = (mask & -mask).bit_length() - 1
        high = low
        while mask >> (high + 1) & 1:
            high += 1
        slices.append(f"{name}[{low}]" if high == low else f"{name}[{high}:{low}]")
        mask &= ~((1 << (high + 1)) - (1 << low))
    return slices


def _attributes(attributes: Mapping[str, object]) -> str:
    return "".join(f"(* {key} *) " if value is True else f'(* {key} = "{value}" *) '
                   for key, value in attributes.items())


def _range(width: int) -> str:
    return f"[{width - 1}:0] " if width > 1 else ""


def _begin(lines: list[str], indent: str) -> str:
    """A statement list as the body of an always block."""
    if len(lines) == 1:
        return "\n" + "".join(lines)
    return " begin\n" + "".join(lines) + f"{indent}end\n"


def _pattern(pattern: str, width: int) -> str:
    if "-" in pattern:
        return f"{width}'b{pattern.replace('-', '?')}"
    return f"{width}'d{int(pattern, 2)}"


def _parameter(value: object) -> str:
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, Const):
        return f"{len(value)}'d{value.value & ((1 << len(value)) - 1)}"
    return str(int(value))
