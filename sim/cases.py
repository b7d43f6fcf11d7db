"""What a regression feeds a core, what must come back, and how the two are compared."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from systolith.hdl.config import CoreConfig
from systolith.hdl.interface import Register
from systolith.sim.frames import Beats
from systolith.sim.model import Job, Model, Workload

RANDOM_CASES = 10


@dataclass(frozen=True)
class Case:
    """One workload, worked out.

    Attributes
    ----------
    workload : Workload
    job : Job
        What goes into the core.
    golden : mapping
        Result arrays by name.
    flags : int
        Error flags that the core must raise.
    expected : mapping
        Beats that must come out, by stream.
    cycles : int
        What a run takes with nothing stalling.
    """

    workload: Workload
    job: Job
    golden: Mapping[str, np.ndarray]
    flags: int
    expected: Mapping[str, Beats]
    cycles: int

    @property
    def frames(self) -> int:
        """Output frames."""
        return sum(beats.frames for beats in self.expected.values())

    @property
    def beats(self) -> int:
        """Beats in and out."""
        return sum(map(len, (*self.job.inputs.values(), *self.expected.values())))


def work_out(model: Model, config: CoreConfig, workload: Workload) -> Case:
    """Pack a workload, and compute what must come back."""
    workload = model.check(config, workload)
    golden = dict(model.golden(config, workload))
    flags = int(golden.pop("flags", 0))
    return Case(workload, model.pack(config, workload), golden, flags,
                model.expect(config, workload, golden), model.cycles(config, workload))


def draw(model: Model, config: CoreConfig, seed: int, frames: int | None,
         beats: int | None = None) -> list[Case]:
    """Take cases from the stimulus.

    Parameters
    ----------
    frames : int or None
        As few cases as have so many output frames together; by default all corner cases and
        :data:`RANDOM_CASES` random ones.
    beats : int, optional
        Of these, the smallest that together move at most so many beats, at least one.
    """
    cases: list[Case] = []
    total = random = 0
    for workload in model.stimulus(config, np.random.default_rng(seed)):
        cases.append(work_out(model, config, workload))
        total += cases[-1].frames
        random += not workload.corner
        if total >= frames if frames is not None else random >= RANDOM_CASES:
            break
    if beats is None:
        return cases
    smallest, moved = [], 0
    for case in sorted(cases, key=lambda case: case.beats):
        moved += case.beats
        if smallest and moved > beats:
            break
        smallest.append(case)
    return smallest


def mismatch(model: Model, config: CoreConfig, case: Case, stream: str, got: Beats,
             cycles: Sequence[int] | np.ndarray) -> str | None:
    """Say where output beats first differ from what the golden model gives.

    Parameters
    ----------
    got : Beats
        All beats of ``stream`` that came out.
    cycles : sequence of int
        The cycle of each, counted from the first accepted input beat.

    Returns
    -------
    str or None
        Names the element of the result, the value expected and the value got, the place in the
        stream and the cycle; None if the beats are the same.
    """
    want = case.expected[stream]
    count = min(len(got), len(want))
    wrong = (got.data[:count] != want.data[:count]).any(axis=1) | (
        got.last[:count] != want.last[:count])
    if not wrong.any():
        if len(got) == len(want):
            return None
        return (f"workload {case.workload.label!r}: stream {stream} gave {len(got)} beats, "
                f"not {len(want)}")
    beat = int(wrong.argmax())
    frame = int(want.last[:beat].sum())
    place = f"stream {stream}, frame {frame}, beat {beat}, cycle {cycles[beat]}"
    lanes = got.data[beat] != want.data[beat]
    if not lanes.any():
        return (f"workload {case.workload.label!r}: tlast expected {int(want.last[beat])}, got "
                f"{int(got.last[beat])} ({place})")
    lane = int(lanes.argmax())
    element = _element(model, config, case, stream, beat, lane)
    return (f"workload {case.workload.label!r}: {element} expected {want.data[beat, lane]}, got "
            f"{got.data[beat, lane]} ({place}, lane {lane}; {int(wrong.sum())} of {len(want)} "
            "beats differ)")


def _element(model: Model, config: CoreConfig, case: Case, stream: str, beat: int,
             lane: int) -> str:
    """Name of the result element that a lane of a beat carries."""
    start, indices = 0, {}
    for name, array in case.golden.items():
        shape = np.shape(array)
        indices[name] = np.arange(start, start + int(np.prod(shape))).reshape(shape)
        start += int(np.prod(shape))
    index = int(model.expect(config, case.workload, indices, pad=-1)[stream].data[beat, lane])
    for name, array in indices.items():
        if array.size and array.min() <= index <= array.max():
            place = np.unravel_index(index - int(array.min()), array.shape)
            return f"{name}[{', '.join(str(axis) for axis in place)}]"
    return "padding"


def register_mask(register: Register) -> int:
    """The bits of a register that exist."""
    return sum(((1 << field.bits) - 1) << field.lsb for field in register.fields)


def register_reset(register: Register) -> int:
    """Value of a register after reset."""
    return sum((field.reset & ((1 << field.bits) - 1)) << field.lsb for field in register.fields)
