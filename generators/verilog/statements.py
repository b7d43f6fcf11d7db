"""What statements assign and read: pruned, grouped and put in order before they are printed."""

from collections.abc import Iterator

from amaranth.hdl import Const, Signal, Value
from amaranth.hdl._ast import Assign, Concat, Operator, Part, Slice, Switch

from systolith.generators.verilog.expressions import EmitError


def is_plain(value: Value) -> bool:
    """Signals, constants, slices and concatenations: wiring, not logic."""
    match value:
        case Signal() | Const():
            return True
        case Slice():
            return is_plain(value.value)
        case Concat():
            return all(is_plain(part) for part in value.parts)
        case Operator():
            return value.operator in ("s", "u") and is_plain(value.operands[0])
    return False


def decided(statements) -> Iterator:
    """The statements but for assignments to nothing; a switch on a value without bits is replaced
    by the case that it takes."""
    for statement in statements:
        if not isinstance(statement, Switch):
            if not (isinstance(statement, Assign) and not len(statement.lhs)):
                yield statement
        elif len(statement.test):
            cases = [(patterns, list(decided(body)), location)
                     for patterns, body, location in statement.cases]
            yield Switch(statement.test, cases, src_loc=statement.src_loc)
        else:
            for patterns, body, _ in statement.cases:
                if patterns is None or patterns:
                    yield from decided(body)
                    break


def effective(statements) -> list:
    """The statements without assignments to signals that a later one of them overwrites whole."""
    kept: list = []
    for statement in statements:
        if isinstance(statement, Assign) and isinstance(statement.lhs, Signal):
            earlier = (without(other, statement.lhs) for other in kept)
            kept = [other for other in earlier if other is not None]
        kept.append(statement)
    return kept


def without(statement, signal: Signal):
    """The statement without assignments to ``signal`` alone; None if nothing is left."""
    if isinstance(statement, Assign):
        return None if all(s is signal for s in statement._lhs_signals()) else statement
    if not any(s is signal for s in statement._lhs_signals()):
        return statement
    cases = [(patterns, [kept for kept in (without(s, signal) for s in body) if kept is not None],
              location) for patterns, body, location in statement.cases]
    if not any(body for _, body, _ in cases):
        return None
    return Switch(statement.test, cases, src_loc=statement.src_loc)


def only(statement, signals: dict[int, Signal]):
    """The statement reduced to assignments to ``signals``; None if nothing is left."""
    if isinstance(statement, Assign):
        return statement if any(id(s) in signals for s in statement._lhs_signals()) else None
    if not isinstance(statement, Switch):
        raise EmitError(f"cannot print {statement!r} as Verilog")
    cases, empty = [], True
    for patterns, body, location in statement.cases:
        kept = [s for s in (only(s, signals) for s in body) if s is not None]
        empty = empty and not kept
        cases.append((patterns, kept, location))
    if empty:
        return None
    return Switch(statement.test, cases, src_loc=statement.src_loc)


def read_for(statement, signal: Signal) -> list[Signal]:
    """Signals that decide what ``statement`` assigns to ``signal``."""
    return list(reads(only(statement, {id(signal): signal})))


def reads(statement) -> Iterator[Signal]:
    """Signals whose values ``statement`` uses."""
    if isinstance(statement, Assign):
        yield from statement.rhs._rhs_signals()
        yield from index_signals(statement.lhs)
    else:
        yield from statement.test._rhs_signals()
        for _, body, _ in statement.cases:
            for inner in body:
                yield from reads(inner)


def index_signals(target: Value) -> Iterator[Signal]:
    match target:
        case Part():
            yield from target.offset._rhs_signals()
        case Concat():
            for part in target.parts:
                yield from index_signals(part)
        case Slice():
            yield from index_signals(target.value)


def groups(statements: list) -> list[list]:
    """Statements that assign to common signals, in order of first appearance."""
    found: list[tuple[set[int], list]] = []
    for statement in statements:
        signals = {id(s) for s in statement._lhs_signals()}
        joined = [group for group in found if group[0] & signals]
        merged = (signals.union(*(group[0] for group in joined)),
                  [s for group in joined for s in group[1]] + [statement])
        if joined:
            index = found.index(joined[0])
            found = [group for group in found if group not in joined]
            found.insert(index, merged)
        else:
            found.append(merged)
    order = {id(statement): index for index, statement in enumerate(statements)}
    return [sorted(group, key=lambda s: order[id(s)]) for _, group in found]


def joined_plain(groups: list[list]) -> list[list]:
    """Put all groups without conditions together, first."""
    plain = [statement for group in groups if all(isinstance(s, Assign) for s in group)
             for statement in group]
    rest = [group for group in groups if not all(isinstance(s, Assign) for s in group)]
    return ([plain] if plain else []) + rest


def covered_once(assigns: list[Assign], signals: dict[int, Signal]) -> bool:
    """Whether unconditional assignments drive every bit of ``signals`` exactly once."""
    driven = dict.fromkeys(signals, 0)
    for assign in assigns:
        for signal, start, stop in target_bits(assign.lhs):
            mask = ((1 << (stop - start)) - 1) << start
            if signal is None or driven[id(signal)] & mask:
                return False
            driven[id(signal)] |= mask
    return all(driven[key] == (1 << len(signal)) - 1 for key, signal in signals.items())


def target_bits(value: Value):
    """Yield (signal, start, stop) for what an assignment to ``value`` drives."""
    match value:
        case Signal():
            yield value, 0, len(value)
        case Slice():
            pieces = list(target_bits(value.value))
            if len(pieces) != 1 or pieces[0][0] is None:
                yield None, 0, 0
            else:
                signal, start, _ = pieces[0]
                yield signal, start + value.start, start + value.stop
        case Concat():
            for part in value.parts:
                yield from target_bits(part)
        case Operator():
            yield from target_bits(value.operands[0])
        case _:
            yield None, 0, 0


def overwritten(signal: Signal, statement) -> bool:
    return isinstance(statement, Assign) and statement.lhs is signal
