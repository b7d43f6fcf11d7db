"""The bit-plane core: planes in, counted ones through an array of PEs, sums out."""

from collections.abc import Mapping

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.memory import Memory

from systolith.hdl.bitplane.config import BitplaneConfig
from systolith.hdl.bitplane.control import PlaneSteps
from systolith.hdl.bitplane.finish import FinishLane, ScaleLoader
from systolith.hdl.bitplane.pe import CONTROLS, BitplanePE, Stages
from systolith.hdl.bus import axi_stream
from systolith.hdl.bus.credits import Credits
from systolith.hdl.shell import SLICE_LATENCY, inside_signature
from systolith.hdl.structure.delay import Delay
from systolith.hdl.structure.linear_array import LinearArray
from systolith.hdl.structure.paired_frames import PairedFrames, TileRows


class Timing:
    """When things happen, in cycles after a pair of planes is issued.

    Attributes
    ----------
    result : int
        The result registers of all PEs hold the sums of the frame that the pair finished.
    stored : int
        Row 0 of them enters the output buffer; the other rows follow, one per cycle.
    depth : int
        Places that the output buffer needs so that it never holds back the array.
    """

    def __init__(self, config: BitplaneConfig):
        self.result = 1 + Stages(config).result
        self.stored = self.result + FinishLane.latency(config)
        self.depth = self.stored + axi_stream.Fifo.latency + 2 + config.rows

    @property
    def emitted(self) -> int:
        """Row 0 leaves the core."""
        return self.stored + axi_stream.Fifo.latency + SLICE_LATENCY


def latency(config: BitplaneConfig) -> Mapping[str, int | str]:
    """Latency and throughput of the core, in cycles."""
    pairs, planes = ("q * p * ", 1) if config.serial else (
        "", config.max_a_bits * config.max_w_bits)
    return {
        "latency": SLICE_LATENCY + Timing(config).emitted,
        "latency_from": "the last beats of an a and a w frame used, to the first c beat",
        "tile_interval": f"max({pairs}ceil(K / {config.word}), rows = {config.rows})",
        "bit_products_per_cycle": config.rows * config.cols * config.word * planes,
    }


class BitplaneCore(wiring.Component):
    """Matrix products from ones counted in bit planes.

    Parameters
    ----------
    config : BitplaneConfig

    Timing
    ------
    See :class:`Timing`. Tiles follow each other without a bubble, one every max(L, rows) cycles,
    where L is q · p · ceil(K / word) (``serial``) or ceil(K / word) (``parallel``).
    """

    def __init__(self, config: BitplaneConfig):
        self.config = config
        self.timing = Timing(config)
        super().__init__(inside_signature(config))

    def elaborate(self, platform):
        m = Module()
        config, timing = self.config, self.timing
        m.submodules.frames = frames = PairedFrames(
            config.rows, config.max_words, single=not config.several_steps)
        m.submodules.steps = steps = PlaneSteps(config)
        m.submodules.places = places = Credits(timing.depth, config.rows)
        m.submodules.buffer = buffer = axi_stream.Fifo(
            axi_stream.Signature(config.cols * config.out.bits), timing.depth)
        finishing = Signal()
        m.d.comb += [
            frames.a_valid.eq(self.a.valid),
            frames.a_last.eq(self.a.last),
            self.a.ready.eq(frames.a_ready),
            frames.w_valid.eq(self.w.valid),
            frames.w_last.eq(self.w.last),
            self.w.ready.eq(frames.w_ready),
            *([frames.takes_a.eq(steps.first_w),
               frames.takes_w.eq(steps.last_a),
               frames.ends_word.eq(steps.last_a & steps.last_w)] if config.several_steps else []),
            frames.room.eq(places.enough),
            steps.issue.eq(frames.issue),
            steps.in_frame.eq(frames.in_frame),
            steps.a_code.eq(self.reg_a_code),
            steps.w_code.eq(self.reg_w_code),
            finishing.eq(frames.issue & frames.finish),
            places.reserve.eq(finishing),
            places.freed.eq(buffer.taken),
        ]
        waiting = frames.waiting
        m.d.comb += [getattr(steps, name).eq(getattr(self, f"reg_{name}"))
                     for name in ("a_bits", "w_bits") if hasattr(steps, name)]
        wiring.connect(m, buffer.o, wiring.flipped(self.c))

        array = self._array(m, frames, steps, finishing)
        busy = frames.busy | places.any_used

        # The rows of finished sums leave the array one per cycle, through the lanes.
        m.submodules.leaving = leaving = TileRows(config.rows, timing.result)
        m.submodules.lanes = lanes = LinearArray(
            lambda: FinishLane(config), config.cols, name="lane", broadcast=FinishLane.broadcast)
        m.submodules.to_buffer = to_buffer = Delay(2, FinishLane.latency(config), reset=True)
        m.d.comb += [
            lanes.total.eq(array.result_out),
            lanes.bipolar.eq(steps.bipolar),
            lanes.offset.eq(self.reg_offset),
            leaving.finish.eq(finishing),
            to_buffer.i.eq(Cat(leaving.valid, leaving.last)),
            buffer.i.data.eq(lanes.c),
            Cat(buffer.i.valid, buffer.i.last).eq(to_buffer.o),
        ]

        flags = {name: getattr(frames, name)
                 for name in ("a_long", "w_long", "a_short", "w_short") if hasattr(frames, name)}
        flags["settings"] = steps.settings
        if config.output == "scaled":
            m.submodules.scales = scales = ScaleLoader(len(self.s.data), timing.result + 4)
            wiring.connect(m, wiring.flipped(self.s), scales.s)
            m.d.comb += [
                scales.claim.eq(finishing),
                scales.done.eq(leaving.last),
                frames.may_finish.eq(scales.ready),
                lanes.scale.eq(scales.data),
            ]
            flags["s_long"] = scales.too_long
            busy |= scales.busy
            operands = self.a.valid | self.w.valid | frames.busy
            waiting |= Mux(operands, frames.finish & ~scales.ready, scales.busy)
        else:
            m.d.comb += frames.may_finish.eq(1)
        m.d.comb += [
            self.busy.eq(busy),
            self.waiting.eq(waiting),
            self.flags.eq(Cat(flags[name] for name, _ in config.flags)),
        ]
        return m

    def _array(self, m: Module, frames, steps, finishing) -> LinearArray:
        """The array of PEs with its operands and its controls."""
        config = self.config

        def row() -> LinearArray:
            return LinearArray(lambda: BitplanePE(config), config.cols, name="pe", module="row",
                               broadcast=("a", *CONTROLS))

        m.submodules.array = array = LinearArray(
            row, config.rows, name="row", module="array", chain=BitplanePE.result_chain,
            broadcast=("w", *CONTROLS), from_last=True)

        a = Signal.like(self.a.data, name="a_issued", reset_less=True)
        w = Signal.like(self.w.data, name="w_issued", reset_less=True)
        a_now, w_now = self.a.data, self.w.data
        if config.several_steps:
            a_now, w_now = Mux(frames.a_missing, 0, a_now), Mux(frames.w_missing, 0, w_now)
        # Planes of A that meet several of W come from the stream with the first of them only.
        repeated = config.serial and config.max_w_bits > 1
        with m.If(steps.first_w if repeated and config.max_a_bits == 1 else 1):
            m.d.sync += a.eq(a_now)
        m.d.sync += w.eq(w_now)
        a_planes = a
        if repeated and config.max_a_bits > 1:
            # A plane is written until its step happens. It is never read in the cycle in which it
            # is written, so the memory needs no logic for that case.
            m.submodules.kept = kept = Memory(
                shape=len(self.a.data), depth=config.max_a_bits, init=[],
                attrs={"no_rw_check": True})
            write, read = kept.write_port(), kept.read_port()
            from_stream = Signal(reset_less=True)
            m.d.sync += from_stream.eq(steps.first_w)
            m.d.comb += [
                write.addr.eq(steps.a_index),
                write.data.eq(a_now),
                write.en.eq(steps.first_w),
                read.addr.eq(steps.a_index),
                read.en.eq(~steps.first_w),
            ]
            a_planes = Mux(from_stream, a, read.data)

        stages = Stages(config)

        def later(name: str, value, cycles: int):
            m.submodules[name] = delay = Delay(1, cycles, reset=True)
            m.d.comb += delay.i.eq(value)
            return delay.o

        sums = {                                         # what starts it anew, what is added to it
            "a": (steps.first_a, frames.issue),
            "w": (steps.first_w, frames.issue & steps.last_a),
            "k": (frames.first_word, frames.issue & steps.last_a & steps.last_w),
        }
        when = {name: 1 + stages.counted + index for index, name in enumerate(stages.names)}
        signs = [when.get("a", when.get("w", when["k"])), when.get("w", when["k"])]
        if not config.serial:
            signs = [when["k"] - 1] * 2
        m.d.comb += [
            array.a.eq(a_planes),
            array.w.eq(w),
            array.bipolar.eq(steps.bipolar),
            array.fresh.eq(Cat(later(f"fresh_{name}", sums[name][0], when[name])
                               for name in stages.names)),
            array.step.eq(Cat(later(f"step_{name}", sums[name][1], when[name])
                              for name in stages.names)),
            array.negate.eq(Cat(later(f"negate_{name}", steps.negate[index], signs[index])
                                for index, name in enumerate("aw"))),
            array.load.eq(later("load", finishing, 1 + stages.summed)),
        ]
        return array
