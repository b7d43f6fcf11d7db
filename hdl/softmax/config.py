"""Parameters of the softmax core, and what follows from them."""

import math
from functools import cached_property
from typing import Literal, Self

from pydantic import field_validator, model_validator

from systolith.hdl.config import CoreConfig, param
from systolith.hdl.errors import ConfigError
from systolith.hdl.formats import BF16, FP16, Format, IntegerFormat, parse_format
from systolith.hdl.interface import TEMPLATE_REGISTERS, Field, Register, Stream, UserField

LOGIT_BITS = range(2, 17)
PROBABILITY_BITS = range(2, 17)

#: The algorithms with real exponents.
REAL = ("three_pass", "two_pass", "online", "single_pass")
#: Those that read a row three times.
THREE_PASSES = ("three_pass", "ibert")
#: Formats of logits and results besides integers, for the algorithms with real exponents.
FLOATS = (BF16, FP16)
#: Width of the register ``scale``, all but one of them fraction bits.
SCALE_BITS = 18
#: Fraction bits of ln 2, which makes natural logarithms of those to the base 2.
LN2_BITS = 18

#: ``ibert``: the parabola of its exponential is a · r² + b · r + 1 between two powers of two; one
#: that was halved so often counts as 0. Constants of the paper.
PARABOLA = (0.35815147, 0.96963238)
LN2 = 0.6931
HALVINGS = 30

#: Sums of real powers are relative to a power of two whose exponent is a multiple of so many, so
#: that only that far a sum is ever shifted.
STEP = 8

#: Which algorithms a parameter is for.
USED_BY = {
    "step_shift": ("integer",),
    "dividers": ("integer", "ibert"),
    "in_integer": REAL,
    "in_fraction": (*REAL, "base2", "ibert"),
    "output": REAL,
    "out_fraction": REAL,
    "precision": (*REAL, "base2", "ibert"),
    "sum_integer": ("base2",),
    "sum_fraction": ("base2",),
}


class SoftmaxConfig(CoreConfig):
    """Softmax of rows of logits: y[i] = exp(x[i]) / Σ exp(x[j]), over the elements of a row that
    are not masked.

    Rows follow each other without a gap, a beat of ``lanes`` elements per cycle; the passes over a
    row overlap with those over its neighbours.
    """

    algorithm: Literal["three_pass", "two_pass", "online", "single_pass", "base2",
                       "integer", "ibert"] = param(
        "online", "How the sum of a row is found: maximum first (three_pass), a pair of mantissa "
                  "and exponent per lane (two_pass), a running maximum (online), the same for a "
                  "consumer that normalizes (single_pass); or by the integer rules of Softermax "
                  "(base2), ITA (integer) and I-BERT (ibert).")
    lanes: int = param(4, "Elements per beat.", low=1, high=64, unit="elements", paper=16)
    max_length: int = param(256, "Longest row; the rest of a longer one is dropped.",
                            low=1, high=1 << 14, unit="elements", paper=2047)
    in_format: str = param("int8", "Format of the logits: int2…int16 or uint2…uint16, with real "
                                   "exponents also bf16 or fp16.")
    in_integer: int | None = param(
        None, "bf16 and fp16: a logit is taken in fixed point, from -2^in_integer to "
              "2^in_integer; automatic: 7.", low=1, high=16, unit="bits")
    out_format: str = param("uint8", "Format of the probabilities: uint2…uint16, in units of "
                                     "2^-bits, with base2 of 2^(1-bits); with real exponents also "
                                     "bf16 or fp16. Of logarithms: int2…int16, bf16 or fp16.")
    output: Literal["probability", "log"] = param(
        "probability", "What leaves the core: probabilities, or their natural logarithms.")
    out_fraction: int | None = param(
        None, "Fraction bits of a logarithm as an integer; automatic: half of the bits of "
              "out_format.", low=0, high=15, unit="bits")
    store: Literal["chip", "replay"] = param(
        "chip", "Where a row waits for its second pass: in the core (chip), or at its source, "
                "which sends every row again for every further pass, on streams of their own "
                "(replay).")
    additive_mask: bool = param(
        False, "Whether a stream brings a mask that is added to the logits; its lowest value "
               "excludes an element.")
    step_shift: int = param(5, "integer: a logit that is 2^step_shift lower has half the weight.",
                            low=0, high=15, paper=5)
    dividers: int = param(0, "integer, ibert: serial dividers that take turns; 0 stands for one "
                             "pipelined divider, which takes a row every cycle.",
                          low=0, high=16, paper=10)
    in_fraction: int | None = param(
        None, "Fraction bits of a logit; automatic: half of the bits of in_format, 10 of bf16, 12 "
              "of fp16, 2 with base2. integer has none.", low=0, high=15, unit="bits")
    precision: int | None = param(
        None, "Fraction bits of an exponential, and of the base-2 logarithm of a sum; automatic: "
              "20, 16 for bf16 outputs, 15 with base2, 16 with ibert. integer has none.",
        low=4, high=24, unit="bits")
    sum_integer: int = param(10, "base2: integer bits of the sum, which saturates.", low=1,
                             high=20, unit="bits", paper=10)
    sum_fraction: int = param(6, "base2: fraction bits of the sum.", low=2, high=24, unit="bits",
                              paper=6)
    technology: Literal["generic", "ecp5"] = param(
        "generic", "Whose multiplier and memory blocks to instantiate; generic leaves them to "
                   "synthesis.")

    @field_validator("in_format")
    @classmethod
    def _logits(cls, name: str) -> str:
        found = parse_format(name)
        if found not in FLOATS and (not isinstance(found, IntegerFormat)
                                    or found.bits not in LOGIT_BITS):
            raise ConfigError(f"must be int2…int16, uint2…uint16, bf16 or fp16, not {name!r}")
        return name

    @field_validator("out_format")
    @classmethod
    def _probabilities(cls, name: str) -> str:
        found = parse_format(name)
        if found not in FLOATS and (not isinstance(found, IntegerFormat)
                                    or found.bits not in PROBABILITY_BITS):
            raise ConfigError(f"must be uint2…uint16, bf16 or fp16, or int2…int16 of logarithms, "
                              f"not {name!r}")
        return name

    @model_validator(mode="after")
    def _combinations(self) -> Self:
        for name, algorithms in USED_BY.items():
            default = type(self).model_fields[name].default
            if self.algorithm not in algorithms and getattr(self, name) != default:
                raise ConfigError(
                    f"{name} has an effect only if algorithm is {' or '.join(algorithms)}; leave "
                    f"it at {default!r} instead of {getattr(self, name)!r}")
        self._check_formats()
        if self.algorithm != "integer":
            self._set("in_fraction", self._automatic_fraction())
            self._set("precision", self._automatic_precision())
        if self.algorithm == "base2":
            self._check_base2()
        elif self.algorithm in REAL:
            self._check_real()
        elif self.algorithm == "ibert":
            self._check_ibert()
        elif self.step_shift >= self.x.bits:
            raise ConfigError(f"step_shift must be less than the {self.x.bits} bits of in_format, "
                              f"not {self.step_shift}")
        return self

    def _set(self, name: str, automatic: int) -> None:
        if getattr(self, name) is None:
            object.__setattr__(self, name, automatic)              # frozen to everyone else

    def _automatic_fraction(self) -> int:
        if self.algorithm == "base2":
            return 2
        return {BF16: 10, FP16: 12}.get(self.x, self.x.bits // 2)

    def _automatic_precision(self) -> int:
        if self.algorithm in REAL:
            return 16 if parse_format(self.out_format) == BF16 else 20
        return {"base2": 15, "ibert": 16}[self.algorithm]

    def _check_formats(self) -> None:
        out = parse_format(self.out_format)
        if self.algorithm not in REAL:
            for name in ("in_format", "out_format"):
                if parse_format(getattr(self, name)) in FLOATS:
                    raise ConfigError(f"{name} must be an integer with algorithm="
                                      f"{self.algorithm!r}, not {getattr(self, name)!r}")
        if self.output == "log" and isinstance(out, IntegerFormat) and not out.signed:
            raise ConfigError("out_format must be int2…int16, bf16 or fp16 with output='log', not "
                              f"{self.out_format!r}: logarithms are negative")
        if self.output == "probability" and isinstance(out, IntegerFormat) and out.signed:
            raise ConfigError("out_format must be uint2…uint16, or with real exponents bf16 or "
                              f"fp16, not {self.out_format!r}: probabilities are positive")
        if self.output == "log" and isinstance(out, IntegerFormat):
            self._set("out_fraction", out.bits // 2)
        elif self.out_fraction is not None:
            raise ConfigError("out_fraction is for integers with output='log' only; leave it at "
                              f"None instead of {self.out_fraction}")
        if self.float_in:
            self._set("in_integer", 7)
        elif self.in_integer is not None:
            raise ConfigError("in_integer is for in_format bf16 and fp16 only; leave it at None "
                              f"instead of {self.in_integer}")

    def _check_real(self) -> None:
        if not self.float_in and self.in_fraction > self.x.bits:
            raise ConfigError(f"in_fraction must be at most the {self.x.bits} bits of in_format, "
                              f"not {self.in_fraction}")
        lowest = max(8, self.lowest_precision)
        if self.precision < lowest:
            raise ConfigError(f"precision must be at least {lowest} for {self.out_format} outputs, "
                              f"not {self.precision}")
        if self.algorithm == "single_pass" and self.store == "chip":
            raise ConfigError("algorithm='single_pass' keeps no rows: it needs store='replay'")

    def _check_ibert(self) -> None:
        if not 1 <= self.in_fraction <= 12:
            raise ConfigError("in_fraction must be 1 to 12 with algorithm='ibert', not "
                              f"{self.in_fraction}")
        lowest = max(8, self.y.bits)
        if self.precision < lowest:
            raise ConfigError(f"precision must be at least {lowest} for {self.out_format} outputs "
                              f"with algorithm='ibert', not {self.precision}")

    def _check_base2(self) -> None:
        if self.in_fraction > 6:
            raise ConfigError("in_fraction must be at most 6 with algorithm='base2', whose table "
                              f"has 2^in_fraction entries, not {self.in_fraction}")
        if self.in_fraction >= self.x.bits:
            raise ConfigError(f"in_fraction must be less than the {self.x.bits} bits of in_format, "
                              f"not {self.in_fraction}")
        if self.sum_fraction > self.precision:
            raise ConfigError(f"sum_fraction must be at most precision = {self.precision}, "
                              f"not {self.sum_fraction}")
        if self.y.bits < 3:
            raise ConfigError("out_format must have at least 3 bits with algorithm='base2', not "
                              f"{self.y.bits}")

    @cached_property
    def x(self) -> Format:
        """Format of a logit on its stream."""
        return parse_format(self.in_format)

    @property
    def float_in(self) -> bool:
        """Whether logits come as floats."""
        return self.x in FLOATS

    @property
    def float_out(self) -> bool:
        """Whether results leave as floats."""
        return self.y in FLOATS

    @cached_property
    def logit(self) -> IntegerFormat:
        """Format of a logit in the core, an integer in units of 2^−in_fraction."""
        if self.float_in:
            return IntegerFormat(1 + self.in_integer + self.in_fraction, True)
        return self.x

    @cached_property
    def y(self) -> Format:
        """Format of a result: a probability below 1, or with base2 below 2; or a logarithm."""
        found = parse_format(self.out_format)
        if found in FLOATS:
            return found
        if self.output == "log":
            return IntegerFormat(found.bits, True, -self.out_fraction)
        return IntegerFormat(found.bits, False, (self.algorithm == "base2") - found.bits)

    @property
    def masked_code(self) -> int:
        """The code of y of an element that does not count: 0; of a logarithm −Inf, or the lowest
        integer."""
        if self.output == "probability":
            return 0
        if self.float_out:
            return self.y.inf_code | self.y.sign_code
        return self.y.code_low

    @property
    def undefined_code(self) -> int:
        """The code of y where a row that counts has NaN or +Inf among its logits."""
        return self.y.nan_code if self.float_out else self.masked_code

    @property
    def lowest_precision(self) -> int:
        """What an output needs at least."""
        if self.float_out:
            return self.y.fraction_bits + 4
        if self.output == "log":
            return min(self.out_fraction + 2, 24)
        return -(-(self.y.bits + 1) // 2)

    @property
    def max_beats(self) -> int:
        """Beats of the longest row."""
        return -(-self.max_length // self.lanes)

    @property
    def capacity(self) -> int:
        """Elements that so many beats can hold."""
        return self.max_beats * self.lanes

    @property
    def z(self) -> IntegerFormat:
        """Format of a logit times the scale: the exponent of a power of two."""
        lsb_exponent = 1 - SCALE_BITS - self.in_fraction
        return IntegerFormat(self.logit.bits + SCALE_BITS, self.logit.signed, lsb_exponent)

    @property
    def guard(self) -> int:
        """Bits of a weight in the sum beyond ``precision``: what is cut off all weights of a row
        together stays below 2^−precision of the sum, which is more than 2^−STEP."""
        return (self.capacity - 1).bit_length() + 2 + STEP - 1

    @property
    def weight_bits(self) -> int:
        """Width of a weight in the sum; it is below 2."""
        return 1 + self.precision + self.guard

    @property
    def total_bits(self) -> int:
        """Width of the sum."""
        return self.weight_bits + (self.capacity - 1).bit_length()

    @property
    def factor_bits(self) -> int:
        """Width of the inverse of a sum of ``ibert``, which is at least 2^(precision − 8)."""
        return self.precision + 9

    @property
    def ibert_total_bits(self) -> int:
        """Width of a sum of ``ibert``."""
        return self.precision + (self.capacity - 1).bit_length()

    @property
    def registers(self) -> tuple[Register, ...]:
        if self.algorithm == "ibert":
            return self._ibert_registers()
        if self.algorithm not in REAL:
            return ()
        doc = "What logits are multiplied by: log2(e) / temperature, with 17 fraction bits."
        reset = round(math.log2(math.e) * (1 << SCALE_BITS - 1))
        return (Register("scale", TEMPLATE_REGISTERS, "rw",
                         (Field("value", 0, SCALE_BITS, doc, reset=reset),), doc),)

    def _ibert_registers(self) -> tuple[Register, ...]:
        """Constants of the exponential for a scale S of the logits, S = 2^−in_fraction at first;
        there is room for half of that."""
        constants = (
            ("exp_ln2", self.in_fraction + 1, "ceil(ln 2 / S), S the worth of 1 in a logit."),
            ("exp_b", self.in_fraction + 3, "floor(b / (a S))."),
            ("exp_c", 2 * self.in_fraction + 4, "floor(1 / (a S^2))."),
        )
        resets = self.ibert_constants(self.in_fraction)
        return tuple(Register(name, TEMPLATE_REGISTERS + 4 * index, "rw",
                              (Field("value", 0, bits, doc, reset=resets[name]),), doc)
                     for index, (name, bits, doc) in enumerate(constants))

    @staticmethod
    def ibert_constants(fraction: int) -> dict[str, int]:
        """Values of the registers of ``ibert`` for logits in units of 2^−fraction."""
        unit, (a, b) = 1 << fraction, PARABOLA
        return {"exp_ln2": math.ceil(LN2 * unit), "exp_b": math.floor(b / a * unit),
                "exp_c": math.floor(unit**2 / a)}

    @property
    def replays(self) -> tuple[str, ...]:
        """Streams that bring rows again, one for every pass behind the first."""
        if self.store == "chip":
            return ()
        return ("replay", "replay_2") if self.algorithm in THREE_PASSES else ("replay",)

    @property
    def length_bits(self) -> int:
        """Width of the length that comes with a row."""
        return self.max_length.bit_length()

    @property
    def streams(self) -> tuple[Stream, ...]:
        row = "One row of 1 to max_beats = ceil(max_length / lanes) beats: beat b = {}[b·lanes : " \
              "(b+1)·lanes]."
        length = (UserField("length", 0, self.length_bits,
                            "Elements of the row that count; those behind them are masked."),)
        streams = [Stream("x", "in", self.lanes, self.x, row.format("x"), length)]
        if self.additive_mask:
            streams.append(Stream("mask", "in", self.lanes, self.x,
                                  "One frame for every x frame, of as many beats: what is added."))
        for name in self.replays:
            streams.append(Stream(name, "in", self.lanes, self.x,
                                  "Every x frame again, in the same order.", length))
            if self.additive_mask:
                streams.append(Stream(f"{name}_mask", "in", self.lanes, self.x,
                                      "Every mask frame again, in the same order."))
        result = "zero where x is masked" if self.output == "probability" else \
            f"{'−Inf' if self.float_out else 'the lowest number'} where x is masked"
        streams.append(Stream("y", "out", self.lanes, self.y, row.format("y")
                              + f" As many beats as x; {result}."))
        return tuple(streams)

    @property
    def flags(self) -> tuple[tuple[str, str], ...]:
        flags = [
            ("row_long", "A row had more beats than max_beats; the rest was dropped."),
            ("row_short", "A row ended before its length; what is missing is masked."),
            ("row_empty", "All elements of a row were masked; its probabilities are zero."),
        ]
        if self.float_in:
            what = "NaN" if self.float_out else \
                "0" if self.output == "probability" else "the lowest number"
            flags += [
                ("nan", f"A logit or its mask was NaN; y of its row is {what}."),
                ("infinite", f"A logit or its mask was +Inf; y of its row is {what}."),
                ("x_saturated", "A finite logit was beyond the range that in_integer gives; it "
                                "counted as the end of it."),
            ]
        if self.additive_mask:
            flags.append(("mask_differs", "A mask frame did not have as many beats as its row; "
                                          "missing beats exclude, the rest was dropped."))
        if self.store == "replay":
            flags.append(("replay_differs", "A replayed row did not have as many beats as before; "
                                            "it was normalized as it came."))
        if self.algorithm == "base2":
            flags.append(("saturated", "A sum reached the end of its range and stayed there."))
        if self.output == "log" and not self.float_out:
            flags.append(("y_saturated", "A logarithm was below the range of out_format; it is "
                                         "the lowest number."))
        return tuple(flags)
