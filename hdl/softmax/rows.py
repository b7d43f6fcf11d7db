"""Rows on their way through the passes: reading them, keeping them, and pairing them with what
the pass before found out about them.

The datapaths behind these parts never stall: a beat is issued only when everything behind it is
sure to have room.
"""

from amaranth import Cat, Module, Mux, Shape, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from systolith.hdl.arithmetic.rounding import saturate
from systolith.hdl.arithmetic.steps import counter, shape
from systolith.hdl.bus import axi_stream
from systolith.hdl.softmax.config import SoftmaxConfig
from systolith.hdl.softmax.passes import control, delayed
from systolith.hdl.structure.block_memory import BlockMemory
from systolith.hdl.structure.linear_array import LinearArray


class MaskAdder(wiring.Component):
    """Adds a mask to one logit, saturating; the lowest value of the mask excludes the element.

    Timing
    ------
    Combinational.
    """

    def __init__(self, config: SoftmaxConfig):
        self.format = config.x
        x = shape(config.x)
        super().__init__({"x": In(x), "mask": In(x), "x_keep": In(1),
                          "sum": Out(x), "sum_keep": Out(1)})

    def elaborate(self, platform):
        m = Module()
        total = Signal(Shape(self.format.bits + 1, self.format.signed))
        m.d.comb += [
            total.eq(self.x + self.mask),
            self.sum_keep.eq(self.x_keep & (self.mask != self.format.low)),
        ]
        limited, _ = saturate(m, total, self.format, "limited")
        m.d.comb += self.sum.eq(limited)
        return m


class RowReader(wiring.Component):
    """Takes the beats of rows and says which of their elements count.

    Parameters
    ----------
    config : SoftmaxConfig
    masked : bool
        A mask comes along, beat by beat.

    Members
    -------
    x : In(axi_stream.Signature)
        ``user`` is the length of the row, on its first beat.
    mask : In(axi_stream.Signature)
        Only where ``masked``.
    room : In(1)
        A beat may be taken.
    issue, first, ends : Out(1)
        A beat is taken; it is the first, the last of its row.
    valid, last : Out(1)
    data : Out
        The lanes of that beat.
    keep : Out(lanes)
        Which of them count.
    busy, waiting : Out(1)
        A row is half taken; its next beat is wanted and not there.
    long, short, differs : Out(1)
        Pulses: a row had too many beats, or fewer than its length asks for; its mask had more or
        fewer than it.

    Timing
    ------
    ``valid``, ``last``, ``data`` and ``keep`` are registers, :attr:`latency` cycles behind
    ``issue``.
    """

    latency = 1

    def __init__(self, config: SoftmaxConfig, *, masked: bool):
        self.config, self.masked = config, masked
        data_bits = config.lanes * config.x.bits
        members = {"x": In(axi_stream.Signature(data_bits, config.length_bits))}
        if masked:
            members["mask"] = In(axi_stream.Signature(data_bits))
        super().__init__(members | {
            "room": In(1), "issue": Out(1), "first": Out(1), "ends": Out(1),
            "valid": Out(1), "last": Out(1), "data": Out(data_bits), "keep": Out(config.lanes),
            "busy": Out(1), "waiting": Out(1), "long": Out(1), "short": Out(1), "differs": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        x, lanes, max_beats = self.x, self.config.lanes, self.config.max_beats
        in_row = Signal()
        dropping = Signal()
        beat = Signal(counter(max_beats - 1))
        rest = Signal(self.config.length_bits, reset_less=True)
        remaining = Signal(self.config.length_bits)      # elements that count, from this beat on
        more = Signal()                                  # some of them come later
        at_limit = Signal()
        mask_there = Signal()
        mask_wanted = Signal()
        m.d.comb += [
            self.first.eq(~in_row),
            at_limit.eq(beat == max_beats - 1),
            self.ends.eq(x.last | at_limit),
            self.issue.eq(x.valid & mask_there & self.room & ~dropping),
            x.ready.eq(self.issue | dropping),
            remaining.eq(Mux(in_row, rest, x.user)),
            more.eq(remaining > lanes),
            self.long.eq(self.issue & at_limit & ~x.last),
            self.short.eq(self.issue & x.last & more),
            self.busy.eq(in_row | dropping),
            self.waiting.eq(((in_row | dropping) & ~x.valid) | mask_wanted),
        ]
        m.d.sync += [
            self.valid.eq(self.issue),
            self.last.eq(self.ends),
        ]
        with m.If(self.issue):
            m.d.sync += [
                in_row.eq(~self.ends),
                beat.eq(Mux(self.ends, 0, beat + 1)),
                rest.eq(Mux(more, remaining - lanes, 0)),
                dropping.eq(self.long),
            ]
        with m.Elif(x.valid & x.last):
            m.d.sync += dropping.eq(0)

        counted = Signal(counter(lanes))
        keep = Signal(lanes)
        m.d.comb += [
            counted.eq(Mux(more, lanes, remaining)),
            keep.eq((1 << counted) - 1),
        ]
        value = x.data
        if self.masked:
            value, keep = self._add_mask(m, keep, mask_there, mask_wanted)
        else:
            m.d.comb += mask_there.eq(1)
        held_data = Signal.like(self.data, name="data", reset_less=True)
        held_keep = Signal.like(self.keep, name="keep", reset_less=True)
        m.d.sync += [held_data.eq(value), held_keep.eq(keep)]
        m.d.comb += [self.data.eq(held_data), self.keep.eq(held_keep)]
        return m

    def _add_mask(self, m: Module, keep, mask_there, mask_wanted):
        mask, x = self.mask, self.x
        missing = Signal()                               # the mask of this row has ended
        mask_dropping = Signal()
        take = Signal()
        m.d.comb += [
            mask_there.eq((mask.valid & ~mask_dropping) | missing),
            take.eq(self.issue & ~missing),
            mask.ready.eq(take | mask_dropping),
            mask_wanted.eq((x.valid & ~mask_there & ~mask.valid) | (mask_dropping & ~mask.valid)),
            self.differs.eq(take & (mask.last != self.ends)),
        ]
        with m.If(self.issue):
            m.d.sync += missing.eq((missing | mask.last) & ~self.ends)
        with m.If(take & self.ends & ~mask.last):
            m.d.sync += mask_dropping.eq(1)
        with m.Elif(mask.valid & mask.last):
            m.d.sync += mask_dropping.eq(0)
        m.submodules.adders = adders = LinearArray(
            lambda: MaskAdder(self.config), self.config.lanes, name="adder")
        m.d.comb += [
            adders.x.eq(x.data),
            adders.mask.eq(mask.data),
            adders.x_keep.eq(Mux(missing, 0, keep)),
        ]
        return adders.sum, adders.sum_keep


class RowRecords(wiring.Component):
    """What is known about rows that wait for their next pass: how many beats they have, then their
    record.

    Parameters
    ----------
    config : SoftmaxConfig
    record_bits : int
    rows : int
        Places for rows.

    Members
    -------
    passed, passed_ends : In(1)
        A beat has left the pass before, the last of its row.
    record_valid, record : In
        One for each row, in order.
    known : Out(1)
        Length and record of the next row are there.
    next, next_ends : In(1)
        A beat of that row goes into the next pass, the last one.
    at_end : Out(1)
        So many beats of it have gone before that one more makes its length.
    row : Out(record_bits)
        Its record.

    Timing
    ------
    A row is known two cycles after its record came.
    """

    def __init__(self, config: SoftmaxConfig, record_bits: int, rows: int):
        self.rows, self.record_bits = rows, record_bits
        self.count_bits = counter(config.max_beats - 1).width
        self.module_name = f"row_records_{rows}x{record_bits}"
        super().__init__({
            "passed": In(1), "passed_ends": In(1), "record_valid": In(1),
            "record": In(record_bits), "known": Out(1), "next": In(1), "next_ends": In(1),
            "at_end": Out(1), "row": Out(record_bits),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.counts = counts = axi_stream.Fifo(
            axi_stream.Signature(self.count_bits), self.rows)
        m.submodules.records = records = axi_stream.Fifo(
            axi_stream.Signature(self.record_bits), self.rows)
        finished = Signal()
        m.d.comb += [
            counts.i.data.eq(self._before(m, "passed_before", self.passed, self.passed_ends)),
            counts.i.valid.eq(self.passed & self.passed_ends),
            counts.o.ready.eq(finished),
            records.i.data.eq(self.record),
            records.i.valid.eq(self.record_valid),
            records.o.ready.eq(finished),
            self.known.eq(records.o.valid & counts.o.valid),
            finished.eq(self.next & self.next_ends),
            self.at_end.eq(counts.o.data == self._before(
                m, "next_before", self.next, self.next_ends)),
            self.row.eq(records.o.data),
        ]
        return m

    def _before(self, m: Module, name: str, beat, ends):
        """Beats of the row at hand before this one."""
        before = Signal(self.count_bits, name=name)
        with m.If(beat):
            m.d.sync += before.eq(Mux(ends, 0, before + 1))
        return before


class RowStore(wiring.Component):
    """Keeps the beats of rows until the record of their row is there: what the pass before found.

    Parameters
    ----------
    config : SoftmaxConfig
    beat_bits, record_bits : int
    beats, rows : int
        Places for beats and for records.

    Members
    -------
    i_valid, i_last, i_data : In
        Beats, in order.
    record_valid, record : In
        One for each row, in order; at least two cycles behind the last beat of the row.
    room : In(1)
        A beat may be issued.
    issue, first, ends : Out(1)
        A beat is issued; it is the first, the last of its row.
    valid, last, data : Out
        That beat.
    row : Out(record_bits)
        The record of its row.

    Timing
    ------
    The first beat of a row can be issued two cycles after its record came. ``valid``, ``last``,
    ``data`` and ``row`` are registers, :attr:`latency` cycles behind ``issue``.
    """

    latency = BlockMemory.latency

    def __init__(self, config: SoftmaxConfig, beat_bits: int, record_bits: int, beats: int,
                 rows: int):
        self.config = config
        self.beat_bits, self.record_bits = beat_bits, record_bits
        self.beats, self.rows = beats, rows
        self.module_name = f"row_store_{beats}x{beat_bits}"
        super().__init__({
            "i_valid": In(1), "i_last": In(1), "i_data": In(beat_bits),
            "record_valid": In(1), "record": In(record_bits), "room": In(1),
            "issue": Out(1), "first": Out(1), "ends": Out(1),
            "valid": Out(1), "last": Out(1), "data": Out(beat_bits), "row": Out(record_bits),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.memory = memory = BlockMemory(self.beat_bits, self.beats,
                                                   self.config.technology)
        m.submodules.records = records = RowRecords(self.config, self.record_bits, self.rows)
        in_row = Signal()
        valid, last = control(m, "issued", self.latency, self.issue, self.ends)
        m.d.comb += [
            memory.write_address.eq(self._pointer(m, "written", self.i_valid)),
            memory.write_data.eq(self.i_data),
            memory.write_enable.eq(self.i_valid),
            memory.read_address.eq(self._pointer(m, "read", self.issue)),
            records.passed.eq(self.i_valid),
            records.passed_ends.eq(self.i_last),
            records.record_valid.eq(self.record_valid),
            records.record.eq(self.record),
            records.next.eq(self.issue),
            records.next_ends.eq(self.ends),
            self.issue.eq(records.known & self.room),
            self.first.eq(~in_row),
            self.ends.eq(records.at_end),
            self.valid.eq(valid),
            self.last.eq(last),
            self.data.eq(memory.read_data),
            self.row.eq(delayed(m, "row", self.latency, records.row)),
        ]
        with m.If(self.issue):
            m.d.sync += in_row.eq(~self.ends)
        return m

    def _pointer(self, m: Module, name: str, step):
        """A place in the memory; the next one after each step."""
        place = Signal(range(self.beats), name=name)
        with m.If(step):
            m.d.sync += place.eq(Mux(place == self.beats - 1, 0, place + 1))
        return place


class RowReplay(wiring.Component):
    """Takes the beats of rows again from their source, each row behind its record.

    Parameters
    ----------
    config : SoftmaxConfig
    record_bits : int
    rows : int
        Places for records.

    Members
    -------
    x : In(axi_stream.Signature)
        Every row again.
    passed, passed_ends : In(1)
        A beat is issued in the pass before, the last of its row.
    record_valid, record : In
        One for each row, in order.
    room : In(1)
        A beat may be issued.
    issue, first, ends : Out(1)
    valid, last, data, row : Out
        As of :class:`RowStore`; ``data`` holds the lanes and then the bits that say which count.
    busy, waiting : Out(1)
    long, short, differs : Out(1)
        Pulses: as of :class:`RowReader`; a row had not as many beats as the first time.

    Timing
    ------
    ``valid``, ``last``, ``data`` and ``row`` are registers, one cycle behind ``issue``.
    """

    latency = RowReader.latency

    def __init__(self, config: SoftmaxConfig, record_bits: int, rows: int):
        self.config, self.record_bits, self.rows = config, record_bits, rows
        data_bits = config.lanes * config.x.bits
        super().__init__({
            "x": In(axi_stream.Signature(data_bits, config.length_bits)),
            "passed": In(1), "passed_ends": In(1),
            "record_valid": In(1), "record": In(record_bits), "room": In(1),
            "issue": Out(1), "first": Out(1), "ends": Out(1),
            "valid": Out(1), "last": Out(1), "data": Out(data_bits + config.lanes),
            "row": Out(record_bits), "busy": Out(1), "waiting": Out(1),
            "long": Out(1), "short": Out(1), "differs": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.reader = reader = RowReader(self.config, masked=False)
        m.submodules.records = records = RowRecords(self.config, self.record_bits, self.rows)
        wiring.connect(m, wiring.flipped(self.x), reader.x)
        m.d.comb += [
            records.passed.eq(self.passed),
            records.passed_ends.eq(self.passed_ends),
            records.record_valid.eq(self.record_valid),
            records.record.eq(self.record),
            records.next.eq(reader.issue),
            records.next_ends.eq(reader.ends),
            reader.room.eq(self.room & records.known),
            self.issue.eq(reader.issue),
            self.first.eq(reader.first),
            self.ends.eq(reader.ends),
            self.valid.eq(reader.valid),
            self.last.eq(reader.last),
            self.data.eq(Cat(reader.data, reader.keep)),
            self.row.eq(delayed(m, "row", self.latency, records.row)),
            self.busy.eq(reader.busy),
            self.waiting.eq(reader.waiting | (records.known & self.room & ~self.x.valid)),
            self.long.eq(reader.long),
            self.short.eq(reader.short),
            self.differs.eq(reader.issue & reader.ends & ~records.at_end),
        ]
        return m


#: Where the passes behind the first one take their beats from.
SOURCES = {"chip": RowStore, "replay": RowReplay}


def issue_latency(config: SoftmaxConfig, number: int) -> int:
    """Cycles from the issue of a beat to its pass, which is the one of that number, from 0."""
    return (RowReader if number == 0 else SOURCES[config.store]).latency


def wait_between(config: SoftmaxConfig, number: int, record: int) -> int:
    """Cycles from the issue of the last beat of a row into a pass to that of the first one into
    the next, where the pass takes ``record`` cycles to the record of the row."""
    return issue_latency(config, number) + record + axi_stream.Fifo.latency


def rows_between(config: SoftmaxConfig, number: int, record: int) -> int:
    """Rows that there is room for between a pass and the next one: as many as it takes so that
    rows of any length follow each other without a gap."""
    return wait_between(config, number, record) + 2


def beats_between(config: SoftmaxConfig, number: int, record: int) -> int:
    """Beats that there is room for, likewise."""
    return config.max_beats + wait_between(config, number, record) + 1
