"""Circuits of AND gates and inverters, as AIGER files hold them.

A literal is twice the number of a variable, and one more if it is inverted; 0 is false, 1 is true.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from functools import reduce
from itertools import pairwise
from operator import or_
from pathlib import Path

#: Share of the registers of a question that another one has to have to be asked with it.
ALIKE = 0.8


@dataclass(frozen=True)
class Circuit:
    """What Yosys wrote; all registers begin as 0.

    Attributes
    ----------
    inputs : mapping
        Literals by the name and bit of a port.
    registers : mapping
        Literals of a register and of its next value, by one of its names.
    names : mapping
        All names of a register, by that one.
    outputs : mapping
        Literals by the name and bit of a port, but of those that are constant.
    constants : set of int
        Literals of those.
    gates : list of tuple
        Literals of a gate and of what it joins, each after those.
    """

    inputs: Mapping[str, int]
    registers: Mapping[str, tuple[int, int]]
    names: Mapping[str, Sequence[str]]
    outputs: Mapping[str, int]
    constants: Set[int]
    gates: list[tuple[int, int, int]]

    @classmethod
    def read(cls, path: Path, names: Path) -> "Circuit":
        """Read the file, and the names beside it (``write_aiger -ascii -map``)."""
        words = [line.split() for line in path.read_text().splitlines()]
        _, _, inputs, registers, outputs, gates = words[0][:6]
        ends = [1]
        for count in (inputs, registers, outputs, gates):
            ends.append(ends[-1] + int(count))
        parts = [[tuple(map(int, line)) for line in words[start:end]]
                 for start, end in pairwise(ends)]
        named: dict[str, dict[int, list[str]]] = {"input": {}, "latch": {}, "output": {}}
        for line in names.read_text().splitlines():
            kind, index, bit, name = line.split(" ", 3)
            if kind in named:
                named[kind].setdefault(int(index), []).append(f"{name} [{bit}]")
        all_names = [sorted(named["latch"].get(index, [f"~{index}"]))
                     for index in range(len(parts[1]))]
        return cls({min(named["input"][index]): line[0] for index, line in enumerate(parts[0])},
                   {own[0]: (line[0], line[1])
                    for own, line in zip(all_names, parts[1], strict=True)},
                   {own[0]: own for own in all_names},
                   {min(named["output"][index]): line[0] for index, line in enumerate(parts[2])
                    if index in named["output"]},
                   # Yosys does not name them.
                   {line[0] for index, line in enumerate(parts[2])
                    if index not in named["output"]},
                   parts[3])

    def named_like(self, other: "Circuit") -> "Circuit":
        """With registers called as those of another circuit that share a name with them."""
        owners = {name: first for first, names in other.names.items() for name in names}
        free, called = set(other.names), {}
        # Those that share their first name come before those that share any.
        for first in sorted(self.names, key=lambda first: first not in free):
            found = next((owners[name] for name in (first, *self.names[first])
                          if owners.get(name) in free), None)
            called[first] = f"~{first}" if found is None else found
            free.discard(called[first])
        return replace(self, registers={called[first]: pair
                                        for first, pair in self.registers.items()},
                       names={called[first]: names for first, names in self.names.items()})


class Graph:
    """Gates that are there once, however often they are asked for."""

    def __init__(self) -> None:
        self.gates: dict[tuple[int, int], int] = {}
        self.joined: dict[int, tuple[int, int]] = {}     # by variable
        self.last = 0

    def variable(self) -> int:
        """Literal of a new variable."""
        self.last += 1
        return 2 * self.last

    def both(self, a: int, b: int) -> int:
        """Literal of the AND of two."""
        if a > b:
            a, b = b, a
        if a == 0 or a ^ 1 == b:
            return 0
        if a in (1, b):
            return b
        if (a, b) not in self.gates:
            self.gates[a, b] = gate = self.variable()
            self.joined[gate >> 1] = a, b
        return self.gates[a, b]

    def any(self, literals: Iterable[int]) -> int:
        """Literal of the OR of all."""
        none = 1
        for literal in literals:
            none = self.both(none, literal ^ 1)
        return none ^ 1

    def differ(self, a: int, b: int) -> int:
        """Literal of the exclusive OR of two."""
        return self.both(self.both(a, b) ^ 1, self.both(a ^ 1, b ^ 1) ^ 1)

    def place(self, circuit: Circuit, given: Mapping[int, int]) -> Callable[[int], int]:
        """Put a circuit in, whose inputs and registers are ``given``; what its literals are."""
        known = {0: 0, **{literal >> 1: value for literal, value in given.items()}}

        def of(literal: int) -> int:
            return known[literal >> 1] ^ (literal & 1)

        for gate, a, b in circuit.gates:
            known[gate >> 1] = self.both(of(a), of(b))
        return of

    def marks(self, circuit: Circuit, of: Callable[[int], int], given: Mapping[int, int]
              ) -> Callable[[int], int]:
        """Where marks get from the registers that have them: whether a literal of a circuit may be
        another one than :meth:`place` says.

        A gate hands a mark on unless its other side is false; what has a mark of its own may be
        anything.
        """
        known = {0: 0, **{literal >> 1: mark for literal, mark in given.items()}}

        def mark(literal: int) -> int:
            return known.get(literal >> 1, 0)

        for gate, a, b in circuit.gates:
            known[gate >> 1] = self.any((self.both(mark(one), 1 if mark(other) else of(other))
                                         for one, other in ((a, b), (b, a))))
        return mark

    def cones(self, literals: Iterable[int], registers: Mapping[int, int]) -> list[list[int]]:
        """Literals, grouped by the registers that they depend on, in this cycle or any before:
        together where most of these are the same."""
        bits = {literal >> 1: 1 << index for index, literal in enumerate(registers)}
        following = [literal >> 1 for literal in registers.values()]
        depends = dict(bits)                             # in this cycle, by variable
        for variable in sorted(self.joined):
            a, b = self.joined[variable]
            depends[variable] = depends.get(a >> 1, 0) | depends.get(b >> 1, 0)
        groups: dict[int, list[int]] = {}
        for literal in literals:
            ahead = depends.get(literal >> 1, 0)
            reached = 0
            while ahead:
                reached |= ahead
                ahead = reduce(or_, (depends.get(following[index], 0)
                                     for index in _set_bits(ahead)), 0) & ~reached
            groups.setdefault(reached, []).append(literal)
        largest: dict[int, list[int]] = {}
        for reached in sorted(groups, key=int.bit_count, reverse=True):
            near = next((other for other in largest
                         if (reached & other).bit_count() >= ALIKE * reached.bit_count()), reached)
            largest.setdefault(near, []).extend(groups[reached])
        return list(largest.values())

    def write(self, path: Path, outputs: Sequence[int],
              registers: Mapping[int, int] | None = None) -> None:
        """Write what some literals depend on as a binary AIGER file.

        Parameters
        ----------
        registers : mapping, optional
            Literals of registers and of their next values; without, all variables are inputs.
        """
        registers = registers or {}
        reached, ahead = set(), [literal >> 1 for literal in outputs]
        while ahead:
            variable = ahead.pop()
            if variable in reached:
                continue
            reached.add(variable)
            ahead += [literal >> 1 for literal in self.joined.get(variable, ())]
            if 2 * variable in registers:
                ahead.append(registers[2 * variable] >> 1)
        gates = sorted(reached & self.joined.keys())
        stored = sorted(variable for variable in reached if 2 * variable in registers)
        free = sorted(reached - {0} - self.joined.keys() - set(stored))
        number = {variable: index for index, variable in enumerate((0, *free, *stored, *gates))}

        def of(literal: int) -> int:
            return 2 * number[literal >> 1] + (literal & 1)

        lines = [f"aig {len(number) - 1} {len(free)} {len(stored)} {len(outputs)} {len(gates)}",
                 *(str(of(registers[2 * variable])) for variable in stored),
                 *(str(of(literal)) for literal in outputs)]
        packed = bytearray()
        for variable in gates:
            small, large = sorted(map(of, self.joined[variable]))
            for difference in (2 * number[variable] - large, large - small):
                while difference > 127:
                    packed.append(difference & 127 | 128)
                    difference >>= 7
                packed.append(difference)
        path.write_bytes("\n".join(lines).encode() + b"\n" + bytes(packed))


def _set_bits(word: int) -> list[int]:
    """Numbers of the bits that are set."""
    return [index for index, digit in enumerate(reversed(f"{word:b}")) if digit == "1"]
