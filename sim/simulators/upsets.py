"""Upsets of single bits of a core's state while it runs, and what becomes of them.

The core is a CXXRTL model, whose registers and memories can be reached while it runs. The state
after reset is saved once; every upset starts from there, so one never sees what another left.
"""

import ctypes
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from systolith.sim.cases import Case, draw, mismatch
from systolith.sim.simulators import cxxrtl
from systolith.sim.simulators.core import Core
from systolith.sim.simulators.errors import HangError, SimulationError
from systolith.sim.simulators.harness import Pauses, Result, Simulator

SOURCE = Path(__file__).with_name("upsets.cpp")

#: What can become of an upset.
OUTCOMES = {
    "masked": "values, flags, counters and cycles are those of a run without it",
    "late": "values and flags are right, in other cycles",
    "detected": "an error flag, a break of the stream protocol or an error response tells",
    "miscounted": "values and flags are right, but a performance counter reads wrong",
    "silent": "a value or a flag that the core gives is wrong, and nothing tells",
    "hang": "the core stops",
}

_MODEL = """\
#define CXXRTL_NDEBUG        // an upset may make an address that no memory has
#include "model.cc"
struct Upset {
    uint64_t cycle = ~uint64_t(0), cycles = 0;
    uint32_t *word = nullptr, *twin = nullptr;
    uint32_t mask = 0;
};
struct Model {
    cxxrtl_design::%s top;
    Upset upset;
    void eval() {
        if (!*address(top.p_clk) && upset.cycles++ == upset.cycle) {
            *upset.word ^= upset.mask;
            if (upset.twin) *upset.twin ^= upset.mask;
        }
        top.step();
    }
    uint8_t* internal(const char*, const char*, size_t&) { return nullptr; }
    void coverage(const char*) {}
    template <size_t bits> static uint8_t* address(cxxrtl::value<bits>& port) {
        return reinterpret_cast<uint8_t*>(port.data);
    }
    template <size_t bits> static uint8_t* address(cxxrtl::wire<bits>& port) {
        return reinterpret_cast<uint8_t*>(port.curr.data);
    }
};
#define PORT(name) Model::address(model.top.name)
"""

_NEVER = 2**64 - 1
STALLS = Pauses(stop=0.1, go=0.5)
MARGIN = 200                 # cycles without a beat, beyond the longest run, that count as a hang


@dataclass(frozen=True)
class Place:
    """A register or a memory of the design.

    Attributes
    ----------
    name : str
        Its path, parts separated by blanks.
    bits, words : int
        Of a word, and how many; a register has one.
    memory : bool
    """

    name: str
    bits: int
    words: int
    memory: bool


@dataclass(frozen=True)
class Upset:
    """One bit that flipped, and what became of it."""

    place: Place
    word: int
    bit: int
    cycle: int
    workload: str
    outcome: str
    message: str = ""


@dataclass(frozen=True)
class Campaign:
    """Upsets of one core.

    Attributes
    ----------
    places : tuple of Place
    upsets : tuple of Upset
    """

    places: tuple[Place, ...]
    upsets: tuple[Upset, ...]

    def bits(self, *, memory: bool) -> int:
        """Bits of state, of memories or of registers."""
        return sum(place.bits * place.words for place in self.places if place.memory == memory)

    def counts(self, memory: bool | None = None) -> dict[str, int]:
        """Upsets by outcome, of memories or registers alone if asked."""
        found = dict.fromkeys(OUTCOMES, 0)
        for upset in self.upsets:
            if memory is None or upset.place.memory == memory:
                found[upset.outcome] += 1
        return found


class UpsettableSimulator(Simulator):
    """A core whose state can be upset; otherwise as every simulator."""

    def __init__(self, core: Core):
        library = cxxrtl.build(core, _MODEL, SOURCE, debug=2)
        functions = ctypes.CDLL(str(library))
        handle, wide, size = ctypes.c_void_p, ctypes.c_uint64, ctypes.c_size_t
        for name, result, arguments in (
                ("new", handle, ()), ("delete", None, (handle,)), ("places", size, (handle,)),
                ("name", ctypes.c_char_p, (handle, size)), ("width", size, (handle, size)),
                ("depth", size, (handle, size)), ("is_memory", ctypes.c_int, (handle, size)),
                ("save", None, (handle,)), ("cycles", wide, (handle,)),
                ("changed", None, (handle, size, ctypes.c_void_p)),
                ("restore", None, (handle, wide, size, size, size))):
            function = getattr(functions, f"upset_{name}")
            function.restype, function.argtypes = result, arguments
        self._upsets = functions
        super().__init__(core, library)
        self._library.core_delete(self._handle)
        self._handle = functions.upset_new()
        self.reset()
        functions.upset_save(self._handle)
        self.places = tuple(
            Place(functions.upset_name(self._handle, index).decode(),
                  functions.upset_width(self._handle, index),
                  functions.upset_depth(self._handle, index),
                  bool(functions.upset_is_memory(self._handle, index)))
            for index in range(functions.upset_places(self._handle)))

    def close(self) -> None:
        if self._handle:
            self._upsets.upset_delete(self._handle)
            self._handle = None

    def restore(self, cycle: int = _NEVER, place: int = 0, word: int = 0, bit: int = 0) -> None:
        """Back to the state after reset; before cycle ``cycle`` from there, a bit flips."""
        self._upsets.upset_restore(self._handle, cycle, place, word, bit)

    def changed(self, place: int) -> np.ndarray:
        """The words of a memory that are not as they were after reset."""
        flags = np.zeros(self.places[place].words, np.uint8)
        self._upsets.upset_changed(self._handle, place, flags.ctypes.data)
        return flags.nonzero()[0]

    @property
    def cycles_since(self) -> int:
        """Cycles since :meth:`restore`."""
        return self._upsets.upset_cycles(self._handle)


def campaign(core: Core, *, count: int, seed: int, cases: int = 8,
             progress: Callable[[str], None] = lambda message: None) -> Campaign:
    """Upset a core ``count`` times, one bit in one run each.

    Every bit of every register has its turn before one has a second. Words of memories are drawn at
    random from those that the workload writes, and of memories that it does not write, from all;
    what else a memory holds, nothing reads. Registers get three upsets of four, and all of them
    where there is no memory.

    Parameters
    ----------
    count : int
    seed : int
        Of workloads, stalls, places and cycles.
    cases : int
        So many workloads of the template's stimulus, the shortest ones.
    """
    model, config = core.model, core.config
    chosen = sorted(draw(model, config, seed, None), key=lambda case: case.cycles)[:cases]
    rng = np.random.default_rng(seed)
    upsets: list[Upset] = []
    with UpsettableSimulator(core) as simulator:
        runs = [_Run(simulator, case, int(rng.integers(2**32))) for case in chosen]
        registers = _registers(simulator.places, rng)
        for index in range(count):
            run = runs[int(rng.integers(len(runs)))]
            place, word, bit = (run.memory_bit(rng) if run.words and index % 4 == 3 else
                                next(registers))
            cycle = int(rng.integers(run.cycles))
            outcome, message = run.upset(cycle, place, word, bit)
            upsets.append(Upset(simulator.places[place], word, bit, cycle,
                                run.case.workload.label, outcome, message))
            if index % 1000 == 999:
                progress(f"upsets: {index + 1:,} of {count:,} in {core.name}")
        return Campaign(simulator.places, tuple(upsets))


def _registers(places: Sequence[Place], rng: np.random.Generator
               ) -> Iterator[tuple[int, int, int]]:
    """Place, word and bit of every register bit, again and again in another order."""
    every = [(index, 0, bit) for index, place in enumerate(places) if not place.memory
             for bit in range(place.bits)]
    while True:
        yield from (every[index] for index in rng.permutation(len(every)))


class _Run:
    """A workload that runs again and again, and what it gives undisturbed."""

    def __init__(self, simulator: UpsettableSimulator, case: Case, seed: int):
        self.simulator, self.case, self.seed = simulator, case, seed
        self.pauses = {stream.name: STALLS for stream in simulator.core.streams}
        simulator.restore()
        self.clean = self._run(10**6)
        self.cycles = simulator.cycles_since
        if wrong := self._wrong(self.clean):
            raise SimulationError(wrong)
        #: Memories by place, and the words of each that are worth an upset.
        self.words: dict[int, np.ndarray] = {}
        for index, place in enumerate(simulator.places):
            if place.memory:
                changed = simulator.changed(index)
                self.words[index] = changed if len(changed) else np.arange(place.words)

    def memory_bit(self, rng: np.random.Generator) -> tuple[int, int, int]:
        """Place, word and bit of an upset in a memory."""
        place = list(self.words)[int(rng.integers(len(self.words)))]
        bits = self.simulator.places[place].bits
        return place, int(rng.choice(self.words[place])), int(rng.integers(bits))

    def _run(self, patience: int) -> Result:
        return self.simulator.run(self.case.job, pauses=self.pauses, seed=self.seed,
                                  patience=patience)

    def _wrong(self, result: Result) -> str | None:
        core = self.simulator.core
        return next(filter(None, (
            mismatch(core.model, core.config, self.case, stream, beats, result.beat_cycles[stream])
            for stream, beats in result.beats.items())), None)

    def upset(self, cycle: int, place: int, word: int, bit: int) -> tuple[str, str]:
        """What becomes of an upset, and a message on what was wrong."""
        self.simulator.restore(cycle, place, word, bit)
        try:
            result = self._run(self.cycles + MARGIN)
        except HangError as error:
            return "hang", str(error)
        except SimulationError as error:
            return "detected", str(error)
        wrong = self._wrong(result)
        if result.flags & ~self.clean.flags:
            return "detected", wrong or ""
        if wrong:
            return "silent", wrong
        if result.flags != self.clean.flags:
            return "silent", "an error flag was lost"
        if result.cycles != self.clean.cycles:
            return "late", ""
        if result.counters != self.clean.counters:
            return "miscounted", f"counters {result.counters}, not {self.clean.counters}"
        return "masked", ""
