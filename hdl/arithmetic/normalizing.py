"""Positive integers as a power of two and what follows their leading one."""

from amaranth import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from systolith.hdl.arithmetic.shifting import LeadingZeros, Shifter


class Normalizer(wiring.Component):
    """Where the leading one of an integer is, and the bits that follow it.

    Parameters
    ----------
    width : int
        Bits of x, at least 2.
    bits : int
        How many of those that follow are wanted, less than ``width``.

    Members
    -------
    x : In(width)
    leading : Out
        Exponent of the power of two: 0 to ``width`` − 1.
    below : Out(bits)
        The bits that follow it, the highest first, zeros behind the last one.
    zero : Out(1)
        x was 0; the others are without meaning.

    Timing
    ------
    Latency :attr:`latency` cycles, one number per cycle.
    """

    #: The leading one is found in two cycles, and moved to the top in two, far and near.
    latency = 4

    def __init__(self, width: int, bits: int):
        self.width, self.bits = width, bits
        super().__init__({"x": In(width), "leading": Out(range(width)), "below": Out(bits),
                          "zero": Out(1)})

    def elaborate(self, platform):
        m = Module()
        width = self.width
        m.submodules.zeros = zeros = LeadingZeros(width, 1)
        x_before = Signal(width, reset_less=True)
        x = Signal(width, reset_less=True)
        count = Signal(len(zeros.count), reset_less=True)
        none = Signal(reset_less=True)
        m.d.comb += zeros.word.eq(self.x)
        m.d.sync += [x_before.eq(self.x), x.eq(x_before), count.eq(zeros.count),
                     none.eq(zeros.zero)]

        near_bits = (len(count) + 1) // 2
        far = (width - 1) >> near_bits
        near = min((1 << near_bits) - 1, width - 1)
        m.submodules.far = shift_far = Shifter(width, far, left=True, step=1 << near_bits)
        m.submodules.near = shift_near = Shifter(width, near, left=True)
        moved = Signal(width, reset_less=True)
        left = Signal(near_bits, reset_less=True)
        place = Signal(range(width), reset_less=True)
        nothing = Signal(reset_less=True)
        below = Signal(self.bits, name="following", reset_less=True)
        leading = Signal(range(width), name="power", reset_less=True)
        zero = Signal(name="is_zero", reset_less=True)
        m.d.comb += [
            shift_far.word.eq(x),
            shift_far.amount.eq(count[near_bits:]),
            shift_near.word.eq(moved),
            shift_near.amount.eq(left),
            self.below.eq(below),
            self.leading.eq(leading),
            self.zero.eq(zero),
        ]
        m.d.sync += [
            moved.eq(shift_far.result),
            left.eq(count[:near_bits]),
            place.eq(width - 1 - count),
            nothing.eq(none),
            below.eq(shift_near.result[width - 1 - self.bits:width - 1]),
            leading.eq(place),
            zero.eq(nothing),
        ]
        return m
