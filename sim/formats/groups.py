"""Sign and magnitude with a special value per group: ``bitmod3`` and ``bitmod4``."""

import numpy as np

from systolith.hdl.errors import Error
from systolith.hdl.formats import FP16, BitmodFormat
from systolith.sim.formats.blocks import join, split
from systolith.sim.formats.elements import code_dtype, decode, quantize

#: The reference quantizer keeps scales in this range.
SCALE_RANGE = 1e-5, 1e4


def quantize_groups(format: BitmodFormat,
                    values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Quantize ``values`` in groups along the last axis.

    Each special value is tried: the scale brings the largest magnitude of the group to the largest
    magnitude of the grid, every element goes to the nearest value of the grid, halves to the
    smaller value. The special value with the least squared error stays, the first of equals.

    Parameters
    ----------
    values : array, shape (..., K)
        The last group is padded with zeros.

    Returns
    -------
    codes : array, shape (..., K)
    scales : float64 array, shape (..., ceil(K / group))
    select : uint8 array, shape (..., ceil(K / group))
        Which special value a group uses.

    Raises
    ------
    Error
        If a value is not finite.
    """
    values = np.asarray(values, float)
    if not np.isfinite(values).all():
        raise Error(f"{format} has no code for NaN and infinities")
    groups = split(values, format.group)
    largest = np.abs(groups).max(-1, initial=0)
    best = None
    for index, special in enumerate(format.special_values):
        grid, grid_codes = _grid(format, special)
        scales = np.clip(largest / np.abs(grid).max(), *SCALE_RANGE)
        middles = (grid[:-1] + grid[1:]) / 2
        nearest = np.searchsorted(middles, groups / scales[..., None], side="left")
        error = ((grid[nearest] * scales[..., None] - groups) ** 2).mean(-1)
        if best is None:
            best = grid_codes[nearest], scales, np.zeros(largest.shape, np.uint8), error
            continue
        codes, kept, select, least = best
        better = error < least
        best = (np.where(better[..., None], grid_codes[nearest], codes),
                np.where(better, scales, kept), np.where(better, index, select).astype(np.uint8),
                np.where(better, error, least))
    codes, scales, select, _ = best
    return join(codes.astype(code_dtype(format)), values.shape[-1]), scales, select


def decode_groups(format: BitmodFormat, codes: np.ndarray, select: np.ndarray,
                  scales: np.ndarray | None = None) -> np.ndarray:
    """Values of ``codes``, shape (..., K), float64; without ``scales`` those of the grid.

    ``select`` and ``scales`` have shape (..., ceil(K / group)).
    """
    codes, select = np.asarray(codes), np.asarray(select)
    wanted = (*codes.shape[:-1], -(-codes.shape[-1] // format.group))
    for name, array in (("select", select), ("scales", scales)):
        if array is not None and np.shape(array) != wanted:
            raise Error(f"codes of shape {codes.shape} in {format} take {name} of shape {wanted}, "
                        f"not {np.shape(array)}")
    def spread(array):
        return np.repeat(array, format.group, axis=-1)[..., :codes.shape[-1]]

    magnitude = np.array(format.magnitudes)[codes & (format.special_code - 1)]
    values = np.where(codes & format.special_code, -magnitude, magnitude)
    special = np.array(format.special_values)[spread(select)]
    values = np.where(codes == format.special_code, special, values)
    return values if scales is None else values * spread(np.asarray(scales))


def quantize_scales(scales: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Second level of scaling: int8 per group and one ``fp16`` per channel.

    Parameters
    ----------
    scales : float64 array, shape (channels, groups)

    Returns
    -------
    codes : int8 array, shape (channels, groups)
        Symmetric, −127 to 127, halves to even.
    channels : float64 array, shape (channels,)
        Values of ``fp16``; a group's scale is code times channel.
    """
    exact = np.abs(scales).max(-1) / 127
    channels = decode(FP16, quantize(FP16, exact))
    divisor = np.where(channels == 0, 1, channels)[:, None]
    return np.clip(np.rint(scales / divisor), -127, 127).astype(np.int8), channels


def _grid(format: BitmodFormat, special: float) -> tuple[np.ndarray, np.ndarray]:
    """Values in ascending order, and their codes."""
    entries = {0.0: 0}
    for code, magnitude in enumerate(format.magnitudes[1:], 1):
        entries[magnitude] = code
        entries[-magnitude] = code | format.special_code
    entries.setdefault(special, format.special_code)
    values = np.array(sorted(entries))
    return values, np.array([entries[value] for value in values])
