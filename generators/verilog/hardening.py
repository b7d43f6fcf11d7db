"""Triple modular redundancy: any module against upsets of single bits of its state.

The transformation works on an elaborated component, so it needs no help from templates. Every
register, memory and clocked block becomes three copies, and what reads it sees their majority.
The copies carry ``keep``, without which synthesis would merge them: they are equal by design.

================  ==================================================================================
level             what happens to a register
================  ==================================================================================
``none``          nothing
``tmr-registers`` three copies and a voter. A copy that keeps its value keeps an upset too, until it
                  is written: a second upset in the meantime can outvote the third copy.
``tmr``           the same, with feedback: a copy that would keep its value takes the voted one.
                  An upset lasts one cycle.
================  ==================================================================================

Words of memories are voted when they are read at either level, and an upset stays until the word
is written again. Logic, voters, clock and reset are not tripled: this is against upsets of state,
not against transients.
"""

from collections.abc import Iterable, Mapping

from amaranth.hdl import ClockSignal, Const, Fragment, Instance, Signal, Value
from amaranth.hdl._ast import Assign, Operator, Switch
from amaranth.hdl._mem import MemoryInstance
from amaranth.hdl._xfrm import ValueTransformer

COPIES = "abc"

#: Inputs that only the same output of a like block may feed: there are no wires for anything else.
CASCADES = {"PCIN": "PCOUT", "ACIN": "ACOUT", "BCIN": "BCOUT"}


class CascadeError(ValueError):
    """A cascade of blocks that cannot be tripled because it leaves its module."""


def harden(fragment: Fragment, level: str) -> Fragment:
    """The elaborated module ``fragment`` with three copies of its own state.

    Submodules are left as they are: they are hardened on their own.

    Parameters
    ----------
    fragment : Fragment
        One clock domain, ``sync``.
    level : str
        One of :data:`systolith.generators.names.HARDENING`.
    """
    if level == "none":
        return fragment
    hardened = Fragment()
    hardened.origins = fragment.origins
    comb = list(fragment.statements.get("comb", ()))
    if comb:
        hardened.add_statements("comb", *comb)
    for domain in set(fragment.statements) - {"comb", "sync"}:
        hardened.add_statements(domain, *fragment.statements[domain])
    _registers(hardened, list(fragment.statements.get("sync", ())), feedback=level == "tmr")
    blocks = _Blocks(comb, [child for child, _, _ in fragment.subfragments
                            if isinstance(child, Instance)])
    for child, name, _ in fragment.subfragments:
        if isinstance(child, MemoryInstance):
            _memory(hardened, child, name or "memory")
        elif isinstance(child, Instance) and _is_clocked(child):
            blocks.triple(hardened, child, name or child.type.lower())
        else:
            hardened.add_subfragment(child, name)
    return hardened


def majority(a: Value, b: Value, c: Value) -> Value:
    """Of every bit, what at least two of three say."""
    return (a & b) | (a & c) | (b & c)


def _copies(signal: Signal) -> tuple[Signal, ...]:
    return tuple(Signal(len(signal), name=f"{signal.name}_{copy}", init=_code(signal),
                        reset_less=signal.reset_less, attrs={"keep": True}) for copy in COPIES)


def _code(signal: Signal) -> int:
    return Const(signal.init, len(signal)).value & ((1 << len(signal)) - 1)


def _registers(fragment: Fragment, statements: list, *, feedback: bool) -> None:
    found = {id(signal): signal for statement in statements
             for signal in statement._lhs_signals() if len(signal)}
    always = {id(statement.lhs) for statement in statements
              if isinstance(statement, Assign) and isinstance(statement.lhs, Signal)}
    copies = {key: _copies(signal) for key, signal in found.items()}
    for key, signal in found.items():
        fragment.add_statements("comb", signal.eq(majority(*copies[key])))
        if feedback and key not in always:
            fragment.add_statements("sync", *(copy.eq(signal) for copy in copies[key]))
    for index in range(len(COPIES)):
        targets = _Targets({key: chosen[index] for key, chosen in copies.items()})
        fragment.add_statements("sync", *(_retargeted(s, targets) for s in statements))


class _Targets(ValueTransformer):
    """What is assigned to, with other signals in the place of some."""

    def __init__(self, replaced: Mapping[int, Signal]):
        self.replaced = replaced

    def on_Signal(self, value):  # noqa: N802
        return self.replaced.get(id(value), value)

    def on_Part(self, value):  # noqa: N802
        return type(value)(self.on_value(value.value), value.offset, value.width, value.stride)

    def on_SwitchValue(self, value):  # noqa: N802
        return type(value)(value.test, [(patterns, self.on_value(chosen))
                                        for patterns, chosen in value.cases])


def _retargeted(statement, targets: _Targets):
    if isinstance(statement, Assign):
        return Assign(targets.on_value(statement.lhs), statement.rhs)
    return Switch(statement.test, [
        (patterns, [_retargeted(inner, targets) for inner in body], location)
        for patterns, body, location in statement.cases], src_loc=statement.src_loc)


def _memory(fragment: Fragment, memory: MemoryInstance, name: str) -> None:
    read: list[list[Signal]] = [[] for _ in memory._read_ports]
    for copy in COPIES:
        one = MemoryInstance(data=memory._data, attrs={**memory._attrs, "keep": True})
        for port in memory._write_ports:
            one.write_port(domain=port._domain, addr=port._addr, data=port._data, en=port._en)
        for index, port in enumerate(memory._read_ports):
            data = Signal(len(port._data), attrs={"keep": True},
                          name=f"{name}_read_{index}_{copy}" if index else f"{name}_read_{copy}")
            one.read_port(domain=port._domain, addr=port._addr, data=data, en=port._en,
                          transparent_for=port._transparent_for)
            read[index].append(data)
        fragment.add_subfragment(one, f"{name}_{copy}")
    for port, data in zip(memory._read_ports, read, strict=True):
        fragment.add_statements("comb", port._data.eq(majority(*data)))


def _is_clocked(instance: Instance) -> bool:
    return any(isinstance(value, ClockSignal) for value, _ in instance.ports.values())


class _Blocks:
    """Three copies of clocked blocks. A cascade joins copies; every other output is voted."""

    def __init__(self, comb: Iterable, instances: Iterable[Instance]):
        self._wires = {id(s.lhs): s.rhs for s in comb
                       if isinstance(s, Assign) and isinstance(s.lhs, Signal)}
        self._outputs: dict[int, tuple[str, tuple[Signal, ...]]] = {}
        for instance in filter(_is_clocked, instances):
            for port, (value, kind) in instance.ports.items():
                if kind == "o" and isinstance(value, Signal):
                    self._outputs[id(value)] = port, _copies(value)

    def triple(self, fragment: Fragment, instance: Instance, name: str) -> None:
        """Add three copies of ``instance``, and voters for its outputs."""
        extra: dict[str, tuple[Signal, ...]] = {}
        for port, (value, kind) in instance.ports.items():
            if kind != "o":
                continue
            extra[port] = (self._outputs[id(value)][1] if isinstance(value, Signal) else
                           _copies(Signal(len(value), name=f"{name}_{port.lower()}")))
            fragment.add_statements("comb", value.eq(majority(*extra[port])))
        for index, copy in enumerate(COPIES):
            ports = []
            for port, (value, kind) in instance.ports.items():
                if kind == "o":
                    value = extra[port][index]
                elif port in CASCADES:
                    value = self._cascaded(port, value, index)
                ports.append((kind, port, value))
            parameters = [("p", key, value) for key, value in instance.parameters.items()]
            fragment.add_subfragment(Instance(instance.type, *parameters, *ports),
                                     f"{name}_{copy}")

    def _cascaded(self, port: str, value: Value, index: int) -> Value:
        while True:
            if isinstance(value, Operator) and value.operator in ("s", "u"):
                value, = value.operands
            elif id(value) in self._wires:
                value = self._wires[id(value)]
            else:
                break
        if isinstance(value, Const):
            return value
        source, copies = self._outputs.get(id(value), ("", ()))
        if source != CASCADES[port]:
            raise CascadeError(f"the cascade into {port} does not start in the same module")
        return copies[index]
