"""What the bit-serial core computes, register contents and all, on whole arrays.

Y. Chen et al., BitMoD: bit-serial mixture-of-datatype LLM acceleration, HPCA 2025
(arXiv 2411.11745), section IV; the pipeline follows the authors' RTL but for its two defects: the
product is aligned too where the running sum has the larger exponent, and no sum overflows. With
``int8`` activations sums are exact.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from systolith.hdl.bitserial.config import (
    COLUMN_BITS,
    COLUMN_GUARD,
    LANES,
    TYPES,
    BitserialConfig,
)
from systolith.sim.operands import wrap

#: Weights of unknown types count as these.
FALLBACK = 0


@dataclass(frozen=True)
class Terms:
    """Weights as terms (−1)^sign · 2^exponent · present · 2^digit, term by term.

    Arrays of shape (N, K, terms) but ``digit``, shape (terms,). ``bad_code`` and ``bad_special``
    have shape (N, K).
    """

    sign: np.ndarray
    exponent: np.ndarray
    present: np.ndarray
    digit: np.ndarray
    bad_code: np.ndarray
    bad_special: np.ndarray


@dataclass(frozen=True)
class Activations:
    """``fp16`` numbers (−1)^sign · significand · 2^(exponent − 25), arrays of one shape."""

    sign: np.ndarray
    exponent: np.ndarray
    significand: np.ndarray

    def __getitem__(self, index) -> "Activations":
        return Activations(self.sign[index], self.exponent[index], self.significand[index])


def split(a: np.ndarray) -> Activations:
    """Take ``fp16`` values apart; Inf and NaN count as 0, subnormals have exponent 1."""
    bits = np.where(np.isfinite(a), a, 0).astype(np.float16).view(np.uint16).astype(np.int64)
    field, fraction = bits >> 10 & 31, bits & 1023
    sign = np.where(np.isfinite(a), np.signbit(a), False)
    return Activations(sign, np.maximum(field, 1), fraction + ((field > 0) << 10))


def encode(kind: int, codes: np.ndarray, special: np.ndarray, naf: bool) -> Terms:
    """Terms of codes 0 to 255, shape (N, K), of one type.

    Parameters
    ----------
    kind : int
        Number of the type.
    special : int array, shape (N,)
        What the special code of a row stands for, in units of 0.5.
    naf : bool
        Special values may be differences of two powers of two.
    """
    chosen = TYPES[kind if kind < len(TYPES) else FALLBACK]
    bits = chosen.format.bits
    low = codes & (1 << bits) - 1
    if not chosen.mixture:
        value = low - ((low >> bits - 1) << bits)
        bad = codes != value & 255
        binary = value[..., None] >> np.arange(-1, 2 * chosen.terms).clip(0) & 1
        binary[..., 0] = 0
        digits = binary[..., 0:-1:2] + binary[..., 1::2] - 2 * binary[..., 2::2]
        return Terms(digits < 0, (abs(digits) == 2).astype(np.int64), digits != 0,
                     2 * np.arange(chosen.terms), bad, np.zeros(codes.shape, bool))

    half = 1 << bits - 1
    magnitude = (2 * np.array(chosen.format.magnitudes)).astype(np.int64)[low & half - 1]
    value = np.where(low == half, special[:, None], np.where(low & half, -magnitude, magnitude))
    magnitude = abs(value)
    high = np.where(magnitude > 1, 1 << np.frexp(magnitude.astype(float))[1].clip(1) - 1, 0)
    rest = magnitude - high
    if naf:
        above = 2 * high - magnitude
        instead = ~_is_power(rest) & _is_power(above)
        high, rest = np.where(instead, 2 * high, high), np.where(instead, -above, rest)
    bad = ~_is_power(abs(rest)) | (high > 16) | (magnitude > 16)
    parts = np.stack([rest, high // 2], axis=-1)
    present = (parts != 0) & ~bad[..., None]
    exponent = np.frexp(abs(parts).astype(float))[1].clip(1) - 1
    sign = (parts < 0) ^ (value < 0)[..., None]
    return Terms(sign & present, np.where(present, exponent, 0), present, np.arange(2),
                 codes != low, bad)


def _is_power(values: np.ndarray) -> np.ndarray:
    """A power of two, or 0."""
    return values & values - 1 == 0


def shift_right(values: np.ndarray, distance: np.ndarray, rounding: str) -> np.ndarray:
    """values / 2^distance, rounded down (``trunc``) or to nearest even (``rne``)."""
    distance = np.minimum(distance, 60)
    floor = values >> distance
    if rounding == "trunc":
        return floor
    doubled = 2 * (values - (floor << distance))
    step = np.left_shift(1, distance)
    return floor + ((doubled > step) | ((doubled == step) & (floor & 1 == 1)))


def add(a: np.ndarray, a_exponent: np.ndarray, b: np.ndarray, b_exponent: np.ndarray, bits: int,
        rounding: str) -> tuple[np.ndarray, np.ndarray]:
    """Sum of mantissas with exponents, its magnitude brought down to ``bits`` bits."""
    exponent = np.maximum(a_exponent, b_exponent)
    total = (shift_right(a, exponent - a_exponent, rounding)
             + shift_right(b, exponent - b_exponent, rounding))
    excess = np.maximum(np.frexp(abs(total).astype(float))[1] - bits, 0)
    return shift_right(total, excess, rounding), exponent + excess


def dot(config: BitserialConfig, a: Activations, terms: Terms, index: int
        ) -> tuple[np.ndarray, np.ndarray]:
    """Sums of 4 products with term ``index`` of the weights, and their exponents: (T, N)."""
    present = terms.present[None, :, :, index]
    exponents = a.exponent[:, None] + terms.exponent[None, :, :, index]
    counted = np.where(present, exponents, 0) if config.mask_zero_lanes else exponents
    largest = counted.max(-1)
    distance = np.where(present, largest[..., None] - exponents, 0)
    magnitude = np.where(present, a.significand[:, None], 0) << config.guard
    aligned = shift_right(magnitude, distance, config.rounding)
    negative = a.sign[:, None] ^ terms.sign[None, :, :, index]
    return np.where(negative, -aligned, aligned).sum(-1), largest


def group_sum(config: BitserialConfig, a: Activations, terms: Terms
              ) -> tuple[np.ndarray, np.ndarray]:
    """Mantissas and exponents of the sums of a group, (T, N), of (T, G) and (N, G)."""
    shape = len(a.sign), len(terms.sign)
    mantissa, exponent = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
    bits = 11 + config.guard
    for start in range(0, a.sign.shape[1], LANES):
        lanes = slice(start, start + LANES)
        part = Terms(terms.sign[:, lanes], terms.exponent[:, lanes], terms.present[:, lanes],
                     terms.digit, terms.bad_code, terms.bad_special)
        for index, digit in enumerate(terms.digit):
            product, largest = dot(config, a[:, lanes], part, index)
            mantissa, exponent = add(mantissa, exponent, product << digit, largest, bits,
                                     config.rounding)
    return mantissa, exponent


def sums(config: BitserialConfig, a: np.ndarray, codes: np.ndarray, kinds: np.ndarray,
         scales: np.ndarray, special: np.ndarray) -> tuple[np.ndarray, np.ndarray, set[str]]:
    """Mantissas and exponents of the results, (T, N), and the names of the flags raised.

    Parameters
    ----------
    a : float array, shape (T, K)
        K whole groups.
    codes : int array, shape (N, K)
    kinds : int array, shape (groups,)
    scales, special : int arrays, shape (N, groups)
        Scale of each group, and what its special code stands for in units of 0.5.
    """
    activations = split(a)
    flags = set() if np.isfinite(a).all() else {"not_finite"}
    shape = len(a), len(codes)
    mantissa, exponent = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
    for part, terms, whole, scale, raised in _groups(config, codes, kinds, scales, special):
        found, found_exponent = group_sum(config, activations[:, part], terms)
        mantissa, exponent = add(mantissa, exponent, (found * scale) << COLUMN_GUARD,
                                 found_exponent + whole, COLUMN_BITS, config.rounding)
        flags |= raised
    return mantissa, exponent, flags


def exact_sums(config: BitserialConfig, a: np.ndarray, codes: np.ndarray, kinds: np.ndarray,
               scales: np.ndarray, special: np.ndarray) -> tuple[np.ndarray, set[str]]:
    """Results of ``int8`` activations, (T, N), in units of 0.5, and the names of the flags raised.

    Parameters as of :func:`sums`, ``a`` integers.
    """
    total, flags = np.zeros((len(a), len(codes)), np.int64), set()
    for part, terms, whole, scale, raised in _groups(config, codes, kinds, scales, special):
        signs = np.where(terms.sign, -1, 1) * terms.present
        weights = (signs << terms.exponent << terms.digit).sum(-1) << whole
        total += a[:, part] @ weights.T * scale
        wrapped = wrap(total, config.column)
        if (wrapped != total).any():
            raised.add("overflow")
        total, flags = wrapped, flags | raised
    return total, flags


def _groups(config: BitserialConfig, codes: np.ndarray, kinds: np.ndarray, scales: np.ndarray,
            special: np.ndarray) -> Iterator[tuple[slice, Terms, bool, np.ndarray, set[str]]]:
    """Group by group: its part of K, terms, whether in units of 1, scale (N,), flags raised."""
    for group, kind in enumerate(kinds):
        part = slice(group * config.group, (group + 1) * config.group)
        terms = encode(int(kind), codes[:, part], special[:, group],
                       config.special_decode == "naf")
        known = kind < len(TYPES)
        yield part, terms, not TYPES[kind if known else FALLBACK].mixture, scales[:, group], {
            name for name, raised in (
                ("bad_type", not known), ("bad_code", terms.bad_code.any()),
                ("bad_special", terms.bad_special.any()),
                ("zero_scale", (scales[:, group] == 0).any())) if raised}
