"""Parameters of the sparse chain, and what follows from them."""

from functools import cached_property
from typing import Literal, Self

from pydantic import model_validator

from systolith.hdl.config import CoreConfig, param
from systolith.hdl.errors import ConfigError
from systolith.hdl.formats import IntegerFormat, product_format
from systolith.hdl.formats.patterns import PATTERNS, Pattern
from systolith.hdl.interface import Stream, UserField

INT8 = IntegerFormat(8, signed=True)
WEIGHT = slice(0, 8)                     # of an element of w; its index lies above

#: Pattern bytes per beat of p: so many blocks of zeros are passed over at a time.
PATTERN_LANES = 8


class SparseChainConfig(CoreConfig):
    """C[M, N] = A[M, K] · W[K, N] with int8 weights that are dense, N:M-sparse or zero by block.

    A chain of ``cells`` multiply-accumulate cells breaks into as many segments as a pattern has
    groups' worth of cells to spare; each segment computes a column of its own, so the time follows
    the weights kept. All chains see the same activations and compute different columns.
    """

    chains: int = param(2, "Chains side by side, each for columns of its own.", low=1, high=64,
                        unit="chains")
    cells: Literal[4, 8, 16, 32, 64] = param(
        16, "Multiply-accumulate cells of a chain, and rows of a block of weights.", unit="cells",
        paper=16)
    group: Literal[1, 2, 4] = param(
        2, "Cells that add up without an overflow adjust; a chain can break behind each group.",
        unit="cells", paper=2)
    lanes: Literal[1, 2] = param(
        2, "Tokens that a cell multiplies by a weight at a time, packed into one product.",
        unit="tokens", paper=2)
    max_m: Literal[4, 8, 16] = param(
        16, "Largest M of a pattern N:M, which sets the width of an index.", paper=16)
    max_speedup: Literal[1, 2, 4, 8, 16] = param(
        8, "Largest M/N of a pattern: columns that a chain computes at a time at most, and columns "
           "of a block per chain. 1 is dense only.", paper=8)
    max_tokens: Literal[1, 2, 4, 8, 16, 32, 64, 128] = param(
        16, "Tokens (rows of A) for which weights are streamed once, at most.", unit="tokens",
        paper=128)
    buffer_depth: int = param(
        512, "Words of each half of the activation buffer, a power of two; a word holds `cells` "
             "activations of `lanes` tokens.", low=2, high=1 << 16, unit="words")
    technology: Literal["generic"] = param(
        "generic", "Which device's arithmetic primitives to instantiate.")

    @model_validator(mode="after")
    def _combinations(self) -> Self:
        if self.max_m > self.cells:
            raise ConfigError(f"max_m must be at most cells, {self.cells}, not {self.max_m}")
        if self.max_speedup > self.max_m:
            raise ConfigError(f"max_speedup must be at most max_m, {self.max_m}, not "
                              f"{self.max_speedup}")
        if self.cells < self.group * self.max_speedup:
            raise ConfigError(f"group must be at most cells / max_speedup, "
                              f"{self.cells // self.max_speedup}, not {self.group}: a segment is "
                              "made of whole groups")
        if self.max_tokens < self.lanes:
            raise ConfigError(f"max_tokens must be at least lanes, {self.lanes}, not "
                              f"{self.max_tokens}")
        if self.buffer_depth & (self.buffer_depth - 1) or self.buffer_depth < self.max_rounds:
            raise ConfigError("buffer_depth must be a power of two and at least max_tokens / "
                              f"lanes, {self.max_rounds}, not {self.buffer_depth}")
        return self

    @property
    def max_rounds(self) -> int:
        """Cycles for which a beat of weights is used at most, each with other tokens."""
        return self.max_tokens // self.lanes

    @property
    def max_log2_rounds(self) -> int:
        return self.max_rounds.bit_length() - 1

    @property
    def max_k(self) -> int:
        """Largest K: that of a single round that fills half the activation buffer."""
        return self.buffer_depth * self.cells

    @property
    def block_columns(self) -> int:
        """Columns of a block of weights, over all chains."""
        return self.chains * self.max_speedup

    @property
    def acc_depth(self) -> int:
        """Sums of an accumulator bank: two column blocks, one complete and one in the making."""
        return 2 * self.max_rounds

    @property
    def index_bits(self) -> int:
        return (self.max_m - 1).bit_length()

    @cached_property
    def patterns(self) -> tuple[Pattern, ...]:
        """What a block may have; N = 0 is a skipped block."""
        return (Pattern(0, 16), *(
            pattern for pattern in PATTERNS
            if pattern.n and pattern.m <= self.max_m and pattern.speedup <= self.max_speedup))

    @cached_property
    def segment_sum(self) -> IntegerFormat:
        """Format of the sum of a segment, which is exact."""
        return product_format(INT8, INT8, self.cells)

    @cached_property
    def acc(self) -> IntegerFormat:
        """Format of an accumulator and of an element of C, which never overflows."""
        return product_format(INT8, INT8, self.max_k)

    @property
    def streams(self) -> tuple[Stream, ...]:
        rounds = (UserField("log2_rounds", 0, self.max_log2_rounds.bit_length(),
                            "Logarithm of the rounds."),) if self.max_log2_rounds else ()
        return (
            Stream("a", "in", self.lanes * self.cells, INT8,
                   "Blocks of K times rounds beats: beat k·rounds + t, element l·cells + i = "
                   "A[m0+lanes·t+l, cells·k+i].", rounds),
            Stream("p", "in", PATTERN_LANES, IntegerFormat(8, signed=False),
                   f"Pattern bytes of a column block, {PATTERN_LANES} blocks of K per beat.",
                   (UserField("final", 0, 1, "The last column block of these activations."),)),
            Stream("w", "in", self.chains * self.cells,
                   IntegerFormat(INT8.bits + self.index_bits, signed=False),
                   "A block that is not skipped: max_speedup·N/M beats; beat b, element p·cells+i: "
                   "weight (bits 7:0) and index in its group of M, of column n0 + p·max_speedup + "
                   "b·M/N + s, group g, place r, where i = (s·cells/M + g)·N + r."),
            Stream("c", "out", self.chains * self.lanes, self.acc,
                   "max_speedup times rounds beats: beat j·rounds + t, element p·lanes + l = "
                   "C[m0+lanes·t+l, n0+p·max_speedup+j]."),
        )

    @property
    def flags(self) -> tuple[tuple[str, str], ...]:
        return (
            ("a_short", "An a frame ended within a block of K; the missing beats count as zero."),
            ("a_long", "An a frame was longer than half the buffer; the rest was dropped."),
            ("a_rounds", "An a frame had more rounds than max_tokens / lanes, which it got."),
            ("p_short", "A p frame ended before the last block of K; the rest was skipped."),
            ("pattern", "A block had a pattern that is none, that was not built in, or that lies "
                        "beyond the activations; it was skipped, with a w frame."),
            ("index_range", "An index was not below M; only its low bits count."),
            ("index_order", "An index did not follow the one before it in its group, so one is "
                            "repeated or out of order; the products count all the same."),
            ("w_short", "A w frame ended early; the missing weights count as zero."),
            ("w_long", "A w frame was longer than its block; the rest was dropped."),
        )
