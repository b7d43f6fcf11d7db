"""Parameters of the bit-plane GEMM core, and what follows from them."""

from typing import Literal

from systolith.hdl.config import CoreConfig, param
from systolith.hdl.formats import IntegerFormat
from systolith.hdl.interface import TEMPLATE_REGISTERS, Field, Register, Stream

MAX_BITS = 8
SCALE = IntegerFormat(16, signed=False)

#: Values of the registers a_code and w_code.
UNSIGNED, TWOS_COMPLEMENT, BIPOLAR = range(3)


class BitplaneConfig(CoreConfig):
    """C[M, N] = A[M, K] · W[K, N] for operands of few bits, from ones counted in bit planes.

    A is cut into q planes of bits, W into p. ``serial`` takes p · q cycles for each word of K,
    ``parallel`` one. p, q and the meaning of the codes are chosen at run time.
    """

    rows: int = param(4, "Rows of PEs: the M tile.", low=1, high=64, unit="PEs")
    cols: int = param(4, "Columns of PEs: the N tile.", low=1, high=64, unit="PEs")
    word: int = param(32, "Elements along K that a PE takes at a time.", low=8, high=256,
                      unit="elements")
    max_a_bits: int = param(8, "Largest q: bits of an element of A.", low=1, high=MAX_BITS,
                            unit="bits")
    max_w_bits: int = param(8, "Largest p: bits of an element of W.", low=1, high=MAX_BITS,
                            unit="bits")
    planes: Literal["serial", "parallel"] = param(
        "serial", "One pair of planes after the other, or all pairs of planes at once.")
    max_k: int = param(4096, "Largest K.", low=1, high=1 << 16, unit="elements")
    popcount_stages: int = param(3, "Registers in and behind the compressor tree of a PE.",
                                 low=1, high=4, unit="registers")
    output: Literal["raw", "scaled"] = param(
        "raw", "Sums as they are (raw), or times a scale per column, uint16 (scaled).")
    technology: Literal["generic"] = param(
        "generic", "Which device's arithmetic primitives to instantiate.")

    @property
    def serial(self) -> bool:
        return self.planes == "serial"

    @property
    def max_words(self) -> int:
        """Words of the longest sum."""
        return -(-self.max_k // self.word)

    @property
    def a_planes(self) -> int:
        """Planes of A in a beat."""
        return 1 if self.serial else self.max_a_bits

    @property
    def w_planes(self) -> int:
        """Planes of W in a beat."""
        return 1 if self.serial else self.max_w_bits

    def sum_of_words(self, words: int, a_bits: int, w_bits: int) -> IntegerFormat:
        """Format of any sum of so many words of products of elements of so many bits."""
        highest = words * self.word * ((1 << a_bits) - 1) * ((1 << w_bits) - 1)
        return IntegerFormat.holding(-highest, highest)

    @property
    def several_steps(self) -> bool:
        """A word takes a step for every pair of planes, not one."""
        return self.serial and max(self.max_a_bits, self.max_w_bits) > 1

    @property
    def acc(self) -> IntegerFormat:
        """Format of an accumulator; no sum overflows it."""
        return self.sum_of_words(self.max_words, self.max_a_bits, self.max_w_bits)

    @property
    def out(self) -> IntegerFormat:
        """Format of an element of C."""
        scale = SCALE.bits if self.output == "scaled" else 0
        return IntegerFormat(self.acc.bits + scale, signed=True)

    @property
    def streams(self) -> tuple[Stream, ...]:
        bit = IntegerFormat(1, signed=False)
        if self.serial:
            frame = ("ceil(K/word)·{count} beats: for each word t of K the planes {plane} = "
                     "{count}−1 … 0, one a beat; lane {r}·word + e = bit {plane} of {element}.")
        else:
            frame = ("ceil(K/word) beats, one for each word t of K; lane "
                     "({r}·{planes} + {plane})·word + e = bit {plane} of {element}.")
        streams = (
            Stream("a", "in", self.rows * self.a_planes * self.word, bit, frame.format(
                count="q", plane="j", r="r", planes=self.a_planes,
                element="A[m0+r, t·word+e]")),
            Stream("w", "in", self.cols * self.w_planes * self.word, bit, frame.format(
                count="p", plane="i", r="c", planes=self.w_planes,
                element="W[t·word+e, n0+c]")),
        )
        if self.output == "scaled":
            streams += (Stream("s", "in", self.cols, SCALE,
                               "1 beat: scale of columns n0:n0+cols. One s frame for every c "
                               "frame."),)
        return (*streams, Stream("c", "out", self.cols, self.out,
                                 "rows beats: beat i = C[m0+i, n0:n0+cols]."))

    @property
    def registers(self) -> tuple[Register, ...]:
        names = [
            *((f"{operand.lower()}_code", 2, TWOS_COMPLEMENT,
               f"Codes of {operand}: 0 unsigned, 1 two's complement, 2 bipolar.")
              for operand in "AW"),
            ("offset", 32, 0, "K·(2^q − 1)·(2^p − 1), used with bipolar codes."),
        ]
        if self.serial:
            names += [(f"{operand.lower()}_bits", 4, highest, f"Planes {letter} of {operand}.")
                      for operand, letter, highest in (("A", "q", self.max_a_bits),
                                                       ("W", "p", self.max_w_bits))
                      if highest > 1]
        return tuple(
            Register(name, TEMPLATE_REGISTERS + 4 * index, "rw",
                     (Field("value", 0, bits, doc, reset=reset),), doc)
            for index, (name, bits, reset, doc) in enumerate(names))

    @property
    def flags(self) -> tuple[tuple[str, str], ...]:
        flags = (
            ("settings", "A frame started with a register out of its range, or with bipolar codes "
                         "on one side only."),
            ("a_long", "An a frame was longer than its w frame or than max_k; the rest was "
                       "dropped."),
            ("w_long", "A w frame was longer than its a frame or than max_k; the rest was "
                       "dropped."),
        )
        if self.several_steps:
            flags += (
                ("a_short", "An a frame ended within the planes of a word; missing planes count as "
                            "zeros."),
                ("w_short", "A w frame ended within the planes of a word; missing planes count as "
                            "zeros."),
            )
        if self.output == "scaled":
            flags += (("s_long", "An s frame had more than 1 beat; the rest was dropped."),)
        return flags
