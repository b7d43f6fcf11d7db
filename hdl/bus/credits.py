"""Counting the places of a buffer that is filled long after the decision to fill it."""

from amaranth import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from systolith.hdl.structure.late_count import LateCount


class Credits(wiring.Component):
    """Counts free places of a buffer that is filled long after the decision to fill it.

    Members
    -------
    reserve : In(1)
        ``amount`` places are promised.
    freed : In(1)
        One place is free again.
    enough : Out(1)
        ``amount`` places are free; a choice between registers.
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
        left = LateCount(m, "left", self.freed, self.reserve, self.places, step=self.amount,
                         init=self.places)
        m.d.comb += [
            self.enough.eq(left.reaches(self.amount)),
            self.any_used.eq(~left.reaches(self.places)),
        ]
        return m
