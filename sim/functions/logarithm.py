"""Base-2 logarithms of integers."""

from functools import lru_cache

import numpy as np

from systolith.hdl.arithmetic.config import LogarithmParameters
from systolith.sim.functions.inverse import normalized
from systolith.sim.functions.piecewise import coefficients, evaluate


def logarithm(parameters: LogarithmParameters, x: np.ndarray) -> np.ndarray:
    """log2(x) in units of 2^−precision, int64.

    Parameters
    ----------
    x : integer array
        Positive, of up to ``parameters.width`` bits; Python integers if these are more than 62.
    """
    leading, point = normalized(np.asarray(x), parameters.fraction_bits)
    return (leading << parameters.precision) + evaluate(parameters.segments, _table(parameters),
                                                        point)


@lru_cache
def _table(parameters: LogarithmParameters) -> np.ndarray:
    return coefficients(lambda v: np.log2(1 + v + parameters.offset), parameters.segments)
