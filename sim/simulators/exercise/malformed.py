"""Frames and settings that no driver makes: a core may give anything, but recovers."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import islice, product

import numpy as np

from systolith.hdl.interface import Stream
from systolith.sim.cases import Case, register_mask, work_out
from systolith.sim.frames import Beats
from systolith.sim.model import Job, Refusal
from systolith.sim.operands import ceil_div
from systolith.sim.simulators.errors import HangError
from systolith.sim.simulators.exercise.part import SETTLE, Part, ProblemError, equal, joined
from systolith.sim.simulators.harness import Pauses, Simulator

ANY_BITS, ANY_SETTINGS = "frames of any bits", "settings of any value"
ENDLESS = 6_000              # beats of a frame without end
GOES_ON = "goes on after"    # begins the names of such events
BROKEN, ANYTHING = 12, 4     # cases, at most, whose frames are cut and joined, or hold anything
FILLED = 6                   # of the smallest, flagged and largest cases, for short frames
LATE = 10                    # cycles that a count in progress is old when it has been read
UNLIKE = 20                  # beats of a frame, at most, in place of a short one
ANYWHERE = Pauses(0.3, 0.3)


class Malformed(Part):
    """Frames of wrong lengths, registers of any value."""

    def bad_traffic(self, simulator: Simulator) -> None:
        """Frames cut and joined at random, with any ``tuser``."""
        rng = np.random.default_rng(self.seed)
        for case, open_ended in product(self._larger(BROKEN), (False, True)):
            broken = {}
            for stream in self.core.inputs:
                beats = case.job.inputs[stream.name]
                if open_ended and len(beats) > 1:
                    beats = _part(beats, int(rng.integers(1, len(beats))))
                last = rng.random(len(beats)) < 0.3
                last[-1:] = not open_ended
                user = rng.integers(1 << stream.tuser_bits, size=len(beats)).astype(np.uint64)
                broken[stream.name] = Beats(beats.data, last, user)
            simulator.prepare(case.job)
            self._survives(simulator, case, broken, 2 * case.cycles)
            self.events.add("frames of wrong lengths")

    def any_bits(self, simulator: Simulator) -> None:
        """Frames of the right lengths that hold anything, of one input after the other."""
        rng = np.random.default_rng(self.seed)
        for stream, case in product(self.core.inputs, self._larger(ANYTHING)):
            beats = case.job.inputs[stream.name]
            codes = rng.integers(1 << stream.element.bits, size=beats.data.shape, dtype=np.uint64)
            simulator.prepare(case.job)
            self._survives(simulator, case, {
                **case.job.inputs, stream.name: replace(beats, data=codes.astype(np.int64))},
                2 * case.cycles)
            self.events.add(ANY_BITS)

    def going_on(self, simulator: Simulator) -> None:
        """A core with nothing left of a frame of a wrong length goes on as if it had not been."""
        for stream in self.core.inputs:
            for name, case, end, pauses in self._frames(stream):
                job = joined(self.core, [case, case])
                beats = job.inputs[stream.name]
                wrong = {"long": _long(beats, end)}
                if end and not beats.last[end - 1]:
                    wrong["short"] = _short(beats, np.array([end]))
                for what, given in wrong.items():
                    # Whatever becomes of the wrong frame, there is room for it.
                    self._goes_on(simulator, case, replace(
                        job, inputs={**job.inputs, stream.name: given},
                        outputs={output: 2 * count for output, count in job.outputs.items()}),
                        f"a {what} {name} of {stream.name}", pauses)
        for stream in self.core.inputs:
            case = self._longest(stream)
            whole = case.job.inputs
            nothing = {name: _part(beats, 0) for name, beats in whole.items()}
            frame = {name: _part(beats, _first(beats)) for name, beats in whole.items()}
            for what, others, beats in (
                    (f"a beat of {stream.name} alone", nothing, _part(whole[stream.name], 1)),
                    (f"{stream.name} alone", nothing, whole[stream.name]),
                    (f"a frame of {stream.name} that is too long and has no end", frame,
                     _open(whole[stream.name]))):
                job = replace(case.job, inputs={**others, stream.name: beats})
                self._goes_on(simulator, case, job, what, following=self._unlike(case, stream))

    def short_frames(self, simulator: Simulator) -> None:
        """Beats that are missing, the last of the first frame or of all, or all but one that are
        filled up, count as what the model says; they are not waited for. Only lengths are said to
        be wrong."""
        of_lengths = self.core.model.length_flags(self.core.config)
        contents = sum(1 << bit for bit, (name, _) in enumerate(self.core.config.flags)
                       if name not in of_lengths)
        for stream in self.core.inputs:
            found = [(case, codes[stream.name]) for case in self.cases
                     if stream.name in (codes := self.core.model.filled(self.core.config,
                                                                        case.workload))
                     and _first(case.job.inputs[stream.name]) > 1]
            flagged = [(case, code) for case, code in found[FILLED:-FILLED]
                       if case.flags & contents]
            for case, code in (*found[:FILLED], *flagged[:FILLED], *found[FILLED:][-FILLED:]):
                beats = case.job.inputs[stream.name]
                ends = _ends(beats)
                unit = self.core.model.units(self.core.config, case.workload).get(
                    stream.name, len(beats))
                second = min(ends[0] // unit * unit + 1, ends[0])        # beat of the last unit
                ways = {tuple(ends): "the last beat of all frames",
                        tuple(range(second, ends[0] + 1)): "the end of a frame",
                        (ends[0],): "the last beat of a frame"}
                for missing, what in ways.items():
                    self._short_frames(simulator, case, stream.name, np.array(missing), code,
                                       contents, f"without {what} of {stream.name}")

    def _short_frames(self, simulator: Simulator, case: Case, name: str, ends: np.ndarray,
                      code: int, contents: int, without: str) -> None:
        """A case without the beats at ``ends`` of frames, compared to one with a code there."""
        beats = case.job.inputs[name]
        (short, flags, counters), (filled, filled_flags, usual) = (
            self._anyway(simulator, case, {name: given})
            for given in (_short(beats, ends), _blank(beats, ends, code)))
        where = f"workload {case.workload.label!r} {without}"
        for counter in sorted(counters.keys() & usual.keys()):
            # With another input, that may be waited for sooner.
            comparable = counter == "cycles_busy" or len(self.core.inputs) == 1
            if comparable and counters[counter] > usual[counter]:
                raise ProblemError(f"{where}: counter {counter} is {counters[counter]}, and "
                                   f"{usual[counter]} with {code} there")
        for output, taken in short.items():
            if not (np.array_equal(taken.data, filled[output].data)
                    and np.array_equal(taken.last, filled[output].last)):
                raise ProblemError(f"{where}: {output} is not what it is with {code} there")
        if flags & contents & ~filled_flags:
            raise ProblemError(f"{where}: flags are {flags:#b}, and {filled_flags:#b} with "
                               f"{code} there")

    def long_frames(self, simulator: Simulator) -> None:
        """Where beats too many make no difference but that it is told, no other input is said to be
        wrong."""
        names = [name for name, _ in self.core.config.flags]
        owners = [max((stream.name for stream in self.core.inputs
                       if name.startswith(f"{stream.name}_")), key=len, default=None)
                  for name in names]
        for stream in self.core.inputs:
            if f"{stream.name}_long" not in names:
                continue
            own = 1 << names.index(f"{stream.name}_long")
            others = sum(1 << bit for bit, owner in enumerate(owners)
                         if owner not in (None, stream.name))
            for case in (self._longest(stream), *self.cases[-FILLED:]):
                if beats := case.job.inputs[stream.name]:
                    taken, flags, _ = self._anyway(simulator, case, {stream.name: _long(beats)})
                    right = all(np.array_equal(taken[name].data, want.data)
                                for name, want in case.expected.items())
                    if right and flags & own and flags & others & ~case.flags:
                        raise ProblemError(
                            f"workload {case.workload.label!r}: with beats too many of "
                            f"{stream.name}, which is told, flags are {flags:#b}, too")

    def unlike_frames(self, simulator: Simulator) -> None:
        """A frame of another length than the one it comes with raises its flag."""
        names = [name for name, _ in self.core.config.flags]
        paired = self.core.model.paired(self.core.config)
        for stream in self.core.inputs:
            if stream.name not in paired:
                continue
            flag, longest = paired[stream.name], self._longest(stream)
            most = _first(longest.job.inputs[stream.name])
            shortest = next(case for case in self.cases if len(case.job.inputs[stream.name]))
            for case, lengths in ((shortest, range(1, min(most, UNLIKE) + 1)),
                                  (longest, (most - 1, 1))):
                beats = case.job.inputs[stream.name]
                for length in sorted({*lengths} - {0, _first(beats)}):
                    _, flags, _ = self._anyway(simulator, case, {
                        stream.name: _resized(beats, length)})
                    self.raised(flags)
                    if not flags >> names.index(flag) & 1:
                        raise ProblemError(f"flag {flag} is not raised with a frame of "
                                           f"{stream.name} of {length} beats in place of "
                                           f"{_first(beats)}")

    def wild_users(self, simulator: Simulator) -> None:
        """With any ``tuser`` in the first beat of a frame, that of its others makes no
        difference."""
        rng = np.random.default_rng(self.seed)
        for stream in self.core.inputs:
            cases = [case for case in self.cases if _first(case.job.inputs[stream.name]) > 1]
            for case in cases[:FILLED] if stream.tuser_bits else ():
                beats = case.job.inputs[stream.name]
                words = rng.integers(1 << stream.tuser_bits, size=len(beats)).astype(np.uint64)
                inside = np.arange(len(beats)) < _first(beats)
                seen = []
                for users in (words[0], words):
                    simulator.run(case.job, patience=self.patience(case))    # the same state before
                    given = replace(beats, user=np.where(inside, users, beats.user))
                    seen.append(self._anyway(simulator, case, {stream.name: given}))
                (taken, flags, _), (others, other_flags, _) = seen
                what = f"workload {case.workload.label!r} with tuser {words[0]:#x} of {stream.name}"
                equal(f"{what}: flags with others behind it", other_flags, flags)
                for name, want in taken.items():
                    if not np.array_equal(others[name].data, want.data):
                        raise ProblemError(f"{what}: others behind it make a difference to {name}")

    def refused(self, simulator: Simulator) -> None:
        """What a frame must not come with raises its flag, and counts as what the model says."""
        names = [name for name, _ in self.core.config.flags]
        for refusal in self.core.model.refused(self.core.config):
            case = self._tried_with(refusal)
            taken, flags = self._told(simulator, case, refusal.writes, refusal.users, refusal.data)
            self.raised(flags)
            if not flags >> names.index(refusal.flag) & 1:
                raise ProblemError(f"not raised: flag {refusal}")
            if not refusal.like and not refusal.like_data:
                continue
            like, flags = self._told(simulator, case, *(
                {name: refusal.like.get(name, value) for name, value in given.items()}
                for given in (refusal.writes, refusal.users)), refusal.like_data)
            if flags >> names.index(refusal.flag) & 1:
                raise ProblemError(f"raised with what is like it: flag {refusal}")
            for name, want in like.items():
                if not np.array_equal(taken[name].data, want.data):
                    raise ProblemError(f"{name} is not what it is with what is like it: flag "
                                       f"{refusal}")

    def _tried_with(self, refusal: Refusal) -> Case:
        if refusal.workload:
            return work_out(self.core.model, self.core.config, refusal.workload)
        return next(case for case in (self.small_case(), *self.cases)
                    if all(len(case.job.inputs[name]) for name in refusal.users))

    def _told(self, simulator: Simulator, case: Case, writes: Mapping[str, int],
              users: Mapping[str, int], data: Mapping[str, Beats]
              ) -> tuple[dict[str, Beats], int]:
        """What a case gives with values of registers, words of ``tuser`` and beats of streams, and
        its flags."""
        given = dict(data)
        for name, user in users.items():
            beats = given.get(name, case.job.inputs[name])
            given[name] = replace(beats, user=np.full(len(beats), user, np.uint64))
        taken, flags, _ = self._anyway(simulator, case, given, writes)
        return taken, flags

    def _anyway(self, simulator: Simulator, case: Case, given: Mapping[str, Beats],
                writes: Mapping[str, int] | None = None
                ) -> tuple[dict[str, Beats], int, dict[str, int]]:
        """What a case gives with other beats of some streams, its flags, and counters of cycles,
        none if it is still busy; from reset to reset."""
        simulator.prepare(case.job)
        for name, value in (writes or {}).items():
            simulator.write(name, value)
        simulator.begin(replace(case.job, inputs={**case.job.inputs, **given}))
        taken = _run_dry(simulator, case, 4 * case.cycles)
        flags = simulator.read("errors")
        counters = {} if simulator.read("status") else {
            name: simulator.read_counter(name) for name in ("cycles_busy", "stalled_input")}
        simulator.reset()
        return taken, flags, counters

    def resets(self, simulator: Simulator) -> None:
        """Resets while a flag that no case raises is on its way leave nothing of it."""
        known = 0
        for case in self.cases:
            known |= case.flags
        for case, given in self._wrong_frames():
            _, flags, _ = self._anyway(simulator, case, given)
            for bit in range(len(self.core.config.flags)):
                if flags & ~known & 1 << bit:
                    self.cut_off(simulator, replace(case.job, inputs={**case.job.inputs, **given}),
                                 1 << bit)
            known |= flags

    def _wrong_frames(self) -> Iterator[tuple[Case, dict[str, Beats]]]:
        """Cases and frames of wrong lengths for them."""
        for stream in self.core.inputs:
            for case in (self.small_case(), self._longest(stream)):
                beats = case.job.inputs[stream.name]
                if _first(beats):
                    yield case, {stream.name: _long(beats)}
                if _first(beats) > 1:
                    yield case, {stream.name: _short(beats, _ends(beats)[:1])}

    def _larger(self, most: int) -> list[Case]:
        """Some of the larger half of the cases, of all sizes among them."""
        larger = self.cases[len(self.cases) // 2:]
        return larger[::-ceil_div(len(larger), most)]

    def _longest(self, stream: Stream) -> Case:
        """The case whose first frame of a stream is the longest."""
        return max(self.cases, key=lambda case: _first(case.job.inputs[stream.name]))

    def _frames(self, stream: Stream) -> Iterator[tuple[str, Case, int, Pauses | None]]:
        """Frames to be made wrong: names, cases, beats in which they end, and pauses. One last
        frame with each of a few ``tuser``, as that may say how long a frame has to be."""
        for name, case, pauses in (("frame", self.small_case(), None),
                                   ("longest frame", self._longest(stream), ANYWHERE)):
            if length := _first(case.job.inputs[stream.name]):
                yield name, case, length - 1, pauses
        smallest: dict[int, Case] = {}
        for case in self.cases:
            beats = case.job.inputs[stream.name]
            if beats.last.sum() > 1 and not beats.last[-2]:
                smallest.setdefault(int(beats.user[-1]), case)
        for user, case in islice(smallest.items(), FILLED):
            end = len(case.job.inputs[stream.name]) - 1
            yield f"last frame with tuser {user:#x}", case, end, None

    def _unlike(self, case: Case, stream: Stream) -> Case:
        """A case of the same settings that begins with another frame of a stream, if there is one:
        what is left of the one shows in its results."""
        def frame(case: Case) -> bytes:
            beats = case.job.inputs[stream.name]
            return _part(beats, _first(beats)).data.tobytes()

        return next((other for other in self.cases if other.job.writes == case.job.writes
                     and len(other.job.inputs[stream.name]) and frame(other) != frame(case)), case)

    def _goes_on(self, simulator: Simulator, case: Case, job: Job, what: str,
                 pauses: Pauses | None = None, following: Case | None = None) -> None:
        """Run a job that is wrong: in the beginning, and ends with ``case``, which then comes
        again; or all of it is, and ``following`` comes then."""
        simulator.prepare(job)
        begun = simulator.cycle
        simulator.begin(job, seed=self.seed,
                        pauses=pauses and {stream.name: pauses for stream in self.core.streams})
        taken = _run_dry(simulator, case, case.cycles * (20 if pauses else 4))
        self.raised(simulator.read("errors"), f"by {what}")
        if following and simulator.read("status"):
            count = simulator.read_counter("cycles_busy")
            equal(f"counter cycles_busy from the first beat on, behind {what}", count,
                  simulator.cycle - begun - LATE)
        self._at_rest(simulator, f" behind {what}")
        if not following and not simulator.read("status"):
            for name, want in case.expected.items():
                if not _ends_with(taken[name], want):
                    raise ProblemError(f"{name} does not end with the right frames that came "
                                       f"right behind {what}")
        self._continues(simulator, following or case, what)
        simulator.reset()

    def _continues(self, simulator: Simulator, case: Case, what: str) -> None:
        """If nothing is left of what was wrong, the next frames are right."""
        if not simulator.read("status"):
            self.events.add(f"{GOES_ON} {what}")
            self.check(case, simulator.run(case.job, patience=self.patience(case)),
                       stalled=False)

    def endless_frames(self, simulator: Simulator) -> None:
        """Frames of one input after another that are longer than anything the core may hold."""
        case = self.cases[-1]
        for long in self.core.inputs:
            inputs = dict(case.job.inputs)
            beats = inputs[long.name]
            if not len(beats):
                continue
            repeated = np.resize(np.arange(len(beats)), ENDLESS)
            last = np.zeros(ENDLESS, bool)
            last[-1] = True
            inputs[long.name] = Beats(beats.data[repeated], last, beats.user[repeated])
            simulator.prepare(case.job)
            self._survives(simulator, case, inputs, ENDLESS + 2 * case.cycles,
                           f"a frame without end of {long.name}")
            self.events.add("frames without end")

    def wild_settings(self, simulator: Simulator) -> None:
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
            self.events.add(ANY_SETTINGS)

    def _survives(self, simulator: Simulator, case: Case, inputs: dict[str, Beats],
                  cycles: int, what: str = "") -> None:
        """Offer ``inputs``: the core may give anything, but counts, raises only flags that there
        are, and computes again: after a reset, or without one if nothing is left of them and they
        have a name."""
        simulator.begin(replace(case.job, inputs=inputs))
        _run_dry(simulator, case, cycles)
        self._at_rest(simulator)
        self._flags(simulator)
        if what:
            self._continues(simulator, case, what)
        simulator.reset()
        self.check(case, simulator.run(case.job, patience=self.patience(case)), stalled=False)

    def _flags(self, simulator: Simulator) -> None:
        """Flags are those there are, and clear one by one by writing ones."""
        known = register_mask(self.core.register("errors"))
        flags = simulator.read("errors")
        if flags & ~known:
            raise ProblemError(f"error flags {flags:#b} outside of {known:#b}")
        self.raised(flags)
        simulator.write("errors", 0)
        for bit in range(len(self.core.config.flags)):
            equal("error flags", simulator.read("errors"), flags)
            simulator.write("errors", 1 << bit)
            flags &= ~(1 << bit)
        equal("error flags after clearing them", simulator.read("errors"), flags)

    def _at_rest(self, simulator: Simulator, where: str = "") -> None:
        """No beat moves, and every output beat is taken: a core that is busy waits for input."""
        busy = simulator.read("status")
        for name in ("cycles_busy", "stalled_input", "stalled_output"):
            before, start = simulator.read_counter(name), simulator.cycle
            simulator.idle(11)
            after, stop = simulator.read_counter(name), simulator.cycle
            rate = 0 if name == "stalled_output" else busy
            equal(f"counter {name} at rest{where}, busy {busy}", after - before,
                  rate * (stop - start))


def _run_dry(simulator: Simulator, case: Case, cycles: int) -> dict[str, Beats]:
    """Go on with frames like those of ``case`` for so many cycles, or until nothing has moved for
    longer than that takes; then stop offering. Gives what came so far."""
    try:
        simulator.go(cycles + SETTLE, patience=case.cycles + SETTLE)
        left = 2 * case.cycles            # frames cut to pieces may take longer than whole ones
    except HangError:
        left = 0
    taken = simulator.taken()
    simulator.end()
    simulator.idle(left + SETTLE)
    return taken


def _first(beats: Beats) -> int:
    """Beats of the first frame."""
    return int(beats.last.argmax()) + 1 if len(beats) else 0


def _ends(beats: Beats) -> np.ndarray:
    """Where frames of more than one beat end."""
    return np.flatnonzero(beats.last & ~np.r_[True, beats.last[:-1]][:len(beats)])


def _ends_with(beats: Beats, want: Beats) -> bool:
    return len(beats) >= len(want) > 0 and bool((beats.data[-len(want):] == want.data).all())


def _part(beats: Beats, count: int) -> Beats:
    return Beats(beats.data[:count], beats.last[:count], beats.user[:count])


def _open(beats: Beats) -> Beats:
    """The first frame with a beat more, and without an end."""
    length = _first(beats)
    return replace(_part(_long(beats), length + 1), last=np.zeros(length + 1, bool))


def _long(beats: Beats, end: int | None = None) -> Beats:
    """With the last beat of a frame three times, the first or the one that ends at ``end``."""
    if end is None:
        end = _first(beats) - 1
    chosen = np.r_[:end + 1, end, end:len(beats)]
    last = beats.last[chosen]
    last[end:end + 2] = False
    return Beats(beats.data[chosen], last, beats.user[chosen])


def _blank(beats: Beats, ends: np.ndarray, code: int) -> Beats:
    """With nothing but a code in beats at ``ends``."""
    data = beats.data.copy()
    data[ends] = code
    return replace(beats, data=data)


def _resized(beats: Beats, length: int) -> Beats:
    """With so many beats in the first frame, its last one again and again if it has fewer."""
    first = _first(beats)
    chosen = np.r_[np.arange(length).clip(max=first - 1), first:len(beats)]
    last = beats.last[chosen]
    last[:length] = np.arange(length) == length - 1
    return Beats(beats.data[chosen], last, beats.user[chosen])


def _short(beats: Beats, ends: np.ndarray) -> Beats:
    """Without beats at ``ends`` of frames."""
    chosen = np.delete(np.arange(len(beats)), ends)
    last = beats.last.copy()
    last[ends - 1] = True
    return Beats(beats.data[chosen], last[chosen], beats.user[chosen])
