"""Counting ones: carry-save compressor trees."""

from collections.abc import Sequence

from amaranth import Cat, Const, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from systolith.hdl.arithmetic.steps import Steps, check_stages, counter, signal_of


class Compressor(wiring.Component):
    """Exact sum of bits of different weights.

    Full adders turn three bits of a column into one of it and a carry to the next, level by level,
    until no column has more than two; one adder finishes.

    Parameters
    ----------
    heights : sequence of int
        Column i has that many bits, each worth 2^i. At least one column has a bit.
    stages : int
        Registers, 0 to :meth:`levels`, spread evenly; the last one is at the output.

    Members
    -------
    bits : In
        The bits of column 0, then those of column 1, …
    total : Out
        Unsigned, wide enough for all ones.

    Timing
    ------
    Latency ``stages`` cycles, one sum per cycle.
    """

    def __init__(self, heights: Sequence[int], stages: int = 0):
        if sum(heights) < 1 or min(heights) < 0:
            raise ValueError(f"heights must be counts of bits, not all zero, not {heights}")
        self.heights = tuple(heights)
        check_stages(stages, self.levels(heights))
        self.latency = stages
        #: The largest sum.
        self.highest = sum(height << column for column, height in enumerate(self.heights))
        super().__init__({"bits": In(sum(self.heights)), "total": Out(counter(self.highest))})

    @staticmethod
    def levels(heights: Sequence[int]) -> int:
        """Steps from the bits to their sum: levels of full adders, then the adder."""
        heights, levels = list(heights), 1
        while max(heights) > 2:
            carries = [0, *(height // 3 for height in heights)]
            heights = [height - 2 * (height // 3) for height in heights] + [0]
            heights = [height + carry for height, carry in zip(heights, carries, strict=True)]
            levels += 1
        return levels

    def elaborate(self, platform):
        m = Module()
        levels = self.levels(self.heights)
        steps = Steps(m, levels, self.latency)
        columns, start = [], 0
        for height in self.heights:
            columns.append(list(self.bits[start:start + height]))
            start += height
        for level in range(1, levels):
            columns = _compress(m, columns, level)
            columns = _cut(m, steps, columns, level)
        rows = [Cat(column[row] if row < len(column) else Const(0, 1) for column in columns)
                for row in range(2)]
        total = Signal.like(self.total, name="sum")
        m.d.comb += total.eq(rows[0] + rows[1])
        total, = steps.after(total)
        m.d.comb += self.total.eq(total)
        return m


class Popcount(Compressor):
    """Number of ones among ``width`` bits. See :class:`Compressor`."""

    def __init__(self, width: int, stages: int = 0):
        super().__init__((width,), stages)


def _compress(m: Module, columns: list[list], level: int) -> list[list]:
    """One level of full adders."""
    result = [[] for _ in range(len(columns) + 1)]
    for place, column in enumerate(columns):
        adders = len(column) // 3
        if adders:
            a, b, c = (Cat(*column[part:3 * adders:3]) for part in range(3))
            ones = signal_of(m, a ^ b ^ c, f"ones_{level}_{place}")
            twos = signal_of(m, (a & b) | (c & (a | b)), f"twos_{level}_{place}")
            result[place] += list(ones)
            result[place + 1] += list(twos)
        result[place] += column[3 * adders:]
    return result


def _cut(m: Module, steps: Steps, columns: list[list], level: int) -> list[list]:
    """End a step: all bits may pass a register."""
    bits = Cat(*(bit for column in columns for bit in column))
    whole, = steps.after(signal_of(m, bits, f"level_{level}"))
    result, start = [], 0
    for column in columns:
        result.append(list(whole[start:start + len(column)]))
        start += len(column)
    return result
