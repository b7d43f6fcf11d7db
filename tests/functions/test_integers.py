# amaranth: UnusedElaboratable=no
"""Exact division and square roots in Amaranth against Python."""

import math

import numpy as np
import pytest
from amaranth.sim import Simulator

from systolith.hdl.arithmetic.division import Divider, SerialDivider
from systolith.hdl.arithmetic.square_root import SquareRoot
from systolith.sim import functions


def pairs(dividend_bits, divisor_bits):
    grid = np.meshgrid(np.arange(1 << dividend_bits), np.arange(1 << divisor_bits))
    return [part.ravel() for part in grid]


@pytest.mark.parametrize("dividend_bits, divisor_bits, bits_per_stage",
                         [(6, 4, 1), (5, 6, 2), (4, 1, 4), (1, 3, 1), (7, 3, 3)])
def test_divider_on_all_pairs(dividend_bits, divisor_bits, bits_per_stage, evaluate):
    dividend, divisor = pairs(dividend_bits, divisor_bits)
    part = Divider(dividend_bits, divisor_bits, bits_per_stage)
    out = evaluate(part, dividend=dividend, divisor=divisor)
    quotient, remainder = functions.divide(dividend, divisor, dividend_bits, divisor_bits)
    assert (out["quotient"] == quotient).all()
    assert (out["remainder"] == remainder).all()
    assert part.latency == math.ceil(dividend_bits / bits_per_stage)


def test_divider_on_wide_numbers(evaluate):
    random = np.random.default_rng(2)
    dividend = random.integers(0, 1 << 33, 300)
    divisor = random.integers(0, 1 << random.integers(1, 27, 300))
    out = evaluate(Divider(33, 26, 4), dividend=dividend, divisor=divisor)
    quotient, remainder = functions.divide(dividend, divisor, 33, 26)
    assert (out["quotient"] == quotient).all()
    assert (out["remainder"] == remainder).all()


@pytest.mark.nightly
def test_divider_of_all_16_bit_pairs_of_8_bit_numbers(evaluate):
    dividend, divisor = pairs(8, 8)
    out = evaluate(Divider(8, 8), dividend=dividend, divisor=divisor)
    quotient, remainder = functions.divide(dividend, divisor, 8, 8)
    assert (out["quotient"] == quotient).all() and (out["remainder"] == remainder).all()


def test_division_by_zero_is_as_documented():
    assert functions.divide(13, 0, 4, 3) == (15, 5)
    assert functions.divide(13, 3, 4, 3) == (4, 1)


@pytest.mark.parametrize("dividend_bits, divisor_bits", [(5, 3), (3, 5), (1, 1)])
def test_serial_divider(dividend_bits, divisor_bits):
    part = SerialDivider(dividend_bits, divisor_bits)
    dividends, divisors = pairs(dividend_bits, divisor_bits)
    wanted = list(zip(*functions.divide(dividends, divisors, dividend_bits, divisor_bits),
                      strict=True))

    async def testbench(ctx):
        for index, (dividend, divisor) in enumerate(zip(dividends, divisors, strict=True)):
            ctx.set(part.dividend, int(dividend))
            ctx.set(part.divisor, int(divisor))
            ctx.set(part.start, 1)
            await ctx.tick()
            ctx.set(part.start, 0)
            ctx.set(part.divisor, ~int(divisor))
            for _ in range(part.latency - 1):
                assert ctx.get(part.busy) and not ctx.get(part.done)
                await ctx.tick()
            assert ctx.get(part.done) and not ctx.get(part.busy)
            assert (ctx.get(part.quotient), ctx.get(part.remainder)) == wanted[index]
            if index % 3 == 0:                             # otherwise the next starts at once
                await ctx.tick()
                assert not ctx.get(part.done)
                assert (ctx.get(part.quotient), ctx.get(part.remainder)) == wanted[index]

    simulator = Simulator(part)
    simulator.add_clock(1e-6)
    simulator.add_testbench(testbench)
    simulator.run()


def test_serial_divider_starts_anew():
    part = SerialDivider(4, 4)

    async def testbench(ctx):
        for dividend, cycles in ((15, 2), (14, 5)):
            ctx.set(part.dividend, dividend)
            ctx.set(part.divisor, 3)
            ctx.set(part.start, 1)
            await ctx.tick()
            ctx.set(part.start, 0)
            for _ in range(cycles - 1):
                assert not ctx.get(part.done)
                await ctx.tick()
        assert ctx.get(part.done) and ctx.get(part.quotient) == 4 and ctx.get(part.remainder) == 2

    simulator = Simulator(part)
    simulator.add_clock(1e-6)
    simulator.add_testbench(testbench)
    simulator.run()


@pytest.mark.parametrize("width, bits_per_stage", [(10, 1), (9, 2), (1, 1), (2, 1), (7, 3), (8, 4)])
def test_square_root_of_every_input(width, bits_per_stage, evaluate):
    x = np.arange(1 << width)
    part = SquareRoot(width, bits_per_stage)
    out = evaluate(part, x=x)
    root, remainder = functions.square_root(x)
    assert (out["root"] == root).all()
    assert (out["remainder"] == remainder).all()
    assert part.latency == math.ceil(math.ceil(width / 2) / bits_per_stage)


@pytest.mark.parametrize("count", [pytest.param(200, id="fast"),
                                   pytest.param(1 << 16, id="nightly",
                                                marks=pytest.mark.nightly)])
def test_square_root_of_wide_inputs(count, evaluate):
    x = np.random.default_rng(3).integers(0, 1 << 16 if count < 1 << 16 else 1 << 31, count)
    x = np.concatenate([x, [(1 << 31) - 1, 0, 46340**2, 46340**2 - 1]])
    out = evaluate(SquareRoot(31), x=x)
    root, remainder = functions.square_root(x)
    assert (out["root"] == root).all() and (out["remainder"] == remainder).all()
    assert (root == np.floor(np.sqrt(x.astype(float)))).all()


@pytest.mark.parametrize("make, message", [
    (lambda: Divider(0, 3), "dividend_bits must be at least 1, not 0"),
    (lambda: SerialDivider(3, 0), "divisor_bits must be at least 1, not 0"),
    (lambda: Divider(3, 3, 0), "bits_per_stage must be at least 1, not 0"),
    (lambda: SquareRoot(0), "width must be at least 1, not 0"),
])
def test_messages(make, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        make()
