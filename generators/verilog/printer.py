"""A component as the text of a module: statements, memories, instances, declarations."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from amaranth.hdl import Const, Fragment, Signal, Value
from amaranth.hdl._ast import Assign, Concat, Operator, Part, Slice, Switch
from amaranth.lib import wiring

from systolith.generators.verilog.expressions import EmitError, Expressions, wrapped
from systolith.generators.verilog.modules import instance_text, port_list
from systolith.generators.verilog.statements import (
    covered_once,
    effective,
    groups,
    joined_plain,
    only,
    overwritten,
    reads,
)
from systolith.generators.verilog.structure import Foreign, ModuleStructure

if TYPE_CHECKING:
    from systolith.generators.verilog.emit import Library


class ModulePrinter(ModuleStructure):
    """One component as text.

    Attributes
    ----------
    body : str
        What follows the name of the module.
    needs : frozenset of str
        Which of clk and rst it has.
    """

    def __init__(self, library: "Library", component: wiring.Component, fragment: Fragment):
        super().__init__(library, component, fragment)
        self._declared: list[str] = []
        self._body: list[str] = []
        self._uses: set[str] = set()
        self._expressions = Expressions(self._name, self._define)
        self._memory_registers: set[int] = set()

        registers = self._print_statements()
        self._print_memories()
        self._print_instances()
        self.needs = frozenset(self._uses | {need for _, module, _ in self._instances
                                             for need in module.needs})
        self._print_unused()
        self._declare(registers)
        output_registers = {self._names[id(value)] for value in self._outputs
                            if id(value) in registers}
        self.body = (port_list(self.needs, self.ports, output_registers)
                     + _spaced(self._declared + self._body))

    def _define(self, base: str, width: int, text: str, signed: bool = False) -> str:
        name = self._unique(base)
        self._widths[name] = width
        self._body.append(f"  wire {'signed ' if signed else ''}{_range(width)}{name} = {text};\n")
        return name

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
                self._print_assigns(group)
                continue
            read = {id(s) for statement in group for s in reads(statement)}
            parts = [signals] if not read & set(signals) else [{k: s} for k, s in signals.items()]
            for part in parts:
                statements = [s for s in (only(s, part) for s in group) if s is not None]
                last = effective(statements)
                if (all(isinstance(s, Assign) for s in last) and covered_once(last, part)
                        and not any(True for s in last for _ in reads(s))):
                    self._print_assigns(last)            # a block that reads nothing never runs
                    continue
                registers |= set(part)
                self._print_always_comb(statements, list(part.values()))
        return registers

    def _print_assigns(self, statements: list):
        for statement in statements:
            if not len(statement.lhs):
                continue
            self._expressions.base = self._base(statement)
            target = self._target(statement.lhs)
            value = self._expressions.whole(statement.rhs, len(statement.lhs))
            self._body.append(f"  assign {target} = {value};\n")

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
        if len(test) == 1 and {patterns for patterns, _ in cases} == {("0",), ("1",)}:
            conditions[-1] = None                        # the last one is what is left
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
            if any(data._init._raw) or not memory._write_ports:
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
            self._append(instance_text(module, label, connections))
        for instance, label in self._foreign:
            self._print_foreign(instance, label)

    def _print_foreign(self, instance: Foreign, label: str):
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
