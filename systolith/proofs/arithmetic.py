"""Arithmetic against its specification, at sizes where a solver decides every input.

Specifications are written another way than the components: sums of partial products, the equation
that a quotient solves, the bounds of an error.
"""

from collections.abc import Sequence
from functools import reduce
from operator import add

from amaranth.hdl import Array, Cat, Const, Mux, Shape, Signal, Value, signed

from systolith.fpga.design import Design
from systolith.generators.verilog import emit
from systolith.hdl.arithmetic.alignment import AlignedAdder, RoundingShifter
from systolith.hdl.arithmetic.config import InverseParameters, Segments
from systolith.hdl.arithmetic.division import Divider
from systolith.hdl.arithmetic.inverse import Inverse, inverted_function
from systolith.hdl.arithmetic.multiplier import Multiplier
from systolith.hdl.arithmetic.piecewise import Piecewise, coefficients
from systolith.hdl.arithmetic.popcount import Popcount
from systolith.hdl.arithmetic.rounding import FixedRounder, FloatEncoder, SteppedRounder
from systolith.hdl.arithmetic.shifting import LeadingZeros, Shifter
from systolith.hdl.arithmetic.square_root import SquareRoot
from systolith.hdl.structure.reduction import Reduction
from systolith.proofs.harness import Edit, Harness, integer
from systolith.proofs.timing import ago, settled
from systolith.sim.cells import models


def multiplier(component: Multiplier, edit: Edit) -> Harness:
    """The sum of the partial products."""
    emitted = emit(component, name="dut")
    text = emitted.text + (models(emitted.cells) if emitted.cells else "")
    h = Harness(Design("dut", text), edit)
    a, b = component.a_shape, component.b_shape
    x = integer(ago(h, h.ports.a, component.latency, "a"), a.signed)
    y = ago(h, h.ports.b, component.latency, "b")
    width = a.width + b.width
    total: Value = Const(0, signed(width + 1))
    for index in range(b.width):
        part = Mux(y[index], x << index, 0)
        total = total - part if b.signed and index == b.width - 1 else total + part
    h.check("product", ~settled(h, component.latency) | (h.ports.p == total[:len(h.ports.p)]))
    h.cover("a product of large factors", y.all() & x.any())
    return h


def divider(component: Divider, edit: Edit) -> Harness:
    """dividend = quotient · divisor + remainder, the remainder less than the divisor."""
    h = Harness(component, edit)
    n = ago(h, h.ports.dividend, component.latency, "n")
    d = ago(h, h.ports.divisor, component.latency, "d")
    q, r = h.ports.quotient, h.ports.remainder
    known = settled(h, component.latency)
    h.check("quotient and remainder", ~known | (d == 0) | ((q * d + r == n) & (r < d)))
    h.check("by zero", ~known | (d != 0) | (q.all() & (r == n[:len(r)])))
    h.cover("a remainder", known & (r == 2) & (q == 2))
    return h


def square_root(component: SquareRoot, edit: Edit) -> Harness:
    """x = root² + remainder, the remainder at most 2 · root."""
    h = Harness(component, edit)
    x = ago(h, h.ports.x, component.latency, "x")
    root, rest = h.ports.root, h.ports.remainder
    h.check("root and remainder", ~settled(h, component.latency)
            | ((root * root + rest == x) & (rest <= 2 * root)))
    h.cover("a remainder", (rest == 2) & (root == 2))
    return h


def popcount(component: Popcount, edit: Edit) -> Harness:
    """The sum of all bits."""
    h = Harness(component, edit)
    word = ago(h, h.ports.bits, component.latency, "word")
    h.check("number of ones", ~settled(h, component.latency)
            | (h.ports.total == reduce(add, word)))
    h.cover("all ones", h.ports.total == len(word))
    return h


def leading_zeros(component: LeadingZeros, edit: Edit) -> Harness:
    """What is left above the leading one is as many zeros as counted."""
    h, width = Harness(component, edit), component.width
    word, count = ago(h, h.ports.word, component.latency, "word"), h.ports.count
    known = settled(h, component.latency)
    h.check("zero", ~known | (h.ports.zero == (word == 0)))
    h.check("the leading one is there", ~known | (word == 0)
            | ((word << count)[width - 1:] == 1))
    h.cover("the lowest bit alone", word == 1)
    return h


def shifter(component: Shifter, edit: Edit) -> Harness:
    """Every bit is where the amount puts it."""
    h, width, most = Harness(component, edit), component.width, component.most
    word, amount = h.ports.word, h.ports.amount
    h.assume(amount <= most)
    wide = Cat(Const(0, most), word, Const(0, most))
    amounts = range(0, most + 1, component.step)
    h.assume(Cat(amount == known for known in amounts).any())
    for known in amounts:
        start = most - known if component.left else most + known
        kept = wide[start:start + width]
        lost = (Cat(wide[:start], wide[start + width:])).any()
        h.check(f"result by {known}", (amount != known) | (h.ports.result == kept))
        h.check(f"lost by {known}", (amount != known) | (h.ports.lost == lost))
    h.cover("by the most", (amount == amounts[-1]) & h.ports.lost)
    return h


def rounding_shifter(component: RoundingShifter, edit: Edit) -> Harness:
    """The quotient, and whether it is rounded up."""
    h, width = Harness(component, edit), component.result_bits
    word, amount = h.ports.word.as_signed(), h.ports.amount
    h.assume(amount <= component.most)
    floor, up = _divided(h, word, amount, component.rounding)
    if width < component.width:          # no amount leaves more
        result = floor + up
        h.assume((result >= -(1 << width - 1)) & (result < 1 << width - 1))
    h.check("rounded down", h.ports.floor == floor[:width])
    h.check("rounded up", h.ports.up == up)
    h.cover("by the most", (amount == component.most) & (floor != 0))
    return h


def _divided(h: Harness, value: Value, places: Value, rounding: str) -> tuple[Signal, Signal]:
    """A signed number over 2^places, rounded down, and what ``rounding`` adds to that."""
    width, sign = len(value), value[-1]
    floor, up = Signal(signed(width), name="quotient"), Signal(name="up")
    nearest = rounding == "rne"
    # By so many places that nothing but the sign is left.
    h.m.d.comb += [floor.eq(Mux(sign, -1, 0)), up.eq(sign & nearest)]
    for count in range(width + 1):
        with h.m.If(places == count):
            kept, rest = Cat(value[count:], sign), value[:count]
            h.m.d.comb += floor.eq(kept.as_signed())
            if nearest:
                h.m.d.comb += up.eq(rest[-1:].any() & (rest[:-1].any() | kept[0]))
    return floor, up


def aligned_adder(component: AlignedAdder, edit: Edit) -> Harness:
    """The sum in units of the larger exponent, divided until it fits; rounded each time."""
    h, rounding = Harness(component, edit), component.rounding
    a, b, a_exponent, b_exponent = (
        ago(h, getattr(h.ports, name), component.latency, name)
        for name in ("a", "b", "a_exponent", "b_exponent"))
    bits = len(h.ports.total_exponent)
    exponent = Signal(bits + 1, name="exponent")
    h.m.d.comb += exponent.eq(Mux(a_exponent > b_exponent, a_exponent, b_exponent))
    parts = [part for value, own in ((a, a_exponent), (b, b_exponent))
             for part in _divided(h, value.as_signed(), exponent - own, rounding)]
    total = Signal(signed(component.largest.bit_length() + 2), name="sum_of_both")
    magnitude = Signal(len(total), name="magnitude")
    excess = Signal(range(len(total) + 1), name="excess")
    h.m.d.comb += [total.eq(reduce(add, parts)), magnitude.eq(Mux(total < 0, -total, total))]
    for count in range(1, len(total) - component.magnitude_bits + 1):
        with h.m.If(magnitude[component.magnitude_bits + count - 1:].any()):
            h.m.d.comb += excess.eq(count)
    floor, up = _divided(h, total, excess, rounding)
    known = (settled(h, component.latency) & (reduce(add, parts) == total)
             & (magnitude <= component.largest) & (b_exponent <= component.distances[0]))
    h.check("mantissa", ~known | (h.ports.total == (floor + up)[:len(h.ports.total)]))
    h.check("exponent", ~known | (h.ports.total_exponent == (exponent + excess)[:bits]))
    h.cover("an excess", known & (excess != 0) & (a_exponent != b_exponent))
    return h


def rounder(component: FixedRounder | SteppedRounder, edit: Edit) -> Harness:
    """The integer that the rounding's name says; beyond the range, the last one."""
    h = Harness(component, edit)
    source, target = component.source, component.target
    rounding = getattr(component, "rounding", "rne")
    value = integer(ago(h, h.ports.value, component.latency, "value"), source.signed)
    got = integer(h.ports.result, target.signed)
    least, most = component.values
    known = settled(h, component.latency) & (value >= least) & (value <= most)
    # Of the result, in steps of what is finer.
    drop = target.lsb_exponent - source.lsb_exponent
    if drop < 0:
        value, drop = value << -drop, 0
    step, half = 1 << drop, 1 << drop >> 1
    low, high = target.code_low, target.code_high
    if getattr(component, "symmetric", False):
        low = max(low, -high)
    error = Signal(signed(max(len(value), len(got) + drop) + 2), name="error")
    h.m.d.comb += error.eq((got << drop) - value)
    tie = (error == half) | (error == -half)
    near = (error < half) & (error > -half)
    down, up = (error <= 0) & (error > -step), (error >= 0) & (error < step)
    # Rounded as its name says; and the first values that are beyond the range.
    ends = {"nearest": ((high << drop) + half, (low << drop) - half),
            "down": ((high + 1) << drop, (low << drop) - 1),
            "up": ((high << drop) + 1, (low - 1) << drop)}
    right, beyond_high, beyond_low = {
        "rne": (near | (tie & ~got[0]), ends["nearest"][0], ends["nearest"][1] - (1 - low % 2)),
        "half_away": (near | Mux(value < 0, error == -half, error == half), *ends["nearest"]),
        "half_up": (near | (error == half), ends["nearest"][0], ends["nearest"][1] - 1),
        "toward_zero": (Mux(value < 0, up, down), ends["down"][0], ends["up"][1]),
        "floor": (down, *ends["down"]),
        "ceiling": (up, *ends["up"]),
    }[rounding] if drop else (error == 0, high + 1, low - 1)
    h.check("rounded", ~known | h.ports.saturated | right)
    h.check("saturates where it must", ~known | (h.ports.saturated == (
        (value >= beyond_high) | (value <= beyond_low))))
    h.check("saturates to the last integer",
            ~known | ~h.ports.saturated | (got == Mux(value < 0, low, high)))
    h.cover("a result", known & h.ports.result.any())
    return h


def float_encoder(component: FloatEncoder, edit: Edit) -> Harness:
    """The float that the rounding's name says, for each place of the leading bit and, below the
    normal numbers, each exponent; and what is none."""
    h, format, width = Harness(component, edit), component.format, component.width

    def given(name: str) -> Value:
        if hasattr(h.ports, name):
            return ago(h, getattr(h.ports, name), component.latency, name)
        return Const(0)

    sign, exponent, magnitude, sticky, inf, nan = map(
        given, ("sign", "exponent", "magnitude", "sticky", "inf", "nan"))

    def rounded(drop: int) -> Value:
        if drop <= 0:
            return magnitude << -drop
        kept, half = magnitude[drop:], magnitude[drop - 1:drop].any()
        beyond = magnitude[:drop - 1].any() | sticky
        return kept + {"rne": half & (beyond | kept[:1].any()), "half_away": half,
                       "toward_zero": Const(0)}[component.rounding]

    fraction, low = format.fraction_bits, format.exponent_low
    #: From that of the lowest bit to that of the smallest normal number.
    starts = [start - low for start in component.exponents]
    highest = max(starts[-1] + width - 1, 0) + 2 << fraction     # with a significand rounded up
    want = Signal(range(max(highest + 1, 1 << format.bits)), name="want")
    for place in range(width):
        normal = Signal(signed(len(exponent) + max(map(abs, (*starts, width))).bit_length() + 2),
                        name=f"normal_{place}")
        h.m.d.comb += normal.eq(exponent + (starts[0] + place))
        with h.m.If((magnitude[place:] == 1) & (normal >= 0)):
            h.m.d.comb += want.eq((normal << fraction) + rounded(place - fraction))
    for index, start in enumerate(starts):
        if start < 0:
            with h.m.If((exponent == index) & ~magnitude[-start:].any()):
                h.m.d.comb += want.eq(rounded(-start - fraction))

    known = settled(h, component.latency) & (exponent < len(starts)) & (
        ~sticky | (magnitude >> fraction + 2).any())
    over = want > format.high_code
    if not component.overflows:
        known &= ~over
    end = format.nan_code if format.inf_code is None else format.inf_code
    if component.saturate or end is None:
        end = format.high_code
    finite_end = format.high_code if component.rounding == "toward_zero" else end
    magnitude_code, number = h.ports.code[:-1], ~nan & ~inf
    h.check("to the nearest", ~(known & number & ~over) | (h.ports.code == Cat(
        want[:format.bits - 1], sign)))
    h.check("beyond the range", ~(known & number & over) | (
        (h.ports.code[-1] == sign) & (magnitude_code == finite_end)))
    h.check("infinite", ~(known & inf & ~nan) | (
        (h.ports.code[-1] == sign) & (magnitude_code == end)))
    h.check("no number", ~(known & nan) | (h.ports.code == (format.nan_code or 0)))
    h.check("told", ~known | ((h.ports.overflow == (over & number)) & (
        h.ports.invalid == (nan if format.nan_code is None else 0))))
    h.cover("a negative number", known & number & sign & want.any())
    return h


def piecewise(component: Piecewise, edit: Edit) -> Harness:
    """Horner's rule with the coefficients of the input's segment, as :class:`Segments` says it."""
    h, segments = Harness(component, edit), component.segments
    x = integer(ago(h, h.ports.x, component.latency, "x"), segments.source.signed)
    known = settled(h, component.latency)
    got = integer(h.ports.y, segments.target.signed)
    h.check("result", ~known | (
        got == on_curve(h, segments, component.coefficients, x)))
    last = segments.start + (segments.count - 1 << segments.segment_bits)
    h.cover("an input of the last segment", known & (x >= last))
    return h


def on_curve(h: Harness, segments: Segments, rows: Sequence[Sequence[int]], x: Value) -> Signal:
    """What a function by segments gives of x, with the coefficients of each."""
    low, high = segments.target.code_low, segments.target.code_high
    offset = Signal(range(segments.inputs), name="offset")
    h.m.d.comb += offset.eq(Mux(x < segments.start, segments.start,
                                Mux(x >= segments.stop, segments.stop - 1, x)) - segments.start)
    segment, fraction = offset[segments.segment_bits:], offset[:segments.segment_bits]
    *lower, value = (Array(column)[segment] for column in zip(*rows, strict=True))
    for index, coefficient in enumerate(reversed(lower)):
        product = Signal(signed(len(value) + len(fraction) + 1), name=f"product_{index}")
        h.m.d.comb += product.eq(value * fraction)
        value = coefficient + (product >> segments.segment_bits)
    if segments.guard:
        value = (value + (1 << segments.guard - 1)) >> segments.guard
    limited = Signal(Shape(segments.target.bits, segments.target.signed), name="limited")
    h.m.d.comb += limited.eq(Mux(value < low, low, Mux(value > high, high, value)))
    return limited


def inverse(component: Inverse, edit: Edit) -> Harness:
    """The curve of what follows the leading one, and where that is."""
    h = Harness(component, edit)
    x = ago(h, h.ports.x, component.latency, "x")
    known = settled(h, component.latency)
    mantissa, exponent = inverted(h, component.parameters, x)
    h.check("zero", ~known | (h.ports.zero == (x == 0)))
    h.check("mantissa", ~known | (x == 0) | (h.ports.mantissa == mantissa))
    h.check("exponent", ~known | (x == 0) | (h.ports.exponent == exponent))
    h.cover("of the largest number", known & x.all())
    return h


def inverted(h: Harness, parameters: InverseParameters, x: Value) -> tuple[Signal, Value]:
    """Mantissa and exponent of 1/x or 1/√x; x is not 0."""
    segments = parameters.segments
    rows = coefficients(inverted_function(parameters), segments)
    width, bits = parameters.width, parameters.fraction_bits
    leading, below = Signal(range(width), name="leading"), Signal(bits, name="below")
    for index in range(width):
        with h.m.If(x[index]):
            follows = x[max(index - bits, 0):index]
            h.m.d.comb += [leading.eq(index), below.eq(follows << bits - len(follows))]
    if parameters.root:
        return on_curve(h, segments, rows, Cat(below, leading[0])), leading[1:]
    return on_curve(h, segments, rows, below), leading


def reduction(component: Reduction, edit: Edit) -> Harness:
    """The sum of all lanes; or one of them that none exceeds."""
    h, shape = Harness(component, edit), component.shape
    word = ago(h, h.ports.i, component.latency, "i")
    lanes = [integer(word.word_select(lane, shape.width), shape.signed)
             for lane in range(component.count)]
    got = integer(h.ports.o, shape.signed)
    known = settled(h, component.latency)
    if component.operation == "sum":
        h.check("sum", ~known | (got == reduce(add, lanes)))
    else:
        h.check("one of the lanes", ~known | Cat(lane == got for lane in lanes).any())
        h.check("none is larger", ~known | ~Cat(lane > got for lane in lanes).any())
    h.cover("the last lane alone",
            known & (got == 1) & (word[:(component.count - 1) * shape.width] == 0))
    return h
