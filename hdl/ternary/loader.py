"""The way of a vector from its stream into words of int8 activations."""

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from systolith.hdl.arithmetic.division import ScaledQuotient
from systolith.hdl.arithmetic.steps import counter, signal_of
from systolith.hdl.structure.delay import Delay
from systolith.hdl.structure.dropping import drop_rest
from systolith.hdl.structure.linear_array import LinearArray
from systolith.hdl.structure.reduction import Reduction
from systolith.hdl.ternary.config import INT8, TernaryConfig

QUOTIENT_BITS = INT8.bits - 1


class VectorLoader(wiring.Component):
    """Takes vectors, quantizes them if they are not int8, and gives them in words.

    Parameters
    ----------
    config : TernaryConfig

    Members
    -------
    i_valid, i_ready, i_data, i_last
        Handshake of the activation stream.
    bank_free : In(1)
        There is a place for a vector.
    began : Out(1)
        A pulse: a vector begins, which takes a place.
    write, word, last : Out
        A word is there, with zeros beyond the vector; it is the last one.
    largest : Out
        ``int16`` only, with ``last``: the largest magnitude of the vector.
    busy, waiting : Out(1)
    too_long : Out(1)
        Pulse of the error flag.

    Timing
    ------
    ``int8``: a word is there with its last beat. ``int16``: a vector is read again, a beat per
    cycle, once its largest magnitude is known; the next one may begin after its last word.
    """

    def __init__(self, config: TernaryConfig):
        self.config = config
        members = {"i_valid": In(1), "i_ready": Out(1), "i_last": In(1),
                   "i_data": In(config.a_lanes * config.a.bits),
                   "bank_free": In(1), "began": Out(1),
                   "write": Out(1), "word": Out(config.word * INT8.bits), "last": Out(1),
                   "busy": Out(1), "waiting": Out(1), "too_long": Out(1)}
        if config.quantized:
            members["largest"] = Out(counter(config.largest_a))
        super().__init__(members)

    @staticmethod
    def latency(config: TernaryConfig) -> int:
        """Cycles from the last beat of a vector to the first one read again and quantized."""
        return 3 + Reduction.cycles(config.a_lanes) + ScaledQuotient.cycles(QUOTIENT_BITS)

    def elaborate(self, platform):
        m = Module()
        config = self.config
        beats = config.max_words * config.word_beats
        in_vector = Signal()
        dropping = Signal()
        reading = Signal()                               # a vector waits to be quantized
        count = Signal(counter(beats - 1))
        open_ = Signal()
        step = Signal()
        at_limit = Signal()
        ends = Signal()
        m.d.comb += [
            open_.eq((in_vector | self.bank_free) & ~dropping & ~reading),
            step.eq(open_ & self.i_valid),
            self.i_ready.eq(open_ | dropping),
            at_limit.eq(count == beats - 1),
            ends.eq(at_limit | self.i_last),
            self.began.eq(step & ~in_vector),
            self.too_long.eq(step & at_limit & ~self.i_last),
            self.busy.eq(in_vector | dropping),
            self.waiting.eq((in_vector | dropping) & ~self.i_valid),
        ]
        with m.If(step):
            m.d.sync += [count.eq(Mux(ends, 0, count + 1)), in_vector.eq(~ends)]
        drop_rest(m, dropping, self.too_long, self.i_valid & self.i_last)

        if config.quantized:
            valid, last, numbers = self._quantized(m, step, ends, count, reading)
        else:
            valid, last, numbers = step, step & ends, self.i_data
        self._in_words(m, valid, last, numbers)
        return m

    def _quantized(self, m: Module, step, ends, count, reading):
        """int8 numbers of a vector, when its largest magnitude is known."""
        config = self.config
        bits, largest_shape = config.a.bits, counter(config.largest_a)
        m.submodules.memory = memory = Memory(shape=len(self.i_data), depth=1 << len(count),
                                              init=[])
        write, read = memory.write_port(), memory.read_port()
        m.d.comb += [write.addr.eq(count), write.data.eq(self.i_data), write.en.eq(step)]

        m.submodules.largest = largest_of = Reduction(config.a_lanes, largest_shape, "max")
        magnitudes = []
        for lane in range(config.a_lanes):
            a = self.i_data.word_select(lane, bits).as_signed()
            magnitudes.append(signal_of(m, Mux(a[-1], -a, a)[:bits], f"magnitude_{lane}"))
        taken = Signal(config.a_lanes * bits, reset_less=True)
        m.d.sync += taken.eq(Cat(*magnitudes))
        m.submodules.beside = beside = Delay(2, 1 + largest_of.latency, reset=True)
        m.d.comb += [largest_of.i.eq(taken), beside.i.eq(Cat(step, step & ends))]
        largest = Signal(largest_shape)
        largest_now = Signal(largest_shape)
        last_beat = Signal.like(count)
        read_beat = Signal.like(count)
        read_valid = Signal()                            # of what is being read
        read_ends = Signal()
        m.d.comb += [
            largest_now.eq(Mux(largest_of.o > largest, largest_of.o, largest)),
            read_ends.eq(read_beat == last_beat),
            read.addr.eq(read_beat),
        ]
        with m.If(step & ends):
            m.d.sync += [reading.eq(1), last_beat.eq(count)]
        with m.Elif(self.last):
            # The largest magnitude has been used.
            m.d.sync += reading.eq(0)
        held = Signal(largest_shape, reset_less=True)
        with m.If(beside.o[0]):
            m.d.sync += largest.eq(Mux(beside.o[1], 0, largest_now))
        with m.If(beside.o[1]):
            m.d.sync += [held.eq(largest_now), read_valid.eq(1), read_beat.eq(0)]
        with m.Elif(read_valid):
            m.d.sync += [read_beat.eq(read_beat + 1), read_valid.eq(~read_ends)]

        m.submodules.quantize = quantize = LinearArray(
            lambda: ScaledQuotient(config.a, config.largest_a, QUOTIENT_BITS), config.a_lanes,
            name="quantize", broadcast=("largest",))
        m.submodules.quantizing = control = Delay(2, 1 + ScaledQuotient.cycles(QUOTIENT_BITS),
                                                  reset=True)
        m.d.comb += [
            quantize.value.eq(read.data),
            quantize.largest.eq(held),
            control.i.eq(Cat(read_valid, read_valid & read_ends)),
            self.largest.eq(held),
        ]
        return control.o[0], control.o[1], quantize.quotient

    def _in_words(self, m: Module, valid, last, numbers):
        """Beats to words: each goes to its place, zeros are above it."""
        config = self.config
        place = Signal(counter(config.word_beats - 1))
        held = Signal(len(self.word), reset_less=True)
        width = config.a_lanes * INT8.bits
        full = Signal()
        m.d.comb += full.eq(place == config.word_beats - 1)
        for index in range(config.word_beats):
            part = self.word.word_select(index, width)
            before = held.word_select(index, width)
            if index == config.word_beats - 1:
                other = 0                                # no beat comes after it
            else:
                other = Mux(place > index, before, 0) if index else before
            m.d.comb += part.eq(Mux(place == index, numbers, other))
        with m.If(valid):
            m.d.sync += [held.eq(self.word), place.eq(Mux(full | last, 0, place + 1))]
        m.d.comb += [self.write.eq(valid & (full | last)), self.last.eq(last)]
