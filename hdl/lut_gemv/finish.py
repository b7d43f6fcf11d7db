"""From sums of lookups to results."""

from amaranth import Module, Mux, Signal, unsigned
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from systolith.hdl.arithmetic.multiplier import Multiplier
from systolith.hdl.arithmetic.steps import counter, shape, signal_of
from systolith.hdl.lut_gemv.config import TABLE_HIGH, LutGemvConfig
from systolith.hdl.structure.delay import Delay


class Finisher(wiring.Component):
    """Takes the sums of a block from the drain chain, one per cycle, and makes results of them.

    Exact tables: y = total for bipolar weights, else (total − a_sum) / 2.

    Quantized tables: y = Σ (total · largest − correction) · 2^exponent over the blocks, where
    correction is 0 for bipolar weights, else 127 · a_sum. The running sums are in a memory, or in a
    register if there is one row.

    Parameters
    ----------
    config : LutGemvConfig

    Members
    -------
    start : In(1)
        The first sum of a block comes in the next cycle.
    first, ends_frame, bipolar : In(1)
        With ``start``: of the first block of a frame, of the last, of bipolar weights.
    total : In
        Sum of lookups; ``rows`` of them in as many cycles.
    a_sum, largest, exponent : In
        As :class:`Builder` gives them, while totals come.
    valid, last, y : Out
        A result; the last of a frame.

    Timing
    ------
    Latency :func:`latency` cycles from ``total`` to ``y``; blocks start at least :func:`interval`
    cycles apart.
    """

    def __init__(self, config: LutGemvConfig):
        self.config = config
        members = {"start": In(1), "first": In(1), "ends_frame": In(1), "bipolar": In(1),
                   "total": In(shape(config.lookups)), "a_sum": In(shape(config.a_sum)),
                   "valid": Out(1), "last": Out(1), "y": Out(shape(config.y))}
        if config.quantized:
            members["largest"] = In(counter(config.largest_entry))
        if config.shift_high:
            members["exponent"] = In(counter(config.shift_high))
        super().__init__(members)

    @staticmethod
    def latency(config: LutGemvConfig) -> int:
        """Cycles from a sum of lookups to its result."""
        return 3 if config.quantized else 1

    @staticmethod
    def interval(config: LutGemvConfig) -> int:
        """Cycles that a block keeps the chain, and the memory of running sums, from the next."""
        return max(config.rows, 2)

    def elaborate(self, platform):
        m = Module()
        config = self.config
        rows = config.rows
        active = Signal()
        row = Signal(counter(rows - 1))
        first = Signal(reset_less=True)
        ends_frame = Signal(reset_less=True)
        bipolar = Signal(reset_less=True)
        at_end = Signal()
        m.d.comb += at_end.eq(row == rows - 1 if rows > 1 else 1)
        with m.If(self.start):
            m.d.sync += [active.eq(1), row.eq(0), first.eq(self.first),
                         ends_frame.eq(self.ends_frame), bipolar.eq(self.bipolar)]
        with m.Elif(active):
            m.d.sync += [active.eq(~at_end), row.eq(row + 1 if rows > 1 else 0)]
        latency = self.latency(config)
        m.submodules.to_result = to_result = Delay(2, latency, reset=True)
        m.d.comb += [
            to_result.i[0].eq(active & ends_frame),
            to_result.i[1].eq(at_end),
            self.valid.eq(to_result.o[0]),
            self.last.eq(to_result.o[1]),
        ]
        if not config.quantized:
            # Half the difference, which is even: both are odd, or both even.
            difference = signal_of(m, self.total - self.a_sum, "difference")
            halved = difference[1:].as_signed()
            y = Signal(shape(config.y), reset_less=True)
            m.d.sync += y.eq(Mux(bipolar, self.total, halved))
            m.d.comb += self.y.eq(y)
            return m

        m.submodules.multiply = multiply = Multiplier(
            shape(config.lookups), unsigned(len(self.largest)), 1)
        m.d.comb += [multiply.a.eq(self.total), multiply.b.eq(self.largest)]
        scaled_high = config.largest_a_sum * TABLE_HIGH
        correction = Signal(range(-scaled_high, scaled_high + 1), reset_less=True)
        term = Signal(config.y.bits - config.shift_high, reset_less=True)
        shifted = Signal(shape(config.y), reset_less=True)
        m.d.sync += [
            correction.eq(Mux(bipolar, 0, (self.a_sum << TABLE_HIGH.bit_length()) - self.a_sum)),
            term.eq(multiply.p - correction),
        ]
        if config.shift_high:
            m.submodules.to_shift = to_shift = Delay(len(self.exponent), 2)
            m.d.comb += to_shift.i.eq(self.exponent)
            m.d.sync += shifted.eq(term.as_signed() << to_shift.o)
        else:
            m.d.sync += shifted.eq(term.as_signed())

        m.submodules.running = running = Delay(1, 3, reset=True)
        m.submodules.starts = starts = Delay(1, 3)
        m.d.comb += [running.i.eq(active), starts.i.eq(first)]
        if rows == 1:
            before = Signal(shape(config.y), name="so_far", reset_less=True)
            with m.If(running.o):
                m.d.sync += before.eq(self.y)
        else:
            m.submodules.memory = memory = Memory(shape=shape(config.y), depth=1 << len(row),
                                                  init=[])
            write, read = memory.write_port(), memory.read_port()
            m.submodules.to_read = to_read = Delay(len(row), 2)
            m.submodules.to_write = to_write = Delay(len(row), 1)
            before = read.data
            m.d.comb += [
                to_read.i.eq(row),
                to_write.i.eq(to_read.o),
                read.addr.eq(to_read.o),
                write.addr.eq(to_write.o),
                write.data.eq(self.y),
                write.en.eq(running.o),
            ]
        m.d.comb += self.y.eq(shifted + Mux(starts.o, 0, before))
        return m
