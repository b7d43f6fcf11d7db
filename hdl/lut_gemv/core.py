"""The table-lookup core: tables from activations, bit-planes through lookup lanes, results."""

from collections.abc import Mapping

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.memory import Memory

from systolith.hdl.bus import axi_stream
from systolith.hdl.bus.credits import Credits
from systolith.hdl.lut_gemv.builder import Builder
from systolith.hdl.lut_gemv.config import LutGemvConfig
from systolith.hdl.lut_gemv.control import LookupControl, VectorControl
from systolith.hdl.lut_gemv.finish import Finisher
from systolith.hdl.lut_gemv.lane import LookupLane
from systolith.hdl.shell import SLICE_LATENCY, inside_signature
from systolith.hdl.structure.block_memory import BlockMemory
from systolith.hdl.structure.delay import Delay
from systolith.hdl.structure.linear_array import LinearArray

#: Vectors whose tables are on chip: one is looked up while the next is built.
BANKS = 2
#: Cycles from an index to the lanes: the table memory, and the choice of the bank.
FETCH = BlockMemory.latency + 1


def latency(config: LutGemvConfig) -> Mapping[str, int | str]:
    """Latency and throughput of the core, in cycles."""
    return {
        "latency": 2 * SLICE_LATENCY + _to_buffer(config) + axi_stream.Fifo.latency,
        "latency_from": "the last accepted w beat of a frame to its first y beat",
        "frame_interval": f"bits of a weight * ceil(K / {config.block}) * {config.block // 4}, "
                          f"at least {Finisher.interval(config)} for each block",
        "lookups_per_cycle": config.rows,
    }


def _to_buffer(config: LutGemvConfig) -> int:
    """Cycles from an issued index that finishes a frame to the first result."""
    return FETCH + LookupLane.latency + Finisher.latency(config)


class LutGemv(wiring.Component):
    """Matrix-vector multiply by table lookup.

    Parameters
    ----------
    config : LutGemvConfig

    Timing
    ------
    A weight beat, 4 bits for each of ``rows`` rows, per cycle.
    """

    def __init__(self, config: LutGemvConfig):
        self.config = config
        super().__init__(inside_signature(config))

    def elaborate(self, platform):
        m = Module()
        config = self.config

        # Vectors in the banks: being built or looked up; ready to be looked up.
        used = Signal(range(BANKS + 1))
        ready = Signal(range(BANKS + 1))
        released = Signal()
        m.submodules.vectors = vectors = VectorControl(config)
        m.submodules.builder = builder = Builder(config)
        m.submodules.control = control = LookupControl(config, Finisher.interval(config))
        m.d.comb += [
            vectors.i_valid.eq(self.a.valid),
            vectors.i_last.eq(self.a.last),
            self.a.ready.eq(vectors.i_ready),
            vectors.bank_free.eq(used != BANKS),
            builder.valid.eq(vectors.step),
            builder.data.eq(Mux(vectors.fill, 0, self.a.data) if config.quantized
                            else self.a.data),
            builder.last.eq(vectors.last),
        ]
        m.d.sync += [
            used.eq(used + (vectors.step & vectors.first) - released),
            ready.eq(ready + builder.last_out - control.done),
        ]

        # The banks: tables, and what scales each block.
        made = {"a_sum": builder.a_sum}
        if config.quantized:
            made["largest"] = builder.largest
        if config.shift_high:
            made["exponent"] = builder.exponent
        tables = [BlockMemory(len(builder.entries), max(config.max_tables, 2), config.technology)
                  for _ in range(BANKS)]
        m.submodules.scales = scales = Memory(
            shape=len(Cat(*made.values())), depth=BANKS << len(control.block), init=[])
        scale_write, scale_read = scales.write_port(), scales.read_port()
        built = Signal.like(control.address)
        built_block = Signal.like(control.block)
        write_bank = Signal()
        read_bank = Signal()
        m.d.comb += [
            scale_write.addr.eq(Cat(built_block, write_bank)),
            scale_write.data.eq(Cat(*made.values())),
            scale_write.en.eq(builder.ends),
        ]
        for bank, memory in enumerate(tables):
            m.submodules[f"tables_{bank}"] = memory
            m.d.comb += [
                memory.write_address.eq(built),
                memory.write_data.eq(builder.entries),
                memory.write_enable.eq(builder.write & (write_bank == bank)),
                memory.read_address.eq(control.address),
            ]
        with m.If(builder.write):
            m.d.sync += built.eq(Mux(builder.last_out, 0, built + 1))
        if config.max_blocks > 1:
            with m.If(builder.ends):
                m.d.sync += built_block.eq(Mux(builder.last_out, 0, built_block + 1))
        lengths = [Signal.like(built_block if config.quantized else built,
                               name=f"length_{bank}", reset_less=True) for bank in range(BANKS)]
        with m.If(builder.last_out):
            m.d.sync += write_bank.eq(~write_bank)
            for bank, length in enumerate(lengths):
                with m.If(write_bank == bank):
                    m.d.sync += length.eq(built_block if config.quantized else built)
        with m.If(control.done):
            m.d.sync += read_bank.eq(~read_bank)
        length = Mux(read_bank, lengths[1], lengths[0])
        m.d.comb += [
            control.last_block.eq(length if config.quantized else 0),
            control.last_table.eq(config.block_tables - 1 if config.quantized else length),
            control.ready.eq(ready != 0),
            control.i_valid.eq(self.w.valid),
            control.i_last.eq(self.w.last),
            control.i_user.eq(self.w.user),
            self.w.ready.eq(control.i_ready),
        ]

        # To the lanes: an index, its table, and the control bits that go with them.
        m.submodules.lanes = lanes = LinearArray(
            lambda: LookupLane(config), config.rows, name="lane", chain=LookupLane.chain,
            broadcast=LookupLane.broadcast, from_last=True)
        m.submodules.to_index = to_index = Delay(len(self.w.data), FETCH)
        entries = Signal(len(builder.entries), reset_less=True)
        m.submodules.to_bank = to_bank = Delay(1, BlockMemory.latency)
        m.submodules.to_lanes = to_lanes = Delay(4, FETCH, reset=True)
        m.d.sync += entries.eq(Mux(to_bank.o, tables[1].read_data, tables[0].read_data))
        m.d.comb += [
            to_bank.i.eq(read_bank),
            to_index.i.eq(Mux(control.fill, 0, self.w.data)),
            to_lanes.i.eq(Cat(control.issue, control.first, control.doubles,
                              control.issue & control.ends)),
            lanes.index.eq(to_index.o),
            lanes.entries.eq(entries),
            Cat(lanes.valid, lanes.first, lanes.doubles, lanes.capture).eq(to_lanes.o),
            lanes.drain_in.eq(0),
        ]

        # Behind the lanes. The first sum is in the chain one cycle after `start`.
        to_finish = FETCH + LookupLane.latency - 1
        m.submodules.finish = finish = Finisher(config)
        m.submodules.start = start = Delay(2, to_finish, reset=True)
        m.submodules.beside = beside = Delay(4 + len(control.block), to_finish)
        bank, block = beside.o[3], beside.o[4:]
        m.d.comb += [
            start.i.eq(Cat(control.issue & control.ends, control.done)),
            beside.i.eq(Cat(control.block == 0, control.ends_frame, control.bipolar, read_bank,
                            control.block)),
            Cat(finish.start, released).eq(start.o),
            Cat(finish.first, finish.ends_frame, finish.bipolar).eq(beside.o[:3]),
            finish.total.eq(lanes.drain_out),
            scale_read.addr.eq(Cat(block, bank)),
            scale_read.en.eq(finish.start),
            Cat(*(getattr(finish, name) for name in made)).eq(scale_read.data),
        ]

        m.submodules.buffer = buffer = axi_stream.Fifo(
            axi_stream.Signature(len(self.y.data)),
            2 * config.rows + _to_buffer(config) + axi_stream.Fifo.latency)
        m.submodules.places = places = Credits(buffer.depth, config.rows)
        m.d.comb += [
            buffer.i.data.eq(finish.y),
            buffer.i.last.eq(finish.last),
            buffer.i.valid.eq(finish.valid),
            places.reserve.eq(control.issue & control.ends_frame),
            places.freed.eq(buffer.taken),
            control.room.eq(places.enough),
        ]
        wiring.connect(m, buffer.o, wiring.flipped(self.y))

        flags = {"a_long": vectors.too_long, "w_short": control.too_short,
                 "w_long": control.too_long}
        if config.quantized:
            flags["a_short"] = vectors.too_short
        if config.shift_high:
            flags["not_finite"] = builder.not_finite
        m.d.comb += [
            self.busy.eq((used != 0) | vectors.busy | control.busy | places.any_used),
            self.waiting.eq(vectors.waiting | control.waiting
                            | (self.w.valid & (used == 0) & ~self.a.valid)),
            self.flags.eq(Cat(flags[name] for name, _ in config.flags)),
        ]
        return m
