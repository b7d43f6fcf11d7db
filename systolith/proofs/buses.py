"""What buffers, counters, joins and register banks owe, as harnesses."""

from amaranth.hdl import Cat, Const, Mux, Signal, Value

from systolith.hdl.bus.axi_lite import OKAY, SLVERR, RegisterBank
from systolith.hdl.bus.axi_stream import Fifo, RegisterSlice
from systolith.hdl.bus.credits import Credits
from systolith.hdl.link.buffers import InputBuffer, OutputBuffer
from systolith.hdl.shell import EventCounter
from systolith.hdl.structure.block_memory import BlockMemory
from systolith.hdl.structure.delay import Delay
from systolith.hdl.structure.paired_frames import PairedFrames, TileRows
from systolith.proofs.harness import (
    Edit,
    Flow,
    Harness,
    bounded,
    buffer_contract,
    flow,
    holds,
    source_keeps_contract,
)
from systolith.proofs.timing import ago


def register_slice(component: RegisterSlice, edit: Edit) -> Harness:
    """Two places; a beat that is inside is always offered."""
    h = Harness(component, edit)
    i, o = flow(h, "i"), flow(h, "o")
    source_keeps_contract(h, "i", i)
    inside = buffer_contract(h, i, o, capacity=2, patience=1)
    h.check("a beat inside is offered", (inside != 0) == o.valid)
    settled = h.past(1, "settled")
    h.check("ready while a place is free", ~settled | (i.ready == (inside != 2)))
    return h


def fifo(component: Fifo, edit: Edit) -> Harness:
    """As many places as its depth, of which the writer keeps count by ``taken``; never a bubble."""
    h, depth = Harness(component, edit), component.depth
    i, o = flow(h, "i"), flow(h, "o")
    h.check("always ready", i.ready)
    buffer_contract(h, i, o, capacity=depth, patience=Fifo.latency)
    counted_places(h, i.valid, o, depth, Fifo.latency)
    return h


def counted_places(h: Harness, write: Value, o: Flow, depth: int, latency: int) -> Value:
    """What a buffer owes whose writer keeps count of its places by ``taken``: that this tells of
    each beat that leaves, and that a beat is offered ``latency`` cycles after it was written, or as
    soon as those before it have left. Gives how many are inside."""
    inside = h.register(range(depth + 2), "writers_count")
    h.step(inside, (inside + write - h.ports.taken)[:len(inside)])
    h.assume(~write | (inside < depth))
    h.check("taken tells that a beat leaves", h.ports.taken == o.moves)
    due = h.register(range(depth + 1), "beats_due")
    h.step(due, (due + ago(h, write, latency - 1, "came") - o.moves)[:len(due)])
    h.check("a beat is offered as soon as it may be", o.valid == (due != 0))
    return inside


def credits(component: Credits, edit: Edit) -> Harness:
    """Says that there is room exactly when there is."""
    h = Harness(component, edit)
    p, places, amount = h.ports, component.places, component.amount
    used = h.register(range(places + amount + 1), "used")
    h.step(used, (used + Mux(p.reserve, amount, 0) - p.freed)[:len(used)])
    h.assume(~p.reserve | p.enough)
    h.assume(~p.freed | (used != 0))
    h.check("never more than there are", used <= places)
    h.check("enough tells the truth", p.enough == (used + amount <= places))
    h.check("any_used tells the truth", p.any_used == (used != 0))
    h.cover("all used", used == places)
    return h


def event_counter(component: EventCounter, edit: Edit) -> Harness:
    """Counts, a cycle late; the high word belongs to the low word with which it was latched."""
    h = Harness(component, edit)
    p, word = h.ports, component.word_bits
    count = h.register(2 * word, "count")
    late = h.register(1, "event")
    h.step(late, p.happened & ~p.clear)
    h.step(count, Mux(p.clear, 0, (count + late)[:2 * word]))
    latched = h.register(word, "latched_high")
    h.step(latched, Mux(p.latch, count[word:], latched))
    h.check("low word", p.low == count[:word])
    h.check("high word as latched", p.high == latched)
    h.cover("carry into the high word", p.high == 1)
    return h


def delay(component: Delay, edit: Edit) -> Harness:
    """What comes out is what went in ``latency`` cycles ago."""
    h, depth = Harness(component, edit), component.latency
    value, age = h.ports.i, h.register(range(depth + 1), "age")
    h.step(age, Mux(age == depth, depth, age + 1))
    line = [value]
    for index in range(depth):
        line.append(h.past(line[-1], f"{index}"))
    known = Const(1) if component.reset else age == depth
    h.check("input of depth cycles ago", ~known | (h.ports.o == line[-1]))
    h.cover("all ones come out", h.ports.o.all() & (age == depth))
    return h


def block_memory(component: BlockMemory, edit: Edit) -> Harness:
    """A word, picked by the solver, reads as it was last written."""
    h = Harness(component, edit)
    p = h.ports
    place = h.constant(len(p.read_address), "place")
    h.assume(place < component.depth)
    word, known = h.register(component.width, "word"), h.register(1, "known")
    here = p.write_enable & (p.write_address == place)
    h.step(word, Mux(here, p.write_data, word))
    h.step(known, known | here)
    asked = known & (p.read_address == place) & ~here
    due, want = asked, word
    for index in range(BlockMemory.latency):
        due, want = h.past(due, f"due_{index}"), h.past(want, f"want_{index}")
    h.check("reads what was written", ~due | (p.read_data == want))
    h.cover("a word is read", due & p.read_data.all())
    return h


def tile_rows(component: TileRows, edit: Edit) -> Harness:
    """Exactly the rows of every tile, in one go, ``latency`` cycles after its end."""
    h = Harness(component, edit)
    p, rows, latency = h.ports, component.rows, component.latency
    since = h.register(range(rows + 1), "since_finish", init=rows)
    h.step(since, Mux(p.finish, 1, Mux(since == rows, rows, since + 1)))
    h.assume(~p.finish | (since == rows))
    line: list[Value] = [p.finish]
    for index in range(latency + rows - 1):
        line.append(h.past(line[-1], f"finish_{index}"))
    h.check("a row is there", p.valid == Cat(*line[latency:]).any())
    h.check("the last row is marked", p.last == line[-1])
    h.cover("the last row", p.last)
    return h


def paired_frames(component: PairedFrames, edit: Edit) -> Harness:
    """Frames of two streams end together; the rest of the longer one is dropped, with a flag.

    A word takes one step here, with a beat of each stream.
    """
    h = Harness(component, edit)
    p, rows, max_words = h.ports, component.rows, component.max_words
    if not component.single:
        for name in ("takes_a", "takes_w", "ends_word"):
            h.drive(name, 1)
    a, w = (Flow(getattr(p, f"{s}_last"), getattr(p, f"{s}_valid"), getattr(p, f"{s}_ready"))
            for s in "aw")
    for name, stream in (("a", a), ("w", w)):
        source_keeps_contract(h, name, stream)
    # Beats taken of the frame at hand, of each stream, and which of them have ended.
    words = h.register(range(max_words + 1), "words")
    dropping = {s: h.register(1, f"{s}_dropped") for s in "aw"}
    ends = p.issue & (a.beat | w.beat | (words == max_words - 1))
    h.step(words, Mux(ends, 0, words + p.issue))
    for s, stream in (("a", a), ("w", w)):
        dropped = dropping[s]
        h.step(dropped, Mux(dropped, ~(stream.moves & stream.beat), ends & ~stream.beat))
        h.check(f"{s} is taken in steps, or dropped", stream.moves == (
            p.issue | (dropped & stream.valid)))
        h.check(f"{s} too long is told", getattr(p, f"{s}_long") == (ends & ~stream.beat))
        if not component.single:
            h.check(f"{s} is never short", ~getattr(p, f"{s}_short"))
            h.check(f"{s} is never missing", ~getattr(p, f"{s}_missing"))
    rest, both = dropping["a"] | dropping["w"], a.valid & w.valid
    h.check("no step while a rest is dropped", ~(p.issue & rest))
    h.check("a step needs both beats", ~p.issue | both)
    h.check("the last step is known", ~p.issue | (p.finish == ends))
    h.check("the first word is known", ~p.issue | (p.first_word == (words == 0)))
    h.check("tiles end with room alone", ~(p.issue & p.finish) | (p.room & p.may_finish))
    since = h.register(range(rows + 1), "since_finish", init=rows)
    h.step(since, Mux(p.issue & p.finish, 1, Mux(since == rows, rows, since + 1)))
    h.check("rows of the tile before have left", ~(p.issue & p.finish) | (since == rows))
    h.check("in_frame tells", p.in_frame == (words != 0))
    h.check("busy tells", p.busy == ((words != 0) | rest))
    h.check("waiting tells", p.waiting == Mux(
        rest, (dropping["a"] & ~a.valid) | (dropping["w"] & ~w.valid),
        ((words != 0) | a.valid | w.valid) & ~both))
    bounded(h, "steps go on", both & p.room & p.may_finish & ~p.issue & ~rest, rows)
    h.cover("rest of a dropped", dropping["a"] & a.moves & a.beat)
    h.cover("rest of w dropped", dropping["w"] & w.moves & w.beat)
    h.cover("longest frame", ends & a.beat & w.beat & (words == max_words - 1))
    return h


def input_buffer(component: InputBuffer, edit: Edit) -> Harness:
    """Whatever the packets are, beats hold, and the room that the host is promised is there.

    Not shown here: that bytes come out in order, which the tests of the link compare.
    """
    h, size = Harness(component, edit), component.size
    p, o = h.ports, flow(h, "o", pins=True)
    h.check("o holds", h.past(p.clear, "clear") | holds(h, "o", o))
    bits = size.bit_length()                             # of a position
    promised = (p.limit - p.position)[:bits]             # bytes that have room
    h.check("no more room than the buffer has", promised <= size)
    grown = (p.position - h.past(p.position, "position"))[:bits]
    room = h.past(promised, "promised")
    known = h.past(~p.clear, "known")
    h.check("no more bytes than had room", ~known | (grown <= room))
    h.cover("a beat leaves", o.moves)
    h.cover("the buffer is full", promised == 0)
    return h


def output_buffer(component: OutputBuffer, edit: Edit) -> Harness:
    """Whatever beats and acknowledgements come, what is due is there and fits the buffer.

    Not shown here: that bytes come out in order, which the tests of the link compare.
    """
    h, size = Harness(component, edit), component.size
    p, i = h.ports, flow(h, "i", pins=True)
    source_keeps_contract(h, "i", i)
    h.check("due tells", p.due == (p.length != 0))
    h.check("no more is due than fits", p.length <= size)
    h.check("all is forgotten", ~h.past(p.clear, "clear") | ~(p.due | i.ready))
    beats = h.register(range(size), "beats_taken")       # since then, or as many as are counted
    h.step(beats, Mux(p.clear, 0, Mux(i.moves & (beats < size - 1), beats + 1, beats)))
    h.check("nothing is due before a beat came", ~p.due | (beats != 0))
    bounded(h, "an empty buffer takes beats", i.valid & ~i.ready & (beats == 0) & ~p.clear, 3)
    h.cover("something is due", p.due)
    return h


def register_bank(component: RegisterBank, edit: Edit) -> Harness:
    """AXI4-Lite and everything behind it, against a bank written as a specification.

    A write acts in the cycle in which its response begins; a read shows the second cycle behind
    that of its address. Neither waits for anything but its own channels.
    """
    h = Harness(component, edit)
    p, m = h.ports, h.m
    channel = {name: Flow(Cat(*(getattr(p, f"bus_{part}") for part in parts)),
                          getattr(p, f"bus_{name}valid"), getattr(p, f"bus_{name}ready"))
               for name, parts in (("aw", ["awaddr"]), ("w", ["wdata", "wstrb"]),
                                   ("ar", ["araddr"]), ("b", ["bresp"]),
                                   ("r", ["rdata", "rresp"]))}
    for name in ("aw", "w", "ar"):
        source_keeps_contract(h, name, channel[name])
    for name in ("b", "r"):
        h.check(f"{name} holds", holds(h, name, channel[name]))

    def pending(name: str, done: Value) -> tuple[Signal, Signal]:
        there, value = h.register(1, f"{name}_there"), h.register(len(channel[name].beat),
                                                                  f"{name}_value")
        h.check(f"{name}: one at a time", ~channel[name].moves | ~there | done)
        h.step(there, channel[name].moves | (there & ~done))
        h.step(value, Mux(channel[name].moves, channel[name].beat, value))
        return there, value

    def begins(name: str) -> Signal:
        waited = h.past(channel[name].valid & ~channel[name].ready, f"{name}_stays")
        new = Signal(name=f"{name}_begins")
        m.d.comb += new.eq(channel[name].valid & ~waited)
        return new

    written, answered = begins("b"), begins("r")
    has_address, address = pending("aw", written)
    has_data, data = pending("w", written)
    has_read, read_address = pending("ar", answered)
    h.check("a write is answered once both are there", ~written | (has_address & has_data))
    h.check("a read is answered once it is there", ~answered | has_read)
    mask = Cat(bit.replicate(8) for bit in data[32:])

    take = h.past(h.past(channel["ar"].moves, "ar_moved"), "ar_takes")
    mapped, words, read_mapped = Const(0), Const(0, 32), Const(0)
    for register in component.registers:
        hit = address[2:] == register.offset >> 2
        mapped = mapped | hit
        word = Const(0, 32)
        for field in register.fields:
            port = getattr(p, f"{register.name}_{field.name}")
            bits = slice(field.lsb, field.lsb + field.bits)
            ones = data[bits] & mask[bits] & (written & hit).replicate(field.bits)
            shown = Const(0, field.bits)
            name = f"{register.name}.{field.name}"
            if register.access == "ro":
                shown = port
            elif register.access == "wo":
                h.check(f"{name} acts once", port == ones)
            elif register.access == "w1c":
                shown = h.register(field.bits, f"{register.name}_{field.name}_model")
                h.step(shown, (shown & ~ones) | port)
                h.cover(f"{name} cleared", (shown & ones).any())
            else:
                shown = h.register(field.bits, f"{register.name}_{field.name}_model",
                                   field.reset & (1 << field.bits) - 1)
                h.step(shown, Mux(written & hit, (data[bits] & mask[bits])
                                  | (shown & ~mask[bits]), shown))
                h.check(f"{name} is as written", port == shown)
                h.cover(f"{name} set", shown.all())
            word = word | (Cat(shown) << field.lsb)[:32]
        read_hit = read_address[2:] == register.offset >> 2
        words = words | Mux(read_hit, word[:32], 0)
        read_mapped = read_mapped | read_hit
        if register.access == "ro":
            pulse = getattr(p, f"{register.name}_read")
            h.check(f"{register.name}_read tells", pulse == (take & read_hit))
    taken = h.register(32, "taken")
    h.step(taken, Mux(take, words[:32], taken))
    h.check("write response", ~written | (p.bus_bresp == Mux(mapped, OKAY, SLVERR)))
    h.check("read response", ~answered | (p.bus_rresp == Mux(read_mapped, OKAY, SLVERR)))
    h.check("read data", ~answered | (p.bus_rdata == taken))
    shown_before, acts = h.register(1, "shown_before"), Signal(name="answer_read")
    h.step(shown_before, (take | shown_before) & ~acts)
    m.d.comb += acts.eq(shown_before & (~p.bus_rvalid | p.bus_rready))
    h.check("a read is answered without delay", answered == h.past(acts, "read"))
    there, decoded, data_there = (h.register(1, f"write_{name}")
                                  for name in ("waits", "decoded", "data_waits"))
    writes = Signal(name="answer_write")
    m.d.comb += writes.eq(decoded & data_there & (~p.bus_bvalid | p.bus_bready))
    h.step(there, channel["aw"].moves | (there & ~writes))
    h.step(data_there, channel["w"].moves | (data_there & ~writes))
    h.step(decoded, there & ~writes)
    h.check("a write is answered without delay", written == h.past(writes, "write"))
    bounded(h, "write addresses are taken", p.bus_awvalid & ~p.bus_awready & p.bus_bready
            & (has_data | p.bus_wvalid), 5)
    bounded(h, "write data are taken", p.bus_wvalid & ~p.bus_wready & p.bus_bready
            & (has_address | p.bus_awvalid), 5)
    bounded(h, "reads are taken", p.bus_arvalid & ~p.bus_arready & p.bus_rready, 5)
    h.cover("a write refused", written & (p.bus_bresp == SLVERR))
    return h
