"""Event counters against what they count, also from values that no run reaches by counting."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np

from systolith.hdl.interface import COUNTERS
from systolith.sim.cases import Case
from systolith.sim.simulators.core import Core
from systolith.sim.simulators.exercise.part import SETTLE, Part, ProblemError, equal
from systolith.sim.simulators.harness import Simulator

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

CLEARED = 20                 # counts before a carry, more than a write of a register takes cycles
NEAR_CARRY = 6               # counts before one, from which a short run reaches it


class Counters(Part):
    """What they count over a run, at rest, and while the core is starved or blocked."""

    def counts(self, simulator: Simulator) -> None:
        """Of a run, from values at which carries begin, and after a reset and a clear."""
        case = self.small_case()
        base = simulator.run(case.job, patience=self.patience(case))
        self.check(case, base, stalled=False)
        rng = np.random.default_rng(self.seed)
        starts = [(1 << 32) - 1, (1 << 64) - 1, 0xAAAA_AAAA_5555_5555, 0x5555_5555_FFFF_FFFF,
                  (1 << 33) - 1 - case.frames, int(rng.integers(1 << 63)) * 2 + 1]
        # One bit short of a carry: no piece may take another for full.
        starts += [(1 << 64) - 1 - NEAR_CARRY - (1 << bit) for bit in range(3, 64)]
        # All that ends a little before or after a carry: none may come early.
        starts += [((1 << 64) - count + past) % (1 << 64)
                   for count in sorted(set(base.counters.values())) for past in range(-9, 3)]
        for start in starts:
            simulator.prepare(case.job)
            if not self._deposit(simulator, start):
                start = 0
            simulator.begin(case.job)
            simulator.go(patience=self.patience(case))
            counted = simulator.collect().counters
            for name, _ in COUNTERS:
                equal(f"counter {name} from {start:#x}", counted[name],
                      (start + base.counters[name]) % (1 << 64))
            if start:
                self.events |= {"counters carry into their high word", "counters wrap"}
            simulator.idle(20)
            equal("counters at rest", {name: simulator.read_counter(name) for name, _ in COUNTERS},
                  counted)
            for name, _ in COUNTERS:                     # what is latched stays, however long
                low = simulator.read(f"{name}_low")
                simulator.idle(1)
                equal(f"counter {name}, its words a cycle later",
                      low | simulator.read(f"{name}_high") << 32, counted[name])
        empties = (simulator.reset, lambda: simulator.write("control", 1))
        for empty, before in product(empties, (1, 2)):
            self._deposit(simulator, (1 << 64) - before)     # about to carry
            empty()
            for name, value in case.job.writes.items():
                simulator.write(name, value)
            simulator.begin(case.job)
            simulator.go(patience=self.patience(case))
            equal("counters of a run after they were emptied", simulator.collect().counters,
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
            equal(f"counter {name} after clearing", simulator.read_counter(name), 0)

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

    def rates(self, simulator: Simulator) -> None:
        """Cycle for cycle, while inputs end within a frame, and while no output is taken."""
        counting = {"starved": {"cycles_busy": 1, "stalled_input": 1, "stalled_output": 0,
                                "frames": 0},
                    "blocked": {"cycles_busy": 1, "stalled_output": 1, "frames": 0}}
        for situation, case in self._standing():
            rates = counting[situation]
            self._stand(simulator, situation, case)
            busy = 1 if situation == "blocked" or self.stays_open(case) else \
                simulator.read("status")
            equal(f"status while {situation}", simulator.read("status"), busy)
            rates = {name: rate * busy for name, rate in rates.items()}
            if situation == "blocked" and simulator.offering():
                rates = {**rates, "stalled_input": 0}
            for name, rate in rates.items():
                before, start = simulator.read_counter(name), simulator.cycle
                simulator.go(17, patience=1 << 60)
                after, stop = simulator.read_counter(name), simulator.cycle
                equal(f"counter {name} while {situation}", after - before, rate * (stop - start))
            simulator.release()
            simulator.go(patience=self.patience(case))
            self.check(case, simulator.collect(), stalled=True)
            self._latches(simulator, case, situation)
        self._clears(simulator)

    def _standing(self) -> Iterator[tuple[str, Case]]:
        """Situations and the cases that get into them; the one with the most results, too, fills
        every buffer."""
        yield "starved", self.small_case()
        fullest = max(self.cases, key=lambda case: sum(case.job.outputs.values()))
        yield "blocked", self.cases[-1]
        if fullest is not self.cases[-1]:
            yield "blocked", fullest

    def _stand(self, simulator: Simulator, situation: str, case: Case) -> None:
        """Run a case up to where it stands still: "starved" or "blocked"."""
        simulator.prepare(case.job)
        if situation == "starved":
            simulator.begin(case.job, inputs=self._half_a_frame(case))
        else:
            simulator.begin(case.job, blocked=True)
        simulator.go(case.cycles + SETTLE, patience=1 << 60)

    def _clears(self, simulator: Simulator) -> None:
        """Cleared while it counts, in whichever cycle of a carry."""
        self._stand(simulator, "blocked", self.cases[-1])
        for before in range(1, CLEARED):
            if self._deposit(simulator, (1 << 64) - before):
                simulator.write("control", 1)
                if (count := simulator.read_counter("cycles_busy")) > 10 * CLEARED:
                    raise ProblemError(f"counter cycles_busy, cleared in a carry: {count:#x}")
        simulator.end()
        simulator.reset()

    def _latches(self, simulator: Simulator, case: Case, situation: str) -> None:
        """The high word is that of the moment in which the low word was read."""
        if situation == "starved" and not self.stays_open(case):
            return                                       # nothing counts, and no frame may be left
        self._stand(simulator, situation, case)
        for name in ("cycles_busy", "stalled_input" if situation == "starved" else "stalled_output",
                     "frames"):
            low = 0xFFFF_FFFF if name == "frames" else 0xFFFF_FFC0
            if not self._deposit(simulator, 5 << 32 | low):
                simulator.release()
                simulator.go(patience=self.patience(case))
                return
            read = simulator.read(f"{name}_low")
            if read < low:
                raise ProblemError(f"counter {name} reads {read:#x} from {low:#x}")
            if name == "frames":
                simulator.release()
                simulator.go(patience=self.patience(case))
                simulator.idle(SETTLE)                   # a carry takes some cycles
            else:
                simulator.go(80, patience=1 << 60)
            equal(f"high word of {name}, latched", simulator.read(f"{name}_high"), 5)
            equal(f"high word of {name} afterwards",
                  simulator.read_counter(name) >> 32, 6)

    def _half_a_frame(self, case: Case) -> dict[str, int]:
        """Beats of every input such that a frame of the one that is sent last stays open."""
        counts = {}
        for stream in self.core.inputs:
            beats = case.job.inputs[stream.name]
            counts[stream.name] = 1 if len(beats) else 0
        return counts


def writable(core: Core, folder: Path) -> Core:
    """The same core with counters that :meth:`Simulator.deposit` can set, under Verilator.

    Writes a file into ``folder``.
    """
    path = folder / "writable.vlt"
    path.write_text("`verilator_config\n" + WRITABLE)
    return replace(core, sources=(*core.sources, path))
