"""Counting ones, against Python's own."""

import random

import pytest
from amaranth.hdl import Module, Signal
from amaranth.sim import Simulator

from systolith.hdl.arithmetic.popcount import Compressor, Popcount


def totals(part, words):
    """Sums of ``words`` in a row, one per cycle."""
    found = []

    async def testbench(ctx):
        for index in range(len(words) + part.latency):
            if index < len(words):
                ctx.set(part.bits, words[index])
            if part.latency == 0:
                await ctx.delay(1e-9)
            if index >= part.latency:
                found.append(ctx.get(part.total))
            await ctx.tick()

    m = Module()
    m.submodules.part = part
    ticking = Signal()                                   # a clock also for what has no register
    m.d.sync += ticking.eq(~ticking)
    simulator = Simulator(m)
    simulator.add_clock(1e-6)
    simulator.add_testbench(testbench)
    simulator.run()
    return found


@pytest.mark.parametrize("width, stages", [(1, 1), (2, 0), (3, 1), (5, 2), (8, 0), (8, 3)])
def test_every_word(width, stages):
    words = list(range(1 << width))
    assert totals(Popcount(width, stages), words) == [word.bit_count() for word in words]


@pytest.mark.parametrize("width, stages", [(32, 3), (33, 1), (64, 6), (127, 4), (256, 2)])
def test_wide_words(width, stages):
    rng = random.Random(width)
    words = [0, (1 << width) - 1, *(rng.getrandbits(width) for _ in range(50))]
    assert totals(Popcount(width, stages), words) == [word.bit_count() for word in words]


@pytest.mark.parametrize("heights, stages", [((1,), 1), ((0, 3), 0), ((8, 16, 8), 3),
                                             ((5, 0, 1, 9), 2)])
def test_columns_are_worth_powers_of_two(heights, stages):
    rng = random.Random(0)
    count = sum(heights)
    weights = [1 << column for column, height in enumerate(heights) for _ in range(height)]
    words = [0, (1 << count) - 1, *(rng.getrandbits(count) for _ in range(60))]
    want = [sum(weight for bit, weight in enumerate(weights) if word >> bit & 1) for word in words]
    part = Compressor(heights, stages)
    assert totals(part, words) == want
    assert max(want) == part.highest < 1 << len(part.total)


@pytest.mark.parametrize("heights", [(), (0, 0), (2, -1)])
def test_nothing_to_count_is_refused(heights):
    with pytest.raises(ValueError, match="heights must be counts of bits"):
        Compressor(heights)


def test_more_registers_than_levels_are_refused():
    assert Compressor.levels((3,)) == 2
    with pytest.raises(ValueError, match="stages must be 0 to 2, not 3"):
        Popcount(3, 3)
