"""The parts of the table-lookup core in Amaranth's simulator."""

from fractions import Fraction

import numpy as np
import pytest
from amaranth.hdl import Module, Signal
from amaranth.sim import Simulator

from systolith.hdl.arithmetic.division import ScaledQuotient
from systolith.hdl.formats import IntegerFormat
from systolith.hdl.lut_gemv.config import LutGemvConfig
from systolith.hdl.lut_gemv.lane import LookupLane
from systolith.hdl.lut_gemv.tables import (
    Aligner,
    MaxBuffer,
    TableBuilder,
    Unpacker,
)


def clock(part, inputs, outputs):
    """Set inputs cycle by cycle (a dict for each); gives the outputs named, a tuple per cycle."""
    seen = []

    async def testbench(ctx):
        for values in inputs:
            for name, value in values.items():
                ctx.set(getattr(part, name), value)
            await ctx.delay(1e-9)
            seen.append(tuple(ctx.get(getattr(part, name)) for name in outputs))
            await ctx.tick()

    m = Module()
    m.submodules.part = part
    ticking = Signal()                                   # some parts are combinational
    m.d.sync += ticking.eq(~ticking)
    simulator = Simulator(m)
    simulator.add_clock(1e-6)
    simulator.add_testbench(testbench)
    simulator.run()
    return seen


def pack(values, bits):
    return sum((int(value) & ((1 << bits) - 1)) << bits * lane
               for lane, value in enumerate(values))


def unpack(word, bits, count):
    lanes = [word >> bits * lane & ((1 << bits) - 1) for lane in range(count)]
    return [lane - (1 << bits) if lane >> bits - 1 else lane for lane in lanes]


def test_entries_round_to_nearest_even():
    entry = IntegerFormat(8, True)
    cases = [(value, largest) for largest in range(101)
             for value in {*range(-largest, largest + 1, max(1, largest // 12)), largest}]
    # 127 · 20 / 40 and its like are ties.
    cases += [(value, 2 * value) for value in range(1, 50)]
    steps = [{"value": value, "largest": largest} for value, largest in cases]
    part = ScaledQuotient(entry, 100, 7)
    seen = clock(part, steps + steps[-1:] * part.latency, ["quotient"])
    want = [round(Fraction(127 * value, largest)) if largest else 0 for value, largest in cases]
    assert [quotient for (quotient,) in seen[part.latency:]] == want


def test_tables_hold_all_sums():
    number, entry = IntegerFormat(8, True), IntegerFormat(11, True)
    rng = np.random.default_rng(1)
    vectors = [*rng.integers(-128, 128, (20, 4)), np.full(4, -128), np.full(4, 127)]
    steps = [{"numbers": pack(a, 8)} for a in vectors] + [{}] * 2
    seen = clock(TableBuilder(number, entry), steps, ["entries", "total"])
    for cycle, a in enumerate(vectors):
        table = [sum(int(x) if index >> bit & 1 else -int(x) for bit, x in enumerate(a))
                 for index in range(8)]
        assert unpack(seen[cycle + 2][0], 11, 8) == table
        assert seen[cycle + 1][1] == a.sum()


def test_alignment_rounds_to_nearest_even():
    codes = np.random.default_rng(2).integers(0, 1 << 16, (400, 4))
    codes[0] = 0x7C00, 0xFC00, 0x7E00, 0x0001            # Inf, −Inf, NaN, the smallest
    unpacked = clock(Unpacker(), [{"codes": pack(row, 16)} for row in codes],
                     ["words", "largest", "not_finite"])
    number = IntegerFormat(12, True)
    aligned = clock(Aligner(number), [{"words": words, "exponent": largest}
                                      for words, largest, _ in unpacked], ["numbers"])
    for row, (_, largest, bad), (numbers,) in zip(codes, unpacked, aligned, strict=True):
        values = row.astype(np.uint16).view(np.float16).astype(float)
        finite = np.where(np.isfinite(values), values, 0)
        assert bad == (finite != values).any()
        exponent = max(int(np.frexp(np.abs(finite).max())[1]) - 11, -24) if finite.any() else -24
        assert largest == exponent + 24
        assert unpack(numbers, 12, 4) == np.rint(finite / 2.0**exponent).tolist()


@pytest.mark.parametrize("length", [1, 3, 4])
def test_buffer_tells_the_largest_key_beforehand(length):
    rng = np.random.default_rng(length)
    keys = rng.integers(0, 8, 4 * length).tolist()
    steps, expected = [], []
    for group in range(4):
        for word in range(length):
            index = group * length + word
            ends = word == length - 1
            steps.append({"i_valid": 1, "i_data": index, "i_key": keys[index], "i_tag": group,
                          "i_last": ends and group % 2})
            steps += [{"i_valid": 0}] * int(rng.integers(3))
            expected.append((index, max(keys[group * length:][:length]), group, ends,
                             bool(ends and group % 2)))
    steps += [{"i_valid": 0}] * (length + 3)
    part = MaxBuffer(8, 3, 2, length)
    seen = clock(part, steps, ["o_valid", "o_data", "o_key", "o_tag", "o_ends", "o_last"])
    assert [row[1:] for row in seen if row[0]] == expected
    dense = [step for step in steps if step["i_valid"]] + [{"i_valid": 0}] * (length + 3)
    seen = clock(MaxBuffer(8, 3, 2, length), dense, ["o_valid", "o_data"])
    first = length - 1 + MaxBuffer.latency
    assert [data for valid, data in seen[first:first + 4 * length] if valid] == [*range(4 * length)]


def test_lane_looks_up_plane_by_plane():
    config = LutGemvConfig.parse({"rows": 1, "max_k": 16})
    rng = np.random.default_rng(4)
    a, planes = rng.integers(-128, 128, (4, 4)), 3
    codes = rng.integers(0, 1 << planes, (4, 4))
    steps = []
    for plane in reversed(range(planes)):
        for group in range(4):
            vector = [int(x) for x in a[group]]
            entries = [sum(x if index >> bit & 1 else -x for bit, x in enumerate(vector))
                       for index in range(8)]
            index = sum(int(codes[group, bit] >> plane & 1) << bit for bit in range(4))
            steps.append({"entries": pack(entries, config.entry.bits), "index": index, "valid": 1,
                          "first": group == 0 and plane == planes - 1, "doubles": group == 0,
                          "capture": group == 3 and plane == 0})
            steps.append({"valid": 0, "capture": 0})
    seen = clock(LookupLane(config), steps + [{}] * 2, ["drain_out"])
    want = int((a * (2 * codes - 7)).sum())
    assert seen[len(steps) - 2 + LookupLane.latency] == (want,)
