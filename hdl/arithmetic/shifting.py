"""Leading-one detection and shifts by a variable amount."""

from amaranth import Cat, Const, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from systolith.hdl.arithmetic.steps import check_stages, counter, signal_of


def chosen(word, places, step: int):
    """The word shifted right by as many times ``step`` as the one place that is hot says; 0 if none
    is."""
    result = Const(0, len(word))
    for place, hot in enumerate(places):
        kept = word[step * place:]
        result = result | (kept & hot.replicate(len(kept)))
    return result


def capped(value, bits: int):
    """A number of at least 0 in so many bits: all ones where it has more."""
    return value[:bits] | value[bits:].any().replicate(bits)


class LeadingZeros(wiring.Component):
    """Counts the zeros above the leading one.

    Parameters
    ----------
    width : int
        Bits of the word.
    stages : int
        Registers, 0 or 1: in the middle.

    Members
    -------
    word : In(width)
    count : Out(ceil(log2(width)))
        Zeros above the leading one; without meaning for a word of zeros.
    zero : Out(1)
        The word has no one.

    Timing
    ------
    Latency ``stages`` cycles, one word per cycle.
    """

    def __init__(self, width: int, stages: int = 0):
        check_stages(stages, 1)
        self.width, self.latency = width, stages
        self.levels = (width - 1).bit_length()
        super().__init__({"word": In(width), "count": Out(max(self.levels, 1)), "zero": Out(1)})

    def elaborate(self, platform):
        m = Module()
        # Padded below, a word keeps its leading zeros.
        word = Cat(Const(0, (1 << self.levels) - self.width), self.word)
        # A tree from the bits up: whether a part has no one, and the zeros above its leading one.
        parts = [(~word[index], Const(0, 0)) for index in range(1 << self.levels)]
        for level in range(self.levels):
            joined = []
            for index in range(0, len(parts), 2):
                (low_zero, low), (high_zero, high) = parts[index], parts[index + 1]
                place = f"{level + 1}_{index // 2}"
                joined.append((
                    signal_of(m, low_zero & high_zero, f"zero_{place}"),
                    signal_of(m, Cat(Mux(high_zero, low, high) if len(low) else low, high_zero),
                              f"count_{place}")))
            parts = joined
            if self.latency and level + 1 == (self.levels + 1) // 2:
                parts = [tuple(self._register(m, value) for value in part) for part in parts]
        (zero, count), = parts
        m.d.comb += [
            self.zero.eq(zero),
            self.count.eq(count),
        ]
        return m


    @staticmethod
    def _register(m: Module, value: Signal) -> Signal:
        register = Signal.like(value, name=f"{value.name}_held", reset_less=True)
        m.d.sync += register.eq(value)
        return register


class Shifter(wiring.Component):
    """Shifts a word by a variable amount, one multiplexer per bit of the amount.

    Parameters
    ----------
    width : int
        Bits of the word.
    most : int
        The largest amount.
    left : bool
        Direction.
    step : int
        How many bits an amount of 1 shifts.

    Members
    -------
    word : In(width)
    amount : In
        0 to ``most``, in steps.
    result : Out(width)
        The word shifted, filled with zeros.
    lost : Out(1)
        A one was shifted out.

    Timing
    ------
    Combinational.
    """

    latency = 0

    def __init__(self, width: int, most: int, *, left: bool, step: int = 1):
        self.width, self.most, self.left, self.step = width, most, left, step
        super().__init__({"word": In(width), "amount": In(counter(most)), "result": Out(width),
                          "lost": Out(1)})

    def elaborate(self, platform):
        m = Module()
        word, lost = self.word, Const(0, 1)
        for bit in range(len(self.amount)):
            distance = min(self.step << bit, self.width)
            if self.left:
                moved = Cat(Const(0, distance), word[:self.width - distance])
                out = word[self.width - distance:]
            else:
                moved = Cat(word[distance:], Const(0, distance))
                out = word[:distance]
            chosen = self.amount[bit]
            lost = signal_of(m, lost | (chosen & out.any()), f"lost_{distance}_{bit}")
            word = signal_of(m, Mux(chosen, moved, word), f"word_{distance}_{bit}")
        m.d.comb += [
            self.result.eq(word),
            self.lost.eq(lost),
        ]
        return m
