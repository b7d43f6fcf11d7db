"""Operands of the systolic core: what a user passes, and the numbers that it means."""

from typing import Any

import numpy as np

from systolith.hdl.errors import Error
from systolith.hdl.formats import FloatFormat, Format, IntegerFormat, PairFormat
from systolith.hdl.systolic.config import SystolicConfig
from systolith.sim.formats import (
    Codes,
    decode,
    decode_pairs,
    encode,
    fixed,
    invalid,
    pair_terms,
    quantize,
    quantize_pairs,
)
from systolith.sim.model import Workload
from systolith.sim.operands import elements, flag_bit, integers, shaped

Operand = np.ndarray | Codes
INT64_BITS = 63                        # magnitudes of int64


def checked(name: str, value: Any, axes: tuple[str, str], element: Format,
            pair_axis: int) -> Operand:
    """An operand as the model keeps it: int64 values of an integer format, codes of any other.

    Codes are taken as they are. Values of integers, bipolar, ternary and binary must be integers
    of the format; floats and pairs take any real numbers and quantize them to the nearest, halves
    to even, saturating.

    Parameters
    ----------
    pair_axis : int
        Along which pairs go.

    Raises
    ------
    Error
        If the shape, the dtype, the format or a value is not allowed.
    """
    if isinstance(value, Codes):
        if value.format != element:
            raise Error(f"{name} holds codes of {value.format}, not of {element}")
        shaped(name, value.array, axes)
        return decode(element, value.array) if isinstance(element, IntegerFormat) else value
    if isinstance(element, IntegerFormat):
        return elements(name, value, axes, element)
    if not isinstance(element, FloatFormat | PairFormat):
        array = integers(name, value, axes, element.low, element.high, element.name)
        try:
            return Codes(encode(element, array), element)
        except Error as error:
            raise Error(f"{name}: {error}") from None
    array = _real(name, value, axes)
    wrong = np.isnan(array) if isinstance(element, FloatFormat) else ~np.isfinite(array)
    if wrong.any() and getattr(element, "nan_code", None) is None:
        index = np.unravel_index(np.argmax(wrong), array.shape)
        raise Error(f"{name} is {array[index]} at [{index[0]}, {index[1]}], for which {element} "
                    "has no code")
    if isinstance(element, FloatFormat):
        return Codes(quantize(element, array), element)
    return Codes(_paired(element, array, pair_axis), element)


def _real(name: str, value: Any, axes: tuple[str, str]) -> np.ndarray:
    array = shaped(name, value, axes, "numbers")
    if array.dtype.kind in "bcOSUMm":
        raise Error(f"{name} must hold real numbers, not {array.dtype}")
    return array.astype(float)


def _paired(element: PairFormat, values: np.ndarray, axis: int) -> np.ndarray:
    """Quantize pairs; the last element of an odd number has no victim, so it is a normal one."""
    values = np.moveaxis(values, axis, -1)
    whole = values.shape[-1] // 2 * 2
    single = np.clip(values[..., whole:], -element.normal_high, element.normal_high)
    codes = np.concatenate([quantize_pairs(element, values[..., :whole]),
                            quantize_pairs(element, single)[..., :single.shape[-1]]], axis=-1)
    return np.moveaxis(codes, -1, axis)


def on_wire(operand: Operand) -> np.ndarray:
    """What the lanes of a stream hold."""
    return operand.array if isinstance(operand, Codes) else operand


def padded(config: SystolicConfig, workload: Workload) -> tuple[np.ndarray, np.ndarray]:
    """Both operands on the wire, with the lanes beyond M (os) and N, which hold 0."""
    a, w = (on_wire(workload.arrays[name]) for name in "aw")
    rows = -len(a) % config.rows if config.dataflow == "os" else 0
    return np.pad(a, ((0, rows), (0, 0))), np.pad(w, ((0, 0), (0, -w.shape[1] % config.cols)))


def pair_axis(config: SystolicConfig, name: str) -> int:
    """Along which axis neighbours share a beat: K for A of ws, M for A of os, N for W."""
    return 0 if name == "a" and config.dataflow == "os" else 1


def mantissas(element: Format, wire: np.ndarray, axis: int = 1) -> np.ndarray:
    """Exact values in units of ``2**lsb_exponent``; 0 for what is no number.

    int64, or Python integers where that is too narrow.
    """
    if isinstance(element, IntegerFormat):
        return wire
    if isinstance(element, PairFormat):
        return _along(lambda codes: decode_pairs(element, codes), wire, axis)
    if element.fixed.bits <= INT64_BITS:
        return fixed(element, wire)
    values = np.where(invalid(element, wire), 0, decode(element, wire))
    significand, exponent = np.frexp(values)
    whole = np.ldexp(significand, 53).astype(np.int64).astype(object)
    shift = np.where(values == 0, 0, exponent - element.lsb_exponent).astype(object)
    return whole << shift >> 53


def numbers(element: Format, wire: np.ndarray, axis: int = 1) -> np.ndarray:
    """Values as float64, NaN and infinities among them."""
    if isinstance(element, FloatFormat):
        return decode(element, wire)
    return mantissas(element, wire, axis).astype(float)


def invalid_flags(config: SystolicConfig, workload: Workload) -> int:
    """Flags of operands that hold codes which are no numbers."""
    flags = 0
    for name, element in (("a", config.a_element), ("w", config.w_element)):
        wire = on_wire(workload.arrays[name])
        if isinstance(element, IntegerFormat):
            continue
        if isinstance(element, PairFormat):
            wrong = _along(lambda codes, element=element: pair_terms(element, codes).illegal, wire,
                           pair_axis(config, name))
        else:
            wrong = invalid(element, wire)
        if wrong.any():
            flags |= flag_bit(config.flags, f"{name}_invalid")
    return flags


def _along(decoded, wire: np.ndarray, axis: int) -> np.ndarray:
    """Decode pairs along an axis, beyond whose end the wire holds 0."""
    codes = np.moveaxis(wire, axis, -1)
    length = codes.shape[-1]
    even = np.pad(codes, ((0, 0), (0, length % 2)))
    return np.moveaxis(decoded(even)[..., :length], -1, axis)
