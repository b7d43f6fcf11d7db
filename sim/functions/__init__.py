"""Functions in fixed point and exact integer arithmetic in numpy, independent of the RTL."""

from systolith.sim.functions.exponential import exponential, fixed_exponential
from systolith.sim.functions.integer_polynomials import integer_exponential, integer_gelu
from systolith.sim.functions.integers import divide, square_root
from systolith.sim.functions.inverse import inverse
from systolith.sim.functions.logarithm import logarithm
from systolith.sim.functions.piecewise import coefficients, evaluate

__all__ = [
    "coefficients",
    "divide",
    "evaluate",
    "exponential",
    "fixed_exponential",
    "integer_exponential",
    "integer_gelu",
    "inverse",
    "logarithm",
    "square_root",
]
