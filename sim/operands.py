"""Checking what a user passes to a core, with one message per mistake."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from systolith.hdl.errors import Error
from systolith.hdl.formats import IntegerFormat
from systolith.sim.model import Workload

#: Of an fp16, the code of a NaN that no array becomes: all NaN are 0x7E00.
OTHER_NAN = 0xFFFF

#: Sizes stay below; sums of so many products of 16-bit operands are exact in int64.
MAX_SIZE = 1 << 31


def arguments(workload: Workload, required: tuple[str, ...],
              defaults: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of a call by name, defaults filled in.

    It does not matter which are in ``workload.arrays`` and which in ``workload.settings``.

    Raises
    ------
    Error
        If a name is unknown, given twice or missing.
    """
    allowed = ", ".join((*required, *defaults))
    given = {**workload.arrays, **workload.settings}
    for name in given:
        if name not in required and name not in defaults:
            raise Error(f"unknown argument {name!r}; arguments are {allowed}")
        if name in workload.arrays and name in workload.settings:
            raise Error(f"argument {name!r} is given both as an array and as a setting")
    for name in required:
        if given.get(name) is None:
            raise Error(f"argument {name!r} is missing; arguments are {allowed}")
    return {**defaults, **given}


def integers(name: str, value: Any, axes: tuple[str, ...], low: int, high: int,
             kind: str = "") -> np.ndarray:
    """Return ``value`` as an int64 array.

    Any integer dtype and memory layout will do, and nested lists of ints.

    Parameters
    ----------
    name : str
        For messages.
    axes : tuple of str
        Names of the dimensions; none for a scalar.
    low, high : int
        The closed range of allowed values, within int64.
    kind : str
        Format of the values, for messages.

    Raises
    ------
    Error
        If the dtype, the number of dimensions, a size or a value is not allowed.
    """
    array = shaped(name, value, axes)
    if array.dtype.kind not in "iu":
        raise Error(f"{name} must hold integers, not {_dtype(array)}")
    if array.min() < low or array.max() > high:
        index = np.unravel_index(np.argmax((array < low) | (array > high)), array.shape)
        where = f" at [{', '.join(map(str, index))}]" if axes else ""
        values = f"{kind} values, {low} to {high}" if kind else f"values from {low} to {high}"
        raise Error(f"{name} must hold {values}, not {array[index]}{where}")
    return array.astype(np.int64, copy=False)


def shaped(name: str, value: Any, axes: tuple[str, ...], kind: str = "integers") -> np.ndarray:
    """Return ``value`` as an array with as many dimensions as ``axes`` names, none of them empty.

    Raises
    ------
    Error
        If it has another shape, or nested lists do not have one.
    """
    try:
        array = np.asarray(value)
    except (ValueError, OverflowError):
        raise Error(f"{name} must be an array of {kind}, not {_show(value)}") from None
    if array.ndim != len(axes):
        wanted = f"an array of shape ({', '.join(axes)})" if axes else "one integer"
        raise Error(f"{name} must be {wanted}, not of shape {array.shape}")
    if array.size == 0:
        raise Error(f"{name} has shape {array.shape}; every size must be at least 1")
    if max(array.shape, default=1) >= MAX_SIZE:
        raise Error(f"{name} has shape {array.shape}; every size must be less than {MAX_SIZE}")
    return array


def elements(name: str, value: Any, axes: tuple[str, ...], element: IntegerFormat) -> np.ndarray:
    """:func:`integers` in the range of a format."""
    return integers(name, value, axes, element.low, element.high, element.name)


def numbers(name: str, value: Any, axes: tuple[str, ...]) -> np.ndarray:
    """Return ``value`` as a float64 array; NaN and infinities may be among them.

    Raises
    ------
    Error
        If it does not hold real numbers, or the number of dimensions or a size is not allowed.
    """
    try:
        array = np.asarray(value)
    except ValueError:
        raise Error(f"{name} must be an array of numbers, not {_show(value)}") from None
    if array.dtype.kind not in "iuf":
        raise Error(f"{name} must hold numbers, not {_dtype(array)}")
    if array.ndim != len(axes) or array.size == 0:
        raise Error(f"{name} must be an array of shape ({', '.join(axes)}), every size at least 1, "
                    f"not of shape {array.shape}")
    return array.astype(float)


def half_floats(name: str, value: Any, axes: tuple[str, ...]) -> np.ndarray:
    """:func:`numbers` that ``fp16`` has, still as float64: to nearest, halves to even, finite ones
    saturating."""
    array = numbers(name, value, axes)
    limit = float(np.finfo(np.float16).max)
    clipped = np.where(np.isfinite(array), np.clip(array, -limit, limit), array)
    return clipped.astype(np.float16).astype(float)


def scalar(name: str, value: Any, low: int, high: int, kind: str = "") -> int:
    """:func:`integers` for a single value, returned as an int."""
    return int(integers(name, value, (), low, high, kind))


def per_column(name: str, value: Any, columns: int, low: int, high: int) -> np.ndarray:
    """:func:`integers` for one value per column of the result, or one for all of them."""
    if np.ndim(value) == 0:
        return np.full(columns, scalar(name, value, low, high))
    array = integers(name, value, ("N",), low, high)
    if len(array) != columns:
        raise Error(f"{name} has {len(array)} values and the result has {columns} columns; give "
                    "one for each, or a single one")
    return array


def result_dtype(element: IntegerFormat) -> type[np.signedinteger]:
    """Dtype of a result: int32 where every value of the format fits, else int64."""
    return np.int32 if element.code_high < 1 << 31 else np.int64


def wrap(values: np.ndarray, element: IntegerFormat) -> np.ndarray:
    """Keep the low ``element.bits`` bits of int64 values, or of Python integers."""
    if values.dtype == object:
        half = 1 << element.bits - 1 if element.signed else 0
        return (values + half & (1 << element.bits) - 1) - half
    if not element.signed:
        return values & element.code_high
    unused = max(64 - element.bits, 0)
    return values << unused >> unused


def flag_bit(flags: tuple[tuple[str, str], ...], name: str) -> int:
    """The bit of a flag in the ``errors`` register, as a mask."""
    return 1 << [flag for flag, _ in flags].index(name)


def ceil_div(a: int, b: int) -> int:
    """``a / b`` rounded up."""
    return -(-a // b)


def _dtype(array: np.ndarray) -> str:
    return "Python objects, or ints beyond 64 bits" if array.dtype == object else str(array.dtype)


def _show(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
