"""Well-formed frames: alone, with pauses, back to back, and cut off by a reset."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise, product

import numpy as np

from systolith.sim.cases import Case, mismatch
from systolith.sim.frames import Beats
from systolith.sim.registers import RegisterModel
from systolith.sim.simulators.exercise.part import Part, ProblemError, Step, equal, joined
from systolith.sim.simulators.harness import Pauses, Result, Simulator

EVERYWHERE, SLOW = Pauses(0.3, 0.3), Pauses(0.9, 0.15)
PATTERNS = {
    "everywhere": (EVERYWHERE, EVERYWHERE),
    "slow source": (SLOW, None),
    "slow sink": (None, SLOW),
    "long pauses of the sink": (None, Pauses(0.05, 0.02)),
    "pauses of the sink that fill everything": (None, Pauses(0.01, 0.005)),
    "long pauses of the source": (Pauses(0.05, 0.02), None),
}
LATE = Pauses(0.3, 0.1)      # of one stream alone
SMALLEST = 6                 # cases with all patterns
AGAIN = 64                   # times that one is sent, more than a small core has room for results
SMALL, FEW = 3, 2            # cases that say how long a core waits at first; cycles more or less
LONGEST_PAUSE = 10_000       # that a pattern makes in practice


class Traffic(Part):
    """Values, flags and cycles against the golden and the cycle model."""

    waits: int | None = None     # cycles that small cases count as waiting for input

    def stalled(self) -> Iterator[Step]:
        """Every case with half of the patterns, and small ones with all of them."""
        for index, case in enumerate(reversed(self.cases)):
            for offset, pattern in enumerate(PATTERNS):
                if (index + offset) % 2 == 0:
                    yield self._stalled(case, pattern, index)
        for case, pattern in product(self.cases[:SMALLEST], PATTERNS):
            yield self._stalled(case, pattern, len(self.cases))
        # One stream is late, and everything else is there.
        for index, (case, stream) in enumerate(product(self.cases, self.core.streams)):
            yield self._with(case, {stream.name: LATE}, f"{stream.name} late", index)

    def plain(self, case: Case) -> Step:
        """A case without pauses, to the cycle."""
        def run(simulator: Simulator) -> None:
            result = simulator.run(case.job, patience=self.patience(case))
            self.check(case, result, stalled=False)
            equal("status after the last beat", simulator.read("status"), 0)
            # Everything is there, so what counts as waiting is over with the first beats.
            waits = result.counters["stalled_input"]
            if any(case is small for small in self.cases[:SMALL]):
                self.waits = max(self.waits or 0, waits)
            elif self.waits is not None and waits > self.waits + FEW:
                raise ProblemError(f"{case.workload.label!r}: stalled_input counts {waits} with "
                                   f"all input there, and {self.waits} in small workloads")
        return Step(f"workload {case.workload.label!r}", run)

    def ignored(self, simulator: Simulator) -> None:
        """What elements hold that do not matter makes no difference, nor does ``tuser`` behind the
        first beat of a frame."""
        rng = np.random.default_rng(self.seed)
        for case in self.cases:
            ignored, inputs = self.core.model.ignored(self.core.config, case.workload), {}
            for stream in self.core.inputs:
                beats = case.job.inputs[stream.name]
                codes = rng.integers(1 << stream.element.bits, size=beats.data.shape,
                                     dtype=np.uint64).astype(np.int64)
                mask = ignored.get(stream.name, False)
                user = rng.integers(1 << stream.tuser_bits, size=len(beats)).astype(np.uint64)
                first = np.r_[True, beats.last[:-1]][:len(beats)]
                inputs[stream.name] = Beats(np.where(mask, codes, beats.data), beats.last,
                                            np.where(first, beats.user, user))
            if ignored or any(stream.tuser_bits for stream in self.core.inputs):
                job = replace(case.job, inputs=inputs)
                self.check(case, simulator.run(job, patience=self.patience(case)), stalled=False)
                # Neither while everything is full.
                stalls = {stream.name: EVERYWHERE if stream.direction == "in" else SLOW
                          for stream in self.core.streams}
                self.check(case, simulator.run(job, pauses=stalls, seed=self.seed,
                                               patience=self.patience(case) + LONGEST_PAUSE),
                           stalled=True)

    def _stalled(self, case: Case, pattern: str, seed: int) -> Step:
        source, sink = PATTERNS[pattern]
        return self._with(case, {
            stream.name: pause for stream in self.core.streams
            if (pause := source if stream.direction == "in" else sink)}, pattern, seed)

    def _with(self, case: Case, pauses: dict[str, Pauses], pattern: str, seed: int) -> Step:
        def run(simulator: Simulator) -> None:
            result = simulator.run(case.job, pauses=pauses, seed=self.seed + seed,
                                   patience=self.patience(case) + LONGEST_PAUSE)
            self.check(case, result, stalled=True)
            # As fast as if all of it had stood still with whatever paused.
            if result.cycles > case.cycles + result.paused:
                raise ProblemError(f"{case.workload.label!r}: {result.cycles} cycles with "
                                   f"{result.paused} of pauses, and {case.cycles} without")
            self.events.add(f"pauses: {pattern}")
        return Step(f"workload {case.workload.label!r}, pauses {pattern}", run)

    def late_beats(self, simulator: Simulator) -> None:
        """A beat that comes late within a frame: each cycle that this costs is told as one of
        waiting for input. Of frames that are loaded ahead of their use, the first beat may be late,
        too, and as many cycles as these have beats need not be told."""
        rng = np.random.default_rng(self.seed)
        ahead = self.core.model.ahead(self.core.config)
        for case in self.cases:
            base = simulator.run(case.job, patience=self.patience(case)).counters
            for stream in self.core.inputs:
                last, frames = case.job.inputs[stream.name].last, ahead.get(stream.name, 0)
                inside = np.flatnonzero(~last[:-1] | (frames > 0)) + 1
                for places in (inside, inside[last[inside]]):
                    if len(places):
                        self._late_beat(simulator, case, base, stream.name, frames,
                                        int(rng.choice(places)),
                                        int(rng.integers(1, case.cycles + 40)))

    def _late_beat(self, simulator: Simulator, case: Case, base: Mapping[str, int], name: str,
                   frames: int, place: int, pause: int) -> None:
        """A case whose beat ``place`` of a stream, which is ``frames`` ahead, is late."""
        simulator.prepare(case.job)
        simulator.begin(case.job, inputs={name: place})
        simulator.go(pause, patience=LONGEST_PAUSE + pause)
        simulator.release()
        simulator.go(patience=self.patience(case))
        result = simulator.collect()
        self.check(case, result, stalled=True)
        told = result.counters["stalled_input"] - base["stalled_input"]
        lost = result.counters["cycles_busy"] - base["cycles_busy"]
        last = case.job.inputs[name].last
        frame = np.count_nonzero(np.cumsum(last) - last == last[:place].sum())
        if told < lost - frames * frame:
            raise ProblemError(f"workload {case.workload.label!r}: beat {place} of {name}, "
                               f"{pause} cycles late, costs {lost}, and counter stalled_input "
                               f"tells of {told}")

    def back_to_back(self, simulator: Simulator) -> None:
        """Cases of the same settings without anything between them."""
        for group in self._of_same_settings():
            simulator.prepare(group[0].job)
            simulator.begin(joined(self.core, group))
            simulator.go(patience=self.patience(*group))
            self._check_all(group, simulator.collect())
            self.events.add("frames back to back")

    def filled_up(self, simulator: Simulator) -> None:
        """A small case again and again, of which nothing is taken until all could have come."""
        for case in self.cases[:SMALLEST]:
            group = [case] * AGAIN
            simulator.prepare(case.job)
            simulator.begin(joined(self.core, group), blocked=True)
            until = AGAIN * case.cycles
            simulator.go(until, patience=until + 1)
            simulator.release()
            simulator.go(patience=self.patience(*group))
            self._check_all(group, simulator.collect())

    def _check_all(self, group: Sequence[Case], result: Result) -> None:
        """Compare the beats of cases that followed each other, and count their frames."""
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
        equal("counter frames", result.counters["frames"], sum(case.frames for case in group))

    def _of_same_settings(self) -> list[list[Case]]:
        groups: dict[str, list[Case]] = {}
        for case in self.cases:
            groups.setdefault(repr(sorted(case.job.writes.items())), []).append(case)
        rng = np.random.default_rng(self.seed)
        return [[group[int(index)] for index in rng.permutation(len(group))] * (len(group) == 1) +
                [group[int(index)] for index in rng.permutation(len(group))]
                for group in groups.values()]

    def resets(self, simulator: Simulator) -> None:
        """Resets of one or two cycles in the middle of a case leave nothing of it."""
        rng = np.random.default_rng(self.seed)
        for case, following in pairwise([*self.cases[-5:], *self.cases[:4]] * 2):
            simulator.prepare(case.job)
            for name in self.core.registers:
                if self.core.registers[name].access == "rw" and name not in case.job.writes:
                    simulator.write(name, int(rng.integers(1 << 32)))
            simulator.begin(case.job)
            simulator.go(int(rng.integers(1, case.cycles + 2)), patience=self.patience(case))
            if simulator.read("status"):
                self.events.add("a reset in a frame")
            if rng.random() < 0.5:
                simulator.reset(1)                       # one cycle is enough
            else:
                equal("ports that offer or take something in a reset", simulator.reset(), 0)
            self.is_as_new(simulator)
            self.check(following, simulator.run(following.job, patience=self.patience(following)),
                       stalled=False)
        for bit in range(len(self.core.config.flags)):
            raising = next((case for case in self.cases if case.flags >> bit & 1), None)
            if raising:
                self.cut_off(simulator, raising.job, 1 << bit)

    def after_resets(self, simulator: Simulator) -> None:
        """Beats are there in the first cycle after a reset, for cases of the settings it gives."""
        for case in self.cases:
            if all(map(self._is_reset, case.job.writes, case.job.writes.values())):
                simulator.reset()
                simulator.begin(case.job)
                simulator.go(patience=self.patience(case))
                self.check(case, simulator.collect(), stalled=False)

    def _is_reset(self, name: str, value: int) -> bool:
        """Whether writing this makes no difference after a reset."""
        register = self.core.registers[name]
        model = RegisterModel([register])
        before = model.read(register.offset)
        model.write(register.offset, value & 0xFFFF_FFFF, 0b1111)
        return model.read(register.offset) == before
