"""Two int8 products in one word: tokens that share a weight, packed for wide multiplier blocks.

A lane is :data:`LANE_BITS` wide: P = Σ w · (a₁ · 2^18 + a₀), so lane 0 is the low 18 bits of P,
signed, and lane 1 is P >> 18, plus 1 where lane 0 is negative. A chain of such sums keeps both
lanes in excess form,

    P = (lane₁ + 2^15) · 2^18 + (lane₀ + 2^15 + 2^17),

in which the low lane is never negative and so never borrows from the high one. Splitting a lane
into a signed 16-bit low part, which continues, and a high part, which is carried beside the chain,
then takes no logic but an inverter: the low part is in bits 15:0 and the high part in bits 17:16.
On top of a low part a lane holds four more products of any int8 factors, -128 · -128 included.

What makes the products is a matter of the technology:

- Xilinx 7 series: a DSP48E1 for each weight. Its factor of 25 bits puts two tokens 16 bits apart,
  so two blocks in a cascade hold two products in each lane: from -32512 to 32768, which is why the
  cascade starts from :data:`CASCADE_BIAS`, and its low lane never borrows.
- iCE40 UltraPlus: the two multipliers of 8 by 8 bits of an SB_MAC16.
- ECP5: with weights of at most 4 bits one MULT18X18D. Two tokens 10 bits apart fill its factor, if
  the sign of the lower one stays outside; the product of its other bits with the weight has the
  sign of the weight, so 10 bits of it are enough. With int8 weights each token takes a block.
"""

from amaranth import Cat, Const, Module, Mux, Shape, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from systolith.hdl.arithmetic.multiplier import Multiplier, PairMultiplier
from systolith.hdl.primitives import xilinx

INT8 = Shape(8, signed=True)
LANE_BITS = 18
LOW_BITS = 16
WORD_BITS = 2 * LANE_BITS

#: Products of int8 that a lane takes on top of a low part.
MAX_TERMS = 4

#: Bits between the tokens in a factor of a DSP48E1, blocks in a cascade, and what it starts from.
DSP48_LANE, CASCADE, CASCADE_BIAS = 16, 2, 2 * 128 * 127

#: Bits between the tokens in a factor of a MULT18X18D, for weights of at most so many bits.
ECP5_LANE, ECP5_WEIGHT = 10, 4

#: A chain starts from this word: both lanes are zero.
ZERO = (1 << (LOW_BITS - 1)) * ((1 << LANE_BITS) + 1) + (1 << (LANE_BITS - 1))


class PackedProducts(wiring.Component):
    """Sum of a few products of a weight and the activations of one or two tokens.

    Parameters
    ----------
    terms : int
        Products per token.
    lanes : int
        Tokens: 2 gives a packed sum, 1 a plain one.
    technology : str
        As for :class:`Multiplier`.
    w_bits : int
        Of a weight, at most 8.

    Members
    -------
    w : In(w_bits * terms)
        Weights.
    a : In(8 * lanes * terms)
        Activations: of term i those of its tokens are at ``[8*lanes*i +: 8*lanes]``.
    total : Out
        The signed sum, not in excess form: Σ w · a, packed for two tokens.

    Timing
    ------
    Latency :attr:`latency` cycles, one sum per cycle.
    """

    def __init__(self, terms: int, lanes: int, technology: str = "generic", w_bits: int = 8):
        if lanes == 2 and terms > MAX_TERMS:
            raise ValueError(f"two lanes hold at most {MAX_TERMS} terms, not {terms}")
        self.terms, self.lanes, self.technology, self.w_bits = terms, lanes, technology, w_bits
        self.shape = products_shape(terms, lanes)
        self.module_name = f"packed_products_{terms}x{lanes}" + (
            f"_of_{w_bits}" if w_bits < 8 else "")
        super().__init__({"w": In(w_bits * terms), "a": In(8 * lanes * terms),
                          "total": Out(self.shape)})

    @property
    def latency(self) -> int:
        """Cycles from the factors to the sum."""
        return products_latency(self.terms, self.lanes, self.technology)

    def elaborate(self, platform):
        m = Module()
        if in_cascades(self.lanes, self.technology):
            sums = self._cascades(m)
        elif self.lanes == 2:
            pairs = [self._pair(m, term) for term in range(self.terms)]
            sums = [_sum(products) for products in zip(*pairs, strict=True)]
        else:
            sums = [_sum([self._single(m, term) for term in range(self.terms)])]
        total = Signal.like(self.total, reset_less=True)
        m.d.sync += total.eq(sums[0] if self.lanes == 1
                             else Cat(Const(0, LANE_BITS), sums[1]).as_signed() + sums[0])
        m.d.comb += self.total.eq(total)
        return m

    def weight(self, term: int):
        """A weight, signed."""
        return self.w.word_select(term, self.w_bits).as_signed()

    def token(self, term: int, lane: int):
        """The activation that a weight meets, signed."""
        return self.a.word_select(self.lanes * term + lane, INT8.width).as_signed()

    def _single(self, m: Module, term: int):
        """The product of one token, a register later."""
        m.submodules[f"multiplier_{term}"] = multiplier = Multiplier(
            signed(self.w_bits), INT8, 1, self.technology)
        m.d.comb += [multiplier.a.eq(self.weight(term)), multiplier.b.eq(self.token(term, 0))]
        return multiplier.p

    def _pair(self, m: Module, term: int):
        """The products of both tokens, a register later."""
        if self.technology == "ecp5" and self.w_bits <= ECP5_WEIGHT:
            return self._narrow_pair(m, term)
        m.submodules[f"multiplier_{term}"] = multiplier = PairMultiplier(
            signed(self.w_bits), INT8, 1, self.technology)
        m.d.comb += [
            multiplier.a.eq(self.weight(term)),
            multiplier.b.eq(Cat(self.token(term, 0), self.token(term, 1))),
        ]
        low, high = (multiplier.p.word_select(lane, multiplier.shape.width).as_signed()
                     for lane in range(2))
        return low, high + multiplier.carry if multiplier.packed else high

    def _narrow_pair(self, m: Module, term: int):
        """The same from one MULT18X18D, the weight having few bits."""
        low, high = self.token(term, 0), self.token(term, 1)
        m.submodules[f"multiplier_{term}"] = multiplier = Multiplier(
            signed(ECP5_LANE + INT8.width), signed(self.w_bits), 1, self.technology)
        weight = Signal(signed(self.w_bits), name=f"weight_{term}", reset_less=True)
        low_negative = Signal(name=f"low_negative_{term}", reset_less=True)
        m.d.comb += [
            multiplier.a.eq(Cat(low[:-1], Const(0, ECP5_LANE - low.shape().width + 1), high)),
            multiplier.b.eq(self.weight(term)),
        ]
        m.d.sync += [weight.eq(self.weight(term)), low_negative.eq(low[-1])]
        rest = multiplier.p[:ECP5_LANE]
        borrow = Signal(name=f"borrow_{term}")
        m.d.comb += borrow.eq(weight[-1] & rest.any())
        taken = Mux(low_negative, Cat(Const(0, INT8.width - 1), weight).as_signed(), 0)
        return (Cat(rest, borrow).as_signed() - taken,
                multiplier.p[ECP5_LANE:].as_signed() + borrow)

    def _cascades(self, m: Module):
        """The sums of each lane: DSP48E1 in cascades, a few cycles later."""
        lows, highs = [], []
        for first in range(0, self.terms, CASCADE):
            below = None
            terms = range(first, min(first + CASCADE, self.terms))
            for place, term in enumerate(terms):
                source = ({"c": Const(CASCADE_BIAS, 48), "opmode": xilinx.PRODUCT | xilinx.FROM_C}
                          if below is None else
                          {"pcin": below.pcout, "opmode": xilinx.PRODUCT | xilinx.FROM_CASCADE})
                high = Cat(Const(0, DSP48_LANE), self.token(term, 1)).as_signed()
                # The sum of the tokens is registered; above, the factors are once more before.
                below = xilinx.dsp48e1(
                    m, f"dsp48e1_{term}", a=self.token(term, 0), d=high, b=self.weight(term),
                    a_registers=place, d_register=bool(place), ad_register=True,
                    b_registers=1 + place, c_register=False, **source)
            lows.append(Cat(below.p[:DSP48_LANE], Const(0, 1)).as_signed() - CASCADE_BIAS)
            highs.append(below.p[DSP48_LANE:2 * DSP48_LANE + 1].as_signed())
        return _sum(lows), _sum(highs)


def _sum(values):
    total = values[0]
    for value in values[1:]:
        total = value + total
    return total


def in_cascades(lanes: int, technology: str) -> bool:
    """Whether multiplier blocks add up products themselves."""
    return lanes == 2 and technology == "xilinx7"


def products_latency(terms: int, lanes: int, technology: str) -> int:
    """Cycles from the factors to a sum of products."""
    # In a cascade: sum of two tokens, product, one sum after the other, all sums.
    return 3 + min(terms, CASCADE) if in_cascades(lanes, technology) else 2


def products_shape(terms: int, lanes: int) -> Shape:
    """Shape of a sum of products of int8, packed if there are two lanes."""
    return signed(WORD_BITS if lanes == 2 else 16 + (terms - 1).bit_length())


def low_part(word):
    """The word with both lanes reduced to their low parts, still in excess form."""
    return Cat(word[:LOW_BITS], Const(0b10, LANE_BITS - LOW_BITS),
               word[LANE_BITS:LANE_BITS + LOW_BITS], Const(0, LANE_BITS - LOW_BITS))


def high_parts(word):
    """The signed high parts of lanes 0 and 1, which :func:`low_part` takes away."""
    low_lane = Cat(word[LOW_BITS], ~word[LANE_BITS - 1]).as_signed()
    return low_lane, word[LANE_BITS + LOW_BITS:WORD_BITS].as_signed()


def lane_sum(word, lane: int, high):
    """A whole lane: its signed low part, and ``high`` high parts.

    The bits of the low part need no carry to be added: where it is negative, the bits above them
    are one less.
    """
    part = word[lane * LANE_BITS:lane * LANE_BITS + LOW_BITS]
    return Cat(part[:-1], ~part[-1], high - ~part[-1]).as_signed()
