"""One layer of a language model without matrix multiplications, on generated cores.

A token mixer (MLGRU) and a channel mixer (a gated linear unit) of R.-J. Zhu et al., arXiv
2406.02528: RMS norm, ternary projections of activations quantized to int8, element-wise gates. All
numbers between cores are int16 in fixed point; the caller's part is to add the residuals.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import gcd
from typing import Any

import numpy as np

import systolith

#: Fraction bits of the int16 numbers between cores.
FRACTION = 11
INT16 = np.iinfo(np.int16)
EPSILON = 1e-8
#: Smallest mean magnitude of the weights, and largest magnitude of a token, that count.
LEAST = 1e-5


@dataclass(frozen=True)
class Projection:
    """Ternary weights, y = scale · weights · x.

    Attributes
    ----------
    weights : integer array, shape (outputs, inputs)
        −1, 0, 1.
    scale : float
    """

    weights: np.ndarray
    scale: float

    @classmethod
    def of(cls, weights: np.ndarray) -> "Projection":
        """The nearest ternary weights in units of the mean magnitude."""
        scale = max(float(np.abs(weights).mean()), LEAST)
        return cls(np.clip(np.rint(weights / scale), -1, 1).astype(int), scale)


@dataclass(frozen=True)
class Layer:
    """The projections of a layer of C channels, H of them inside the channel mixer.

    Attributes
    ----------
    forget, input, gate, output : Projection
        Of the token mixer, C to C.
    mixer_gate, mixer_up : Projection
        C to H.
    mixer_down : Projection
        H to C.
    """

    forget: Projection
    input: Projection
    gate: Projection
    output: Projection
    mixer_gate: Projection
    mixer_up: Projection
    mixer_down: Projection

    @classmethod
    def random(cls, channels: int, hidden: int, seed: int) -> "Layer":
        """Normal weights that keep the size of activations."""
        rng = np.random.default_rng(seed)

        def projection(outputs: int, inputs: int) -> Projection:
            return Projection.of(rng.normal(0, inputs**-0.5, (outputs, inputs)))

        return cls(*(projection(channels, channels) for _ in range(4)),
                   projection(hidden, channels), projection(hidden, channels),
                   projection(channels, hidden))


@dataclass(frozen=True)
class Cores:
    """The cores of a layer, as :func:`systolith.load` gives them.

    Attributes
    ----------
    norm, ternary, mlgru, glu
    """

    norm: Any
    ternary: Any
    mlgru: Any
    glu: Any

    @classmethod
    def load(cls, channels: int, hidden: int, *, backend: str = "sim", lanes: int = 4,
             rows: int = 8, word: int = 20) -> "Cores":
        """Cores that are large enough for such a layer.

        Parameters
        ----------
        lanes : int
            Of the element-wise cores; ``ternary`` takes as many activations at once, or a
            divisor.
        rows, word : int
            Of :mod:`ternary <systolith.hdl.ternary>`.
        """
        longest = max(channels, hidden)
        fixed = {"x_format": "int16", "x_fraction": FRACTION, "y_format": "int16",
                 "y_fraction": FRACTION, "lanes": lanes}
        return cls(
            systolith.load("norm", backend=backend, affine="none", max_length=longest, **fixed),
            systolith.load("ternary", backend=backend, rows=rows, word=word,
                           a_lanes=gcd(word, lanes), a_format="int16", output="scaled",
                           max_k=-(-longest // word) * word),
            systolith.load("gating", backend=backend, max_channels=channels, **fixed),
            systolith.load("gating", backend=backend, unit="glu", **fixed))


@dataclass(frozen=True)
class Step:
    """What one call of a core gave.

    Attributes
    ----------
    name : str
    core : str
    outputs : integer array
    cycles : int
    """

    name: str
    core: str
    outputs: np.ndarray
    cycles: int


def run(cores: Cores, layer: Layer, x: np.ndarray) -> tuple[np.ndarray, list[Step]]:
    """Put a sequence through the layer.

    Parameters
    ----------
    x : integer array, shape (tokens, channels)
        int16 in units of 2^−:data:`FRACTION`.

    Returns
    -------
    y : integer array
        Alike.
    steps : list of Step
        Every call of a core.
    """
    steps: list[Step] = []

    def call(name: str, core: str, **arguments: Any) -> np.ndarray:
        used = getattr(cores, core)
        outputs, = used(**arguments).values()
        steps.append(Step(name, core, outputs, used.last.cycles))
        return outputs

    def linear(name: str, x: np.ndarray, *projections: Projection) -> list[np.ndarray]:
        """BitLinear: RMS norm, int8 activations, ternary weights; several of the same input."""
        normalized = call(f"norm before {name}", "norm", x=x, kind="rms", epsilon=EPSILON)
        w, scale, places = _stacked(projections, cores.ternary.config.rows)
        y = call(name, "ternary", a=normalized, w=w, scale=scale)
        return [y[:, place] for place in places]

    f, i, g = linear("projections", x, layer.forget, layer.input, layer.gate)
    h = call("recurrence", "mlgru", f=f, i=i)
    normalized = call("norm of the states", "norm", x=h, kind="rms", epsilon=EPSILON)
    gated = call("output gate", "glu", g=g, u=normalized)
    mixed, = linear("output projection", gated, layer.output)
    x = _sum(x, mixed)
    g, u = linear("channel mixer, up", x, layer.mixer_gate, layer.mixer_up)
    gated = call("channel mixer, gate", "glu", g=g, u=u)
    mixed, = linear("channel mixer, down", gated, layer.mixer_down)
    return _sum(x, mixed), steps


def reference(layer: Layer, x: np.ndarray, *, quantized: bool) -> np.ndarray:
    """The layer in float64, by its definition.

    Parameters
    ----------
    x : float array, shape (tokens, channels)
    quantized : bool
        Whether activations before a projection are quantized to int8, as the model does.
    """
    def norm(x: np.ndarray) -> np.ndarray:
        return x / np.sqrt((x**2).mean(1, keepdims=True) + EPSILON)

    def linear(x: np.ndarray, projection: Projection) -> np.ndarray:
        x = norm(x)
        if quantized:
            unit = np.maximum(np.abs(x).max(1, keepdims=True), LEAST) / 127
            x = np.clip(np.rint(x / unit), -128, 127) * unit
        return x @ projection.weights.T * projection.scale

    def sigmoid(x: np.ndarray) -> np.ndarray:
        return 1 / (1 + np.exp(-x))

    f, i, g = (linear(x, each) for each in (layer.forget, layer.input, layer.gate))
    states, h = [], np.zeros(x.shape[1])
    for gate, new in zip(sigmoid(f), i * sigmoid(i), strict=True):
        h = gate * h + (1 - gate) * new
        states.append(h)
    x = x + linear(norm(np.array(states)) * g * sigmoid(g), layer.output)
    g, u = linear(x, layer.mixer_gate), linear(x, layer.mixer_up)
    return x + linear(g * sigmoid(g) * u, layer.mixer_down)


def differences(golden: Sequence[Step], rtl: Sequence[Step]) -> Iterator[str]:
    """Every step in which two runs disagree, in a sentence each."""
    for want, got in zip(golden, rtl, strict=True):
        wrong = int((want.outputs != got.outputs).sum())
        if wrong:
            yield f"{want.name}: {wrong} of {want.outputs.size} outputs differ"
        if want.cycles != got.cycles:
            yield f"{want.name}: expected {want.cycles} cycles, measured {got.cycles}"


def cycles_by_core(steps: Sequence[Step]) -> Mapping[str, int]:
    """Cycles of all calls of each core."""
    found: dict[str, int] = {}
    for step in steps:
        found[step.core] = found.get(step.core, 0) + step.cycles
    return found


def _stacked(projections: Sequence[Projection], rows: int
             ) -> tuple[np.ndarray, np.ndarray, list[slice]]:
    """Weights under each other, each begun in a frame of ``rows``; scales; where each lies."""
    weights, scales, places, start = [], [], [], 0
    for each in projections:
        padded = np.pad(each.weights, ((0, -len(each.weights) % rows), (0, 0)))
        weights.append(padded)
        scales.append(np.full(len(padded), each.scale))
        places.append(slice(start, start + len(each.weights)))
        start += len(padded)
    return np.concatenate(weights), np.concatenate(scales), places


def _sum(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.clip(np.asarray(x, np.int64) + y, INT16.min, INT16.max)
