"""The ternary core: packed weights through lanes of add/subtract trees, results."""

from collections.abc import Mapping

from amaranth import Cat, Const, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.memory import Memory

from systolith.hdl.arithmetic.steps import counter
from systolith.hdl.bus import axi_stream
from systolith.hdl.bus.credits import Credits
from systolith.hdl.shell import SLICE_LATENCY, inside_signature
from systolith.hdl.structure.delay import Delay
from systolith.hdl.structure.linear_array import LinearArray
from systolith.hdl.ternary.config import BYTE, ZERO_BYTE, TernaryConfig
from systolith.hdl.ternary.control import WordControl
from systolith.hdl.ternary.finish import Finisher
from systolith.hdl.ternary.lane import TernaryLane
from systolith.hdl.ternary.loader import VectorLoader

#: Vectors on chip: one is multiplied while the next is loaded.
BANKS = 2
#: Cycles from a word issued to its weights at the lanes.
TO_LANES = 1


def latency(config: TernaryConfig) -> Mapping[str, int | str]:
    """Latency and throughput of the core, in cycles."""
    return {
        "latency": 2 * SLICE_LATENCY + _to_buffer(config) + axi_stream.Fifo.latency,
        "latency_from": "the last accepted w beat of a frame to its first y beat",
        "frame_interval": f"ceil(K / {config.word}), at least {config.rows}",
        "weights_per_cycle": config.rows * config.word,
    }


def _to_buffer(config: TernaryConfig) -> int:
    """Cycles from the last issued word of a frame to its first result."""
    return TO_LANES + TernaryLane.latency(config) + Finisher.latency(config)


class Ternary(wiring.Component):
    """Matrix-vector multiply with weights −1, 0 and 1.

    Parameters
    ----------
    config : TernaryConfig

    Timing
    ------
    A weight beat, ``word`` weights for each of ``rows`` rows, per cycle.
    """

    def __init__(self, config: TernaryConfig):
        self.config = config
        super().__init__(inside_signature(config))

    def elaborate(self, platform):
        m = Module()
        config = self.config

        # Vectors in the banks: being loaded or multiplied; ready to be multiplied.
        used = Signal(range(BANKS + 1))
        ready = Signal(range(BANKS + 1))
        m.submodules.loader = loader = VectorLoader(config)
        m.submodules.control = control = WordControl(config)
        m.d.comb += [
            loader.i_valid.eq(self.a.valid),
            loader.i_data.eq(self.a.data),
            loader.i_last.eq(self.a.last),
            self.a.ready.eq(loader.i_ready),
            loader.bank_free.eq(used != BANKS),
        ]
        m.d.sync += [
            used.eq(used + loader.began - control.done),
            ready.eq(ready + (loader.write & loader.last) - control.done),
        ]

        m.submodules.words = words = Memory(
            shape=len(loader.word), depth=BANKS << len(control.address), init=[])
        write, read = words.write_port(), words.read_port()
        written = Signal.like(control.address)
        write_bank = Signal()
        read_bank = Signal()
        m.d.comb += [
            write.addr.eq(Cat(written, write_bank)),
            write.data.eq(loader.word),
            write.en.eq(loader.write),
            read.addr.eq(Cat(control.address, read_bank)),
        ]
        lengths = [Signal.like(written, name=f"length_{bank}", reset_less=True)
                   for bank in range(BANKS)]
        largest = [Signal(counter(config.largest_a), name=f"largest_{bank}", reset_less=True)
                   for bank in range(BANKS)]
        with m.If(loader.write):
            m.d.sync += written.eq(Mux(loader.last, 0, written + 1))
            with m.If(loader.last):
                m.d.sync += write_bank.eq(~write_bank)
                for bank in range(BANKS):
                    with m.If(write_bank == bank):
                        m.d.sync += lengths[bank].eq(written)
                        if config.quantized:
                            m.d.sync += largest[bank].eq(loader.largest)
        with m.If(control.done):
            m.d.sync += read_bank.eq(~read_bank)
        user = Signal(len(self.w.user))
        held_user = Signal(len(self.w.user), reset_less=True)
        m.d.comb += [
            user.eq(Mux(control.first, self.w.user, held_user)),
            control.last_word.eq(Mux(read_bank, lengths[1], lengths[0])),
            control.ready.eq(ready != 0),
            control.i_valid.eq(self.w.valid),
            control.i_last.eq(self.w.last),
            control.i_done.eq(self.w.user[0]),
            self.w.ready.eq(control.i_ready),
        ]
        m.d.sync += held_user.eq(user)

        # To the lanes: weights, their activations, and the control bits that go with them.
        m.submodules.lanes = lanes = LinearArray(
            lambda: TernaryLane(config), config.rows, name="lane", chain=TernaryLane.chain,
            broadcast=TernaryLane.broadcast, from_last=True)
        codes = Signal(len(self.w.data), reset_less=True)
        a = Signal(len(read.data), reset_less=True)
        m.submodules.known = known = Delay(1, TO_LANES + TernaryLane.a_age, reset=True)
        # A reset need not reach them: they are ahead of every later frame.
        m.submodules.to_lanes = to_lanes = Delay(3, TO_LANES + TernaryLane.controls_age(config))
        zeros = Const(ZERO_BYTE[config.packing], BYTE.bits)
        m.d.sync += [
            codes.eq(Mux(control.fill, Cat([zeros] * (config.rows * config.word_bytes)),
                         self.w.data)),
            a.eq(read.data),
        ]
        m.d.comb += [
            known.i.eq(control.issue),
            to_lanes.i.eq(Cat(control.issue, control.first, control.issue & control.ends)),
            lanes.codes.eq(codes),
            lanes.a.eq(a),
            Cat(lanes.valid, lanes.first, lanes.capture).eq(to_lanes.o),
            lanes.drain_in.eq(0),
        ]

        m.submodules.finish = finish = Finisher(config, TO_LANES + TernaryLane.latency(config))
        m.submodules.buffer = buffer = axi_stream.Fifo(
            axi_stream.Signature(len(self.y.data)),
            2 * config.rows + _to_buffer(config) + axi_stream.Fifo.latency)
        m.submodules.places = places = Credits(buffer.depth, config.rows)
        m.d.comb += [
            finish.issued.eq(control.issue & control.ends),
            finish.total.eq(lanes.drain_out),
            buffer.i.data.eq(finish.y),
            buffer.i.last.eq(finish.last),
            buffer.i.valid.eq(finish.valid),
            places.reserve.eq(control.issue & control.ends),
            places.freed.eq(buffer.taken),
            control.room.eq(places.enough),
        ]
        if config.quantized:
            m.d.comb += finish.largest.eq(Mux(read_bank, largest[1], largest[0]))
        if config.scaled:
            m.d.comb += Cat(finish.scale, finish.shift).eq(user[1:])
        wiring.connect(m, buffer.o, wiring.flipped(self.y))

        flags = {"a_long": loader.too_long, "w_short": control.too_short,
                 "w_long": control.too_long,
                 "illegal": known.o & lanes.illegal.any()}
        m.d.comb += [
            self.busy.eq((used != 0) | loader.busy | control.busy | places.any_used),
            self.waiting.eq(loader.waiting | control.waiting
                            | (self.w.valid & (used == 0) & ~self.a.valid)),
            self.flags.eq(Cat(flags[name] for name, _ in config.flags)),
        ]
        return m
