"""The register bank against a model made of the register map alone."""

import numpy as np

from systolith.sim.registers import SLVERR, RegisterModel
from systolith.sim.simulators.exercise.part import Part, equal
from systolith.sim.simulators.harness import Pauses, Simulator

WORDS = (0xFFFF_FFFF, 0, 0xAAAA_AAAA, 0x5555_5555, 0x0F0F_F0F0)


class Registers(Part):
    """Accesses alone, overlapping, and while frames move."""

    def alone(self, simulator: Simulator) -> None:
        """One access after another, to every address, also to those that hold nothing."""
        rng = np.random.default_rng(self.seed)
        simulator.reset()
        model = RegisterModel(self.core.registers.values())
        offsets = [*model.registers]
        holes = sorted({offset ^ 1 << bit for offset in offsets for bit in range(2, 12)}
                       - set(offsets))

        def read(offset: int) -> None:
            hold = int(rng.integers(3))
            equal(f"response and word at {offset:#x}", simulator.read_at(offset, hold=hold),
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
                equal(f"response of writing at {offset:#x}", response,
                      model.write(offset, word ^ offset, strobe))
                read(offset)
            for offset in offsets:
                read(offset)
        for offset in holes:
            skew = int(rng.integers(-2, 3))
            equal(f"response of writing at {offset:#x}",
                  simulator.write_at(offset, 0xFFFF_FFFF, skew=skew), SLVERR)
            read(offset)
        for offset in offsets:
            read(offset + int(rng.integers(4)))
        simulator.reset()
        model.reset()
        for offset in offsets:
            read(offset)

    def overlapping(self, simulator: Simulator) -> None:
        """Writes and reads side by side, the next one before the last is answered."""
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
                equal(f"response of writing at {offset:#x}", response, model.write(offset, *what))
            for offset, answer in zip(reads, answers, strict=True):
                equal(f"response and word at {offset:#x}", answer, model.read(offset))
            reads = [int(offset) for offset in rng.choice(settings + fixed, 96)]
            for offset, answer in zip(reads, simulator.burst([], reads, seed=seed)[1], strict=True):
                equal(f"response and word at {offset:#x}", answer, model.read(offset))

    def in_traffic(self, simulator: Simulator) -> None:
        """Registers answer, and beats move, whatever the other does."""
        rng = np.random.default_rng(self.seed)
        everywhere = {stream.name: Pauses(0.3, 0.3) for stream in self.core.streams}
        fixed = [register for register in self.core.registers.values()
                 if register.name in ("magic", "version", "config_hash")
                 or register.access == "wo"]
        for case in self.cases[-4:]:
            simulator.prepare(case.job)
            simulator.begin(case.job, pauses=everywhere, seed=self.seed)
            while not simulator.go(int(rng.integers(1, 20)), patience=self.patience(case)):
                register = fixed[int(rng.integers(len(fixed)))]
                equal(register.name, simulator.read_at(register.offset, hold=2),
                      RegisterModel([register]).read(register.offset))
                equal("response at a hole", simulator.write_at(0xFFC, 0xFFFF_FFFF, skew=-2),
                      SLVERR)
                self.events.add("registers read in traffic")
            self.check(case, simulator.collect(), stalled=True)
