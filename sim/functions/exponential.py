"""2^x and e^x of numbers in fixed point."""

from functools import lru_cache

import numpy as np

from systolith.hdl.arithmetic.config import ExponentialParameters
from systolith.hdl.formats import IntegerFormat
from systolith.sim.functions.piecewise import coefficients, evaluate


def exponential(parameters: ExponentialParameters,
                x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mantissas and exponents of 2^x or e^x.

    Parameters
    ----------
    x : integer array
        In units of ``parameters.source``.

    Returns
    -------
    mantissa : int64 array
        In units of 2^−precision.
    exponent : int64 array
    """
    bits = parameters.fraction_bits
    z = _z(parameters, np.asarray(x, np.int64))
    mantissa = evaluate(parameters.segments, _powers_of_two(parameters), z % (1 << bits))
    return mantissa, z // (1 << bits)


def fixed_exponential(parameters: ExponentialParameters, target: IntegerFormat, x: np.ndarray, *,
                      nearest: bool = True) -> np.ndarray:
    """2^x or e^x of x ≤ 0 as integers in units of ``target``, to nearest (halves up) or down."""
    mantissa, exponent = exponential(parameters, x)
    drop = parameters.precision + target.lsb_exponent - exponent
    drop = np.minimum(drop, 62 - parameters.precision)
    if nearest:
        return (2 * mantissa + (1 << drop)) >> (drop + 1)
    return mantissa >> drop


def _z(parameters: ExponentialParameters, x: np.ndarray) -> np.ndarray:
    """x·log2(base) in units of 2^−fraction_bits."""
    if parameters.base == "2":
        return x // (1 << -parameters.source.lsb_exponent - parameters.fraction_bits)
    constant = int(np.rint(np.ldexp(np.log2(np.e), parameters.multiplier_bits)))
    if parameters.source.bits + constant.bit_length() > 62:
        x = x.astype(object)
    z = (2 * x * constant + (1 << parameters.shift)) // (2 << parameters.shift)
    return z.astype(np.int64)


@lru_cache
def _powers_of_two(parameters: ExponentialParameters) -> np.ndarray:
    return coefficients(np.exp2, parameters.segments)
