"""Serial dividers that take turns."""

from amaranth import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from systolith.hdl.arithmetic.division import SerialDivider
from systolith.hdl.structure.linear_array import LinearArray


class TaggedDivider(wiring.Component):
    """Serial divider that keeps a tag beside each division.

    Members
    -------
    start, dividend, divisor, tag : In
        ``start`` only while ``ready``.
    ready, done : Out(1)
    quotient, tag_out : Out
        Zero unless ``done``.

    Timing
    ------
    As of :class:`~systolith.hdl.arithmetic.division.SerialDivider`.
    """

    def __init__(self, dividend_bits: int, divisor_bits: int, quotient_bits: int, tag_bits: int):
        self.divider = SerialDivider(dividend_bits, divisor_bits, quotient_bits)
        super().__init__({
            "start": In(1), "dividend": In(dividend_bits), "divisor": In(divisor_bits),
            "tag": In(tag_bits), "ready": Out(1), "done": Out(1), "quotient": Out(quotient_bits),
            "tag_out": Out(tag_bits)})

    def elaborate(self, platform):
        m = Module()
        m.submodules.divider = divider = self.divider
        tag = Signal.like(self.tag, name="tag_held", reset_less=True)
        with m.If(self.start):
            m.d.sync += tag.eq(self.tag)
        m.d.comb += [
            divider.start.eq(self.start),
            divider.dividend.eq(self.dividend),
            divider.divisor.eq(self.divisor),
            self.ready.eq(~divider.busy),
            self.done.eq(divider.done),
            self.quotient.eq(Mux(divider.done, divider.quotient, 0)),
            self.tag_out.eq(Mux(divider.done, tag, 0)),
        ]
        return m


class DividerBank(wiring.Component):
    """Exact quotients of unsigned integers, rounded down, by serial dividers that take turns.

    Parameters
    ----------
    count : int
        Number of dividers.
    dividend_bits, divisor_bits, quotient_bits : int
        As of :class:`~systolith.hdl.arithmetic.division.SerialDivider`.
    tag_bits : int
        Of what goes along with each division.

    Members
    -------
    valid, dividend, divisor, tag : In
    ready : Out(1)
        The divider whose turn it is takes them.
    done, quotient, tag_out : Out
        In the order in which they were taken.

    Timing
    ------
    Latency ``quotient_bits`` + 1 cycles; ``count`` quotients in that many cycles, at most one per
    cycle.
    """

    def __init__(self, count: int, dividend_bits: int, divisor_bits: int, quotient_bits: int,
                 tag_bits: int):
        self.units = LinearArray(
            lambda: TaggedDivider(dividend_bits, divisor_bits, quotient_bits, tag_bits),
            count, name="divider", broadcast=("dividend", "divisor", "tag"))
        self.quotient_bits, self.tag_bits = quotient_bits, tag_bits
        super().__init__({
            "valid": In(1), "dividend": In(dividend_bits), "divisor": In(divisor_bits),
            "tag": In(tag_bits), "ready": Out(1), "done": Out(1), "quotient": Out(quotient_bits),
            "tag_out": Out(tag_bits)})

    def elaborate(self, platform):
        m = Module()
        m.submodules.units = units = self.units
        turn = Signal(units.count, init=1)               # one hot
        m.d.comb += [
            self.ready.eq((units.ready & turn).any()),
            units.start.eq(Mux(self.valid, turn & units.ready, 0)),
            units.dividend.eq(self.dividend),
            units.divisor.eq(self.divisor),
            units.tag.eq(self.tag),
            self.done.eq(units.done.any()),
            self.quotient.eq(_only_lane(units.quotient, self.quotient_bits)),
            self.tag_out.eq(_only_lane(units.tag_out, self.tag_bits)),
        ]
        with m.If(self.valid & self.ready):
            m.d.sync += turn.eq(turn.rotate_left(1))
        return m


def _only_lane(lanes, width: int):
    """The one lane that is not zero."""
    value = lanes[:width]
    for start in range(width, len(lanes), width):
        value = value | lanes[start:start + width]
    return value
