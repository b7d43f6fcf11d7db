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
        if places < amount:
            raise ValueError(f"places must be at least {amount}, not {places}")
        self.places, self.amount = places, amount
        self.module_name = f"credits_{places}_by_{amount}"
        super().__init__({"reserve": In(1), "freed": In(1), "enough": Out(1), "any_used": Out(1)})

    def elaborate(self, platform):
        m = Module()
        # Reservations are booked a cycle late. What would be left is known for both cases, less
        # the amount of the next reservation, so that a sign tells whether there is enough.
        booked = Signal()
        left = Signal(range(-2 * self.amount, self.places - self.amount + 1),
                      init=self.places - self.amount)
        left_if_booked = Signal.like(left, init=self.places - 2 * self.amount)
        change = Signal(range(-self.amount, 2))
        m.d.comb += [
            change.eq(Mux(booked, -self.amount, 0) + self.freed),
            self.enough.eq(~Mux(booked, left_if_booked[-1], left[-1])),
            self.any_used.eq(booked | (left != left.init)),
        ]
        m.d.sync += [
            booked.eq(self.reserve),
            left.eq(left + change),
            left_if_booked.eq(left_if_booked + change),
        ]
        return m
