"""Parameters of the systolic GEMM core, and what follows from them."""

from functools import cached_property
from typing import Literal, Self

from pydantic import field_validator, model_validator

from systolith.hdl.config import CoreConfig, param
from systolith.hdl.errors import ConfigError
from systolith.hdl.formats import IntegerFormat, parse_format
from systolith.hdl.interface import TEMPLATE_REGISTERS, Field, Register, Stream, UserField

OPERAND_BITS = range(2, 17)
MAX_ACC_WIDTH = 64


def clog2(value: int) -> int:
    """Bits needed to count ``value`` things: ceil(log2(value)), 0 for 1."""
    return (value - 1).bit_length()


class SystolicConfig(CoreConfig):
    """General matrix multiply C[M, N] = A[M, K] · W[K, N] on a rows × cols mesh.

    ``ws`` keeps a rows × cols tile of W in the mesh and sums over K in an accumulator memory;
    ``os`` keeps a rows × cols tile of C in the mesh. M, N and K are free at run time.
    """

    rows: int = param(8, "Rows of the mesh: the K tile of ws, the M tile of os.",
                      low=1, high=256, unit="PEs")
    cols: int = param(8, "Columns of the mesh: the N tile.", low=1, high=256, unit="PEs")
    dataflow: Literal["ws", "os"] = param(
        "ws", "What stays in the mesh: weights (ws) or outputs (os).")
    a_format: str = param("int8", "Format of the activations A: int2…int16 or uint2…uint16.")
    w_format: str = param("int8", "Format of the weights W: int2…int16 or uint2…uint16.")
    max_k: int = param(4096, "Largest K whose sum cannot overflow the automatic acc_width.",
                       low=1, high=1 << 24, unit="products")
    acc_width: int | None = param(
        None, "Width of an accumulator, which wraps and raises a flag when it overflows; "
              "automatic: bits of a_format + bits of w_format + ceil(log2(max_k)).",
        low=4, high=MAX_ACC_WIDTH, unit="bits")
    acc_depth: int = param(512, "Rows of M that ws sums at a time; os has no such memory.",
                           low=1, high=1 << 16, unit="rows")
    mac_stages: int = param(2, "Registers between the operand register of a PE and its sum, the "
                               "sum's own included; stages beyond the first follow the multiplier.",
                            low=1, high=4, unit="registers")
    output: Literal["raw", "requant"] = param(
        "raw", "Accumulators as they are (raw), or scaled to out_format (requant).")
    out_format: str = param("int8", "Format of requantized outputs: int2…int16 or uint2…uint16.")
    rounding: Literal["tflite", "rne", "half_up", "floor"] = param(
        "tflite", "How requantization rounds: tflite rounds twice as TensorFlow Lite and gemmlowp "
                  "do, the others once: to nearest even, half up, down.")
    technology: Literal["generic", "ecp5"] = param(
        "generic", "Whose multiplier and memory blocks to instantiate; generic leaves them to "
                   "synthesis.")

    @field_validator("a_format", "w_format", "out_format")
    @classmethod
    def _operand_format(cls, name: str) -> str:
        operand = parse_format(name)
        if not isinstance(operand, IntegerFormat) or operand.bits not in OPERAND_BITS:
            raise ConfigError(f"must be int2…int16 or uint2…uint16, not {name!r}")
        return name

    @model_validator(mode="after")
    def _combinations(self) -> Self:
        if self.acc_width is None:
            width = self.a.bits + self.w.bits + clog2(self.max_k)
            object.__setattr__(self, "acc_width", width)         # frozen to everyone else
        if not self.acc.signed and self.acc_width == MAX_ACC_WIDTH:
            raise ConfigError(f"acc_width must be at most {MAX_ACC_WIDTH - 1} for unsigned sums, "
                              f"not {self.acc_width}")
        unused = [("acc_depth", "dataflow is 'ws'", self.dataflow == "ws"),
                  ("out_format", "output is 'requant'", self.output == "requant"),
                  ("rounding", "output is 'requant'", self.output == "requant")]
        for name, condition, used in unused:
            default = type(self).model_fields[name].default
            if not used and getattr(self, name) != default:
                raise ConfigError(f"{name} has an effect only if {condition}; leave it at "
                                  f"{default!r} instead of {getattr(self, name)!r}")
        return self

    @cached_property
    def a(self) -> IntegerFormat:
        return parse_format(self.a_format)

    @cached_property
    def w(self) -> IntegerFormat:
        return parse_format(self.w_format)

    @cached_property
    def acc(self) -> IntegerFormat:
        """Format of an accumulator: signed if an operand is."""
        return IntegerFormat(self.acc_width, self.a.signed or self.w.signed)

    @cached_property
    def product(self) -> IntegerFormat:
        """Format of one product."""
        return IntegerFormat(self.a.bits + self.w.bits, self.acc.signed)

    @cached_property
    def psum(self) -> IntegerFormat:
        """Format of a sum over the rows of the mesh (ws)."""
        return IntegerFormat(self.product.bits + clog2(self.rows), self.acc.signed)

    @cached_property
    def out(self) -> IntegerFormat:
        """Format of an element of C as it leaves the core."""
        return parse_format(self.out_format) if self.output == "requant" else self.acc

    @property
    def streams(self) -> tuple[Stream, ...]:
        if self.dataflow == "ws":
            inputs = (
                Stream("a", "in", self.rows, self.a,
                       "M beats, 1 to acc_depth: beat m = A[m0+m, k0:k0+rows].",
                       (UserField("first", 0, 1, "First K tile: start new sums."),
                        UserField("last", 1, 1, "Last K tile: emit the sums."))),
                Stream("w", "in", self.cols, self.w,
                       "rows beats: beat i = W[k0+i, n0:n0+cols]. One w frame for every a frame."),
            )
            frame = "M beats: beat m = C[m0+m, n0:n0+cols]."
        else:
            inputs = (
                Stream("a", "in", self.rows, self.a, "K beats: beat k = A[m0:m0+rows, k]."),
                Stream("w", "in", self.cols, self.w, "K beats: beat k = W[k, n0:n0+cols]."),
            )
            frame = "rows beats: beat i = C[m0+i, n0:n0+cols]."
        if self.output == "requant":
            inputs += (Stream("q", "in", 3, IntegerFormat(32, signed=True),
                              "cols beats: beat j = bias, multiplier, shift of column n0+j. "
                              "One q frame for every c frame."),)
        return (*inputs, Stream("c", "out", self.cols, self.out, frame))

    @property
    def registers(self) -> tuple[Register, ...]:
        if self.output == "raw":
            return ()
        out, zero_point = self.out, IntegerFormat(17, signed=True)
        def setting(index, name, value, reset, doc):
            return Register(name, TEMPLATE_REGISTERS + 4 * index, "rw",
                            (Field("value", 0, value.bits, doc, value.signed, reset),), doc)
        return (
            setting(0, "out_zero_point", zero_point, 0, "Added to every output before clamping."),
            setting(1, "clamp_low", out, out.low, "Smallest output."),
            setting(2, "clamp_high", out, out.high, "Largest output."),
        )

    @property
    def flags(self) -> tuple[tuple[str, str], ...]:
        overflow = ("overflow", "An accumulator wrapped around.")
        if self.dataflow == "ws":
            flags = (
                overflow,
                ("w_short", "A w frame ended early; missing rows count as zero."),
                ("w_long", "A w frame had more than rows beats; the rest was dropped."),
                ("a_short", "A later K tile had fewer rows than the first; the missing rows are "
                            "not emitted."),
                ("a_long", "An a frame had more rows than acc_depth, or than the first K tile; the "
                           "rest was dropped."),
                ("a_order", "An a frame did not start a sum where none was open, or started one "
                            "while another was open; it was taken as the first K tile."),
            )
        else:
            flags = (
                overflow,
                ("a_long", "An a frame was longer than its w frame; the rest was dropped."),
                ("w_long", "A w frame was longer than its a frame; the rest was dropped."),
            )
        if self.output == "requant":
            flags += (
                ("saturated", "A sum with its bias did not fit 32 bits and was saturated."),
                ("q_short", "A q frame ended early; missing columns count as zero."),
                ("q_long", "A q frame had more than cols beats; the rest was dropped."),
            )
        return flags
