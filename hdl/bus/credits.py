"""Counting the places of a buffer that is filled long after the decision to fill it."""

from amaranth import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out


class Credits(wiring.Component):
    """Counts free places of a buffer that is filled long after the decision to fill it.

    Members
    -------
    reserve : In(1)
        ``amount`` places are promised.
    freed : In(1)
        One place is free again.
    enough : Out(1)
        ``amount`` places are free.
    any_used : Out(1)
        Some place is promised or filled.
    """

    def __init__(self, places: int, amount: int):
        self.places, self.amount = places, amount
        self.module_name = f"credits_{places}_by_{amount}"
        super().__init__({"reserve": In(1), "freed": In(1), "enough": Out(1), "any_used": Out(1)})

    def elaborate(self, platform):
        m = Module()
        free = Signal(range(self.places + 1), init=self.places)
        taken = Signal(range(self.amount + 1))
        m.d.comb += [
            taken.eq(Mux(self.reserve, self.amount, 0)),
            self.enough.eq(free >= self.amount),
            self.any_used.eq(free != self.places),
        ]
        m.d.sync += free.eq(free - taken + self.freed)
        return m
