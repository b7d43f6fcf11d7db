"""Exact products and sums in fixed point."""

from amaranth import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from systolith.hdl.arithmetic.decoders import FixedDecoder, FloatDecoder
from systolith.hdl.arithmetic.multiplier import Multiplier
from systolith.hdl.arithmetic.steps import Steps, check_stages, counter, shape, signal_of
from systolith.hdl.formats import FloatFormat, Format, IntegerFormat, product_format


class TermDecoder(wiring.Component):
    """Decodes an element to a factor and an exponent: factor · 2^(exponent + lsb_exponent).

    Parameters
    ----------
    format : Format
        Integers, levels or floats.

    Members
    -------
    code : In(format.bits)
    factor : Out
        Bits of ``format.term``; 0 if the code is not a finite number.
    exponent : Out
        0 to ``format.shift_high``.
    invalid : Out(1)
        The code is NaN, Inf or illegal.

    Timing
    ------
    Combinational.
    """

    latency = 0

    def __init__(self, format: Format):
        self.format = format
        super().__init__({"code": In(format.bits), "factor": Out(shape(format.term)),
                          "exponent": Out(counter(format.shift_high)), "invalid": Out(1)})

    def elaborate(self, platform):
        m = Module()
        if not isinstance(self.format, FloatFormat):
            m.submodules.decode = decode = FixedDecoder(self.format)
            m.d.comb += [self.factor.eq(decode.value), self.invalid.eq(decode.invalid)]
        else:
            m.submodules.decode = decode = FloatDecoder(self.format)
            significand = decode.significand
            m.d.comb += [
                self.factor.eq(Mux(decode.sign, -significand, significand)),
                self.exponent.eq(decode.exponent),
                self.invalid.eq(decode.inf | decode.nan),
            ]
        m.d.comb += decode.code.eq(self.code)
        return m


class TermMultiplier(wiring.Component):
    """Exact product of two elements that are factors and exponents, in fixed point.

    Parameters
    ----------
    a_format, b_format : Format
        Anything that decodes to ``term`` and ``shift_high``: integers, levels, floats, pairs.
    stages : int
        Registers: the first goes after the shift, all others follow the multiplier.
    technology : str
        As in :class:`Multiplier`.

    Members
    -------
    a_factor, a_exponent, b_factor, b_exponent : In
        As :class:`TermDecoder` or :class:`PairDecoder` gives them.
    product : Out
        Bits of :attr:`format`.

    Attributes
    ----------
    format : IntegerFormat
        Of the product: no narrower one holds every product of two values.

    Timing
    ------
    Latency ``stages`` cycles, one product per cycle.
    """

    def __init__(self, a_format: Format, b_format: Format, stages: int = 0,
                 technology: str = "generic"):
        self.a_format, self.b_format = a_format, b_format
        self.format = product_format(a_format, b_format)
        self.latency, self.technology = stages, technology
        super().__init__({
            "a_factor": In(shape(a_format.term)), "a_exponent": In(counter(a_format.shift_high)),
            "b_factor": In(shape(b_format.term)), "b_exponent": In(counter(b_format.shift_high)),
            "product": Out(shape(self.format)),
        })

    def elaborate(self, platform):
        m = Module()
        shift_stage = min(self.latency, 1)
        multiply_stages = self.latency - shift_stage
        m.submodules.multiply = multiply = Multiplier(
            shape(self.a_format.term), shape(self.b_format.term), multiply_stages, self.technology)
        m.d.comb += [multiply.a.eq(self.a_factor), multiply.b.eq(self.b_factor)]
        highest = self.a_format.shift_high + self.b_format.shift_high
        exponent = Signal(counter(highest))
        m.d.comb += exponent.eq(self.a_exponent + self.b_exponent)
        beside = Steps(m, multiply_stages, multiply_stages)
        for _ in range(multiply_stages):
            (exponent,) = beside.after(exponent)
        value = Signal.like(self.product, name="value")
        m.d.comb += value.eq(multiply.p << exponent if highest else multiply.p)
        (value,) = Steps(m, 1, shift_stage).after(value)
        m.d.comb += self.product.eq(value)
        return m


class AdderTree(wiring.Component):
    """Exact sum of many integers of one format.

    Parameters
    ----------
    number : IntegerFormat
        Of a term.
    count : int
        Number of terms, at least 1.
    stages : int
        Registers, 0 to ceil(log2(count)), spread over the levels of the tree.
    carries : bool
        One may be added for each adder: what completes the negative of a term that comes as its
        complement.

    Members
    -------
    terms : In(count * number.bits)
        Term i is ``terms[i*bits +: bits]``.
    carries : In(count - 1)
        Bits to add, in any order; only with ``carries``, and not for a single term.
    total : Out
        Bits of :attr:`format`.

    Attributes
    ----------
    format : IntegerFormat
        Of the sum: no narrower one holds every sum of terms, and of complements with a carry for
        all but one of them.

    Timing
    ------
    Latency ``stages`` cycles, one sum per cycle.
    """

    def __init__(self, number: IntegerFormat, count: int, stages: int = 0, *,
                 carries: bool = False):
        if count < 1:
            raise ValueError(f"count must be at least 1, not {count}")
        self.levels = (count - 1).bit_length()
        check_stages(stages, self.levels)
        self.number, self.count, self.latency = number, count, stages
        self.format = number.sum_of(count)
        members = {"terms": In(count * number.bits), "total": Out(shape(self.format))}
        self.carried = carries and count > 1
        if self.carried:
            members["carries"] = In(count - 1)
        super().__init__(members)

    def elaborate(self, platform):
        m = Module()
        bits, signed = self.number.bits, self.number.signed
        slices = (self.terms[lane * bits:(lane + 1) * bits] for lane in range(self.count))
        sums = [part.as_signed() if signed else part for part in slices]
        steps = Steps(m, self.levels, self.latency)
        carries = [self.carries] if self.carried else []
        for level in range(self.levels):
            pairs = list(zip(sums[0::2], sums[1::2], strict=False))
            added = [left + right for left, right in pairs]
            if carries:
                # The sum of k terms with k − 1 carries is within k times the format, so that the
                # carry does not widen it.
                widths = [max(len(left), len(right)) + 1 for left, right in pairs]
                added = [(value + carries[0][index])[:width]
                         for index, (value, width) in enumerate(zip(added, widths, strict=True))]
                added = [value.as_signed() for value in added] if signed else added
                carries = [carries[0][len(pairs):]]
            added = [signal_of(m, value, f"sum_{level}_{index}")
                     for index, value in enumerate(added)]
            if len(sums) % 2:
                added.append(signal_of(m, sums[-1], f"sum_{level}_{len(added)}"))
            if carries and len(carries[0]):
                added.append(signal_of(m, carries[0], f"carries_{level}"))
                *sums, left_over = steps.after(*added)
                carries = [left_over]
            else:
                sums = steps.after(*added)
        m.d.comb += self.total.eq(sums[0])
        return m
