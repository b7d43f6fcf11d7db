"""Scales of blocks: from their streams to the sums behind the mesh."""

from amaranth import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from systolith.hdl.arithmetic.scaling import IntegerScaler, PowerScaler
from systolith.hdl.bus import axi_stream
from systolith.hdl.formats import (
    FP32,
    SCALE_BITS,
    SCALE_NAN,
    BitmodFormat,
    BlockFormat,
    Format,
)
from systolith.hdl.structure.dropping import drop_rest
from systolith.hdl.systolic.config import SystolicConfig, missing_scale


class ScaleReader(wiring.Component):
    """Takes a beat of scales for every block of a frame of elements, whatever their frames are.

    Parameters
    ----------
    data_bits : int
    missing : int
        The beat that stands for one that the frame of scales does not have.
    single : bool
        Every frame of elements is one block: no beat is missing, and there are no ``finish`` and
        ``short``.

    Members
    -------
    i : In(axi_stream.Signature(data_bits))
    available : Out(1)
        There is a beat, or it is missing.
    data : Out(data_bits)
        That beat.
    take : In(1)
        A block starts with it; only while ``available``.
    finish : In(1)
        The frame of elements ends, perhaps with the block that starts.
    busy : Out(1)
        A frame is taken in part.
    too_short, too_long : Out(1)
        Pulses: a beat is missing; the rest of a frame is dropped.

    Timing
    ------
    ``data`` and ``available`` are there with the beat.
    """

    def __init__(self, data_bits: int, missing: int, *, single: bool = False):
        self.missing, self.single = missing, single
        self.module_name = f"scale_reader_{data_bits}"
        super().__init__({
            "i": In(axi_stream.Signature(data_bits)), "available": Out(1), "data": Out(data_bits),
            "take": In(1), **({} if single else {"finish": In(1)}), "busy": Out(1),
            **({} if single else {"too_short": Out(1)}), "too_long": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        over, begun = (Const(0), Const(0)) if self.single else (
            Signal(name="over"), Signal(name="begun"))   # the frame of scales has ended; is open
        finish = self.take if self.single else self.finish
        dropping = Signal()
        over_now = Signal()
        m.d.comb += [
            self.available.eq((self.i.valid | over) & ~dropping),
            self.data.eq(Mux(over, self.missing, self.i.data)),
            self.i.ready.eq((self.take & ~over) | dropping),
            over_now.eq(over | (self.take & self.i.last)),
            *([] if self.single else [self.too_short.eq(self.take & over)]),
            self.too_long.eq(finish & ~over_now),
            self.busy.eq(begun | dropping),
        ]
        if not self.single:
            with m.If(finish):
                m.d.sync += [over.eq(0), begun.eq(0)]
            with m.Elif(self.take):
                m.d.sync += [over.eq(over_now), begun.eq(1)]
        drop_rest(m, dropping, self.too_long, self.i.valid & self.i.last)
        return m


class OperandScales:
    """The scales of an operand on their way into the core: a lane per group of a beat.

    Attributes
    ----------
    reader : ScaleReader
    now, held : Value
        The beat of the block, or of the tile, whose elements are at the border; of the one whose
        elements have been there last.
    """

    def __init__(self, name: str, format: BlockFormat | BitmodFormat, data_bits: int, *,
                 single: bool):
        self.name, self.format = name, format
        self.bits = SCALE_BITS + format.select_bits
        self.lanes = data_bits // self.bits
        self.reader = ScaleReader(
            data_bits, sum(missing_scale(format) << self.bits * lane for lane in range(self.lanes)),
            single=single)
        self.now: Value = self.reader.data
        self.held: Value = self.reader.data

    def hold(self, m: Module, fresh: Value, take: Value):
        """Keep a beat for all elements of its block: the reader has it while ``fresh``."""
        held = Signal(len(self.reader.data), name=f"{self.name}_scale_held", reset_less=True)
        with m.If(take):
            m.d.sync += held.eq(self.reader.data)
        self.held, self.now = held, Mux(fresh, self.reader.data, held)

    def _each(self, beat: Value) -> list[Value]:
        return [beat[lane * self.bits:(lane + 1) * self.bits] for lane in range(self.lanes)]

    @property
    def selects(self) -> Value:
        """Numbers of special values, of every lane."""
        return Cat(lane[SCALE_BITS:] for lane in self._each(self.now))

    @property
    def nan(self) -> Value:
        """Whether a scale that the reader has is NaN."""
        if not isinstance(self.format, BlockFormat):
            return Const(0, 1)
        return Cat(lane == SCALE_NAN for lane in self._each(self.reader.data)).any()

    def watch(self, m: Module, wrong: Value, taken: Value, fresh: Value) -> tuple[Value, Value]:
        """Lanes in whose block an element has been no number: with the present one, and before."""
        found = Signal(len(wrong), name=f"{self.name}_wrong", reset_less=True)
        with_present = Mux(fresh, 0, found) | wrong
        with m.If(taken):
            m.d.sync += found.eq(with_present)
        return with_present, found

    def scales(self, beat: Value, wrong: Value | None = None) -> Value:
        """Scales of every lane, NaN where an element was no number."""
        scales = [lane[:SCALE_BITS] for lane in self._each(beat)]
        if wrong is None:
            return Cat(scales)
        return Cat(Mux(wrong[lane], SCALE_NAN, scale) for lane, scale in enumerate(scales))


class ScaleQueue(wiring.Component):
    """Keeps the scales of a tile from its issue until its sums leave the mesh.

    Parameters
    ----------
    data_bits : int
    cycles : int
        From ``push`` to ``pop`` of a tile, at least 2.
    interval : int
        Cycles from tile to tile, at least.

    Members
    -------
    push : In(1)
    i : In(data_bits)
    pop : In(1)
    o : Out(data_bits)
        The scales of the tile, from the cycle after ``pop`` on.
    """

    def __init__(self, data_bits: int, cycles: int, interval: int):
        #: Tiles on the way, and those between the memory and the register.
        self.depth = cycles // interval + 3
        self.data_bits = data_bits
        super().__init__({"push": In(1), "i": In(data_bits), "pop": In(1), "o": Out(data_bits)})

    def elaborate(self, platform):
        m = Module()
        m.submodules.buffer = buffer = axi_stream.Fifo(
            axi_stream.Signature(self.data_bits), self.depth)
        now = Signal(self.data_bits, reset_less=True)
        m.d.comb += [
            buffer.i.data.eq(self.i),
            buffer.i.valid.eq(self.push),
            buffer.o.ready.eq(self.pop),
            self.o.eq(now),
        ]
        with m.If(self.pop):
            m.d.sync += now.eq(buffer.o.data)
        return m


class ScalerLane(wiring.Component):
    """Behind a column of the mesh: its sums times the scales of their blocks.

    Members
    -------
    value : In
        A sum from the mesh; above it, in os, a bit that has no meaning here.
    a_scale_in, a_scale_out : scale of the row of A, with ``value``; only where A has scales.
    w_scale : scale of the column of W, with ``value``; only where W has scales.
    result : Out
        Code of an fp32 sum, or an exact one.

    Timing
    ------
    ``result`` is :meth:`latency` cycles after ``value``; ``a_scale_out`` one after ``a_scale_in``.
    """

    def __init__(self, config: SystolicConfig):
        self.config = config
        extra = config.dataflow == "os"
        ports = {"value": In(config.mesh_sum.bits + extra),
                 "result": Out(_target(config).bits)}
        for name, _ in config.scales:
            ports |= ({"a_scale_in": In(SCALE_BITS), "a_scale_out": Out(SCALE_BITS)}
                      if name == "a" else {"w_scale": In(SCALE_BITS)})
        super().__init__(ports)

    @staticmethod
    def chain(config: SystolicConfig) -> dict[str, str]:
        """What runs from lane to lane."""
        return {"a_scale_in": "a_scale_out"} if "a" in dict(config.scales) else {}

    @classmethod
    def latency(cls, config: SystolicConfig) -> int:
        """Cycles from a sum to the scaled one."""
        if isinstance(config.scales[0][1], BlockFormat):
            return PowerScaler.latency
        return IntegerScaler.latency_to(_target(config))

    def elaborate(self, platform):
        m = Module()
        m.submodules.scale = scale = _scaler(self.config)
        scales = []
        if hasattr(self, "a_scale_in"):
            following = Signal(SCALE_BITS, name="a_scale", reset_less=True)
            m.d.sync += following.eq(self.a_scale_in)
            m.d.comb += self.a_scale_out.eq(following)
            scales.append(self.a_scale_in)
        if hasattr(self, "w_scale"):
            scales.append(self.w_scale)
        m.d.comb += [
            scale.value.eq(self.value),
            scale.scales.eq(Cat(*scales)),
            self.result.eq(scale.result),
        ]
        return m


def _scaler(config: SystolicConfig) -> PowerScaler | IntegerScaler:
    source = FP32 if config.mesh_rounds else config.mesh_sum
    if isinstance(config.scales[0][1], BlockFormat):
        return PowerScaler(source, len(config.scales))
    return IntegerScaler(source, len(config.scales), _target(config), config.technology)


def _target(config: SystolicConfig) -> Format:
    return FP32 if config.rounded else config.tile_sum
