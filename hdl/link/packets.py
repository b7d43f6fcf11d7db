"""Packets on a line of bytes: COBS framing, header, CRC.

A packet is kind and index, length, argument, payload and CRC. It is sent with its zeros replaced
(consistent overhead byte stuffing; Cheshire and Baker, 1999) and a zero behind it, so a receiver
that lost count of bytes is in step again after the next zero.
"""

from amaranth import Cat, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from systolith.hdl.link.config import CRC_BYTES, CRC_INIT, HEADER_BYTES, MAX_PAYLOAD

HALF = 256                   # bytes of memory for a packet on the line, without the zero behind it
assert 1 + HEADER_BYTES + MAX_PAYLOAD + CRC_BYTES <= HALF


class Crc16(wiring.Component):
    """CRC-16 of a packet: polynomial 0x1021, from 0xFFFF, most significant bit first.

    It goes over the line high byte first, which makes the CRC over a whole packet zero.

    Members
    -------
    clear : In(1)
    data : In(8)
    valid : In(1)
    crc : Out(16)
        Of the bytes before this cycle.
    """

    def __init__(self):
        super().__init__({"clear": In(1), "data": In(8), "valid": In(1),
                          "crc": Out(16, init=CRC_INIT)})

    def elaborate(self, platform):
        m = Module()
        # Eight steps at once. With x = data ^ crc[15:8] and t = x ^ (x >> 4), they are
        # (crc << 8) ^ (t << 12) ^ (t << 5) ^ t.
        crc = self.crc
        x = Signal(8)
        t = Signal(8)
        m.d.comb += [x.eq(self.data ^ crc[8:]), t.eq(Cat(x[:4] ^ x[4:], x[4:]))]
        following = [t[bit] if bit < 8 else crc[bit - 8] for bit in range(16)]
        for shift in (5, 12):
            for bit in range(min(8, 16 - shift)):
                following[bit + shift] = following[bit + shift] ^ t[bit]
        with m.If(self.clear):
            m.d.sync += crc.eq(CRC_INIT)
        with m.Elif(self.valid):
            m.d.sync += crc.eq(Cat(*following))
        return m


class PacketReceiver(wiring.Component):
    """From bytes of the line to packets.

    Members
    -------
    data : In(8)
    valid : In(1)
        A byte from the line; at most one in two cycles.
    kind, index : Out(4)
    argument : Out(16)
        Of the packet that is coming in; right while ``payload_valid`` or ``done`` is high.
    payload : Out(8)
    payload_valid : Out(1)
        A byte of the payload; whether the packet is good is not known yet.
    done : Out(1)
        A packet has ended, and is good: length and CRC are right.
    dropped : Out(1)
        A packet has ended, and is not.
    """

    def __init__(self):
        super().__init__({
            "data": In(8), "valid": In(1),
            "kind": Out(4), "index": Out(4), "argument": Out(16),
            "payload": Out(8), "payload_valid": Out(1), "done": Out(1), "dropped": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.crc = crc = Crc16()

        # COBS: a block is its length and so many bytes less one; between two blocks was a zero.
        block = Signal(8)                                # bytes left of the block
        first = Signal(init=1)                           # of the packet
        zero = Signal()
        start = Signal()
        byte = Signal(8)
        valid = Signal()
        m.d.comb += [
            zero.eq(self.data == 0),
            start.eq(block == 0),
            byte.eq(self.data & (~start).replicate(8)),
            valid.eq(self.valid & ~zero & (~start | ~first)),
        ]
        with m.If(self.valid):
            with m.If(zero):
                m.d.sync += [block.eq(0), first.eq(1)]
            with m.Elif(start):
                m.d.sync += [block.eq(self.data - 1), first.eq(0)]
            with m.Else():
                m.d.sync += block.eq(block - 1)

        # Bytes of header and CRC so far; the payload stands between them.
        complete = HEADER_BYTES + CRC_BYTES
        place = Signal(range(complete + 2))
        left = Signal(8)                                 # bytes of payload to come
        in_payload = Signal()
        ended = Signal()
        m.d.comb += [
            in_payload.eq((place == HEADER_BYTES) & (left != 0)),
            self.payload.eq(byte),
            self.payload_valid.eq(valid & in_payload),
            crc.data.eq(byte),
            crc.valid.eq(valid),
            crc.clear.eq(ended),
            ended.eq(self.valid & zero),
            self.done.eq(ended & (place == complete) & start & (crc.crc == 0)),
            self.dropped.eq(ended & ~first & ~self.done),
        ]
        with m.If(ended):
            m.d.sync += place.eq(0)
        with m.Elif(valid):
            with m.If(in_payload):
                m.d.sync += left.eq(left - 1)
            with m.Elif(place != complete + 1):          # one too many, and any more
                m.d.sync += place.eq(place + 1)
            with m.Switch(place):
                with m.Case(0):
                    m.d.sync += Cat(self.index, self.kind).eq(byte)
                with m.Case(1):
                    m.d.sync += left.eq(byte)
                with m.Case(2, 3):
                    m.d.sync += self.argument.eq(Cat(self.argument[8:], byte))
        return m


class PacketSender(wiring.Component):
    """From packets to bytes of the line.

    A packet is put together in half of a memory, where a zero becomes the length of the block
    before it once that is known, and then sent, while the next one is put together in the other
    half: at two cycles a byte that is done long before the line is free.

    Members
    -------
    start : In(1)
        Send a packet; taken while ``idle`` is high.
    kind, index : In(4)
    length : In(8)
    argument : In(16)
        Of that packet, in the cycle of ``start``.
    idle : Out(1)
    busy : Out(1)
        A packet is on the line; one that starts now waits for its end.
    count : Out(8)
        Which byte of the payload is asked for.
    fetch : Out(1)
        High for the cycle in which ``count`` is new.
    payload : In(8)
        That byte, in the cycle after ``fetch``.
    data, valid : Out
    ready : In(1)
        To the line.
    """

    def __init__(self):
        super().__init__({
            "start": In(1), "kind": In(4), "index": In(4), "length": In(8), "argument": In(16),
            "idle": Out(1), "busy": Out(1), "count": Out(8), "fetch": Out(1), "payload": In(8),
            "data": Out(8), "valid": Out(1), "ready": In(1),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.crc = crc = Crc16()
        m.submodules.encoded = encoded = Memory(shape=8, depth=2 * HALF, init=[],
                                              attrs={"no_rw_check": True})
        write, read = encoded.write_port(), encoded.read_port()

        header = Signal(24)                              # length and argument, sent from the bottom
        left = Signal(8)
        byte = Signal(8)
        push = Signal()
        half = Signal()                                  # in which the packet is put together
        place = Signal(range(HALF), init=1)              # where the next byte goes
        block = Signal(range(HALF))                      # where the length of the block goes
        close = Signal()
        m.d.comb += [
            crc.data.eq(byte),
            crc.valid.eq(push),
            write.en.eq(push | close),
            write.addr.eq(Cat(place, half)),
            write.data.eq(byte),
        ]
        with m.If(close | (byte == 0)):
            m.d.comb += [write.addr.eq(Cat(block, half)), write.data.eq(place - block)]
        with m.If(push):
            m.d.sync += place.eq(place + 1)
            with m.If(byte == 0):
                m.d.sync += block.eq(place)

        full = self.busy                                 # the other half holds a packet to send
        waiting = Signal(range(HALF))                    # its bytes that are not sent
        with m.FSM():
            with m.State("IDLE"):
                m.d.comb += [self.idle.eq(1), push.eq(self.start),
                             byte.eq(Cat(self.index, self.kind))]
                m.d.sync += [
                    header.eq(Cat(self.length, self.argument)),
                    left.eq(HEADER_BYTES - 2),
                    self.count.eq(self.length),
                ]
                with m.If(self.start):
                    m.next = "HEADER"
            with m.State("HEADER"):
                m.d.comb += [push.eq(1), byte.eq(header[:8])]
                m.d.sync += [header.eq(header[8:]), left.eq(left - 1)]
                with m.If(left == 0):
                    m.d.sync += [left.eq(self.count), self.count.eq(0)]
                    m.next = "FETCH"
            with m.State("FETCH"):
                m.d.comb += self.fetch.eq(left != 0)
                with m.If(left == 0):
                    m.next = "CRC_HIGH"
                with m.Else():
                    m.d.sync += left.eq(left - 1)
                    m.next = "PAYLOAD"
            with m.State("PAYLOAD"):
                m.d.comb += [push.eq(1), byte.eq(self.payload)]
                m.d.sync += self.count.eq(self.count + 1)
                m.next = "FETCH"
            with m.State("CRC_HIGH"):
                m.d.comb += [push.eq(1), byte.eq(crc.crc[8:])]
                m.d.sync += header.eq(crc.crc[:8])
                m.next = "CRC_LOW"
            with m.State("CRC_LOW"):
                m.d.comb += [push.eq(1), byte.eq(header[:8])]
                m.next = "CLOSE"
            with m.State("CLOSE"):
                m.d.comb += [close.eq(1), crc.clear.eq(1)]
                m.next = "HAND OVER"
            with m.State("HAND OVER"), m.If(~full):
                m.d.sync += [full.eq(1), waiting.eq(place), half.eq(~half), place.eq(1),
                             block.eq(0)]
                m.next = "IDLE"
        self._send(m, read, half, full, waiting)
        return m

    def _send(self, m: Module, read, half, full, waiting):
        """The half that is not being filled, and a zero behind it."""
        place = Signal(range(HALF), name="sent")
        m.d.comb += [read.addr.eq(Cat(place, ~half)), read.en.eq(1),
                     self.data.eq(read.data & (waiting != 0).replicate(8))]
        with m.FSM(name="sender"):
            with m.State("WAIT"):
                m.d.sync += place.eq(0)
                with m.If(full):
                    m.next = "READ"
            with m.State("READ"):
                m.next = "SEND"
            with m.State("SEND"):
                m.d.comb += self.valid.eq(1)
                with m.If(self.ready):
                    m.d.sync += [waiting.eq(waiting - 1), place.eq(place + 1)]
                    with m.If(waiting == 0):
                        m.d.sync += full.eq(0)
                        m.next = "WAIT"
                    with m.Else():
                        m.next = "READ"
