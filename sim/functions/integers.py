"""Division and square roots of integers."""

import math

import numpy as np


def divide(dividend: np.ndarray, divisor: np.ndarray, dividend_bits: int,
           divisor_bits: int) -> tuple[np.ndarray, np.ndarray]:
    """Quotient and remainder of unsigned integers.

    By 0, every bit of the quotient is one and the remainder is the low bits of the dividend.
    """
    dividend, divisor = np.asarray(dividend), np.asarray(divisor)
    zero = divisor == 0
    some = np.where(zero, 1, divisor)
    ones, mask = (1 << dividend_bits) - 1, (1 << divisor_bits) - 1
    return (np.where(zero, ones, dividend // some),
            np.where(zero, dividend & mask, dividend % some))


def round_divide(dividend: np.ndarray, divisor: np.ndarray | int) -> np.ndarray:
    """Nearest integers of dividend / divisor, halves to even, for positive divisors below 2^63."""
    floor, rest = np.divmod(dividend, divisor)
    return floor + ((rest > divisor - rest) | ((rest == divisor - rest) & (floor % 2 == 1)))


def square_root(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """⌊√x⌋ and x − ⌊√x⌋²."""
    x = np.asarray(x)
    root = np.frompyfunc(math.isqrt, 1, 1)(x).astype(x.dtype)
    return root, x - root * root
