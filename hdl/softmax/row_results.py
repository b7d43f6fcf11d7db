"""What is found out about a whole row: its maximum, the sum of its weights, the inverse of that."""

from amaranth import Cat, Module, Mux, Shape, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from systolith.hdl.arithmetic.divider_bank import DividerBank
from systolith.hdl.arithmetic.division import Divider
from systolith.hdl.arithmetic.steps import exceeds
from systolith.hdl.bus import axi_stream
from systolith.hdl.softmax.passes import control, delayed
from systolith.hdl.structure.linear_array import LinearArray
from systolith.hdl.structure.reduction import Reduction


class Candidate(wiring.Component):
    """A number, or the lowest one in place of a masked one.

    Timing
    ------
    Latency 1 cycle.
    """

    latency = 1

    def __init__(self, shape: Shape):
        self.low = -(1 << (shape.width - 1)) if shape.signed else 0
        super().__init__({"x": In(shape), "keep": In(1), "o": Out(shape)})

    def elaborate(self, platform):
        m = Module()
        candidate = Signal(self.o.shape(), name="candidate", reset_less=True)
        m.d.sync += candidate.eq(Mux(self.keep, self.x, self.low))
        m.d.comb += self.o.eq(candidate)
        return m


class BeatMaximum(wiring.Component):
    """The maximum of the elements of a beat that count; the lowest number where none does.

    Parameters
    ----------
    lanes : int
    shape : Shape

    Members
    -------
    x, keep : In
    maximum : Out

    Timing
    ------
    Latency :meth:`cycles` of ``lanes``, one beat per cycle.
    """

    def __init__(self, lanes: int, shape: Shape):
        self.count, self.shape = lanes, shape
        super().__init__({"x": In(lanes * shape.width), "keep": In(lanes), "maximum": Out(shape)})

    @staticmethod
    def cycles(lanes: int) -> int:
        return Candidate.latency + Reduction.cycles(lanes)

    def elaborate(self, platform):
        m = Module()
        m.submodules.candidates = candidates = LinearArray(
            lambda: Candidate(self.shape), self.count, name="candidate")
        m.submodules.tree = tree = Reduction(self.count, self.shape, "max")
        m.d.comb += [
            candidates.x.eq(self.x),
            candidates.keep.eq(self.keep),
            tree.i.eq(candidates.o),
            self.maximum.eq(tree.o),
        ]
        return m


class RowMaximum(wiring.Component):
    """The maximum of the elements of a row that count; the lowest number where none does.

    Members
    -------
    valid, last, x, keep : In
        Beats.
    done : Out(1)
        A row is through.
    maximum : Out
        Of the row, with ``done``.

    Timing
    ------
    Latency :meth:`cycles` of ``lanes`` from the last beat of a row; one beat per cycle.
    """

    def __init__(self, lanes: int, shape: Shape):
        self.count, self.shape = lanes, shape
        super().__init__({"valid": In(1), "last": In(1), "x": In(lanes * shape.width),
                          "keep": In(lanes), "done": Out(1), "maximum": Out(shape)})

    @staticmethod
    def cycles(lanes: int) -> int:
        return BeatMaximum.cycles(lanes) + 1

    def elaborate(self, platform):
        m = Module()
        m.submodules.beat = beat = BeatMaximum(self.count, self.shape)
        valid, last = control(m, "beat", BeatMaximum.cycles(self.count), self.valid, self.last)
        in_row = Signal()
        done = Signal()
        top = Signal(self.shape, reset_less=True)
        with m.If(valid):
            m.d.sync += [
                in_row.eq(~last),
                top.eq(Mux(in_row & exceeds(top, beat.maximum), top, beat.maximum)),
            ]
        m.d.sync += done.eq(valid & last)
        m.d.comb += [
            beat.x.eq(self.x),
            beat.keep.eq(self.keep),
            self.done.eq(done),
            self.maximum.eq(top),
        ]
        return m


class RowTotal(wiring.Component):
    """The sum of the weights of a row.

    Parameters
    ----------
    lanes, weight_bits, total_bits : int

    Members
    -------
    valid, last, weights : In
        Beats.
    done : Out(1)
        A row is through.
    total : Out(total_bits)
        Its sum, with ``done``.

    Timing
    ------
    Latency :meth:`cycles` of ``lanes`` from the last beat of a row; one beat per cycle.
    """

    def __init__(self, lanes: int, weight_bits: int, total_bits: int):
        self.count, self.weight_bits, self.total_bits = lanes, weight_bits, total_bits
        super().__init__({"valid": In(1), "last": In(1), "weights": In(lanes * weight_bits),
                          "done": Out(1), "total": Out(total_bits)})

    @staticmethod
    def cycles(lanes: int) -> int:
        return Reduction.cycles(lanes) + 1

    def elaborate(self, platform):
        m = Module()
        m.submodules.sum = lane_sum = Reduction(self.count, Shape(self.weight_bits), "sum")
        valid, last = control(m, "weights", lane_sum.latency, self.valid, self.last)
        in_row = Signal()
        done = Signal()
        total = Signal(self.total_bits, name="row_total", reset_less=True)
        m.d.sync += done.eq(valid & last)
        with m.If(valid):
            m.d.sync += [
                in_row.eq(~last),
                total.eq(Mux(in_row, total, 0) + lane_sum.o),
            ]
        m.d.comb += [
            lane_sum.i.eq(self.weights),
            self.done.eq(done),
            self.total.eq(total),
        ]
        return m


class RowDivision(wiring.Component):
    """A constant divided by the sum of each row, rounded down.

    Parameters
    ----------
    dividers : int
        Serial dividers that take turns, or 0 for one that is pipelined.
    dividend : int
    divisor_bits, quotient_bits : int
        The dividend is less than any divisor times 2^quotient_bits.
    tag_bits : int
        Of what goes along with each row.
    rows : int
        Rows that can wait for a serial divider.

    Members
    -------
    valid, divisor, tag : In
    done, quotient, tag_out : Out

    Timing
    ------
    Latency :meth:`cycles`, with ``dividers`` if one is free; a serial divider takes a row for
    ``quotient_bits`` + 1 cycles.
    """

    def __init__(self, dividers: int, dividend: int, divisor_bits: int, quotient_bits: int,
                 tag_bits: int, rows: int):
        self.dividers, self.dividend, self.rows = dividers, dividend, rows
        self.divisor_bits, self.quotient_bits = divisor_bits, quotient_bits
        super().__init__({"valid": In(1), "divisor": In(divisor_bits), "tag": In(tag_bits),
                          "done": Out(1), "quotient": Out(quotient_bits),
                          "tag_out": Out(tag_bits)})

    @staticmethod
    def cycles(dividers: int, quotient_bits: int) -> int:
        # A serial divider takes a cycle more, behind a queue.
        return quotient_bits + (axi_stream.Fifo.latency + 1 if dividers else 0)

    def elaborate(self, platform):
        m = Module()
        dividend_bits = self.dividend.bit_length()
        tag_bits = len(self.tag)
        if not self.dividers:
            m.submodules.divider = divider = Divider(dividend_bits, self.divisor_bits,
                                                     quotient_bits=self.quotient_bits)
            m.d.comb += [
                divider.dividend.eq(self.dividend),
                divider.divisor.eq(self.divisor),
                self.done.eq(delayed(m, "done", divider.latency, self.valid, reset=True)),
                self.quotient.eq(divider.quotient),
                self.tag_out.eq(delayed(m, "tag", divider.latency, self.tag)),
            ]
            return m
        m.submodules.sums = sums = axi_stream.Fifo(
            axi_stream.Signature(self.divisor_bits + tag_bits), self.rows)
        m.submodules.dividers = bank = DividerBank(
            self.dividers, dividend_bits, self.divisor_bits, self.quotient_bits, tag_bits)
        m.d.comb += [
            sums.i.data.eq(Cat(self.divisor, self.tag)),
            sums.i.valid.eq(self.valid),
            sums.o.ready.eq(bank.ready),
            bank.valid.eq(sums.o.valid),
            bank.dividend.eq(self.dividend),
            bank.divisor.eq(sums.o.data[:self.divisor_bits]),
            bank.tag.eq(sums.o.data[self.divisor_bits:]),
            self.done.eq(bank.done),
            self.quotient.eq(bank.quotient),
            self.tag_out.eq(bank.tag_out),
        ]
        return m
