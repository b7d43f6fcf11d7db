"""A regression that runs in milliseconds: a compiled core against every model there is of it.

Values, flags and cycles against the template's golden and cycle model, with and without pauses; the
register bank against :class:`~systolith.sim.registers.RegisterModel`; counters against what they
count, also from values that no run reaches by counting. Coverage and mutation are measured with it.
"""

from collections.abc import Callable, Iterator, Set
from dataclasses import dataclass, replace
from itertools import pairwise, product
from pathlib import Path

import numpy as np

from systolith.hdl.interface import COUNTERS
from systolith.sim.cases import Case, draw, mismatch, register_mask
from systolith.sim.frames import Beats
from systolith.sim.registers import SLVERR, RegisterModel
from systolith.sim.simulators.core import Core
from systolith.sim.simulators.errors import SimulationError
from systolith.sim.simulators.harness import Pauses, Simulator

#: Registers of a counter in the emitted Verilog, with the bits that they hold, and those that say
#: that such a piece is all ones; the instance that they are in.
COUNTER_PIECES = tuple((f"word_{bit // 32}_{bit % 32}", bit, 16) for bit in range(0, 64, 16))
#: Registers that tell whether some bits of the counter, from the lowest, have a value.
COUNTER_COMPARED = (("almost", 0, 16, 0xFFFE), ("full", 0, 16, 0xFFFF),
                    ("full_to_1", 16, 16, 0xFFFF), ("full_to_2", 16, 32, 0xFFFF_FFFF))
COUNTER_REGISTERS = tuple(name for name, *_ in (*COUNTER_PIECES, *COUNTER_COMPARED))
COUNTER_INSTANCE = "{core}.u_count_{name}"
#: Suffix of these names where something else has the plain one; it goes first.
STORED = "_stored"

#: Verilator's configuration that makes them writable.
WRITABLE = "".join(f'public_flat_rw -module "*event_counter" -var "{name}{suffix}"\n'
                   for name in COUNTER_REGISTERS for suffix in ("", STORED))

PATTERNS = {
    "everywhere": (Pauses(0.3, 0.3), Pauses(0.3, 0.3)),
    "slow source": (Pauses(0.9, 0.15), None),
    "slow sink": (None, Pauses(0.9, 0.15)),
    "long pauses of the sink": (None, Pauses(0.05, 0.02)),
    "pauses of the sink that fill everything": (None, Pauses(0.01, 0.005)),
    "long pauses of the source": (Pauses(0.05, 0.02), None),
}
WORDS = (0xFFFF_FFFF, 0, 0xAAAA_AAAA, 0x5555_5555, 0x0F0F_F0F0)
GOES_ON = "goes on after"    # begins the names of such events
NEAR_CARRY = 6               # counts before one, from which a short run reaches it
LONGEST_PAUSE = 10_000       # that a pattern makes in practice
FILLED = 8                   # cycles that a filled core may take beyond a run from the start
SETTLE = 64                  # cycles beyond a case's own until nothing more happens
MOST_BEATS = 6_000           # of a case: larger ones take too long to run thousands of times


class ProblemError(Exception):
    """The core does something else than its models."""


@dataclass(frozen=True)
class Step:
    """A part of the exercise; ``run`` raises :class:`ProblemError` or :class:`SimulationError`."""

    name: str
    run: Callable[[Simulator], None]


class Exercise:
    """Steps for one core; the same in every run, whatever the core does.

    Parameters
    ----------
    core : Core
    seed : int
        Of workloads, pauses, and register accesses.
    frames : int, optional
        As in :func:`systolith.sim.cases.draw`.

    Attributes
    ----------
    cases : list of Case
        Smallest first.
    left_out : int
        Cases of more than :data:`MOST_BEATS` beats.
    events : set of str
        What has happened in the steps so far that no case tells by itself.
    """

    #: What can be among the events, whatever the core; flags come from its config.
    EVENTS = (*(f"pauses: {name}" for name in PATTERNS), "frames back to back",
              "a reset in a frame", "frames of wrong lengths", "frames without end",
              "registers read in traffic", "counters carry into their high word", "counters wrap")
    #: The same, of a core with registers for settings.
    ANY_SETTINGS = "settings of any value"

    def __init__(self, core: Core, seed: int, frames: int | None = None):
        self.core, self.seed = core, seed
        drawn = sorted(draw(core.model, core.config, seed, frames), key=lambda case: case.beats)
        self.cases = [case for case in drawn if case.beats <= MOST_BEATS] or drawn[:1]
        self.left_out = len(drawn) - len(self.cases)
        self.events: set[str] = set()

    def steps(self) -> Iterator[Step]:
        """All steps, those that find most for their time first."""
        small, large = self.cases[:3], self.cases[3:]
        yield from (self._plain(case) for case in small)
        yield Step("registers", self._registers)
        yield Step("overlapping accesses", self._overlapping)
        yield from (self._plain(case) for case in reversed(large))
        yield Step("counters", self._counters)
        yield Step("rates", self._rates)
        for index, case in enumerate(reversed(self.cases)):
            for offset, pattern in enumerate(PATTERNS):
                if (index + offset) % 2 == 0:
                    yield self._stalled(case, pattern, index)
        for case, pattern in product(self.cases[:6], PATTERNS):
            yield self._stalled(case, pattern, len(self.cases))
        yield Step("back to back", self._back_to_back)
        yield Step("registers in traffic", self._registers_in_traffic)
        yield Step("resets in frames", self._resets)
        yield Step("bad traffic", self._bad_traffic)
        yield Step("going on", self._going_on)
        yield Step("endless frames", self._endless_frames)
        yield Step("wild settings", self._wild_settings)

    def first_problem(self, simulator: Simulator, required: Set[str] = frozenset()
                      ) -> str | None:
        """Run all steps up to the first that fails; says which and how.

        Fails, too, if one of the events ``required`` has not happened in the end.
        """
        self.events = set()
        for step in self.steps():
            try:
                step.run(simulator)
            except (ProblemError, SimulationError) as problem:
                return f"{step.name}: {problem}"
        if missing := sorted(required - self.events):
            return f"events: {', '.join(missing)}: never"
        return None

    # Traffic

    def _check(self, case: Case, result, *, stalled: bool, counted: bool = True) -> None:
        for stream in case.expected:
            if message := mismatch(self.core.model, self.core.config, case, stream,
                                   result.beats[stream], result.beat_cycles[stream]):
                raise ProblemError(message)
        label = case.workload.label
        _equal(f"{label!r}: error flags", result.flags, case.flags)
        self._raised(result.flags)
        if not stalled:
            _equal(f"{label!r}: cycles", result.cycles, case.cycles)
        if counted:
            _equal(f"{label!r}: counter frames", result.counters["frames"], case.frames)
            if stalled:              # it rests where a source pauses between frames
                if result.counters["cycles_busy"] > result.cycles:
                    raise ProblemError(f"{label!r}: counter cycles_busy is "
                                  f"{result.counters['cycles_busy']} after {result.cycles} cycles")
            else:
                _equal(f"{label!r}: counter cycles_busy", result.counters["cycles_busy"],
                       result.cycles)
                _equal(f"{label!r}: counter stalled_output", result.counters["stalled_output"], 0)

    def _raised(self, flags: int) -> None:
        self.events |= {f"flag {name} raised" for bit, (name, _) in enumerate(
            self.core.config.flags) if flags >> bit & 1}

    def _patience(self, *cases: Case) -> int:
        return 500 + 2 * sum(case.cycles for case in cases)

    def _plain(self, case: Case) -> Step:
        def run(simulator: Simulator) -> None:
            self._check(case, simulator.run(case.job, patience=self._patience(case)),
                        stalled=False)
            _equal("status after the last beat", simulator.read("status"), 0)
        return Step(f"workload {case.workload.label!r}", run)

    def _stalled(self, case: Case, pattern: str, seed: int) -> Step:
        source, sink = PATTERNS[pattern]
        pauses = {stream.name: pause for stream in self.core.streams
                  if (pause := source if stream.direction == "in" else sink)}

        def run(simulator: Simulator) -> None:
            result = simulator.run(case.job, pauses=pauses, seed=self.seed + seed,
                                   patience=self._patience(case) + LONGEST_PAUSE)
            self._check(case, result, stalled=True)
            # As fast as if all of it had stood still with whatever paused.
            if result.cycles > case.cycles + result.paused:
                raise ProblemError(f"{case.workload.label!r}: {result.cycles} cycles with "
                                   f"{result.paused} of pauses, and {case.cycles} without")
            self.events.add(f"pauses: {pattern}")
        return Step(f"workload {case.workload.label!r}, pauses {pattern}", run)

    def _back_to_back(self, simulator: Simulator) -> None:
        for group in self._of_same_settings():
            simulator.prepare(group[0].job)
            simulator.begin(_joined(self.core, group))
            simulator.go(patience=self._patience(*group))
            result = simulator.collect()
            start = {stream.name: 0 for stream in self.core.outputs}
            for case in group:
                part = {}
                for name, beats in result.beats.items():
                    stop = start[name] + len(case.expected[name])
                    part[name] = Beats(beats.data[start[name]:stop], beats.last[start[name]:stop],
                                       beats.user[start[name]:stop])
                    if message := mismatch(self.core.model, self.core.config, case, name,
                                           part[name], result.beat_cycles[name][start[name]:stop]):
                        raise ProblemError(message)
                    start[name] = stop
            _equal("counter frames", result.counters["frames"], sum(case.frames for case in group))
            self.events.add("frames back to back")

    def _of_same_settings(self) -> list[list[Case]]:
        groups: dict[str, list[Case]] = {}
        for case in self.cases:
            groups.setdefault(repr(sorted(case.job.writes.items())), []).append(case)
        rng = np.random.default_rng(self.seed)
        return [[group[int(index)] for index in rng.permutation(len(group))] * (len(group) == 1) +
                [group[int(index)] for index in rng.permutation(len(group))]
                for group in groups.values()]

    def _resets(self, simulator: Simulator) -> None:
        rng = np.random.default_rng(self.seed)
        for case, following in pairwise([*self.cases[-5:], *self.cases[:4]] * 2):
            simulator.prepare(case.job)
            for name in self.core.registers:
                if self.core.registers[name].access == "rw" and name not in case.job.writes:
                    simulator.write(name, int(rng.integers(1 << 32)))
            simulator.begin(case.job)
            simulator.go(int(rng.integers(1, case.cycles + 2)), patience=self._patience(case))
            if simulator.read("status"):
                self.events.add("a reset in a frame")
            if rng.random() < 0.5:
                simulator.reset(1)                       # one cycle is enough
            else:
                _equal("ports that offer or take something in a reset", simulator.reset(), 0)
            _equal("status after a reset", simulator.read("status"), 0)
            for name, register in self.core.registers.items():
                if register.access != "wo":
                    want = RegisterModel([register]).read(register.offset)[1]
                    _equal(f"{name} after a reset", simulator.read(name), want)
            self._check(following, simulator.run(following.job, patience=self._patience(following)),
                        stalled=False)

    def _bad_traffic(self, simulator: Simulator) -> None:
        rng = np.random.default_rng(self.seed)
        for case, open_ended in product(self.cases[-8:], (False, True)):
            broken = {}
            for stream in self.core.inputs:
                beats = case.job.inputs[stream.name]
                if open_ended and len(beats) > 1:
                    stop = int(rng.integers(1, len(beats)))
                    beats = Beats(beats.data[:stop], beats.last[:stop], beats.user[:stop])
                last = rng.random(len(beats)) < 0.3
                last[-1:] = not open_ended
                user = rng.integers(1 << stream.tuser_bits, size=len(beats)).astype(np.uint64)
                broken[stream.name] = Beats(beats.data, last, user)
            simulator.prepare(case.job)
            self._survives(simulator, case, broken, 2 * case.cycles)
            self.events.add("frames of wrong lengths")

    def _going_on(self, simulator: Simulator) -> None:
        """A core with nothing left of a frame of a wrong length goes on as if it had not been."""
        case = self._small_case()
        for stream, what in product(self.core.inputs, ("long", "short")):
            beats = case.job.inputs[stream.name]
            if not len(beats):
                continue
            length = int(beats.last.argmax()) + 1        # of the first frame
            if what == "short" and length < 2:
                continue
            chosen = (np.r_[:length, :len(beats)] if what == "long" else
                      np.delete(np.arange(len(beats)), length - 1))
            last = beats.last[chosen]
            last[length - 1 if what == "long" else length - 2] = what == "short"
            wrong = Beats(beats.data[chosen], last, beats.user[chosen])
            simulator.prepare(case.job)
            simulator.begin(replace(case.job, inputs={**case.job.inputs, stream.name: wrong}))
            simulator.go(4 * case.cycles + SETTLE, patience=1 << 60)
            simulator.end()
            simulator.idle(2 * case.cycles + SETTLE)
            if simulator.read("status"):
                simulator.reset()
                continue
            self.events.add(f"{GOES_ON} a {what} frame of {stream.name}")
            self._check(case, simulator.run(case.job, patience=self._patience(case)),
                        stalled=False)

    def _endless_frames(self, simulator: Simulator) -> None:
        """Frames of one input after another that are longer than anything the core may hold."""
        case = self.cases[-1]
        for long in self.core.inputs:
            inputs = dict(case.job.inputs)
            beats = inputs[long.name]
            if not len(beats):
                continue
            repeated = np.resize(np.arange(len(beats)), MOST_BEATS)
            last = np.zeros(MOST_BEATS, bool)
            last[-1] = True
            inputs[long.name] = Beats(beats.data[repeated], last, beats.user[repeated])
            simulator.prepare(case.job)
            self._survives(simulator, case, inputs, MOST_BEATS + 2 * case.cycles)
            self.events.add("frames without end")

    def _wild_settings(self, simulator: Simulator) -> None:
        """Registers hold what no driver writes: the ends of their range, and anything else."""
        rng = np.random.default_rng(self.seed)
        names = [name for name, register in self.core.registers.items()
                 if register.access == "rw"]
        if not names:
            return
        for turn, case in product(range(4), self.cases[-3:]):
            simulator.prepare(case.job)
            for name in names:
                words = 0, 0xFFFF_FFFF, *map(int, rng.integers(1 << 32, size=2))
                simulator.write(name, words[turn])
            self._survives(simulator, case, case.job.inputs, 2 * case.cycles)
            self.events.add(self.ANY_SETTINGS)

    def _survives(self, simulator: Simulator, case: Case, inputs: dict[str, Beats],
                  cycles: int) -> None:
        """Offer ``inputs``: the core may give anything, but counts, raises only flags that there
        are, and computes again after a reset."""
        simulator.begin(replace(case.job, inputs=inputs))
        simulator.go(cycles + SETTLE, patience=1 << 60)
        simulator.end()
        # Frames cut to pieces may take longer than whole ones.
        simulator.idle(2 * case.cycles + SETTLE)
        self._at_rest(simulator)
        self._flags(simulator)
        simulator.reset()
        self._check(case, simulator.run(case.job, patience=self._patience(case)), stalled=False)

    def _flags(self, simulator: Simulator) -> None:
        """Flags are those there are, and clear one by one by writing ones."""
        known = register_mask(self.core.register("errors"))
        flags = simulator.read("errors")
        if flags & ~known:
            raise ProblemError(f"error flags {flags:#b} outside of {known:#b}")
        self._raised(flags)
        simulator.write("errors", 0)
        for bit in range(len(self.core.config.flags)):
            _equal("error flags", simulator.read("errors"), flags)
            simulator.write("errors", 1 << bit)
            flags &= ~(1 << bit)
        _equal("error flags after clearing them", simulator.read("errors"), flags)

    def _at_rest(self, simulator: Simulator) -> None:
        """No beat moves, and every output beat is taken: a core that is busy waits for input."""
        busy = simulator.read("status")
        for name in ("cycles_busy", "stalled_input", "stalled_output"):
            before, start = simulator.read_counter(name), simulator.cycle
            simulator.idle(11)
            after, stop = simulator.read_counter(name), simulator.cycle
            rate = 0 if name == "stalled_output" else busy
            _equal(f"counter {name} at rest, busy {busy}", after - before, rate * (stop - start))

    # Registers

    def _registers(self, simulator: Simulator) -> None:
        rng = np.random.default_rng(self.seed)
        simulator.reset()
        model = RegisterModel(self.core.registers.values())
        offsets = [*model.registers]
        holes = sorted({offset ^ 1 << bit for offset in offsets for bit in range(2, 12)}
                       - set(offsets))

        def read(offset: int) -> None:
            hold = int(rng.integers(3))
            _equal(f"response and word at {offset:#x}", simulator.read_at(offset, hold=hold),
                   model.read(offset))

        for offset in offsets:
            read(offset)
        for turn, word in enumerate((*WORDS, *(int(w) for w in rng.integers(1 << 32, size=3)))):
            for offset in rng.permutation(offsets):
                offset = int(offset)
                strobe = 15 if turn < 4 else int(rng.integers(16))
                response = simulator.write_at(offset + int(rng.integers(4)), word ^ offset,
                                              strobe=strobe, skew=int(rng.integers(-3, 4)),
                                              hold=int(rng.integers(3)))
                _equal(f"response of writing at {offset:#x}", response,
                       model.write(offset, word ^ offset, strobe))
                read(offset)
            for offset in offsets:
                read(offset)
        for offset in holes:
            skew = int(rng.integers(-2, 3))
            _equal(f"response of writing at {offset:#x}",
                   simulator.write_at(offset, 0xFFFF_FFFF, skew=skew), SLVERR)
            read(offset)
        for offset in offsets:
            read(offset + int(rng.integers(4)))
        simulator.reset()
        model.reset()
        for offset in offsets:
            read(offset)

    def _overlapping(self, simulator: Simulator) -> None:
        rng = np.random.default_rng(self.seed)
        simulator.reset()
        model = RegisterModel(self.core.registers.values())
        settings = [offset for offset, register in model.registers.items()
                    if register.access == "rw"]
        fixed = [*(offset for offset in model.registers if offset not in settings),
                 *(offset for offset in (0xFFC, 0x800, 0x018) if offset not in model.registers)]
        for seed in (0, 1, 2):
            places = [int(offset) for offset in rng.choice(settings + fixed, 24)]
            writes = [(offset, int(rng.integers(1 << 32)), int(rng.integers(16)))
                      for offset in places]
            reads = [int(offset) for offset in rng.choice(fixed, 24)]
            responses, answers = simulator.burst(writes, reads, seed=seed)
            for (offset, *what), response in zip(writes, responses, strict=True):
                _equal(f"response of writing at {offset:#x}", response, model.write(offset, *what))
            for offset, answer in zip(reads, answers, strict=True):
                _equal(f"response and word at {offset:#x}", answer, model.read(offset))
            reads = [int(offset) for offset in rng.choice(settings + fixed, 96)]
            for offset, answer in zip(reads, simulator.burst([], reads, seed=seed)[1], strict=True):
                _equal(f"response and word at {offset:#x}", answer, model.read(offset))

    def _registers_in_traffic(self, simulator: Simulator) -> None:
        rng = np.random.default_rng(self.seed)
        everywhere = {stream.name: Pauses(0.3, 0.3) for stream in self.core.streams}
        fixed = [register for register in self.core.registers.values()
                 if register.name in ("magic", "version", "config_hash")
                 or register.access == "wo"]
        for case in self.cases[-4:]:
            simulator.prepare(case.job)
            simulator.begin(case.job, pauses=everywhere, seed=self.seed)
            while not simulator.go(int(rng.integers(1, 20)), patience=self._patience(case)):
                register = fixed[int(rng.integers(len(fixed)))]
                _equal(register.name, simulator.read_at(register.offset, hold=2),
                       RegisterModel([register]).read(register.offset))
                _equal("response at a hole", simulator.write_at(0xFFC, 0xFFFF_FFFF, skew=-2),
                       SLVERR)
                self.events.add("registers read in traffic")
            self._check(case, simulator.collect(), stalled=True)

    # Counters

    def _small_case(self) -> Case:
        """The smallest that takes some cycles and whose first frames are longer than a beat."""
        long = [case for case in self.cases if case.cycles >= 12]
        open_ended = [case for case in long if self._stays_open(case)]
        return (open_ended or long or self.cases[-1:])[0]

    def _stays_open(self, case: Case) -> bool:
        """Whether the first beat of every input leaves a frame half received."""
        return all(len(beats) and not beats.last[0] for beats in case.job.inputs.values())

    def _counters(self, simulator: Simulator) -> None:
        case = self._small_case()
        base = simulator.run(case.job, patience=self._patience(case))
        self._check(case, base, stalled=False)
        rng = np.random.default_rng(self.seed)
        starts = [(1 << 32) - 1, (1 << 64) - 1, 0xAAAA_AAAA_5555_5555, 0x5555_5555_FFFF_FFFF,
                  (1 << 33) - 1 - case.frames, int(rng.integers(1 << 63)) * 2 + 1]
        # One bit short of a carry: no piece may take another for full.
        starts += [(1 << 64) - 1 - NEAR_CARRY - (1 << bit) for bit in range(3, 64)]
        for start in starts:
            simulator.prepare(case.job)
            if not self._deposit(simulator, start):
                start = 0
            simulator.begin(case.job)
            simulator.go(patience=self._patience(case))
            counted = simulator.collect().counters
            for name, _ in COUNTERS:
                _equal(f"counter {name} from {start:#x}", counted[name],
                       (start + base.counters[name]) % (1 << 64))
            if start:
                self.events |= {"counters carry into their high word", "counters wrap"}
            simulator.idle(20)
            _equal("counters at rest", {name: simulator.read_counter(name) for name, _ in COUNTERS},
                   counted)
        for empty in (simulator.reset, lambda: simulator.write("control", 1)):
            self._deposit(simulator, (1 << 64) - 1)      # about to carry
            empty()
            for name, value in case.job.writes.items():
                simulator.write(name, value)
            simulator.begin(case.job)
            simulator.go(patience=self._patience(case))
            _equal("counters of a run after they were emptied", simulator.collect().counters,
                   base.counters)
        simulator.write("control", 0xFFFF_FFFE)
        for name, _ in COUNTERS:
            if case.cycles and name == "cycles_busy" and not simulator.read_counter(name):
                raise ProblemError("writing other bits of control cleared a counter")
        simulator.write_at(self.core.register("control").offset, 1, strobe=14)
        if not simulator.read_counter("cycles_busy"):
            raise ProblemError("control acts on a write that does not choose its byte")
        simulator.write("control", 1)
        for name, _ in COUNTERS:
            _equal(f"counter {name} after clearing", simulator.read_counter(name), 0)

    def _deposit(self, simulator: Simulator, start: int) -> bool:
        """Put all counters at ``start``; False where the model has no way to."""
        def put(name: str, register: str, value: int) -> bool:
            instance = COUNTER_INSTANCE.format(core=self.core.name, name=name)
            return (simulator.deposit(instance, register + STORED, value)
                    or simulator.deposit(instance, register, value))

        values = {register: start >> bit & (1 << bits) - 1
                  for register, bit, bits in COUNTER_PIECES}
        values |= {register: int(start >> bit & (1 << bits) - 1 == value)
                   for register, bit, bits, value in COUNTER_COMPARED}
        done = {f"{name}.{register}": put(name, register, value)
                for name, _ in COUNTERS for register, value in values.items()}
        if missing := [register for register, found in done.items() if not found]:
            if len(missing) < len(done):
                raise ProblemError(f"counters without the registers {', '.join(missing)}")
            return False
        return True

    def _rates(self, simulator: Simulator) -> None:
        counting = {"starved": {"cycles_busy": 1, "stalled_input": 1, "stalled_output": 0,
                                "frames": 0},
                    "blocked": {"cycles_busy": 1, "stalled_output": 1, "frames": 0}}
        for situation, rates in counting.items():
            case = self._small_case() if situation == "starved" else self.cases[-1]
            simulator.prepare(case.job)
            if situation == "starved":
                simulator.begin(case.job, inputs=self._half_a_frame(case))
            else:
                simulator.begin(case.job, blocked=True)
            simulator.go(case.cycles + SETTLE, patience=1 << 60)
            busy = 1 if situation == "blocked" or self._stays_open(case) else \
                simulator.read("status")
            _equal(f"status while {situation}", simulator.read("status"), busy)
            rates = {name: rate * busy for name, rate in rates.items()}
            if situation == "blocked" and simulator.offering():
                rates = {**rates, "stalled_input": 0}
            for name, rate in rates.items():
                before, start = simulator.read_counter(name), simulator.cycle
                simulator.go(17, patience=1 << 60)
                after, stop = simulator.read_counter(name), simulator.cycle
                _equal(f"counter {name} while {situation}", after - before, rate * (stop - start))
            released = simulator.cycle
            simulator.release()
            simulator.go(patience=self._patience(case))
            taken = simulator.cycle - released
            self._check(case, simulator.collect(), stalled=True)
            if taken > case.cycles + FILLED:             # whatever waits in buffers
                raise ProblemError(f"{case.workload.label!r}: {taken} cycles after it was "
                                   f"{situation}, and {case.cycles} from the start")
            self._latches(simulator, case, situation)

    def _latches(self, simulator: Simulator, case: Case, situation: str) -> None:
        """The high word is that of the moment in which the low word was read."""
        if situation == "starved" and not self._stays_open(case):
            return                                       # nothing counts, and no frame may be left
        simulator.prepare(case.job)
        if situation == "starved":
            simulator.begin(case.job, inputs=self._half_a_frame(case))
        else:
            simulator.begin(case.job, blocked=True)
        simulator.go(case.cycles + SETTLE, patience=1 << 60)
        for name in ("cycles_busy", "stalled_input" if situation == "starved" else "stalled_output",
                     "frames"):
            low = 0xFFFF_FFFF if name == "frames" else 0xFFFF_FFC0
            if not self._deposit(simulator, 5 << 32 | low):
                simulator.release()
                simulator.go(patience=self._patience(case))
                return
            read = simulator.read(f"{name}_low")
            if read < low:
                raise ProblemError(f"counter {name} reads {read:#x} from {low:#x}")
            if name == "frames":
                simulator.release()
                simulator.go(patience=self._patience(case))
            else:
                simulator.go(80, patience=1 << 60)
            _equal(f"high word of {name}, latched", simulator.read(f"{name}_high"), 5)
            _equal(f"high word of {name} afterwards",
                   simulator.read_counter(name) >> 32, 6)

    def _half_a_frame(self, case: Case) -> dict[str, int]:
        """Beats of every input such that a frame of the one that is sent last stays open."""
        counts = {}
        for stream in self.core.inputs:
            beats = case.job.inputs[stream.name]
            counts[stream.name] = 1 if len(beats) else 0
        return counts


def _joined(core: Core, cases: list[Case]):
    job = cases[0].job
    return replace(
        job,
        inputs={stream.name: Beats.join([case.job.inputs[stream.name] for case in cases],
                                        stream.lanes) for stream in core.inputs},
        outputs={stream.name: sum(case.job.outputs[stream.name] for case in cases)
                 for stream in core.outputs})


def _equal(what: str, got: object, want: object) -> None:
    if got != want:
        raise ProblemError(f"{what}: {got}, expected {want}")


def writable(core: Core, folder: Path) -> Core:
    """The same core with counters that :meth:`Simulator.deposit` can set, under Verilator.

    Writes a file into ``folder``.
    """
    path = folder / "writable.vlt"
    path.write_text("`verilator_config\n" + WRITABLE)
    return replace(core, sources=(*core.sources, path))
