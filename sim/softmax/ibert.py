"""The integer softmax of I-BERT."""

from collections.abc import Mapping

import numpy as np

from systolith.hdl.softmax.config import HALVINGS, SoftmaxConfig


def parabola(distance: np.ndarray, ln2: int, b: int, c: int) -> tuple[np.ndarray, np.ndarray]:
    """The integer exponential i-exp of −distance, as polynomial and number of halvings.

    With d = min(distance, 30 · ln2), z = ⌊d / ln2⌋ and r = d mod ln2: c − r · (b − r), and z.
    """
    limited = np.minimum(distance, HALVINGS * ln2)
    halvings, rest = np.divmod(limited, max(ln2, 1))
    return c - rest * (b - rest), halvings


def ibert(config: SoftmaxConfig, x: np.ndarray, keep: np.ndarray,
          constants: Mapping[str, int]) -> np.ndarray:
    """Probabilities in units of 2^−bits.

    Exponentials relative to the maximum of the row are brought to ``precision`` bits P by a shift,
    cut, and summed. With factor = ⌊2^(2P) / sum⌋, y = ⌊e · factor / 2^(2P − bits)⌋, at most the
    highest number of the format. A sum below 2^(P − 8) counts as that.

    Parameters
    ----------
    x, keep : int64 and bool arrays, shape (M, beats, lanes)
    constants : mapping
        The registers ``exp_ln2``, ``exp_b``, ``exp_c``.

    References
    ----------
    S. Kim et al., I-BERT, ICML 2021.
    """
    precision = config.precision
    width = {register.name: register.fields[0].bits for register in config.registers}["exp_c"]
    logits = np.where(keep, x, config.x.low)
    top = logits.max(axis=(1, 2))
    polynomial, halvings = parabola(
        top[:, None, None] - logits,
        *(constants[name] for name in ("exp_ln2", "exp_b", "exp_c")))
    polynomial = polynomial.clip(0, (1 << width) - 1)
    e = np.where(keep, (polynomial << precision) >> width + halvings, 0)
    total = e.sum(axis=(1, 2)).clip(1 << precision - 8)
    factor = (1 << 2 * precision) // total
    y = e * factor[:, None, None] >> 2 * precision - config.y.bits
    return y.clip(0, config.y.code_high)
