"""Formats whose elements stand for themselves: integers, levels and floats."""

from typing import Literal

import numpy as np

from systolith.hdl.errors import Error
from systolith.hdl.formats import (
    BinaryFormat,
    BipolarFormat,
    FloatFormat,
    Format,
    IntegerFormat,
    TernaryFormat,
)

Rounding = Literal["rne", "half_away", "half_up", "floor", "toward_zero"]


def code_dtype(format: Format) -> np.dtype:
    """The smallest unsigned dtype that holds a code."""
    for dtype in (np.uint8, np.uint16, np.uint32, np.uint64):
        if format.bits <= np.iinfo(dtype).bits:
            return np.dtype(dtype)
    raise Error(f"arrays hold codes of up to 64 bits, not the {format.bits} of {format}")


def decode(format: Format, codes: np.ndarray) -> np.ndarray:
    """The values of ``codes``, any shape.

    int64 for integers and levels (uint64 for ``uint64``), float64 otherwise; exact. NaN and
    infinities decode to themselves, illegal codes to 0 (see :func:`invalid`).

    Raises
    ------
    Error
        If a code does not fit the format, or the format does not decode element by element.
    """
    codes = checked_codes(format, codes)
    match format:
        case IntegerFormat(bits, signed, lsb_exponent):
            values = codes.astype(np.int64 if signed or bits < 64 else np.uint64)
            if signed and bits < 64:
                values -= (values >> (bits - 1) & 1) << bits
            return values if not lsb_exponent else np.ldexp(values.astype(float), lsb_exponent)
        case BipolarFormat(bits):
            return 2 * codes.astype(np.int64) - ((1 << bits) - 1)
        case TernaryFormat():
            return np.array([0, 1, 0, -1])[codes]
        case BinaryFormat():
            return np.array([-1, 1])[codes]
        case FloatFormat():
            return _decode_float(format, codes.astype(np.int64))
    raise Error(f"the elements of {format} do not stand for themselves; decode whole blocks")


def invalid(format: Format, codes: np.ndarray) -> np.ndarray:
    """Which ``codes`` are not finite numbers: NaN, Inf, illegal."""
    codes = checked_codes(format, codes)
    match format:
        case TernaryFormat():
            return codes == format.illegal
        case FloatFormat():
            return (codes & np.uint64(format.sign_code - 1)) > format.high_code
    return np.zeros(codes.shape, bool)


def quantize(format: Format, values: np.ndarray, rounding: Rounding = "rne",
             saturate: bool = True) -> np.ndarray:
    """The codes nearest to ``values``, any shape, in :func:`code_dtype`.

    Rounding is once, from the value as given: ``rne`` to nearest with halves to the even code (in a
    float without fraction bits, where all significands but 0 are odd, to the larger magnitude),
    ``half_away`` to nearest with halves away from zero, ``half_up`` with halves up, ``floor`` down,
    ``toward_zero``. Levels (bipolar, ternary, binary) round to nearest only, halves to the even
    code, except that 0 is +1 in ``binary``.

    A number beyond the range becomes the largest finite number of its sign, and so does an
    infinity. With ``saturate=False`` a float format rounds as IEEE 754 does: to Inf, or to NaN
    where there is no Inf, and directed modes stop at the largest number; formats without either
    still saturate. NaN becomes the format's own NaN; a sign of zero is kept in floats.

    Raises
    ------
    Error
        If a value is NaN and the format has none, or the rounding does not apply.
    """
    values = np.asarray(values)
    if values.dtype.kind not in "iufb":
        values = values.astype(float)                        # such as a dtype of ml_dtypes
    if values.dtype.kind == "f":
        values = values.astype(float)
        if np.isnan(values).any() and getattr(format, "nan_code", None) is None:
            raise Error(f"{format} has no code for NaN")
    match format:
        case IntegerFormat():
            codes = quantize_integer(format, values, rounding, format.code_low).view(np.uint64)
            mask = (1 << format.bits) - 1
            return (codes & np.uint64(mask)).astype(code_dtype(format))
        case FloatFormat():
            return _quantize_float(format, values.astype(float), rounding, saturate)
    if rounding != "rne":
        raise Error(f"{format} rounds to nearest (rne), not {rounding!r}")
    match format:
        case BipolarFormat(bits):
            clipped = np.clip(values.astype(float), format.low, format.high)
            # Odd numbers lie in the middle between even ones, where the ties are.
            half = np.floor_divide(clipped, 2).astype(np.int64)
            tie = clipped == 2 * half
            codes = half + (1 << bits >> 1)
            codes -= tie & (codes % 2 == 1)
            return np.clip(codes, 0, format.high).astype(code_dtype(format))
        case TernaryFormat():
            return (np.rint(np.clip(values, -1, 1)).astype(np.int64) & 3).astype(np.uint8)
        case BinaryFormat():
            return (values >= 0).astype(np.uint8)
    raise Error(f"the elements of {format} do not stand for themselves; quantize whole blocks")


def encode(format: Format, values: np.ndarray) -> np.ndarray:
    """The codes of ``values``, which must be values of the format.

    Raises
    ------
    Error
        If a value is not one of the format's: names the first.
    """
    values = np.asarray(values)
    codes = quantize(format, values, saturate=False)
    back = decode(format, codes)
    wrong = (back != values) & ~((back != back) & (values != values))
    if wrong.any():
        raise Error(f"{values[wrong].flat[0]} is not a value of {format}")
    return codes


def fixed(format: Format, codes: np.ndarray) -> np.ndarray:
    """Values in units of ``2**format.lsb_exponent``, int64; codes that are no numbers give 0.

    Raises
    ------
    Error
        If such integers may need more than 64 bits.
    """
    if format.fixed.bits > 64 or (format.fixed.bits == 64 and not format.signed):
        raise Error(f"{format} in fixed point takes {format.fixed.bits} bits; int64 has 64")
    if isinstance(format, FloatFormat):
        finite = np.where(invalid(format, codes), 0, checked_codes(format, codes))
        # Magnitudes of 63 bits have few of them set: a fraction shifted.
        field, fraction = np.divmod(finite.astype(np.int64) & (format.sign_code - 1),
                                    1 << format.fraction_bits)
        fraction += (field > 0).astype(np.int64) << format.fraction_bits
        magnitude = fraction << np.maximum(field - 1, 0)
        return np.where(finite >= format.sign_code, -magnitude, magnitude)
    if format.lsb_exponent:
        return np.ldexp(decode(format, codes), -format.lsb_exponent).astype(np.int64)
    return decode(format, codes).astype(np.int64)


def quantize_integer(format: IntegerFormat, values: np.ndarray, rounding: Rounding,
                     low: int) -> np.ndarray:
    """``values`` in units of the least significant bit, rounded and clipped to ``low`` and up.

    int64, but uint64 for ``uint64``.
    """
    high = format.code_high
    dtype = np.int64 if high <= np.iinfo(np.int64).max else np.uint64
    if values.dtype.kind != "f":
        if format.lsb_exponent == 0:
            return _clip_integers(values, low, high, dtype)
        values = values.astype(float)
    rounded = round_values(np.ldexp(values, -format.lsb_exponent), rounding)
    above, below = rounded >= high, rounded <= low
    inside = np.where(above | below, 0, rounded).astype(dtype)
    return np.where(above, dtype(high), np.where(below, dtype(low), inside))


def round_values(values: np.ndarray, rounding: Rounding) -> np.ndarray:
    """Round float64 ``values`` to integers, exactly."""
    match rounding:
        case "rne":
            return np.rint(values)
        case "toward_zero":
            return np.trunc(values)
        case "floor":
            return np.floor(values)
        case "half_away":
            whole = np.trunc(values)
            away = np.copysign(1.0, values)
            return _step(values, whole, away)
        case "half_up":
            # Where the fraction is exactly a half, floor(x + 1/2) without its rounding error.
            return -_step_down(-values)
    raise Error(f"rounding must be 'rne', 'half_away', 'half_up', 'floor' or 'toward_zero', "
                f"not {rounding!r}")


def _step(values: np.ndarray, whole: np.ndarray, away: np.ndarray) -> np.ndarray:
    with np.errstate(invalid="ignore"):              # infinities have no fraction
        return np.where(np.abs(values - whole) >= 0.5, whole + away, whole)


def _step_down(values: np.ndarray) -> np.ndarray:
    """To nearest, halves down."""
    nearest = np.rint(values)
    with np.errstate(invalid="ignore"):
        return np.where(nearest - values == 0.5, nearest - 1, nearest)


def _clip_integers(values: np.ndarray, low: int, high: int, dtype: type) -> np.ndarray:
    # Compare as Python would: int64 and uint64 have no common integer dtype.
    limits = np.iinfo(values.dtype) if values.dtype.kind in "iu" else np.iinfo(np.uint8)
    values = values.astype(np.uint64 if limits.max > np.iinfo(np.int64).max else np.int64)
    floor, ceiling = max(low, limits.min), min(high, limits.max)
    if floor > ceiling:                              # all values lie on one side
        return np.full(values.shape, low if limits.max < low else high, dtype)
    return np.clip(values, floor, ceiling).astype(dtype)


def _decode_float(format: FloatFormat, codes: np.ndarray) -> np.ndarray:
    fraction_bits = format.fraction_bits
    fraction = codes & ((1 << fraction_bits) - 1)
    field = codes >> fraction_bits & ((1 << format.exponent_bits) - 1)
    normal = field > 0
    with np.errstate(over="ignore"):                 # infinities, replaced below
        magnitude = np.ldexp((fraction + (normal << fraction_bits)).astype(float),
                             np.where(normal, field, 1) - format.bias - fraction_bits)
    code = codes & (format.sign_code - 1)
    if format.inf_code is not None:
        magnitude = np.where(code == format.inf_code, np.inf, magnitude)
        magnitude = np.where(code > format.inf_code, np.nan, magnitude)
    elif format.nan_code is not None:
        magnitude = np.where(code == format.nan_code, np.nan, magnitude)
    return np.where(codes & format.sign_code, -magnitude, magnitude)


def _quantize_float(format: FloatFormat, values: np.ndarray, rounding: Rounding,
                    saturate: bool) -> np.ndarray:
    nan, infinite, negative = np.isnan(values), np.isinf(values), np.signbit(values)
    numbers = np.where(nan | infinite, 0, values)
    exponent = np.maximum(np.frexp(numbers)[1] - 1, format.exponent_low)
    exponent = np.where(numbers == 0, format.exponent_low, exponent)
    significand = np.abs(round_values(np.ldexp(numbers, format.fraction_bits - exponent), rounding))
    # The hidden bit carries into the exponent field, and so does a significand rounded up.
    codes = significand.astype(np.int64) + ((exponent - format.exponent_low).astype(np.int64)
                                            << format.fraction_bits)
    over = codes > format.high_code
    beyond = format.inf_code if format.inf_code is not None else format.nan_code
    if saturate or beyond is None:
        codes = np.where(over | infinite, format.high_code, codes)
    else:
        stops = (rounding == "toward_zero") | ((rounding == "floor") & ~negative)
        codes = np.where(over, np.where(stops, format.high_code, beyond), codes)
        codes = np.where(infinite, beyond, codes)
    codes += np.where(negative, format.sign_code, 0)
    if nan.any():
        codes = np.where(nan, format.nan_code, codes)
    return codes.astype(code_dtype(format))


def checked_codes(format: Format, codes: np.ndarray) -> np.ndarray:
    """``codes`` as uint64.

    Raises
    ------
    Error
        If they are not integers, or one does not fit the format.
    """
    codes = np.asarray(codes)
    if codes.dtype.kind not in "iu":
        raise Error(f"codes are integers, not {codes.dtype}")
    limit = (1 << format.bits) - 1
    if codes.size and (int(codes.min()) < 0 or int(codes.max()) > limit):
        raise Error(f"codes of {format} are 0 to {limit}, not "
                    f"{codes.min() if codes.min() < 0 else codes.max()}")
    return codes.astype(np.uint64)
