"""Operands of the systolic core: what a user passes, and the numbers that it means."""

from typing import Any

import numpy as np

from systolith.hdl.errors import Error
from systolith.hdl.formats import (
    SCALE_BITS,
    SCALE_NAN,
    BitmodFormat,
    BlockFormat,
    FloatFormat,
    Format,
    IntegerFormat,
    PairFormat,
)
from systolith.hdl.systolic.config import SystolicConfig
from systolith.sim.formats import (
    Codes,
    decode,
    decode_groups,
    decode_pairs,
    encode,
    fixed,
    invalid,
    pair_terms,
    quantize,
    quantize_blocks,
    quantize_pairs,
)
from systolith.sim.model import Workload
from systolith.sim.operands import ceil_div, elements, flag_bit, integers, shaped

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


def checked_blocks(name: str, given: dict[str, Any], axes: tuple[str, str],
                   element: BlockFormat | BitmodFormat) -> dict[str, Operand]:
    """An operand with scales: its codes, ``<name>_scale`` and, of bitmod, ``<name>_select``.

    Real numbers are quantized in blocks along K; codes come with their scales.

    Raises
    ------
    Error
        If the shape, the format or a value is not allowed, or scales come without codes.
    """
    value, along = given[name], axes.index("K")
    scale, select = given.get(f"{name}_scale"), given.get(f"{name}_select")
    if not isinstance(value, Codes):
        if isinstance(element, BitmodFormat):
            raise Error(f"{name} must be Codes of {element}, with {name}_scale and {name}_select")
        if scale is not None:
            raise Error(f"{name}_scale goes with Codes of {element}; numbers are quantized with "
                        "scales of their own")
        array = np.moveaxis(_real(name, value, axes), along, 1)
        codes, scale = quantize_blocks(element, array)
        value, scale = Codes(np.moveaxis(codes, 1, along), element), np.moveaxis(scale, 1, along)
    if value.format != element:
        raise Error(f"{name} holds codes of {value.format}, not of {element}")
    shaped(name, value.array, axes)
    shape = list(value.shape)
    shape[along] = ceil_div(shape[along], element.shared_by)
    signed = isinstance(element, BitmodFormat)
    found: dict[str, Operand] = {name: value}
    for part, array, low, high in (
            ("scale", scale, *((-128, 127) if signed else (0, 255))),
            ("select", 0 if select is None else select, 0, (1 << element.select_bits) - 1)):
        if part == "select" and not element.select_bits:
            continue
        full = f"{name}_{part}"
        if array is None:
            raise Error(f"argument {full!r} is missing; Codes of {element} have a scale for every "
                        f"{element.shared_by} elements along K")
        if np.ndim(array) == 0:
            array = np.full(shape, array)
        array = integers(full, array, axes, low, high)
        if array.shape != tuple(shape):
            raise Error(f"{full} must have shape {tuple(shape)}, one for every "
                        f"{element.shared_by} elements along K, not {array.shape}")
        found[full] = array
    return found


def scale_words(config: SystolicConfig, workload: Workload, name: str) -> np.ndarray:
    """What the lanes of a stream of scales hold, one for every block."""
    words = workload.arrays[f"{name}_scale"] & ((1 << SCALE_BITS) - 1)
    if f"{name}_select" in workload.arrays:
        words = words | workload.arrays[f"{name}_select"] << SCALE_BITS
    return words


def tiles_per_block(config: SystolicConfig) -> int:
    """K tiles (ws), or runs of beats (os), of a whole block."""
    return ceil_div(config.block, config.rows) if config.dataflow == "ws" else 1


def step(config: SystolicConfig) -> int:
    """Products that are summed before a scale comes: a K tile (ws), a block (os)."""
    return config.rows if config.dataflow == "ws" else config.block


def in_whole_tiles(config: SystolicConfig, matrix: np.ndarray, axis: int) -> np.ndarray:
    """A matrix whose every block is filled up with zeros to whole K tiles along ``axis`` (ws)."""
    if not config.scales or config.dataflow == "os":
        return matrix
    parts = []
    for start in range(0, matrix.shape[axis], config.block):
        part = matrix.take(range(start, min(start + config.block, matrix.shape[axis])), axis)
        padding = [(0, 0), (0, 0)]
        padding[axis] = (0, -part.shape[axis] % config.rows)
        parts.append(np.pad(part, padding))
    return np.concatenate(parts, axis)


def per_step(config: SystolicConfig, scales: np.ndarray, axis: int, steps: int) -> np.ndarray:
    """Scales of every block along ``axis``, repeated for every step."""
    return scales.repeat(tiles_per_block(config), axis).take(range(steps), axis)


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


def bitmod_mantissas(element: BitmodFormat, wire: np.ndarray, select: np.ndarray,
                     axis: int) -> np.ndarray:
    """Exact values in units of ``2**lsb_exponent`` of groups along ``axis``."""
    values = decode_groups(element, np.moveaxis(wire, axis, 1), np.moveaxis(select, axis, 1))
    return np.moveaxis(np.ldexp(values, -element.lsb_exponent).astype(np.int64), 1, axis)


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
        if isinstance(element, IntegerFormat | BitmodFormat):
            continue
        if isinstance(element, BlockFormat):
            scale_nan = (workload.arrays[f"{name}_scale"] == SCALE_NAN).any()
            wrong = invalid(element.element, wire) | scale_nan
        elif isinstance(element, PairFormat):
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
