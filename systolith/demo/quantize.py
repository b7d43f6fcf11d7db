"""Post-training quantization of dense layers to int8, in TensorFlow Lite's conventions.

A real number is ``scale * (code - zero_point)``. Activations have one scale and zero point per
tensor, weights a scale per output column and no zero point. Floats are used here, once, to choose
the integers; inference on them is integer only.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from systolith.hdl.errors import Error

INT8 = np.iinfo(np.int8)
BIAS_BITS = 30                  # magnitude; leaves room for the zero point that is folded in

#: Takes the arguments of a requantizing GEMM core, returns its outputs by name.
Core = Callable[..., Mapping[str, np.ndarray]]


def quantize_multiplier(scale: float) -> tuple[int, int]:
    """Split a positive real scale into ``multiplier * 2**(shift - 31)``.

    Returns
    -------
    multiplier : int
        2**30 to 2**31 − 1; 0 where the scale is too small for ``shift`` to reach.
    shift : int
        −31 to 31.

    Raises
    ------
    Error
        If the scale is not positive and finite, or 2**31 or more.
    """
    if not (math.isfinite(scale) and scale > 0):
        raise Error(f"a requantization scale must be positive and finite, not {scale}")
    mantissa, shift = math.frexp(scale)
    multiplier = round(mantissa * 2**31)
    if multiplier == 2**31:
        multiplier, shift = 2**30, shift + 1
    if shift > 31:
        raise Error(f"a requantization scale must be less than 2**31, not {scale}")
    return (multiplier, shift) if shift >= -31 else (0, 0)


@dataclass(frozen=True)
class Affine:
    """What the int8 codes of a tensor mean: ``scale * (code - zero_point)``."""

    scale: float
    zero_point: int

    @classmethod
    def covering(cls, values: np.ndarray) -> "Affine":
        """Spread the int8 codes over the range of ``values`` and 0, with 0 exactly on a code."""
        low, high = min(0.0, float(np.min(values))), max(0.0, float(np.max(values)))
        scale = (high - low) / (INT8.max - INT8.min) or 1.0
        return cls(scale, round(INT8.min - low / scale))

    def quantize(self, values: np.ndarray) -> np.ndarray:
        """Nearest int8 codes, halves to even, saturating."""
        codes = np.rint(np.asarray(values) / self.scale) + self.zero_point
        return np.clip(codes, INT8.min, INT8.max).astype(np.int8)

    def dequantize(self, codes: np.ndarray) -> np.ndarray:
        """The real numbers that ``codes`` stand for, float64."""
        return self.scale * (np.asarray(codes, np.int64) - self.zero_point)


@dataclass(frozen=True)
class Dense:
    """A dense layer in real numbers: ``activation(x @ weights + bias)``.

    Attributes
    ----------
    weights : float array, shape (inputs, outputs)
    bias : float array, shape (outputs,)
    relu : bool
        Whether negative outputs become 0.
    """

    weights: np.ndarray
    bias: np.ndarray
    relu: bool

    def __call__(self, x: np.ndarray) -> np.ndarray:
        y = x @ self.weights + self.bias
        return np.maximum(y, 0) if self.relu else y


@dataclass(frozen=True)
class QuantizedDense:
    """A dense layer in integers.

    Attributes
    ----------
    weights : int8 array, shape (inputs, outputs)
    bias : int32 array, shape (outputs,)
        In units of input scale times the column's weight scale.
    multiplier, shift : int32 arrays, shape (outputs,)
        From an accumulator to an output code, as :func:`quantize_multiplier` gives them.
    input, output : Affine
    relu : bool
    """

    weights: np.ndarray
    bias: np.ndarray
    multiplier: np.ndarray
    shift: np.ndarray
    input: Affine
    output: Affine
    relu: bool

    @classmethod
    def quantize(cls, layer: Dense, input: Affine, output: Affine) -> "QuantizedDense":
        """Quantize ``layer`` between tensors of known meaning.

        The largest weight of a column becomes ±127, unless its bias would then need more than
        ``BIAS_BITS``: such a column, whose weights hardly count, gets a coarser scale.
        """
        scales = np.maximum(np.abs(layer.weights).max(axis=0) / INT8.max,
                            np.abs(layer.bias) / (input.scale * 2**BIAS_BITS))
        scales[scales == 0] = 1.0
        pairs = [quantize_multiplier(input.scale * scale / output.scale) for scale in scales]
        multiplier, shift = np.array(pairs, np.int32).T
        return cls(np.rint(layer.weights / scales).astype(np.int8),
                   np.rint(layer.bias / (input.scale * scales)).astype(np.int32),
                   multiplier, shift, input, output, layer.relu)

    @property
    def arguments(self) -> dict[str, Any]:
        """Arguments of the core beside the activations; a ReLU is its lower clamp."""
        return {
            "w": self.weights, "bias": self.bias, "multiplier": self.multiplier,
            "shift": self.shift, "a_zero_point": self.input.zero_point,
            "out_zero_point": self.output.zero_point,
            "clamp_low": self.output.zero_point if self.relu else int(INT8.min),
            "clamp_high": int(INT8.max),
        }

    def __call__(self, core: Core, codes: np.ndarray) -> np.ndarray:
        """Compute the layer on ``core``: int8 codes (batch, inputs) to (batch, outputs)."""
        return core(a=codes, **self.arguments)["c"]


def quantize_network(layers: Sequence[Dense],
                     calibration: np.ndarray) -> tuple[QuantizedDense, ...]:
    """Quantize dense layers that feed each other.

    Parameters
    ----------
    layers : sequence of Dense
    calibration : float array, shape (samples, inputs)
        Inputs whose ranges, layer by layer, set the scales of the activations.
    """
    quantized = []
    x, meaning = calibration, Affine.covering(calibration)
    for layer in layers:
        x = layer(x)
        output = Affine.covering(x)
        quantized.append(QuantizedDense.quantize(layer, meaning, output))
        meaning = output
    return tuple(quantized)
