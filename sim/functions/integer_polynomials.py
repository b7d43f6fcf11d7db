"""I-BERT's integer polynomials, written from the paper's algorithms."""

import numpy as np

from systolith.hdl.arithmetic.config import IntegerExponentialParameters, IntegerGeluParameters


def integer_exponential(parameters: IntegerExponentialParameters,
                        n: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Polynomials and exponents z of e^−(n·S), worth polynomial · 2^−z · a·S².

    Parameters
    ----------
    n : integer array
        At least 0.

    Returns
    -------
    polynomial, z : int64 arrays
    """
    scale, square, linear = parameters.scale, parameters.SQUARE, parameters.LINEAR
    x0 = int(np.floor(-parameters.LN2 / scale))
    q = np.maximum(-np.asarray(n, np.int64), parameters.EXPONENT_HIGH * x0)
    z = q // x0
    r = q - x0 * z
    b, c = int(np.floor(linear / square / scale)), int(np.floor(1 / square / scale**2))
    return r * (r + b) + c, z


def integer_gelu(parameters: IntegerGeluParameters, q: np.ndarray) -> np.ndarray:
    """GELU(q·S) as int64, in units of ``parameters.unit``.

    Parameters
    ----------
    q : integer array
    """
    q = np.asarray(q, np.int64)
    a, b, scale = -parameters.SQUARE, -parameters.OFFSET, parameters.scale / parameters.ROOT2
    b_int, c_int = int(np.floor(b / scale)), int(np.floor(1 / a / scale**2))
    erf = np.sign(q) * ((np.minimum(np.abs(q), -b_int) + b_int)**2 + c_int)
    erf_scale = a * scale**2 * 2**parameters.shift
    # The scale of erf is negative, as published; so is the scale of this product.
    return -q * (erf // 2**parameters.shift + int(np.floor(1 / erf_scale)))
