"""Parameters of the table-lookup matrix-vector core, and what follows from them."""

from functools import cached_property
from typing import Literal, Self

from pydantic import model_validator

from systolith.hdl.config import CoreConfig, param
from systolith.hdl.errors import ConfigError
from systolith.hdl.formats import FP16, IntegerFormat
from systolith.hdl.interface import Stream, UserField

#: Activations that share a table, one bit of an index for each.
GROUP = 4
#: Entries of a table that are stored; the others are their negatives.
ENTRIES = 1 << GROUP - 1
MAX_WEIGHT_BITS = 4
#: Largest magnitude of a quantized table entry.
TABLE_HIGH = 127
MAX_SUM_BITS = 64


class LutGemvConfig(CoreConfig):
    """Matrix-vector products y[M] = W[M, K] · a[K] by table lookup, weights of 1 to 4 bits.

    For every 4 activations a table holds their sums under all signs; a bit-plane of the weights
    looks them up. Time grows with the bits of a weight, which are chosen at run time.
    """

    rows: int = param(8, "Rows of W at a time: lookup lanes.", low=1, high=64, unit="lanes")
    a_format: Literal["int8", "fp16"] = param("int8", "Format of the activations.")
    table: Literal["exact", "int8"] = param(
        "exact", "Table entries: exact sums of int8 activations, or quantized to int8 with a "
                 "scale per act_group.", paper="int8")
    act_group: int = param(64, "Activations that share the scale of their quantized tables.",
                           low=GROUP, high=256, unit="activations", paper=64)
    max_k: int = param(2048, "Largest K: the tables that fit on chip.",
                       low=GROUP, high=1 << 14, unit="activations")

    technology: Literal["generic", "ecp5"] = param(
        "generic", "Whose memory blocks to instantiate for the tables; generic leaves them to "
                   "synthesis.")

    @model_validator(mode="after")
    def _combinations(self) -> Self:
        if self.table == "exact":
            if self.a_format != "int8":
                raise ConfigError("table must be 'int8' if a_format is 'fp16', not 'exact'")
            default = type(self).model_fields["act_group"].default
            if self.act_group != default:
                raise ConfigError(f"act_group has an effect only if table is 'int8'; leave it at "
                                  f"{default} instead of {self.act_group}")
        elif self.act_group % GROUP:
            raise ConfigError(f"act_group must be a multiple of {GROUP}, not {self.act_group}")
        if self.max_k % self.block:
            raise ConfigError(f"max_k must be a multiple of {self.block}, not {self.max_k}")
        if self.y.bits > MAX_SUM_BITS:
            raise ConfigError(f"sums over max_k = {self.max_k} would take {self.y.bits} bits, more "
                              f"than {MAX_SUM_BITS}; reduce max_k")
        return self

    @property
    def quantized(self) -> bool:
        """Tables are quantized to int8."""
        return self.table == "int8"

    @property
    def block(self) -> int:
        """K is padded to a multiple of so many activations."""
        return self.act_group if self.quantized else GROUP

    @property
    def max_tables(self) -> int:
        """Tables of the longest vector."""
        return self.max_k // GROUP

    @property
    def block_tables(self) -> int:
        """Tables whose lookups are summed before scaling: of ``act_group``, or of a vector."""
        return self.act_group // GROUP if self.quantized else self.max_tables

    @property
    def max_blocks(self) -> int:
        """Such sums in the longest vector."""
        return self.max_tables // self.block_tables

    @cached_property
    def a(self) -> IntegerFormat:
        """What a lane of ``a`` carries: the number, or the code of the float."""
        return IntegerFormat(8, True) if self.a_format == "int8" else IntegerFormat(16, False)

    @cached_property
    def fixed(self) -> IntegerFormat:
        """An activation as tables see it: the int8, or aligned to the largest of ``act_group``."""
        return self.a if self.a_format == "int8" else IntegerFormat(FP16.fraction_bits + 2, True)

    @property
    def shift_high(self) -> int:
        """Largest exponent of ``act_group``, from that of the smallest numbers."""
        return 0 if self.a_format == "int8" else FP16.shift_high

    @property
    def magnitude(self) -> int:
        """Largest magnitude of an activation, in units of its last bit."""
        return 128 if self.a_format == "int8" else (2 << FP16.fraction_bits) - 1

    @property
    def largest_entry(self) -> int:
        """Largest magnitude of a table entry before quantization."""
        return GROUP * self.magnitude

    @cached_property
    def unquantized(self) -> IntegerFormat:
        """A table entry before quantization."""
        return IntegerFormat.holding(-self.largest_entry, self.largest_entry)

    @cached_property
    def entry(self) -> IntegerFormat:
        """A stored table entry."""
        high = TABLE_HIGH if self.quantized else self.largest_entry
        return IntegerFormat.holding(-high, high)

    @property
    def largest_lookups(self) -> int:
        """Largest magnitude of the sum of the lookups of a block over all planes."""
        high = TABLE_HIGH if self.quantized else self.largest_entry
        return high * self.block_tables * ((1 << MAX_WEIGHT_BITS) - 1)

    @cached_property
    def lookups(self) -> IntegerFormat:
        """Such a sum."""
        return IntegerFormat.holding(-self.largest_lookups, self.largest_lookups)

    @property
    def largest_a_sum(self) -> int:
        """Largest magnitude of the sum of the activations of a block."""
        return self.largest_entry * self.block_tables

    @cached_property
    def a_sum(self) -> IntegerFormat:
        """Such a sum."""
        return IntegerFormat.holding(-self.largest_a_sum, self.largest_a_sum)

    @cached_property
    def y(self) -> IntegerFormat:
        """A result as it leaves the core."""
        high = self.largest_lookups
        if self.quantized:
            high = high * self.largest_entry + TABLE_HIGH * self.largest_a_sum
            high = self.max_blocks * high << self.shift_high
        return IntegerFormat.holding(-high, high)

    @property
    def streams(self) -> tuple[Stream, ...]:
        beats = (f"ceil(K / {self.block}) · {self.block // GROUP}" if self.quantized
                 else f"ceil(K / {GROUP})")
        order = ("for each block of act_group / 4 tables, for each plane from the highest, "
                 if self.quantized else "for each plane from the highest, ")
        return (
            Stream("a", "in", GROUP, self.a,
                   f"{beats} beats: beat g = a[4g : 4g+4], zeros beyond K."),
            Stream("w", "in", self.rows, IntegerFormat(GROUP, False),
                   f"One frame for rows m0 … m0+rows−1: {order}a beat for each table g: bit j of "
                   "lane i is that bit of the code of W[m0+i, 4g+j].",
                   (UserField("planes", 0, 2, "Bits of a weight less 1."),
                    UserField("bipolar", 2, 1, "Weights are 2u − (2^n − 1) for code u, not "
                                               "u − 2^(n−1)."),
                    UserField("last", 3, 1, "Last frame for this vector."))),
            Stream("y", "out", 1, self.y, "rows beats for each w frame: beat i = y[m0+i]."),
        )

    @property
    def flags(self) -> tuple[tuple[str, str], ...]:
        flags = (
            ("a_long", "An a frame was longer than max_k; the rest was dropped."),
            ("w_short", "A w frame ended early; missing beats count as indices of 0."),
            ("w_long", "A w frame had too many beats for its vector; the rest was dropped."),
        )
        if self.quantized:
            flags += (("a_short", "An a frame ended within act_group; zeros were added."),)
        if self.a_format == "fp16":
            flags += (("not_finite", "An activation was Inf or NaN; it counted as 0."),)
        return flags
