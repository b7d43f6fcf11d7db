"""Delays: shift registers, and the triangles that skew and de-skew the lanes of a systolic mesh."""

from amaranth import Cat, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out


class Delay(wiring.Component):
    """Shift register.

    Parameters
    ----------
    width : int
        Bits of ``i`` and ``o``.
    depth : int
        Latency in cycles, at least 1.
    reset : bool
        Whether ``rst`` clears it, as control bits need and data do not.
    """

    def __init__(self, width: int, depth: int, *, reset: bool = False):
        self.width, self.latency, self.reset = width, depth, reset
        self.module_name = f"delay_{depth}x{width}"
        super().__init__({"i": In(width), "o": Out(width)})

    def elaborate(self, platform):
        m = Module()
        line = Signal(self.width * self.latency, reset_less=not self.reset)
        m.d.sync += line.eq(Cat(self.i, line))
        m.d.comb += self.o.eq(line[-self.width:])
        return m


class Skew(wiring.Component):
    """Delays lane i by i cycles, or by ``lanes - 1 - i``, times a pitch.

    The delay of a lane is the sum of the powers of two in its number, so that the lanes share one
    shift register for each power; every lane has exactly as many registers as its delay.

    Parameters
    ----------
    lanes : int
    width : int
        Bits of a lane.
    last_first : bool
        The last lane is not delayed and lane 0 the most, instead of the other way round.
    pitch : int
        Cycles from lane to lane.
    """

    def __init__(self, lanes: int, width: int, *, last_first: bool = False, pitch: int = 1):
        self.lanes, self.width, self.last_first, self.pitch = lanes, width, last_first, pitch
        self.module_name = (f"skew_{lanes}x{width}" + (f"_by_{pitch}" if pitch > 1 else "")
                            + ("_last_first" if last_first else ""))
        super().__init__({"i": In(lanes * width), "o": Out(lanes * width)})

    def delay(self, lane: int) -> int:
        """Latency of a lane in cycles."""
        return (self.lanes - 1 - lane if self.last_first else lane) * self.pitch

    def elaborate(self, platform):
        m = Module()
        lanes = [self.i[lane * self.width:(lane + 1) * self.width] for lane in range(self.lanes)]
        longest = (self.lanes - 1) * self.pitch
        for power in reversed(range(longest.bit_length())):
            depth = 1 << power
            delayed = [lane for lane in range(self.lanes) if self.delay(lane) & depth]
            if not delayed:
                continue
            before = Cat(*(lanes[lane] for lane in delayed))
            line = Signal(len(before) * depth, name=f"line_{depth}", reset_less=True)
            m.d.sync += line.eq(Cat(before, line))
            after = line[-len(before):]
            for index, lane in enumerate(delayed):
                lanes[lane] = after[index * self.width:(index + 1) * self.width]
        m.d.comb += self.o.eq(Cat(*lanes))
        return m
