"""The processing element: 4 products of activations and terms per cycle."""

from typing import ClassVar

from amaranth import Cat, Module, Mux, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from systolith.hdl.arithmetic.decoders import FloatDecoder
from systolith.hdl.arithmetic.products import AdderTree
from systolith.hdl.arithmetic.steps import shape, signal_of
from systolith.hdl.bitserial.alignment import AlignedAdder, RoundingShifter
from systolith.hdl.bitserial.config import LANES, BitserialConfig
from systolith.hdl.bitserial.encoder import TERM_BITS
from systolith.hdl.formats import FP16, IntegerFormat

#: Of an exponent in a PE: 42 in a product, 45 in a sum of 256 weights.
PE_EXPONENT_BITS = 6
SIGNIFICAND_BITS = 1 + FP16.fraction_bits
#: Of a decoded activation: significand, exponent, sign.
ACTIVATION_BITS = SIGNIFICAND_BITS + FP16.exponent_bits + 1


class ActivationDecoder(wiring.Component):
    """Splits the activations of a row; subnormals have exponent 1, Inf and NaN count as 0.

    Members
    -------
    codes : In(4 * 16)
    words : Out(4 * ACTIVATION_BITS)
    not_finite : Out(1)

    Timing
    ------
    Combinational.
    """

    latency = 0

    def __init__(self):
        super().__init__({"codes": In(LANES * FP16.bits), "words": Out(LANES * ACTIVATION_BITS),
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


class PE(wiring.Component):
    """Sums the terms of a group of products, and scales the sum bit by bit.

    Parameters
    ----------
    config : BitserialConfig

    Members
    -------
    activations : In(4 * ACTIVATION_BITS)
    terms : In(4 * TERM_BITS)
    digit : In(3)
        The terms count 2^digit.
    valid, first, ends : In(1)
        There are terms; they start a group; they finish it.
    whole : In(1)
        With ``ends``: the weights are in units of 1, not of 0.5.
    scale_bit, negative, multiply, deliver : In(1)
        The bits of the group's scale, the highest first, while ``multiply``; its sign; with the
        last bit the product goes into the drain chain.
    fresh : In(1)
        It is the highest bit.
    drain_in, drain_out
        Scaled sum and exponent, in a chain that moves in every cycle.

    Timing
    ------
    The sum of a group is there for the first bit of its scale :attr:`latency` cycles after its
    last terms; 4 terms per cycle.
    """

    latency = 3
    chain: ClassVar = {"drain_in": "drain_out"}
    broadcast = ("terms", "digit", "valid", "first", "ends", "whole", "scale_bit", "negative",
                 "multiply", "deliver", "fresh")

    def __init__(self, config: BitserialConfig):
        self.config = config
        drain = config.scaled.bits + PE_EXPONENT_BITS
        super().__init__({
            "activations": In(LANES * ACTIVATION_BITS), "terms": In(LANES * TERM_BITS),
            "digit": In(3), "valid": In(1), "first": In(1), "ends": In(1), "whole": In(1),
            "scale_bit": In(1), "negative": In(1), "multiply": In(1), "deliver": In(1),
            "fresh": In(1), "drain_in": In(drain), "drain_out": Out(drain),
        })

    def elaborate(self, platform):
        m = Module()
        config = self.config

        # Exponents of the products, and how far each is from the largest.
        exponents, distances, products = [], [], []
        for lane in range(LANES):
            word = self.activations.word_select(lane, ACTIVATION_BITS)
            term = self.terms.word_select(lane, TERM_BITS)
            present = term[0]
            exponent = Signal(PE_EXPONENT_BITS, name=f"exponent_{lane}")
            total = word[SIGNIFICAND_BITS:-1] + term[1:3]
            m.d.comb += exponent.eq(Mux(present, total, 0) if config.mask_zero_lanes else total)
            exponents.append(exponent)
            products.append((Mux(present, word[:SIGNIFICAND_BITS], 0), word[-1] ^ term[3]))
        pairs = [signal_of(m, Mux(left > right, left, right), f"larger_{index}")
                 for index, (left, right) in enumerate(zip(exponents[::2], exponents[1::2],
                                                           strict=True))]
        largest = signal_of(m, Mux(pairs[0] > pairs[1], *pairs), "largest")
        largest_1 = Signal.like(largest, reset_less=True)
        m.d.sync += largest_1.eq(largest)
        aligned = []
        for lane, (significand, sign) in enumerate(products):
            distance = Signal(PE_EXPONENT_BITS, name=f"distance_{lane}", reset_less=True)
            product = Signal(SIGNIFICAND_BITS, name=f"product_{lane}", reset_less=True)
            negative = Signal(name=f"negative_{lane}", reset_less=True)
            m.d.sync += [distance.eq(largest - exponents[lane]), product.eq(significand),
                         negative.eq(sign)]
            distances.append(distance)

            # Aligned magnitudes, then two's complement.
            bits = config.mantissa_bits
            m.submodules[f"align_{lane}"] = shift = RoundingShifter(
                bits + 1, (1 << PE_EXPONENT_BITS) - 1, config.rounding)
            m.d.comb += [
                shift.word.eq(product << config.guard),
                shift.amount.eq(distance),
            ]
            value = Signal(signed(bits + 1), name=f"aligned_{lane}")
            m.d.comb += value.eq(Mux(negative, -shift.result, shift.result))
            aligned.append(value)
        high = (1 << config.mantissa_bits) - 1
        m.submodules.add = add = AdderTree(IntegerFormat.holding(-high, high), LANES)
        dot = Signal(shape(add.format), reset_less=True)
        largest_2 = Signal.like(largest, reset_less=True)
        m.d.comb += add.terms.eq(Cat(*aligned))
        m.d.sync += [dot.eq(add.total), largest_2.eq(largest_1)]

        # Control bits and the weight of the digit, beside them.
        valid, first, ends, digit, whole = (self.valid, self.first, self.ends, self.digit,
                                              self.whole)
        for stage in (1, 2):
            registers = [Signal(len(bit), name=f"{name}_{stage}", reset_less=name != "valid")
                         for name, bit in (("valid", valid), ("first", first), ("ends", ends),
                                           ("digit", digit), ("whole", whole))]
            m.d.sync += [register.eq(bit) for register, bit in
                         zip(registers, (valid, first, ends, digit, whole), strict=True)]
            valid, first, ends, digit, whole = registers

        # Both the running sum and what is added to it are aligned to the larger exponent.
        mantissa = Signal(shape(config.mantissa), reset_less=True)
        exponent = Signal(PE_EXPONENT_BITS, reset_less=True)
        digit_high = 6
        addend_high = LANES * high << digit_high
        addend = Signal(range(-addend_high, addend_high + 1))
        m.submodules.accumulate = accumulate = AlignedAdder(
            config.mantissa.bits, len(addend), PE_EXPONENT_BITS, config.mantissa_bits,
            config.mantissa.bits, addend_high + (1 << config.mantissa_bits), config.rounding)
        m.d.comb += [
            addend.eq(dot << digit),
            accumulate.a.eq(Mux(first, 0, mantissa)),
            accumulate.a_exponent.eq(Mux(first, 0, exponent)),
            accumulate.b.eq(addend),
            accumulate.b_exponent.eq(largest_2),
        ]
        with m.If(valid):
            m.d.sync += [mantissa.eq(accumulate.total), exponent.eq(accumulate.total_exponent)]

        # The sum of the group times its scale, bit by bit.
        held = Signal(shape(config.mantissa), reset_less=True)
        held_exponent = Signal(PE_EXPONENT_BITS, reset_less=True)
        with m.If(valid & ends):
            m.d.sync += [held.eq(accumulate.total),
                         held_exponent.eq(accumulate.total_exponent + whole)]
        product = Signal(shape(config.scaled), reset_less=True)
        doubled = Signal(shape(config.scaled))
        step = Signal(shape(config.mantissa))
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
        m.d.sync += drain.eq(Mux(self.deliver, Cat(following, held_exponent), self.drain_in))
        m.d.comb += self.drain_out.eq(drain)
        return m
