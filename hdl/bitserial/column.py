"""A column of PEs, with what its rows share: terms, scale, and the sums over groups."""

from typing import ClassVar

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from systolith.hdl.arithmetic.alignment import AlignedAdder
from systolith.hdl.arithmetic.steps import counter, shape
from systolith.hdl.bitserial.config import (
    CODE_BITS,
    COLUMN_BITS,
    COLUMN_GUARD,
    EXPONENT_BITS,
    LANES,
    SCALE_BITS,
    SELECT_BITS,
    SPECIAL,
    SPECIALS,
    TYPE_BITS,
    TYPES,
    BitserialConfig,
)
from systolith.hdl.bitserial.encoder import TERM_BITS, TermEncoder
from systolith.hdl.bitserial.pe import PE, PE_EXPONENT_BITS, activation_bits
from systolith.hdl.structure.delay import Delay
from systolith.hdl.structure.linear_array import LinearArray

#: Bits of all special values together.
SPECIAL_BITS = sum(kind.mixture for kind in TYPES) * SPECIALS * SPECIAL.bits


#: Cycles from codes to their terms at the PEs.
ENCODE = TermEncoder.latency + 1


def add_stages(config: BitserialConfig) -> int:
    """Registers of the sums over the groups."""
    return 1 if config.exact else AlignedAdder.STEPS


class Column(wiring.Component):
    """One output channel of a tile.

    Parameters
    ----------
    config : BitserialConfig

    Members
    -------
    codes : In(4 * 8)
    group : In(8 + 2)
        Scale and choice of the special value.
    specials : In
        All special values.
    activations : In
        Of all rows, with the terms, which are :data:`ENCODE` cycles behind the codes.
    kind, index, digit : In
        Of the weights; number and weight of the term.
    valid, first, ends, whole : In(1)
        As a PE takes them, :data:`ENCODE` cycles earlier.
    load, fresh, multiply, deliver : In(1)
        Take the scale; as a PE takes them.
    row : In
        Whose scaled sum comes next from the drain chain.
    start_sum : In(1)
        It is of the first group.
    y : Out
        A row's sum, ``1 + add_stages(config)`` cycles after ``row``.
    write, write_row : In
        It is stored there.
    bad_code, bad_special, zero_scale : Out(1)
        Pulses.
    overflow : Out(1)
        Another, with ``write``, ``int8`` activations only: the sum has wrapped.

    Timing
    ------
    See :class:`GroupSequencer`.
    """

    broadcast = ("specials", "activations", "kind", "index", "digit", "valid", "first", "ends",
                 "whole", "load", "fresh", "multiply", "deliver", "row", "start_sum", "write",
                 "write_row")
    chain: ClassVar = {}

    def __init__(self, config: BitserialConfig):
        self.config = config
        row = counter(config.rows - 1)
        members = {
            "codes": In(LANES * CODE_BITS), "group": In(SCALE_BITS + SELECT_BITS),
            "specials": In(SPECIAL_BITS),
            "activations": In(config.rows * LANES * activation_bits(config)),
            "kind": In(TYPE_BITS), "index": In(2), "digit": In(3), "valid": In(1), "first": In(1),
            "ends": In(1), "whole": In(1), "load": In(1), "fresh": In(1), "multiply": In(1),
            "deliver": In(1), "row": In(row), "start_sum": In(1), "write": In(1),
            "write_row": In(row), "y": Out(config.y.bits), "bad_code": Out(1),
            "bad_special": Out(1), "zero_scale": Out(1),
        }
        if config.exact:
            members["overflow"] = Out(1)
        super().__init__(members)

    def elaborate(self, platform):
        m = Module()
        config = self.config
        scale, select = self.group[:SCALE_BITS], self.group[SCALE_BITS:]

        # Terms, two cycles behind the codes.
        special = Signal(SPECIAL.bits)
        mixtures = [number for number, kind in enumerate(TYPES) if kind.mixture]
        with m.Switch(Cat(select, self.kind)):
            for place, number in enumerate(mixtures):
                for index in range(SPECIALS):
                    with m.Case(number << SELECT_BITS | index):
                        m.d.comb += special.eq(
                            self.specials.word_select(place * SPECIALS + index, SPECIAL.bits))
        terms, bad_codes, bad_specials = [], [], []
        for lane in range(LANES):
            m.submodules[f"encode_{lane}"] = encode = TermEncoder(config.special_decode)
            m.d.comb += [
                encode.code.eq(self.codes.word_select(lane, CODE_BITS)),
                encode.kind.eq(self.kind),
                encode.index.eq(self.index),
                encode.special.eq(special),
            ]
            terms.append(encode.term)
            bad_codes.append(encode.bad_code)
            bad_specials.append(encode.bad_special)
        encoded = Signal(LANES * TERM_BITS, reset_less=True)
        bad_code = Signal()
        bad_special = Signal()
        zero_scale = Signal()
        coded = Signal()                                 # the encoders have terms
        m.d.sync += [
            coded.eq(self.valid),
            encoded.eq(Cat(*terms)),
            bad_code.eq(coded & Cat(*bad_codes).any()),
            bad_special.eq(coded & Cat(*bad_specials).any()),
            zero_scale.eq(self.valid & self.ends & (scale == 0)),
        ]
        m.d.comb += [self.bad_code.eq(bad_code), self.bad_special.eq(bad_special),
                     self.zero_scale.eq(zero_scale)]

        m.submodules.pes = pes = LinearArray(
            lambda: PE(config), config.rows, name="pe", chain=PE.chain, broadcast=PE.broadcast,
            from_last=True)
        beside = Cat(self.first, self.ends, self.whole, self.digit)
        m.submodules.beside = to_pes = Delay(len(beside), ENCODE)
        valid = Signal()
        m.d.sync += valid.eq(coded)
        first, ends, whole, digit = to_pes.o[0], to_pes.o[1], to_pes.o[2], to_pes.o[3:]
        m.d.comb += to_pes.i.eq(beside)

        # The scale waits for the sum of its group, then gives one bit per cycle.
        waiting = Signal(SCALE_BITS, reset_less=True)
        magnitude = Signal(SCALE_BITS, reset_less=True)
        negative = Signal(reset_less=True)
        with m.If(self.valid & self.ends):
            m.d.sync += waiting.eq(scale)
        with m.If(self.load):
            m.d.sync += [magnitude.eq(Mux(waiting[-1], -waiting, waiting)),
                         negative.eq(waiting[-1])]
        with m.Else():
            m.d.sync += magnitude.eq(magnitude << 1)
        m.d.comb += [
            pes.activations.eq(self.activations),
            pes.terms.eq(encoded),
            pes.digit.eq(digit),
            pes.valid.eq(valid),
            pes.first.eq(first),
            pes.ends.eq(ends),
            pes.whole.eq(whole),
            pes.scale_bit.eq(magnitude[-1]),
            pes.negative.eq(negative),
            pes.multiply.eq(self.multiply),
            pes.deliver.eq(self.deliver),
            pes.fresh.eq(self.fresh),
            pes.drain_in.eq(0),
        ]

        # Sums of the rows over the groups.
        m.submodules.sums = sums = Memory(shape=config.y.bits, depth=1 << len(self.row), init=[])
        read, write = sums.read_port(), sums.write_port()
        scaled = Signal(shape(config.scaled))
        m.d.comb += [
            read.addr.eq(self.row),
            scaled.eq(pes.drain_out[:len(scaled)]),
            write.addr.eq(self.write_row),
            write.data.eq(self.y),
            write.en.eq(self.write),
        ]
        if config.exact:
            wide = Signal(len(self.y) + 1)
            total = Signal(len(wide), reset_less=True)
            m.d.comb += [
                wide.eq(Mux(self.start_sum, 0, read.data.as_signed()) + scaled),
                self.y.eq(total[:-1]),
                self.overflow.eq(self.write & (total[-1] ^ total[-2])),
            ]
            m.d.sync += total.eq(wide)
            return m
        high = (1 << config.mantissa_bits + SCALE_BITS - 1 + COLUMN_GUARD) + (1 << COLUMN_BITS)
        m.submodules.accumulate = accumulate = AlignedAdder(
            config.column.bits, len(scaled) + COLUMN_GUARD, EXPONENT_BITS, COLUMN_BITS,
            config.column.bits, high, config.rounding, add_stages(config),
            (1 << PE_EXPONENT_BITS) - 1)
        m.d.comb += [
            accumulate.a.eq(Mux(self.start_sum, 0, read.data[EXPONENT_BITS:])),
            accumulate.a_exponent.eq(Mux(self.start_sum, 0, read.data[:EXPONENT_BITS])),
            accumulate.b.eq(scaled << COLUMN_GUARD),
            accumulate.b_exponent.eq(pes.drain_out[len(scaled):]),
            self.y.eq(Cat(accumulate.total_exponent, accumulate.total)),
        ]
        return m
