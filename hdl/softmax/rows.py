"""Rows on their way through the passes: reading them, keeping them, and pairing them with what
the pass before found out about them.

The datapaths behind these parts never stall: a beat is issued only when everything behind it is
sure to have room.
"""

from amaranth import Cat, Module, Mux, Shape, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from systolith.hdl.arithmetic.steps import counter, exceeds, signal_of
from systolith.hdl.bus import axi_stream
from systolith.hdl.softmax.config import SoftmaxConfig
from systolith.hdl.softmax.logits import ODDITIES, LogitStage, logit_latency
from systolith.hdl.softmax.passes import control, delayed, logit_beat_bits
from systolith.hdl.structure.block_memory import BlockMemory
from systolith.hdl.structure.dropping import drop_rest

#: Up to so many records of rows are kept outside the block memories.
SPREAD_ROWS = 128


class RowReader(wiring.Component):
    """Takes the beats of rows and says which of their elements count.

    Parameters
    ----------
    config : SoftmaxConfig

    Members
    -------
    x : In(axi_stream.Signature)
        ``user`` is the length of the row, on its first beat.
    mask : In(axi_stream.Signature)
        Beat by beat with it; only with an additive mask.
    room : In(1)
        A beat may be taken.
    issue, first, ends : Out(1)
        A beat is taken; it is the first, the last of its row.
    valid, last : Out(1)
    data : Out
        The logits of that beat.
    keep : Out(lanes)
        Which of them count.
    odd : Out
        Which of :data:`~systolith.hdl.softmax.logits.ODDITIES` are among them; only of floats.
    busy, waiting : Out(1)
        A row is half taken; its next beat is wanted and not there.
    too_long, too_short, differs : Out(1)
        Pulses: a row had too many beats, or fewer than its length asks for, which is said a cycle
        later; its mask had more or fewer than it.

    Timing
    ------
    ``valid``, ``last``, ``data`` and ``keep`` come :meth:`cycles` behind ``issue``.
    """

    def __init__(self, config: SoftmaxConfig):
        self.config = config
        members = reader_members(config)
        if config.float_in:
            members["odd"] = Out(len(ODDITIES))
        super().__init__(members | {
            "room": In(1), "issue": Out(1), "first": Out(1), "ends": Out(1),
            "valid": Out(1), "last": Out(1), "data": Out(config.lanes * config.logit.bits),
            "keep": Out(config.lanes), "busy": Out(1), "waiting": Out(1),
            "too_long": Out(1), "too_short": Out(1), "differs": Out(1),
        })

    @staticmethod
    def cycles(config: SoftmaxConfig) -> int:
        """Cycles from the issue of a beat to its logits."""
        return 1 + logit_latency(config)

    def elaborate(self, platform):
        m = Module()
        x, lanes, max_beats = self.x, self.config.lanes, self.config.max_beats
        in_row = Signal()
        dropping = Signal()
        beat = Signal(counter(max_beats - 1))
        # Elements that count, from this beat on; at or below 0 where none is left.
        bits = max(self.config.length_bits, self.config.capacity.bit_length()) + 1
        rest = Signal(Shape(bits, True), reset_less=True)
        remaining = Signal(Shape(bits, True))
        more = Signal()                                  # some of them come later
        at_limit = Signal(init=max_beats == 1)           # this beat is the last there is room for
        mask_there = Signal()
        unpaired = Signal()
        mask_dropping = Signal()
        m.d.comb += [
            self.first.eq(~in_row),
            self.ends.eq(x.last | at_limit),
            self.issue.eq(x.valid & mask_there & self.room & ~dropping),
            x.ready.eq(self.issue | dropping),
            remaining.eq(Mux(in_row, rest, x.user)),
            more.eq(Mux(in_row, exceeds(rest, lanes), exceeds(x.user, lanes))),
            self.too_long.eq(self.issue & at_limit & ~x.last),
            self.busy.eq(in_row | dropping | mask_dropping),
            self.waiting.eq(((in_row | dropping) & ~x.valid) | unpaired),
        ]
        with m.If(self.issue):
            m.d.sync += [
                in_row.eq(~self.ends),
                beat.eq(Mux(self.ends, 0, beat + 1)),
                rest.eq(remaining - lanes),
                dropping.eq(self.too_long),
            ]
            if max_beats > 1:
                m.d.sync += at_limit.eq(~self.ends & (beat == max_beats - 2))
        with m.Elif(x.valid & x.last):
            m.d.sync += dropping.eq(0)

        few = remaining[:lanes.bit_length()]
        keep = signal_of(m, Cat(more | (~remaining[-1] & (few > lane)) for lane in range(lanes)),
                         "counting")
        if self.config.additive_mask:
            keep = self._pair_mask(m, keep, mask_there, unpaired, mask_dropping)
        else:
            m.d.comb += mask_there.eq(1)
        self._logits(m, keep, more)
        return m

    def _pair_mask(self, m: Module, keep, mask_there, unpaired, mask_dropping):
        """A beat waits for that of its mask; those of a mask that has ended exclude."""
        mask, x = self.mask, self.x
        missing = Signal()                               # the mask of this row has ended
        take = Signal()
        m.d.comb += [
            mask_there.eq((mask.valid & ~mask_dropping) | missing),
            take.eq(self.issue & ~missing),
            mask.ready.eq(take | mask_dropping),
            # One of both is there, or what is left of a mask is not.
            unpaired.eq(Mux(mask_dropping, ~mask.valid,
                            Mux(x.valid, ~mask_there & ~mask.valid, mask.valid))),
            self.differs.eq(take & (mask.last != self.ends)),
        ]
        with m.If(self.issue):
            m.d.sync += missing.eq((missing | mask.last) & ~self.ends)
        drop_rest(m, mask_dropping, take & self.ends & ~mask.last, mask.valid & mask.last)
        return Mux(missing, 0, keep)

    def _logits(self, m: Module, keep, more):
        """What is taken, a cycle later, and its logits."""
        config = self.config
        valid, last = Signal(name="taken"), Signal(name="taken_last")
        lacking = Signal(reset_less=True)                # elements, if that was the end of its row
        m.d.sync += lacking.eq(self.x.last & more)
        m.d.comb += self.too_short.eq(valid & lacking)
        data = Signal.like(self.x.data, name="data", reset_less=True)
        kept = Signal.like(self.keep, name="keep", reset_less=True)
        m.d.sync += [valid.eq(self.issue), last.eq(self.ends), data.eq(self.x.data), kept.eq(keep)]
        if not logit_latency(config):
            m.d.comb += [self.valid.eq(valid), self.last.eq(last), self.data.eq(data),
                         self.keep.eq(kept)]
            return
        m.submodules.logits = stage = LogitStage(config)
        m.d.comb += [
            stage.valid.eq(valid),
            stage.last.eq(last),
            stage.x.eq(data),
            stage.x_keep.eq(kept),
            self.valid.eq(stage.o_valid),
            self.last.eq(stage.o_last),
            self.data.eq(stage.logits),
            self.keep.eq(stage.keep),
        ]
        if config.additive_mask:
            mask = Signal.like(self.mask.data, name="mask_data", reset_less=True)
            m.d.sync += mask.eq(self.mask.data)
            m.d.comb += stage.mask.eq(mask)
        if config.float_in:
            m.d.comb += self.odd.eq(stage.odd)


def reader_members(config: SoftmaxConfig) -> dict:
    """The streams that a :class:`RowReader` reads."""
    data_bits = config.lanes * config.x.bits
    members = {"x": In(axi_stream.Signature(data_bits, config.length_bits))}
    if config.additive_mask:
        members["mask"] = In(axi_stream.Signature(data_bits))
    return members


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
            axi_stream.Signature(self.count_bits + 1), self.rows)
        m.submodules.records = records = axi_stream.Fifo(
            axi_stream.Signature(self.record_bits), self.rows, spread=self.rows <= SPREAD_ROWS)
        before = Signal(self.count_bits)                 # beats of the row that have passed
        with m.If(self.passed):
            m.d.sync += before.eq(Mux(self.passed_ends, 0, before + 1))
        # A row's head goes with its first beat, for which the length is not asked; it is kept for
        # the others.
        behind = Signal()                                # the next beat is not the first
        begins = Signal()
        count = Signal(self.count_bits)
        row = Signal(self.record_bits, name="current")
        m.d.comb += [
            begins.eq(self.next & ~behind),
            counts.i.data.eq(Cat(before, before == 0)),
            counts.i.valid.eq(self.passed & self.passed_ends),
            counts.o.ready.eq(begins),
            records.i.data.eq(self.record),
            records.i.valid.eq(self.record_valid),
            records.o.ready.eq(begins),
            self.known.eq((records.o.valid & counts.o.valid) | behind),
            self.row.eq(row),
        ]
        for value, head in ((count, counts.o.data[:-1]), (row, records.o.data)):
            held = Signal.like(value, name=f"{value.name}_held", reset_less=True)
            m.d.sync += held.eq(value)
            m.d.comb += value.eq(Mux(behind, held, head))
        # Whether a beat is the last one is known with the one before it.
        single = counts.o.data[-1]
        upcoming = Signal(self.count_bits + 1, init=1)   # beats before the one after the next
        is_last = Signal()
        m.d.comb += self.at_end.eq(Mux(behind, is_last, single))
        with m.If(self.next):
            m.d.sync += [
                behind.eq(~self.next_ends),
                upcoming.eq(Mux(self.next_ends, 1, upcoming + 1)),
                is_last.eq(upcoming == count),
            ]
        return m


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
    x, mask : In(axi_stream.Signature)
        Every row again, and its mask where there is one.
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
    too_long, too_short, mask_differs, differs : Out(1)
        Pulses: as of :class:`RowReader`; a row had not as many beats as the first time.

    Timing
    ------
    ``valid``, ``last``, ``data`` and ``row`` come as many cycles behind ``issue`` as from a
    :class:`RowReader`.
    """

    def __init__(self, config: SoftmaxConfig, record_bits: int, rows: int):
        self.config, self.record_bits, self.rows = config, record_bits, rows
        super().__init__(reader_members(config) | {
            "passed": In(1), "passed_ends": In(1),
            "record_valid": In(1), "record": In(record_bits), "room": In(1),
            "issue": Out(1), "first": Out(1), "ends": Out(1),
            "valid": Out(1), "last": Out(1), "data": Out(logit_beat_bits(config)),
            "row": Out(record_bits), "busy": Out(1), "waiting": Out(1),
            "too_long": Out(1), "too_short": Out(1), "mask_differs": Out(1), "differs": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.reader = reader = RowReader(self.config)
        m.submodules.records = records = RowRecords(self.config, self.record_bits, self.rows)
        wiring.connect(m, wiring.flipped(self.x), reader.x)
        if self.config.additive_mask:
            wiring.connect(m, wiring.flipped(self.mask), reader.mask)
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
            self.row.eq(delayed(m, "row", RowReader.cycles(self.config), records.row)),
            self.busy.eq(reader.busy),
            self.waiting.eq(reader.waiting | (records.known & self.room & ~self.x.valid)),
            self.too_long.eq(reader.too_long),
            self.too_short.eq(reader.too_short),
            self.mask_differs.eq(reader.differs),
            self.differs.eq(reader.issue & reader.ends & ~records.at_end),
        ]
        return m


def issue_latency(config: SoftmaxConfig, number: int) -> int:
    """Cycles from the issue of a beat to its pass, which is the one of that number, from 0."""
    if number and config.store == "chip":
        return RowStore.latency
    return RowReader.cycles(config)


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
