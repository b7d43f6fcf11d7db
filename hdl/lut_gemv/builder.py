"""The way of a vector from its stream into tables."""

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from systolith.hdl.arithmetic.division import ScaledQuotient
from systolith.hdl.arithmetic.steps import counter, shape, signal_of
from systolith.hdl.lut_gemv.config import ENTRIES, GROUP, TABLE_HIGH, LutGemvConfig
from systolith.hdl.lut_gemv.tables import (
    Aligner,
    MaxBuffer,
    TableBuilder,
    Unpacker,
)
from systolith.hdl.structure.delay import Delay

TABLE_BITS = TABLE_HIGH.bit_length()


class Builder(wiring.Component):
    """Makes a table of every 4 activations, and what scales the lookups of every block.

    Parameters
    ----------
    config : LutGemvConfig

    Members
    -------
    valid, data, last : In
        4 activations; ``last`` with the last of a vector. Vectors are whole blocks.
    write, entries : Out
        A table is made.
    ends, last_out : Out(1)
        It is the last of a block, of the vector.
    a_sum : Out
        With ``ends``: the sum of the activations of the block.
    largest : Out
        Quantized tables only, with ``ends``: the largest magnitude of an unquantized entry of the
        block.
    exponent : Out
        ``fp16`` only, with ``ends``: the largest exponent of the block.
    not_finite : Out(1)
        ``fp16`` only, a pulse: an activation was Inf or NaN.

    Timing
    ------
    One table per cycle, never stalls.
    """

    def __init__(self, config: LutGemvConfig):
        self.config = config
        members = {"valid": In(1), "data": In(GROUP * config.a.bits), "last": In(1),
                   "write": Out(1), "entries": Out(ENTRIES * config.entry.bits),
                   "ends": Out(1), "last_out": Out(1), "a_sum": Out(shape(config.a_sum))}
        if config.quantized:
            members["largest"] = Out(counter(config.largest_entry))
        if config.shift_high:
            members |= {"exponent": Out(counter(config.shift_high)), "not_finite": Out(1)}
        super().__init__(members)

    def elaborate(self, platform):
        m = Module()
        config = self.config
        m.submodules.build = build = TableBuilder(config.fixed, config.unquantized)
        total = Signal(shape(build.total_format), reset_less=True)
        m.d.sync += total.eq(build.total)

        if config.quantized:
            valid, numbers, ends, last, scale = self._scaled(m)
        else:
            valid, numbers, ends, last, scale = self.valid, self.data, self.last, self.last, None
        m.d.comb += build.numbers.eq(numbers)
        control = Cat(valid, ends, last)
        latency = build.latency + (ScaledQuotient.cycles(TABLE_BITS) if config.quantized else 0)
        m.submodules.control = to_write = Delay(len(control), latency, reset=True)
        m.d.comb += to_write.i.eq(control)
        write, ends, last = to_write.o

        if scale is not None:
            m.submodules.scale = to_entries = Delay(len(scale), build.latency)
            m.submodules.late_scale = late = Delay(len(scale) + len(total),
                                                   ScaledQuotient.cycles(TABLE_BITS))
            m.d.comb += [to_entries.i.eq(scale), late.i.eq(Cat(to_entries.o, total))]
            for index in range(ENTRIES):
                m.submodules[f"quantize_{index}"] = quantize = ScaledQuotient(
                    config.unquantized, config.largest_entry, TABLE_BITS)
                m.d.comb += [
                    quantize.value.eq(build.entries.word_select(index, config.unquantized.bits)),
                    quantize.largest.eq(to_entries.o),
                    self.entries.word_select(index, config.entry.bits).eq(quantize.quotient),
                ]
            total = late.o[len(scale):].as_signed()
            m.d.comb += Cat(self.largest, self.exponent if config.shift_high else ()).eq(late.o)
        else:
            m.d.comb += self.entries.eq(build.entries)

        partial = Signal(shape(config.a_sum))
        with m.If(write):
            m.d.sync += partial.eq(Mux(ends, 0, self.a_sum))
        m.d.comb += [
            self.a_sum.eq(partial + total),
            self.write.eq(write),
            self.ends.eq(write & ends),
            self.last_out.eq(write & last),
        ]
        return m

    def _scaled(self, m: Module):
        """Activations as integers, with the scale of their block: its largest entry, exponent."""
        config = self.config
        valid, data, last, exponent = self.valid, self.data, self.last, None
        if config.a_format == "fp16":
            m.submodules.unpack = unpack = Unpacker()
            m.submodules.exponents = exponents = MaxBuffer(
                len(unpack.words), len(unpack.largest), 0, config.block_tables)
            m.submodules.align = align = Aligner(config.fixed)
            m.d.comb += [
                unpack.codes.eq(data),
                self.not_finite.eq(valid & unpack.not_finite),
                exponents.i_valid.eq(valid),
                exponents.i_data.eq(unpack.words),
                exponents.i_key.eq(unpack.largest),
                exponents.i_last.eq(last),
                align.words.eq(exponents.o_data),
                align.exponent.eq(exponents.o_key),
            ]
            aligned = Signal.like(align.numbers, name="aligned", reset_less=True)
            exponent = Signal.like(exponents.o_key, name="aligned_exponent", reset_less=True)
            aligned_valid = Signal()
            aligned_last = Signal()
            m.d.sync += [aligned.eq(align.numbers), exponent.eq(exponents.o_key),
                         aligned_valid.eq(exponents.o_valid), aligned_last.eq(exponents.o_last)]
            valid, data, last = aligned_valid, aligned, aligned_last
        numbers = [data.word_select(lane, config.fixed.bits).as_signed() for lane in range(GROUP)]
        magnitudes = [signal_of(m, Mux(number[-1], -number, number), f"magnitude_{lane}")
                      for lane, number in enumerate(numbers)]
        reach = Signal(counter(config.largest_entry))
        m.submodules.largest = buffer = MaxBuffer(
            len(data), len(reach), 0 if exponent is None else len(exponent), config.block_tables)
        m.d.comb += [
            reach.eq((magnitudes[0] + magnitudes[1]) + (magnitudes[2] + magnitudes[3])),
            buffer.i_valid.eq(valid),
            buffer.i_data.eq(data),
            buffer.i_key.eq(reach),
            buffer.i_last.eq(last),
        ]
        scale = buffer.o_key
        if exponent is not None:
            m.d.comb += buffer.i_tag.eq(exponent)
            scale = Cat(scale, buffer.o_tag)
        return buffer.o_valid, buffer.o_data, buffer.o_ends, buffer.o_last, scale

