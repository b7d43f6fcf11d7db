"""The parts of the systolic core in Amaranth's simulator."""

import itertools
import random

import pytest
from amaranth.hdl import Module, Signal
from amaranth.sim import Simulator

from systolith.hdl import shell
from systolith.hdl.arithmetic.requantize import Requantizer, Rescaler, requantizer_latency
from systolith.hdl.bus import axi_stream
from systolith.hdl.bus.axi_lite import RegisterBank
from systolith.hdl.bus.credits import Credits
from systolith.hdl.formats import IntegerFormat
from systolith.hdl.interface import Field, Register
from systolith.hdl.shell import EventCounter
from systolith.hdl.systolic.config import SystolicConfig
from systolith.hdl.systolic.control import (
    ChainLoader,
    DrainControl,
    OutputStationaryControl,
    WeightStationaryControl,
)
from systolith.hdl.systolic.lanes import AccumulatorLane, DrainLane
from systolith.hdl.systolic.mesh import mesh
from systolith.hdl.systolic.pe import OutputStationaryPE, WeightStationaryPE
from systolith.hdl.systolic.result_buffer import ResultBuffer

WS = SystolicConfig.parse({"rows": 2, "cols": 3, "max_k": 16, "acc_depth": 4})
OS = SystolicConfig.parse({"rows": 2, "cols": 3, "dataflow": "os", "max_k": 16})


def simulate(component, testbench):
    m = Module()
    m.submodules.part = component
    ticking = Signal()
    m.d.sync += ticking.eq(~ticking)
    simulator = Simulator(m)
    simulator.add_clock(1e-6)
    simulator.add_testbench(testbench)
    simulator.run()


def drive(component, inputs, outputs):
    """Set inputs cycle by cycle (a dict for each); gives the outputs named, a tuple per cycle."""
    seen = []

    async def testbench(ctx):
        for values in inputs:
            for name, value in values.items():
                ctx.set(getattr(component, name), value)
            await ctx.delay(1e-9)
            seen.append(tuple(ctx.get(getattr(component, name)) for name in outputs))
            await ctx.tick()

    simulate(component, testbench)
    return seen


@pytest.mark.parametrize("stages", [1, 2, 4])
def test_weight_stationary_pe(stages):
    config = SystolicConfig.parse({"rows": 2, "mac_stages": stages})
    rng = random.Random(stages)
    steps = [{"load_in": 1, "w_in": -7}, {"load_in": 0}]
    steps += [{"a_in": rng.randint(-128, 127), "psum_in": rng.randint(-999, 999),
               "swap_in": index == 0} for index in range(20)]
    seen = drive(WeightStationaryPE(config), steps, ["psum_out", "a_out", "swap_out", "w_out"])
    latency = 1 + stages
    for cycle in range(2, len(steps) - latency):
        psum = steps[cycle + latency - 1]["psum_in"]
        assert seen[cycle + latency][0] == steps[cycle]["a_in"] * -7 + psum
        assert seen[cycle + 1][1:] == (steps[cycle]["a_in"], cycle == 2, -7)


@pytest.mark.parametrize("stages", [1, 2, 4])
def test_output_stationary_pe(stages):
    config = SystolicConfig.parse({"dataflow": "os", "mac_stages": stages, "acc_width": 18})
    tiles = [[(3, 4), (-5, 6)], [(127, 127)] * 12]       # the second wraps an 18-bit sum
    steps = [{"a_in": a, "w_in": w, "first_in": k == 0, "last_in": k == len(tile) - 1}
             for tile in tiles for k, (a, w) in enumerate(tile)]
    idle = {"a_in": 0, "w_in": 0, "first_in": 0, "last_in": 0}
    seen = drive(OutputStationaryPE(config), steps + [idle] * 8, ["c_out"])
    ends = [1, 13]
    mask = (1 << 18) - 1
    assert seen[ends[0] + 2 + stages][0] == (3 * 4 - 5 * 6) & mask
    assert seen[ends[1] + 2 + stages][0] == (127 * 127 * 12) & mask | 1 << 18


def test_mesh_multiplies():
    array, rng = mesh(WS), random.Random(2)
    w = [[rng.randint(-128, 127) for _ in range(3)] for _ in range(2)]
    a = [[rng.randint(-128, 127) for _ in range(2)] for _ in range(5)]
    rows, cols = 2, 3
    steps = []
    for cycle in range(20):
        lanes = dict.fromkeys(("a_in", "w_in", "load_in", "swap_in"), 0)
        for col in range(cols):                          # beat i of w, skewed into the column
            beat = cycle - (cols - 1 - col)
            if 0 <= beat < rows:
                lanes["w_in"] |= (w[beat][col] & 255) << 8 * col
        if cycle < rows:
            lanes["load_in"] = 3
        for row in range(rows):
            beat = cycle - rows - (rows - 1 - row)
            if 0 <= beat < len(a):
                lanes["a_in"] |= (a[beat][row] & 255) << 8 * row
            lanes["swap_in"] |= (beat == 0) << row
        steps.append(lanes)
    seen = drive(array, steps, ["psum_out"])
    bits = WS.psum.bits
    for m_, col in itertools.product(range(len(a)), range(cols)):
        when = rows + m_ + rows + WS.mac_stages + (cols - 1 - col)
        got = seen[when][0] >> bits * col & ((1 << bits) - 1)
        want = sum(a[m_][k] * w[k][col] for k in range(rows))
        assert got == want & ((1 << bits) - 1)


def lane_inputs(rows, cycles):
    """Inputs of an accumulator lane, cycle by cycle, for rows (cycle of psum, address, psum,
    first K tile)."""
    idle = {"first_in": 0, "valid_in": 0}
    steps = [dict(idle) for _ in range(cycles)]
    for cycle, address, psum, first in rows:
        steps[cycle - AccumulatorLane.lead] |= {"read_address_in": address}
        steps[cycle] |= {"psum": psum, "first_in": first}
        steps[cycle + AccumulatorLane.latency] |= {"valid_in": 1, "write_address_in": address}
    return steps


def test_accumulator_lane_sums_rows_over_tiles():
    rng = random.Random(3)
    interval = AccumulatorLane.interval
    tiles = [[rng.randint(-40000, 40000) for _ in range(4)] for _ in range(3)]
    rows = [(4 + index * interval + row, row, value, index == 0)
            for index, tile in enumerate(tiles) for row, value in enumerate(tile)]
    steps = lane_inputs(rows, 4 + 3 * interval + 4)
    seen = drive(AccumulatorLane(WS), steps, ["total", "valid_out"])
    for row in range(4):
        done = 4 + 2 * interval + row + AccumulatorLane.latency
        assert seen[done][0] == sum(tile[row] for tile in tiles)
        assert seen[done + 1][1] == 1


def test_accumulator_lane_tells_an_overflow():
    config = SystolicConfig.parse({"rows": 2, "acc_width": 17, "acc_depth": 4})
    rows = [(2, 0, 40000, True), (7, 0, 40000, False)]
    seen = drive(AccumulatorLane(config), lane_inputs(rows, 12), ["total", "overflow_out"])
    assert seen[9][0] == 80000 - (1 << 17)
    assert [cycle for cycle, (_, overflow) in enumerate(seen) if overflow] == [10]


def test_drain_lane():
    bits = OS.acc_width
    steps = [{"c": 5, "valid_in": 1}, {"c": 1 << bits | 6, "valid_in": 1},
             {"c": 1 << bits | 7, "valid_in": 0}, {}]
    seen = drive(DrainLane(OS), steps, ["total", "valid_out", "overflow_out"])
    assert seen[1:] == [(5, 1, 0), (6, 1, 1), (7, 0, 0)]


def frames(*lengths):
    return [(value, value == length) for length in lengths for value in range(1, length + 1)]


@pytest.mark.parametrize("lengths, short, long", [((3, 3), 0, 0), ((2, 3), 1, 0), ((5, 3), 0, 1)])
@pytest.mark.parametrize("pause", [0, 7])
def test_chain_loader(lengths, short, long, pause):
    """A wavefront that starts as soon as it may, or later, finds a whole frame in the chain."""
    part = ChainLoader(4, 3)
    chain, found, starts, flags = [None] * 3, [], [], [0, 0]

    async def testbench(ctx):
        beats = frames(*lengths)
        for cycle in range(60):
            for number, start in enumerate(starts):      # it reaches the last cell first
                if 0 <= (cell := 2 - (cycle - start - 2)) < 3:
                    found[number][cell] = chain[cell]
            ctx.set(part.i.valid, bool(beats))
            if beats:
                ctx.set(part.i.data, beats[0][0])
                ctx.set(part.i.last, beats[0][1])
            await ctx.delay(1e-9)
            swap = (ctx.get(part.full) and len(starts) < len(lengths)
                    and (not starts or cycle >= starts[-1] + 3 + pause))
            if swap:
                starts.append(cycle)
                found.append([None] * 3)
            ctx.set(part.swap, swap)
            await ctx.delay(1e-9)
            flags[0] += ctx.get(part.too_short)
            flags[1] += ctx.get(part.too_long)
            load, entering = ctx.get(part.load), [*chain[1:], ctx.get(part.data)]
            if beats and ctx.get(part.i.ready):
                beats.pop(0)
            await ctx.tick()
            chain[:] = [entering[i] if load >> i & 1 else chain[i] for i in range(3)]

    simulate(part, testbench)
    assert found == [[value if value <= length else 0 for value in (1, 2, 3)]
                     for length in lengths]
    if lengths == (3, 3):
        assert starts == [2, 5 + pause]                  # with the last beat, and without a bubble
    assert flags == [short, long]


def test_credits():
    part = Credits(5, 2)
    seen = drive(part, [{"reserve": 1}, {"reserve": 1}, {"reserve": 0, "freed": 1}, {"freed": 1},
                        {"freed": 1}, {"freed": 1}, {"freed": 0}], ["enough", "any_used"])
    assert seen == [(1, 0), (1, 1), (0, 1), (1, 1), (1, 1), (1, 1), (1, 0)]


@pytest.mark.parametrize("rows", [1, 2, 5])
def test_drain_control(rows):
    steps = [{"start": cycle in (0, rows)} for cycle in range(3 * rows + 2)]
    seen = drive(DrainControl(rows), steps, ["valid", "first", "last", "shift"])
    for cycle, (valid, first, last, shift) in enumerate(seen):
        step = (cycle - 1) % rows
        inside = 1 <= cycle <= 2 * rows
        assert valid == inside
        assert (first, last) == ((inside and step == 0), (inside and step == rows - 1))
        if inside:                                       # rows still to come, the last one never
            assert shift == (1 << rows - 1 - step) - 1


def test_weight_stationary_control_refuses_disorder():
    part = WeightStationaryControl(WS, AccumulatorLane.interval)
    beat, wait = {"a_valid": 1, "full": 1, "room": 1, "may_emit": 1}, AccumulatorLane.interval - 1
    steps = [
        {**beat, "a_user": 1, "a_last": 0}, {"a_last": 1},               # first K tile, two rows
        *[{"a_valid": 0}] * wait, {"a_valid": 1, "a_user": 2, "a_last": 1},     # last one, one row
        *[{"a_valid": 0}] * wait, {"a_valid": 1, "a_user": 2, "a_last": 1},     # no sum is open
    ]
    seen = drive(part, steps, ["issue", "first", "emit", "ends", "a_short", "a_order"])
    assert seen[0] == (1, 1, 0, 0, 0, 0)
    assert seen[1] == (1, 1, 0, 1, 0, 0)
    assert seen[2 + wait] == (1, 0, 1, 1, 1, 0)
    assert seen[3 + 2 * wait] == (1, 1, 1, 1, 0, 1)


def test_output_stationary_control_waits_for_the_drain():
    part = OutputStationaryControl(OS, OS.rows)
    beat = {"a_valid": 1, "w_valid": 1, "a_last": 1, "w_last": 1, "room": 1, "may_emit": 1}
    seen = drive(part, [beat, {}, {}, {"room": 0}, {}, {"room": 1}, {"w_last": 0}, {}],
                 ["issue", "w_long", "a_long"])
    assert [issue for issue, _, _ in seen] == [1, 0, 1, 0, 0, 1, 0, 1]
    assert seen[7] == (1, 1, 0)


def requantized(x, bias, multiplier, shift, zero_point, low, high, rounding):
    """The page docs/systolic.md, in Python integers."""
    def saturate(value):
        return max(-1 << 31, min((1 << 31) - 1, value))

    x = saturate(x + bias)
    if rounding == "tflite":
        product = saturate(x << max(shift, 0)) * multiplier
        nudged = product + ((1 << 30) if product >= 0 else 1 - (1 << 30))
        half = min(abs(nudged) // (1 << 31) * (1 if nudged >= 0 else -1), (1 << 31) - 1)
        right = max(-shift, 0)
        y = (abs(half) + (1 << right >> 1)) // (1 << right) * (1 if half >= 0 else -1)
    else:
        unit, product = 1 << 31 - shift, x * multiplier
        floor, rest = divmod(product, unit)
        y = floor + {"floor": 0, "half_up": 2 * rest >= unit,
                     "rne": 2 * rest > unit or (2 * rest == unit and floor & 1)}[rounding]
    return min(max(y + zero_point, low), high)


@pytest.mark.parametrize("rounding", ["tflite", "rne", "half_up", "floor"])
def test_requantizer(rounding):
    latency = requantizer_latency(rounding)
    rng, ends = random.Random(5), (-1 << 31, -1, 0, 1, (1 << 31) - 1)
    m0 = 1503238554                                      # 0.7 in Q0.31, with a shift of -6
    cases = [(x, 0, m0, -6, 0) for x in (12345, -12345, 46, -46, 137, -137)]
    cases += [(x, 0, 1 << 30, shift, 0) for x in range(-9, 10) for shift in (0, -1, -2)]
    cases += [(x, 0, m, s, 0) for x in ends for m in ends for s in (-31, -1, 0, 1, 31)]
    cases += [(rng.randrange(-1 << 33, 1 << 33), rng.randrange(-1 << 31, 1 << 31),
               rng.randrange(-1 << 31, 1 << 31), rng.randint(-31, 0), rng.randint(-99, 99))
              for _ in range(200)]
    names = ("x", "bias", "multiplier", "shift", "zero_point")
    steps = [{**dict(zip(names, case, strict=True)), "low": -30000, "high": 30001}
             for case in cases]
    # The zero point is not pipelined: it holds while sums are in flight.
    seen = []
    for zero_point, group in itertools.groupby(sorted(steps, key=lambda s: s["zero_point"]),
                                               key=lambda s: s["zero_point"]):
        group = list(group)
        part = Requantizer(IntegerFormat(34, True), IntegerFormat(16, True), rounding)
        assert part.latency == latency
        got = drive(part, group + [{"zero_point": zero_point}] * latency, ["y"])
        seen += zip(group, got[latency:], strict=True)
    for step, (y,) in seen:
        assert y == requantized(**step, rounding=rounding), step


@pytest.mark.parametrize("low", [0, -1 << 15])
@pytest.mark.parametrize("zero_point", [-1 << 16, 0, (1 << 16) - 1])
def test_requantizer_saturates_a_left_shift(low, zero_point):
    rng, high = random.Random(zero_point), low + (1 << 16) - 1
    borders = (high - zero_point, low - zero_point, 1 << 16, 1 << 17, 1 << 30)
    multipliers = [sign * (border + offset) for border in borders for sign in (1, -1)
                   for offset in (-1, 0, 1, 2)]
    multipliers += [rng.randint(-1 << 18, 1 << 18) for _ in range(60)]
    steps = [{"x": x, "multiplier": multiplier, "shift": shift, "low": low, "high": high}
             for multiplier in multipliers
             for x, shift in ((rng.randint(1 << 12, 1 << 31), rng.randint(20, 31)),
                              (rng.randint(-1 << 31, -1 << 12), rng.randint(20, 31)),
                              (1, 31), (-1, 31), ((1 << 18) - 1, 14), (-1 << 18, 14))]
    part = Requantizer(IntegerFormat(34, True), IntegerFormat(16, low < 0), "tflite")
    part_inputs = [{**step, "zero_point": zero_point} for step in steps]
    got = drive(part, part_inputs + [part_inputs[-1]] * part.latency, ["y"])
    for step, (y,) in zip(part_inputs, got[part.latency:], strict=True):
        assert y == requantized(**step, bias=0, rounding="tflite"), step


@pytest.mark.parametrize("bits", [9, 15, 32])
def test_rescaler(bits):
    rng, low, high = random.Random(bits), -1 << bits - 1, (1 << bits - 1) - 1
    cases = [(x, 1 << 30, shift) for x in range(-9, 10) for shift in (0, -1, -2)]
    cases += [(x, m, s) for x in (low, -1, 0, 1, high) for m in (-1 << 31, -1, 1, (1 << 31) - 1)
              for s in (-31, -1, 0, 1, 31)]
    cases += [(rng.randint(low, high), rng.randrange(-1 << 31, 1 << 31), rng.randint(-31, 4))
              for _ in range(200)]
    part = Rescaler(IntegerFormat(bits, True), IntegerFormat(12, True))
    steps = [dict(zip(("x", "multiplier", "shift"), case, strict=True)) for case in cases]
    got = drive(part, steps + [{}] * part.latency, ["y"])
    for step, (y,) in zip(steps, got[part.latency:], strict=True):
        assert y == requantized(**step, bias=0, zero_point=0, low=-2048, high=2047,
                                rounding="rne"), step


def test_fifo_holds_its_depth():
    part, rng, taken, written = axi_stream.Fifo(axi_stream.Signature(8), 5), random.Random(7), [], 0

    async def testbench(ctx):
        nonlocal written
        free = 5
        for _ in range(400):
            write = free > 0 and rng.random() < 0.6
            ctx.set(part.i.valid, write)
            ctx.set(part.i.data, written & 255)
            ctx.set(part.o.ready, rng.random() < 0.4)
            await ctx.delay(1e-9)
            if ctx.get(part.taken):
                taken.append(ctx.get(part.o.data))
            free += ctx.get(part.taken) - write
            written += write
            await ctx.tick()

    simulate(part, testbench)
    assert taken == [value & 255 for value in range(len(taken))] and len(taken) > 100


@pytest.mark.parametrize("lanes", [1, 3])
def test_result_buffer_gathers_the_wavefront(lanes):
    """Every beat whole and in order; the first one after the latency; none lost when it is full."""
    part, rng, depth = ResultBuffer(lanes, 8, 5), random.Random(lanes), 5
    writes, taken, first = [], [], []                    # (cycle, value) of lane 0; beats; cycles

    async def testbench(ctx):
        free = depth
        for cycle in range(500):
            write = free > 0 and rng.random() < 0.7
            if write:
                writes.append((cycle, len(writes) & 127))
            values = 0
            for lane in range(lanes):
                value = next((value for at, value in reversed(writes)
                              if at == cycle - (lanes - 1 - lane)), 255)
                values |= (value ^ lane) << 8 * lane
            ctx.set(part.values, values)
            ctx.set(part.write, write)
            ctx.set(part.last, write and writes[-1][1] % 3 == 0)
            ctx.set(part.o.ready, rng.random() < 0.5)
            await ctx.delay(1e-9)
            if ctx.get(part.o.valid):
                first.append(cycle)
            if ctx.get(part.taken):
                taken.append((ctx.get(part.o.data), ctx.get(part.o.last)))
            free += ctx.get(part.taken) - write
            await ctx.tick()

    simulate(part, testbench)
    beats = [(sum((value ^ lane) << 8 * lane for lane in range(lanes)), value % 3 == 0)
             for _, value in writes]
    assert taken == beats[:len(taken)] and len(taken) > 100
    assert first[0] == writes[0][0] + lanes - 1 + part.latency


@pytest.mark.parametrize("word, piece", [(2, 2), (4, 2), (4, 3), (3, 3)])
def test_counter_carries_and_latches(monkeypatch, word, piece):
    """With short words, in pieces: the high word is that of the moment in which the low one was
    read."""
    monkeypatch.setattr(shell, "_PIECE_BITS", piece)
    part = EventCounter(word_bits=word)
    rng, count, kept, before = random.Random(8), 0, 0, False

    async def testbench(ctx):
        nonlocal count, kept, before
        for cycle in range(150 + 4 * 4 ** word):
            happened, latch, clear = rng.random() < 0.8, rng.random() < 0.3, cycle == 150
            ctx.set(part.happened, happened)
            ctx.set(part.latch, latch)
            ctx.set(part.clear, clear)
            await ctx.delay(1e-9)
            assert (ctx.get(part.low), ctx.get(part.high)) == (count % (1 << word), kept)
            if latch:
                kept = count >> word
            await ctx.tick()
            count = 0 if clear else (count + before) % (1 << 2 * word)
            before = happened and not clear

    simulate(part, testbench)


def test_register_bank():
    part = RegisterBank((
        Register("state", 0, "ro", (Field("value", 0, 8, ""),), ""),
        Register("mode", 4, "rw", (Field("value", 4, 12, "", reset=0x123),), ""),
        Register("go", 8, "wo", (Field("now", 0, 1, ""),), ""),
        Register("errors", 12, "w1c", (Field("bad", 0, 1, ""), Field("worse", 1, 1, "")), "")))
    bus = part.bus

    async def write(ctx, address, value, strobe=15, data_first=False):
        for name, values in (("aw", {"awaddr": address}), ("w", {"wdata": value, "wstrb": strobe}))[
                ::-1 if data_first else 1]:
            for key, number in values.items():
                ctx.set(getattr(bus, key), number)
            ctx.set(getattr(bus, f"{name}valid"), 1)
            while not ctx.get(getattr(bus, f"{name}ready")):
                await ctx.tick()
            await ctx.tick()
            ctx.set(getattr(bus, f"{name}valid"), 0)
        went = ctx.get(part.go_now)
        ctx.set(bus.bready, 1)
        while not ctx.get(bus.bvalid):
            await ctx.tick()
            went |= ctx.get(part.go_now)
        answer = ctx.get(bus.bresp)
        await ctx.tick()
        ctx.set(bus.bready, 0)
        return answer, went

    async def read(ctx, address):
        ctx.set(bus.araddr, address)
        ctx.set(bus.arvalid, 1)
        while not ctx.get(bus.arready):
            await ctx.tick()
        await ctx.tick()
        ctx.set(bus.arvalid, 0)
        while not ctx.get(bus.rvalid):
            await ctx.tick()
        answer = ctx.get(bus.rresp), ctx.get(bus.rdata)
        await ctx.tick()
        assert ctx.get(bus.rvalid)                       # waits for its manager
        ctx.set(bus.rready, 1)
        await ctx.tick()
        ctx.set(bus.rready, 0)
        return answer

    async def testbench(ctx):
        ctx.set(part.state_value, 0x5A)
        assert await read(ctx, 0) == (0, 0x5A)
        assert await read(ctx, 4) == (0, 0x1230)
        assert await write(ctx, 4, 0xFFFF_FFFF) == (0, 0)
        assert ctx.get(part.mode_value) == 0xFFF
        assert await write(ctx, 4, 0, strobe=2, data_first=True) == (0, 0)
        assert await read(ctx, 4) == (0, 0xF0)
        assert await write(ctx, 8, 1) == (0, 1)
        ctx.set(part.errors_worse, 1)
        await ctx.tick()
        ctx.set(part.errors_worse, 0)
        assert await read(ctx, 12) == (0, 2)
        await write(ctx, 12, 1)
        assert await read(ctx, 12) == (0, 2)
        await write(ctx, 12, 2)
        assert await read(ctx, 12) == (0, 0)
        assert await read(ctx, 0x40) == (2, 0)
        assert (await write(ctx, 0x40, 1))[0] == 2

    simulate(part, testbench)
