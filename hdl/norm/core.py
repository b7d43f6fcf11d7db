"""The normalization core: rows are summed as they arrive, wait, and leave normalized."""

from collections.abc import Mapping

from amaranth import Cat, Const, Module, Mux, Signal
from amaranth.lib import wiring

from systolith.hdl.arithmetic.fixing import FloatToFixed
from systolith.hdl.arithmetic.steps import counter
from systolith.hdl.bus import axi_stream
from systolith.hdl.bus.credits import Credits
from systolith.hdl.formats import FloatFormat
from systolith.hdl.norm.config import NormConfig
from systolith.hdl.norm.lane import NormLane, lane_latency
from systolith.hdl.norm.statistics import RowStatistics, statistics_latency
from systolith.hdl.shell import SLICE_LATENCY, inside_signature
from systolith.hdl.structure.delay import Delay
from systolith.hdl.structure.follower import Follower
from systolith.hdl.structure.linear_array import LinearArray


class Timing:
    """When things happen, in cycles.

    Attributes
    ----------
    entry : int
        From a beat taken to the same beat written to the row buffer.
    ready : int
        From the last beat of a row taken to the first one of it leaving the row buffer.
    lanes : int
        From there to the beat written to the output buffer.
    """

    def __init__(self, config: NormConfig):
        self.entry = FloatToFixed.latency if isinstance(config.x, FloatFormat) else 1
        self.ready = self.entry + statistics_latency(config) + axi_stream.Fifo.latency
        self.lanes = lane_latency(config)

    @property
    def latency(self) -> int:
        """From the last beat of a row accepted to its first beat of y."""
        return self.ready + self.lanes + axi_stream.Fifo.latency + 2 * SLICE_LATENCY


def latency(config: NormConfig) -> Mapping[str, int | str]:
    """Latency and throughput of the core, in cycles."""
    first = Timing(config).latency
    beats = f"ceil(length / {config.lanes})"
    return {
        "latency": first,
        "latency_from": "the last accepted x beat of a row to its first y beat",
        "cycles_per_row": beats,
        "cycles": f"(rows + 1) * {beats} + {first - 1}",
    }


class NormCore(wiring.Component):
    """LayerNorm and RMSNorm of rows in one reading pass.

    Rows are written to a buffer while sum and sum of squares form; behind them, one beat per cycle
    leaves the buffer and passes the lanes. The lanes never stall: a beat leaves the buffer when
    its place in the output buffer is reserved.

    Parameters
    ----------
    config : NormConfig

    Timing
    ------
    See :class:`Timing`. Rows follow each other without a bubble, also rows of one beat.
    """

    def __init__(self, config: NormConfig):
        self.config, self.timing = config, Timing(config)
        super().__init__(inside_signature(config))

    def elaborate(self, platform):
        m = Module()
        config, timing = self.config, self.timing
        flags = {}

        length = Signal(counter(config.max_length))
        m.d.comb += length.eq(Mux(self.reg_length > config.max_length, config.max_length,
                                  Mux(self.reg_length == 0, 1, self.reg_length)))
        beats, slots = config.max_beats + timing.ready + 2, timing.ready + 4
        # Beside a beat, which lanes but the first hold elements of the row.
        m.submodules.rows = rows = axi_stream.Fifo(
            axi_stream.Signature(config.lanes * config.fixed.bits, config.lanes - 1), beats)
        m.submodules.row_places = row_places = Credits(beats, 1)
        m.submodules.row_slots = row_slots = Credits(slots, 1)
        entry_busy, entry_waits = self._entry(m, length, rows, row_places, row_slots, flags)

        m.submodules.statistics = statistics = RowStatistics(config)
        members = ("total", "mantissa", "exponent")
        widths = [len(getattr(statistics, name)) for name in members]
        m.submodules.waiting_statistics = known = axi_stream.Fifo(
            axi_stream.Signature(sum(widths)), slots)
        epsilon = [self.reg_epsilon_low]
        if config.epsilon.bits > 32:
            epsilon.append(self.reg_epsilon_high)
        m.d.comb += [
            statistics.x.eq(rows.i.data),
            statistics.valid.eq(rows.i.valid),
            statistics.last.eq(rows.i.last),
            statistics.length.eq(length),
            statistics.center.eq(self.reg_center),
            statistics.epsilon.eq(Cat(*epsilon)),
            known.i.data.eq(Cat(getattr(statistics, name) for name in members)),
            known.i.last.eq(1),
            known.i.valid.eq(statistics.done),
        ]
        flags["flat"] = statistics.done & statistics.flat
        # Parameters that are there before their row.
        early = Cat(Const(0, 1), *(getattr(self, name).valid for name in ("w", "b")
                                   if hasattr(self, name))).any()
        issue, exit_busy, missing = self._exit(m, length, rows, known, widths, flags)
        m.d.comb += [
            row_places.freed.eq(issue),
            row_slots.freed.eq(issue & rows.o.last),
            self.busy.eq(row_slots.any_used | entry_busy | exit_busy),
            self.waiting.eq(entry_waits | missing | (early & ~row_slots.any_used & ~self.x.valid)),
            self.flags.eq(Cat(flags[name] for name, _ in config.flags)),
        ]
        return m

    def _entry(self, m: Module, length, rows, row_places, row_slots, flags):
        """From the x stream to the row buffer; whether a row is half taken, and waits for beats."""
        config, timing, x = self.config, self.timing, self.x
        dropping = Signal()                              # until the end of a frame too long
        inside = Signal()                                # a row has begun
        remaining = Signal(counter(config.max_length))   # elements of it that are missing
        missing = Signal.like(remaining)
        room = Signal()
        take = Signal()
        ends = Signal()
        m.d.comb += [
            missing.eq(Mux(inside, remaining, length)),
            room.eq(row_places.enough & (inside | row_slots.enough)),
            take.eq(x.valid & room & ~dropping),
            ends.eq(x.last | (missing <= config.lanes)),
            x.ready.eq(room | dropping),
            row_places.reserve.eq(take),
            row_slots.reserve.eq(take & ~inside),
        ]
        with m.If(take):
            m.d.sync += [inside.eq(~ends), remaining.eq(missing - config.lanes),
                         dropping.eq(ends & ~x.last)]
        with m.If(dropping & x.valid & x.last):
            m.d.sync += dropping.eq(0)
        counts = Cat(Const(1, 1), *(missing > lane for lane in range(1, config.lanes)))

        m.submodules.entry = beside = Delay(2, timing.entry, reset=True)
        m.d.comb += [
            beside.i.eq(Cat(take, ends)),
            rows.i.valid.eq(beside.o[0]),
            rows.i.last.eq(beside.o[1]),
        ]
        counts_later = counts[:1]
        if config.lanes > 1:
            m.submodules.counts_beside = counting = Delay(config.lanes - 1, timing.entry)
            m.d.comb += [counting.i.eq(counts[1:]), rows.i.user.eq(counting.o)]
            counts_later = Cat(counts_later, counting.o)
        bits = config.fixed.bits
        if isinstance(config.x, FloatFormat):
            m.submodules.fixing = fixing = LinearArray(
                lambda: FloatToFixed(config.x, config.fixed), config.lanes, name="fixing")
            m.d.comb += [
                fixing.code.eq(x.data),
                rows.i.data.eq(Cat(Mux(counts_later[lane],
                                       fixing.value.word_select(lane, bits), 0)
                                   for lane in range(config.lanes))),
            ]
            flags["invalid"] = rows.i.valid & ((fixing.inf | fixing.nan) & counts_later).any()
            flags["x_saturated"] = rows.i.valid & (fixing.saturated & counts_later).any()
        else:
            taken = Signal(len(x.data), reset_less=True)
            m.d.sync += taken.eq(Cat(Mux(counts[lane], x.data.word_select(lane, bits), 0)
                                     for lane in range(config.lanes)))
            m.d.comb += rows.i.data.eq(taken)
        flags["row_short"] = take & x.last & (missing > config.lanes)
        flags["row_long"] = take & ends & ~x.last
        flags["length_bad"] = take & ~inside & ((self.reg_length == 0)
                                                | (self.reg_length > config.max_length))
        return inside | dropping, ~x.valid & (dropping | (inside & row_places.enough))

    def _exit(self, m: Module, length, rows, known, widths, flags):
        """From the row buffer through the lanes to the y stream.

        Gives whether a beat leaves the row buffer, whether something is in flight behind it, and
        whether a parameter, or the end of its frame, is missing.
        """
        config, timing = self.config, self.timing
        ready = Signal()                                 # all but the parameters
        issue = Signal()
        m.submodules.results = results = axi_stream.Fifo(
            axi_stream.Signature(config.lanes * config.y.bits),
            timing.lanes + axi_stream.Fifo.latency + 2)
        m.submodules.result_places = places = Credits(results.depth, 1)
        m.submodules.lanes = lanes = LinearArray(
            lambda: NormLane(config), config.lanes, name="lane", broadcast=NormLane.broadcast)

        followers = {}
        for name in ("w", "b"):
            if hasattr(self, name):
                stream = getattr(self, name)
                follower = Follower(len(stream.data))
                m.submodules[f"follow_{name}"] = followers[name] = follower
                m.d.comb += [
                    follower.i.data.eq(stream.data),
                    follower.i.last.eq(stream.last),
                    follower.i.valid.eq(stream.valid),
                    stream.ready.eq(follower.i.ready),
                    follower.take.eq(issue),
                    follower.take_last.eq(rows.o.last),
                    getattr(lanes, name).eq(follower.data),
                ]
                flags[f"{name}_differs"] = follower.differs
        available = Cat(Const(1, 1), *(follower.available for follower in followers.values())).all()
        m.d.comb += [
            ready.eq(rows.o.valid & known.o.valid & places.enough),
            issue.eq(ready & available),
            rows.o.ready.eq(issue),
            known.o.ready.eq(issue & rows.o.last),
            places.reserve.eq(issue),
            places.freed.eq(results.taken),
        ]

        # What belongs to the row meets its elements where it is used.
        parts, start = [], 0
        for width, age, name in zip(widths, (NormLane.total_age, NormLane.mantissa_age,
                                             NormLane.exponent_age),
                                    ("total", "mantissa", "exponent"), strict=True):
            m.submodules[f"{name}_later"] = later = Delay(width, age)
            m.d.comb += later.i.eq(known.o.data[start:start + width])
            parts.append(later.o)
            start += width
        m.submodules.issued = issued = Delay(2, timing.lanes, reset=True)
        m.d.comb += [
            lanes.x.eq(rows.o.data),
            lanes.counts.eq(Cat(Const(1, 1), rows.o.user if config.lanes > 1 else [])),
            lanes.length.eq(length),
            lanes.total.eq(parts[0]),
            lanes.mantissa.eq(parts[1]),
            lanes.exponent.eq(parts[2]),
            issued.i.eq(Cat(issue, rows.o.last)),
            results.i.data.eq(lanes.y),
            results.i.valid.eq(issued.o[0]),
            results.i.last.eq(issued.o[1]),
        ]
        wiring.connect(m, results.o, wiring.flipped(self.y))
        if config.y_overflows:
            flags["y_saturated"] = issued.o[0] & lanes.saturated.any()
        each = followers.values()
        busy = places.any_used | Cat(Const(0, 1), *(follower.busy for follower in each)).any()
        dropped = Cat(Const(0, 1), *(follower.waiting for follower in each)).any()
        return issue, busy, (ready & ~available) | dropped
