"""Parameters of the sparse chain, and what follows from them."""

from functools import cached_property
from typing import Literal, Self

from pydantic import model_validator

from systolith.hdl.config import CoreConfig, param
from systolith.hdl.errors import ConfigError
from systolith.hdl.formats import IntegerFormat, parse_format, product_format
from systolith.hdl.formats.patterns import PATTERNS, Pattern
from systolith.hdl.interface import Stream, UserField
from systolith.hdl.primitives.config import Technology, technology

INT8 = IntegerFormat(8, signed=True)

#: Widths of quantized weights.
QUANTIZED_BITS = (3, 4, 5, 6, 8)
#: Code of full scale, 2^(bits - 1), times a scale is worth so many units of an int8 weight.
SCALE = IntegerFormat(8, signed=False)
UNIT_SCALE = 128

#: Pattern bytes per beat of p: so many blocks of zeros are passed over at a time.
PATTERN_LANES = 8


class SparseChainConfig(CoreConfig):
    """C[M, N] = A[M, K] · W[K, N] with weights that are dense, N:M-sparse or zero by block.

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
    w_format: Literal["int8", "int4"] = param(
        "int8", "Format of a weight that meets an activation.", paper="int8")
    weights: Literal["kept", "quantized", "dense"] = param(
        "kept", "What is on w: kept weights with their indices; quantized, codes of 3 to 8 bits "
                "with scales that are expanded to int8; or dense weights that are pruned to the "
                "pattern of their block.")
    planes: Literal[1, 2, 4, 8] = param(
        2, "Bits of each weight per beat of w, if weights are quantized.", unit="bits")
    technology: Technology = technology()

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
        if self.weights == "quantized" and self.w_format != "int8":
            raise ConfigError(f"w_format must be 'int8', not {self.w_format!r}: quantized weights "
                              "are expanded to it")
        if self.weights != "quantized" and self.planes != type(self).model_fields["planes"].default:
            raise ConfigError("planes has an effect only if weights is 'quantized'; leave it at 2 "
                              f"instead of {self.planes}")
        if self.weights == "quantized" and self.planes * self.cells < SCALE.bits:
            raise ConfigError(f"planes must be at least {SCALE.bits // self.cells} with "
                              f"{self.cells} cells, not {self.planes}: one beat has the scales")
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
        return product_format(INT8, self.weight, self.cells)

    @cached_property
    def acc(self) -> IntegerFormat:
        """Format of an accumulator and of an element of C, which never overflows."""
        return product_format(INT8, self.weight, self.max_k)

    @cached_property
    def weight(self) -> IntegerFormat:
        """Format of a weight that meets an activation."""
        return parse_format(self.w_format)

    @property
    def prune_lanes(self) -> int:
        """Groups of a chain that are pruned side by side, if weights are dense: what makes a beat
        of the pattern that keeps the fewest."""
        return self.cells // min(pattern.n for pattern in self.patterns if pattern.n)

    @property
    def element_bits(self) -> int:
        """A kept weight, and its index above it."""
        return self.weight.bits + self.index_bits

    @property
    def _w_stream(self) -> Stream:
        """The weights; an element is a kept weight of a cell, some of its bits, or a group."""
        cells = self.chains * self.cells
        place = ("of column n0 + p·max_speedup + b·M/N + s, group g, place r, where "
                 "i = (s·cells/M + g)·N + r.")
        match self.weights:
            case "kept":
                return Stream(
                    "w", "in", cells, IntegerFormat(self.element_bits, signed=False),
                    "A block that is not skipped: max_speedup·N/M beats; beat b, element "
                    f"p·cells+i: weight (bits {self.weight.bits - 1}:0) and index in its group of "
                    f"M, {place}")
            case "quantized":
                return Stream(
                    "w", "in", cells, IntegerFormat(self.planes, signed=False),
                    "A block that is not skipped: a beat with the scales, that of chain p in the "
                    "low 8 bits of its elements; then for each b of max_speedup·N/M the code in "
                    "ceil(bits/planes) beats, and the index in ceil(index_bits/planes), low bits "
                    "first, a code padded below and an index above; element p·cells+i is "
                    f"{place}",
                    (UserField("bits", 0, 4, "Bits of a code: 3, 4, 5, 6 or 8."),
                     UserField("index_bits", 4, 3, "Bits of an index, as many as the pattern has: "
                                                  "0, 2, 3 or 4.")))
            case _:
                return Stream(
                    "w", "in", self.chains * self.prune_lanes, self.weight,
                    "A block that is not skipped: M beats for each b of max_speedup·N/M; beat "
                    f"b·M + j, element p·{self.prune_lanes}+l: weight j of group g of column n0 + "
                    "p·max_speedup + b·M/N + s, where l = s·cells/M + g.",
                    (UserField("pattern", 0, 8, "Pattern byte of the block."),))

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
            self._w_stream,
            Stream("c", "out", self.chains * self.lanes, self.acc,
                   "max_speedup times rounds beats: beat j·rounds + t, element p·lanes + l = "
                   "C[m0+lanes·t+l, n0+p·max_speedup+j]."),
        )

    @property
    def rounds_beyond(self) -> bool:
        """Whether ``tuser`` of a may say more rounds than there may be."""
        return self.max_log2_rounds < (1 << self.max_log2_rounds.bit_length()) - 1

    @property
    def index_exact(self) -> bool:
        """Whether indices have no bits beyond their group: quantized weights come with as many as
        their pattern has."""
        return self.weights == "quantized"

    @property
    def index_flags(self) -> tuple[str, ...]:
        """What may be wrong with an index; those of dense weights are chosen here."""
        return {"kept": ("range", "order"), "quantized": ("order",), "dense": ()}[self.weights]

    @property
    def flags(self) -> tuple[tuple[str, str], ...]:
        index_flags = {
            "range": ("index_range", "An index was not below M; only its low bits count."),
            "order": ("index_order", "An index did not follow the one before it in its group, so "
                                     "one is repeated or out of order; the products count all the "
                                     "same."),
        }
        several_beats = self.buffer_depth > PATTERN_LANES
        too_many = ("a_rounds", "An a frame had more rounds than max_tokens / lanes, which it got.")
        return (
            ("a_short", "An a frame ended within a block of K; the missing beats count as zero."),
            ("a_long", "An a frame was longer than half the buffer; the rest was dropped."),
            *((too_many,) if self.rounds_beyond else ()),
            *((("p_short", "A p frame ended before the last block of K; the rest was skipped."),)
              if several_beats else ()),
            ("pattern", "A block had a pattern that is none, that was not built in, or that lies "
                        "beyond the activations; it was skipped, with a w frame."),
            *(index_flags[name] for name in self.index_flags),
            ("w_short", "A w frame ended early; the missing weights count as zero."),
            ("w_long", "A w frame was longer than its block; the rest was dropped."),
            *self._loader_flags,
        )

    @property
    def _loader_flags(self) -> tuple[tuple[str, str], ...]:
        match self.weights:
            case "kept":
                return ()
            case "quantized":
                return (("w_format", "A w frame had bits or index_bits that are none; its weights "
                                     "count as zero."),
                        ("scale", "A scale was zero; the weights that it scales count as zero."))
            case _:
                return (("w_format", "A w frame had a pattern that is none or was not built in; "
                                     "its weights count as zero."),)
