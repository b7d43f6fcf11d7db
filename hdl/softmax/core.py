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
from systolith.hdl.softmax.logits import ODDITIES
from systolith.hdl.softmax.normalizers import PowerNormalizer
from systolith.hdl.softmax.passes import delayed
from systolith.hdl.softmax.power_sums import OnlineSum, ThreePassSum, TopExponent, TwoPassSum
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
        m.submodules.reader = reader = RowReader(config)
        wiring.connect(m, wiring.flipped(self.x), reader.x)
        if config.additive_mask:
            wiring.connect(m, wiring.flipped(self.mask), reader.mask)
        flags = {"row_long": reader.too_long, "row_short": reader.too_short,
                 "row_empty": self._empty(m, reader)}
        if config.additive_mask:
            flags["mask_differs"] = reader.differs
        if config.float_in:
            flags |= {name: reader.odd[bit] for bit, name in enumerate(ODDITIES)}
        self._busy, self._waiting = [reader.busy], [reader.waiting]

        source, beat, row = reader, Cat(reader.data, reader.keep), None
        undefined = self._undefined(m, reader) if config.float_in else None
        *before, last = (part(config) for part in PASSES[config.algorithm])
        for number, datapath in enumerate(before):
            m.submodules[f"pass_{number + 1}"] = datapath
            self._enter(m, datapath, source, beat, row)
            if hasattr(datapath, "saturated"):
                flags["saturated"] = datapath.saturated
            record = datapath.record
            if undefined is not None:                         # known with the last beat of a row
                record = Cat(record, delayed(
                    m, f"undefined_{number + 1}", datapath.timing(config).record, undefined))
            connect = self._store if config.store == "chip" else self._replay
            source, beat, row = connect(m, number, source, datapath, record, flags)
            if undefined is not None:
                row, undefined = row[:-1], row[-1]
        m.submodules[f"pass_{len(before) + 1}"] = last
        self._enter(m, last, source, beat, row)
        if undefined is not None:
            m.d.comb += last.undefined.eq(undefined)
        if hasattr(last, "saturated"):
            flags["y_saturated"] = last.saturated
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

    def _store(self, m: Module, number: int, source, datapath, record, flags):
        """The next pass takes beats and records from a store."""
        behind = datapath.timing(self.config).record
        beats = beats_between(self.config, number, behind)
        rows = rows_between(self.config, number, behind)
        m.submodules[f"store_{number + 1}"] = store = RowStore(
            self.config, len(datapath.o_beat), len(record), beats, rows)
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
            store.record.eq(record),
        ]
        self._busy.append(beat_room.any_used)
        return store, store.data, store.row

    def _replay(self, m: Module, number: int, source, datapath, record, flags):
        """The next pass takes the beats from their source again."""
        rows = rows_between(self.config, number, datapath.timing(self.config).record)
        m.submodules[f"replay_{number + 1}"] = again = RowReplay(
            self.config, len(record), rows)
        m.submodules[f"rows_{number + 1}"] = row_room = Credits(rows, 1)
        name = self.config.replays[number]
        wiring.connect(m, wiring.flipped(getattr(self, name)), again.x)
        if self.config.additive_mask:
            wiring.connect(m, wiring.flipped(getattr(self, f"{name}_mask")), again.mask)
            flags["mask_differs"] = flags["mask_differs"] | again.mask_differs
        m.d.comb += [
            source.room.eq(row_room.enough | ~source.first),
            row_room.reserve.eq(source.issue & source.first),
            row_room.freed.eq(again.issue & again.ends),
            again.passed.eq(source.issue),
            again.passed_ends.eq(source.ends),
            again.record_valid.eq(datapath.record_valid),
            again.record.eq(record),
        ]
        flags["row_long"] = flags["row_long"] | again.too_long
        flags["row_short"] = flags["row_short"] | again.too_short
        flags["replay_differs"] = flags.get("replay_differs", 0) | again.differs
        self._busy += [row_room.any_used, again.busy]
        # A row comes again before it has come.
        early = again.x.valid & ~row_room.any_used & ~source.x.valid
        self._waiting += [again.waiting, early]
        return again, again.data, again.row

    @staticmethod
    def _undefined(m: Module, reader):
        """Whether NaN or +Inf were among the logits of a row, with its last beat."""
        seen = Signal(name="odd_seen")
        odd = Cat(reader.odd[ODDITIES.index(name)] for name in ("nan", "infinite"))
        undefined = signal_of(m, seen | odd.any(), "odd_row")
        with m.If(reader.valid):
            m.d.sync += seen.eq(undefined & ~reader.last)
        return undefined

    @staticmethod
    def _empty(m: Module, reader):
        """A pulse after the last beat of a row without an element that counts."""
        seen = Signal()
        any_kept = signal_of(m, seen | reader.keep.any(), "any_kept")
        with m.If(reader.valid):
            m.d.sync += seen.eq(any_kept & ~reader.last)
        return reader.valid & reader.last & ~any_kept
