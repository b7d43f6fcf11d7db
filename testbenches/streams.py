"""The cocotb regression that every generated core passes.

It sees the emitted Verilog, its manifest and the software model, and nothing else. All traffic goes
through cocotbext-axi's sources, sinks and masters. Settings come in environment variables, set by
:mod:`systolith.sim.simulators.regression`:

``SYSTOLITH_MANIFEST``, ``SYSTOLITH_MODEL``
    Path of the manifest, ``"module:name"`` of the model.
``SYSTOLITH_SEED``, ``SYSTOLITH_FRAMES``, ``SYSTOLITH_BEATS``
    Seed of stimulus and pauses; how many cases to take, see :func:`systolith.sim.cases.draw`; the
    last two may be empty.
``SYSTOLITH_RESULTS``
    Where each test appends a line of JSON: name, cycles, beats, frames, message of failure, and
    where it can be told, the time and the cycle at which the first beat differs.
"""

import functools
import itertools
import json
import os
import re
import time
import zlib
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import cocotb
import numpy as np
from cocotb.clock import Clock
from cocotb.triggers import RisingEdge
from cocotb.utils import get_sim_time
from cocotbext.axi import (
    AxiLiteBus,
    AxiLiteMaster,
    AxiStreamBus,
    AxiStreamFrame,
    AxiStreamSink,
    AxiStreamSource,
)

from systolith.hdl.interface import COUNTERS, MAGIC, VERSION
from systolith.sim.cases import Case, draw, mismatch, register_mask, register_reset
from systolith.sim.frames import Beats, from_bytes, to_bytes
from systolith.sim.simulators.core import Core
from systolith.sim.simulators.regression import PERIOD

BUS_CYCLES = 2_000           # that a register access may take, with pauses on all channels
SETTLE = 8                   # cycles from the last beat until the counters must be right


class Timer:
    """Watches every stream: counts beats and cycles, checks that offered beats hold until taken."""

    def __init__(self, dut, core: Core):
        self._dut, self._streams = dut, core.streams
        self.cycle = 0
        self.progress = 0
        self.broken: str | None = None
        self.restart()
        cocotb.start_soon(self._run())

    def restart(self) -> None:
        """Forget all beats so far."""
        self.accepted: dict[str, list[int]] = {stream.name: [] for stream in self._streams}
        self.progress = self.cycle

    @property
    def first(self) -> int:
        """Cycle of the first accepted input beat."""
        return min((self.accepted[stream.name][0] for stream in self._streams
                    if stream.direction == "in" and self.accepted[stream.name]), default=self.cycle)

    @property
    def cycles(self) -> int:
        """From the first accepted input beat to the last accepted output beat, both included."""
        final = max(self.accepted[stream.name][-1] for stream in self._streams
                    if stream.direction == "out" and self.accepted[stream.name])
        return final - self.first + 1

    async def _run(self) -> None:
        ports = [(stream, *(getattr(self._dut, f"{stream.prefix}_{signal}")
                            for signal in ("tvalid", "tready", "tdata", "tlast")))
                 for stream in self._streams]
        held: dict[str, tuple] = {}
        edge = RisingEdge(self._dut.clk)
        while True:
            await edge
            self.cycle += 1
            if self._dut.rst.value:
                held.clear()
                continue
            for stream, valid, ready, data, last in ports:
                offered = bool(valid.value)
                if stream.direction == "out" and (before := held.pop(stream.name, None)):
                    now = (data.value, last.value) if offered else None
                    if now != before and not self.broken:
                        what = "was withdrawn" if now is None else "changed"
                        self.broken = (f"{stream.prefix}: a beat {what} while tready was low "
                                       f"(cycle {self.cycle})")
                if not offered:
                    continue
                if ready.value:
                    self.accepted[stream.name].append(self.cycle)
                    self.progress = self.cycle
                elif stream.direction == "out":
                    held[stream.name] = (data.value, last.value)


class Bench:
    """A core with a bus model on every port."""

    def __init__(self, dut, core: Core, rng: np.random.Generator):
        self.dut, self.core, self.rng = dut, core, rng
        self.model, self.config = core.model, core.config
        self.frames = self.beats = 0
        self.wrong: int | None = None        # cycle of the first beat that differs
        cocotb.start_soon(Clock(dut.clk, PERIOD, "step").start())
        dut.rst.value = 1
        # One "byte" as wide as the port: a beat is one integer, with a tuser of its own.
        def stream(kind, port):
            agent = kind(AxiStreamBus.from_prefix(dut, port.prefix), dut.clk, dut.rst, byte_lanes=1)
            agent.log.setLevel("ERROR")        # it reports every flushed frame as a warning
            return agent

        self.sources = {port.name: stream(AxiStreamSource, port) for port in core.inputs}
        self.sinks = {port.name: stream(AxiStreamSink, port) for port in core.outputs}
        self.bus = AxiLiteMaster(AxiLiteBus.from_prefix(dut, "s_axil"), dut.clk, dut.rst)
        for half in (self.bus.read_if, self.bus.write_if):
            half.log.setLevel("ERROR")
        self.channels = [self.bus.write_if.aw_channel, self.bus.write_if.w_channel,
                         self.bus.write_if.b_channel, self.bus.read_if.ar_channel,
                         self.bus.read_if.r_channel]
        for channel in self.channels:
            channel.log.setLevel("ERROR")
        self.timer = Timer(dut, core)

    async def clock(self, cycles: int = 1) -> None:
        for _ in range(cycles):
            await RisingEdge(self.dut.clk)

    async def reset(self) -> None:
        """Reset the core; beats that wait in sources and sinks are dropped."""
        self.dut.rst.value = 1
        await self.clock(2)
        for agent in (*self.sources.values(), *self.sinks.values()):
            agent.clear()
        self.dut.rst.value = 0
        await self.clock(2)
        self.timer.restart()

    async def access(self, operation: Awaitable, what: str):
        """Wait for a register access, not for ever."""
        task = cocotb.start_soon(operation)
        for _ in range(BUS_CYCLES):
            if task.done():
                return task.result()
            await RisingEdge(self.dut.clk)
        raise AssertionError(f"no answer in {BUS_CYCLES} cycles to {what}")

    async def read(self, register: str) -> int:
        offset = self.core.register(register).offset
        answer = await self.access(self.bus.read(offset, 4), f"reading {register}")
        assert answer.resp == 0, f"reading {register} gave response {answer.resp!r}"
        return int.from_bytes(answer.data, "little")

    async def write(self, register: str, value: int) -> None:
        await self.write_at(self.core.register(register).offset, value, f"writing {register}")

    async def write_at(self, offset: int, value: int, what: str):
        octets = (value & 0xFFFF_FFFF).to_bytes(4, "little")
        return await self.access(self.bus.write(offset, octets), what)

    async def read_counter(self, name: str) -> int:
        low = await self.read(f"{name}_low")
        return await self.read(f"{name}_high") << 32 | low

    async def prepare(self, case: Case) -> None:
        """Clear counters and flags and write the settings of a case."""
        await self.write("control", 1)
        await self.write("errors", 0xFFFF_FFFF)
        for name, value in case.job.writes.items():
            await self.write(name, value)
        self.timer.restart()

    def send(self, case: Case, limit: int | None = None) -> None:
        """Hand all input beats of a case to the sources, or the first ``limit`` of each stream."""
        for stream in self.core.inputs:
            beats = case.job.inputs[stream.name]
            words = [int.from_bytes(row, "little") for row in to_bytes(stream, beats.data)]
            users = [int(user) for user in beats.user]
            ends = [*(np.flatnonzero(beats.last) + 1), len(beats)]
            start = 0
            for end in ends:
                end = int(end) if limit is None else min(int(end), limit)
                if end > start:
                    self.sources[stream.name].send_nowait(
                        AxiStreamFrame(words[start:end], tuser=users[start:end]))
                start = max(start, end)

    async def until_done(self, total: dict[str, int], patience: int) -> None:
        """Clock until every stream has moved ``total`` beats; fail when none moves for too long."""
        while any(len(self.timer.accepted[name]) < count for name, count in total.items()):
            if self.timer.cycle - self.timer.progress > patience:
                owed = ", ".join(
                    f"{name} {count - len(self.timer.accepted[name])} of {count} beats"
                    for name, count in total.items() if len(self.timer.accepted[name]) < count)
                raise AssertionError(f"the core hangs: no beat moved for {patience} cycles; "
                                     f"still owed: {owed}")
            await RisingEdge(self.dut.clk)
        await self.clock(SETTLE)

    async def run(self, *cases: Case, patience: int | None = None) -> None:
        """Send cases back to back, and check every beat that comes out and how many."""
        patience = patience or 1_000 + 2 * max(case.cycles for case in cases)
        total = {stream.name: 0 for stream in self.core.streams}
        self.timer.restart()
        for case in cases:
            self.send(case)
            for name, beats in (*case.job.inputs.items(), *case.expected.items()):
                total[name] += len(beats)
        await self.until_done(total, patience)
        for stream in self.core.outputs:
            got = self._received(stream)
            when = [cycle - self.timer.first for cycle in self.timer.accepted[stream.name]]
            assert len(got) == len(when), (
                f"stream {stream.name}: {len(when) - len(got)} beats without a tlast at the end")
            start = 0
            for case in cases:
                stop = start + len(case.expected[stream.name])
                part = Beats(got.data[start:stop], got.last[start:stop], got.user[start:stop])
                message = mismatch(self.model, self.config, case, stream.name, part,
                                   when[start:stop])
                if message and (found := re.search(r", cycle (\d+)", message)):
                    self.wrong = self.timer.first + int(found.group(1))
                assert message is None, message
                start = stop
            assert start == len(got), f"stream {stream.name}: {len(got) - start} beats too many"
        assert not self.timer.broken, self.timer.broken
        self.frames += sum(case.frames for case in cases)
        self.beats += sum(total.values())

    def _received(self, stream) -> Beats:
        width, sink = stream.tdata_bits // 8, self.sinks[stream.name]
        words, last = [], []
        while not sink.empty():
            frame = sink.recv_nowait(compact=False)
            words += frame.tdata
            last += [False] * (len(frame.tdata) - 1) + [True]
        octets = np.frombuffer(b"".join(word.to_bytes(width, "little") for word in words), np.uint8)
        data = from_bytes(stream, octets.reshape(-1, width))
        return Beats(data, np.array(last, bool), np.zeros(len(last), np.uint64))

    def pause(self, agents, pattern: str) -> None:
        """Pause ``agents``, each by a generator of its own."""
        for agent in agents:
            rng = np.random.default_rng(self.rng.integers(2**32))
            agent.set_pause_generator(pauses(pattern, rng))

    def unpause(self) -> None:
        for agent in (*self.sources.values(), *self.sinks.values(), *self.channels):
            agent.clear_pause_generator()
            agent.pause = False


def pauses(pattern: str, rng: np.random.Generator) -> Iterator[bool]:
    """An endless pattern of pauses, one value a cycle."""
    if pattern == "random":
        density = rng.uniform(0.1, 0.9)
        while True:
            yield from (rng.random(256) < density).tolist()
    elif pattern == "bursts":
        while True:
            yield from itertools.repeat(True, int(rng.integers(1, 64)))
            yield from itertools.repeat(False, int(rng.integers(1, 64)))
    else:
        period = int(rng.integers(2, 9))
        yield from itertools.cycle([False] + [True] * (period - 1))


PATTERNS = ("random", "bursts", "one in n")
SIDES = ("all streams", "sources", "sinks")


@functools.cache
def setting() -> tuple[Core, int, list[Case]]:
    """The core, the seed and the cases, worked out once for all tests."""
    manifest = Path(os.environ["SYSTOLITH_MANIFEST"])
    core = Core.read(manifest.with_suffix(".v"), manifest, os.environ["SYSTOLITH_MODEL"])
    seed = int(os.environ["SYSTOLITH_SEED"])
    return core, seed, draw(core.model, core.config, seed, _number("SYSTOLITH_FRAMES"),
                            _number("SYSTOLITH_BEATS"))


def _number(variable: str) -> int | None:
    text = os.environ[variable]
    return int(text) if text else None


def check(test: Callable[[Bench, list[Case]], Awaitable[None]]):
    """Make a cocotb test of a function of a fresh bench and the cases."""

    async def wrapped(dut):
        core, seed, cases = setting()
        name = test.__name__
        bench = Bench(dut, core, np.random.default_rng([seed, zlib.crc32(name.encode())]))
        started, begun = time.monotonic(), get_sim_time("step")
        message = None
        try:
            await bench.reset()
            await test(bench, cases)
        except Exception as error:
            message = str(error).split("\nassert ")[0] or repr(error)     # without what pytest adds
            raise
        finally:
            line = {"name": name, "cycles": bench.timer.cycle, "beats": bench.beats,
                    "frames": bench.frames, "seconds": round(time.monotonic() - started, 3),
                    "message": message,
                    "time": None if bench.wrong is None else begun + PERIOD * bench.wrong,
                    "cycle": bench.wrong}
            with Path(os.environ["SYSTOLITH_RESULTS"]).open("a") as file:
                file.write(json.dumps(line) + "\n")

    wrapped.__name__ = wrapped.__qualname__ = test.__name__
    wrapped.__doc__ = test.__doc__
    return cocotb.test(wrapped)


@check
async def without_stalls(bench: Bench, cases: list[Case]) -> None:
    """Right beats, right flags, and exactly the cycles of the cycle model, by both clocks."""
    for case in cases:
        await bench.prepare(case)
        await bench.run(case)
        where = f"workload {case.workload.label!r}"
        measured = bench.timer.cycles
        assert measured == case.cycles, (
            f"{where}: took {measured} cycles, the cycle model says {case.cycles}")
        for name, want in (("cycles_busy", measured), ("stalled_output", 0),
                           ("frames", case.frames)):
            counted = await bench.read_counter(name)
            assert counted == want, f"{where}: counter {name} is {counted}, not {want}"
        flags = await bench.read("errors")
        assert flags == case.flags, f"{where}: error flags are {flags:#b}, not {case.flags:#b}"
        assert await bench.read("status") & 1 == 0, f"{where}: still busy after the last beat"


@check
async def random_stalls(bench: Bench, cases: list[Case]) -> None:
    """Right beats whatever pauses there are, on streams and on the register bus."""
    combinations = list(itertools.product(PATTERNS, SIDES))
    bench.rng.shuffle(combinations)
    for case, (pattern, side) in zip(cases, itertools.cycle(combinations), strict=False):
        bench.pause(bench.channels, pattern)
        await bench.prepare(case)
        # Nothing uses the bus until the last beat, and a pause takes time in every cycle.
        bench.unpause()
        bench.pause({"sources": [*bench.sources.values()], "sinks": [*bench.sinks.values()]}.get(
            side, [*bench.sources.values(), *bench.sinks.values()]), pattern)
        try:
            await bench.run(case)
        except AssertionError as error:
            raise AssertionError(f"with pauses ({pattern}, on {side}): {error}") from None
        bench.pause(bench.channels, pattern)
        flags = await bench.read("errors")
        assert flags == case.flags, (f"workload {case.workload.label!r} with pauses: error flags "
                                     f"are {flags:#b}, not {case.flags:#b}")
        bench.unpause()


@check
async def back_to_back(bench: Bench, cases: list[Case]) -> None:
    """Workloads of the same settings follow each other without a gap."""
    groups: dict[str, list[Case]] = {}
    for case in cases:
        groups.setdefault(repr(sorted(case.job.writes.items())), []).append(case)
    for group in groups.values():
        order = [group[int(index)] for index in bench.rng.permutation(len(group))]
        if len(order) == 1:
            order *= 2
        await bench.prepare(order[0])
        await bench.run(*order, patience=1_000 + 2 * sum(case.cycles for case in order))


@check
async def reset_in_frames(bench: Bench, cases: list[Case]) -> None:
    """A reset at any moment drops what is in flight, and the next frame is right."""
    for index in range(min(4, len(cases))):
        case = cases[-1 - index]
        await bench.prepare(case)
        bench.send(case)
        await bench.clock(int(bench.rng.integers(1, case.cycles + 2)))
        await bench.reset()
        assert await bench.read("status") & 1 == 0, "busy after reset"
        following = cases[int(bench.rng.integers(len(cases)))]
        await bench.prepare(following)
        await bench.run(following)
        assert await bench.read("errors") == following.flags, "wrong error flags after a reset"


@check
async def bad_traffic(bench: Bench, cases: list[Case]) -> None:
    """Frames of any length never stop the register bus; after a reset the core is right again.

    Flags that the bad frames raise are sticky, and clear by writing ones and only by that.
    """
    for index in range(min(3, len(cases))):
        case = cases[-1 - index]
        await bench.prepare(case)
        for stream in bench.core.inputs:
            beats = case.job.inputs[stream.name]
            words = [int.from_bytes(row, "little") for row in to_bytes(stream, beats.data)]
            while words:
                length = int(bench.rng.integers(1, len(words) + 1))
                user = int(bench.rng.integers(1 << stream.tuser_bits))
                bench.sources[stream.name].send_nowait(
                    AxiStreamFrame(words[:length], tuser=user))
                words = words[length:]
        await bench.clock(2 * case.cycles + 50)
        flags = await bench.read("errors")
        known = register_mask(bench.core.register("errors"))
        assert flags & ~known == 0, f"error flags {flags:#b} outside of {known:#b}"
        await bench.write("errors", 0)
        assert await bench.read("errors") == flags, "writing zeros changed the error flags"
        await bench.write("errors", flags)
        left = await bench.read("errors")
        assert left == 0, f"error flags are {left:#b} after writing {flags:#b}"
        assert await bench.read("magic") == MAGIC
        await bench.reset()
        await bench.prepare(case)
        await bench.run(case)
        assert await bench.read("errors") == case.flags, "wrong error flags after a reset"


@check
async def registers(bench: Bench, cases: list[Case]) -> None:
    """The register map: identity, reset values, every access kind, holes, pauses on the bus."""
    known = bench.core.registers
    for pattern in (None, str(bench.rng.choice(PATTERNS))):
        if pattern:
            bench.pause(bench.channels, pattern)
        await bench.reset()
        for name, want in (("magic", MAGIC), ("version", VERSION),
                           ("config_hash", int(bench.config.config_hash[:8], 16))):
            got = await bench.read(name)
            assert got == want, f"{name} is {got:#010x}, not {want:#010x}"
        for name, register in known.items():
            reset, mask = register_reset(register), register_mask(register)
            got = await bench.read(name)
            if register.access == "wo":
                assert got == 0, f"{name} reads {got:#x}, not zero"
                continue
            assert got == reset, f"{name} is {got:#x} after reset, not {reset:#x}"
            values = [int(value) for value in bench.rng.integers(0, 1 << 32, 2)]
            for value in (*values, 0xFFFF_FFFF, 0):
                await bench.write(name, value)
                want = value & mask if register.access == "rw" else reset
                got = await bench.read(name)
                assert got == want, f"{name} ({register.access}) is {got:#x} after {value:#x}, " \
                                    f"not {want:#x}"
            if register.access == "rw":
                await bench.write(name, reset)
        used = {register.offset for register in known.values()}
        space = 1 << len(bench.dut.s_axil_araddr)
        holes = [offset for offset in range(0, space, 4) if offset not in used]
        tried = {holes[0], holes[-1], *(int(o) for o in bench.rng.choice(holes, 4))}
        if pattern is None:
            # One address bit away from a register whose change would show.
            tried |= {register.offset ^ 1 << bit for register in known.values()
                      if register.access == "rw" or register.name == "magic"
                      for bit in range(2, space.bit_length() - 1)} & set(holes)
        for offset in sorted(tried):
            await bench.write_at(offset, 0xFFFF_FFFF, f"writing the hole at {offset:#x}")
            answer = await bench.access(bench.bus.read(offset, 4),
                                        f"reading the hole at {offset:#x}")
            assert not any(answer.data), f"the hole at {offset:#x} reads {answer.data.hex()}"
        for name, register in known.items():
            if register.access in ("rw", "ro"):
                got, want = await bench.read(name), register_reset(register)
                assert got == want, f"{name} became {got:#x} by writing to a hole"
    bench.unpause()


@check
async def counters(bench: Bench, cases: list[Case]) -> None:
    """Counters add up over runs, keep still between them, count stalls, and clear."""
    case = max(cases[:8], key=lambda case: case.cycles)
    await bench.prepare(case)
    await bench.run(case)
    await bench.run(case)
    frames = await bench.read_counter("frames")
    assert frames == 2 * case.frames, f"counter frames is {frames}, not {2 * case.frames}"
    before = [await bench.read_counter(name) for name, _ in COUNTERS]
    await bench.clock(20)
    assert [await bench.read_counter(name) for name, _ in COUNTERS] == before, (
        "a counter moved while the core was idle")
    await bench.write("control", 1)
    after = [await bench.read_counter(name) for name, _ in COUNTERS]
    assert not any(after), f"counters are {after} after clearing them"

    await bench.prepare(case)
    for sink in bench.sinks.values():
        sink.pause = True
    bench.send(case)
    await bench.clock(case.cycles + 40)
    assert await bench.read("status") & 1, "not busy with an output beat waiting"
    assert await bench.read_counter("stalled_output") > 0, "stalled_output did not count"
    await bench.reset()
    bench.unpause()
