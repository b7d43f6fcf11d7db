"""Counting the places of a buffer that is filled long after the decision to fill it."""

from amaranth import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from systolith.hdl.structure.select import select_late


class Credits(wiring.Component):
    """Counts free places of a buffer that is filled long after the decision to fill it.

    Members
    -------
    reserve : In(1)
        ``amount`` places are promised.
    freed : In(1)
        One place is free again.
    enough : Out(1)
        ``amount`` places are free; a register.
    any_used : Out(1)
        Some place is promised or filled.
    """

    def __init__(self, places: int, amount: int):
        if places < amount:
            raise ValueError(f"places must be at least {amount}, not {places}")
        self.places, self.amount = places, amount
        self.module_name = f"credits_{places}_by_{amount}"
        super().__init__({"reserve": In(1), "freed": In(1), "enough": Out(1), "any_used": Out(1)})

    def elaborate(self, platform):
        m = Module()
        # What is left is counted less the amount of the next reservation, so that a sign tells
        # whether there is enough. `reserve` and `freed`, which come late, only choose between sums.
        left = Signal(range(-self.amount, self.places - self.amount + 1),
                      init=self.places - self.amount)
        more = Signal.like(left)
        less = Signal.like(left)
        both = Signal.like(left)
        m.d.comb += [
            more.eq(left + 1),
            less.eq(left - self.amount),
            both.eq(left + (1 - self.amount)),
            self.enough.eq(~left[-1]),
            self.any_used.eq(left != left.init),
        ]
        m.d.sync += left.eq(select_late(self.reserve, Mux(self.freed, both, less),
                                        Mux(self.freed, more, left)))
        return m
