"""Small parts in Amaranth's simulator."""

import random

import pytest
from amaranth.hdl import Module, Shape, Signal, signed
from amaranth.sim import Simulator

from systolith.hdl.arithmetic.multiplier import Multiplier
from systolith.hdl.bus import axi_stream
from systolith.hdl.structure.block_memory import BlockMemory
from systolith.hdl.structure.delay import Delay, Skew


def simulate(component, testbench):
    m = Module()
    m.submodules.part = component
    ticking = Signal()                                   # a clock also for what has no register
    m.d.sync += ticking.eq(~ticking)
    simulator = Simulator(m)
    simulator.add_clock(1e-6)
    simulator.add_testbench(testbench)
    simulator.run()


@pytest.mark.parametrize("source, sink", [(1, 1), (0.5, 0.5), (1, 0.2), (0.2, 1)])
def test_register_slice_keeps_every_beat(source, sink):
    part = axi_stream.RegisterSlice(axi_stream.Signature(8))
    rng, sent, taken, cycles = random.Random(1), [], [], 0

    async def testbench(ctx):
        nonlocal cycles
        offered = False
        held = None
        while len(taken) < 60:
            if not offered and len(sent) < 60 and rng.random() < source:
                offered = True
                ctx.set(part.i.data, len(sent) + 3)
            ctx.set(part.i.valid, offered)
            ready = rng.random() < sink
            ctx.set(part.o.ready, ready)
            valid, data = ctx.get(part.o.valid), ctx.get(part.o.data)
            assert held is None or (valid, data) == (1, held)
            held = data if valid and not ready else None
            if valid and ready:
                taken.append(data)
            if offered and ctx.get(part.i.ready):
                sent.append(len(sent) + 3)
                offered = False
            await ctx.tick()
            cycles += 1

    simulate(part, testbench)
    assert taken == sent == list(range(3, 63))
    assert (source, sink) != (1, 1) or cycles == 60 + 2      # after reset, and through the slice


@pytest.mark.parametrize("lanes, last_first", [(1, False), (2, True), (5, False), (7, True)])
def test_skew_delays_each_lane_by_its_number(lanes, last_first):
    part = Skew(lanes, 4, last_first=last_first)
    seen = {}

    async def testbench(ctx):
        ctx.set(part.i, sum(15 << 4 * lane for lane in range(lanes)))
        for cycle in range(lanes + 1):
            value = ctx.get(part.o)
            for lane in range(lanes):
                if value >> 4 * lane & 15:
                    seen.setdefault(lane, cycle)
            await ctx.tick()
            ctx.set(part.i, 0)

    simulate(part, testbench)
    expected = range(lanes)[::-1] if last_first else range(lanes)
    assert [seen[lane] for lane in range(lanes)] == list(expected)


@pytest.mark.parametrize("depth", [1, 2, 5])
def test_delay(depth):
    part = Delay(8, depth)

    async def testbench(ctx):
        for cycle in range(20):
            ctx.set(part.i, cycle + 1)
            assert ctx.get(part.o) == (cycle + 1 - depth if cycle >= depth else 0)
            await ctx.tick()

    simulate(part, testbench)


@pytest.mark.parametrize("signs", [(False, False), (False, True), (True, False), (True, True)])
@pytest.mark.parametrize("stages", [0, 2])
def test_multiplier_on_all_codes(signs, stages):
    a_shape, b_shape = Shape(3, signs[0]), Shape(4, signs[1])
    part = Multiplier(a_shape, b_shape, stages)
    assert part.latency == stages
    pairs = [(a, b) for a in range(-4 * signs[0], 8 - 4 * signs[0])
             for b in range(-8 * signs[1], 16 - 8 * signs[1])]

    async def testbench(ctx):
        for index in range(len(pairs) + stages):
            if index < len(pairs):
                ctx.set(part.a, pairs[index][0])
                ctx.set(part.b, pairs[index][1])
            if stages == 0:
                await ctx.delay(1e-9)
            if index >= stages:
                a, b = pairs[index - stages]
                assert ctx.get(part.p) == a * b
            await ctx.tick()

    simulate(part, testbench)


@pytest.mark.parametrize("stages", [0, 1])
def test_multiplier_keeps_an_operand(stages):
    part = Multiplier(signed(4), signed(4), stages, operand_registers=True, held="ab")
    assert part.latency == stages + 1
    seen, held = [], []

    async def testbench(ctx):
        for cycle in range(8):
            ctx.set(part.a, cycle - 4)
            ctx.set(part.b, cycle)
            ctx.set(part.b_enable, cycle == 3)
            await ctx.delay(1e-9)
            seen.append(ctx.get(part.p))
            held.append((ctx.get(part.a_held), ctx.get(part.b_held)))
            await ctx.tick()

    simulate(part, testbench)
    assert held[4:] == [(cycle - 5, 3) for cycle in range(4, 8)]
    assert seen[3 + part.latency:] == [3 * (cycle - 4) for cycle in range(3, 8 - part.latency)]


def test_block_memory():
    part = BlockMemory(8, 5)
    seen = []

    async def testbench(ctx):
        for cycle in range(12):
            ctx.set(part.write_address, cycle % 5)
            ctx.set(part.write_data, 10 + cycle)
            ctx.set(part.write_enable, cycle < 5)
            ctx.set(part.read_address, (cycle - 1) % 5)
            seen.append(ctx.get(part.read_data))
            await ctx.tick()

    simulate(part, testbench)
    assert seen[1 + part.latency:8] == [10, 11, 12, 13, 14]
