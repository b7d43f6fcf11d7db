"""The activation buffer: a frame is loaded into one half while the other one is in use."""

from amaranth import Cat, Const, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from systolith.hdl.bus import axi_stream
from systolith.hdl.sparse_chain.config import SparseChainConfig
from systolith.hdl.structure.dropping import drop_rest


class ActivationBuffer(wiring.Component):
    """Two halves of a block memory, filled and used in turns.

    A frame that ends within a block of K is completed with zeros; what does not fit is dropped.

    Members
    -------
    a : In(axi_stream.Signature)
    full : Out(1)
        The half in use is loaded.
    blocks, log2_rounds : Out
        Blocks of K in it, and its rounds.
    let_go : In(1)
        It is not needed any more; only while ``full``.
    address : In
        Word of the half in use that is read.
    word : Out
        That word, in the next cycle.
    loading : Out(1)
        A frame is partly loaded or dropped.
    wanting : Out(1)
        The rest of one is to come.
    any_full : Out(1)
    too_short, too_long : Out(1)
        Pulses of the flags a_short, a_long.
    too_many : Out(1)
        Of the flag a_rounds, where there is one.
    """

    def __init__(self, config: SparseChainConfig):
        self.config = config
        stream = config.streams[0]
        self.address_bits = (config.buffer_depth - 1).bit_length()
        super().__init__({
            "a": In(axi_stream.Signature(stream.data_bits, stream.tuser_bits)),
            "full": Out(1), "blocks": Out(range(config.buffer_depth + 1)),
            "log2_rounds": Out(range(config.max_log2_rounds + 1)), "let_go": In(1),
            "address": In(self.address_bits), "word": Out(stream.data_bits),
            "loading": Out(1), "wanting": Out(1), "any_full": Out(1),
            "too_short": Out(1), "too_long": Out(1),
        } | ({"too_many": Out(1)} if config.rounds_beyond else {}))

    def elaborate(self, platform):
        m = Module()
        config = self.config
        m.submodules.memory = memory = Memory(
            shape=len(self.word), depth=2 * config.buffer_depth, init=[],
            attrs={"no_rw_check": True})
        write, read = memory.write_port(), memory.read_port()

        full = Signal(2)
        filled_half = Signal()
        used_half = Signal()
        address = Signal(self.address_bits)
        in_frame = Signal()
        filling = Signal()
        dropping = Signal()
        held = Signal.like(self.log2_rounds, reset_less=True)
        log2_rounds = Signal.like(self.log2_rounds)
        if config.max_log2_rounds:
            asked = self.a.user
            if config.rounds_beyond:
                too_many = Signal()
                m.d.comb += [
                    too_many.eq(self.a.user > config.max_log2_rounds),
                    self.too_many.eq(
                        self.a.valid & self.a.ready & ~in_frame & ~dropping & too_many),
                ]
                asked = Mux(too_many, config.max_log2_rounds, asked)
            m.d.comb += log2_rounds.eq(Mux(in_frame, held, asked))

        free = Signal()
        step = Signal()
        whole = Signal()                                 # the last round of a block of K
        final = Signal()                                 # the last word of the half
        ends = Signal()
        m.d.comb += [
            free.eq(~Mux(filled_half, full[1], full[0]) & ~dropping),
            step.eq(free & (self.a.valid | filling)),
            self.a.ready.eq((free & ~filling) | dropping),
            whole.eq((address | ~round_mask(log2_rounds, config)[:self.address_bits]).all()),
            final.eq(address.all()),
            ends.eq(step & whole & (filling | self.a.last | final)),
            self.too_short.eq(step & ~filling & self.a.last & ~whole),
            self.too_long.eq(ends & ~filling & ~self.a.last),
            write.addr.eq(Cat(address, filled_half)),
            write.data.eq(Mux(filling, 0, self.a.data)),
            write.en.eq(step),
        ]
        with m.If(step):
            m.d.sync += [address.eq(Mux(ends, 0, address + 1)), held.eq(log2_rounds),
                         in_frame.eq(~ends)]
        with m.If(ends):
            m.d.sync += filling.eq(0)
        with m.Elif(self.too_short):
            m.d.sync += filling.eq(1)
        drop_rest(m, dropping, self.too_long, self.a.valid & self.a.last)

        blocks = [Signal.like(self.blocks, name=f"blocks_{half}", reset_less=True)
                  for half in range(2)]
        rounds = [Signal.like(self.log2_rounds, name=f"log2_rounds_{half}", reset_less=True)
                  for half in range(2)]
        for half in range(2):
            with m.If(ends & (filled_half == half)):
                m.d.sync += [full[half].eq(1), rounds[half].eq(log2_rounds),
                             blocks[half].eq((address >> log2_rounds) + 1)]
            with m.Elif(self.let_go & (used_half == half)):
                m.d.sync += full[half].eq(0)
        m.d.sync += [filled_half.eq(filled_half ^ ends), used_half.eq(used_half ^ self.let_go)]
        m.d.comb += [
            self.full.eq(Mux(used_half, full[1], full[0])),
            self.blocks.eq(Mux(used_half, blocks[1], blocks[0])),
            self.log2_rounds.eq(Mux(used_half, rounds[1], rounds[0])),
            self.loading.eq(in_frame | dropping),
            self.wanting.eq((in_frame & ~filling) | dropping),
            self.any_full.eq(full.any()),
            read.addr.eq(Cat(self.address, used_half)),
            read.en.eq(1),
            self.word.eq(read.data),
        ]
        return m


def round_mask(log2_rounds, config: SparseChainConfig):
    """Number of the last round; as wide as any address."""
    bits = max((config.buffer_depth - 1).bit_length(), 1)
    value = Const((1 << config.max_log2_rounds) - 1, bits)
    for log2 in reversed(range(config.max_log2_rounds)):
        value = Mux(log2_rounds == log2, Const((1 << log2) - 1, bits), value)
    return value
