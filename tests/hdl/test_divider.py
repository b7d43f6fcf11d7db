"""Dividers in Amaranth's simulator, exhaustively at small widths."""

import pytest
from amaranth.sim import Simulator

from systolith.hdl.arithmetic.divider import DividerBank, PipelinedDivider

#: Numerator, divisor and quotient bits.
WIDTHS = [(4, 3, 3), (6, 3, 4), (3, 5, 2), (4, 4, 1)]


def cases(widths):
    numerator_bits, divisor_bits, quotient_bits = widths
    return [(numerator, divisor) for divisor in range(1, 1 << divisor_bits)
            for numerator in range(1 << numerator_bits) if numerator < divisor << quotient_bits]


@pytest.mark.parametrize("widths", WIDTHS)
@pytest.mark.parametrize("count", [0, 1, 2, 3])
def test_quotients_in_order_and_in_time(count, widths):
    bits = widths[2]
    part = DividerBank(count, *widths, 16) if count else PipelinedDivider(*widths, 16)
    todo, got, times = cases(widths), [], []

    async def testbench(ctx):
        sent = cycle = 0
        while len(got) < len(todo):
            ready = ctx.get(part.i_ready) if count else 1
            ctx.set(part.i_valid, sent < len(todo))
            if sent < len(todo):
                ctx.set(part.numerator, todo[sent][0])
                ctx.set(part.divisor, todo[sent][1])
                ctx.set(part.i_tag, sent)
                sent += ready
            if ctx.get(part.o_valid):
                got.append((ctx.get(part.o_tag), ctx.get(part.quotient)))
                times.append(cycle)
            await ctx.tick()
            cycle += 1

    simulator = Simulator(part)
    simulator.add_clock(1e-6)
    simulator.add_testbench(testbench)
    simulator.run()
    assert got == [(index, n // d) for index, (n, d) in enumerate(todo)]
    assert times[0] == part.latency == bits
    interval = max(1, bits / count) if count else 1
    assert times[-1] - times[0] <= interval * (len(todo) - 1) + bits


def test_widths_that_cannot_be():
    with pytest.raises(ValueError, match="a quotient of 4 bits does not come from 9 by 4 bits"):
        PipelinedDivider(9, 4, 4)
