"""The bit-serial core: streams in, terms through the array, sums out."""

from collections.abc import Mapping

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import wiring

from systolith.hdl.bitserial.column import ENCODE, Column, add_stages
from systolith.hdl.bitserial.config import LANES, TYPES, BitserialConfig
from systolith.hdl.bitserial.control import GroupControl, GroupSequencer
from systolith.hdl.bitserial.pe import PE, ActivationDecoder
from systolith.hdl.bus import axi_stream
from systolith.hdl.bus.credits import Credits
from systolith.hdl.shell import SLICE_LATENCY, inside_signature
from systolith.hdl.structure.delay import Delay
from systolith.hdl.structure.linear_array import LinearArray

#: Cycles from an issued pair to its terms at the PEs: a register, and the encoders.
TO_PE = 1 + ENCODE
TO_SUM = TO_PE + PE.latency


def _to_result(config: BitserialConfig) -> int:
    """Cycles from the issue of a group's last terms to the first result."""
    return GroupSequencer.latency(TO_SUM, add_stages(config))


def latency(config: BitserialConfig) -> Mapping[str, int | str]:
    """Latency and throughput of the core, in cycles."""
    return {
        "latency": 2 * SLICE_LATENCY + _to_result(config) + axi_stream.Fifo.latency,
        "latency_from": "the last accepted pair of a and w beats of a tile, its weights' terms "
                        "beyond the first not counted, to its first y beat",
        "group_interval": {kind.name: config.beats * kind.terms for kind in TYPES},
        "macs_per_cycle": {kind.name: f"{config.rows * config.cols} * {LANES} / {kind.terms}"
                           for kind in TYPES},
    }


class BitserialCore(wiring.Component):
    """Matrix multiply with weights that enter term by term.

    Parameters
    ----------
    config : BitserialConfig

    Timing
    ------
    A pair of beats every 4 (int8), 3 (int6, int5) or 2 cycles (bitmod4, bitmod3).
    """

    def __init__(self, config: BitserialConfig):
        self.config = config
        super().__init__(inside_signature(config))

    def elaborate(self, platform):
        m = Module()
        config = self.config
        m.submodules.control = control = GroupControl(config)
        m.d.comb += [
            control.a_valid.eq(self.a.valid),
            control.a_last.eq(self.a.last),
            control.w_valid.eq(self.w.valid),
            control.w_last.eq(self.w.last),
            control.s_valid.eq(self.s.valid),
            control.s_last.eq(self.s.last),
            control.s_type.eq(self.s.user),
            self.a.ready.eq(control.a_ready),
            self.w.ready.eq(control.w_ready),
            self.s.ready.eq(control.s_ready),
        ]

        # One cycle behind the issue: decoded activations, and codes, whose terms come later.
        taken = Mux(control.fill, 0, self.a.data)
        not_finite = Signal()
        if not config.exact:
            m.submodules.decoders = decoders = LinearArray(ActivationDecoder, config.rows,
                                                           name="decoder")
            m.d.comb += decoders.codes.eq(taken)
            m.d.sync += not_finite.eq(control.issue & decoders.not_finite.any())
            taken = decoders.words
        codes = Signal.like(self.w.data, name="codes", reset_less=True)
        group = Signal.like(self.s.data, name="group", reset_less=True)
        decoded = Signal(len(taken), reset_less=True)
        m.submodules.activations = activations = Delay(len(taken), ENCODE)
        m.d.sync += [
            codes.eq(Mux(control.fill, 0, self.w.data)),
            group.eq(self.s.data),
            decoded.eq(taken),
        ]

        m.submodules.columns = columns = LinearArray(
            lambda: Column(config), config.cols, name="column", chain=Column.chain,
            broadcast=Column.broadcast)
        m.submodules.sequencer = sequencer = GroupSequencer(
            config, TO_SUM, add_stages(config))
        m.d.comb += [
            columns.codes.eq(codes),
            columns.group.eq(group),
            activations.i.eq(decoded),
            columns.activations.eq(activations.o),
            columns.specials.eq(Cat(*(getattr(self, f"reg_{register.name}")
                                      for register in config.registers))),
            sequencer.ends.eq(control.issue & control.ends),
            sequencer.tile_first.eq(control.tile_first),
            sequencer.tile_ends.eq(control.tile_ends),
        ]
        valid = Signal()
        m.d.sync += valid.eq(control.issue)
        m.d.comb += columns.valid.eq(valid)
        for name in ("kind", "index", "digit", "first", "ends", "whole"):
            register = Signal.like(getattr(control, name), name=f"{name}_issued", reset_less=True)
            m.d.sync += register.eq(getattr(control, name))
            m.d.comb += getattr(columns, name).eq(register)
        for name in ("load", "fresh", "multiply", "deliver", "row", "start_sum", "write",
                     "write_row"):
            m.d.comb += getattr(columns, name).eq(getattr(sequencer, name))

        m.submodules.buffer = buffer = axi_stream.Fifo(
            axi_stream.Signature(len(self.y.data)),
            2 * config.rows + _to_result(config) + axi_stream.Fifo.latency)
        m.submodules.places = places = Credits(buffer.depth, config.rows)
        m.d.comb += [
            buffer.i.data.eq(columns.y),
            buffer.i.last.eq(sequencer.last),
            buffer.i.valid.eq(sequencer.valid),
            places.reserve.eq(control.issue & control.tile_ends),
            places.freed.eq(buffer.taken),
            control.room.eq(places.enough),
        ]
        wiring.connect(m, buffer.o, wiring.flipped(self.y))

        flags = {"not_finite": not_finite, "bad_type": control.bad_type,
                 "bad_code": columns.bad_code.any(), "bad_special": columns.bad_special.any(),
                 "zero_scale": columns.zero_scale.any(), "short": control.too_short,
                 "a_long": control.a_long, "w_long": control.w_long, "s_long": control.s_long}
        if config.exact:
            flags["overflow"] = columns.overflow.any()
        m.d.comb += [
            self.busy.eq(control.busy | places.any_used),
            self.waiting.eq(control.waiting),
            self.flags.eq(Cat(flags[name] for name, _ in config.flags)),
        ]
        return m
