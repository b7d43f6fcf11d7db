"""One row of the matrix: unpack, add or subtract, sum up."""

from typing import ClassVar

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from systolith.hdl.arithmetic.products import AdderTree
from systolith.hdl.arithmetic.steps import shape, signal_of
from systolith.hdl.ternary.config import (
    BASE3_END,
    BYTE,
    CODE_MINUS,
    CODE_PLUS,
    INT8,
    WEIGHTS,
    TernaryConfig,
)


class Base3Decoder(wiring.Component):
    """Five weights of a byte Σ (t[i] + 1) · 3^i.

    Members
    -------
    code : In(8)
    plus, minus : Out(5)
        Weight i is 1, −1; 0 where neither is set.
    illegal : Out(1)
        The byte is 243 or more; its weights are 0.

    Timing
    ------
    Combinational.
    """

    def __init__(self):
        count = WEIGHTS["base3"]
        super().__init__({"code": In(BYTE.bits), "plus": Out(count), "minus": Out(count),
                          "illegal": Out(1)})

    def elaborate(self, platform):
        m = Module()
        m.d.comb += self.illegal.eq(self.code >= BASE3_END)
        rest = self.code
        for place in reversed(range(WEIGHTS["base3"])):
            # The digit is 0, 1 or 2; what is left is less than the worth of the digit.
            worth = 3**place
            two = signal_of(m, rest >= 2 * worth, f"two_{place}")
            some = signal_of(m, rest >= worth, f"some_{place}")
            m.d.comb += [
                self.plus[place].eq(two & ~self.illegal),
                self.minus[place].eq(~some & ~self.illegal),
            ]
            if place:
                left = Signal(range(worth), name=f"rest_{place}")
                m.d.comb += left.eq(rest - Mux(two, 2 * worth, Mux(some, worth, 0)))
                rest = left
        return m


class PairDecoder(wiring.Component):
    """Four weights of a byte of 2-bit codes: 00 is 0, 01 is 1, 11 is −1.

    Members and timing as of :class:`Base3Decoder`; code 10 is illegal, its weight 0.
    """

    def __init__(self):
        count = WEIGHTS["2bit"]
        super().__init__({"code": In(BYTE.bits), "plus": Out(count), "minus": Out(count),
                          "illegal": Out(1)})

    def elaborate(self, platform):
        m = Module()
        codes = [self.code.word_select(place, 2) for place in range(len(self.plus))]
        m.d.comb += [
            self.plus.eq(Cat(code == CODE_PLUS for code in codes)),
            self.minus.eq(Cat(code == CODE_MINUS for code in codes)),
            self.illegal.eq(Cat(code == CODE_MINUS - CODE_PLUS for code in codes).any()),
        ]
        return m


DECODERS = {"base3": Base3Decoder, "2bit": PairDecoder}


class TernaryLane(wiring.Component):
    """Sums the activations of one row of weights, a word at a time.

    Parameters
    ----------
    config : TernaryConfig

    Members
    -------
    codes : In(8 * word_bytes)
        Packed weights.
    illegal : Out(1)
        A byte of them was illegal; a cycle later.
    a : In(8 * word)
        The activations, a cycle after their weights.
    valid, first, capture : In(1)
        :attr:`controls_age` cycles after the weights: there is a word; it starts a new sum; the sum
        is finished with it and goes into the drain chain.
    drain_in, drain_out
        The drain chain, which moves in every cycle.

    Timing
    ------
    A finished sum is at ``drain_out`` :meth:`latency` cycles after the weights of its last word.
    """

    chain: ClassVar = {"drain_in": "drain_out"}
    broadcast = ("a", "valid", "first", "capture")
    #: From the weights to their activations.
    a_age = 1

    def __init__(self, config: TernaryConfig):
        self.config = config
        total = shape(config.dot)
        super().__init__({
            "codes": In(BYTE.bits * config.word_bytes), "illegal": Out(1),
            "a": In(INT8.bits * config.word),
            "valid": In(1), "first": In(1), "capture": In(1),
            "drain_in": In(total), "drain_out": Out(total),
        })

    @staticmethod
    def tree_stages(config: TernaryConfig) -> int:
        """Registers in the adder tree: after every second level, and behind it."""
        return -(-(config.word - 1).bit_length() // 2)

    @classmethod
    def controls_age(cls, config: TernaryConfig) -> int:
        """Cycles from the weights to the sum of their word: they are unpacked, and masked."""
        return 2 + cls.tree_stages(config)

    @classmethod
    def latency(cls, config: TernaryConfig) -> int:
        return cls.controls_age(config) + 1

    def elaborate(self, platform):
        m = Module()
        config = self.config
        plus = Signal(config.word, reset_less=True)
        minus = Signal(config.word, reset_less=True)
        illegal = Signal(reset_less=True)
        count = WEIGHTS[config.packing]
        bad = []
        for place in range(config.word_bytes):
            m.submodules[f"decode_{place}"] = decode = DECODERS[config.packing]()
            m.d.comb += decode.code.eq(self.codes.word_select(place, BYTE.bits))
            m.d.sync += [
                plus.word_select(place, count).eq(decode.plus),
                minus.word_select(place, count).eq(decode.minus),
            ]
            bad.append(decode.illegal)
        m.d.sync += illegal.eq(Cat(*bad).any())
        m.d.comb += self.illegal.eq(illegal)

        # A negative is the complement and a carry. The adders of the tree take all carries but
        # one, which the running sum takes.
        stages = self.tree_stages(config)
        m.submodules.tree = tree = AdderTree(INT8, config.word, stages, carries=True)
        terms = Signal(len(self.a), reset_less=True)
        carries = Signal(config.word, reset_less=True)
        for lane in range(config.word):
            a = self.a.word_select(lane, INT8.bits)
            m.d.sync += terms.word_select(lane, INT8.bits).eq(
                Mux(minus[lane], ~a, Mux(plus[lane], a, 0)))
        m.d.sync += carries.eq(minus)
        m.d.comb += [tree.terms.eq(terms), tree.carries.eq(carries[1:])]
        carry = carries[0]
        for stage in range(stages):
            later = Signal(name=f"carry_{stage + 1}", reset_less=True)
            m.d.sync += later.eq(carry)
            carry = later

        total = Signal(shape(config.dot), reset_less=True)
        added = Signal(total.shape())
        m.d.comb += added.eq(Mux(self.first, 0, total) + tree.total + carry)
        with m.If(self.valid):
            m.d.sync += total.eq(added)
        drain = Signal(total.shape(), reset_less=True)
        m.d.sync += drain.eq(Mux(self.capture, added, self.drain_in))
        m.d.comb += self.drain_out.eq(drain)
        return m
