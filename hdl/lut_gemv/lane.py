"""One row of the matrix: look up, and add."""

from typing import ClassVar

from amaranth import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from systolith.hdl.arithmetic.steps import shape
from systolith.hdl.lut_gemv.config import ENTRIES, GROUP, LutGemvConfig


class LookupLane(wiring.Component):
    """Sums what indices find in the tables, plane after plane from the highest.

    Parameters
    ----------
    config : LutGemvConfig

    Members
    -------
    entries : In
        Entries 0 to 7 of a table.
    index : In(4)
        An index above 7 finds the negative of its complement's entry.
    valid, first, doubles, capture : In(1)
        There is a lookup; it starts a new sum; it starts a plane: what there is counts twice; the
        sum is finished with it and goes into the drain chain.
    drain_in, drain_out
        The drain chain, which moves in every cycle.

    Timing
    ------
    A finished sum is at ``drain_out`` 2 cycles after its last index.
    """

    chain: ClassVar = {"drain_in": "drain_out"}
    broadcast = ("entries", "valid", "first", "doubles", "capture")
    latency = 2

    def __init__(self, config: LutGemvConfig):
        self.config = config
        total = shape(config.lookups)
        super().__init__({
            "entries": In(ENTRIES * config.entry.bits), "index": In(GROUP),
            "valid": In(1), "first": In(1), "doubles": In(1), "capture": In(1),
            "drain_in": In(total), "drain_out": Out(total),
        })

    def elaborate(self, platform):
        m = Module()
        entry = shape(self.config.entry)
        mirrored = self.index[-1]
        place = Signal(GROUP - 1)
        found = Signal(entry)
        m.d.comb += place.eq(Mux(mirrored, ~self.index[:-1], self.index[:-1]))
        with m.Switch(place):
            for number in range(ENTRIES):
                with m.Case(number):
                    m.d.comb += found.eq(self.entries.word_select(number, entry.width))

        # A negative is the complement and a carry into the sum.
        term = Signal(entry, reset_less=True)
        carry = Signal(reset_less=True)
        valid, first, doubles, capture = (Signal(name=f"{name}_s1")
                                         for name in ("valid", "first", "doubles", "capture"))
        m.d.sync += [
            term.eq(Mux(mirrored, ~found, found)),
            carry.eq(mirrored),
            valid.eq(self.valid),
            first.eq(self.first),
            doubles.eq(self.doubles),
            capture.eq(self.capture),
        ]
        total = Signal(shape(self.config.lookups), reset_less=True)
        augend = Signal(total.shape())
        added = Signal(total.shape())
        m.d.comb += [
            augend.eq(Mux(first, 0, Mux(doubles, total << 1, total))),
            added.eq(augend + term + carry),
        ]
        with m.If(valid):
            m.d.sync += total.eq(added)
        drain = Signal(total.shape(), reset_less=True)
        m.d.sync += drain.eq(Mux(capture, added, self.drain_in))
        m.d.comb += self.drain_out.eq(drain)
        return m
