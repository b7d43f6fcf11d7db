"""Finished accumulators to the output stream."""

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from systolith.hdl.bus import axi_stream
from systolith.hdl.sparse_chain.config import SparseChainConfig


class Drain(wiring.Component):
    """Empties the halves of the accumulators in turns, column by column, round by round.

    Members
    -------
    done, empty, last_round : In
        A half is complete; it got no sums and is zero; number of its last round.
    read_address, column : Out
        Where the accumulators are read.
    sums : In
        What is there, in the same cycle.
    drained : Out(1)
        The last of a half was read.
    c : Out(axi_stream.Signature)
    """

    def __init__(self, config: SparseChainConfig):
        self.config = config
        stream = config.streams[-1]
        self.round_bits = config.max_log2_rounds
        super().__init__({
            "done": In(1), "empty": In(1), "last_round": In(self.round_bits),
            "read_address": Out(range(config.acc_depth)),
            "column": Out(range(max(config.max_speedup, 2))),
            "sums": In(stream.data_bits), "drained": Out(1),
            "c": Out(axi_stream.Signature(stream.data_bits)),
        })

    def elaborate(self, platform):
        m = Module()
        # Finished halves wait in order; there are two.
        waiting = Signal(range(3))
        empties = [Signal(name=f"empty_{half}") for half in range(2)]
        last_rounds = [Signal(self.round_bits, name=f"last_round_{half}", reset_less=True)
                       for half in range(2)]
        half = Signal()
        finished_half = Signal()
        round_now = Signal(self.round_bits)
        column = Signal.like(self.column)
        step = Signal()
        round_ends = Signal()
        ends = Signal()
        valid = Signal()
        data = Signal.like(self.c.data, reset_less=True)
        last = Signal(reset_less=True)
        m.d.comb += [
            step.eq((waiting != 0) & (~valid | self.c.ready)),
            round_ends.eq(round_now == Mux(half, last_rounds[1], last_rounds[0])),
            ends.eq(round_ends & (column == self.config.max_speedup - 1)),
            self.drained.eq(step & ends),
            self.read_address.eq(Cat(round_now, half)),
            self.column.eq(column),
            self.c.valid.eq(valid),
            self.c.data.eq(data),
            self.c.last.eq(last),
        ]
        for number in range(2):
            with m.If(self.done & (finished_half == number)):
                m.d.sync += [empties[number].eq(self.empty),
                             last_rounds[number].eq(self.last_round)]
        m.d.sync += finished_half.eq(finished_half ^ self.done)
        with m.If(self.done & ~self.drained):
            m.d.sync += waiting.eq(waiting + 1)
        with m.Elif(self.drained & ~self.done):
            m.d.sync += waiting.eq(waiting - 1)
        with m.If(step):
            m.d.sync += [
                data.eq(Mux(Mux(half, empties[1], empties[0]), 0, self.sums)),
                last.eq(ends),
                round_now.eq(Mux(round_ends, 0, round_now + 1)),
            ]
            with m.If(round_ends):
                m.d.sync += column.eq(Mux(ends, 0, column + 1))
            with m.If(ends):
                m.d.sync += half.eq(~half)
        with m.If(step):
            m.d.sync += valid.eq(1)
        with m.Elif(self.c.ready):
            m.d.sync += valid.eq(0)
        return m
