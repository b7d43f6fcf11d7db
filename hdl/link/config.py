"""What host and device agree on: packets, segments, and the parameters of the device's end.

docs/link.md is the specification in words; these names are its constants.
"""

from collections.abc import Sequence
from enum import IntEnum
from typing import Self

from pydantic import model_validator

from systolith.hdl.config import Config, param
from systolith.hdl.errors import ConfigError
from systolith.hdl.interface import Stream

PROTOCOL = 1                 # version, told in HELLO
HEADER_BYTES = 4             # kind and index, length, argument (two bytes)
CRC_BYTES = 2
MAX_PAYLOAD = 240            # so that a packet, with header and CRC, is shorter than a COBS block
MAX_STREAMS = 16             # in either direction
CRC_POLYNOMIAL, CRC_INIT = 0x1021, 0xFFFF

SEGMENT_LAST = 0x80          # bit of a segment's first byte; the others are beats - 1
MAX_SEGMENT = 128            # beats

MIN_DIVISOR = 4
MAX_RATE_ERROR = 0.02        # with as much in the host's own clock, 8N1 still has room


class Kind(IntEnum):
    """What a packet is: bits 7:4 of its first byte."""

    OPEN = 0                 # host: start anew; device: HELLO, what it is
    WRITE = 1                # host: bytes of an input stream
    STATUS = 1               # device: which byte it expects next, and how far it has room
    ACK = 2                  # host: bytes of an output stream before this one have arrived
    DATA = 2                 # device: bytes of an output stream
    REWIND = 3               # host: as ACK, and send again from there
    WRITE_REGISTER = 4
    READ_REGISTER = 5


class LinkConfig(Config):
    """The device's end of the link."""

    clock_hz: int = param(12_000_000, "Clock of the link and the core.", low=100_000,
                          high=1_000_000_000, unit="Hz")
    baud: int = param(1_000_000, "Rate of the UART.", low=300, high=50_000_000, unit="baud")
    buffer_bytes: int = param(1024, "Buffer of a stream, a power of two; streams whose beats are "
                                    "too wide for it get more.", low=128, high=16384, unit="bytes")

    @model_validator(mode="after")
    def _checked(self) -> Self:
        if self.buffer_bytes & (self.buffer_bytes - 1):
            raise ConfigError(f"buffer_bytes must be a power of two, not {self.buffer_bytes}")
        if self.divisor < MIN_DIVISOR:
            raise ConfigError(f"baud must be at most {self.clock_hz // MIN_DIVISOR}, a quarter of "
                              f"the clock, not {self.baud}")
        if abs(self.real_baud / self.baud - 1) > MAX_RATE_ERROR:
            rates = [self.clock_hz // divisor for divisor in (self.divisor, self.divisor + 1)]
            raise ConfigError(f"baud must divide the clock of {self.clock_hz} Hz to within "
                              f"{MAX_RATE_ERROR:.0%}, as {rates[0]} or {rates[1]} do, "
                              f"not {self.baud}")
        return self

    @property
    def divisor(self) -> int:
        """Clock cycles of a bit on the line."""
        return (self.clock_hz + self.baud // 2) // self.baud

    @property
    def real_baud(self) -> float:
        """The rate that the divisor gives."""
        return self.clock_hz / self.divisor

    def buffer_of(self, stream: Stream) -> int:
        """Bytes of the buffer of a stream: four segments of one beat fit, whatever its width."""
        size = self.buffer_bytes
        while size < 4 * segment_bytes(stream, 1):
            size *= 2
        return size


def user_bytes(stream: Stream) -> int:
    """Bytes of ``tuser`` in a segment."""
    return -(-stream.tuser_bits // 8)


def segment_bytes(stream: Stream, beats: int) -> int:
    """Bytes of a segment of so many beats."""
    return 1 + user_bytes(stream) + beats * (stream.tdata_bits // 8)


def inputs(streams: Sequence[Stream]) -> list[Stream]:
    """The streams into the core, in the order of their index on the link."""
    return [stream for stream in streams if stream.direction == "in"]


def outputs(streams: Sequence[Stream]) -> list[Stream]:
    """The streams out of the core, in the order of their index on the link."""
    return [stream for stream in streams if stream.direction == "out"]
