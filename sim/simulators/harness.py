"""A compiled core that runs whole arrays of beats at a time.

:class:`Simulator` is what both engines give. Each compiles the emitted Verilog, ``harness.cpp`` and
a generated adapter into a shared library, with the same interface:

- :mod:`~systolith.sim.simulators.verilator` is the one behind the ``sim`` backend: it is the faster
  one by far (docs/figures.md), at any size of array;
- :mod:`~systolith.sim.simulators.cxxrtl` comes from another project, so that a mistake in one is
  seen by the other; it is the second simulator of ``verify`` where Icarus is not installed.
"""

import ctypes
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np

from systolith.hdl.interface import COUNTERS, Stream
from systolith.sim.frames import Beats, from_bytes, to_bytes
from systolith.sim.model import Job
from systolith.sim.simulators.core import Core
from systolith.sim.simulators.errors import HangError, SimulationError

SOURCE = Path(__file__).with_name("harness.cpp")
PATIENCE = 20_000            # cycles without a beat on any stream before a run counts as hung
BUS_PATIENCE = 1_000         # cycles that a register access may take
SLICE = 0.1                  # seconds in the library before Python looks for Ctrl-C

_DONE, _RUNNING, _HUNG, _NO_ANSWER, _, _, _CHANGED = range(7)
_ENDLESS = 2**64 - 1


@dataclass(frozen=True)
class Pauses:
    """Random pauses of one stream.

    Attributes
    ----------
    stop, go : float
        Chance per cycle to begin and to end a pause; both in (0, 1]. A pause lasts 1/go cycles on
        average, and 1/stop cycles pass until the next one.
    """

    stop: float
    go: float


@dataclass(frozen=True)
class Result:
    """What one run gave.

    Attributes
    ----------
    beats : mapping
        Beats of every output stream.
    beat_cycles : mapping
        Cycle in which each output beat left, counted from the first accepted input beat (0).
    cycles : int
        From the first accepted input beat to the last accepted output beat, both included.
    counters : mapping
        The core's own counters, by name, over this run.
    flags : int
        The core's ``errors`` register after this run.
    paused : int
        Cycles in which the harness paused any stream; none on a board.
    """

    beats: Mapping[str, Beats]
    beat_cycles: Mapping[str, np.ndarray]
    cycles: int
    counters: Mapping[str, int]
    flags: int
    paused: int


class _Transfer(ctypes.Structure):
    _fields_ = (("total", ctypes.c_uint64), ("done", ctypes.c_uint64), ("data", ctypes.c_void_p),
                ("last", ctypes.c_void_p), ("user", ctypes.c_void_p), ("cycle", ctypes.c_void_p),
                ("stop", ctypes.c_double), ("go", ctypes.c_double), ("seed", ctypes.c_uint64))


class _Access(ctypes.Structure):
    _fields_ = (("address", ctypes.c_uint32), ("value", ctypes.c_uint32),
                ("strobe", ctypes.c_uint32), ("skew", ctypes.c_int32), ("hold", ctypes.c_uint32),
                ("response", ctypes.c_uint32))


class Seen(ctypes.Structure):
    """How often each kind of cycle was seen on a stream.

    Attributes
    ----------
    moved, streaks : int
        Beats that moved; those of them that came right after another.
    blocked, starved : int
        Cycles with ``tvalid`` and no ``tready``, and with ``tready`` and no ``tvalid``.
    """

    _fields_ = (("moved", ctypes.c_uint64), ("streaks", ctypes.c_uint64),
                ("blocked", ctypes.c_uint64), ("starved", ctypes.c_uint64))


class Simulator:
    """One instance of a compiled core; it keeps its state from run to run.

    Parameters
    ----------
    core : Core
    library : Path
        From ``build`` of :mod:`verilator` or :mod:`cxxrtl`.

    Raises
    ------
    SimulationError
        From every method: if the core hangs, does not answer on its register bus, or gives beats
        that nobody expects. The core is then reset.
    """

    def __init__(self, core: Core, library: Path):
        self.core = core
        self._library = _load(library)
        self._handle = self._library.core_new()
        self.reset()

    def close(self) -> None:
        """Free the model; nothing else may be called after this."""
        if self._handle:
            self._library.core_delete(self._handle)
            self._handle = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self.close()

    def __del__(self) -> None:
        if getattr(self, "_handle", None):
            self.close()

    def reset(self, cycles: int = 2) -> int:
        """Hold ``rst`` for some cycles: registers take reset values, frames in flight are lost.

        Returns
        -------
        int
            Ports that offer or take something in the last cycle; from the second one on, there
            should be none.
        """
        return self._library.core_reset(self._handle, cycles)

    def write(self, register: str, value: int) -> None:
        """Write a register; ``value`` may be negative."""
        if self.write_at(self.core.register(register).offset, value):
            raise SimulationError(f"{self.core.name}: error response to writing {register}")

    def read(self, register: str) -> int:
        """Read a register, as an unsigned word."""
        response, value = self.read_at(self.core.register(register).offset)
        if response:
            raise SimulationError(f"{self.core.name}: error response to reading {register}")
        return value

    def write_at(self, offset: int, value: int, *, strobe: int = 15, skew: int = 0, hold: int = 0
                 ) -> int:
        """Write the word at a byte address; returns the response.

        Parameters
        ----------
        offset, value : int
        strobe : int
            A bit for each byte that is to be written.
        skew : int
            Cycles by which the data come after the address; negative: before it.
        hold : int
            Cycles for which the answer waits.
        """
        access = _Access(offset, value & 0xFFFF_FFFF, strobe, skew, hold, 0)
        self._bus(f"writing {self._place(offset)}", self._library.core_write(
            self._handle, ctypes.byref(access), BUS_PATIENCE))
        return access.response

    def read_at(self, offset: int, *, hold: int = 0) -> tuple[int, int]:
        """Read the word at a byte address; returns the response and the word."""
        access = _Access(offset, 0, 0, 0, hold, 0)
        self._bus(f"reading {self._place(offset)}", self._library.core_read(
            self._handle, ctypes.byref(access), BUS_PATIENCE))
        return access.response, access.value

    def burst(self, writes: Sequence[tuple[int, int, int]], reads: Sequence[int], *, seed: int = 0
              ) -> tuple[list[int], list[tuple[int, int]]]:
        """Make accesses that overlap: each channel goes on as soon as the core takes something.

        Parameters
        ----------
        writes : sequence of (offset, value, strobe)
        reads : sequence of int
            Offsets.
        seed : int
            Of random pauses of each channel; without pauses if 0.

        Returns
        -------
        responses : list of int
            Of the writes.
        answers : list of (response, word)
            Of the reads.
        """
        written = (_Access * len(writes))(*(
            _Access(offset, value & 0xFFFF_FFFF, strobe, 0, 0, 0)
            for offset, value, strobe in writes))
        read = (_Access * len(reads))(*(_Access(offset, 0, 0, 0, 0, 0) for offset in reads))
        self._bus(f"{len(writes)} writes and {len(reads)} reads", self._library.core_burst(
            self._handle, written, len(writes), read, len(reads), seed,
            BUS_PATIENCE * (1 + len(writes) + len(reads))))
        return ([access.response for access in written],
                [(access.response, access.value) for access in read])

    def _place(self, offset: int) -> str:
        """What a register is called in messages."""
        return next((name for name, register in self.core.registers.items()
                     if register.offset == offset), f"at {offset:#x}")

    def read_counter(self, name: str) -> int:
        """Read one of the 64-bit counters."""
        low = self.read(f"{name}_low")
        return self.read(f"{name}_high") << 32 | low

    def run(self, job: Job, *, pauses: Mapping[str, Pauses] | None = None, seed: int = 0,
            patience: int = PATIENCE) -> Result:
        """Run a job to its last output beat.

        Parameters
        ----------
        job : Job
        pauses : mapping, optional
            Pauses by stream name. Streams without are always valid, or always ready.
        seed : int
            Of the pauses.
        patience : int
            Cycles without a beat that is owed, on any stream, after which the core counts as hung.
        """
        try:
            return self._run(job, pauses or {}, seed, patience)
        except BaseException:
            self.reset()
            raise

    def prepare(self, job: Job) -> None:
        """Clear counters and error flags, and write the settings of a job."""
        self.write("control", 1)
        if self.core.config.flags:
            self.write("errors", (1 << len(self.core.config.flags)) - 1)
        for name, value in job.writes.items():
            self.write(name, value)

    def begin(self, job: Job, *, pauses: Mapping[str, Pauses] | None = None, seed: int = 0,
              inputs: Mapping[str, int] | None = None, blocked: bool = False) -> None:
        """Offer the beats of a job, which go on in :meth:`go` and during register accesses.

        Parameters
        ----------
        inputs : mapping, optional
            Most beats to offer, by stream name.
        blocked : bool
            Take no beat of any output.
        """
        self._buffers, self._transfers = self._plan(job, pauses or {}, seed)
        for stream, transfer in zip(self.core.streams, self._transfers, strict=True):
            if stream.direction == "in":
                transfer.total = min(transfer.total, (inputs or {}).get(stream.name, _ENDLESS))
            elif blocked:
                transfer.stop, transfer.go = 1.0, 1e-300
        self._library.core_begin(self._handle, self._transfers)

    def go(self, cycles: int | None = None, patience: int = PATIENCE) -> bool:
        """Clock until all beats have moved, or for ``cycles``; returns whether they have."""
        left = _ENDLESS if cycles is None else cycles
        while True:
            before = self.cycle
            status = self._library.core_run(self._handle, patience, left, SLICE)
            if status == _HUNG:
                raise HangError(
                    f"{self.core.name} hangs: no beat moved for {patience} cycles that was "
                    f"owed; still owed: {self._owed(self._transfers)}")
            if status != _RUNNING:
                return status == _DONE
            left -= min(left, self.cycle - before)

    def offering(self) -> bool:
        """Whether every input of the core still has beats of the job to send."""
        return all(transfer.done < transfer.total
                   for stream, transfer in zip(self.core.streams, self._transfers, strict=True)
                   if stream.direction == "in")

    def end(self) -> None:
        """Take beats that are on their way back; what comes after this counts as stray."""
        self._library.core_end(self._handle)

    def idle(self, cycles: int) -> None:
        """Clock with no beat offered."""
        self._library.core_idle(self._handle, cycles)

    @property
    def cycle(self) -> int:
        """Clock cycles so far."""
        return self._library.core_cycle(self._handle)

    def control(self, name: str, value: int) -> None:
        """Set one of the core's further inputs; it stays until set again."""
        names = [known for known, _ in self.core.controls]
        index = names.index(name)
        octets = value.to_bytes(-(-self.core.controls[index][1] // 8), "little")
        self._library.core_control(self._handle, index, octets)

    def deposit(self, instance: str, register: str, value: int) -> bool:
        """Put a value into a register of up to 32 bits inside; False where the model has none.

        Parameters
        ----------
        instance : str
            Path of the instance, from the top module.
        """
        return bool(self._library.core_deposit(self._handle, f"TOP.{instance}".encode(),
                                               register.encode(), value))

    def seen(self, stream: str) -> Seen:
        """What happened on a stream since the model was made."""
        index = [known.name for known in self.core.streams].index(stream)
        return self._library.core_seen(self._handle, index).contents

    def release(self) -> None:
        """Lift the limits and the pauses of the transfers that :meth:`begin` began."""
        for stream, transfer in zip(self.core.streams, self._transfers, strict=True):
            transfer.total = len(self._buffers[stream.name][0])
            transfer.stop, transfer.go = 1e-300, 1.0

    def write_coverage(self, path: Path) -> None:
        """Write what was counted so far, from a model built to count."""
        self._library.core_coverage(self._handle, str(path).encode())

    def _run(self, job: Job, pauses: Mapping[str, Pauses], seed: int, patience: int) -> Result:
        self.prepare(job)
        self.begin(job, pauses=pauses, seed=seed)
        self.go(patience=patience)
        return self.collect()

    def collect(self) -> Result:
        """What the job gave that has come to its end."""
        cycles = self._library.core_cycles(self._handle)
        paused = self._library.core_paused(self._handle)
        counters = {name: self.read_counter(name) for name, _ in COUNTERS}
        flags = self.read("errors")
        self._check_stray(self._transfers)

        beat_cycles = {stream.name: self._buffers[stream.name][-1] for stream in self.core.outputs}
        return Result(self.taken(), beat_cycles, cycles, counters, flags, paused)

    def taken(self) -> dict[str, Beats]:
        """Output beats of the job so far."""
        beats = {}
        for stream, transfer in zip(self.core.streams, self._transfers, strict=True):
            if stream.direction == "out":
                data, last, *_ = (part[:transfer.done] for part in self._buffers[stream.name])
                beats[stream.name] = Beats(from_bytes(stream, data), last.astype(bool),
                                           np.zeros(len(last), np.uint64))
        return beats

    def _plan(self, job, pauses, seed):
        buffers: dict[str, tuple[np.ndarray, ...]] = {}
        transfers = (_Transfer * len(self.core.streams))()
        for index, (stream, transfer) in enumerate(zip(self.core.streams, transfers, strict=True)):
            if stream.direction == "in":
                beats = job.inputs[stream.name]
                arrays = (to_bytes(stream, beats.data), beats.last.astype(np.uint8),
                          _user_bytes(stream, beats.user), np.zeros(0, np.uint64))
            else:
                total = job.outputs[stream.name]
                arrays = (np.zeros((total, stream.tdata_bits // 8), np.uint8),
                          np.zeros(total, np.uint8), np.zeros((total, 0), np.uint8),
                          np.zeros(total, np.uint64))
            buffers[stream.name] = arrays
            transfer.total = len(arrays[0])
            transfer.data, transfer.last, transfer.user, transfer.cycle = (
                array.ctypes.data for array in arrays)
            if pause := pauses.get(stream.name):
                transfer.stop, transfer.go = pause.stop, pause.go
            transfer.seed = (seed * len(self.core.streams) + index) % (1 << 64)
        return buffers, transfers

    def _owed(self, transfers) -> str:
        parts = []
        for stream, transfer in zip(self.core.streams, transfers, strict=True):
            if missing := transfer.total - transfer.done:
                verb = "take" if stream.direction == "in" else "give"
                parts.append(f"{stream.prefix} must {verb} {missing} of {transfer.total} beats")
        return ", ".join(parts)

    def _check_stray(self, transfers) -> None:
        for index, (stream, transfer) in enumerate(zip(self.core.streams, transfers, strict=True)):
            if stray := self._library.core_stray(self._handle, index):
                raise SimulationError(f"{self.core.name}: {stream.prefix} gave {stray} beats more "
                                      f"than the {transfer.total} expected")
            if self._library.core_broken(self._handle, index):
                raise SimulationError(f"{self.core.name}: {stream.prefix} changed or withdrew a "
                                      "beat before it was taken")

    def _bus(self, action: str, status: int) -> None:
        if status == _NO_ANSWER:
            raise HangError(f"{self.core.name}: no answer in {BUS_PATIENCE} cycles to {action}")
        if status == _CHANGED:
            raise SimulationError(f"{self.core.name}: the answer to {action} did not hold until "
                                  "taken")


def _user_bytes(stream: Stream, user: np.ndarray) -> np.ndarray:
    octets = user.astype("<u8").view(np.uint8).reshape(len(user), 8)
    return np.ascontiguousarray(octets[:, :-(-stream.tuser_bits // 8)])


def _load(path: Path) -> ctypes.CDLL:
    library = ctypes.CDLL(str(path))
    handle, word, wide = ctypes.c_void_p, ctypes.c_uint32, ctypes.c_uint64
    for name, result, arguments in (
            ("new", handle, ()),
            ("delete", None, (handle,)),
            ("reset", wide, (handle, wide)),
            ("begin", None, (handle, handle)),
            ("run", ctypes.c_int, (handle, wide, wide, ctypes.c_double)),
            ("end", None, (handle,)),
            ("cycle", wide, (handle,)),
            ("cycles", wide, (handle,)),
            ("paused", wide, (handle,)),
            ("idle", None, (handle, wide)),
            ("stray", wide, (handle, ctypes.c_size_t)),
            ("broken", wide, (handle, ctypes.c_size_t)),
            ("seen", ctypes.POINTER(Seen), (handle, ctypes.c_size_t)),
            ("write", ctypes.c_int, (handle, handle, wide)),
            ("read", ctypes.c_int, (handle, handle, wide)),
            ("burst", ctypes.c_int, (handle, handle, ctypes.c_size_t, handle, ctypes.c_size_t,
                                     wide, wide)),
            ("control", None, (handle, ctypes.c_size_t, ctypes.c_char_p)),
            ("deposit", ctypes.c_int, (handle, ctypes.c_char_p, ctypes.c_char_p, word)),
            ("coverage", None, (handle, ctypes.c_char_p))):
        function = getattr(library, f"core_{name}")
        function.restype, function.argtypes = result, arguments
    return library
