"""Two int8 products in one word: tokens that share a weight, packed for wide multiplier blocks.

A lane is :data:`LANE_BITS` wide: P = Σ w · (a₁ · 2^18 + a₀), so lane 0 is the low 18 bits of P,
signed, and lane 1 is P >> 18, plus 1 where lane 0 is negative. A chain of such sums keeps both
lanes in excess form,

    P = (lane₁ + 2^15) · 2^18 + (lane₀ + 2^15 + 2^17),

in which the low lane is never negative and so never borrows from the high one. Splitting a lane
into a signed 16-bit low part, which continues, and a high part, which is carried beside the chain,
then takes no logic but an inverter: the low part is in bits 15:0 and the high part in bits 17:16.
On top of a low part a lane holds four more products of any int8 factors, -128 · -128 included.
"""

from amaranth import Cat, Const, Module, Shape, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from systolith.hdl.arithmetic.multiplier import Multiplier

INT8 = Shape(8, signed=True)
LANE_BITS = 18
LOW_BITS = 16
WORD_BITS = 2 * LANE_BITS

#: Products of int8 that a lane takes on top of a low part.
MAX_TERMS = 4

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

    latency = 2

    def __init__(self, terms: int, lanes: int, technology: str = "generic", w_bits: int = 8):
        if lanes == 2 and terms > MAX_TERMS:
            raise ValueError(f"two lanes hold at most {MAX_TERMS} terms, not {terms}")
        self.terms, self.lanes, self.technology, self.w_bits = terms, lanes, technology, w_bits
        self.shape = products_shape(terms, lanes)
        self.module_name = f"packed_products_{terms}x{lanes}" + (
            f"_of_{w_bits}" if w_bits < 8 else "")
        super().__init__({"w": In(w_bits * terms), "a": In(8 * lanes * terms),
                          "total": Out(self.shape)})

    def elaborate(self, platform):
        m = Module()
        sums = []
        for lane in range(self.lanes):
            lane_sum = 0
            for term in range(self.terms):
                m.submodules[f"multiplier_{lane}_{term}"] = multiplier = Multiplier(
                    signed(self.w_bits), INT8, 1, self.technology)
                m.d.comb += [
                    multiplier.a.eq(self.w.word_select(term, self.w_bits)),
                    multiplier.b.eq(self.a.word_select(self.lanes * term + lane, 8)),
                ]
                lane_sum = multiplier.p + lane_sum
            sums.append(lane_sum)
        total = Signal.like(self.total, reset_less=True)
        m.d.sync += total.eq(sums[0] if self.lanes == 1
                             else Cat(Const(0, LANE_BITS), sums[1]).as_signed() + sums[0])
        m.d.comb += self.total.eq(total)
        return m


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
