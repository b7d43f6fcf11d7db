"""The ends of a stream on the device: bytes that arrived in order, and bytes kept until they have.

A stream travels as segments of up to 128 beats: a byte with the number of beats less one, its top
bit set where the last beat ends a frame; ``tuser``, where there is one, in whole bytes; the beats.
Positions count bytes modulo twice the size of the buffer.
"""

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from systolith.hdl.interface import Stream
from systolith.hdl.link.config import MAX_PAYLOAD, MAX_SEGMENT, segment_bytes, user_bytes
from systolith.hdl.shell import pin_signature


class InputBuffer(wiring.Component):
    """Bytes from the host, kept until the core takes the beats that they make.

    Bytes of a packet go into the memory as they come and count when the packet turns out good.

    Parameters
    ----------
    stream : Stream
        An input of the core.
    size : int
        Bytes, a power of two.

    Members
    -------
    clear : In(1)
        Forget everything.
    selected : In(1)
        The packet that is coming in is for this buffer.
    argument : In(16)
        The position of its first byte.
    payload, payload_valid, done, dropped : In
        As :class:`~systolith.hdl.link.packets.PacketReceiver` gives them.
    position : Out(16)
        Of the byte that is expected next.
    limit : Out(16)
        Bytes before this position have room.
    due : Out(1)
        The host should hear both now: a quarter of the buffer became free, or a packet was not
        taken, or asks.
    taken : Out(1)
        A packet was taken since the host was told: it should hear that when the line has time.
    told : In(1)
        It hears them.
    o : Out(pin_signature(stream))
    """

    def __init__(self, stream: Stream, size: int):
        self.stream, self.size = stream, size
        self.module_name = f"input_buffer_{size}_{stream.tdata_bits}_{stream.tuser_bits}"
        super().__init__({
            "clear": In(1), "selected": In(1), "argument": In(16), "payload": In(8),
            "payload_valid": In(1), "done": In(1), "dropped": In(1),
            "position": Out(16), "limit": Out(16), "due": Out(1), "taken": Out(1),
            "told": In(1),
            "o": Out(pin_signature(stream)),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.bytes = memory = Memory(shape=8, depth=self.size, init=[],
                                           attrs={"no_rw_check": True})
        write, read = memory.write_port(), memory.read_port()
        head = Signal(range(2 * self.size))              # good packets end here
        place = Signal.like(head)                        # of the next byte of this packet
        tail = Signal.like(head)
        used = Signal.like(head)
        in_step = Signal()
        overrun = Signal()
        put = Signal()
        m.d.comb += [
            self.position.eq(head),
            self.limit.eq((tail + self.size)[:len(tail)]),
            used.eq(place - tail),
            in_step.eq(self.selected & (self.argument == head)),
            put.eq(self.payload_valid & in_step & ~used[-1]),
            write.addr.eq(place[:-1]),
            write.data.eq(self.payload),
            write.en.eq(put),
        ]
        quarter = Signal()                               # of the buffer in which the tail stood
        m.d.sync += quarter.eq(tail[-3])
        with m.If(self.told):
            m.d.sync += [self.due.eq(0), self.taken.eq(0)]
        news = Signal()
        m.d.comb += news.eq(in_step & ~overrun & (place != head))
        with m.If((self.done & self.selected & ~news) | (quarter != tail[-3])):
            m.d.sync += self.due.eq(1)
        with m.If(self.done & news):
            m.d.sync += self.taken.eq(1)

        with m.If(put):
            m.d.sync += place.eq(place + 1)
        with m.If(self.payload_valid & used[-1]):
            m.d.sync += overrun.eq(1)
        with m.If(self.done | self.dropped):
            m.d.sync += overrun.eq(0)
            with m.If(self.done & news):
                m.d.sync += head.eq(place)
            with m.Else():
                m.d.sync += place.eq(head)

        self._take(m, read, head, tail)
        with m.If(self.clear):
            m.d.sync += [head.eq(0), place.eq(0), tail.eq(0), quarter.eq(0), overrun.eq(0),
                         self.due.eq(0), self.taken.eq(0)]
        return m

    def _take(self, m: Module, read, head, tail):
        """Bytes to beats, one byte in two cycles."""
        o, stream = self.o, self.stream
        beat = stream.tdata_bits // 8
        side = user_bytes(stream)
        frame_ends = Signal()
        beats = Signal(range(MAX_SEGMENT))               # of the segment, after this one
        left = Signal(range(max(beat, side) + 1))        # bytes of the beat, or of tuser
        fetched = Signal()
        there = Signal()
        m.d.comb += [read.addr.eq(tail[:-1]), read.en.eq(1), there.eq(fetched & ~self.clear)]
        # The memory needs a cycle for every byte.
        m.d.sync += fetched.eq((tail != head) & ~fetched & ~o.tvalid & ~self.clear)
        m.d.comb += o.tlast.eq(frame_ends & (beats == 0))
        with m.If(there):
            m.d.sync += tail.eq(tail + 1)
        with m.FSM():
            with m.State("SEGMENT"), m.If(there):
                m.d.sync += [Cat(beats, frame_ends).eq(read.data), left.eq(side or beat)]
                m.next = "USER" if side else "BEAT"
            if side:
                users = Signal(8 * side)
                m.d.comb += o.tuser.eq(users)
                with m.State("USER"):
                    with m.If(there):
                        m.d.sync += [users.eq(Cat(users, read.data)[8:]), left.eq(left - 1)]
                        with m.If(left == 1):
                            m.d.sync += left.eq(beat)
                            m.next = "BEAT"
                    with m.If(self.clear):
                        m.next = "SEGMENT"
            with m.State("BEAT"):
                with m.If(there):
                    m.d.sync += [o.tdata.eq(Cat(o.tdata, read.data)[8:]), left.eq(left - 1),
                                 o.tvalid.eq(left == 1)]
                with m.If(o.tvalid & o.tready):
                    m.d.sync += [o.tvalid.eq(0), beats.eq(beats - 1), left.eq(beat)]
                    with m.If(beats == 0):
                        m.next = "SEGMENT"
                with m.If(self.clear):
                    m.d.sync += o.tvalid.eq(0)
                    m.next = "SEGMENT"


class OutputBuffer(wiring.Component):
    """Beats from the core as bytes, kept until the host has them.

    A segment is closed by the end of a frame, or when it is as long as it may be: so at most a
    quarter of the buffer waits for a segment to close, and the rest keeps the line busy.

    Parameters
    ----------
    stream : Stream
        An output of the core.
    size : int
        Bytes, a power of two.

    Members
    -------
    clear : In(1)
    i : In(pin_signature(stream))
    acknowledge : In(1)
        The host has all bytes before ``argument``.
    rewind : In(1)
        With ``acknowledge``: send again from there.
    argument : In(16)
    due : Out(1)
        There are bytes to send.
    position : Out(16)
        Of the first of them.
    length : Out(8)
        How many fit into a packet.
    start : In(1)
        They are sent now.
    fetch : In(1)
        The next one is needed,
    data : Out(8)
        and here in the next cycle.
    """

    def __init__(self, stream: Stream, size: int):
        self.stream, self.size = stream, size
        self.module_name = f"output_buffer_{size}_{stream.tdata_bits}"
        super().__init__({
            "clear": In(1), "i": In(pin_signature(stream)), "acknowledge": In(1), "rewind": In(1),
            "argument": In(16), "due": Out(1), "position": Out(16), "length": Out(8),
            "start": In(1), "fetch": In(1), "data": Out(8),
        })

    @property
    def segment_beats(self) -> int:
        """Beats of the longest segment: it takes at most a quarter of the buffer."""
        beat = self.stream.tdata_bits // 8
        return max(1, min(MAX_SEGMENT, (self.size // 4 - segment_bytes(self.stream, 0)) // beat))

    def elaborate(self, platform):
        m = Module()
        m.submodules.bytes = memory = Memory(shape=8, depth=self.size, init=[],
                                           attrs={"no_rw_check": True})
        write, read = memory.write_port(), memory.read_port()
        head = Signal(range(2 * self.size))              # closed segments end here
        tail = Signal.like(head)                         # the host has what is before
        self._put(m, write, head, tail)

        sent = Signal.like(head)
        cursor = Signal.like(head)                       # in the packet that is being sent
        waiting = Signal.like(head)
        packet = Signal(8)
        acknowledged = Signal.like(head)                 # bytes that an argument frees
        m.d.comb += [
            waiting.eq(head - sent),
            packet.eq(Mux(waiting > MAX_PAYLOAD, MAX_PAYLOAD, waiting)),
            self.due.eq(waiting != 0),
            self.position.eq(sent),
            self.length.eq(packet),
            read.addr.eq(cursor[:-1]),
            read.en.eq(1),
            self.data.eq(read.data),
            acknowledged.eq(self.argument - tail),
        ]
        with m.If(self.fetch):
            m.d.sync += cursor.eq(cursor + 1)
        with m.If(self.start):
            m.d.sync += [cursor.eq(sent), sent.eq(sent + packet)]
        # An argument that is not a position of this buffer changes nothing.
        with m.If(self.acknowledge & (acknowledged <= (head - tail)[:len(head)])):
            m.d.sync += tail.eq(self.argument)
            with m.If(self.rewind | ((sent - tail)[:len(head)] < acknowledged)):
                m.d.sync += sent.eq(self.argument)
        with m.If(self.clear):
            m.d.sync += [tail.eq(0), sent.eq(0)]
        return m

    def _put(self, m: Module, write, head, tail):
        """Beats to bytes, one byte per cycle."""
        i = self.i
        beat = self.stream.tdata_bits // 8
        data = Signal(self.stream.tdata_bits)
        last = Signal()
        beats = Signal(range(MAX_SEGMENT))               # in the segment, before this one
        left = Signal(range(beat + 1))                   # bytes of the beat
        place = Signal.like(head, init=1)                # the head's own byte comes last
        used = Signal.like(head)
        ready = Signal()
        m.d.comb += [used.eq(place - tail), i.tready.eq(ready), write.en.eq(0)]
        with m.FSM():
            with m.State("BEAT"):
                # Low until a whole beat has room.
                m.d.sync += [ready.eq(~(ready & i.tvalid) & (used <= self.size - beat)),
                             data.eq(i.tdata), last.eq(i.tlast), left.eq(beat - 1)]
                with m.If(ready & i.tvalid):
                    m.next = "BYTES"
                self._restart(m)
            with m.State("BYTES"):
                m.d.comb += [write.en.eq(1), write.addr.eq(place[:-1]), write.data.eq(data[:8])]
                m.d.sync += [data.eq(data[8:]), place.eq(place + 1), left.eq(left - 1)]
                with m.If(left == 0):
                    m.next = "COUNT"
                self._restart(m)
            with m.State("COUNT"):
                m.d.sync += beats.eq(beats + 1)
                with m.If(last | (beats == self.segment_beats - 1)):
                    m.d.comb += [write.en.eq(1), write.addr.eq(head[:-1]),
                                 write.data.eq(Cat(beats, last))]
                    m.d.sync += [beats.eq(0), head.eq(place), place.eq(place + 1)]
                m.next = "BEAT"
        with m.If(self.clear):
            m.d.sync += [head.eq(0), place.eq(1), beats.eq(0), ready.eq(0)]

    def _restart(self, m: Module):
        with m.If(self.clear):
            m.next = "BEAT"
