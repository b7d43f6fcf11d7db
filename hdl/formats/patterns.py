"""N:M sparsity patterns and the byte that names one."""

from typing import NamedTuple

from systolith.hdl.errors import Error

GROUPS = (4, 8, 16)
KEPT = (0, 1, 2, 4, 8, 16)
_M_CODES = {16: 0, 8: 1, 4: 2}


class Pattern(NamedTuple):
    """N:M sparsity: of every M consecutive weights along K at most N are not zero.

    N = M is dense; N = 0 is a block of zeros, which is skipped.

    Attributes
    ----------
    n : int
        0, 1, 2, 4, 8 or 16, not above ``m``.
    m : int
        4, 8 or 16.
    """

    n: int
    m: int

    @classmethod
    def parse(cls, text: str) -> "Pattern":
        """Read ``"2:8"``, or ``"dense"``, which is 16:16.

        Raises
        ------
        Error
            If there is no such pattern.
        """
        if text == "dense":
            return DENSE
        n, _, m = text.partition(":")
        if not (n.isdecimal() and m.isdecimal()) or (int(n), int(m)) not in PATTERNS:
            raise Error(f"pattern must be dense or N:M with N of {_listed(KEPT)} and M of "
                        f"{_listed(GROUPS)}, N at most M, not {text!r}")
        return cls(int(n), int(m))

    @classmethod
    def from_code(cls, code: int) -> "Pattern":
        """The pattern of a byte.

        Raises
        ------
        Error
            If the byte names none.
        """
        if code not in _BY_CODE:
            raise Error(f"{code:#04x} is not the byte of a pattern: bits 4:0 are N "
                        f"({_listed(KEPT)}), bits 6:5 are M (0 = 16, 1 = 8, 2 = 4)")
        return _BY_CODE[code]

    @property
    def code(self) -> int:
        """The byte: N in bits 4:0, M in bits 6:5 (0 = 16, 1 = 8, 2 = 4)."""
        return _M_CODES[self.m] << 5 | self.n

    @property
    def index_bits(self) -> int:
        """Bits of the index of a kept weight within its group; a dense group needs none."""
        return (self.m - 1).bit_length() if 0 < self.n < self.m else 0

    @property
    def speedup(self) -> int:
        """M/N, how many times fewer weights than in a dense block; not for N = 0."""
        return self.m // self.n

    def __str__(self) -> str:
        return f"{self.n}:{self.m}"


#: Every pattern, M ascending, then N.
PATTERNS = tuple(Pattern(n, m) for m in GROUPS for n in KEPT if n <= m)
_BY_CODE = {pattern.code: pattern for pattern in PATTERNS}
DENSE = Pattern(16, 16)


def _listed(values) -> str:
    *most, final = map(str, values)
    return f"{', '.join(most)} or {final}"
