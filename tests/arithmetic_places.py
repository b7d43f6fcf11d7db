"""Finds products and roundings in emitted Verilog, by what they do and not by their names."""

import re
from collections.abc import Iterator
from typing import NamedTuple

_MODULE = re.compile(r"^module (\w+)(.*?)^endmodule", re.DOTALL | re.MULTILINE)
_COMMENTS = re.compile(r"//.*|\(\*.*?\*\)|@\(\*\)")
_ASSIGNED = re.compile(
    r"^\s*(?:assign |wire (?:signed )?(?:\[[^\]]*\] )?)?(\w+)(?:\[[^\]]*\])? <?= (.+);",
    re.MULTILINE)
_ATOM = re.compile(r"\b([A-Za-z_]\w*)\b(?:\[(\d+)(?::(\d+))?\])?")
_WIDE = re.compile(r"\b(?:wire|reg|input|output|input wire|output wire|output reg) +(?:signed )?"
                   r"\[\d+:0\] (\w+)")
#: A value of one bit, widened with zeros.
_ONE_BIT = re.compile(r"\{\d+'d0, ")
_REDUCED = re.compile(r"\(~?[|&^]\w+(?:\[\d+(?::\d+)?\])?\)")
_HALF = re.compile(r"\d+'(?:d(\d+)|h([0-9a-f]+))$")
_SHIFT = re.compile(r">>>? (?:\d+'d)?(\d+)")
_DEPTH = 4


class Slice(NamedTuple):
    """Bits of a signal."""

    name: str
    low: int
    high: int


def modules(verilog: str) -> Iterator[tuple[str, str]]:
    """Name and text without comments of every module."""
    for module in _MODULE.finditer(verilog):
        yield module[1], _COMMENTS.sub("", module[2])


def multiplying_modules(verilog: str) -> Iterator[str]:
    """Modules that have a product of two values, neither of them a number."""
    for name, text in modules(verilog):
        if re.search(r"[\w)}] \* [A-Za-z_$({]", re.sub(r"\[[^\]]*\]", "", text)):
            yield name


def rounding_modules(verilog: str) -> Iterator[str]:
    """Modules that round a number: they add to its high bits one bit that comes from its low ones,
    or add half of what a shift by a constant then drops."""
    for name, text in modules(verilog):
        found = _Definitions(text)
        if any(found.rounds(target, value) for target, value in found.all):
            yield name


class _Definitions:
    """What each signal of a module is assigned."""

    def __init__(self, text: str):
        self.all = _ASSIGNED.findall(text)
        self.of: dict[str, list[str]] = {}
        for target, value in self.all:
            self.of.setdefault(target, []).append(value)
        self.wide = set(_WIDE.findall(text))
        self.text = text

    def rounds(self, target: str, value: str) -> bool:
        terms = _terms(value)
        return any(self._adds_a_dropped_bit(terms, index) or
                   self._adds_half(target, value, term)
                   for index, term in enumerate(terms) if len(terms) > 1)

    def _adds_a_dropped_bit(self, terms: list[str], index: int) -> bool:
        term = terms[index]
        bits = _ATOM.finditer(_REDUCED.sub("", term))
        if not _ONE_BIT.search(term) or not all(map(self._is_bit, bits)):
            return False
        dropped = set(self._slices(term, through=True))
        kept = {piece for other in terms[:index] + terms[index + 1:]
                for piece in self._slices(other, through=False) if piece.high > piece.low}
        return any(low.name == high.name and low.high < high.low
                   for low in dropped for high in kept)

    def _is_bit(self, atom: re.Match[str]) -> bool:
        name, _, low = atom.groups()
        return (low is None and (atom[2] is not None or name not in self.wide)) or bool(
            re.fullmatch(r"d\d+", name))

    def _adds_half(self, target: str, value: str, term: str) -> bool:
        number = _HALF.match(term.strip("() "))
        if not number:
            return False
        half = int(number[1]) if number[1] else int(number[2], 16)
        if not half or half & half - 1:
            return False
        dropped = half.bit_length()
        shifts = [int(amount) for amount in _SHIFT.findall(value)]
        cuts = [int(low) for low in re.findall(rf"\b{target}\[\d+:(\d+)\]", self.text)]
        return dropped > 1 and dropped in (*shifts, *cuts)

    def _slices(self, value: str, *, through: bool, depth: int = _DEPTH) -> Iterator[Slice]:
        """Parts of signals that ``value`` is made of; ``through`` operators too."""
        for name, high, low in _ATOM.findall(value):
            if high:
                yield Slice(name, int(low or high), int(high))
            elif depth:
                for inner in self.of.get(name, []):
                    if through or not re.search(r" [-+*&|^<>?=]+ |[~!]", inner):
                        yield from self._slices(inner, through=through, depth=depth - 1)


def _terms(value: str) -> list[str]:
    """The terms of every sum in an expression, brackets around it or not."""
    found, start, depth = [], 0, 0
    for place, letter in enumerate(value):
        depth += (letter in "([{") - (letter in ")]}")
        if not depth and value.startswith(" + ", place):
            found.append(value[start:place].strip())
            start = place + 3
    found.append(value[start:].strip())
    if len(found) > 1:
        return found
    inner = re.match(r"[^(]*\((.* \+ .*)\)[^)]*$", value)
    return _terms(inner[1]) if inner else found
