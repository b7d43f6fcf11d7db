"""Functional coverage: what a regression must have seen, beside lines and toggles.

:func:`points` derives it from streams, formats and registers of any config. A model adds points of
its own in :meth:`systolith.sim.model.Model.points`: modes, tiles, saturation inside.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from systolith.hdl.config import CoreConfig
from systolith.hdl.formats import FloatFormat, Format, IntegerFormat
from systolith.hdl.interface import Register, Stream
from systolith.sim.cases import Case, register_mask, register_reset
from systolith.sim.formats.elements import decode
from systolith.sim.model import Model

#: Results of so many bits must reach both ends of their format; wider sums cannot in practice.
REACHABLE_BITS = 16
#: Narrower codes must all be seen.
ALL_CODES_BITS = 4


@dataclass(frozen=True)
class Point:
    """Something that must happen.

    Attributes
    ----------
    name : str
        ``"stream a: largest value"``.
    hit : callable
        Whether it happens in a case.
    unreachable : str or None
        Why it cannot, if it cannot.
    """

    name: str
    hit: Callable[[Case], bool]
    unreachable: str | None = None


def points(model: Model, config: CoreConfig) -> Iterator[Point]:
    """The points that follow from a config by itself."""
    for stream in config.streams:
        yield from _frames(stream)
        yield from _values(model, config, stream)
    for register in config.registers:
        if register.access == "rw":
            yield from _settings(register)


def _beats(case: Case, stream: Stream):
    return (case.job.inputs if stream.direction == "in" else case.expected)[stream.name]


def _frames(stream: Stream) -> Iterator[Point]:
    def lengths(case: Case) -> np.ndarray:
        return np.diff(np.flatnonzero(_beats(case, stream).last), prepend=-1)

    where = f"stream {stream.name}"
    yield Point(f"{where}: a single frame", lambda case: len(lengths(case)) == 1)
    yield Point(f"{where}: several frames", lambda case: len(lengths(case)) > 1)


def _values(model: Model, config: CoreConfig, stream: Stream) -> Iterator[Point]:
    where = f"stream {stream.name}"
    for what, codes in _classes(stream.element):
        if stream.direction == "out" and what in ("lowest", "highest") and (
                stream.element.bits > REACHABLE_BITS):
            continue
        excluded = model.never(config, stream.name, codes).all()
        yield Point(f"{where}: {what}", lambda case, codes=codes: bool(
            np.isin(_beats(case, stream).data, codes).any()),
            "no such value occurs" if excluded else None)
    if isinstance(stream.element, IntegerFormat) and stream.element.signed:
        for what, sign in (("positive", 1), ("negative", -1)):
            yield Point(f"{where}: {what}", lambda case, sign=sign: bool(
                (sign * _beats(case, stream).data > 0).any()))


def _classes(element: Format) -> Iterator[tuple[str, np.ndarray]]:
    """Kinds of values of a format, and the codes (of integers: the values) that are of each."""
    if isinstance(element, IntegerFormat):
        yield from (("lowest", np.array([element.code_low])),
                    ("highest", np.array([element.code_high])))
        if element.signed:
            yield "zero", np.array([0])
    elif element.bits <= ALL_CODES_BITS:
        for code in range(1 << element.bits):
            yield f"code {code}", np.array([code])
    elif isinstance(element, FloatFormat) and element.bits <= 16:
        codes = np.arange(1 << element.bits)
        values = np.asarray(decode(element, codes), float)
        finite = values[np.isfinite(values)]
        for what, wanted in (("zero", values == 0), ("lowest", values == finite.min()),
                             ("highest", values == finite.max()), ("NaN", np.isnan(values)),
                             ("infinite", np.isinf(values))):
            if wanted.any():
                yield what, codes[wanted]


def _settings(register: Register) -> Iterator[Point]:
    name = register.name
    mask, reset = register_mask(register), register_reset(register)

    def differs(case: Case) -> bool:
        return (case.job.writes.get(name, reset) & mask) != reset

    yield Point(f"register {name}: as after reset", lambda case: not differs(case))
    yield Point(f"register {name}: another value", differs)
