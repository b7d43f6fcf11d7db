"""Activations to tables: align, and sum under all signs."""

from amaranth import Cat, Module, Mux, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from systolith.hdl.arithmetic.alignment import SignificandShifter
from systolith.hdl.arithmetic.decoders import FloatDecoder
from systolith.hdl.arithmetic.steps import counter, shape, signal_of
from systolith.hdl.formats import FP16, IntegerFormat
from systolith.hdl.lut_gemv.config import ENTRIES, GROUP


class MaxBuffer(wiring.Component):
    """Delays groups of words until the largest key of each group is known.

    Parameters
    ----------
    data_bits, key_bits, tag_bits : int
    length : int
        Words of a group, always all of them.

    Members
    -------
    i_valid, i_data, i_key, i_tag, i_last : In
        A word, its key; ``tag`` and ``last`` belong to the last word of a group.
    o_valid, o_data, o_key, o_tag, o_last, o_ends : Out
        The word, the largest key and the tag of its group; ``ends`` marks the last word of a group,
        ``last`` that of a group with ``last``.

    Timing
    ------
    A group comes out without gaps, ``latency`` cycles after its last word went in; one word per
    cycle.
    """

    latency = 2

    def __init__(self, data_bits: int, key_bits: int, tag_bits: int, length: int):
        self.data_bits, self.key_bits, self.length = data_bits, key_bits, length
        self.module_name = f"max_buffer_{length}x{data_bits}_{key_bits}_{tag_bits}"
        members = {"i_valid": In(1), "i_last": In(1), "o_valid": Out(1), "o_last": Out(1),
                   "o_ends": Out(1)}
        for name, bits in (("data", data_bits), ("key", key_bits), ("tag", tag_bits)):
            if bits:
                members |= {f"i_{name}": In(bits), f"o_{name}": Out(bits)}
        self.tagged = tag_bits > 0
        super().__init__(members)

    def elaborate(self, platform):
        m = Module()
        index_bits = max((self.length - 1).bit_length(), 1)
        m.submodules.memory = memory = Memory(shape=self.data_bits, depth=2 << index_bits, init=[])
        write, read = memory.write_port(), memory.read_port()

        half = Signal()                                  # of the memory, that is written
        index = Signal(index_bits)
        largest = Signal(self.key_bits, reset_less=True)
        largest_now = Signal(self.key_bits)
        full = Signal()
        m.d.comb += [
            largest_now.eq(Mux((index != 0) & (largest > self.i_key), largest, self.i_key)),
            full.eq(self.i_valid & (index == self.length - 1)),
            write.addr.eq(Cat(index, half)),
            write.data.eq(self.i_data),
            write.en.eq(self.i_valid),
        ]
        with m.If(self.i_valid):
            m.d.sync += [index.eq(Mux(full, 0, index + 1)), half.eq(half ^ full),
                         largest.eq(largest_now)]

        reading = Signal()
        read_index = Signal(index_bits)
        group_ends = signal_of(m, read_index == self.length - 1, "group_ends")
        held = {"half": half, "key": largest_now, "last": self.i_last}
        if self.tagged:
            held["tag"] = self.i_tag
        registers = {name: Signal.like(value, name=f"read_{name}", reset_less=True)
                     for name, value in held.items()}
        with m.If(full):
            m.d.sync += [reading.eq(1), read_index.eq(0)]
            m.d.sync += [register.eq(held[name]) for name, register in registers.items()]
        with m.Elif(reading):
            m.d.sync += [read_index.eq(read_index + 1), reading.eq(~group_ends)]
        valid = Signal()
        ends = Signal()
        last = Signal()
        key = Signal(self.key_bits, reset_less=True)
        m.d.sync += [valid.eq(reading), ends.eq(reading & group_ends),
                     last.eq(reading & group_ends & registers["last"]), key.eq(registers["key"])]
        m.d.comb += [
            read.addr.eq(Cat(read_index, registers["half"])),
            read.en.eq(1),                               # nobody looks while nothing is read
            self.o_valid.eq(valid),
            self.o_data.eq(read.data),
            self.o_key.eq(key),
            self.o_ends.eq(ends),
            self.o_last.eq(last),
        ]
        if self.tagged:
            tag = Signal.like(registers["tag"], name="tag", reset_less=True)
            m.d.sync += tag.eq(registers["tag"])
            m.d.comb += self.o_tag.eq(tag)
        return m


class Unpacker(wiring.Component):
    """Splits 4 ``fp16`` codes and finds their largest exponent.

    Members
    -------
    codes : In(4 * 16)
    words : Out(4 * Unpacker.bits)
        Significand, exponent and sign of each; Inf and NaN give 0.
    largest : Out
        The largest exponent.
    not_finite : Out(1)
        There was an Inf or a NaN.

    Timing
    ------
    Combinational.
    """

    latency = 0
    exponent = counter(FP16.shift_high)
    bits = (1 + FP16.fraction_bits) + exponent.width + 1

    def __init__(self):
        super().__init__({"codes": In(GROUP * FP16.bits), "words": Out(GROUP * self.bits),
                          "largest": Out(self.exponent), "not_finite": Out(1)})

    def elaborate(self, platform):
        m = Module()
        exponents, invalid, words = [], [], []
        for lane in range(GROUP):
            m.submodules[f"decode_{lane}"] = decode = FloatDecoder(FP16)
            bad = signal_of(m, decode.inf | decode.nan, f"invalid_{lane}")
            exponent = signal_of(m, Mux(bad, 0, decode.exponent), f"exponent_{lane}")
            m.d.comb += decode.code.eq(self.codes.word_select(lane, FP16.bits))
            exponents.append(exponent)
            invalid.append(bad)
            words.append(Cat(decode.significand, exponent, decode.sign))
        while len(exponents) > 1:
            exponents = [signal_of(m, Mux(left > right, left, right),
                                   f"larger_{len(exponents)}_{index}")
                         for index, (left, right) in enumerate(
                             zip(exponents[::2], exponents[1::2], strict=True))]
        m.d.comb += [
            self.words.eq(Cat(*words)),
            self.largest.eq(exponents[0]),
            self.not_finite.eq(Cat(*invalid).any()),
        ]
        return m


class Aligner(wiring.Component):
    """Brings unpacked activations to one exponent, rounded to nearest even.

    Parameters
    ----------
    number : IntegerFormat
        Of an aligned activation.

    Members
    -------
    words : In(4 * Unpacker.bits)
    exponent : In
        At least the largest exponent among them.
    numbers : Out(4 * number.bits)
        In units of 2^(exponent − 24).

    Timing
    ------
    Combinational.
    """

    latency = 0

    def __init__(self, number: IntegerFormat):
        self.number = number
        super().__init__({"words": In(GROUP * Unpacker.bits), "exponent": In(Unpacker.exponent),
                          "numbers": Out(GROUP * number.bits)})

    def elaborate(self, platform):
        m = Module()
        significand_bits = 1 + FP16.fraction_bits
        for lane in range(GROUP):
            word = self.words.word_select(lane, Unpacker.bits)
            m.submodules[f"shift_{lane}"] = shift = SignificandShifter(significand_bits,
                                                                       FP16.shift_high)
            m.d.comb += [
                shift.sign.eq(word[-1]),
                shift.significand.eq(word[:significand_bits]),
                shift.amount.eq(self.exponent - word[significand_bits:-1]),
                self.numbers.word_select(lane, self.number.bits).eq(shift.value),
            ]
        return m


class TableBuilder(wiring.Component):
    """Sums 4 activations under all signs: entry i adds a[j] where bit j of i is set, else −a[j].

    Only entries 0 to 7 are made, in which a[3] is subtracted: entry 15 − i is −entry i.

    Parameters
    ----------
    number, entry : IntegerFormat
        Of an activation and of an entry.

    Members
    -------
    numbers : In(4 * number.bits)
    entries : Out(8 * entry.bits)
    total : Out
        The sum of the activations, a cycle before the entries.

    Timing
    ------
    Latency 2 cycles, one table per cycle, 12 adders.
    """

    latency = 2

    def __init__(self, number: IntegerFormat, entry: IntegerFormat):
        self.number, self.entry = number, entry
        self.total_format = number.sum_of(GROUP)
        super().__init__({"numbers": In(GROUP * number.bits),
                          "total": Out(shape(self.total_format)),
                          "entries": Out(ENTRIES * entry.bits)})

    def elaborate(self, platform):
        m = Module()
        a = [self.numbers.word_select(lane, self.number.bits).as_signed() for lane in range(GROUP)]

        def pair(name, value):
            register = Signal(signed(self.number.bits + 1), name=name, reset_less=True)
            m.d.sync += register.eq(value)
            return register

        low_sum, low_difference = pair("low_sum", a[0] + a[1]), pair("low_difference", a[0] - a[1])
        high_sum, high_difference = (pair("high_sum", a[2] + a[3]),
                                     pair("high_difference", a[2] - a[3]))
        low = (-low_sum, low_difference, -low_difference, low_sum)
        high = (-high_sum, high_difference)
        entries = Signal.like(self.entries, name="table", reset_less=True)
        for index in range(ENTRIES):
            m.d.sync += entries.word_select(index, self.entry.bits).eq(low[index % 4]
                                                                       + high[index // 4])
        m.d.comb += [self.entries.eq(entries), self.total.eq(low_sum + high_sum)]
        return m
