"""Amaranth values as Verilog expressions of an exact width."""

import textwrap
from collections.abc import Callable

from amaranth.hdl import Const, Shape, Signal, Value
from amaranth.hdl._ast import Concat, Operator, Part, Slice, SwitchValue

MODULAR = {"+", "-", "*", "&", "|", "^", "~"}       # low bits depend on low bits only
EXTENDING = {"+", "-", "&", "|", "^", "<<"}         # extending operands extends the result
COMPARISONS = {"==", "!=", "<", "<=", ">", ">="}


class EmitError(TypeError):
    """A construct of Amaranth that the Verilog emitter does not print."""


class Expressions:
    """Prints values inside one module.

    Parameters
    ----------
    name_of : callable
        Signal to its name in the module.
    define : callable
        Takes a base name, a width, an expression and optionally whether it is signed, declares a
        wire of that value, returns its name: for what Verilog can only slice, repeat or sign under
        a name.
    """

    def __init__(self, name_of: Callable[[Signal], str], define: Callable[..., str]):
        self._name_of, self._define = name_of, define
        self._defined: dict[tuple, str] = {}
        self.base = "value"                  # names what is being assigned, for `define`
        self.read: dict[str, int] = {}       # by name: mask of the bits that the text reads

    def sized(self, value: Value, width: int) -> str:
        """``value`` as an expression of exactly ``width`` bits, extended by its own sign."""
        have = len(value)
        if have == 0 and width:
            return _const(0, width)
        if width > have:
            return self._extended(value, width)
        return self._natural(value, width)

    def condition(self, value: Value) -> str:
        """A one-bit value as a bare condition."""
        text = self.sized(value, 1)
        return text[1:-1] if _is_wrapped(text) else text

    def amount(self, value: Value) -> str:
        """How far to shift."""
        return self.sized(value, max(len(value), 1))

    def whole(self, value: Value, width: int) -> str:
        """Like :meth:`sized`, without outer parentheses: for the right side of an assignment."""
        text = self.sized(value, width)
        return text[1:-1] if _is_wrapped(text) else text

    def _extended(self, value: Value, width: int) -> str:
        have = len(value)
        if isinstance(value, Const):
            return _const(value.value, width)
        if isinstance(value, SwitchValue) or (isinstance(value, Operator)
                                              and value.operator in EXTENDING):
            return self._natural(value, width)
        if isinstance(value, Operator) and value.operator == "u":
            inner = self.sized(value.operands[0], have)
            return self._zero_extended(inner, have, width)
        if not value.shape().signed:
            return self._zero_extended(self.sized(value, have), have, width)
        name = self._bits(self._named(value), 0, have, have)
        sign = name if have == 1 else f"{name}[{have - 1}]"
        copies = sign if width == have + 1 else f"{{{width - have}{{{sign}}}}}"
        return f"{{{copies}, {name}}}"

    @staticmethod
    def _zero_extended(text: str, have: int, width: int) -> str:
        return f"{{{width - have}'d0, {text}}}"

    def _named(self, value: Value, kind: str = "term") -> str:
        """A plain name that has the value in all its bits."""
        if isinstance(value, Operator) and value.operator in ("s", "u"):
            return self._named(value.operands[0], kind)
        if isinstance(value, Signal):
            return self._name_of(value)
        width = len(value)
        text = self.whole(value, width)
        key = (width, text)
        if key not in self._defined:
            self._defined[key] = self._define(f"{self.base}_{kind}", width, text)
        return self._defined[key]

    def _natural(self, value: Value, width: int) -> str:
        """The low ``width`` bits, ``width`` at most the value's own."""
        match value:
            case Const():
                return _const(value.value, width)
            case Signal():
                return self._sliced(value, 0, width)
            case Slice():
                return self._sliced(value.value, value.start, value.start + width)
            case Concat():
                return self._concat(value, width)
            case Part():
                return self._part(value, width)
            case SwitchValue():
                return self._switch(value, width)
            case Operator():
                return self._operator(value, width)
        raise EmitError(f"cannot print {value!r} as Verilog")

    def _sliced(self, value: Value, start: int, stop: int) -> str:
        """Bits ``start`` to ``stop`` - 1."""
        if isinstance(value, Slice):
            return self._sliced(value.value, value.start + start, value.start + stop)
        if isinstance(value, Const):
            return _const(value.value >> start, stop - start)
        if isinstance(value, Concat):
            return self._braced(_cut(value.parts, start, stop))
        if isinstance(value, Operator) and value.operator in ("s", "u"):
            return self._sliced(value.operands[0], start, stop)
        if start == 0 and not isinstance(value, Signal) and (
                _shrinks(value) or (stop == 1 and _is_bit(value))):
            return self.sized(value, stop)
        return self._bits(self._named(value), start, stop, len(value))

    def _concat(self, value: Concat, width: int) -> str:
        return self._braced(_cut(value.parts, 0, width))

    def _braced(self, pieces: list[tuple[Value, int, int]]) -> str:
        """A concatenation of slices, given least significant first."""
        texts = [self._sliced(value, start, stop) for value, start, stop in _merged(pieces)]
        if len(texts) == 1:
            return texts[0]
        groups: list[list] = []
        for text in reversed(texts):
            if groups and groups[-1][0] == text:
                groups[-1][1] += 1
            else:
                groups.append([text, 1])
        printed = [text if count == 1 else f"{{{count}{{{text}}}}}" for text, count in groups]
        if len(printed) == 1:
            return printed[0]
        return f"{{{wrapped(printed)}}}"

    def _part(self, value: Part, width: int) -> str:
        shift = self.amount(value.offset) if value.stride == 1 else f"({self._scaled(value)})"
        inner = value.value
        operator = ">>>" if inner.shape().signed else ">>"
        source = self.sized(inner, max(len(inner), width))
        if operator == ">>>":
            source = f"$signed({source})"
        full = max(len(inner), width)
        text = f"{source} {operator} {shift}"
        if operator == ">>>":
            text = f"$unsigned({text})"
        return self._bits(self._define(f"{self.base}_part", full, text), 0, width, full)

    def _scaled(self, value: Part) -> str:
        bits = len(value.offset) + value.stride.bit_length()
        return f"{self.sized(value.offset, bits)} * {_const(value.stride, bits)}"

    def start(self, value: Part) -> str:
        """The first bit of an assigned part. A name, because tools differ on the width of an
        expression in its place."""
        if value.stride != 1:
            bits = len(value.offset) + value.stride.bit_length()
            return self._bits(self._define(f"{self.base}_start", bits, self._scaled(value)),
                              0, bits, bits)
        bits = len(value.offset)
        return self._bits(self._named(value.offset, "start"), 0, bits, bits) if bits else "0"

    def _switch(self, value: SwitchValue, width: int) -> str:
        if not len(value.test):
            return self.sized(next(branch for patterns, branch in value.cases
                                   if patterns is None or patterns), width)
        branches = [(patterns, self.sized(branch, width)) for patterns, branch in value.cases]
        zero = ("0" * len(value.test),)
        if [patterns for patterns, _ in branches] == [zero, None]:
            test = self._truth(value.test)
            return f"({test} ? {branches[1][1]} : {branches[0][1]})"
        text = _const(0, width)
        bits = len(value.test)
        test = self._bits(self._named(value.test, "select"), 0, bits, bits)
        for patterns, branch in reversed(branches):
            if patterns is None:
                text = branch
                continue
            tests = [_match(test, pattern) for pattern in patterns]
            if tests:
                text = f"({' || '.join(tests)} ? {branch} : {text})"
        return text

    def _truth(self, value: Value) -> str:
        if len(value) <= 1:
            return self.sized(value, 1)
        return f"(|{self.sized(value, len(value))})"

    def _operator(self, value: Operator, width: int) -> str:
        operator, operands = value.operator, value.operands
        if len(operands) == 1:
            return self._unary(operator, operands[0], width)
        a, b = operands
        if operator == "*":
            return self._product(value, width)
        if operator in MODULAR:
            left = self.sized(a, width)
            if isinstance(a, Operator) and a.operator == operator and operator != "-":
                left = _bare(left)                   # a + b + c needs no parentheses
            return f"({left} {operator} {self.sized(b, width)})"
        if operator in COMPARISONS:
            return self._comparison(operator, a, b)
        if operator in ("<<", ">>") and isinstance(b, Const) and not b.value:
            return self.sized(a, width)
        if operator == "<<":
            return f"({self.sized(a, width)} << {self.amount(b)})"
        if operator == ">>":
            return self._shifted_right(a, b, width)
        raise EmitError(f"the operator {operator} has no place in a core; "
                        f"write the circuit that computes it")

    def _unary(self, operator: str, a: Value, width: int) -> str:
        match operator:
            case "s" | "u":
                return self.sized(a, width)
            case "~":
                return f"(~{self.sized(a, width)})"
            case "-":
                return f"(-{self.sized(a, width)})"
            case "b" | "r|":
                return self._truth(a)
            case "r&" if not len(a):
                return _const(1, 1)
            case "r&" | "r^":
                return (self.sized(a, 1) if len(a) <= 1
                        else f"({operator[1]}{self.sized(a, len(a))})")
        raise EmitError(f"the operator {operator} is not supported")

    def _product(self, value: Operator, width: int) -> str:
        # Named, because the signs of its operands must not be lost in a larger expression.
        a, b = value.operands
        width_a, width_b = (len(x) + (value.shape().signed and not x.shape().signed)
                            for x in (a, b))
        same = max(width_a, width_b)
        factors = [self.sized(x, same) for x in (a, b)]
        if value.shape().signed:
            factors = [f"$signed({_bare(factor)})" for factor in factors]
        else:                            # of its own width: the product around it is wider
            factors = [self._bits(self._define(f"{self.base}_factor", same, _bare(factor)),
                                  0, same, same)
                       if factor.startswith("(") else factor for factor in factors]
        text = " * ".join(factors)
        full, signed = len(value), value.shape().signed
        name = self._bits(self._define(f"{self.base}_product", full, text, signed), 0, width, full)
        return f"$unsigned({name})" if signed and width == full else name

    def _comparison(self, operator: str, a: Value, b: Value) -> str:
        unified = Shape._unify([a.shape(), b.shape()])
        if not unified.width:
            return _const(operator in ("==", "<=", ">="), 1)
        if (decided := _decided_by_range(operator, a, b)) is not None:
            return _const(decided, 1)
        left, right = self.sized(a, unified.width), self.sized(b, unified.width)
        if unified.signed and operator not in ("==", "!="):
            left, right = f"$signed({_bare(left)})", f"$signed({_bare(right)})"
        return f"({left} {operator} {right})"

    def _shifted_right(self, a: Value, b: Value, width: int) -> str:
        full = len(a)
        source, operator = self.sized(a, full), ">>"
        if a.shape().signed:
            source, operator = f"$signed({_bare(source)})", ">>>"
        text = f"{source} {operator} {self.amount(b)}"
        name = self._define(f"{self.base}_shifted", full,
                            f"$unsigned({text})" if a.shape().signed else text)
        return self._bits(name, 0, width, full)

    def _bits(self, name: str, start: int, stop: int, full: int) -> str:
        """Bits ``start`` to ``stop`` - 1 of a name that has ``full``."""
        self.read[name] = self.read.get(name, 0) | ((1 << stop) - (1 << start))
        if stop - start == full:
            return name
        return f"{name}[{start}]" if stop == start + 1 else f"{name}[{stop - 1}:{start}]"


def _decided_by_range(operator: str, a: Value, b: Value) -> bool | None:
    """The outcome of a comparison with a constant, where no value of the other side changes it."""
    if isinstance(a, Const) and not isinstance(b, Const):
        mirrored = {"<": ">", "<=": ">=", ">": "<", ">=": "<="}
        return _decided_by_range(mirrored.get(operator, operator), b, a)
    if not isinstance(b, Const) or isinstance(a, Const):
        return None
    signed, bits, value = a.shape().signed, len(a), b.value
    low, high = (-(1 << bits >> 1), (1 << bits >> 1) - 1) if signed else (0, (1 << bits) - 1)
    return {"==": False if not low <= value <= high else None,
            "!=": True if not low <= value <= high else None,
            "<": True if high < value else False if low >= value else None,
            "<=": True if high <= value else False if low > value else None,
            ">": True if low > value else False if high <= value else None,
            ">=": True if low >= value else False if high < value else None}[operator]


def _match(test: str, pattern: str) -> str:
    """A condition that is true where ``test`` has the bits of ``pattern`` that are not ``-``."""
    if "-" not in pattern:
        return f"{test} == {_const(int(pattern, 2), len(pattern))}"
    mask = int("".join("0" if bit == "-" else "1" for bit in pattern), 2)
    want = int(pattern.replace("-", "0"), 2)
    return f"({test} & {_const(mask, len(pattern))}) == {_const(want, len(pattern))}"


def _const(value: int, width: int) -> str:
    value &= (1 << width) - 1
    if width == 1:
        return f"1'b{value}"
    if value < 10 or width <= 8:
        return f"{width}'d{value}"
    return f"{width}'h{value:x}"


def _shrinks(value: Value) -> bool:
    """Whether low bits can be computed without the high ones."""
    return (isinstance(value, (Concat, SwitchValue))
            or (isinstance(value, Operator) and value.operator in MODULAR | {"s", "u"}
            and value.operator != "*"))


def _is_bit(value: Value) -> bool:
    """Whether the expression of a value has one bit, wherever it stands."""
    return isinstance(value, Operator) and value.operator in COMPARISONS | {"b", "r|", "r&", "r^"}


def _cut(parts, start: int, stop: int) -> list[tuple[Value, int, int]]:
    """The pieces of a concatenation that make up bits ``start`` to ``stop`` - 1."""
    pieces, offset = [], 0
    for part in parts:
        low, high = max(start - offset, 0), min(stop - offset, len(part))
        if low < high:
            pieces.append((part, low, high))
        offset += len(part)
    return pieces


def _merged(pieces: list[tuple[Value, int, int]]) -> list[tuple[Value, int, int]]:
    """Join neighbouring slices of the same signal."""
    result: list[tuple[Value, int, int]] = []
    for value, start, stop in pieces:
        while isinstance(value, Slice):
            value, start, stop = value.value, value.start + start, value.start + stop
        if isinstance(value, Concat):
            for piece in _merged(_cut(value.parts, start, stop)):
                _append(result, *piece)
        else:
            _append(result, value, start, stop)
    return result


def _append(pieces: list, value: Value, start: int, stop: int):
    if pieces and pieces[-1][0] is value and pieces[-1][2] == start:
        pieces[-1] = (value, pieces[-1][1], stop)
    else:
        pieces.append((value, start, stop))


def wrapped(texts: list[str], width: int = 88) -> str:
    """A list with commas, on lines of its own if it is long."""
    flat = ", ".join(texts)
    if len(flat) <= 80:
        return flat
    lines = textwrap.wrap(flat, width, break_long_words=False, break_on_hyphens=False)
    return "\n      ".join(["", *lines])


def _is_wrapped(text: str) -> bool:
    """Whether the first parenthesis closes at the very end."""
    if not text.startswith("("):
        return False
    depth = 0
    for index, char in enumerate(text):
        depth += (char == "(") - (char == ")")
        if depth == 0:
            return index == len(text) - 1
    return False


def _bare(text: str) -> str:
    return text[1:-1] if _is_wrapped(text) else text
