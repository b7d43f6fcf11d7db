"""Decoders and traffic of the ternary core: every byte, bad frames, and what comes out all the
same."""

from dataclasses import replace

import numpy as np
import pytest
from amaranth.hdl import Module
from amaranth.sim import Simulator

from systolith.generators import registry
from systolith.generators.core import elaborate, write
from systolith.hdl.arithmetic.products import AdderTree
from systolith.hdl.formats import IntegerFormat
from systolith.hdl.ternary.lane import DECODERS
from systolith.sim.frames import Beats
from systolith.sim.model import Workload
from systolith.sim.simulators import cxxrtl
from systolith.sim.simulators.core import Core
from systolith.sim.simulators.harness import Pauses
from systolith.sim.ternary import MODEL, unpack

VALUES = {"rows": 2, "word": 5, "a_lanes": 1, "max_k": 15, "a_format": "int16"}
PAUSED = {name: Pauses(0.3, 0.3) for name in "awy"}
RNG = np.random.default_rng(5)
A, W = RNG.integers(-9, 10, (1, 15)), RNG.integers(-1, 2, (2, 15))         # three words
A[0, 0] = 127                                                              # nothing is rounded


@pytest.mark.parametrize("packing", DECODERS)
def test_every_byte(packing):
    decode = DECODERS[packing]()
    m = Module()
    m.submodules.decode = decode

    async def testbench(ctx):
        for code in range(256):
            ctx.set(decode.code, code)
            await ctx.delay(1e-9)
            plus, minus = ctx.get(decode.plus), ctx.get(decode.minus)
            got = [(plus >> i & 1) - (minus >> i & 1) for i in range(len(decode.plus))]
            assert plus & minus == 0
            assert got == unpack(packing, np.array([[code]]))[0].tolist()
            illegal = code >= 243 if packing == "base3" else "10" in (
                f"{code >> 2 * i & 3:02b}" for i in range(4))
            assert ctx.get(decode.illegal) == illegal

    simulator = Simulator(m)
    simulator.add_testbench(testbench)
    simulator.run()


@pytest.mark.parametrize("number", [IntegerFormat(3, True), IntegerFormat(3, False)], ids=str)
@pytest.mark.parametrize("count, stages", [(2, 0), (5, 2), (8, 3), (20, 1)])
def test_adder_tree_takes_carries(number, count, stages):
    tree = AdderTree(number, count, stages, carries=True)
    rng = np.random.default_rng(count)
    ends = [[number.code_low] * count, [number.code_high] * count]
    cases = [*ends, *rng.integers(number.code_low, number.code_high + 1, (10, count)).tolist()]

    async def testbench(ctx):
        for terms in cases:
            for carries in (0, (1 << count - 1) - 1, int(rng.integers(1 << count - 1))):
                ctx.set(tree.terms, sum((term & 7) << 3 * i for i, term in enumerate(terms)))
                ctx.set(tree.carries, carries)
                if stages:
                    await ctx.tick().repeat(stages)
                await ctx.delay(1e-9)
                assert ctx.get(tree.total) == sum(terms) + carries.bit_count()

    m = Module()
    m.submodules.tree = tree
    simulator = Simulator(m)
    if stages:
        simulator.add_clock(1e-6)
    simulator.add_testbench(testbench)
    simulator.run()


@pytest.fixture(scope="module")
def simulator(tmp_path_factory):
    template, folder = registry.get("ternary"), tmp_path_factory.mktemp("core")
    core = elaborate(template, template.config.parse(VALUES), "core")
    write(core, folder)
    with cxxrtl.simulator(Core.read(folder / "core.v", folder / "core.json",
                                    core.model)) as simulator:
        yield simulator


@pytest.mark.parametrize("pauses", [{}, PAUSED], ids=["full speed", "pauses"])
@pytest.mark.parametrize("stream, length, first, flags", [
    ("a", 7, A[:, :7] @ W[:, :7].T, ["w_long"]),
    ("a", 20, A @ W.T, ["a_long"]),
    ("w", 2, A[:, :10] @ W[:, :10].T, ["w_short"]),
    ("w", 1, A[:, :5] @ W[:, :5].T, ["w_short"]),
    ("w", 5, A @ W.T, ["w_long"]),
], ids=str)
def test_frames_of_a_wrong_length(simulator, pauses, stream, length, first, flags):
    """The frames after the wrong ones are right."""
    config = registry.get("ternary").config.parse(VALUES)
    job = MODEL.pack(config, MODEL.check(config, Workload("", {"a": A, "w": W})))
    wrong = dict(job.inputs)
    beats = wrong[stream]
    wrong[stream] = Beats.frame(np.resize(beats.data, (length, beats.data.shape[1])),
                                int(beats.user[0]))
    inputs = {name: Beats.join([wrong[name], job.inputs[name]], 0) for name in job.inputs}
    result = simulator.run(replace(job, inputs=inputs, outputs={"y": 4}), pauses=pauses)
    assert [name for bit, (name, _) in enumerate(config.flags)
            if result.flags >> bit & 1] == flags
    assert result.beats["y"].last.tolist() == [False, True] * 2
    np.testing.assert_array_equal(result.beats["y"].data.reshape(2, 1, 2) // 127,
                                  [first, A @ W.T])
