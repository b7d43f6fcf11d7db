"""Arrays of codes, beside arrays of numbers."""

from dataclasses import dataclass

import numpy as np

from systolith.hdl.errors import Error
from systolith.hdl.formats import Format, parse_format
from systolith.sim.formats.elements import checked_codes, code_dtype


@dataclass(frozen=True, eq=False)
class Codes:
    """Codes of a number format, for a core that takes them as they are.

    Parameters
    ----------
    array : array of unsigned integers
        In the smallest unsigned dtype that holds a code.
    format : str or Format

    Raises
    ------
    Error
        If ``array`` does not hold codes of the format.
    """

    array: np.ndarray
    format: Format

    def __post_init__(self):
        if isinstance(self.format, str):
            object.__setattr__(self, "format", parse_format(self.format))
        if not isinstance(self.format, Format):
            raise Error(f"format must be the name of a number format, not {self.format!r}")
        codes = checked_codes(self.format, self.array).astype(code_dtype(self.format))
        object.__setattr__(self, "array", codes)             # frozen to everyone else

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the array."""
        return self.array.shape
