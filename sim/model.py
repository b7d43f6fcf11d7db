"""The software side of a template: what it computes, how arrays become beats, how long it takes."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from systolith.hdl.config import CoreConfig
from systolith.sim.frames import Beats

if TYPE_CHECKING:
    from systolith.sim.points import Point

Arrays = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Workload:
    """Arguments of one call of a core.

    Attributes
    ----------
    label : str
        What is special about it, for reports.
    arrays : mapping
        Operands by name, as a user passes them.
    settings : mapping
        Scalar run-time arguments by name.
    corner : bool
        It is one of the chosen cases that a stimulus starts with.
    """

    label: str
    arrays: Arrays
    settings: Mapping[str, Any] = field(default_factory=dict)
    corner: bool = False


@dataclass(frozen=True)
class Job:
    """One call of a core as the hardware sees it.

    Attributes
    ----------
    writes : mapping
        Values of the template's own registers, by register name, written before any beat.
    inputs : mapping
        Beats of every input stream, by stream name.
    outputs : mapping
        Number of beats that every output stream will give, by stream name.
    """

    writes: Mapping[str, int]
    inputs: Mapping[str, Beats]
    outputs: Mapping[str, int]


@dataclass(frozen=True)
class Refusal:
    """What a frame must not come with.

    Attributes
    ----------
    flag : str
        The error flag that says so.
    writes : mapping
        Values of registers.
    users : mapping
        ``tuser`` of frames, by stream name.
    data : mapping
        All beats of streams, in place of what the workload packs to.
    like : mapping
        Values of these registers, and words of ``tuser``, that give the same.
    like_data : mapping
        Beats of streams that give the same. If both are empty, something else becomes of the
        frame.
    workload : Workload, optional
        A checked one that it is tried with; without, a small one is taken.
    """

    flag: str
    writes: Mapping[str, int] = field(default_factory=dict)
    users: Mapping[str, int] = field(default_factory=dict)
    data: Mapping[str, Beats] = field(default_factory=dict)
    like: Mapping[str, int] = field(default_factory=dict)
    like_data: Mapping[str, Beats] = field(default_factory=dict)
    workload: Workload | None = None

    def __str__(self) -> str:
        given = {"registers": self.writes, "tuser": self.users, "data of": [*self.data]}
        return f"{self.flag}, " + ", ".join(f"{what} {value}" for what, value in given.items()
                                            if value)


class Model(ABC):
    """One template in numpy, independent of its RTL.

    All methods take a validated config, and all but :meth:`check` a workload that it returned;
    so are the workloads of :meth:`stimulus`. Arrays go in and out as users see them; only
    :meth:`pack`, :meth:`expect` and :meth:`unpack` know about beats and tiles.
    """

    config: ClassVar[type[CoreConfig]]

    @abstractmethod
    def check(self, config: CoreConfig, workload: Workload) -> Workload:
        """Return the workload with arrays converted to int64 and defaults filled in.

        An argument may come among the arrays or among the settings; checking twice changes
        nothing.

        Raises
        ------
        Error
            If an array has a wrong name, shape, dtype or value: says which, and what is allowed.
        """

    @abstractmethod
    def golden(self, config: CoreConfig, workload: Workload) -> dict[str, np.ndarray]:
        """What the core computes, bit for bit, on whole arrays, keyed like the outputs of a call.

        Key ``"flags"`` is not an array of the user's: it maps to the error flags raised, an
        integer with the bits of the ``errors`` register.
        """

    @abstractmethod
    def pack(self, config: CoreConfig, workload: Workload) -> Job:
        """Tile and pad the operands into beats."""

    @abstractmethod
    def expect(self, config: CoreConfig, workload: Workload, outputs: Arrays,
               pad: int | None = None) -> dict[str, Beats]:
        """Output beats that carry ``outputs``; lanes that carry nothing hold ``pad``.

        With ``pad=None`` such lanes hold what the hardware puts there.
        """

    @abstractmethod
    def unpack(self, config: CoreConfig, workload: Workload,
               beats: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Put output beats, shape (beats, lanes) per stream, together into result arrays."""

    @abstractmethod
    def cycles(self, config: CoreConfig, workload: Workload) -> int:
        """Cycles from the first accepted input beat to the last accepted output beat, both
        included, with nothing stalling. Exact."""

    @abstractmethod
    def utilization(self, config: CoreConfig, workload: Workload, cycles: int) -> float:
        """Useful operations over those the hardware offered in ``cycles``, 0 to 1."""

    @abstractmethod
    def stimulus(self, config: CoreConfig, rng: np.random.Generator) -> Iterator[Workload]:
        """Corner cases first, marked so (format extremes, zeros, smallest and largest sizes, sizes
        that do not divide the array), then random workloads without end."""

    def stalled_input(self, config: CoreConfig, workload: Workload) -> int | None:
        """What the counter of that name tells of a run without pauses; None where the model does
        not say it."""
        return 0

    def ahead(self, config: CoreConfig) -> Mapping[str, int]:
        """Inputs whose frames are loaded while others are used, and how many of them."""
        return {}

    def filled(self, config: CoreConfig, workload: Workload) -> Mapping[str, int]:
        """Inputs whose frames are filled up, and the code that all elements of the last beats that
        are missing count as."""
        return {}

    def units(self, config: CoreConfig, workload: Workload) -> Mapping[str, int]:
        """Those of them that are filled up to whole units only, and beats of a unit."""
        return {}

    def ignored(self, config: CoreConfig, workload: Workload) -> Arrays:
        """Which elements of its job may hold anything: of some streams, bool arrays of the shape
        (beats, lanes)."""
        return {}

    def paired(self, config: CoreConfig) -> Mapping[str, str]:
        """Inputs whose frames must have as many beats as those they come with, and the flag that
        says they have not."""
        return {}

    def length_flags(self, config: CoreConfig) -> Set[str]:
        """Flags that may tell of a frame shorter or longer than it should be."""
        return {name for name, _ in config.flags if name.endswith(("short", "long", "differs"))}

    def refused(self, config: CoreConfig) -> Iterator[Refusal]:
        """Settings, words of ``tuser`` and contents of streams that raise a flag, each for
        itself."""
        return iter(())

    def never(self, config: CoreConfig, stream: str, codes: np.ndarray) -> np.ndarray:
        """Which of these codes (of integers: values) an element of a stream is known never to have
        in a run without errors."""
        return np.zeros(codes.shape, bool)

    def points(self, config: CoreConfig) -> Iterator["Point"]:
        """Functional coverage points of the template's own, beside those of
        :func:`systolith.sim.points.points`: modes, first, last and only tiles, saturation."""
        return iter(())


def load_model(path: str) -> Model:
    """Import a model by its ``"module:name"``."""
    module, _, name = path.partition(":")
    return getattr(import_module(module), name)
