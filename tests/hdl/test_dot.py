"""The streaming dot product in Amaranth's simulator, against its golden model."""

from itertools import islice

import numpy as np
import pytest
from amaranth.sim import Simulator

from systolith.hdl.dot.config import DotConfig
from systolith.hdl.dot.dot import Dot
from systolith.sim import frames
from systolith.sim.dot import MODEL
from systolith.sim.frames import Beats
from systolith.sim.model import Workload

CONFIGS = [{}, {"lanes": 1, "x_format": "uint8", "y_format": "int4"},
           {"lanes": 3, "x_format": "uint5", "y_format": "uint3", "acc_width": 10},
           {"lanes": 2, "x_format": "int16", "y_format": "int16", "acc_width": 64}]


def words(stream, beats):
    """Beats as the integers on a ``data`` member."""
    return [int.from_bytes(row.tobytes(), "little")
            for row in frames.to_bytes(stream, beats.data)]


def run(config, inputs, outputs, stall=0.0, seed=0):
    """Feed beats by stream name until ``outputs`` sums came; return sums, flags and cycles.

    Cycles run from the first input beat to the last output beat, both included.
    """
    dut, rng = Dot(config), np.random.default_rng(seed)
    streams = {stream.name: stream for stream in config.streams}
    sums, flags, moved = [], 0, []

    async def source(ctx, name):
        port, beats = getattr(dut, name), inputs[name]
        for word, last in zip(words(streams[name], beats), beats.last, strict=True):
            while rng.random() < stall:
                await ctx.tick()
            ctx.set(port.data, word)
            ctx.set(port.last, bool(last))
            ctx.set(port.valid, 1)
            await ctx.tick().until(port.ready)
            ctx.set(port.valid, 0)

    async def sink(ctx):
        while len(sums) < outputs:
            ctx.set(dut.z.ready, rng.random() >= stall)
            _, _, valid, ready, data, last = await ctx.tick().sample(
                dut.z.valid, dut.z.ready, dut.z.data, dut.z.last)
            if valid and ready:
                assert last
                octets = data.to_bytes(streams["z"].tdata_bits // 8, "little")
                beat = np.frombuffer(octets, np.uint8).reshape(1, -1)
                sums.append(frames.from_bytes(streams["z"], beat)[0, 0])

    async def watch(ctx):
        nonlocal flags
        cycle = 0
        async for _, _, seen, busy, *handshakes in ctx.tick().sample(
                dut.flags, dut.busy, *(signal for port in (dut.x, dut.y, dut.z)
                                       for signal in (port.valid, port.ready))):
            flags |= seen
            transfers = [bool(valid and ready)
                         for valid, ready in zip(handshakes[::2], handshakes[1::2], strict=True)]
            if any(transfers):
                moved.append(cycle)
            assert busy or not transfers[2]
            cycle += 1

    sim = Simulator(dut)
    sim.add_clock(1e-6)
    for name in inputs:
        async def feed(ctx, name=name):
            await source(ctx, name)
        sim.add_testbench(feed)
    sim.add_testbench(sink)
    sim.add_process(watch)
    sim.run_until(1e-6 * (200 + 20 * sum(map(len, inputs.values()))))
    assert len(sums) == outputs
    return np.array(sums), flags, moved[-1] - moved[0] + 1


@pytest.mark.parametrize("stall", [0, 0.4])
@pytest.mark.parametrize("values", CONFIGS, ids=str)
def test_sums_equal_the_golden_model(values, stall):
    config = DotConfig.parse({"max_beats": 16, **values})
    for seed, workload in enumerate(islice(MODEL.stimulus(config, np.random.default_rng(3)), 14)):
        job, expected = MODEL.pack(config, workload), MODEL.golden(config, workload)
        sums, flags, _ = run(config, job.inputs, job.outputs["z"], stall, seed)
        np.testing.assert_array_equal(expected["z"], sums, workload.label)
        assert expected["flags"] == flags, workload.label


@pytest.mark.parametrize("frames_, length", [(1, 1), (1, 9), (7, 4), (5, 6)])
def test_cycles_without_stalls(frames_, length):
    """Two of the cycles of the model are the register slices around the inside."""
    config = DotConfig.parse({})
    ones = np.ones((frames_, length), int)
    workload = MODEL.check(config, Workload("", {"x": ones, "y": ones}))
    job = MODEL.pack(config, workload)
    _, _, cycles = run(config, job.inputs, frames_)
    assert cycles == MODEL.cycles(config, workload) - 2


@pytest.mark.parametrize("longer, shorter, flag", [("x", "y", "x_long"), ("y", "x", "y_long")])
@pytest.mark.parametrize("stall", [0, 0.4])
def test_unequal_frames_are_flagged_and_the_next_is_right(longer, shorter, flag, stall):
    config = DotConfig.parse({"lanes": 1})
    column = np.arange(1, 6).reshape(-1, 1)
    after = Beats.frame(column)
    inputs = {longer: Beats.join([Beats.frame(column), after], 1),
              shorter: Beats.join([Beats.frame(column[:2]), after], 1)}
    sums, flags, _ = run(config, inputs, 2, stall)
    assert sums.tolist() == [1 + 4, 1 + 4 + 9 + 16 + 25]
    assert flags == 1 << [name for name, _ in config.flags].index(flag)
