"""Arithmetic against its specification, at sizes where a solver decides every input.

Specifications are written another way than the components: sums of partial products, the equation
that a quotient solves, the bounds of an error.
"""

from collections.abc import Callable
from functools import partial, reduce
from operator import add

from amaranth.hdl import Cat, Const, Mux, Shape, Signal, Value, signed, unsigned

from systolith.fpga.design import Design
from systolith.generators.verilog import emit
from systolith.hdl.arithmetic.division import Divider
from systolith.hdl.arithmetic.multiplier import Multiplier
from systolith.hdl.arithmetic.popcount import Popcount
from systolith.hdl.arithmetic.rounding import FixedRounder
from systolith.hdl.arithmetic.shifting import LeadingZeros, Shifter
from systolith.hdl.arithmetic.square_root import SquareRoot
from systolith.hdl.formats import IntegerFormat
from systolith.hdl.structure.reduction import Reduction
from systolith.proofs.harness import Harness
from systolith.proofs.proof import Proof
from systolith.sim.cells import models

Edit = Callable[[str], str]


def _ago(h: Harness, value: Value, cycles: int, name: str) -> Value:
    for index in range(cycles):
        value = h.past(value, f"{name}_{index}")
    return value


def _settled(h: Harness, cycles: int) -> Value:
    """As many cycles have passed since the reset."""
    age = h.register(range(cycles + 2), "age")
    h.step(age, Mux(age == cycles, age, age + 1))
    return age == cycles


def _signed(value: Value, is_signed: bool) -> Value:
    return value.as_signed() if is_signed else value.as_unsigned()


def multiplier(edit: Edit, *, a: Shape, b: Shape, stages: int, technology: str = "generic"
               ) -> Harness:
    """The sum of the partial products."""
    component = Multiplier(a, b, stages, technology)
    emitted = emit(component, name="dut")
    text = emitted.text + (models(emitted.cells) if emitted.cells else "")
    h = Harness(Design("dut", text), edit)
    x = _signed(_ago(h, h.ports.a, component.latency, "a"), a.signed)
    y = _ago(h, h.ports.b, component.latency, "b")
    width = a.width + b.width
    total: Value = Const(0, signed(width + 1))
    for index in range(b.width):
        part = Mux(y[index], x << index, 0)
        total = total - part if b.signed and index == b.width - 1 else total + part
    h.check("product", ~_settled(h, component.latency) | (h.ports.p == total[:len(h.ports.p)]))
    h.cover("a product of large factors", y.all() & x.any())
    return h


def divider(edit: Edit, *, dividend: int, divisor: int, per_stage: int) -> Harness:
    """dividend = quotient · divisor + remainder, the remainder less than the divisor."""
    component = Divider(dividend, divisor, per_stage)
    h = Harness(component, edit)
    n = _ago(h, h.ports.dividend, component.latency, "n")
    d = _ago(h, h.ports.divisor, component.latency, "d")
    q, r = h.ports.quotient, h.ports.remainder
    known = _settled(h, component.latency)
    h.check("quotient and remainder", ~known | (d == 0) | ((q * d + r == n) & (r < d)))
    h.check("by zero", ~known | (d != 0) | (q.all() & (r == n[:len(r)])))
    h.cover("a remainder", known & (r == 2) & (q == 2))
    return h


def square_root(edit: Edit, *, width: int, per_stage: int) -> Harness:
    """x = root² + remainder, the remainder at most 2 · root."""
    component = SquareRoot(width, per_stage)
    h = Harness(component, edit)
    x = _ago(h, h.ports.x, component.latency, "x")
    root, rest = h.ports.root, h.ports.remainder
    h.check("root and remainder", ~_settled(h, component.latency)
            | ((root * root + rest == x) & (rest <= 2 * root)))
    h.cover("a remainder", (rest == 2) & (root == 2))
    return h


def popcount(edit: Edit, *, width: int, stages: int) -> Harness:
    """The sum of all bits."""
    h = Harness(Popcount(width, stages), edit)
    word = _ago(h, h.ports.bits, stages, "word")
    h.check("number of ones", ~_settled(h, stages) | (h.ports.total == reduce(add, word)))
    h.cover("all ones", h.ports.total == width)
    return h


def leading_zeros(edit: Edit, *, width: int) -> Harness:
    """What is left above the leading one is as many zeros as counted."""
    h = Harness(LeadingZeros(width), edit)
    word, count = h.ports.word, h.ports.count
    h.check("zero", h.ports.zero == (word == 0))
    h.check("the leading one is there", (word == 0) | ((word << count) >> (width - 1) == 1))
    h.cover("the lowest bit alone", word == 1)
    return h


def shifter(edit: Edit, *, width: int, most: int, left: bool) -> Harness:
    """Every bit is where the amount puts it."""
    h = Harness(Shifter(width, most, left=left), edit)
    word, amount = h.ports.word, h.ports.amount
    h.assume(amount <= most)
    wide = Cat(Const(0, most), word, Const(0, most))
    for amount_ in range(most + 1):
        start = most - amount_ if left else most + amount_
        kept = wide[start:start + width]
        lost = (Cat(wide[:start], wide[start + width:])).any()
        h.check(f"result by {amount_}", (amount != amount_) | (h.ports.result == kept))
        h.check(f"lost by {amount_}", (amount != amount_) | (h.ports.lost == lost))
    h.cover("by the most", (amount == most) & h.ports.lost)
    return h


def rounder(edit: Edit, *, bits: int, drop: int, target: int, rounding: str) -> Harness:
    """The nearest integer, ties as the name says; beyond the range, the last one."""
    source = IntegerFormat(bits, True, 0)
    result = IntegerFormat(target, True, drop)
    h = Harness(FixedRounder(source, result, rounding), edit)
    value = h.ports.value.as_signed()
    got = h.ports.result.as_signed()
    half, step = 1 << drop - 1, 1 << drop
    low, high = -(1 << target - 1), (1 << target - 1) - 1
    error = Signal(signed(bits + 2 + drop), name="error")         # of the result, in steps
    h.m.d.comb += error.eq((got << drop) - value)
    if rounding == "rne":
        near = (error < half) & (error > -half)
        right = near | (((error == half) | (error == -half)) & ~got[0])
    elif rounding == "half_away":
        near = (error < half) & (error > -half)
        right = near | Mux(value < 0, error == -half, error == half)
    else:
        right = Mux(value < 0, (error >= 0) & (error < step), (error <= 0) & (error > -step))
    h.check("rounded", h.ports.saturated | right)
    beyond_high = {"rne": (high << drop) + half,
                   "half_away": (high << drop) + half,
                   "toward_zero": (high + 1) << drop}[rounding]
    beyond_low = {"rne": (low << drop) - half - 1, "half_away": (low << drop) - half,
                  "toward_zero": (low - 1) << drop}[rounding]
    h.check("saturates where it must", h.ports.saturated == (
        (value >= beyond_high) | (value <= beyond_low)))
    h.check("saturates to the last integer",
            ~h.ports.saturated | (got == Mux(value < 0, low, high)))
    h.cover("a tie", (error == half) & ~h.ports.saturated if rounding != "toward_zero"
            else error != 0)
    return h


def reduction(edit: Edit, *, count: int, shape: Shape, operation: str) -> Harness:
    """The sum of all lanes; or one of them that none exceeds."""
    component = Reduction(count, shape, operation)
    h = Harness(component, edit)
    word = _ago(h, h.ports.i, component.latency, "i")
    lanes = [_signed(word.word_select(lane, shape.width), shape.signed) for lane in range(count)]
    got = _signed(h.ports.o, shape.signed)
    known = _settled(h, component.latency)
    if operation == "sum":
        h.check("sum", ~known | (got == reduce(add, lanes)))
    else:
        h.check("one of the lanes", ~known | Cat(lane == got for lane in lanes).any())
        h.check("none is larger", ~known | ~Cat(lane > got for lane in lanes).any())
    h.cover("the last lane alone", known & (got == 1) & (word[:(count - 1) * shape.width] == 0))
    return h


_MULTIPLIERS = (
    (signed(4), signed(4), 0, ("$signed(a) * $signed(b)", "$signed(a) * $signed({1'b0, b})")),
    (unsigned(4), signed(3), 1, ("{{2{b[2]}}, b}", "{2'd0, b}")),
    (unsigned(5), unsigned(4), 2, ("a * {1'd0, b}", "a[3:0] * {1'd0, b}")))

PROOFS: tuple[Proof, ...] = (
    *(Proof("Multiplier", f"{a!r} by {b!r}, {stages} stages",
            partial(multiplier, a=a, b=b, stages=stages), (change,))
      for a, b, stages, change in _MULTIPLIERS),
    *(Proof("Multiplier", f"signed(4) by signed(3) in a block of {technology}",
            partial(multiplier, a=signed(4), b=signed(3), stages=2, technology=technology),
            nightly=True) for technology in ("ecp5", "ice40", "gowin", "xilinx7")),
    Proof("Divider", "4 bits by 3, one per stage",
          partial(divider, dividend=4, divisor=3, per_stage=1), (
              ("difference_0[2:0] : joined_0[2:0]", "joined_0[2:0] : joined_0[2:0]"),)),
    Proof("Divider", "5 bits by 3, two per stage",
          partial(divider, dividend=5, divisor=3, per_stage=2), (
              ("stages_digits = {1'd0, dividend}", "stages_digits = {dividend, 1'd0}"),)),
    Proof("SquareRoot", "6 bits", partial(square_root, width=6, per_stage=1), (
        ("{root, 2'd1}", "{root, 2'd0}"),)),
    Proof("SquareRoot", "7 bits, two per stage", partial(square_root, width=7, per_stage=2), (
        ("stages_digits = {1'd0, x}", "stages_digits = {x, 1'd0}"),)),
    Proof("Popcount", "7 bits", partial(popcount, width=7, stages=0), (
        ("level_2[1] ^ level_2[2] ^ level_2[3]", "level_2[1] ^ level_2[2]"),)),
    Proof("Popcount", "10 bits, 2 stages", partial(popcount, width=10, stages=2), (
        ("total <= sum;", "total <= sum | 4'd1;"),)),
    Proof("LeadingZeros", "7 bits", partial(leading_zeros, width=7), (
        ("zero_1_3 ? count_1_2 : count_1_3", "zero_1_3 ? count_1_3 : count_1_2"),)),
    Proof("Shifter", "6 bits to the left", partial(shifter, width=6, most=5, left=True), (
        ("lost_1_0 | (amount[1] & (|word_1_0[5:4]))", "lost_1_0"),)),
    Proof("Shifter", "5 bits to the right", partial(shifter, width=5, most=7, left=False), (
        ("{2'd0, word_1_0[4:2]}", "{2'd0, word_1_0[3:1]}"),)),
    Proof("FixedRounder", "7 bits to 3, rne",
          partial(rounder, bits=7, drop=3, target=3, rounding="rne"), (
              ("{4'd0, wide[3]}", "{4'd0, 1'b1}"),)),
    Proof("FixedRounder", "7 bits to 3, half_away",
          partial(rounder, bits=7, drop=3, target=3, rounding="half_away"), (
              ("(~wide[6])", "1'b1"),)),
    Proof("FixedRounder", "7 bits to 3, toward_zero",
          partial(rounder, bits=7, drop=3, target=3, rounding="toward_zero"), (
              ("({4'd0, wide[2]} | {4'd0, below})", "{4'd0, below}"),)),
    Proof("Reduction", "maximum of 3 signed numbers",
          partial(reduction, count=3, shape=signed(3), operation="max"), (
              ("$signed(a) > $signed(b)", "a > b"),)),
    Proof("Reduction", "sum of 3 signed numbers",
          partial(reduction, count=3, shape=signed(3), operation="sum"), (
              ("{a[2], a} + {b[2], b}", "{a[2], a} + {1'b0, b}"),)),
)
