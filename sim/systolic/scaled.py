"""Sums of formats whose elements share scales."""

import numpy as np

from systolith.hdl.formats import (
    SCALE_BIAS,
    SCALE_NAN,
    BitmodFormat,
    BlockFormat,
    FloatFormat,
    Format,
    IntegerFormat,
)
from systolith.hdl.systolic.config import SystolicConfig
from systolith.sim.formats import invalid
from systolith.sim.model import Workload
from systolith.sim.operands import wrap
from systolith.sim.systolic.exact import DOUBLE_BITS, matmul
from systolith.sim.systolic.operands import (
    bitmod_mantissas,
    in_whole_tiles,
    mantissas,
    numbers,
    on_wire,
    per_step,
    step,
)
from systolith.sim.systolic.rounded import add_products


def scaled_sums(config: SystolicConfig, workload: Workload) -> tuple[np.ndarray, bool]:
    """C as it is in the accumulators, beyond M (os) and N as far as the last tiles do.

    The products of a K tile (ws) or of a block (os) are summed: exactly, or rounded to fp32 every
    time where the mesh rounds. The sum is multiplied by its scales and rounded once to fp32, or
    left exact; these are added in ascending order to 0.

    Returns
    -------
    float32 array, or integers of ``config.acc``; whether one of these wrapped around.
    """
    operands = [_Operand(config, workload, name) for name in "aw"]
    a, w = operands
    shape = len(a.rows), len(w.rows)
    total = np.zeros(shape, np.float32 if config.rounded else object)
    wrapped = False
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        for index, start in enumerate(range(0, a.length, step(config))):
            part = slice(start, start + step(config))
            scale = np.multiply.outer(*(operand.scale(index) for operand in operands))
            if config.mesh_rounds:
                within = range(start, min(start + step(config), a.length))
                order = reversed(within) if config.dataflow == "ws" else within
                sums = add_products(np.zeros(shape, np.float32), a.rows, w.rows.T, order)
                total += (sums.astype(float) * scale).astype(np.float32)
                continue
            sums = matmul(a.rows[:, part], w.rows.T[part]).astype(object)
            if isinstance(config.scales[0][1], BitmodFormat):
                sums, scale = sums * scale.astype(np.int64), np.ones(shape)
            if config.rounded:
                total += to_fp32(sums, config.product.lsb_exponent, scale)
                continue
            total = total + sums
            wrapped |= bool(((total < config.acc.code_low) | (total > config.acc.code_high)).any())
            total = wrap(total, config.acc)
    if not config.rounded and config.acc.bits <= 64:
        total = total.astype(np.int64)
    return total, wrapped


def to_fp32(integers: np.ndarray, lsb_exponent: int, power: np.ndarray) -> np.ndarray:
    """``integers * 2**lsb_exponent * power`` as float32, rounded once, to nearest even.

    Parameters
    ----------
    integers : array of Python integers
    power : float64 array
        Powers of two, or NaN.
    """
    # Wider ones are cut to 53 bits; what is cut sets the last bit, so that no tie comes of it.
    excess = np.frompyfunc(lambda x: max(abs(x).bit_length() - DOUBLE_BITS, 0), 1, 1)(integers)
    excess = excess.astype(int)
    cut = np.frompyfunc(_to_odd, 2, 1)(integers, excess).astype(float)
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        return (np.ldexp(cut, excess + lsb_exponent) * power).astype(np.float32)


def _to_odd(integer: int, excess: int) -> int:
    magnitude = abs(integer)
    kept = magnitude >> excess
    kept |= (kept << excess) != magnitude
    return -kept if integer < 0 else kept


class _Operand:
    """An operand with its rows, or columns, first and K second.

    Attributes
    ----------
    rows : array, shape (M or N, K)
        Integers in units of the format's last bit; float64 where the mesh rounds.
    length : int
        K, in whole K tiles (ws).
    """

    def __init__(self, config: SystolicConfig, workload: Workload, name: str):
        self.config = config
        format: Format = getattr(config, f"{name}_element")
        wire = on_wire(workload.arrays[name])
        rows = wire if name == "a" else wire.T
        lanes = -len(rows) % (config.cols if name == "w" else
                              config.rows if config.dataflow == "os" else 1)
        self.format = format
        arrays = workload.arrays
        self._scales = None
        if f"{name}_scale" in arrays:
            scales = arrays[f"{name}_scale"] if name == "a" else arrays[f"{name}_scale"].T
            self._scales = np.pad(scales, ((0, lanes), (0, 0)))
        number = format.element if isinstance(format, BlockFormat) else format
        if isinstance(format, BitmodFormat):
            select = arrays[f"{name}_select"] if name == "a" else arrays[f"{name}_select"].T
            values = bitmod_mantissas(format, rows, select, 1)
            values = np.ldexp(values.astype(float), format.lsb_exponent) \
                if config.mesh_rounds else values
        elif config.mesh_rounds:
            values = self._numbers(number, rows)
        else:
            values = self._mantissas(number, rows)
        wrong = np.zeros(rows.shape, bool)
        if isinstance(number, FloatFormat) and isinstance(format, BlockFormat) \
                and not config.mesh_rounds:
            wrong = invalid(number, rows)
        values, wrong = (in_whole_tiles(config, np.pad(matrix, ((0, lanes), (0, 0))), 1)
                         for matrix in (values, wrong))
        self.rows, self._wrong, self.length = values, wrong, values.shape[1]

    def scale(self, index: int) -> np.ndarray:
        """The scale of every row in a step, float64: NaN where an element is no number."""
        if self._scales is None:
            return np.ones(len(self.rows))
        scales = per_step(self.config, self._scales, 1, index + 1)[:, index]
        if isinstance(self.format, BitmodFormat):
            return scales.astype(float)
        size = step(self.config)
        wrong = self._wrong[:, index * size:(index + 1) * size].any(axis=1)
        worth = np.ldexp(1.0, scales - SCALE_BIAS)
        return np.where(wrong | (scales == SCALE_NAN), np.nan, worth)

    def _mantissas(self, number: Format, rows: np.ndarray) -> np.ndarray:
        if isinstance(number, IntegerFormat):
            half = 1 << number.bits - 1
            return (rows.astype(np.int64) & 2 * half - 1 ^ half) - half if number.signed \
                else rows.astype(np.int64)
        return mantissas(number, rows)

    def _numbers(self, number: Format, rows: np.ndarray) -> np.ndarray:
        if isinstance(number, IntegerFormat):
            return np.ldexp(self._mantissas(number, rows).astype(float), number.lsb_exponent)
        return numbers(number, rows)
