"""What a component consists of before it is printed: children, names, and the statements left."""

import re
from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from amaranth.hdl import ClockSignal, Fragment, Instance, Signal, Value
from amaranth.hdl._ast import Assign, Operator
from amaranth.hdl._mem import MemoryInstance
from amaranth.lib import wiring
from amaranth.lib.memory import Memory

from systolith.generators.keywords import AVOIDED
from systolith.generators.verilog.expressions import EmitError
from systolith.generators.verilog.folding import Constants, folded, folded_value
from systolith.generators.verilog.hardening import CascadeError, harden
from systolith.generators.verilog.modules import doc_lines, module_name, port_signals
from systolith.generators.verilog.statements import decided, is_plain, only, read_for, reads

if TYPE_CHECKING:
    from systolith.generators.verilog.emit import Library


@dataclass(frozen=True)
class Foreign:
    """An instance of a module from elsewhere; ``clocks`` are its inputs that take the clock."""

    type: str
    parameters: dict[str, object]
    clocks: tuple[str, ...]
    ports: dict[str, tuple[Value, str]]

    @classmethod
    def of(cls, instance: Instance) -> "Foreign":
        """From Amaranth's."""
        clocks = tuple(name for name, (value, _) in instance.ports.items()
                       if isinstance(value, ClockSignal))
        ports = {name: port for name, port in instance.ports.items() if name not in clocks}
        return cls(instance.type, instance.parameters, clocks, ports)


class ModuleStructure:
    """One elaborated component: constants in their place, nothing left that nobody reads.

    Attributes
    ----------
    doc_lines : list of str
        The summary of the docstring.
    ports : list of Port
    children : list of (Module, int)
        Modules inside, and how often.
    cells : frozenset of str
        Modules from elsewhere that are instantiated.
    """

    def __init__(self, library: "Library", component: wiring.Component, fragment: Fragment):
        self._library = library
        self._component = type(component).__name__
        try:
            fragment = harden(fragment, library.hardening)
        except CascadeError as error:
            raise EmitError(f"{self._component} cannot be hardened: {error}") from None
        self.doc_lines = doc_lines(component)
        self._names: dict[int, str] = {}                 # id of signal -> name
        self._signals: dict[int, Signal] = {}            # keeps the ids alive
        self._wanted: dict[int, str] = {}                # names of signals, if they are free
        self._taken = {"clk", "rst", "unused"}
        self._widths: dict[str, int] = {}                # of wires that stand for expressions

        extra = set(fragment.statements) - {"comb", "sync"}
        if extra:
            raise EmitError(f"{type(component).__name__} uses the clock domain {min(extra)}; "
                            f"a core has one domain, sync")
        self._comb = list(decided(fragment.statements.get("comb", ())))
        self._sync = list(decided(fragment.statements.get("sync", ())))

        port_values = port_signals(component)
        self.ports = [port for port, _ in port_values]
        for port, value in port_values:
            if port.name in AVOIDED:
                raise EmitError(f"{type(component).__name__} has a port called {port.name}, "
                                f"a keyword of Verilog or C++")
            self._register(value, port.name)
        self._inputs = [value for port, value in port_values if port.is_input]
        self._outputs = [value for port, value in port_values if not port.is_input]

        self._instances, self._memories, self._foreign = self._sort_children(fragment)
        self.children = [(module, 1) for _, module, _ in self._instances]
        self.cells = frozenset(instance.type for instance, _ in self._foreign)
        self._fold()
        self._eliminate_dead()
        self._direct = self._direct_connections()
        self._name_after_outputs()

    def _register(self, signal: Value, name: str):
        if not isinstance(signal, Signal):
            raise EmitError(f"the port {name} is {signal!r}, not a signal")
        self._names[id(signal)] = self._unique(name)
        self._signals[id(signal)] = signal

    def _unique(self, wanted: str) -> str:
        base = re.sub(r"\W+", "_", wanted.replace("__", "_")).strip("_") or "value"
        if base in AVOIDED or base[0].isdigit():
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

    def _sort_children(self, fragment: Fragment):
        instances, memories, foreign = [], [], []
        for index, (child, name, _) in enumerate(fragment.subfragments):
            if isinstance(child, MemoryInstance):
                memories.append((child, self._unique(name or f"memory_{index}")))
                self._name_ports(*memories[-1])
                continue
            if isinstance(child, Instance):
                foreign.append((Foreign.of(child), self._unique(name or f"{child.type}_{index}")))
                continue
            component = next((origin for origin in child.origins or ()
                              if isinstance(origin, wiring.Component)), None)
            if component is None or isinstance(component, Memory):
                raise EmitError(f"submodule {name or index} is not a component with ports")
            label = self._unique(name or module_name(component))
            module = self._library.add_fragment(component, child)
            ports = port_signals(component)
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

    def _is_driven(self, value: Signal) -> bool:
        return any(id(value) == id(s) for statement in self._comb + self._sync
                   for s in statement._lhs_signals())

    def _is_read(self, value: Signal) -> bool:
        if self._read[id(value)] or any(value is output for output in self._outputs):
            return True
        return any(id(s) == id(value) for other in self._direct.values()
                   for s in other._rhs_signals())

    def _is_foreign_output(self, signal: Signal) -> bool:
        return any(id(s) == id(signal) for instance, _ in self._foreign
                   for value, kind in instance.ports.values() if kind == "o"
                   for s in value._lhs_signals()) or any(
            id(s) == id(signal) for memory, _ in self._memories for port in memory._read_ports
            for s in port._data._lhs_signals())
