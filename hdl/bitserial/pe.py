"""The processing element: 4 products of activations and terms per cycle."""

from typing import ClassVar

from amaranth import Cat, Module, Mux, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from systolith.hdl.arithmetic.alignment import AlignedAdder, RoundingShifter
from systolith.hdl.arithmetic.decoders import FloatDecoder
from systolith.hdl.arithmetic.products import AdderTree
from systolith.hdl.arithmetic.steps import shape, signal_of
from systolith.hdl.bitserial.config import INT8, LANES, BitserialConfig
from systolith.hdl.bitserial.encoder import TERM_BITS
from systolith.hdl.formats import FP16, IntegerFormat

#: Of an exponent in a PE: 42 in a product, 45 in a sum of 256 weights.
PE_EXPONENT_BITS = 6
SIGNIFICAND_BITS = 1 + FP16.fraction_bits
#: Of a decoded fp16 activation: significand, exponent, sign.
FLOAT_BITS = SIGNIFICAND_BITS + FP16.exponent_bits + 1
#: Largest exponents of the terms of a Booth code and of a code with a special value, and of the
#: weight of a Booth digit.
BOOTH_EXPONENT_HIGH = 1
TERM_EXPONENT_HIGH = 3
DIGIT_HIGH = 6


def activation_bits(config: BitserialConfig) -> int:
    """Bits of an activation as PEs take it."""
    return INT8.bits if config.exact else FLOAT_BITS


class ActivationDecoder(wiring.Component):
    """Splits the ``fp16`` activations of a row; subnormals have exponent 1, Inf and NaN count as 0.

    Members
    -------
    codes : In(4 * 16)
    words : Out(4 * FLOAT_BITS)
    not_finite : Out(1)

    Timing
    ------
    Combinational.
    """

    latency = 0

    def __init__(self):
        super().__init__({"codes": In(LANES * FP16.bits), "words": Out(LANES * FLOAT_BITS),
                          "not_finite": Out(1)})

    def elaborate(self, platform):
        m = Module()
        words, bad = [], []
        for lane in range(LANES):
            m.submodules[f"decode_{lane}"] = decode = FloatDecoder(FP16)
            invalid = signal_of(m, decode.inf | decode.nan, f"invalid_{lane}")
            exponent = Signal(FP16.exponent_bits, name=f"exponent_{lane}")
            m.d.comb += [
                decode.code.eq(self.codes.word_select(lane, FP16.bits)),
                exponent.eq(Mux(invalid, 1, decode.exponent + 1)),
            ]
            words.append(Cat(decode.significand, exponent, decode.sign))
            bad.append(invalid)
        m.d.comb += [self.words.eq(Cat(*words)), self.not_finite.eq(Cat(*bad).any())]
        return m


class GroupSum(wiring.Component):
    """Sums the products of a group's activations and terms, and keeps the sum.

    Parameters
    ----------
    config : BitserialConfig

    Members
    -------
    activations : In(4 * activation_bits(config))
    terms : In(4 * TERM_BITS)
    digit : In(3)
        The terms count 2^digit.
    valid, first, ends : In(1)
        There are terms; they start a group; they finish it.
    whole : In(1)
        With ``ends``: the weights are in units of 1, not of 0.5.
    total : Out
        The sum of the group that ended last, or its mantissa.
    exponent : Out
        Of that sum, ``fp16`` activations only.

    Timing
    ------
    The sum is there :attr:`latency` cycles after the last terms of its group; 4 terms per cycle.
    Nothing is reset: what was inside comes out ahead of the next group, and nobody takes it.
    """

    latency = 4

    def __init__(self, config: BitserialConfig):
        self.config = config
        members = {
            "activations": In(LANES * activation_bits(config)), "terms": In(LANES * TERM_BITS),
            "digit": In(3), "valid": In(1), "first": In(1), "ends": In(1), "whole": In(1),
            "total": Out(shape(config.group_sum)),
        }
        if not config.exact:
            members["exponent"] = Out(PE_EXPONENT_BITS)
        super().__init__(members)

    def _lanes(self):
        """Activation and term of each lane."""
        bits = len(self.activations) // LANES
        return [(self.activations.word_select(lane, bits), self.terms.word_select(lane, TERM_BITS))
                for lane in range(LANES)]

    def _delayed(self, m: Module, cycles: int, *names: str) -> list[Signal]:
        """Inputs so many cycles later."""
        values = [getattr(self, name) for name in names]
        for stage in range(1, cycles + 1):
            registers = [Signal(len(value), name=f"{name}_{stage}", reset_less=True)
                         for name, value in zip(names, values, strict=True)]
            m.d.sync += [register.eq(value)
                         for register, value in zip(registers, values, strict=True)]
            values = registers
        return values


class IntegerGroupSum(GroupSum):
    """Exact sums of ``int8`` activations, in units of 0.5; ``digit`` is that of terms in this unit.

    See :class:`GroupSum`.
    """

    def elaborate(self, platform):
        m = Module()
        config = self.config
        highest = -INT8.code_low << TERM_EXPONENT_HIGH
        number = IntegerFormat.holding(-highest, highest)
        products = []
        for lane, (activation, term) in enumerate(self._lanes()):
            shifted = Signal(shape(number), name=f"shifted_{lane}")
            product = Signal(shape(number), name=f"product_{lane}", reset_less=True)
            m.d.comb += shifted.eq(activation.as_signed() << term[1:3])
            m.d.sync += product.eq(Mux(term[0], Mux(term[3], -shifted, shifted), 0))
            products.append(product)
        m.submodules.add = add = AdderTree(number, LANES)
        dot = Signal(shape(add.format), reset_less=True)
        m.d.comb += add.terms.eq(Cat(*products))
        m.d.sync += dot.eq(add.total)

        # Booth terms have small exponents, the others small digits.
        addend_high = LANES * (-INT8.code_low << BOOTH_EXPONENT_HIGH) << DIGIT_HIGH + 1
        addend = Signal(range(-addend_high, addend_high + 1), reset_less=True)
        (digit,) = self._delayed(m, 2, "digit")
        m.d.sync += addend.eq(dot << digit)

        valid, first, ends = self._delayed(m, 3, "valid", "first", "ends")
        running = Signal(shape(config.group_sum), reset_less=True)
        total = Signal.like(running, name="held", reset_less=True)
        following = Signal.like(running, name="following")
        m.d.comb += [following.eq(Mux(first, 0, running) + addend), self.total.eq(total)]
        with m.If(valid):
            m.d.sync += running.eq(following)
        with m.If(valid & ends):
            m.d.sync += total.eq(following)
        return m


class FloatGroupSum(GroupSum):
    """Sums of ``fp16`` activations, with an exponent. See :class:`GroupSum`."""

    def elaborate(self, platform):
        m = Module()
        config = self.config

        # Exponents of the products, and the largest of them.
        exponents, products = [], []
        for lane, (word, term) in enumerate(self._lanes()):
            present = term[0]
            exponent = Signal(PE_EXPONENT_BITS, name=f"exponent_{lane}")
            total = word[SIGNIFICAND_BITS:-1] + term[1:3]
            m.d.comb += exponent.eq(Mux(present, total, 0) if config.mask_zero_lanes else total)
            exponents.append(exponent)
            products.append((Mux(present, word[:SIGNIFICAND_BITS], 0), word[-1] ^ term[3]))
        pairs = [signal_of(m, Mux(left > right, left, right), f"larger_{index}")
                 for index, (left, right) in enumerate(zip(exponents[::2], exponents[1::2],
                                                           strict=True))]
        largest = Signal(PE_EXPONENT_BITS, reset_less=True)
        m.d.sync += largest.eq(Mux(pairs[0] > pairs[1], *pairs))

        # Magnitudes aligned to it, then two's complement.
        aligned = []
        for lane, (exponent, (significand, sign)) in enumerate(zip(exponents, products,
                                                                   strict=True)):
            own = Signal(PE_EXPONENT_BITS, name=f"own_{lane}", reset_less=True)
            product = Signal(SIGNIFICAND_BITS, name=f"product_{lane}", reset_less=True)
            negative = Signal(name=f"negative_{lane}", reset_less=True)
            m.d.sync += [own.eq(exponent), product.eq(significand), negative.eq(sign)]
            bits = config.mantissa_bits + 1
            m.submodules[f"align_{lane}"] = shift = RoundingShifter(
                bits, (1 << PE_EXPONENT_BITS) - 1, config.rounding)
            m.d.comb += [shift.word.eq(product << config.guard), shift.amount.eq(largest - own)]
            value = Signal(signed(bits), name=f"aligned_{lane}", reset_less=True)
            # A negative is the complement and a carry.
            m.d.sync += value.eq((shift.floor ^ negative.replicate(bits)).as_signed()
                                 + (shift.up ^ negative))
            aligned.append(value)
        high = (1 << config.mantissa_bits) - 1
        m.submodules.add = add = AdderTree(IntegerFormat.holding(-high, high), LANES)
        addend_high = LANES * high << DIGIT_HIGH
        addend = Signal(range(-addend_high, addend_high + 1), reset_less=True)
        addend_exponent = Signal(PE_EXPONENT_BITS, reset_less=True)
        aligned_exponent = Signal(PE_EXPONENT_BITS, reset_less=True)
        (digit,) = self._delayed(m, 2, "digit")
        m.d.comb += add.terms.eq(Cat(*aligned))
        m.d.sync += [
            aligned_exponent.eq(largest),
            addend_exponent.eq(aligned_exponent),
            addend.eq(add.total << digit),
        ]

        # Both the running sum and what is added to it are aligned to the larger exponent.
        valid, first, ends, whole = self._delayed(m, 3, "valid", "first", "ends", "whole")
        mantissa = Signal(shape(config.group_sum), reset_less=True)
        exponent = Signal(PE_EXPONENT_BITS, reset_less=True)
        held = Signal.like(mantissa, name="held", reset_less=True)
        held_exponent = Signal.like(exponent, name="held_exponent", reset_less=True)
        m.submodules.accumulate = accumulate = AlignedAdder(
            config.group_sum.bits, len(addend), PE_EXPONENT_BITS, config.mantissa_bits,
            config.group_sum.bits, addend_high + (1 << config.mantissa_bits), config.rounding)
        m.d.comb += [
            accumulate.a.eq(Mux(first, 0, mantissa)),
            accumulate.a_exponent.eq(Mux(first, 0, exponent)),
            accumulate.b.eq(addend),
            accumulate.b_exponent.eq(addend_exponent),
            self.total.eq(held),
            self.exponent.eq(held_exponent),
        ]
        with m.If(valid):
            m.d.sync += [mantissa.eq(accumulate.total), exponent.eq(accumulate.total_exponent)]
        with m.If(valid & ends):
            m.d.sync += [held.eq(accumulate.total),
                         held_exponent.eq(accumulate.total_exponent + whole)]
        return m


class PE(wiring.Component):
    """Sums the terms of a group of products, and scales the sum bit by bit.

    Parameters
    ----------
    config : BitserialConfig

    Members
    -------
    activations, terms, digit, valid, first, ends, whole : In
        As of :class:`GroupSum`.
    scale_bit, negative, multiply, deliver : In(1)
        The bits of the group's scale, the highest first, while ``multiply``; its sign; with the
        last bit the product goes into the drain chain.
    fresh : In(1)
        It is the highest bit.
    drain_in, drain_out
        Scaled sum and its exponent, if it has one, in a chain that moves in every cycle.

    Timing
    ------
    The sum of a group is there for the first bit of its scale :attr:`latency` cycles after its
    last terms; 4 terms per cycle.
    """

    latency = GroupSum.latency
    chain: ClassVar = {"drain_in": "drain_out"}
    broadcast = ("terms", "digit", "valid", "first", "ends", "whole", "scale_bit", "negative",
                 "multiply", "deliver", "fresh")

    def __init__(self, config: BitserialConfig):
        self.config = config
        drain = config.scaled.bits + (0 if config.exact else PE_EXPONENT_BITS)
        super().__init__({
            "activations": In(LANES * activation_bits(config)), "terms": In(LANES * TERM_BITS),
            "digit": In(3), "valid": In(1), "first": In(1), "ends": In(1), "whole": In(1),
            "scale_bit": In(1), "negative": In(1), "multiply": In(1), "deliver": In(1),
            "fresh": In(1), "drain_in": In(drain), "drain_out": Out(drain),
        })

    def elaborate(self, platform):
        m = Module()
        config = self.config
        group_sum = IntegerGroupSum if config.exact else FloatGroupSum
        m.submodules.sum = sum_ = group_sum(config)
        for name in ("activations", "terms", "digit", "valid", "first", "ends", "whole"):
            m.d.comb += getattr(sum_, name).eq(getattr(self, name))

        # The sum of the group times its scale, bit by bit.
        held = sum_.total
        product = Signal(shape(config.scaled), reset_less=True)
        doubled = Signal(shape(config.scaled))
        step = Signal(shape(config.group_sum))
        carry = Signal()
        following = Signal(shape(config.scaled))
        m.d.comb += [
            doubled.eq(Mux(self.fresh, 0, product << 1)),
            step.eq(Mux(self.scale_bit, Mux(self.negative, ~held, held), 0)),
            carry.eq(self.scale_bit & self.negative),
            following.eq(doubled + step + carry),
        ]
        with m.If(self.multiply):
            m.d.sync += product.eq(following)
        drain = Signal(len(self.drain_out), reset_less=True)
        finished = following if config.exact else Cat(following, sum_.exponent)
        m.d.sync += drain.eq(Mux(self.deliver, finished, self.drain_in))
        m.d.comb += self.drain_out.eq(drain)
        return m
