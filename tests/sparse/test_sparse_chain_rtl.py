"""The sparse chain's RTL: packed lanes, bad streams, and breaks that its stimulus must show."""

import itertools
import re
from dataclasses import replace
from importlib.resources import files

import numpy as np
import pytest
from amaranth.hdl import Module, Signal
from amaranth.sim import Simulator

from systolith.generators import registry
from systolith.generators.core import elaborate, write
from systolith.hdl.arithmetic.packed_products import PackedProducts
from systolith.hdl.formats.patterns import Pattern
from systolith.hdl.sparse_chain.chain import GroupSum
from systolith.hdl.sparse_chain.config import SparseChainConfig
from systolith.sim.cases import draw, mismatch
from systolith.sim.frames import Beats
from systolith.sim.model import Workload
from systolith.sim.simulators import verilator
from systolith.sim.simulators.core import Core
from systolith.sim.simulators.errors import SimulationError
from systolith.sim.simulators.harness import Pauses
from systolith.sim.sparse import pack, prune, quantize
from systolith.sim.sparse_chain import MODEL

VALUES = {"chains": 1, "cells": 8, "max_m": 8, "max_speedup": 4, "max_tokens": 8,
          "buffer_depth": 16}
CONFIG = SparseChainConfig.parse(VALUES)
COLUMNS = CONFIG.block_columns
STALLS = {"a": Pauses(0.3, 0.3), "p": Pauses(0.4, 0.2), "w": Pauses(0.2, 0.3),
          "c": Pauses(0.1, 0.1)}


def simulate(component, testbench):
    m = Module()
    m.submodules.part = component
    ticking = Signal()
    m.d.sync += ticking.eq(~ticking)
    simulator = Simulator(m)
    simulator.add_clock(1e-6)
    simulator.add_testbench(testbench)
    simulator.run()


def octets(values):
    return sum((int(value) & 255) << 8 * place for place, value in enumerate(values))


# ---- packed lanes ----------------------------------------------------------------------------

def test_a_packed_product():
    """W = -3, A1 = 5, A0 = -7 gives P = -3932139: lanes 21 and -15."""
    part = PackedProducts(1, 2)

    async def testbench(ctx):
        ctx.set(part.w, octets([-3]))
        ctx.set(part.a, octets([-7, 5]))
        await ctx.tick().repeat(part.latency)
        assert ctx.get(part.total) == -3932139

    simulate(part, testbench)


@pytest.mark.parametrize("terms, lanes", [(1, 1), (1, 2), (2, 2), (3, 1), (4, 2)])
def test_sums_of_packed_products(terms, lanes):
    rng = np.random.default_rng(terms)
    extremes = list(itertools.product((-128, 127), repeat=3))
    steps = [([w] * terms, [[low] * terms, [high] * terms][:lanes]) for w, low, high in extremes]
    steps += [(rng.integers(-128, 128, terms).tolist(),
               rng.integers(-128, 128, (lanes, terms)).tolist()) for _ in range(200)]
    part = PackedProducts(terms, lanes)

    async def testbench(ctx):
        for weights, tokens in steps:
            ctx.set(part.w, octets(weights))
            ctx.set(part.a, octets(np.array(tokens).T.ravel()))
            await ctx.tick().repeat(part.latency)
            sums = np.array(tokens) @ weights
            assert ctx.get(part.total) == sum(int(x) << 18 * i for i, x in enumerate(sums))

    simulate(part, testbench)


def test_more_terms_than_a_lane_holds():
    with pytest.raises(ValueError, match="two lanes hold at most 4 terms, not 5"):
        PackedProducts(5, 2)


@pytest.mark.parametrize("group", [1, 2, 4])
def test_the_overflow_adjust_keeps_every_lane_apart(group):
    """A chain of one link, fed back: sums of groups at both ends of what a group can be."""
    config = SparseChainConfig.parse({"cells": 64, "group": group, "max_speedup": 1})
    part, rng = GroupSum(config), np.random.default_rng(group)
    low, high = -128 * 127 * group, 128 * 128 * group
    ends = [(low, low), (low, high), (high, low), (high, high), (-1, 0), (0, -1)]
    chains = [[end] * (64 // group) for end in ends]
    chains += [rng.integers(low, high + 1, (64 // group, 2)).tolist() for _ in range(10)]
    chains += [rng.choice([low, high], (64 // group, 2)).tolist() for _ in range(10)]

    async def testbench(ctx):
        width = config.segment_sum.bits
        for chain in chains:
            for link, (lane_0, lane_1) in enumerate(chain):
                ctx.set(part.products, lane_0 + (lane_1 << 18))
                ctx.set(part.start, link == 0)
                await ctx.tick()
                ctx.set(part.word_in, ctx.get(part.word_out))
                ctx.set(part.high_in, ctx.get(part.high_out))
            await ctx.tick()
            total = ctx.get(part.total)
            lanes = [total >> width * lane & (1 << width) - 1 for lane in range(2)]
            signed = [lane - (1 << width) * (lane >> width - 1) for lane in lanes]
            assert signed == np.sum(chain, axis=0).tolist()

    simulate(part, testbench)


# ---- bad streams -----------------------------------------------------------------------------

@pytest.fixture(scope="module")
def core(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sparse_chain")
    template = registry.get("sparse_chain")
    generated = elaborate(template, CONFIG, "core")
    write(generated, folder)
    files = Core.read(folder / "core.v", folder / "core.json", generated.model)
    with verilator.simulator(files) as simulator:
        yield simulator


@pytest.fixture
def work():
    """Three blocks along K and two column blocks, 2:4, seven tokens: two rounds, then one each."""
    rng = np.random.default_rng(7)
    w = prune(rng.integers(1, 128, (24, 2 * COLUMNS)), "2:4")
    return MODEL.check(CONFIG, Workload("", {"a": rng.integers(-128, 128, (8, 24)), "w": w,
                                             "patterns": "2:4"}))


def run(core, work, job, weights, *flags, a=None):
    """The job gives a · weights and the flags, with stalls and without; then ``work`` is right."""
    names = [name for name, _ in CONFIG.flags]
    a = work.arrays["a"] if a is None else a
    for pauses in ({}, STALLS):
        result = core.run(job, pauses=pauses, seed=1, patience=2000)
        c = MODEL.unpack(CONFIG, work, {"c": result.beats["c"].data})["c"]
        np.testing.assert_array_equal(c, a @ weights)
        assert {name for bit, name in enumerate(names) if result.flags >> bit & 1} == set(flags)
        after = core.run(MODEL.pack(CONFIG, work), pauses=pauses, patience=2000)
        golden = MODEL.golden(CONFIG, work)["c"]
        np.testing.assert_array_equal(
            MODEL.unpack(CONFIG, work, {"c": after.beats["c"].data})["c"], golden)
        assert after.flags == 0


def with_input(job, name, beats):
    return replace(job, inputs={**job.inputs, name: beats})


def without(beats, index):
    """The beat is missing; the one before it ends the frame."""
    keep = np.arange(len(beats)) != index
    last = beats.last.copy()
    last[index - 1] |= last[index]
    return Beats(beats.data[keep], last[keep], beats.user[keep])


def twice(beats, index):
    """The beat comes again, in the same frame."""
    order = np.sort(np.append(np.arange(len(beats)), index))
    last = beats.last[order]
    last[index] = False
    return Beats(beats.data[order], last, beats.user[order])


def changed(beats, index, lane, value):
    data = beats.data.copy()
    data[index, lane] = value
    return Beats(data, beats.last, beats.user)


def test_an_index_out_of_range_counts_with_its_low_bits(core, work):
    job = MODEL.pack(CONFIG, work)
    element = int(job.inputs["w"].data[1, 5])
    bad = changed(job.inputs["w"], 1, 5, element | 4 << 8)
    run(core, work, with_input(job, "w", bad), work.arrays["w"], "index_range")


def test_a_repeated_index_counts_twice(core, work):
    job = MODEL.pack(CONFIG, work)
    first, second = (int(job.inputs["w"].data[0, lane]) for lane in (0, 1))
    bad = changed(job.inputs["w"], 0, 1, second & 255 | first & ~255)
    w = work.arrays["w"].copy()
    w[second >> 8, 0] = 0
    w[first >> 8, 0] += np.int8(second & 255)
    run(core, work, with_input(job, "w", bad), w, "index_order")


@pytest.mark.parametrize("code", [
    3, 0xFF, Pattern(1, 8).code, Pattern(4, 16).code, Pattern(2, 4).code | 0x80])
def test_a_block_of_an_unknown_pattern_is_skipped(core, work, code):
    """None at all, faster than was built, groups larger than was built."""
    job = MODEL.pack(CONFIG, work)
    bad = changed(job.inputs["p"], 0, 1, code)
    w = work.arrays["w"].copy()
    w[8:16, :COLUMNS] = 0
    run(core, work, with_input(job, "p", bad), w, "pattern")


def test_a_truncated_block_ends_in_zeros(core, work):
    job = MODEL.pack(CONFIG, work)
    w = work.arrays["w"].copy()
    w[8:16, COLUMNS // 2:COLUMNS] = 0                     # its second beat
    run(core, work, with_input(job, "w", without(job.inputs["w"], 3)), w, "w_short")


def test_the_rest_of_a_long_block_is_dropped(core, work):
    job = MODEL.pack(CONFIG, work)
    run(core, work, with_input(job, "w", twice(job.inputs["w"], 3)), work.arrays["w"], "w_long")


def test_activations_that_end_within_a_block_of_k(core, work):
    job = MODEL.pack(CONFIG, work)
    a = work.arrays["a"].copy()
    a[6:, 16:] = 0
    run(core, work, with_input(job, "a", without(job.inputs["a"], 11)), work.arrays["w"],
        "a_short", a=a)


def test_more_activations_than_fit(core):
    full = MODEL.check(CONFIG, Workload("", {"a": np.arange(128)[None] - 60,
                                             "w": np.arange(128)[:, None] - 50}))
    job = MODEL.pack(CONFIG, full)
    assert len(job.inputs["a"]) == CONFIG.buffer_depth
    run(core, full, with_input(job, "a", twice(job.inputs["a"], 15)), full.arrays["w"], "a_long")


def test_more_rounds_than_were_built(core, work):
    job = MODEL.pack(CONFIG, work)
    bad = replace(job.inputs["a"], user=np.full(len(job.inputs["a"]), 3, np.uint64))
    run(core, work, with_input(job, "a", bad), work.arrays["w"], "a_rounds")


def test_blocks_without_pattern_bytes_are_skipped(core):
    w = np.ones((9 * 8, 1), int)
    work = MODEL.check(CONFIG, Workload("", {"a": np.arange(72)[None] - 9, "w": w}))
    job = MODEL.pack(CONFIG, work)
    job = with_input(with_input(job, "p", without(job.inputs["p"], 1)), "w",
                     Beats(*(part[:-4] for part in (job.inputs["w"].data, job.inputs["w"].last,
                                                    job.inputs["w"].user))))
    w = np.ones((72, 1), int)
    w[64:] = 0
    run(core, work, job, w, "p_short")


def test_a_block_beyond_the_activations_is_skipped(core, work):
    job = MODEL.pack(CONFIG, work)
    p, w = job.inputs["p"], job.inputs["w"]
    p = changed(p, 0, 6, Pattern(2, 4).code)
    w = Beats(np.insert(w.data, 6, 99, axis=0), np.insert(w.last, 6, True),
              np.insert(w.user, 6, 0))
    run(core, work, with_input(with_input(job, "p", p), "w", w), work.arrays["w"], "pattern")


# ---- bad frames in front of the stages -------------------------------------------------------

def loaded(tmp_path, values):
    """A compiled core with a stage; its config."""
    template = registry.get("sparse_chain")
    config = template.config.parse(VALUES | values)
    generated = elaborate(template, config, "core")
    write(generated, tmp_path)
    return config, verilator.simulator(Core.read(
        tmp_path / "core.v", tmp_path / "core.json", generated.model))


def run_bad(simulator, config, work, job, weights, *flags):
    """As :func:`run`, for a core of any config."""
    names = [name for name, _ in config.flags]
    for pauses in ({}, STALLS):
        result = simulator.run(job, pauses=pauses, seed=1, patience=2000)
        c = MODEL.unpack(config, work, {"c": result.beats["c"].data})["c"]
        np.testing.assert_array_equal(c, work.arrays["a"] @ weights)
        assert {name for bit, name in enumerate(names) if result.flags >> bit & 1} == set(flags)
        after = simulator.run(MODEL.pack(config, work), pauses=pauses, patience=2000)
        np.testing.assert_array_equal(
            MODEL.unpack(config, work, {"c": after.beats["c"].data})["c"],
            MODEL.golden(config, work)["c"])
        assert after.flags == 0


def with_user(beats, rows, value):
    user = beats.user.copy()
    user[rows] = value
    return Beats(beats.data, beats.last, user)


def test_bad_frames_of_quantized_weights(tmp_path):
    """2:4 in 5 bits: scales, and twice three beats of a code and one of an index."""
    config, built = loaded(tmp_path, {"weights": "quantized"})
    rng = np.random.default_rng(8)
    held = quantize(prune(rng.integers(-128, 128, (24, COLUMNS)), "2:4"), (8, COLUMNS), bits=5,
                    patterns="2:4", allowed=config.patterns)
    work = MODEL.check(config, Workload("", {"a": rng.integers(-128, 128, (4, 24)), "w": held}))
    job, w = MODEL.pack(config, work), held.toarray().astype(int)
    beats = job.inputs["w"]
    assert len(beats) == 3 * (1 + 2 * (3 + 1))
    block = slice(9, 18)
    without_block, half = w.copy(), w.copy()
    without_block[8:16] = 0
    half[8:16, 2:] = 0
    with built as simulator:
        for value in (7 | 2 << 4, 5 | 1 << 4, 5 | 4 << 4, 0):
            run_bad(simulator, config, work, with_input(job, "w", with_user(beats, block, value)),
                    without_block, "w_format")
        zero = beats.data.copy()
        zero[9] = 0
        run_bad(simulator, config, work,
                with_input(job, "w", Beats(zero, beats.last, beats.user)), without_block, "scale")
        run_bad(simulator, config, work, with_input(job, "w", without(beats, 17)), half, "w_short")
        keep = np.r_[0:10, 18:27]                        # nothing left of it but the scales
        last = beats.last.copy()
        last[9] = True
        cut = Beats(*(part[keep] for part in (beats.data, last, beats.user)))
        run_bad(simulator, config, work, with_input(job, "w", cut), without_block, "w_short")
        longer = Beats(*(np.insert(part, 18, part[14:18], axis=0)
                         for part in (beats.data, beats.last, beats.user)))
        longer.last[17] = False
        run_bad(simulator, config, work, with_input(job, "w", longer), w, "w_long")


def test_bad_frames_of_dense_weights(tmp_path):
    """2:4: twice four beats of a block."""
    config, built = loaded(tmp_path, {"weights": "dense"})
    rng = np.random.default_rng(8)
    dense = rng.integers(-128, 128, (24, COLUMNS))
    work = MODEL.check(config, Workload("", {"a": rng.integers(-128, 128, (4, 24)), "w": dense,
                                             "patterns": "2:4"}))
    job, w = MODEL.pack(config, work), prune(dense, "2:4")
    beats = job.inputs["w"]
    assert len(beats) == 3 * 2 * 4
    without_block, half = w.copy(), w.copy()
    without_block[8:16] = 0
    half[8:16, 2:] = 0
    with built as simulator:
        for code in (3, Pattern(2, 16).code, 0):
            run_bad(simulator, config, work,
                    with_input(job, "w", with_user(beats, slice(8, 16), code)), without_block,
                    "w_format")
        run_bad(simulator, config, work, with_input(job, "w", without(beats, 15)), half, "w_short")


# ---- breaks ----------------------------------------------------------------------------------

TINY = {"chains": 1, "cells": 4, "group": 1, "max_m": 4, "max_speedup": 4, "max_tokens": 4,
        "buffer_depth": 2}
QUANTIZED = {"weights": "quantized"}
DENSE = {"weights": "dense", "w_format": "int4"}
DSP48E1 = {"technology": "xilinx7", "group": 2, "max_speedup": 2}
NARROW = {"technology": "ecp5", "w_format": "int4"}
BREAKS = {
    "carries of the lanes lost": ({}, "high_1 <= start ? ", "high_1 <= 1'b1 ? "),
    "segments run together": ({}, "word_out <= (start ? ", "word_out <= (1'b0 ? "),
    "sums of the column block before": ({}, "stored_0 = first ? ", "stored_0 = 1'b0 ? "),
    "half overwritten before it is drained": ({}, "issue_free = owed != 2'd2",
                                              "issue_free = 1'b1"),
    "code not aligned": (QUANTIZED, "code <= {planes, (code[7:2] & ", "code <= {(code[7:2] & "),
    "code not rounded": (QUANTIZED, "+ {9'd0, wide[6]}", "+ 10'd0"),
    "code not saturated": (QUANTIZED, "if (saturated) begin", "if (1'b0) begin"),
    "scale of the block after": (QUANTIZED, "w_ready = (~complete) | taken", "w_ready = 1'b1"),
    "group kept in another order": (DENSE, "stacks_of_1_kept, stacks_of_2_kept[5:0]",
                                    "stacks_of_2_kept[5:0], stacks_of_1_kept"),
    "low lane borrows": (DSP48E1, "48'h7f00", "48'h0"),
    "cascade starts anew": (DSP48E1, ".OPMODE(7'd21)", ".OPMODE(7'd5)"),
    "sign of a token in a narrow factor": (NARROW, "low_negative_0 <= a[7]",
                                           "low_negative_0 <= 1'b0"),
    "borrow of a narrow product": (NARROW, "weight_0[3] & (|", "weight_0[3] | (|"),
}
#: Two lanes on the blocks of each technology.
BLOCKS = [DSP48E1, {"technology": "xilinx7", "group": 4, "cells": 8, "max_speedup": 2},
          {"technology": "ice40"}, {"technology": "ecp5"},
          {"technology": "gowin", "lanes": 1, "max_tokens": 2}, NARROW,
          QUANTIZED | {"technology": "ecp5", "planes": 8}]


def problems(folder, old=None, new=None, values=TINY, cells=None):
    """What the stimulus shows, without and with stalls; with other models of the cells if given."""
    template = registry.get("sparse_chain")
    generated = elaborate(template, template.config.parse(values), "core")
    write(generated, folder)
    if cells is not None:
        (folder / "core_cells.v").write_text(cells)
    if old is not None:
        assert old in generated.verilog
        (folder / "core.v").write_text(generated.verilog.replace(old, new))
    found = []
    files = Core.read(folder / "core.v", folder / "core.json", generated.model)
    with verilator.simulator(files) as simulator:
        for case in draw(MODEL, generated.config, 1, None):
            for pauses in ({}, STALLS, {"c": Pauses(0.05, 0.01)}):
                try:
                    result = simulator.run(case.job, pauses=pauses, patience=2000)
                except SimulationError as error:
                    return [*found, str(error)]
                message = mismatch(MODEL, generated.config, case, "c", result.beats["c"],
                                   result.beat_cycles["c"])
                if message or result.flags:
                    found.append(message or "error flags differ")
                elif not pauses and result.cycles != case.cycles:
                    found.append(f"{result.cycles} cycles instead of {case.cycles}")
    return found


def test_the_chain_as_it_is(tmp_path):
    assert problems(tmp_path) == []


@pytest.mark.nightly
@pytest.mark.parametrize("values", [
    {"buffer_depth": 32},
    {"chains": 1, "group": 1, "max_speedup": 16, "max_tokens": 8, "buffer_depth": 8},
    {"cells": 64, "group": 4, "max_m": 4, "max_speedup": 4, "max_tokens": 2, "buffer_depth": 2}],
    ids=str)
def test_longer_chains(values, tmp_path):
    assert problems(tmp_path, values=values) == []


def test_two_tokens_in_a_dsp48e1(tmp_path):
    """Cascades of the simulation cell that Yosys ships."""
    text = (files("pyosys") / "share" / "xilinx" / "cells_sim.v").read_text()
    cell = re.search(r"^module DSP48E1 .*?^endmodule$", text, re.M | re.S)[0]
    assert problems(tmp_path, values=TINY | DSP48E1,
                    cells=f"// verilator lint_off COMBDLY\n{cell}\n") == []


@pytest.mark.nightly
@pytest.mark.parametrize("values", BLOCKS[1:], ids=str)
def test_blocks_of_other_technologies(values, tmp_path):
    assert problems(tmp_path, values=TINY | values) == []


@pytest.mark.nightly
@pytest.mark.parametrize("name", BREAKS)
def test_a_broken_chain_is_caught(name, tmp_path):
    values, old, new = BREAKS[name]
    assert problems(tmp_path, old, new, TINY | values)


def test_packed_weights_are_what_a_core_runs(core):
    """An unstructured matrix, packed on the host, in the blocks of the core."""
    rng = np.random.default_rng(9)
    w = rng.integers(-128, 128, (40, 9)) * (rng.random((40, 9)) < 0.15)
    a = rng.integers(-128, 128, (5, 40))
    packed = pack(w, (CONFIG.cells, COLUMNS), allowed=CONFIG.patterns)
    work = MODEL.check(CONFIG, Workload("", {"a": a, "w": packed}))
    assert len(np.unique(work.arrays["patterns"])) > 2
    run(core, work, MODEL.pack(CONFIG, work), w)
