"""Blocks of elements with one power-of-two scale: ``mx…`` and ``bfp…``."""

import numpy as np

from systolith.hdl.errors import Error
from systolith.hdl.formats import SCALE_BIAS, SCALE_NAN, BlockFormat, IntegerFormat
from systolith.sim.formats.elements import Rounding, code_dtype, decode, quantize, quantize_integer


def quantize_blocks(format: BlockFormat, values: np.ndarray,
                    rounding: Rounding = "rne") -> tuple[np.ndarray, np.ndarray]:
    """Quantize ``values`` in blocks along the last axis.

    The scale brings the largest magnitude of its block to the exponent of the largest element:
    X − 127 = floor(log2 max|v|) − ``exponent_high``, no less than −127. Elements saturate and keep
    their subnormals. A block of zeros has scale 0; a block with a NaN or an Inf, and one whose
    scale would pass 2^127, has scale 255 (NaN) and elements 0.

    Parameters
    ----------
    values : array, shape (..., K)
        The last block is padded with zeros.

    Returns
    -------
    codes : array, shape (..., K)
    scales : uint8 array, shape (..., ceil(K / block))
    """
    blocks = split(np.asarray(values, float), format.block)
    largest = np.abs(blocks).max(-1, initial=0)
    finite = np.isfinite(largest)
    exponent = np.frexp(np.where(finite, largest, 0))[1] - 1 - format.exponent_high
    exponent = np.where(largest == 0, -SCALE_BIAS, np.maximum(exponent, -SCALE_BIAS))
    finite &= exponent <= SCALE_BIAS
    scales = np.where(finite, exponent + SCALE_BIAS, SCALE_NAN).astype(np.uint8)
    scaled = np.ldexp(np.where(finite[..., None], blocks, 0), -exponent[..., None])
    element = format.element
    if isinstance(element, IntegerFormat):
        integers = quantize_integer(element, scaled, rounding, element.code_low + format.symmetric)
        codes = (integers & ((1 << element.bits) - 1)).astype(code_dtype(element))
    else:
        codes = quantize(element, scaled, rounding)
    return join(codes, np.shape(values)[-1]), scales


def decode_blocks(format: BlockFormat, codes: np.ndarray, scales: np.ndarray) -> np.ndarray:
    """Values of ``codes``, shape (..., K), with ``scales``, shape (..., ceil(K / block)): float64.

    Raises
    ------
    Error
        If the shapes do not fit.
    """
    codes, scales = np.asarray(codes), np.asarray(scales)
    wanted = (*codes.shape[:-1], -(-codes.shape[-1] // format.block))
    if scales.shape != wanted:
        raise Error(f"codes of shape {codes.shape} in {format} take scales of shape {wanted}, "
                    f"not {scales.shape}")
    each = np.repeat(scales.astype(np.int64), format.block, axis=-1)[..., :codes.shape[-1]]
    values = np.ldexp(decode(format.element, codes).astype(float), each - SCALE_BIAS)
    return np.where(each == SCALE_NAN, np.nan, values)


def split(values: np.ndarray, size: int) -> np.ndarray:
    """Cut the last axis into blocks, padded with zeros: (..., K) to (..., blocks, size)."""
    length = values.shape[-1]
    blocks = -(-length // size)
    padding = [(0, 0)] * (values.ndim - 1) + [(0, blocks * size - length)]
    return np.pad(values, padding).reshape(*values.shape[:-1], blocks, size)


def join(blocks: np.ndarray, length: int) -> np.ndarray:
    """Undo :func:`split`, dropping the padding."""
    return blocks.reshape(*blocks.shape[:-2], -1)[..., :length]
