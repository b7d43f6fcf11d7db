"""Parameters of the systolic GEMM core, and what follows from them."""

from functools import cached_property
from typing import Literal, Self

from pydantic import field_validator, model_validator

from systolith.hdl.config import CoreConfig, param
from systolith.hdl.errors import ConfigError
from systolith.hdl.formats import (
    FP32,
    BinaryFormat,
    BipolarFormat,
    FloatFormat,
    Format,
    IntegerFormat,
    Operand,
    PairFormat,
    TernaryFormat,
    parse_format,
    product_format,
)
from systolith.hdl.interface import TEMPLATE_REGISTERS, Field, Register, Stream, UserField
from systolith.hdl.primitives.config import Technology, fits_pair, technology
from systolith.hdl.systolic.pairs import INTEGER_BITS, OPERANDS, operand_format

_WITHOUT_ZERO = BipolarFormat | BinaryFormat

MAX_INTEGER_WIDTH = 64
MAX_ACC_WIDTH = 80


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
    a_format: str = param("int8", f"Format of the activations A: {OPERANDS}.")
    w_format: str = param("int8", f"Format of the weights W: {OPERANDS}.")
    accumulator: Literal["exact", "fp32"] | None = param(
        None, "exact: sums are exact, in fixed point where a format is a float; fp32: products and "
              "sums are rounded to fp32. Automatic: exact, unless that takes more than "
              f"{MAX_ACC_WIDTH} bits.")
    max_k: int = param(4096, "Largest K whose sum cannot overflow the automatic acc_width.",
                       low=1, high=1 << 24, unit="products")
    acc_width: int | None = param(
        None, "Width of an exact accumulator, which wraps and raises a flag when it overflows; "
              "automatic: what sums of max_k products take; for integers bits of a_format + bits "
              "of w_format + ceil(log2(max_k)).",
        low=4, high=MAX_ACC_WIDTH, unit="bits")
    add_stages: int = param(4, "Registers of an fp32 addition: os takes a pair every add_stages "
                               "cycles, the wavefront of ws a row.", low=1, high=7,
                            unit="registers")
    acc_depth: int = param(512, "Rows of M that ws sums at a time; os has no such memory.",
                           low=1, high=1 << 16, unit="rows")
    mac_stages: int = param(2, "Registers between the operand register of a PE and its sum, the "
                               "sum's own included; stages beyond the first follow the multiplier.",
                            low=1, high=4, unit="registers")
    columns_per_pe: int | None = param(
        None, "Neighbouring columns that share a PE, its activation and, where a block of the "
              "technology makes two products, its multiplier; 2 is for ws with integers in the "
              "mesh, raw output and an even number of columns. Automatic: 2 where that is so and "
              "there is such a block.",
        low=1, high=2, unit="columns")
    output: Literal["raw", "requant"] = param(
        "raw", "Accumulators as they are (raw), or scaled to out_format (requant).")
    out_format: str = param("int8", "Format of requantized outputs: int2…int16 or uint2…uint16.")
    rounding: Literal["tflite", "rne", "half_up", "floor"] = param(
        "tflite", "How requantization rounds: tflite rounds twice as TensorFlow Lite and gemmlowp "
                  "do, the others once: to nearest even, half up, down.")
    technology: Technology = technology()

    @field_validator("a_format", "w_format")
    @classmethod
    def _operand_format(cls, name: str) -> str:
        operand_format(name)
        return name

    @field_validator("out_format")
    @classmethod
    def _out_format(cls, name: str) -> str:
        out = parse_format(name)
        if not isinstance(out, IntegerFormat) or out.bits not in INTEGER_BITS:
            raise ConfigError(f"must be int2…int16 or uint2…uint16, not {name!r}")
        return name

    @model_validator(mode="after")
    def _accumulator(self) -> Self:
        width = self._exact_width()
        if self.accumulator is None:
            kind = "exact" if width <= MAX_ACC_WIDTH or self.acc_width else "fp32"
            object.__setattr__(self, "accumulator", kind)        # frozen to everyone else
        if self.accumulator == "fp32":
            if not self.float_sums:
                raise ConfigError(f"accumulator 'fp32' is for floats; sums of {self.a_format} and "
                                  f"{self.w_format} are integers: use 'exact'")
            if self.acc_width not in (None, FP32.bits):
                raise ConfigError(f"acc_width has an effect only if accumulator is 'exact'; leave "
                                  f"it out instead of {self.acc_width}")
            object.__setattr__(self, "acc_width", FP32.bits)
        elif self.acc_width is None:
            if width > MAX_ACC_WIDTH:
                raise ConfigError(f"an exact accumulator for {self.a_format}, {self.w_format} and "
                                  f"max_k {self.max_k} takes {width} bits and may have at most "
                                  f"{MAX_ACC_WIDTH}; use accumulator 'fp32'")
            object.__setattr__(self, "acc_width", width)
        return self

    def _exact_width(self) -> int:
        if isinstance(self.a_element, IntegerFormat) and isinstance(self.w_element, IntegerFormat):
            return self.a_element.bits + self.w_element.bits + clog2(self.max_k)
        return product_format(self.a_element, self.w_element, self.max_k).bits

    @model_validator(mode="after")
    def _combinations(self) -> Self:
        limit = MAX_ACC_WIDTH if self.float_sums else MAX_INTEGER_WIDTH
        if self.acc_width > limit:
            raise ConfigError(f"acc_width must be at most {limit} for sums of integers, not "
                              f"{self.acc_width}")
        if not self.acc.signed and self.acc_width == MAX_INTEGER_WIDTH and not self.rounded:
            raise ConfigError(f"acc_width must be at most {MAX_INTEGER_WIDTH - 1} for unsigned "
                              f"sums, not {self.acc_width}")
        for name, format, side in (("a_format", self.a_element, "rows"),
                                   ("w_format", self.w_element, "cols")):
            if isinstance(format, PairFormat) and getattr(self, side) % 2:
                raise ConfigError(f"{side} must be even for pairs of {name} {format}, not "
                                  f"{getattr(self, side)}")
        if self.output == "requant" and self.float_sums:
            raise ConfigError(f"output 'requant' is for sums of integers; those of {self.a_format} "
                              f"and {self.w_format} are floats: use 'raw'")
        unused = [("acc_depth", "dataflow is 'ws'", self.dataflow == "ws"),
                  ("add_stages", "accumulator is 'fp32'", self.rounded),
                  ("out_format", "output is 'requant'", self.output == "requant"),
                  ("rounding", "output is 'requant'", self.output == "requant")]
        for name, condition, used in unused:
            default = type(self).model_fields[name].default
            if not used and getattr(self, name) != default:
                raise ConfigError(f"{name} has an effect only if {condition}; leave it at "
                                  f"{default!r} instead of {getattr(self, name)!r}")
        return self

    @model_validator(mode="after")
    def _columns_per_pe(self) -> Self:
        obstacle = ("dataflow is 'ws'" if self.dataflow != "ws" else
                    "operands are integers in the mesh" if self.rounded
                    or self.a_operand.has_exponent or self.w_operand.has_exponent else
                    "output is 'raw'" if self.output != "raw" else
                    "cols is even" if self.cols % 2 else "")
        if self.columns_per_pe is None:
            pair = not obstacle and fits_pair(self.technology, self.a, self.w)
            object.__setattr__(self, "columns_per_pe", 2 if pair else 1)
        elif self.columns_per_pe == 2 and obstacle:
            raise ConfigError(f"columns_per_pe may be 2 only if {obstacle}; use 1")
        return self

    @property
    def wavefront_cols(self) -> int:
        """Cycles that the wavefront takes through a row, and PEs of a row."""
        return self.cols // self.columns_per_pe

    @cached_property
    def a_element(self) -> Format:
        """Format of A on its stream."""
        return parse_format(self.a_format)

    @cached_property
    def w_element(self) -> Format:
        """Format of W on its stream."""
        return parse_format(self.w_format)

    @cached_property
    def a_operand(self) -> Operand:
        """What travels through the mesh for an element of A."""
        return Operand.of(self.a_element, keep_specials=self.rounded)

    @cached_property
    def w_operand(self) -> Operand:
        """What travels through the mesh for an element of W."""
        return Operand.of(self.w_element, keep_specials=self.rounded)

    @property
    def a(self) -> IntegerFormat:
        """The factor of an operand of A: the operand itself, for PEs of integers."""
        return self.a_operand.term

    @property
    def w(self) -> IntegerFormat:
        """The factor of an operand of W."""
        return self.w_operand.term

    @property
    def float_sums(self) -> bool:
        """Whether a sum is a float to the user, or an integer."""
        return isinstance(self.a_element, FloatFormat) or isinstance(self.w_element, FloatFormat)

    @property
    def rounded(self) -> bool:
        """Whether sums are rounded to fp32."""
        return self.accumulator == "fp32"

    @property
    def sum_stages(self) -> int:
        """Registers of an addition in the mesh."""
        return self.add_stages if self.rounded else 1

    @property
    def pitch(self) -> int:
        """Cycles from row to row of the wavefront of ws."""
        return self.sum_stages if self.dataflow == "ws" else 1

    @property
    def pair_interval(self) -> int:
        """Cycles from one pair of beats to the next one of os, at least."""
        return self.sum_stages

    @property
    def lacks_zero(self) -> bool:
        """Whether neither format can say 0, so that padded products add to sums."""
        return all(isinstance(format, _WITHOUT_ZERO) for format in (self.a_element, self.w_element))

    @property
    def pads_count(self) -> bool:
        """Whether lanes beyond the matrices can give other sums than 0."""
        return self.rounded or isinstance(self.a_element, _WITHOUT_ZERO) or isinstance(
            self.w_element, _WITHOUT_ZERO)

    @cached_property
    def acc(self) -> IntegerFormat:
        """Format of an accumulator: signed if an operand is. Code of an fp32 one."""
        if self.rounded:
            return IntegerFormat(FP32.bits, False)
        return IntegerFormat(self.acc_width, self.a.signed or self.w.signed,
                             self.a_element.lsb_exponent + self.w_element.lsb_exponent)

    @cached_property
    def product(self) -> IntegerFormat:
        """Format of one exact product."""
        if isinstance(self.a_element, IntegerFormat) and isinstance(self.w_element, IntegerFormat):
            return IntegerFormat(self.a.bits + self.w.bits, self.acc.signed)
        return product_format(self.a_element, self.w_element)

    @cached_property
    def psum(self) -> IntegerFormat:
        """Format of an exact sum over the rows of the mesh (ws)."""
        return IntegerFormat(self.product.bits + clog2(self.rows), self.acc.signed,
                             self.acc.lsb_exponent)

    @cached_property
    def out(self) -> Format:
        """Format of an element of C as it leaves the core."""
        if self.output == "requant":
            return parse_format(self.out_format)
        return FP32 if self.rounded else self.acc

    @property
    def streams(self) -> tuple[Stream, ...]:
        if self.dataflow == "ws":
            inputs = (
                Stream("a", "in", self.rows, self.a_element,
                       "M beats, 1 to acc_depth: beat m = A[m0+m, k0:k0+rows].",
                       (UserField("first", 0, 1, "First K tile: start new sums."),
                        UserField("last", 1, 1, "Last K tile: emit the sums."))),
                Stream("w", "in", self.cols, self.w_element,
                       "rows beats: beat i = W[k0+i, n0:n0+cols]. One w frame for every a frame."
                       + self._short_frames),
            )
            frame = "M beats: beat m = C[m0+m, n0:n0+cols]."
        else:
            inputs = (
                Stream("a", "in", self.rows, self.a_element, "K beats: beat k = A[m0:m0+rows, k]."),
                Stream("w", "in", self.cols, self.w_element, "K beats: beat k = W[k, n0:n0+cols]."),
            )
            frame = "rows beats: beat i = C[m0+i, n0:n0+cols]."
        if self.output == "requant":
            inputs += (Stream("q", "in", 3, IntegerFormat(32, signed=True),
                              "cols beats: beat j = bias, multiplier, shift of column n0+j. "
                              "One q frame for every c frame."),)
        return (*inputs, Stream("c", "out", self.cols, self.out, frame))

    @property
    def _short_frames(self) -> str:
        return " The last K tile has fewer; the rest counts as zero." if self.lacks_zero else ""

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
        if self.rounded:
            flags = (("not_finite", "An element of C is NaN or infinite."),)
        else:
            flags = (("overflow", "An accumulator wrapped around."),)
        if self.dataflow == "ws":
            if not self.lacks_zero:
                flags += (("w_short", "A w frame ended early; missing rows count as zero."),)
            flags += (
                ("w_long", "A w frame had more than rows beats; the rest was dropped."),
                ("a_short", "A later K tile had fewer rows than the first; the missing rows are "
                            "not emitted."),
                ("a_long", "An a frame had more rows than acc_depth, or than the first K tile; the "
                           "rest was dropped."),
                ("a_order", "An a frame did not start a sum where none was open, or started one "
                            "while another was open; it was taken as the first K tile."),
            )
        else:
            flags += (
                ("a_long", "An a frame was longer than its w frame; the rest was dropped."),
                ("w_long", "A w frame was longer than its a frame; the rest was dropped."),
            )
        if self.output == "requant":
            flags += (
                ("saturated", "A sum with its bias did not fit 32 bits and was saturated."),
                ("q_short", "A q frame ended early; missing columns count as zero."),
                ("q_long", "A q frame had more than cols beats; the rest was dropped."),
            )
        for name, format in (("a", self.a_element), ("w", self.w_element)):
            if meaning := _not_numbers(format, rounded=self.rounded):
                flags += ((f"{name}_invalid", f"An element of {name.upper()} was {meaning}."),)
        return flags


def _not_numbers(format: Format, *, rounded: bool) -> str:
    """What its codes can be beside finite numbers, and what becomes of them; empty if nothing."""
    match format:
        case TernaryFormat():
            return "illegal; it counts as zero"
        case PairFormat():
            return "of an illegal pair; both count as zero"
        case FloatFormat(specials="ieee"):
            return "infinite or NaN" + ("" if rounded else "; it counts as zero")
        case FloatFormat(specials="fn"):
            return "NaN" + ("" if rounded else "; it counts as zero")
    return ""
