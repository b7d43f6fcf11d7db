"""Exact square roots of integers."""

from amaranth import Cat, Const, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from systolith.hdl.structure.linear_array import LinearArray


class SquareRoot(wiring.Component):
    """⌊√x⌋ of an unsigned integer, and x − ⌊√x⌋², pipelined.

    Restoring, one bit of the root per subtraction.

    Parameters
    ----------
    width : int
        Bits of x.
    bits_per_stage : int
        Bits of the root between registers.

    Members
    -------
    x : In(width)
    root : Out(ceil(width / 2))
    remainder : Out(ceil(width / 2) + 1)

    Timing
    ------
    Latency ``ceil(ceil(width / 2) / bits_per_stage)`` cycles, one root per cycle.
    """

    def __init__(self, width: int, bits_per_stage: int = 1):
        for name, value in (("width", width), ("bits_per_stage", bits_per_stage)):
            if value < 1:
                raise ValueError(f"{name} must be at least 1, not {value}")
        root_bits = -(-width // 2)
        self.bits_per_stage = bits_per_stage
        self.latency = -(-root_bits // bits_per_stage)
        super().__init__({"x": In(width), "root": Out(root_bits), "remainder": Out(root_bits + 1)})

    def elaborate(self, platform):
        m = Module()
        bits = self.bits_per_stage
        root_bits = self.latency * bits                  # leading zeros fill the first stage
        m.submodules.stages = stages = LinearArray(
            lambda: SquareRootStage(root_bits, bits), self.latency, name="square_root_stage",
            chain={"root": "root_out", "remainder": "remainder_out", "digits": "digits_out"})
        m.d.comb += [
            stages.root.eq(0),
            stages.remainder.eq(0),
            stages.digits.eq(self.x),
            self.root.eq(stages.root_out),
            self.remainder.eq(stages.remainder_out),
        ]
        return m


class SquareRootStage(wiring.Component):
    """Some bits of a square root, and registers behind them.

    Parameters
    ----------
    root_bits : int
        Of the whole root.
    bits : int
        Found here.

    Members
    -------
    root, root_out : width root_bits
        What is known of the root.
    remainder, remainder_out : width root_bits + 1
    digits, digits_out : width 2 * root_bits
        What is left of x, from the top.
    """

    def __init__(self, root_bits: int, bits: int):
        self.bits = bits
        super().__init__({
            "root": In(root_bits), "remainder": In(root_bits + 1), "digits": In(2 * root_bits),
            "root_out": Out(root_bits), "remainder_out": Out(root_bits + 1),
            "digits_out": Out(2 * root_bits),
        })

    def elaborate(self, platform):
        m = Module()
        root, remainder, digits = self.root, self.remainder, self.digits
        for step in range(self.bits):
            joined = Signal(len(remainder) + 2, name=f"joined_{step}")
            difference = Signal(len(joined) + 1, name=f"difference_{step}")
            kept = Signal(len(remainder), name=f"kept_{step}")
            longer = Signal(len(root), name=f"root_{step}")
            fits = ~difference[-1]
            m.d.comb += [
                joined.eq(Cat(digits[-2:], remainder)),
                # (2r + 1)² − (2r)² = 4r + 1, on a remainder that two digits have joined.
                difference.eq(joined - Cat(Const(1, 2), root)),
                kept.eq(Mux(fits, difference[:len(kept)], joined[:len(kept)])),
                longer.eq(Cat(fits, root)),
            ]
            root, remainder, digits = longer, kept, Cat(Const(0, 2), digits[:-2])
        registers = []
        for value, name in ((root, "root"), (remainder, "remainder"), (digits, "digits")):
            register = Signal(len(value), name=f"{name}_stage", reset_less=True)
            m.d.sync += register.eq(value)
            registers.append(register)
        m.d.comb += [self.root_out.eq(registers[0]), self.remainder_out.eq(registers[1]),
                     self.digits_out.eq(registers[2])]
        return m
