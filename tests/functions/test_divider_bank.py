"""Dividers with short quotients, and banks of them, in Amaranth's simulator."""

import pytest
from amaranth.sim import Simulator

from systolith.hdl.arithmetic.divider_bank import DividerBank
from systolith.hdl.arithmetic.division import Divider

#: Dividend, divisor and quotient bits.
WIDTHS = [(4, 3, 3), (6, 3, 4), (3, 5, 2), (4, 4, 1)]


def cases(widths):
    dividend_bits, divisor_bits, quotient_bits = widths
    return [(dividend, divisor) for divisor in range(1, 1 << divisor_bits)
            for dividend in range(1 << dividend_bits) if dividend < divisor << quotient_bits]


@pytest.mark.parametrize("widths", WIDTHS)
def test_short_quotients(widths, evaluate):
    dividend_bits, divisor_bits, quotient_bits = widths
    part = Divider(dividend_bits, divisor_bits, quotient_bits=quotient_bits)
    dividend, divisor = zip(*cases(widths), strict=True)
    out = evaluate(part, dividend=dividend, divisor=divisor)
    assert out["quotient"].tolist() == [n // d for n, d in cases(widths)]
    assert out["remainder"].tolist() == [n % d for n, d in cases(widths)]
    assert part.latency == quotient_bits


@pytest.mark.parametrize("widths", WIDTHS)
@pytest.mark.parametrize("count", [1, 2, 5])
def test_a_bank_keeps_order_and_pace(count, widths):
    part, todo, got, times = DividerBank(count, *widths, 16), cases(widths), [], []

    async def testbench(ctx):
        sent = cycle = 0
        while len(got) < len(todo):
            ctx.set(part.valid, sent < len(todo))
            if sent < len(todo):
                for name, value in zip(("dividend", "divisor", "tag"), (*todo[sent], sent),
                                       strict=True):
                    ctx.set(getattr(part, name), value)
                sent += ctx.get(part.ready)
            if ctx.get(part.done):
                got.append((ctx.get(part.tag_out), ctx.get(part.quotient)))
                times.append(cycle)
            await ctx.tick()
            cycle += 1

    simulator = Simulator(part)
    simulator.add_clock(1e-6)
    simulator.add_testbench(testbench)
    simulator.run()
    assert got == [(index, n // d) for index, (n, d) in enumerate(todo)]
    latency = widths[2] + 1
    assert times[0] == latency
    assert times[-1] - times[0] <= max(1, latency / count) * (len(todo) - 1) + latency


@pytest.mark.parametrize("arguments, message", [
    ((9, 4, 1, 4), "quotient_bits must be 5 to 9, not 4"),
    ((9, 4, 2, 5), "quotient_bits must be a multiple of bits_per_stage = 2, not 5"),
])
def test_quotients_that_cannot_be(arguments, message):
    with pytest.raises(ValueError, match=message):
        Divider(*arguments)
