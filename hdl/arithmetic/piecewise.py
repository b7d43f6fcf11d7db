"""Functions of one number as tables, lines or parabolas in fixed point."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import cached_property

from amaranth import Const, Module, Mux, Shape, Signal
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from systolith.hdl.arithmetic.config import MAX_BOUNDED, Segments
from systolith.hdl.arithmetic.multiplier import Multiplier
from systolith.hdl.arithmetic.steps import shape, signal_of
from systolith.hdl.formats import IntegerFormat

Function = Callable[[float], float]

#: Inputs that are tried one by one; of more, so many are, evenly spread.
EXHAUSTIVE = MAX_BOUNDED
MULTIPLIER_STAGES = 2
#: Registers before the first multiplication: the address, the table, its output.
TABLE_STAGES = 3


class Piecewise(wiring.Component):
    """A function as equal segments with a polynomial each; :class:`Segments` says what it gives.

    The coefficients are computed from the function. For a function to a given error, see
    :func:`fit`.

    Parameters
    ----------
    function : callable
        From float to float; defined on every segment, the end of the last one included.
    segments : Segments
    technology : str
        As in :class:`Multiplier`.

    Members
    -------
    x : In
        Bits of ``segments.source``.
    y : Out
        Bits of ``segments.target``.

    Attributes
    ----------
    coefficients : list of tuple of int
        c₀ … c_d of every segment.
    reach : tuple of int
        The least and the largest result, in units of the target: exact, but for segments of more
        than 2^16 inputs that may go beyond the target's range.
    max_error : float
        The largest difference from the function for the inputs from ``start`` to ``stop`` − 1:
        of all of them where there are at most 2^16, otherwise of so many, evenly spread, and of the
        ends of all segments.

    Timing
    ------
    Latency :attr:`latency` cycles: 3 for a table, and 3 per degree and 1 for others; one result per
    cycle.
    """

    def __init__(self, function: Function, segments: Segments, technology: str = "generic"):
        self.function, self.segments, self.technology = function, segments, technology
        self.latency = piecewise_latency(segments)
        super().__init__({"x": In(shape(segments.source)), "y": Out(shape(segments.target))})

    @cached_property
    def coefficients(self) -> list[tuple[int, ...]]:
        return coefficients(self.function, self.segments)

    @cached_property
    def max_error(self) -> float:
        return max(abs(error) for error in errors(self.function, self.segments, self.coefficients))

    @cached_property
    def reach(self) -> tuple[int, int]:
        target, (low, high) = self.segments.target, self._unlimited_reach
        return max(low, target.code_low), min(high, target.code_high)

    @cached_property
    def _unlimited_reach(self) -> tuple[int, int]:
        return _reach(self.segments, self.coefficients)

    def elaborate(self, platform):
        m = Module()
        segments, rows = self.segments, self.coefficients
        bits, degree = segments.segment_bits, segments.degree
        if not degree:
            inputs = range(segments.start, segments.stop, 1 << bits)
            rows = [(_result(segments, rows, x),) for x in inputs]
        shapes = [_holding(column) for column in zip(*rows, strict=True)]

        offset = Signal(range(segments.inputs), name="offset", reset_less=True)
        m.d.sync += offset.eq(self._offset())
        m.submodules.rows = table = Memory(
            shape=sum(each.width for each in shapes), depth=max(segments.count, 2),
            init=[_joined(row, shapes) for row in rows])
        read = table.read_port()
        m.d.comb += read.addr.eq(offset[bits:])
        row = Signal(len(read.data), name="row", reset_less=True)
        m.d.sync += row.eq(read.data)
        terms, start = [], 0
        for index, each in enumerate(shapes):
            term = Signal(each, name=f"c{index}")
            m.d.comb += term.eq(row[start:start + each.width])
            terms.append(term)
            start += each.width

        value = terms.pop()
        if degree:
            fraction = signal_of(m, offset[:bits], "fraction")
            fractions = _delays(m, fraction, 2 + (degree - 1) * STEP_STAGES)
            ranges = _ranges(segments, rows)
            for index in reversed(range(degree)):
                age = (degree - 1 - index) * STEP_STAGES
                value = self._horner(m, index, value, fractions[2 + age], terms[index], age,
                                     next(ranges))
            value = _register(m, self._limited(m, value, next(ranges)), "limited")
        m.d.comb += self.y.eq(value)
        return m

    def _offset(self):
        """x − start, limited to the inputs there are."""
        segments = self.segments
        x = self.x
        if segments.start > segments.source.code_low:
            x = Mux(self.x < segments.start, segments.start, x)
        if segments.stop <= segments.source.code_high:
            x = Mux(self.x >= segments.stop, segments.stop - 1, x)
        return x - segments.start if segments.start else x

    def _horner(self, m: Module, index: int, value, fraction, constant, age: int,
                number: IntegerFormat):
        """constant + ⌊value·f / 2^k⌋, :data:`STEP_STAGES` cycles later.

        The constant is ``age`` cycles ahead of the value; ``number`` holds every result.
        """
        bits = self.segments.segment_bits
        constant = _delays(m, constant, age + MULTIPLIER_STAGES)[-1]
        multiply = Multiplier(value.shape(), fraction.shape(), MULTIPLIER_STAGES, self.technology)
        m.submodules[f"multiply_{index}"] = multiply
        m.d.comb += [multiply.a.eq(value), multiply.b.eq(fraction)]
        total = Signal(shape(number), name=f"t{index}", reset_less=True)
        term = signal_of(m, multiply.p.shift_right(bits), f"term_{index}")
        m.d.sync += total.eq(constant + term)
        return total

    def _limited(self, m: Module, value, number: IntegerFormat):
        """The value without its guard bits, in the range of the result."""
        target, guard = self.segments.target, self.segments.guard
        if guard:
            nudged = Signal(Shape(number.bits + 1, number.signed), name="nudged")
            m.d.comb += nudged.eq(value + (1 << guard - 1))
            value = nudged.shift_right(guard)
        low, high = self._unlimited_reach
        # Both ends of the range are where the bits above it begin.
        exact = signal_of(m, value, "exact")
        digits = target.bits - target.signed
        negative = exact[-1] if number.signed else Const(0, 1)
        sign = len(exact) - number.signed
        above = exact[min(digits, sign):sign]
        result = Signal(shape(target), name="result")
        m.d.comb += result.eq(exact)
        if high > target.code_high:
            with m.If(~negative & above.any()):
                m.d.comb += result.eq(target.code_high)
        if low < target.code_low:
            with m.If(negative & ~above.all() if target.signed else negative):
                m.d.comb += result.eq(target.code_low)
        return result


STEP_STAGES = MULTIPLIER_STAGES + 1


def piecewise_latency(segments: Segments) -> int:
    """Cycles that a :class:`Piecewise` takes."""
    return TABLE_STAGES + (segments.degree * STEP_STAGES + 1 if segments.degree else 0)


def fit(function: Function, source: IntegerFormat, target: IntegerFormat, *,
        start: float | None = None, stop: float | None = None, max_error: float | None = None,
        count: int | None = None, degree: int = 1, technology: str = "generic") -> Piecewise:
    """The function with the fewest segments for an error, or with a number of segments.

    Parameters
    ----------
    function : callable
    source, target : IntegerFormat
        Formats of input and result.
    start, stop : float, optional
        Interval of inputs, ``stop`` not included; by default all that ``source`` has.
    max_error : float, optional
        The largest difference from the function, at least half a unit of ``target``.
    count : int, optional
        At most so many segments; instead of ``max_error``.
    degree : int
        0 for a table, 1 for lines, 2 for parabolas.

    Raises
    ------
    ValueError
        If no number of segments reaches ``max_error``, or an argument is out of range.
    """
    if (max_error is None) == (count is None):
        raise ValueError("give either max_error or count")
    unit = 2.0**source.lsb_exponent
    first = source.code_low if start is None else math.ceil(start / unit)
    last = source.code_high + 1 if stop is None else math.ceil(stop / unit)
    whole = (last - first - 1).bit_length()
    choice = Segments(source, target, first, last, whole, degree, guard=4 if degree else 0)
    for bits in range(whole, -1, -1):
        finer = replace(choice, segment_bits=bits)
        if count is not None and finer.count > count:
            break
        choice = finer
        if max_error is not None and _within(function, choice, max_error):
            break
    else:
        if max_error is not None:
            raise ValueError(f"no number of segments of degree {degree} has an error of at most "
                             f"{max_error:g} in units of {2.0**target.lsb_exponent:g}")
    if count is not None and choice.count > count:
        raise ValueError(f"count must be at least 1, not {count}")
    return Piecewise(function, choice, technology)


def coefficients(function: Function, segments: Segments) -> list[tuple[int, ...]]:
    """c₀ … c_d of every segment, as :class:`Segments` defines them."""
    unit = 2.0**segments.source.lsb_exponent
    width = 1 << segments.segment_bits
    scale = 2.0**-segments.coefficient_lsb

    def at(segment: int, u: float) -> float:
        return function((segments.start + (segment + u) * width) * unit) * scale

    rows: list[tuple[int, ...]] = []
    for segment in range(segments.count):
        if segments.fit == "endpoints":
            left, right = round(at(segment, 0)), round(at(segment, 1))
            rows.append((left, right - left))
        elif segments.degree == 0:
            rows.append((round(at(segment, (1 - 1 / width) / 2)),))
        else:
            nodes = _nodes(segments.degree)
            rows.append(_through(nodes, [at(segment, node) for node in nodes]))
    if segments.bound == "below":
        above = max(_unlimited(function, segments, rows))
        lower = max(math.ceil(above * scale), 0)
        while lower and max(_unlimited(function, segments, _lowered(rows, lower - 1))) <= 0:
            lower -= 1
        while max(_unlimited(function, segments, _lowered(rows, lower))) > 0:
            lower += 1
        rows = _lowered(rows, lower)
    return rows


def errors(function: Function, segments: Segments,
           rows: Sequence[Sequence[int]]) -> Iterator[float]:
    """Result minus function for the inputs from start to stop, as many as are tried."""
    unit, worth = 2.0**segments.source.lsb_exponent, 2.0**segments.target.lsb_exponent
    for x in _inputs(segments):
        yield _result(segments, rows, x) * worth - function(x * unit)


def _unlimited(function, segments, rows) -> Iterator[float]:
    unit, worth = 2.0**segments.source.lsb_exponent, 2.0**segments.target.lsb_exponent
    for x in _inputs(segments):
        yield _evaluate(segments, rows, x) * worth - function(x * unit)


def _lowered(rows, by: int) -> list[tuple[int, ...]]:
    return [(row[0] - by, *row[1:]) for row in rows]


def _within(function: Function, segments: Segments, limit: float) -> bool:
    rows = coefficients(function, segments)
    return all(abs(error) <= limit for error in errors(function, segments, rows))


def _inputs(segments: Segments) -> Iterator[int]:
    if segments.inputs <= EXHAUSTIVE:
        yield from range(segments.start, segments.stop)
        return
    width = 1 << segments.segment_bits
    for first in range(segments.start, segments.stop, width):
        yield first
        yield min(first + width, segments.stop) - 1
    yield from range(segments.start, segments.stop, segments.inputs // EXHAUSTIVE)


def _evaluate(segments: Segments, rows: Sequence[Sequence[int]], x: int) -> int:
    """The result for an input from start to stop, without the limits of its format."""
    segment, fraction = divmod(x - segments.start, 1 << segments.segment_bits)
    value = rows[segment][-1]
    for coefficient in rows[segment][-2::-1]:
        value = coefficient + (value * fraction >> segments.segment_bits)
    return _without(value, segments.guard)


def _result(segments: Segments, rows: Sequence[Sequence[int]], x: int) -> int:
    target = segments.target
    return min(max(_evaluate(segments, rows, x), target.code_low), target.code_high)


def _without(value: int, guard: int) -> int:
    """The value without guard bits, to nearest, halves up."""
    return value + (1 << guard - 1) >> guard if guard else value


def _ranges(segments: Segments, rows: Sequence[Sequence[int]]) -> Iterator[IntegerFormat]:
    """Formats of t after each step of Horner's rule, the last one twice."""
    numbers = [IntegerFormat.holding(min(low for low, _ in ends), max(high for _, high in ends))
               for ends in _steps(segments, rows)]
    yield from (*numbers[1:], numbers[-1])


def _steps(segments: Segments, rows: Sequence[Sequence[int]]) -> Iterator[list[tuple[int, int]]]:
    """Bounds of t in every segment: of the last coefficient, and after each step."""
    bits = segments.segment_bits
    fraction = (1 << bits) - 1
    ends = [(row[-1], row[-1]) for row in rows]
    yield ends
    for index in reversed(range(segments.degree)):
        moved = [(min(low * fraction >> bits, 0), max(high * fraction >> bits, 0))
                 for low, high in ends]
        ends = [(row[index] + low, row[index] + high)
                for row, (low, high) in zip(rows, moved, strict=True)]
        yield ends


def _reach(segments: Segments, rows: Sequence[Sequence[int]]) -> tuple[int, int]:
    """The least and the largest result without the limits of its format.

    Intervals say what each segment can give; one that may leave the format is tried input by input.
    """
    target, width = segments.target, 1 << segments.segment_bits
    *_, bounds = _steps(segments, rows)
    ends = []
    for index, (low, high) in enumerate(bounds):
        low, high = (_without(end, segments.guard) for end in (low, high))
        if width <= EXHAUSTIVE and not target.code_low <= low <= high <= target.code_high:
            first = segments.start + index * width
            results = [_evaluate(segments, rows, x)
                       for x in range(first, min(first + width, segments.stop))]
            low, high = min(results), max(results)
        ends += [low, high]
    return min(ends), max(ends)


def _nodes(degree: int) -> list[float]:
    count = degree + 1
    return [(1 - math.cos((2 * index + 1) * math.pi / (2 * count))) / 2 for index in range(count)]


def _through(nodes: list[float], values: list[float]) -> tuple[int, ...]:
    """Coefficients of the line or parabola through two or three points, rounded."""
    slope = (values[1] - values[0]) / (nodes[1] - nodes[0])
    if len(nodes) == 2:
        return round(values[0] - slope * nodes[0]), round(slope)
    last = (values[2] - values[1]) / (nodes[2] - nodes[1])
    bend = (last - slope) / (nodes[2] - nodes[0])
    linear = slope - bend * (nodes[0] + nodes[1])
    return (round(values[0] - nodes[0] * (slope - bend * nodes[1])), round(linear), round(bend))


def _holding(values: Sequence[int]) -> Shape:
    return shape(IntegerFormat.holding(min(values), max(values)))


def _joined(row: Sequence[int], shapes: Sequence[Shape]) -> int:
    word, start = 0, 0
    for value, each in zip(row, shapes, strict=True):
        word |= (value & (1 << each.width) - 1) << start
        start += each.width
    return word


def _register(m: Module, value, name: str) -> Signal:
    register = Signal(value.shape(), name=name, reset_less=True)
    m.d.sync += register.eq(value)
    return register


def _delays(m: Module, signal: Signal, cycles: int) -> list[Signal]:
    """The signal, and its registers after 1 to ``cycles`` cycles."""
    values = [signal]
    for cycle in range(cycles):
        values.append(_register(m, values[-1], f"{signal.name}_{cycle + 1}"))
    return values
