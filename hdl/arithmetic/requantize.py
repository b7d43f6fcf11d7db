"""Requantization: sums scaled to a narrow format, bit-exact to a rounding rule; with a bias, a zero
point and bounds of their own, or without."""

from amaranth import Cat, Const, Module, Mux, Shape, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from systolith.hdl.arithmetic.multiplier import Multiplier
from systolith.hdl.arithmetic.rounding import saturate
from systolith.hdl.formats import IntegerFormat

ROUNDINGS = ("tflite", "rne", "half_up", "floor")
INT32 = IntegerFormat(32, signed=True)

#: Low bits of a sum that its left shift saturates, which need not be those of the bound: with a
#: multiplier below 2^17 they are worth no more than half a unit; with a larger one, results of 16
#: bits are at their bounds anyway, as zero points have 17.
UNSEEN = 13

#: Registers behind the 32 x 32 bit multiplier.
MULTIPLIER_STAGES = 3


def requantizer_latency(rounding: str) -> int:
    """Cycles that a :class:`Requantizer` takes."""
    before = 2 if rounding == "tflite" else 1            # bias; left shift
    after = 5 if rounding == "tflite" else 4             # (high half;) shift; round; add; clamp
    return before + MULTIPLIER_STAGES + after


class Requantizer(wiring.Component):
    """Scales sums: clamp(round(saturate(x + bias) · multiplier · 2^(shift − 31)) + zero_point).

    Parameters
    ----------
    x_format : IntegerFormat
        Format of the sums.
    out_format : IntegerFormat
        Format of ``y``, ``low`` and ``high``.
    rounding : str
        ``tflite`` rounds the doubling high multiply half up and the right shift half away from
        zero; left shifts come first and saturate, as gemmlowp's do. ``rne``, ``half_up`` and
        ``floor`` round the exact product once.

    Members
    -------
    x : In
        Sum.
    bias, multiplier : In(signed(32))
    shift : In(signed(6))
        −31 to 31, with ``x``; positive shifts left.
    zero_point : In(signed(17))
    low, high : In
        Bounds of ``y``, constant while sums are in flight; ``high`` wins if ``low`` exceeds it.
    y : Out
    saturated : Out(1)
        ``x + bias`` did not fit 32 bits; one cycle after ``x``.

    Timing
    ------
    Latency :attr:`latency` cycles, one sum per cycle.

    References
    ----------
    B. Jacob et al., Quantization and training of neural networks for efficient
    integer-arithmetic-only inference, CVPR 2018; gemmlowp fixedpoint.h.
    """

    def __init__(self, x_format: IntegerFormat, out_format: IntegerFormat, rounding: str):
        if rounding not in ROUNDINGS:
            raise ValueError(f"rounding must be one of {', '.join(ROUNDINGS)}, not {rounding!r}")
        self.x_format, self.out_format, self.rounding = x_format, out_format, rounding
        x = Shape(x_format.bits, x_format.signed)
        out = Shape(out_format.bits, out_format.signed)
        super().__init__({
            "x": In(x), "bias": In(signed(32)), "multiplier": In(signed(32)),
            "shift": In(signed(6)), "zero_point": In(signed(17)), "low": In(out), "high": In(out),
            "y": Out(out), "saturated": Out(1),
        })

    @property
    def latency(self) -> int:
        """Cycles from ``x`` to ``y``."""
        return requantizer_latency(self.rounding)

    def elaborate(self, platform):
        m = Module()
        biased, changed = saturate(m, self.x + self.bias, INT32, "biased")
        x = _register(m, biased, "x_biased")
        multiplier = _register(m, self.multiplier, "multiplier_biased")
        shift = _register(m, self.shift, "shift_biased")
        m.d.sync += self.saturated.eq(changed)
        if self.rounding == "tflite":
            rounded = self._tflite(m, x, multiplier, shift)
        else:
            rounded = _scaled(m, self.rounding, x, multiplier, shift)

        offset = _register(m, rounded + self.zero_point, "offset")
        clamped = Signal.like(self.y)
        with m.If(offset > self.high):
            m.d.comb += clamped.eq(self.high)
        with m.Elif(offset < self.low):
            # If the bounds are the wrong way round, the upper one wins.
            m.d.comb += clamped.eq(Mux(self.low > self.high, self.high, self.low))
        with m.Else():
            m.d.comb += clamped.eq(offset)
        y = _register(m, clamped, "clamped")
        m.d.comb += self.y.eq(y)
        return m

    def _tflite(self, m: Module, x, multiplier, shift):
        left = Signal(5)
        right = Signal(5)
        m.d.comb += [
            left.eq(Mux(shift < 0, 0, shift[:5])),
            right.eq(Mux(shift < 0, -shift, 0)),
        ]
        shifted = Signal(signed(63))
        m.d.comb += shifted.eq(x << left)
        top, _ = saturate(m, shifted[UNSEEN:].as_signed(),
                          IntegerFormat(INT32.bits - UNSEEN, signed=True), "scaled")
        scaled = Cat(shifted[:UNSEEN], top).as_signed()
        product = _product(m, _register(m, scaled, "x_scaled"),
                           _register(m, multiplier, "multiplier_scaled"))

        # gemmlowp adds a nudge of the product's sign and truncates: that is rounding half up.
        nudged = Signal(signed(65))
        m.d.comb += nudged.eq(product + (1 << 30))
        # For -1 · -1 alone it has a bit more, where gemmlowp saturates: once rounded, that is the
        # same, or beyond any output format.
        high = _register(m, nudged[31:64].as_signed(), "high")
        right = _delayed(m, right, "right", MULTIPLIER_STAGES + 2)

        # Half away from zero: the discarded bits exceed one half, or equal it and the sign is plus.
        kept, dropped = _shifted(m, high, right, 31)
        negative = _register(m, high < 0, "negative")
        above = Signal()
        m.d.comb += above.eq(dropped[-1] & (~negative | dropped[:-1].any()))
        return _register(m, kept + above, "rounded")


class Rescaler(wiring.Component):
    """Scales sums: saturate(round(x · multiplier · 2^(shift − 31))), to nearest, halves to even.

    Parameters
    ----------
    x_format, out_format : IntegerFormat
        Formats of the sums, and of ``y``.

    Members
    -------
    x : In
        Sum.
    multiplier : In(signed(32))
    shift : In(signed(6))
        −31 to 31, with ``x``; positive shifts left.
    y : Out

    Timing
    ------
    Latency :attr:`latency` cycles, one sum per cycle.
    """

    latency = 1 + MULTIPLIER_STAGES + 3                  # inputs; shift; round; saturate

    def __init__(self, x_format: IntegerFormat, out_format: IntegerFormat):
        self.out_format = out_format
        super().__init__({
            "x": In(Shape(x_format.bits, x_format.signed)), "multiplier": In(signed(32)),
            "shift": In(signed(6)), "y": Out(Shape(out_format.bits, out_format.signed)),
        })

    def elaborate(self, platform):
        m = Module()
        rounded = _scaled(m, "rne", *(_register(m, value, name) for value, name in (
            (self.x, "x_taken"), (self.multiplier, "multiplier_taken"),
            (self.shift, "shift_taken"))))
        saturated, _ = saturate(m, rounded, self.out_format, "saturated")
        m.d.comb += self.y.eq(_register(m, saturated, "result"))
        return m


def _register(m: Module, value, name: str) -> Signal:
    register = Signal(value.shape(), name=name, reset_less=True)
    m.d.sync += register.eq(value)
    return register


def _delayed(m: Module, value, name: str, cycles: int):
    for stage in range(cycles):
        value = _register(m, value, f"{name}_{stage + 1}")
    return value


def _product(m: Module, x, multiplier):
    m.submodules.multiply = multiply = Multiplier(x.shape(), signed(32), MULTIPLIER_STAGES)
    m.d.comb += [multiply.a.eq(x), multiply.b.eq(multiplier)]
    return multiply.p


def _scaled(m: Module, rounding: str, x, multiplier, shift):
    """x · multiplier · 2^(shift − 31), rounded once."""
    right = Signal(6)                                    # 31 - shift: 0 to 62
    m.d.comb += right.eq(31 - shift)
    product = _product(m, x, multiplier)
    right = _delayed(m, right, "right", MULTIPLIER_STAGES)
    kept, dropped = _shifted(m, product, right, 62)
    above = Signal()
    match rounding:
        case "rne":
            m.d.comb += above.eq(dropped[-1] & (kept[0] | dropped[:-1].any()))
        case "half_up":
            m.d.comb += above.eq(dropped[-1])
    return _register(m, kept + above, "rounded")


def _shifted(m: Module, value, right, most: int):
    """``value >> right`` and the bits that this drops, left-aligned in ``most`` bits."""
    wide = Signal(signed(len(value) + most), name="wide")
    m.d.comb += wide.eq(Cat(Const(0, most), value).as_signed() >> right)
    register = _register(m, wide, "split")
    return register[most:].as_signed(), register[:most]
