"""Activation functions as what they lack to their limits."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True)
class Curve:
    """A function f of x as its limit and a difference that depends on u = |x| alone.

    f(x) = max(x, 0) − d(u) where ``rectified``; otherwise f(x) = 1 − d(u) for x ≥ 0, and for x < 0
    its reflection: d(u), or d(u) − 1 where ``odd``. d is never negative, and falls to 0.

    Attributes
    ----------
    difference : callable
        d, from float to float.
    slopes : tuple of float
        Bounds of |d′|, |d″| and |d‴| for u ≥ 0.
    rectified, odd : bool
    """

    difference: Callable[[float], float]
    slopes: tuple[float, float, float]
    rectified: bool = False
    odd: bool = False

    def reach(self, unit: float, error: float) -> int:
        """The least number n of units from which on d is at most ``error``."""
        low, high = 0, math.ceil(64 / unit)
        # Beyond 1, d falls.
        if self.difference(1.0) <= error:
            high = math.ceil(1 / unit)
        else:
            low = math.floor(1 / unit)
        while high - low > 1:
            middle = (low + high) // 2
            low, high = ((low, middle) if self.difference(middle * unit) <= error
                         else (middle, high))
        return high


CURVES: Mapping[str, Curve] = MappingProxyType({
    "gelu": Curve(lambda u: u * math.erfc(u / math.sqrt(2)) / 2, (0.5, 0.798, 0.779),
                  rectified=True),
    "silu": Curve(lambda u: u / (1 + math.exp(u)), (0.5, 0.5, 0.309), rectified=True),
    "sigmoid": Curve(lambda u: 1 / (1 + math.exp(u)), (0.25, 0.0963, 0.125)),
    "tanh": Curve(lambda u: 2 / (1 + math.exp(2 * u)), (1.0, 0.77, 2.0), odd=True),
})
