"""Random components: whatever Amaranth can express, the emitter prints with the same meaning."""

import random

import pytest
from amaranth import Array, Cat, Const, Module, Mux, Shape, Signal, signed, unsigned
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

WIDEST = 24

#: Seeds of components to which Amaranth's back end and the emitter give different circuits, and
#: Amaranth's simulator the emitter's. No part of the library is among them:
#: test_verilog_equivalence.py.
DISPUTED = {36, 1013}
FACTOR = 5                     # bits of a factor of a product, which bounds the work of the proof


class RandomComponent(wiring.Component):
    """Random expressions in nested conditions, combinational or with registers."""

    def __init__(self, seed: int, *, registers: bool = False):
        self.seed, self.registers = seed, registers
        rng = random.Random(seed)
        shapes = [Shape(rng.randint(1, 9), rng.random() < 0.5) for _ in range(9)]
        ports = {f"i{index}": In(shape) for index, shape in enumerate(shapes[:5])}
        ports |= {"nothing": In(0)}
        ports |= {f"o{index}": Out(shape) for index, shape in enumerate(shapes[5:])}
        super().__init__(ports)

    def elaborate(self, platform):
        m = Module()
        self.rng = random.Random(self.seed + 1)
        self.known = [getattr(self, f"i{index}") for index in range(5)] + [self.nothing]
        outputs = [getattr(self, f"o{index}") for index in range(4)]
        inner = [self.signal(f"t{index}") for index in range(4)]
        for target in (*inner, *outputs):
            clocked = self.registers and self.rng.random() < 0.5
            if clocked:                                  # a register has all its bits assigned
                m.d.sync += target.eq(self.value(2))
            self.drive(m, m.d.sync if clocked else m.d.comb, target, depth=2)
            self.known.append(target)
        return m

    def signal(self, name) -> Signal:
        shape, resets = self.shape(), self.rng.random() < 0.5
        return Signal(shape, name=name, reset_less=not resets,
                      init=self.rng.choice([0, -1 if shape.signed else 1]) if resets else 0)

    def shape(self) -> Shape:
        return Shape(self.rng.randint(1, 9), self.rng.random() < 0.5)

    def drive(self, m, domain, target, depth):
        for _ in range(self.rng.randint(1, 2)):
            kind = self.rng.choice(["assign", "assign", "if", "switch"]) if depth else "assign"
            if kind == "assign":
                domain += self.target(target).eq(self.value(3))
            elif kind == "if":
                with m.If(self.condition(2)):
                    self.drive(m, domain, target, depth - 1)
                for _ in range(self.rng.randint(0, 2)):
                    with m.Elif(self.condition(1)):
                        self.drive(m, domain, target, depth - 1)
                if self.rng.random() < 0.5:
                    with m.Else():
                        self.drive(m, domain, target, depth - 1)
            else:
                self.switch(m, domain, target, depth)

    def switch(self, m, domain, target, depth):
        test = self.value(1)
        if not len(test):
            return self.drive(m, domain, target, 0)      # Yosys takes no case of such a switch
        with m.Switch(test):
            for _ in range(self.rng.randint(1, 4)):
                patterns = ["".join(self.rng.choice("01-") for _ in range(len(test)))
                            for _ in range(self.rng.randint(1, 3))]
                with m.Case(*patterns):
                    self.drive(m, domain, target, depth - 1)
            if self.rng.random() < 0.5:
                with m.Default():
                    self.drive(m, domain, target, depth - 1)

    def target(self, signal):
        """The signal or a part of it."""
        width = len(signal)
        match self.rng.randrange(6):
            case 0:
                start = self.rng.randrange(width)
                return signal[start:self.rng.randint(start, width)]
            case 1 if width >= 2:
                cut = self.rng.randrange(1, width)
                return Cat(signal[:cut], signal[cut:].as_signed())
            case 2 if width >= 2 and width % 2 == 0:
                return signal.word_select(self.offset(1), width // 2)
            case _:
                return signal

    def offset(self, bits):
        return self.value(1)[:bits] if bits else Const(0, 0)

    def value(self, depth):
        value = self.operation(depth) if depth else self.leaf()
        return value[:WIDEST] if len(value) > WIDEST else value

    def leaf(self):
        if self.rng.random() < 0.2:
            shape = self.shape()
            return Const(self.rng.randrange(1 << shape.width), shape)
        return self.rng.choice(self.known)

    def condition(self, depth):
        value = self.value(depth)
        return value.bool() if value.shape().signed else value

    def factor(self, value):
        value = value if len(value) <= FACTOR else value[:FACTOR]
        return value.as_signed() if len(value) and self.rng.random() < 0.3 else value

    def operation(self, depth):
        rng = self.rng
        a, b, c = (self.value(depth - 1) for _ in range(3))
        match rng.randrange(24):
            case 0:
                return a + b
            case 1:
                return a - b
            case 2:
                return self.factor(a) * self.factor(b)
            case 3:
                return a & b
            case 4:
                return a | b
            case 5:
                return a ^ b
            case 6:
                return ~a
            case 7:
                return -a
            case 8:
                return rng.choice([a < b, a <= b, a > b, a >= b])
            case 9:
                return rng.choice([a == b, a != b])
            case 10:
                return a << b[:3].as_unsigned()
            case 11:
                return a >> b[:4].as_unsigned()
            case 12:
                return Cat(a, b, c)
            case 13:
                start = rng.randint(0, len(a))
                return a[start:rng.randint(start, len(a))]
            case 14 | 15:
                return Mux(a, b, c)
            case 16:
                return rng.choice([a.any(), a.all(), a.xor(), a.bool()])
            case 17:
                return a.as_signed() if len(a) else a
            case 18:
                return a.as_unsigned()
            # Of unsigned values: past the end of a signed one, Amaranth's back end gives zeros, its
            # simulator and the emitter give signs.
            case 19:
                return a.as_unsigned().bit_select(b[:3].as_unsigned(), rng.randint(0, 4))
            case 20:
                return a.as_unsigned().word_select(b[:2].as_unsigned(), rng.randint(1, 4))
            case 21:
                return a[:6].replicate(rng.randint(0, 3))
            case 22:
                index = self.leaf()[:2].as_unsigned()
                return Array([a, b, c])[index] if len(index) else a      # as in `switch`
            case _:
                return abs(a)


@pytest.mark.parametrize("block", range(6))
def test_combinational(prover, block):
    prover.prove(*(lambda seed=seed: RandomComponent(seed)
                   for seed in range(20 * block, 20 * block + 20)
                   if seed not in DISPUTED))


@pytest.mark.parametrize("block", range(2))
def test_registers(prover, block):
    prover.prove(*(lambda seed=seed: RandomComponent(seed, registers=True)
                   for seed in range(1000 + 12 * block, 1012 + 12 * block)
                   if seed not in DISPUTED), steps=4)


class LateAssignment(wiring.Component):
    """Registers assigned in a branch, and then, whole or in part, after a branch inside it."""

    def __init__(self):
        super().__init__({"outer": In(1), "inner": In(1), "value": In(4), "whole": Out(4),
                          "part": Out(4)})

    def elaborate(self, platform):
        m = Module()
        with m.If(self.outer):
            with m.If(self.inner):
                m.d.sync += [self.whole.eq(1), self.part.eq(2)]
            with m.Else():
                m.d.sync += [self.whole.eq(3), self.part.eq(5)]
            m.d.sync += [self.whole.eq(self.value), self.part[:2].eq(self.value)]
        return m


def test_late_assignments(prover):
    """Yosys would move them in front of the inner branch."""
    prover.prove(LateAssignment, steps=4)
    prover.refute(LateAssignment, lambda text: text.replace("if (1'b1) part", "part"), steps=4)


class Pair(wiring.Component):
    """One operator on two inputs."""

    def __init__(self, function, a, b):
        self.function = function
        shape = Shape.cast(Signal.like(function(Signal(a), Signal(b))).shape())
        super().__init__({"a": In(a), "b": In(b), "y": Out(shape), "wide": Out(signed(12)),
                          "narrow": Out(2)})

    def elaborate(self, platform):
        m = Module()
        value = self.function(self.a, self.b)
        m.d.comb += [self.y.eq(value), self.wide.eq(value), self.narrow.eq(value)]
        return m


OPERATORS = {
    "add": lambda a, b: a + b, "subtract": lambda a, b: a - b, "multiply": lambda a, b: a * b,
    "and": lambda a, b: a & b, "or": lambda a, b: a | b, "xor": lambda a, b: a ^ b,
    "less": lambda a, b: a < b, "at_most": lambda a, b: a <= b, "more": lambda a, b: a > b,
    "at_least": lambda a, b: a >= b, "equal": lambda a, b: a == b, "unequal": lambda a, b: a != b,
    "left": lambda a, b: a << b.as_unsigned(), "right": lambda a, b: a >> b.as_unsigned(),
    "negated_sum": lambda a, b: -(a + b), "inverted_difference": lambda a, b: ~(a - b),
    "sum_of_products": lambda a, b: a * b + (a - b),
    "shifted_sum": lambda a, b: (a + b) >> 1, "select": lambda a, b: Mux(a < b, a, b),
    "sign_of_sum": lambda a, b: (a + b)[-1], "reinterpreted": lambda a, b: (a ^ b).as_signed() + a,
}
SHAPES = [unsigned(1), signed(1), unsigned(3), signed(4)]


@pytest.mark.parametrize("operator", OPERATORS)
def test_each_operator_on_all_signs_and_widths(prover, operator):
    function = OPERATORS[operator]
    prover.prove(*(lambda a=a, b=b: Pair(function, a, b) for a in SHAPES for b in SHAPES))


@pytest.mark.parametrize(("operator", "old", "new"), [
    ("add", "+", "-"), ("and", "&", "|"), ("less", "<", "<="), ("right", ">>>", ">>"),
    ("multiply", "$signed(a)", "a"), ("select", "?", "^ 1'b1 ?"),
])
def test_a_wrong_operator_is_refuted(prover, operator, old, new):
    prover.refute(lambda: Pair(OPERATORS[operator], signed(4), signed(3)),
                  lambda text: text.replace(old, new, 1) if operator != "less"
                  else text.replace(f" {old} ", f" {new} ", 1))
