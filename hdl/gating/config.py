"""Parameters of the gating core, and what follows from them."""

from functools import cached_property
from typing import Literal, Self

from pydantic import field_validator, model_validator

from systolith.hdl.activation.config import ActivationConfig
from systolith.hdl.config import CoreConfig, param
from systolith.hdl.errors import ConfigError
from systolith.hdl.formats import IntegerFormat, parse_format
from systolith.hdl.interface import Stream, UserField

X_BITS = range(4, 17)
Y_BITS = range(4, 25)
#: Automatic precision lies in between.
FEWEST, MOST = 4, 14


class GatingConfig(CoreConfig):
    """Element-wise units of gated layers: the recurrence MLGRU, and gated linear units.

    mlgru: h = gate ⊙ h + (1 − gate) ⊙ silu(i) for every token, with gate = sigmoid(f) and a state h
    of every channel on chip. glu: y = silu(g) ⊙ u.
    """

    unit: Literal["mlgru", "glu"] = param(
        "mlgru", "The gated recurrence (mlgru), or the product of a gated linear unit (glu).")
    lanes: int = param(4, "Channels per beat.", low=1, high=64, unit="channels")
    max_channels: int | None = param(
        None, "mlgru: most channels of a token; automatic: 1024.", low=1, high=1 << 14,
        unit="channels", paper=1024)
    x_format: str = param("int16", "Format of the inputs: int4…int16.")
    x_fraction: int | None = param(
        None, "Fraction bits of the inputs; automatic: 5 less than their bits, at least 0.",
        low=0, high=16, unit="bits")
    y_format: str = param("int16", "Format of the results, and of the state: int4…int24.")
    y_fraction: int | None = param(
        None, "Fraction bits of the results; automatic: those that leave as many bits before the "
              "point as inputs have.", low=0, high=23, unit="bits")
    precision: int | None = param(
        None, "Fraction bits of sigmoid and SiLU; automatic: 3 less than a result has bits, 4 to "
              "14.", low=2, high=16, unit="bits")
    implementation: Literal["table", "piecewise", "polynomial"] = param(
        "piecewise", "Sigmoid and SiLU as a constant, a line or a parabola per segment, see "
                     "activation.")
    lower_bound: Literal["none", "stream"] = param(
        "none", "mlgru: whether a lower bound of f comes for every channel (stream): "
                "f = b + (1 − b) · sigmoid.")
    technology: Literal["generic", "ecp5"] = param(
        "generic", "Whose multiplier and memory blocks to instantiate; generic leaves that to "
                   "synthesis.")

    @field_validator("x_format", "y_format")
    @classmethod
    def _element_format(cls, name: str, info) -> str:
        found, allowed = parse_format(name), X_BITS if info.field_name == "x_format" else Y_BITS
        if (not isinstance(found, IntegerFormat) or not found.signed
                or found.bits not in allowed):
            raise ConfigError(f"must be int{allowed[0]}…int{allowed[-1]}, not {name!r}")
        return name

    @model_validator(mode="after")
    def _combinations(self) -> Self:
        x, y = parse_format(self.x_format), parse_format(self.y_format)
        if self.unit == "glu":
            if self.max_channels is not None:
                raise ConfigError("max_channels is for unit mlgru only; glu keeps no state")
            if self.lower_bound != "none":
                raise ConfigError("lower_bound is for unit mlgru only, not for glu")
        else:
            self._set("max_channels", 1024)
        self._set("x_fraction", max(x.bits - 5, 0))
        if self.x_fraction > x.bits - 1:
            raise ConfigError(f"x_fraction must be at most {x.bits - 1} for x_format "
                              f"{self.x_format}, not {self.x_fraction}")
        self._set("y_fraction", min(max(y.bits - x.bits + self.x_fraction, 0), y.bits - 1))
        if self.y_fraction > y.bits - 1:
            raise ConfigError(f"y_fraction must be at most {y.bits - 1} for y_format "
                              f"{self.y_format}, not {self.y_fraction}")
        self._set("precision", min(max(y.bits - 3, FEWEST), MOST))
        return self

    def _set(self, name: str, automatic: int) -> None:
        if getattr(self, name) is None:
            object.__setattr__(self, name, automatic)            # frozen to everyone else

    # What the streams carry

    @property
    def recurrent(self) -> bool:
        """Channels have a state."""
        return self.unit == "mlgru"

    @property
    def bounded(self) -> bool:
        """Lower bounds of f come beside it."""
        return self.lower_bound == "stream"

    @cached_property
    def x(self) -> IntegerFormat:
        """Format of an input."""
        return IntegerFormat(parse_format(self.x_format).bits, True, -self.x_fraction)

    @cached_property
    def y(self) -> IntegerFormat:
        """Format of a result, and of the state of a channel."""
        return IntegerFormat(parse_format(self.y_format).bits, True, -self.y_fraction)

    @cached_property
    def bound(self) -> IntegerFormat:
        """Format of a lower bound: less than 1."""
        return IntegerFormat(self.precision, False, -self.precision)

    @property
    def max_beats(self) -> int:
        """Beats of the longest frame of a recurrence."""
        return -(-self.max_channels // self.lanes)

    # Numbers inside

    @cached_property
    def silu(self) -> ActivationConfig:
        """SiLU of an input, exact but for its rounding to ``precision`` fraction bits."""
        whole = self.x.bits - self.x_fraction
        return self._activation("silu", f"int{whole + self.precision}")

    @cached_property
    def sigmoid(self) -> ActivationConfig:
        """Sigmoid of an input, 1 included."""
        return self._activation("sigmoid", f"uint{self.precision + 1}")

    def _activation(self, function: str, y_format: str) -> ActivationConfig:
        return ActivationConfig.parse({
            "function": function, "implementation": self.implementation, "lanes": 1,
            "x_format": f"int{self.x.bits}", "x_fraction": self.x_fraction, "y_format": y_format,
            "y_fraction": self.precision, "technology": self.technology})

    @cached_property
    def exact(self) -> IntegerFormat:
        """A result before it is rounded."""
        if not self.recurrent:
            return IntegerFormat(self.silu.y.bits + self.x.bits, True,
                                 -self.precision - self.x_fraction)
        # Between the state and silu(i).
        lsb = -self.precision - max(self.y_fraction, self.precision)
        ends = [end << number.lsb_exponent - self.precision - lsb
                for number in (self.y, self.silu.y)
                for end in (number.code_low, number.code_high)]
        # f and 1 − f have `precision` fraction bits each.
        low, high = (end << self.precision for end in (min(ends), max(ends)))
        return IntegerFormat(IntegerFormat.holding(low, high).bits, True, lsb)

    @property
    def saturates(self) -> bool:
        """Whether a result can be out of range; a state cannot where its format has all of
        silu."""
        largest = round(self.x.high * 2**self.precision)         # at most: silu(x) < x
        return (not self.recurrent
                or round(largest * 2.0**(self.y_fraction - self.precision)) > self.y.code_high)

    # The core from outside

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the input streams; the first one leads."""
        if not self.recurrent:
            return ("g", "u")
        return ("f", "i", "b") if self.bounded else ("f", "i")

    @property
    def output(self) -> str:
        """Name of the output stream."""
        return "h" if self.recurrent else "y"

    @property
    def streams(self) -> tuple[Stream, ...]:
        lead = self.inputs[0]
        what = "One token" if self.recurrent else "A row"
        frame = (f"{what}, ceil(channels / lanes) beats: beat b = {{0}}[b·lanes : (b+1)·lanes], "
                 "zeros beyond the channels.")
        follow = f"One frame for every {lead} frame, of as many beats, alike."
        first = (UserField("first", 0, 1, "First token of a sequence: states count as 0."),)
        return (
            Stream(lead, "in", self.lanes, self.x, frame.format(lead),
                   first if self.recurrent else ()),
            *(Stream(name, "in", self.lanes, self.bound if name == "b" else self.x, follow)
              for name in self.inputs[1:]),
            Stream(self.output, "out", self.lanes, self.y, follow),
        )

    @property
    def flags(self) -> tuple[tuple[str, str], ...]:
        lead = self.inputs[0]
        flags = []
        if self.recurrent:
            flags.append(("f_long", "An f frame was longer than max_channels; the rest was "
                                    "dropped."))
        for name in self.inputs[1:]:
            flags.append((f"{name}_differs", f"A frame of {name} did not have as many beats as "
                                             f"that of {lead}; missing beats count as zero, the "
                                             "rest was dropped."))
        if self.saturates:
            flags.append((f"{self.output}_saturated", "A result was beyond the range of y_format "
                                                      "and was saturated."))
        return tuple(flags)
