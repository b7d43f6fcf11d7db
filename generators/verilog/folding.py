"""What is constant in a module, put in its place before the module is printed.

A component that is made for many configurations leaves constants behind: an enable that is always
on, a case that a width excludes. A reader of the Verilog would have to find that out again, a
coverage report would count what can never happen.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping

from amaranth.hdl import Const, Shape, Signal, Value
from amaranth.hdl._ast import Assign, Concat, Operator, Slice, Switch, SwitchValue
from amaranth.hdl._xfrm import ValueTransformer

from systolith.generators.verilog.statements import reads

LONGEST = 64                             # bits of a concatenation that becomes a constant

Constants = Mapping[int, Const]          # by id of the signal

_COMPUTED: Mapping[tuple[str, int], Callable[..., int]] = {
    ("~", 1): lambda a: ~a, ("-", 1): lambda a: -a, ("b", 1): bool, ("r|", 1): bool,
    ("s", 1): lambda a: a, ("u", 1): lambda a: a,
    ("+", 2): lambda a, b: a + b, ("-", 2): lambda a, b: a - b, ("*", 2): lambda a, b: a * b,
    ("&", 2): lambda a, b: a & b, ("|", 2): lambda a, b: a | b, ("^", 2): lambda a, b: a ^ b,
    ("<<", 2): lambda a, b: a << b, (">>", 2): lambda a, b: a >> b,
    ("==", 2): lambda a, b: a == b, ("!=", 2): lambda a, b: a != b,
    ("<", 2): lambda a, b: a < b, ("<=", 2): lambda a, b: a <= b,
    (">", 2): lambda a, b: a > b, (">=", 2): lambda a, b: a >= b,
}


def folded(comb: list, sync: list, driven: Iterable[Signal],
           values: Iterable[Value]) -> tuple[list, list, Constants]:
    """The statements of a module with constants in place, and its signals that are constant.

    A signal is constant if one unconditional assignment gives it a constant, or if nothing drives
    it. The assignment stays, for those who read the signal elsewhere.

    Parameters
    ----------
    comb, sync : list
        Statements.
    driven : iterable of Signal
        Driven by something else: inputs, outputs of what is inside.
    values : iterable of Value
        What is read elsewhere.
    """
    known = {id(s) for s in driven} | {id(s) for x in (*comb, *sync) for s in x._lhs_signals()}
    read = [s for statement in (*comb, *sync) for s in reads(statement)]
    read += [s for value in values for s in value._rhs_signals()]
    constants = {id(s): Const(s.init, s.shape()) for s in read if id(s) not in known}
    while True:
        comb, sync = (list(_statements(group, constants)) for group in (comb, sync))
        found = _constant_signals(comb)
        if found.keys() <= constants.keys():
            return comb, sync, constants
        constants |= found


def folded_value(value: Value, constants: Constants) -> Value:
    """A value of the same shape, with constants in place."""
    return _Folder(constants).on_value(value)


def _constant_signals(comb: list) -> dict[int, Const]:
    assigned = Counter(id(s) for statement in comb for s in statement._lhs_signals())
    return {id(s.lhs): Const(s.rhs.value, s.lhs.shape()) for s in comb
            if isinstance(s, Assign) and isinstance(s.lhs, Signal) and isinstance(s.rhs, Const)
            and assigned[id(s.lhs)] == 1 and not s.lhs.attrs}


def _statements(statements: Iterable, constants: Constants):
    fold = _Folder(constants).on_value
    for statement in statements:
        if isinstance(statement, Assign):
            yield Assign(statement.lhs, fold(statement.rhs))
        elif isinstance(statement, Switch):
            yield from _switch(statement, fold(statement.test), constants)
        else:
            yield statement


def _switch(statement: Switch, test: Value, constants: Constants):
    known = _known_bits(test)
    cases = []
    for patterns, body, location in statement.cases:
        if patterns is not None:
            patterns = tuple(reduced for pattern in patterns
                             if (reduced := _reduced(pattern, known)) is not None)
            if not patterns:
                continue                                 # never taken
            if any(set(pattern) <= {"-"} for pattern in patterns):
                patterns = None                          # always taken
        cases.append((patterns, list(_statements(body, constants)), location))
        if patterns is None:
            break
    if cases and cases[0][0] is None:
        yield from cases[0][1]
    elif cases:
        yield Switch(test, cases, src_loc=statement.src_loc)


def _known_bits(value: Value) -> str:
    """The bits of a value, most significant first as in a pattern; ``-`` where it may vary."""
    if isinstance(value, Const):
        return f"{value.value & ((1 << len(value)) - 1):0{len(value)}b}" if len(value) else ""
    if isinstance(value, Concat):
        return "".join(_known_bits(part) for part in reversed(value.parts))
    return "-" * len(value)


def _reduced(pattern: str, known: str) -> str | None:
    """The pattern without the bits that are known to be as it wants them; None if one is not."""
    if any({want, have} == {"0", "1"} for want, have in zip(pattern, known, strict=True)):
        return None
    if all(have != "-" for have in known):
        return "-" * len(pattern)
    # A case that compares whole values stays one that does.
    several = sum(want != "-" for want in pattern) > 1
    return "".join("-" if want == have and not several else want
                   for want, have in zip(pattern, known, strict=True))


class _Folder(ValueTransformer):
    def __init__(self, constants: Constants):
        self._constants = constants

    def on_Signal(self, value):  # noqa: N802
        return self._constants.get(id(value), value)

    def on_Slice(self, value):  # noqa: N802
        inner = self.on_value(value.value)
        if isinstance(inner, Const):
            return Const(inner.value >> value.start, Shape(value.stop - value.start))
        return Slice(inner, value.start, value.stop)

    def on_Concat(self, value):  # noqa: N802
        parts = [self.on_value(part) for part in value.parts]
        whole = Concat(parts)
        known = _known_bits(whole)
        # Long constants are better read as what they repeat.
        fold = 0 < len(whole) <= LONGEST and "-" not in known
        return Const(int(known, 2), len(whole)) if fold else whole

    def on_SwitchValue(self, value):  # noqa: N802
        test = self.on_value(value.test)
        known = _known_bits(test)
        cases = []
        for patterns, branch in value.cases:
            if patterns is not None:
                patterns = tuple(pattern for pattern in patterns
                                 if _reduced(pattern, known) is not None)
                if not patterns:
                    continue
                if known and "-" not in known:
                    patterns = None
            cases.append((patterns, self.on_value(branch)))
            if patterns is None:
                break
        shape = value.shape()
        branches = [branch for _, branch in cases]
        complete = bool(cases) and cases[-1][0] is None
        if complete and all(isinstance(b, Const) for b in branches) and len(
                {b.value for b in branches}) == 1:
            return Const(branches[0].value, shape)
        if complete and len(cases) == 1 and branches[0].shape() == shape:
            return branches[0]
        if len(cases) < len(value.cases):                # another shape, perhaps: leave them all
            cases = [(patterns, self.on_value(branch)) for patterns, branch in value.cases]
        return SwitchValue(test, cases)

    def on_Operator(self, value):  # noqa: N802
        if not len(value):
            return value
        operands = [self.on_value(operand) for operand in value.operands]
        shape, name = value.shape(), value.operator
        if all(isinstance(operand, Const) for operand in operands):
            if compute := _COMPUTED.get((name, len(operands))):
                return Const(int(compute(*(operand.value for operand in operands))), shape)
            if name == "r&":
                return Const(int(operands[0].value in (-1, (1 << len(operands[0])) - 1)), shape)
        if name in ("&", "|"):
            ones = (1 << len(value)) - 1
            decides, passes = (0, ones) if name == "&" else (ones, 0)
            for constant, other in (operands, operands[::-1]):
                if isinstance(constant, Const):
                    bits = constant.value & ones
                    if bits == decides:
                        return Const(bits, shape)
                    if bits == passes and other.shape() == shape:
                        return other
        return Operator(name, operands)
