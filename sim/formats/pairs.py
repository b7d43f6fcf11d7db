"""Outlier-victim pairs: ``ovp4`` and ``ovp8``."""

from typing import Literal, NamedTuple

import numpy as np

from systolith.hdl.errors import Error
from systolith.hdl.formats import PairFormat
from systolith.sim.formats.elements import code_dtype


class Terms(NamedTuple):
    """Elements as exponent-integer pairs, worth ``integer << exponent``.

    ``illegal`` marks both elements of an illegal pair.
    """

    exponent: np.ndarray
    integer: np.ndarray
    illegal: np.ndarray


def quantize_pairs(format: PairFormat, values: np.ndarray, threshold: float | None = None,
                   policy: Literal["larger", "even"] = "larger") -> np.ndarray:
    """Quantize ``values`` in pairs along the last axis, which is padded to even length with 0.

    An element of a magnitude above ``threshold`` is an outlier; of two outliers the larger stays,
    the first if they are equal (``larger``), or the first stays in any case (``even``), and the
    other becomes 0. Outliers go to the nearest outlier value, halves to the even code; other
    elements to the nearest integer, halves to even. Both saturate; neither gives an illegal code.

    Parameters
    ----------
    threshold : float, optional
        By default the middle between the largest integer and the smallest outlier.

    Raises
    ------
    Error
        If a value is not finite.
    """
    values = np.asarray(values, float)
    if not np.isfinite(values).all():
        raise Error(f"{format} has no code for NaN and infinities")
    if threshold is None:
        threshold = (format.normal_high + format.outlier_low) / 2
    values = np.pad(values, [(0, 0)] * (values.ndim - 1) + [(0, values.shape[-1] % 2)])
    magnitude = np.abs(values)
    first, second = magnitude[..., 0::2], magnitude[..., 1::2]
    first_stays = first > threshold
    if policy == "larger":
        first_stays &= first >= second
    elif policy != "even":
        raise Error(f"policy must be 'larger' or 'even', not {policy!r}")
    second_stays = ~first_stays & (second > threshold)
    outlier = np.stack([first_stays, second_stays], -1).reshape(values.shape)
    victim = np.stack([second_stays, first_stays], -1).reshape(values.shape)

    limit = format.normal_high
    normal = np.rint(np.clip(values, -limit, limit)).astype(np.int64) & (2 * limit + 1)
    table = _outlier_table(format)
    codes, levels = np.arange(1, len(table)), table[1:].astype(float)
    above = np.clip(np.searchsorted(levels, magnitude), 1, len(levels) - 1)
    down, up = magnitude - levels[above - 1], levels[above] - magnitude
    nearest = np.where((up < down) | ((up == down) & (codes[above] % 2 == 0)), above, above - 1)
    outliers = codes[nearest] + np.where(values < 0, format.identifier, 0)
    codes = np.where(outlier, outliers, np.where(victim, format.identifier, normal))
    return codes.astype(code_dtype(format))


def pair_terms(format: PairFormat, codes: np.ndarray) -> Terms:
    """Split pairs along the last axis into exponent and integer; illegal pairs give (0, 0)."""
    codes = np.asarray(codes).astype(np.int64)
    if codes.shape[-1] % 2:
        raise Error(f"{format} goes in pairs; the last axis of {codes.shape} is odd")
    half, fraction_bits = format.identifier, format.fraction_bits
    partner = codes.reshape(*codes.shape[:-1], -1, 2)[..., ::-1].reshape(codes.shape)
    victim, outlier = codes == half, partner == half
    magnitude = codes & (half - 1)
    field, fraction = magnitude >> fraction_bits, magnitude & ((1 << fraction_bits) - 1)
    worth = (fraction + (1 << fraction_bits)) << (field + format.bias)
    bad = outlier & (victim | (magnitude == 0) | (worth > format.outlier_high))
    illegal = np.repeat(bad.reshape(*codes.shape[:-1], -1, 2).any(-1), 2, axis=-1)
    signed = fraction + (1 << fraction_bits)
    signed = np.where(codes & half, -signed, signed)
    integer = np.where(outlier, signed, codes - 2 * (codes & half))
    zero = illegal | victim
    return Terms(np.where(outlier & ~zero, field + format.bias, 0), np.where(zero, 0, integer),
                 illegal)


def decode_pairs(format: PairFormat, codes: np.ndarray) -> np.ndarray:
    """Values of pairs along the last axis, int64; illegal pairs give 0."""
    terms = pair_terms(format, codes)
    return terms.integer << terms.exponent


def _outlier_table(format: PairFormat) -> np.ndarray:
    """Magnitudes of the legal outlier codes, ascending from code 0, which is not one."""
    codes = np.arange(format.identifier)
    field, fraction = np.divmod(codes, 1 << format.fraction_bits)
    values = ((1 << format.fraction_bits) + fraction) << (field + format.bias)
    return values[values <= format.outlier_high]
