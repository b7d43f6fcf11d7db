"""Packets and segments as bytes, written from docs/link.md and not from the RTL."""

import binascii
import struct
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from systolith.hdl.interface import Stream
from systolith.hdl.link.config import (
    CRC_INIT,
    MAX_PAYLOAD,
    MAX_SEGMENT,
    SEGMENT_LAST,
    segment_bytes,
    user_bytes,
)
from systolith.sim.frames import Beats, from_bytes, to_bytes

_HEADER = struct.Struct("<BBH")


@dataclass(frozen=True)
class Packet:
    """One packet.

    Attributes
    ----------
    kind, index : int
        Four bits each.
    argument : int
        Sixteen bits.
    payload : bytes
        At most :data:`~systolith.hdl.link.config.MAX_PAYLOAD`.
    """

    kind: int
    index: int = 0
    argument: int = 0
    payload: bytes = b""

    def encode(self) -> bytes:
        """As it goes over the line, with the zero behind it."""
        if len(self.payload) > MAX_PAYLOAD:
            raise ValueError(f"a packet carries at most {MAX_PAYLOAD} bytes, "
                             f"not {len(self.payload)}")
        content = _HEADER.pack(self.kind << 4 | self.index, len(self.payload),
                               self.argument) + self.payload
        content += binascii.crc_hqx(content, CRC_INIT).to_bytes(2, "big")
        return b"".join(bytes([len(block) + 1]) + block for block in content.split(b"\0")) + b"\0"


def decode(encoded: bytes) -> Packet | None:
    """The packet in bytes between two zeros; None if it is damaged."""
    content = bytearray()
    place = 0
    while place < len(encoded):
        end = place + encoded[place]
        if end > len(encoded):
            return None
        if place:
            content.append(0)
        content += encoded[place + 1:end]
        place = end
    if len(content) < 6 or binascii.crc_hqx(content, CRC_INIT):
        return None
    kind, length, argument = _HEADER.unpack_from(content)
    if length != len(content) - 6:
        return None
    return Packet(kind >> 4, kind & 15, argument, bytes(content[4:-2]))


class Splitter:
    """Finds packets in bytes that arrive in pieces.

    Attributes
    ----------
    damaged : int
        Pieces between zeros that were no packets.
    """

    def __init__(self) -> None:
        self._rest = bytearray()
        self.damaged = 0

    def feed(self, octets: bytes) -> Iterator[Packet]:
        """The packets that these bytes complete."""
        self._rest += octets
        *pieces, self._rest = self._rest.split(b"\0")
        for piece in filter(None, pieces):
            packet = decode(bytes(piece))
            if packet is None:
                self.damaged += 1
            else:
                yield packet


def to_segments(stream: Stream, beats: Beats) -> bytes:
    """Beats of an input stream as bytes on the link."""
    data = to_bytes(stream, beats.data)
    side = user_bytes(stream)
    pieces = []
    start = 0
    for end in [*(np.flatnonzero(beats.last) + 1).tolist(), len(data)]:
        while start < end:
            stop = min(start + MAX_SEGMENT, end)
            last = SEGMENT_LAST if beats.last[stop - 1] else 0
            pieces.append(bytes([stop - start - 1 | last]))
            pieces.append(int(beats.user[start]).to_bytes(8, "little")[:side])
            pieces.append(data[start:stop].tobytes())
            start = stop
    return b"".join(pieces)


class SegmentReader:
    """Collects beats of an output stream from its bytes."""

    def __init__(self, stream: Stream):
        self.stream = stream
        self.beats = 0
        self._data: list[bytes] = []
        self._lengths: list[int] = []
        self._ends: list[bool] = []
        self._rest = bytearray()

    def feed(self, octets: bytes) -> None:
        """Take the bytes that follow those before."""
        self._rest += octets
        while self._rest:
            beats = (self._rest[0] & ~SEGMENT_LAST) + 1
            size = segment_bytes(self.stream, beats) - user_bytes(self.stream)
            if len(self._rest) < size:
                return
            self._data.append(bytes(self._rest[1:size]))
            self._lengths.append(beats)
            self._ends.append(bool(self._rest[0] & SEGMENT_LAST))
            self.beats += beats
            del self._rest[:size]

    def result(self) -> Beats:
        """All beats of complete segments."""
        octets = np.frombuffer(b"".join(self._data), np.uint8)
        octets = octets.reshape(self.beats, self.stream.tdata_bits // 8)
        last = np.zeros(self.beats, bool)
        last[np.cumsum(self._lengths, dtype=int) - 1] = self._ends
        return Beats(from_bytes(self.stream, octets), last, np.zeros(self.beats, np.uint64))
