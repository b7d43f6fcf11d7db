"""Rounding and saturation."""

from collections.abc import Set
from typing import Literal, get_args

from amaranth import Cat, Const, Module, Mux, Shape, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from systolith.hdl.arithmetic.shifting import LeadingZeros, Shifter
from systolith.hdl.arithmetic.steps import Steps, check_stages, counter, shape, signal_of
from systolith.hdl.formats import FloatFormat, IntegerFormat

Rounding = Literal["rne", "half_away", "toward_zero"]
FixedRounding = Literal[Rounding, "half_up", "floor", "ceiling"]


def round_up(kept_lsb, half, sticky, rounding: Rounding):
    """Whether a magnitude goes up by one, from the bits around the cut.

    ``half`` is the highest bit that is dropped, ``sticky`` whether any below it is set.
    """
    match rounding:
        case "rne":
            return half & (sticky | kept_lsb)
        case "half_away":
            return half
        case "toward_zero":
            return Const(0, 1)
    raise ValueError(f"rounding must be 'rne', 'half_away' or 'toward_zero', not {rounding!r}")


Reach = tuple[int, int]                  # the least and the largest code that a value takes


def saturate(m: Module, value, number: IntegerFormat, name: str, *, symmetric: bool = False,
             reach: Reach | None = None):
    """``value`` limited to the range of ``number``, and whether that changed it.

    With ``symmetric``, the most negative integer is beyond the range. What ``reach`` excludes is
    not looked for; by default it is all that the shape of ``value`` holds.
    """
    full = signal_of(m, value, f"{name}_full")
    result = Signal(shape(number), name=name)
    changed = Signal(name=f"{name}_changed")
    digits = number.bits - number.signed
    magnitude_bits = len(full) - full.shape().signed
    negative = full[-1] if full.shape().signed else Const(0, 1)
    low = number.code_low + (symmetric and number.signed)
    least, largest = reach or (-full.shape().signed << magnitude_bits, (1 << magnitude_bits) - 1)
    top = full[digits:]
    above, below = [], []
    if largest > number.code_high:
        above.append(~negative & top.any())
    if least < number.code_low:
        below.append(negative & ~top.all() if number.signed else negative)
    if low > number.code_low and least <= number.code_low:
        below.append(negative & ~full[:digits].any())
    m.d.comb += result.eq(full)
    if above or below:
        end = Mux(negative, low, number.code_high) if above and below else (
            number.code_high if above else low)
        m.d.comb += changed.eq(Cat(*above, *below).any())
        with m.If(changed):
            m.d.comb += result.eq(end)
    return result, changed


def _rounded(value: int, drop: int, rounding: FixedRounding) -> int:
    """``value / 2^drop`` as an integer."""
    if drop <= 0:
        return value << -drop
    whole, rest = value >> drop, value & (1 << drop) - 1
    half, below = rest >> drop - 1, rest & (1 << drop - 1) - 1
    match rounding:
        case "rne":
            up = half and (below or whole & 1)
        case "half_away":
            up = half and (below or value >= 0)
        case "half_up":
            up = half
        case "toward_zero":
            up = rest and value < 0
        case "floor":
            up = False
        case "ceiling":
            up = rest
    return whole + bool(up)


class FloatEncoder(wiring.Component):
    """Rounds magnitude · 2^exponent to a float: once, with subnormals.

    Parameters
    ----------
    format : FloatFormat
        Of the result.
    width : int
        Bits of the magnitude.
    exponents : range
        What the exponent of the magnitude's least significant bit can be.
    stages : int
        Registers, 0 to 4.
    rounding : "rne", "half_away" or "toward_zero"
    saturate : bool
        Whether a number beyond the range, infinities included, becomes the largest finite one, or
        Inf (NaN where there is no Inf). A format without either always saturates.
    specials : set of str
        What may come that is no number: ``inf``, ``nan``.
    bounded : bool
        No finite number is beyond the range, though its bits would allow that.

    Members
    -------
    sign : In(1)
    exponent : In
        That exponent, counted from the first in ``exponents``.
    magnitude : In(width)
    sticky : In(1)
        The number is a little larger in magnitude, by less than its last bit. It must not be set
        unless the magnitude has two bits more than the significand of the result, the leading one
        counted.
    inf, nan : In(1)
        The number is none; ``nan`` goes first. Those that are among ``specials``.
    code : Out(format.bits)
        NaN is the format's one NaN; a format without NaN gives 0.
    overflow : Out(1)
        A finite number was beyond the range.
    invalid : Out(1)
        NaN met a format without one.

    Timing
    ------
    Latency ``stages`` cycles, one number per cycle.
    """

    STEPS = 4

    def __init__(self, format: FloatFormat, width: int, exponents: range, stages: int = 0,
                 rounding: Rounding = "rne", *, saturate: bool = False,
                 specials: Set[str] = frozenset({"inf", "nan"}), bounded: bool = False):
        check_stages(stages, self.STEPS)
        self.format, self.width, self.exponents = format, width, exponents
        self.latency, self.rounding, self.saturate = stages, rounding, saturate
        self.specials = specials
        #: Whether a finite number may be beyond the range.
        self.overflows = not bounded and width + exponents[-1] > format.exponent_high
        super().__init__({
            "sign": In(1), "exponent": In(counter(len(exponents) - 1)),
            "magnitude": In(width), "sticky": In(1),
            **{name: In(1) for name in ("inf", "nan") if name in specials},
            "code": Out(format.bits), "overflow": Out(1), "invalid": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        format = self.format
        steps = Steps(m, self.STEPS, self.latency)
        significand_bits = 1 + format.fraction_bits
        width = max(self.width, significand_bits + 2)
        padding = width - self.width
        magnitude = signal_of(m, Cat(Const(0, padding), self.magnitude), "padded")

        # How far the top bit may move left before its exponent falls below the subnormals'.
        offset = self.exponents.start + self.width - 1 - format.exponent_low
        room_range = range(offset, offset + len(self.exponents))
        room = Signal(room_range)
        m.submodules.zeros = zeros = LeadingZeros(self.width)
        m.d.comb += [
            room.eq(self.exponent + offset),
            zeros.word.eq(magnitude[padding:]),
        ]
        count, zero = signal_of(m, zeros.count, "count"), signal_of(m, zeros.zero, "zero")
        inf, nan = (getattr(self, name) if name in self.specials else Const(0)
                    for name in ("inf", "nan"))
        magnitude, room, count, zero, sign, sticky, inf, nan = steps.after(
            magnitude, room, count, zero, self.sign, self.sticky, inf, nan)

        left = Signal(range(self.width))
        field = Signal(range(max(room_range[-1], 0) + 1))
        with m.If(zero | (room < 0) if offset < 0 else zero):
            m.d.comb += [left.eq(0), field.eq(0)]
        if offset < self.width - 1:
            with m.Elif(room < count):
                m.d.comb += [left.eq(room), field.eq(0)]
        with m.Else():
            m.d.comb += [left.eq(count), field.eq(room - count)]
        m.submodules.left = shift_left = Shifter(width, self.width - 1, left=True)
        m.d.comb += [shift_left.word.eq(magnitude), shift_left.amount.eq(left)]
        shifted = signal_of(m, shift_left.result, "shifted")
        shifted, room, field, sign, sticky, inf, nan = steps.after(
            shifted, room, field, sign, sticky, inf, nan)

        if offset < 0:
            # Beyond the significand and its half, the distance makes no difference.
            most = min(-offset, significand_bits + 1)
            right = Signal(range(most + 1))
            below = signal_of(m, -room, "below")
            m.d.comb += right.eq(Mux(room >= 0, 0, Mux(below > most, most, below)))
            m.submodules.right = shift_right = Shifter(width, most, left=False)
            m.d.comb += [shift_right.word.eq(shifted), shift_right.amount.eq(right)]
            shifted = signal_of(m, shift_right.result, "denormalized")
            sticky = signal_of(m, sticky | shift_right.lost, "sticky_below")
        shifted, field, sign, sticky, inf, nan = steps.after(
            shifted, field, sign, sticky, inf, nan)

        kept = shifted[width - significand_bits:]
        half = shifted[width - significand_bits - 1]
        rest = shifted[:width - significand_bits - 1].any() | sticky
        up = signal_of(m, round_up(kept[0], half, rest, self.rounding), "up")
        # The hidden bit carries into the exponent field, and so does a significand rounded up.
        code = signal_of(m, Cat(Const(0, format.fraction_bits), field) + kept + up, "rounded")
        over = signal_of(m, code > format.high_code if self.overflows else Const(0), "over")
        beyond = format.inf_code if format.inf_code is not None else format.nan_code
        if self.saturate or beyond is None:
            beyond = format.high_code
        finite_beyond = format.high_code if self.rounding == "toward_zero" else beyond
        result = Signal(format.bits)
        with m.If(nan):
            m.d.comb += result.eq(format.nan_code or 0)
        with m.Elif(inf):
            m.d.comb += result.eq(Cat(Const(beyond, format.bits - 1), sign))
        with m.Elif(over):
            m.d.comb += result.eq(Cat(Const(finite_beyond, format.bits - 1), sign))
        with m.Else():
            m.d.comb += result.eq(Cat(code[:format.bits - 1], sign))
        overflow = signal_of(m, over & ~nan & ~inf, "finite_over") if self.overflows else Const(0)
        invalid = signal_of(m, nan if format.nan_code is None else Const(0, 1), "no_nan")
        result, overflow, invalid = steps.after(result, overflow, invalid)
        m.d.comb += [
            self.code.eq(result),
            self.overflow.eq(overflow),
            self.invalid.eq(invalid),
        ]
        return m


class FixedRounder(wiring.Component):
    """Drops low bits of a fixed-point integer, rounding once, and saturates.

    Parameters
    ----------
    source, target : IntegerFormat
        ``target.lsb_exponent`` may lie above or below the source's.
    rounding : "rne", "half_away", "toward_zero", "half_up", "floor" or "ceiling"
    symmetric : bool
        Whether the target's most negative integer is left unused.
    reach : tuple of int, optional
        The least and the largest code that ``value`` takes, by default those of ``source``: where
        all results are in the range of ``target``, nothing limits them.

    Members
    -------
    value : In
        Bits of ``source``.
    result : Out
        Bits of ``target``.
    saturated : Out(1)
        The rounded number was beyond the range.

    Timing
    ------
    Combinational.
    """

    latency = 0

    def __init__(self, source: IntegerFormat, target: IntegerFormat,
                 rounding: FixedRounding = "rne", *, symmetric: bool = False,
                 reach: Reach | None = None):
        if rounding not in get_args(FixedRounding):
            raise ValueError(f"rounding must be one of {', '.join(get_args(FixedRounding))}, "
                             f"not {rounding!r}")
        self.source, self.target = source, target
        self.rounding, self.symmetric = rounding, symmetric
        #: The least and the largest value.
        self.values: Reach = reach or (source.code_low, source.code_high)
        self._drop = target.lsb_exponent - source.lsb_exponent
        #: The least and the largest result, before it is limited.
        self.reach: Reach = tuple(_rounded(end, self._drop, rounding)
                                  for end in self.values)
        super().__init__({"value": In(shape(source)), "result": Out(shape(target)),
                          "saturated": Out(1)})

    def elaborate(self, platform):
        m = Module()
        drop = self._drop
        if drop > 0:
            value = Signal(Shape(max(len(self.value), drop + 1), self.source.signed), name="wide")
            m.d.comb += value.eq(self.value)
            kept = value[drop:].as_signed() if self.source.signed else value[drop:]
            negative = value[-1] if self.source.signed else Const(0, 1)
            half = value[drop - 1]
            below = signal_of(m, value[:drop - 1].any(), "below")
            # The bits that are kept have been rounded down already.
            match self.rounding:
                case "rne":
                    up = half & (below | kept[0])
                case "half_away":
                    up = half & (below | ~negative)
                case "half_up":
                    up = half
                case "toward_zero":
                    up = negative & (half | below)
                case "floor":
                    up = Const(0, 1)
                case "ceiling":
                    up = half | below
            rounded = signal_of(m, kept + up, "rounded")
        else:
            rounded = signal_of(m, self.value << -drop, "rounded")
        result, saturated = saturate(m, rounded, self.target, "limited", symmetric=self.symmetric,
                                     reach=self.reach)
        m.d.comb += [self.result.eq(result), self.saturated.eq(saturated)]
        return m


class SteppedRounder(wiring.Component):
    """Rounds to nearest even and saturates as :class:`FixedRounder` does, in two registered steps.

    Rounding and comparing with the limits have a carry chain each.

    Parameters
    ----------
    source, target : IntegerFormat
    reach : tuple of int, optional
        As of :class:`FixedRounder`.

    Members
    -------
    value : In
        Bits of ``source``.
    result : Out
        Bits of ``target``.
    saturated : Out(1)
        The rounded number was beyond the range.

    Timing
    ------
    Latency :attr:`latency` cycles, one number per cycle.
    """

    latency = 2

    def __init__(self, source: IntegerFormat, target: IntegerFormat, reach: Reach | None = None):
        self.source, self.target = source, target
        #: The least and the largest value.
        self.values: Reach = reach or (source.code_low, source.code_high)
        super().__init__({"value": In(shape(source)), "result": Out(shape(target)),
                          "saturated": Out(1)})

    def elaborate(self, platform):
        m = Module()
        source, target = self.source, self.target
        drop = target.lsb_exponent - source.lsb_exponent
        whole = IntegerFormat(max(source.bits - drop, 1) + 1, source.signed, target.lsb_exponent)
        m.submodules.round = rounder = FixedRounder(source, whole, reach=self.values)
        m.submodules.limit = limiter = FixedRounder(whole, target, reach=rounder.reach)
        rounded = Signal(shape(whole), name="rounded", reset_less=True)
        limited = Signal(shape(target), name="limited", reset_less=True)
        beyond = Signal(name="beyond", reset_less=True)
        m.d.sync += [rounded.eq(rounder.result), limited.eq(limiter.result),
                     beyond.eq(limiter.saturated)]
        m.d.comb += [
            rounder.value.eq(self.value),
            limiter.value.eq(rounded),
            self.result.eq(limited),
            self.saturated.eq(beyond),
        ]
        return m
