"""The softmax core: passes over rows, each behind a store that waits for the one before."""

from collections.abc import Mapping

from amaranth import Cat, Module, Signal
from amaranth.lib import wiring

from systolith.hdl.arithmetic.steps import signal_of
from systolith.hdl.bus import axi_stream
from systolith.hdl.bus.credits import Credits
from systolith.hdl.shell import SLICE_LATENCY, inside_signature
from systolith.hdl.softmax.base2 import Base2Normalizer, Base2Sum
from systolith.hdl.softmax.config import SoftmaxConfig
from systolith.hdl.softmax.ibert import IbertMaximum, IbertNormalizer, IbertSum
from systolith.hdl.softmax.integer import IntegerNormalizer, IntegerSum
from systolith.hdl.softmax.power_sums import OnlineSum, ThreePassSum, TopExponent, TwoPassSum
from systolith.hdl.softmax.powers import PowerNormalizer
from systolith.hdl.softmax.rows import (
    RowReader,
    RowReplay,
    RowStore,
    beats_between,
    issue_latency,
    rows_between,
)

#: The passes of each algorithm; the last one gives the probabilities.
PASSES = {
    "online": (OnlineSum, PowerNormalizer),
    "single_pass": (OnlineSum, PowerNormalizer),
    "three_pass": (TopExponent, ThreePassSum, PowerNormalizer),
    "two_pass": (TwoPassSum, PowerNormalizer),
    "base2": (Base2Sum, Base2Normalizer),
    "integer": (IntegerSum, IntegerNormalizer),
    "ibert": (IbertMaximum, IbertSum, IbertNormalizer),
}

FIFO = axi_stream.Fifo.latency


def latency(config: SoftmaxConfig) -> Mapping[str, int | str]:
    """Latency and throughput of the core, in cycles."""
    *before, last = (part.timing(config) for part in PASSES[config.algorithm])
    cycles = sum(part.record + FIFO for part in before) + last.beat + FIFO + 2 * SLICE_LATENCY
    cycles += sum(issue_latency(config, number) for number in range(len(before) + 1))
    interval = f"ceil(length / {config.lanes})"
    if config.dividers:
        interval = f"max({interval}, {division_cycles(config)} / {config.dividers})"
    return {
        "latency": cycles,
        "latency_from": "the only beat of a row to the beat of its probabilities",
        "row_interval": interval,
        "elements_per_cycle": config.lanes,
    }


def division_cycles(config: SoftmaxConfig) -> int:
    """Cycles for which a row takes a serial divider."""
    return (config.factor_bits if config.algorithm == "ibert" else config.y.bits) + 1


class SoftmaxCore(wiring.Component):
    """Softmax over rows that follow each other without a gap.

    Each pass but the last finds out something about a row, its record; the beats of the row wait
    for it in front of the next pass, in a store or at their source.

    Parameters
    ----------
    config : SoftmaxConfig

    Timing
    ------
    The datapaths have no enable: places behind them are reserved before a beat is issued.
    """

    def __init__(self, config: SoftmaxConfig):
        self.config = config
        super().__init__(inside_signature(config))

    def elaborate(self, platform):
        m = Module()
        config = self.config
        m.submodules.reader = reader = RowReader(config, masked=config.additive_mask)
        wiring.connect(m, wiring.flipped(self.x), reader.x)
        if config.additive_mask:
            wiring.connect(m, wiring.flipped(self.mask), reader.mask)
        flags = {"row_long": reader.long, "row_short": reader.short,
                 "row_empty": self._empty(m, reader)}
        if config.additive_mask:
            flags["mask_differs"] = reader.differs
        self._busy, self._waiting = [reader.busy], [reader.waiting]

        source, beat, row = reader, Cat(reader.data, reader.keep), None
        *before, last = (part(config) for part in PASSES[config.algorithm])
        for number, datapath in enumerate(before):
            m.submodules[f"pass_{number + 1}"] = datapath
            self._enter(m, datapath, source, beat, row)
            if hasattr(datapath, "saturated"):
                flags["saturated"] = datapath.saturated
            connect = self._store if config.store == "chip" else self._replay
            source, beat, row = connect(m, number, source, datapath, flags)
        m.submodules[f"pass_{len(before) + 1}"] = last
        self._enter(m, last, source, beat, row)
        self._leave(m, source, last)
        m.d.comb += [
            self.busy.eq(Cat(*self._busy).any()),
            self.waiting.eq(Cat(*self._waiting).any()),
            self.flags.eq(Cat(flags[name] for name, _ in config.flags)),
        ]
        return m

    def _enter(self, m: Module, datapath, source, beat, row):
        m.d.comb += [
            datapath.valid.eq(source.valid),
            datapath.last.eq(source.last),
            datapath.beat.eq(beat),
        ]
        if row is not None:
            m.d.comb += datapath.row.eq(row)
        for register in self.config.registers:
            m.d.comb += getattr(datapath, register.name).eq(
                getattr(self, f"reg_{register.name}"))

    def _leave(self, m: Module, source, last):
        """The last pass fills the output buffer."""
        number = len(PASSES[self.config.algorithm]) - 1
        depth = issue_latency(self.config, number) + last.timing(self.config).beat + FIFO + 2
        m.submodules.buffer = buffer = axi_stream.Fifo(
            axi_stream.Signature(len(last.o_beat)), depth)
        m.submodules.places = room = Credits(depth, 1)
        m.d.comb += [
            buffer.i.valid.eq(last.o_valid),
            buffer.i.last.eq(last.o_last),
            buffer.i.data.eq(last.o_beat),
            room.reserve.eq(source.issue),
            room.freed.eq(buffer.taken),
            source.room.eq(room.enough),
        ]
        self._busy.append(room.any_used)
        wiring.connect(m, buffer.o, wiring.flipped(self.y))

    def _store(self, m: Module, number: int, source, datapath, flags):
        """The next pass takes beats and records from a store."""
        record = datapath.timing(self.config).record
        beats = beats_between(self.config, number, record)
        rows = rows_between(self.config, number, record)
        m.submodules[f"store_{number + 1}"] = store = RowStore(
            self.config, len(datapath.o_beat), len(datapath.record), beats, rows)
        m.submodules[f"beats_{number + 1}"] = beat_room = Credits(beats, 1)
        m.submodules[f"rows_{number + 1}"] = row_room = Credits(rows, 1)
        m.d.comb += [
            source.room.eq(beat_room.enough & (row_room.enough | ~source.first)),
            beat_room.reserve.eq(source.issue),
            beat_room.freed.eq(store.issue),
            row_room.reserve.eq(source.issue & source.first),
            row_room.freed.eq(store.issue & store.ends),
            store.i_valid.eq(datapath.o_valid),
            store.i_last.eq(datapath.o_last),
            store.i_data.eq(datapath.o_beat),
            store.record_valid.eq(datapath.record_valid),
            store.record.eq(datapath.record),
        ]
        self._busy.append(beat_room.any_used)
        return store, store.data, store.row

    def _replay(self, m: Module, number: int, source, datapath, flags):
        """The next pass takes the beats from their source again."""
        rows = rows_between(self.config, number, datapath.timing(self.config).record)
        m.submodules[f"replay_{number + 1}"] = again = RowReplay(
            self.config, len(datapath.record), rows)
        m.submodules[f"rows_{number + 1}"] = row_room = Credits(rows, 1)
        wiring.connect(m, wiring.flipped(self.replay), again.x)
        m.d.comb += [
            source.room.eq(row_room.enough | ~source.first),
            row_room.reserve.eq(source.issue & source.first),
            row_room.freed.eq(again.issue & again.ends),
            again.passed.eq(source.issue),
            again.passed_ends.eq(source.ends),
            again.record_valid.eq(datapath.record_valid),
            again.record.eq(datapath.record),
        ]
        flags["row_long"] = source.long | again.long
        flags["row_short"] = source.short | again.short
        flags["replay_differs"] = again.differs
        self._busy += [row_room.any_used, again.busy]
        self._waiting.append(again.waiting)
        return again, again.data, again.row

    @staticmethod
    def _empty(m: Module, reader):
        """A pulse after the last beat of a row without an element that counts."""
        seen = Signal()
        any_kept = signal_of(m, seen | reader.keep.any(), "any_kept")
        with m.If(reader.valid):
            m.d.sync += seen.eq(any_kept & ~reader.last)
        return reader.valid & reader.last & ~any_kept
