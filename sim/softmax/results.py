"""What leaves the core: probabilities or logarithms as codes of their format."""

from collections.abc import Mapping

import numpy as np

from systolith.hdl.softmax.config import REAL, SoftmaxConfig
from systolith.sim.formats import decode, quantize
from systolith.sim.operands import result_dtype
from systolith.sim.rounding import to_floats, to_integers
from systolith.sim.softmax.base2 import base2
from systolith.sim.softmax.ibert import ibert
from systolith.sim.softmax.integer import integer
from systolith.sim.softmax.real import real
from systolith.sim.softmax.rows import Rows

#: Shifts are limited to this, by which any number here is gone.
FAR = 62


def results(config: SoftmaxConfig, rows: Rows,
            registers: Mapping[str, int]) -> tuple[np.ndarray, set[str]]:
    """Codes of the results, int64, shape (M, beats, lanes), and the flags raised."""
    raised = {name for name, found in rows.odd.items() if found.any()}
    if not rows.keep.any(axis=(1, 2)).all():
        raised.add("row_empty")
    match config.algorithm:
        case "base2":
            y, saturated = base2(config, rows.x, rows.keep)
            if saturated:
                raised.add("saturated")
        case "integer":
            y = integer(config, rows.x, rows.keep)
        case "ibert":
            y = ibert(config, rows.x, rows.keep, registers)
        case _:
            y = _real(config, rows, registers["scale"], raised)
    y = np.where(rows.keep, y, config.masked_code)
    if config.algorithm in REAL:
        y = np.where(rows.keep & rows.undefined, config.undefined_code, y)
    return y, raised


def _real(config: SoftmaxConfig, rows: Rows, scale: int, raised: set[str]) -> np.ndarray:
    magnitude, exponent = real(config, rows.x, rows.keep, scale)
    if config.output == "log":
        if config.float_out:
            return _codes(config, to_floats(-magnitude, exponent))
        counted = np.where(rows.keep & ~rows.undefined, -magnitude, 0)
        y, saturated = to_integers(config.y, counted, exponent)
        if saturated:
            raised.add("y_saturated")
        return y
    if config.float_out:
        return _codes(config, np.ldexp(magnitude.astype(float), exponent))
    return magnitude >> np.clip(-config.y.bits - exponent, 0, FAR)


def _codes(config: SoftmaxConfig, values: np.ndarray) -> np.ndarray:
    return quantize(config.y, values, saturate=False).astype(np.int64)


def numbers_of(config: SoftmaxConfig, codes: np.ndarray) -> np.ndarray:
    """What a user gets for codes: integers, or float32."""
    if config.float_out:
        return decode(config.y, codes).astype(np.float32)
    return codes.astype(result_dtype(config.y))


def codes_of(config: SoftmaxConfig, values: np.ndarray) -> np.ndarray:
    """The codes of what a user gets."""
    return _codes(config, values) if config.float_out else values.astype(np.int64)
