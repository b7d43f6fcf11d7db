"""Division of integers: exact, in a pipeline or a serial unit, and rounded to few bits."""

from amaranth import Cat, Module, Mux, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from systolith.hdl.arithmetic.steps import counter, shape, signal_of
from systolith.hdl.formats import IntegerFormat
from systolith.hdl.structure.linear_array import LinearArray


class Divider(wiring.Component):
    """Quotient and remainder of unsigned integers, pipelined.

    Radix-2 restoring division: one subtraction per bit of the quotient. By 0, every bit of the
    quotient is one and the remainder is the dividend, or its low bits.

    Parameters
    ----------
    dividend_bits, divisor_bits : int
    bits_per_stage : int
        Bits of the quotient between registers.
    quotient_bits : int, optional
        Bits of the quotient, a multiple of ``bits_per_stage``, where every dividend is less than
        divisor · 2^quotient_bits; by default as many as of the dividend.

    Members
    -------
    dividend : In(dividend_bits)
    divisor : In(divisor_bits)
    quotient : Out(quotient_bits)
    remainder : Out(divisor_bits)

    Timing
    ------
    Latency ``ceil(quotient_bits / bits_per_stage)`` cycles, one quotient per cycle.
    """

    def __init__(self, dividend_bits: int, divisor_bits: int, bits_per_stage: int = 1,
                 quotient_bits: int | None = None):
        _check_widths(dividend_bits, divisor_bits, quotient_bits)
        if bits_per_stage < 1:
            raise ValueError(f"bits_per_stage must be at least 1, not {bits_per_stage}")
        if quotient_bits and quotient_bits % bits_per_stage:
            raise ValueError(f"quotient_bits must be a multiple of bits_per_stage = "
                             f"{bits_per_stage}, not {quotient_bits}")
        self.bits_per_stage = bits_per_stage
        bits = quotient_bits or dividend_bits
        self.latency = -(-bits // bits_per_stage)
        super().__init__({"dividend": In(dividend_bits), "divisor": In(divisor_bits),
                          "quotient": Out(bits), "remainder": Out(divisor_bits)})

    def elaborate(self, platform):
        m = Module()
        divisor_bits, bits = len(self.divisor), self.bits_per_stage
        digits = self.latency * bits
        m.submodules.stages = stages = LinearArray(
            lambda: DividerStage(digits, divisor_bits, bits), self.latency, name="divider_stage",
            chain={"divisor": "divisor_out", "remainder": "remainder_out", "digits": "digits_out"})
        m.d.comb += [
            stages.divisor.eq(self.divisor),
            stages.remainder.eq(self.dividend[len(self.quotient):]),
            stages.digits.eq(self.dividend[:len(self.quotient)]),
            self.quotient.eq(stages.digits_out),
            self.remainder.eq(stages.remainder_out),
        ]
        return m


class DividerStage(wiring.Component):
    """Some bits of a quotient, and registers behind them.

    Parameters
    ----------
    digits : int
        Bits of the dividend that come in above, and of the quotient that gather below.
    divisor_bits : int
    bits : int
        Of the quotient, found here.

    Members
    -------
    divisor, divisor_out, remainder, remainder_out : width divisor_bits
    digits, digits_out : width digits
    """

    def __init__(self, digits: int, divisor_bits: int, bits: int):
        self.bits = bits
        super().__init__({
            "divisor": In(divisor_bits), "remainder": In(divisor_bits), "digits": In(digits),
            "divisor_out": Out(divisor_bits), "remainder_out": Out(divisor_bits),
            "digits_out": Out(digits),
        })

    def elaborate(self, platform):
        m = Module()
        divisor = Signal.like(self.divisor, name="divisor_stage", reset_less=True)
        remainder = Signal.like(self.remainder, name="remainder_stage", reset_less=True)
        digits = Signal.like(self.digits, name="digits_stage", reset_less=True)
        rest, quotient = self.remainder, self.digits
        for step in range(self.bits):
            rest, quotient = _subtract(m, rest, quotient, self.divisor, f"_{step}")
        m.d.sync += [divisor.eq(self.divisor), remainder.eq(rest), digits.eq(quotient)]
        m.d.comb += [
            self.divisor_out.eq(divisor),
            self.remainder_out.eq(remainder),
            self.digits_out.eq(digits),
        ]
        return m


class SerialDivider(wiring.Component):
    """Quotient and remainder of unsigned integers, one bit of the quotient per cycle.

    By 0, every bit of the quotient is one and the remainder is the dividend, or its low bits.

    Parameters
    ----------
    dividend_bits, divisor_bits : int
    quotient_bits : int, optional
        As of :class:`Divider`.

    Members
    -------
    dividend : In(dividend_bits)
    divisor : In(divisor_bits)
        Taken with ``start``.
    start : In(1)
        Begins a division; one that is going on is forgotten.
    quotient : Out(quotient_bits)
    remainder : Out(divisor_bits)
        Hold from ``done`` until the next ``start``.
    busy : Out(1)
    done : Out(1)
        High for one cycle, with the first of the result.

    Timing
    ------
    The result follows ``start`` by :attr:`latency` cycles; the next start may come with ``done``.
    """

    def __init__(self, dividend_bits: int, divisor_bits: int, quotient_bits: int | None = None):
        _check_widths(dividend_bits, divisor_bits, quotient_bits)
        bits = quotient_bits or dividend_bits
        self.latency = bits + 1
        super().__init__({
            "dividend": In(dividend_bits), "divisor": In(divisor_bits), "start": In(1),
            "quotient": Out(bits), "remainder": Out(divisor_bits), "busy": Out(1),
            "done": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        steps = len(self.quotient)
        divisor = Signal.like(self.divisor, name="held_divisor", reset_less=True)
        remainder = Signal.like(self.remainder, name="rest", reset_less=True)
        digits = Signal.like(self.quotient, name="digits", reset_less=True)
        left = Signal(range(steps + 1))                  # steps to go
        done = Signal()
        rest, quotient = _subtract(m, remainder, digits, divisor, "")
        with m.If(self.start):
            m.d.sync += [divisor.eq(self.divisor), digits.eq(self.dividend[:steps]),
                         remainder.eq(self.dividend[steps:]), left.eq(steps)]
        with m.Elif(left != 0):
            m.d.sync += [remainder.eq(rest), digits.eq(quotient), left.eq(left - 1)]
        m.d.sync += done.eq((left == 1) & ~self.start)
        m.d.comb += [
            self.quotient.eq(digits),
            self.remainder.eq(remainder),
            self.busy.eq(left != 0),
            self.done.eq(done),
        ]
        return m


def _subtract(m: Module, remainder, digits, divisor, suffix: str):
    """One step: the top digit joins the remainder, a bit of the quotient the digits."""
    joined = Signal(len(remainder) + 1, name=f"joined{suffix}")
    difference = Signal(len(remainder) + 2, name=f"difference{suffix}")
    kept = Signal(len(remainder), name=f"kept{suffix}")
    more = Signal(len(digits), name=f"digits{suffix or '_next'}")
    fits = ~difference[-1]
    m.d.comb += [
        joined.eq(Cat(digits[-1], remainder)),
        difference.eq(joined - divisor),
        kept.eq(Mux(fits, difference[:len(kept)], joined[:len(kept)])),
        more.eq(Cat(fits, digits[:-1])),
    ]
    return kept, more


def _check_widths(dividend_bits: int, divisor_bits: int, quotient_bits: int | None) -> None:
    for name, bits in (("dividend_bits", dividend_bits), ("divisor_bits", divisor_bits)):
        if bits < 1:
            raise ValueError(f"{name} must be at least 1, not {bits}")
    if quotient_bits is not None and not max(1, dividend_bits - divisor_bits) <= quotient_bits \
            <= dividend_bits:
        raise ValueError(f"quotient_bits must be {max(1, dividend_bits - divisor_bits)} to "
                         f"{dividend_bits}, not {quotient_bits}")


class ScaledQuotient(wiring.Component):
    """Quantizes by the largest of many: value · (2^bits − 1) / largest, to nearest, halves to even.

    Long division, one bit of the quotient per stage.

    Parameters
    ----------
    number : IntegerFormat
        Signed; of the values.
    largest : int
        The largest magnitude of a value.
    bits : int
        Of the quotient's magnitude.

    Members
    -------
    value : In
    largest : In
        At least the magnitude of ``value``; 0 gives 0.
    quotient : Out(signed(bits + 1))

    Timing
    ------
    Latency :meth:`cycles` of ``bits``, one value per cycle.
    """

    def __init__(self, number: IntegerFormat, largest: int, bits: int):
        self.number, self.bits, self.latency = number, bits, self.cycles(bits)
        super().__init__({"value": In(shape(number)), "largest": In(counter(largest)),
                          "quotient": Out(signed(bits + 1))})

    @staticmethod
    def cycles(bits: int) -> int:
        """Latency of a quotient with so many bits of magnitude."""
        return bits + 1

    def elaborate(self, platform):
        m = Module()
        bits = self.bits
        width = len(self.largest)
        magnitude = Signal(width)
        scaled = Signal(width + bits)
        negative = self.value[-1]
        divisor = Signal(width, name="divisor_0")
        m.d.comb += [
            magnitude.eq(Mux(negative, -self.value, self.value)),
            scaled.eq((magnitude << bits) - magnitude),
            divisor.eq(Mux(self.largest == 0, 1, self.largest)),
        ]
        # The upper part of the product is below the divisor: the quotient has so many bits.
        remainder, below, quotient = scaled[bits:], scaled[:bits], None
        for stage in range(1, bits + 1):
            doubled = signal_of(m, Cat(below[-1], remainder), f"doubled_{stage}")
            fits = signal_of(m, doubled >= divisor, f"fits_{stage}")
            values = {
                "remainder": (width, Mux(fits, doubled - divisor, doubled)),
                "quotient": (stage, fits if quotient is None else Cat(fits, quotient)),
                "divisor": (width, divisor), "negative": (1, negative),
                "below": (bits - stage, below[:-1]),
            }
            registers = {}
            for name, (size, value) in values.items():
                if size:
                    registers[name] = Signal(size, name=f"{name}_{stage}", reset_less=True)
                    m.d.sync += registers[name].eq(value)
            remainder, quotient = registers["remainder"], registers["quotient"]
            divisor, negative = registers["divisor"], registers["negative"]
            below = registers.get("below")
        twice = signal_of(m, remainder << 1, "twice")
        up = (twice > divisor) | ((twice == divisor) & quotient[0])
        rounded = signal_of(m, quotient + up, "rounded")
        result = Signal.like(self.quotient, name="result", reset_less=True)
        m.d.sync += result.eq(Mux(negative, -rounded, rounded))
        m.d.comb += self.quotient.eq(result)
        return m

