"""Beats of a stream as arrays, and their bytes on the wire."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from systolith.hdl.formats import IntegerFormat
from systolith.hdl.interface import Stream


@dataclass(frozen=True)
class Beats:
    """Consecutive beats of one stream, any number of frames.

    Attributes
    ----------
    data : int64 array, shape (beats, lanes)
        Values of integers, codes of other formats; Python integers where they have more than 64
        bits.
    last : bool array, shape (beats,)
        ``tlast``.
    user : uint64 array, shape (beats,)
        ``tuser``; zeros where the stream has none.
    """

    data: np.ndarray
    last: np.ndarray
    user: np.ndarray

    def __post_init__(self):
        if not len(self.data) == len(self.last) == len(self.user):
            raise ValueError(f"{len(self.data)} beats of data, {len(self.last)} of last and "
                             f"{len(self.user)} of user do not fit together")

    def __len__(self) -> int:
        return len(self.data)

    @classmethod
    def frame(cls, data: np.ndarray, user: int = 0) -> "Beats":
        """One frame of ``data``, shape (beats, lanes), with the same ``user`` on each beat."""
        last = np.zeros(len(data), bool)
        last[-1:] = True
        return cls(np.asarray(data, np.int64), last, np.full(len(data), user, np.uint64))

    @classmethod
    def join(cls, parts: Iterable["Beats"], lanes: int) -> "Beats":
        """Beats one after another; ``lanes`` gives the shape where there are none."""
        parts = list(parts)
        if not parts:
            return cls(np.zeros((0, lanes), np.int64), np.zeros(0, bool), np.zeros(0, np.uint64))
        return cls(np.concatenate([part.data for part in parts]),
                   np.concatenate([part.last for part in parts]),
                   np.concatenate([part.user for part in parts]))

    @property
    def frames(self) -> int:
        """Number of complete frames."""
        return int(self.last.sum())


def to_bytes(stream: Stream, data: np.ndarray) -> np.ndarray:
    """Pack element values, shape (beats, lanes), into ``tdata`` bytes, shape (beats, tdata_bits/8).

    Little endian: byte 0 is ``tdata[7:0]``. Elements of more than 64 bits only leave a core.
    """
    width, lanes = stream.element.bits, stream.lanes
    codes = np.ascontiguousarray(data, np.int64).astype("<u8")
    if codes.shape[1:] != (lanes,):
        raise ValueError(f"stream {stream.name} takes beats of {lanes} lanes, not {codes.shape}")
    if width in (8, 16, 32, 64):
        octets = codes.astype(f"<u{width // 8}").view(np.uint8)
        return octets.reshape(len(codes), lanes * width // 8)
    bits = np.unpackbits(codes.view(np.uint8).reshape(len(codes), lanes, 8), axis=2,
                         count=width, bitorder="little")
    return np.packbits(bits.reshape(len(codes), lanes * width), axis=1, bitorder="little")


def from_bytes(stream: Stream, octets: np.ndarray) -> np.ndarray:
    """Unpack ``tdata`` bytes, shape (beats, tdata_bits/8), into element values, int64.

    Python integers where elements have more than 64 bits.
    """
    width, lanes = stream.element.bits, stream.lanes
    signed = isinstance(stream.element, IntegerFormat) and stream.element.signed
    octets = np.ascontiguousarray(octets, np.uint8)
    if width in (8, 16, 32, 64):
        kind = f"<{'i' if signed else 'u'}{width // 8}"
        return octets.view(kind).reshape(len(octets), lanes).astype(np.int64)
    bits = np.unpackbits(octets, axis=1, count=lanes * width, bitorder="little")
    words = -(-width // 64)
    wide = np.zeros((len(octets), lanes, 64 * words), np.uint8)
    wide[:, :, :width] = bits.reshape(len(octets), lanes, width)
    if signed:
        wide[:, :, width:] = wide[:, :, width - 1:width]
    parts = np.packbits(wide, axis=2, bitorder="little").view("<i8")
    if words == 1:
        return parts.reshape(len(octets), lanes)
    # All words but the highest are unsigned.
    low, high = parts.view("<u8")[:, :, :-1].astype(object), parts[:, :, -1].astype(object)
    return sum((low[:, :, word] << 64 * word for word in range(words - 1)),
               high << 64 * (words - 1))
