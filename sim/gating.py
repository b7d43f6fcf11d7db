"""Gated recurrences and gated linear units in numpy."""

from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np

from systolith.hdl.activation.config import ActivationConfig
from systolith.hdl.errors import Error
from systolith.hdl.formats import IntegerFormat
from systolith.hdl.gating.config import GatingConfig
from systolith.sim import activation
from systolith.sim.frames import Beats
from systolith.sim.model import Arrays, Job, Model, Workload
from systolith.sim.operands import (
    arguments,
    ceil_div,
    elements,
    flag_bit,
    integers,
    result_dtype,
)
from systolith.sim.rounding import to_integers

#: Cycles from a state read to where the next one can be read.
REVISIT = 7


class GatingModel(Model):
    """The recurrence h[t] = f · h[t−1] + (1 − f) · silu(i[t]), or y = silu(g) · u.

    Arguments of a call with ``unit: mlgru``, T tokens of C channels:

    - ``f`` and ``i``, shape (T, C): integers in units of 2^−x_fraction;
    - ``b``, with ``lower_bound: stream``: lower bounds of the gate in units of 2^−precision, shape
      (C,), or (T, C);
    - ``starts``, shape (T,): 1 for the first token of a sequence, else 0; by default the tokens are
      one sequence. The first token always starts one.

    The result is ``h``, shape (T, C). With ``unit: glu`` arguments are ``g`` and ``u``, shape
    (R, C), and the result is ``y``. Results are int32 in units of 2^−y_fraction.
    """

    config = GatingConfig

    def check(self, config: GatingConfig, workload: Workload) -> Workload:
        names = config.inputs
        given = arguments(workload, names, {"starts": None} if config.recurrent else {})
        axes = ("T" if config.recurrent else "R", "C")
        lead = names[0]
        arrays = {lead: elements(lead, given[lead], axes, _codes_of(config.x))}
        shape = arrays[lead].shape
        for name in names[1:]:
            value, number = given[name], config.x
            if name == "b":
                number = config.bound
                if np.ndim(value) == 1:
                    value = np.broadcast_to(value, (shape[0], np.shape(value)[0]))
            arrays[name] = elements(name, value, axes, _codes_of(number))
            if arrays[name].shape != shape:
                allowed = f"({shape[1]},) or {shape}" if name == "b" else str(shape)
                raise Error(f"{name} has shape {np.shape(given[name])} and {lead} {shape}; {name} "
                            f"must be {allowed}")
        if config.recurrent:
            if shape[1] > config.max_channels:
                raise Error(f"f has {shape[1]} channels; max_channels is {config.max_channels}")
            starts = given["starts"]
            if starts is None:
                starts = (np.arange(shape[0]) == 0).astype(int)
            starts = integers("starts", starts, ("T",), 0, 1)
            if len(starts) != shape[0]:
                raise Error(f"starts has {len(starts)} values and f {shape[0]} tokens")
            if not starts[0]:
                raise Error("starts must be 1 for the first token, not 0")
            arrays["starts"] = starts
        return replace(workload, arrays=arrays, settings={})

    def golden(self, config: GatingConfig, workload: Workload) -> dict[str, np.ndarray]:
        arrays = workload.arrays
        if config.recurrent:
            codes, saturated = _recurrence(config, arrays)
        else:
            exact = _function(config.silu, arrays["g"]) * arrays["u"]
            codes, saturated = to_integers(config.y, exact,
                                           -config.precision - config.x_fraction)
        flags = flag_bit(config.flags, f"{config.output}_saturated") if saturated else 0
        return {config.output: codes.astype(result_dtype(_codes_of(config.y))), "flags": flags}

    def pack(self, config: GatingConfig, workload: Workload) -> Job:
        arrays = workload.arrays
        inputs = {name: _beats(config, arrays[name]) for name in config.inputs}
        if config.recurrent:
            lead = inputs["f"]
            users = np.repeat(arrays["starts"], len(lead) // len(arrays["f"])).astype(np.uint64)
            inputs["f"] = replace(lead, user=users)
        return Job({}, inputs, {config.output: len(inputs[config.inputs[0]])})

    def expect(self, config: GatingConfig, workload: Workload, outputs: Arrays,
               pad: int | None = None) -> dict[str, Beats]:
        values = outputs[config.output].astype(np.int64)
        missing = -values.shape[1] % config.lanes
        if pad is None:                                  # lanes without a channel get zeros
            arrays = {name: np.zeros((len(values), 1), np.int64) for name in config.inputs}
            arrays |= {"starts": workload.arrays["starts"]} if config.recurrent else {}
            pads = self.golden(config, replace(workload, arrays=arrays))[config.output]
        else:
            pads = np.full((len(values), 1), pad)
        return {config.output: _beats(config, np.hstack([values, np.repeat(pads, missing, 1)]))}

    def unpack(self, config: GatingConfig, workload: Workload,
               beats: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        rows, channels = workload.arrays[config.inputs[0]].shape
        values = beats[config.output].reshape(rows, -1)[:, :channels]
        return {config.output: values.astype(result_dtype(_codes_of(config.y)))}

    def cycles(self, config: GatingConfig, workload: Workload) -> int:
        rows, channels = workload.arrays[config.inputs[0]].shape
        beats = ceil_div(channels, config.lanes)
        interval = max(beats, REVISIT) if config.recurrent else beats
        return (rows - 1) * interval + beats + _latency(config)

    def filled(self, config: GatingConfig, workload: Workload) -> Mapping[str, int]:
        return dict.fromkeys(config.inputs[1:], 0)

    def paired(self, config: GatingConfig) -> Mapping[str, str]:
        return {name: f"{name}_differs" for name in config.inputs[1:]}

    def utilization(self, config: GatingConfig, workload: Workload, cycles: int) -> float:
        """Elements over those that the lanes could take in ``cycles``."""
        return workload.arrays[config.inputs[0]].size / (config.lanes * cycles)

    def never(self, config: GatingConfig, stream: str, codes: np.ndarray) -> np.ndarray:
        """A state is between the least and the largest silu(i), rounded."""
        if stream != "h":
            return super().never(config, stream, codes)
        every = np.arange(config.x.code_low, config.x.code_high + 1)
        states, _ = to_integers(config.y, _function(config.silu, every[None]), -config.precision)
        return (codes < min(0, states.min())) | (codes > max(0, states.max()))

    def stimulus(self, config: GatingConfig, rng: np.random.Generator) -> Iterator[Workload]:
        for workload in _stimulus(config, rng):
            yield self.check(config, workload)


# ---- numbers ---------------------------------------------------------------------------------

def _codes_of(number: IntegerFormat) -> IntegerFormat:
    return IntegerFormat(number.bits, number.signed)


def _function(config: ActivationConfig, x: np.ndarray) -> np.ndarray:
    """Sigmoid or SiLU in units of 2^−precision, as the activation core rounds them."""
    work = activation.MODEL.check(config, Workload("", {"x": x}))
    return activation.MODEL.golden(config, work)["y"].astype(np.int64)


def _recurrence(config: GatingConfig, arrays: Arrays) -> tuple[np.ndarray, bool]:
    one = 1 << config.precision
    gate, new = _function(config.sigmoid, arrays["f"]), _function(config.silu, arrays["i"])
    if config.bounded:
        b = arrays["b"]
        exact = b * one + (one - b) * gate               # in units of 2^−2·precision
        gate, _ = to_integers(IntegerFormat(config.precision + 1, False, -config.precision), exact,
                              -2 * config.precision)
    # Both terms in the finer of their units; Python integers: they may have more than 64 bits.
    p, f = config.precision, config.y_fraction
    added = ((one - gate) * new).astype(object) << max(f - p, 0)
    gate = gate.astype(object) << max(p - f, 0)
    h = np.zeros(gate.shape[1], object)
    rows, saturated = [], False
    for token, starts in enumerate(arrays["starts"]):
        if starts:
            h = np.zeros_like(h)
        h, beyond = to_integers(config.y, gate[token] * h + added[token], -p - max(p, f))
        saturated |= beyond
        rows.append(h)
    return np.array(rows), saturated


def _beats(config: GatingConfig, rows: np.ndarray) -> Beats:
    missing = -rows.shape[1] % config.lanes
    padded = np.pad(rows, ((0, 0), (0, missing)))
    return Beats.join([Beats.frame(row.reshape(-1, config.lanes)) for row in padded], config.lanes)


# ---- cycles ----------------------------------------------------------------------------------

def _latency(config: GatingConfig) -> int:
    """Cycles from an accepted beat to its accepted result."""
    slices, buffer, product, rounding = 2, 2, 2, 2
    degree = {"table": 0, "piecewise": 1, "polynomial": 2}[config.implementation]
    # Entry, magnitude, table, Horner's rule, limit less difference, rounding.
    function = 1 + 1 + 3 + ((product + 1) * degree + 1 if degree else 0) + 1 + rounding
    bound = product + 1 if config.bounded else 0
    total = 1 if config.recurrent else 0
    return slices + function + bound + product + total + rounding + buffer


# ---- stimulus --------------------------------------------------------------------------------

def _stimulus(config: GatingConfig, rng: np.random.Generator) -> Iterator[Workload]:
    lanes, x = config.lanes, config.x
    most = config.max_channels if config.recurrent else 64 * lanes
    lead, other = config.inputs[:2]

    def workload(label: str, shape: tuple[int, int], *, corner: bool = True,
                 **given) -> Workload:
        shape = shape[0], min(shape[1], most)
        arrays = {name: _draw(config, rng, name, shape) for name in config.inputs}
        for name, value in given.items():
            arrays[name] = (value if name == "starts" else
                            np.broadcast_to(value, shape) if np.ndim(value) < 2 else value)
        return Workload(label, arrays, corner=corner)

    yield workload("one element", (1, 1))
    yield workload("frames of one beat", (9, lanes))
    yield workload("one beyond a beat", (5, lanes + 1))
    yield workload("zeros", (3, 2 * lanes), **dict.fromkeys(config.inputs, 0))
    for leading in (x.code_low, x.code_high):
        for following in (x.code_low, x.code_high):
            yield workload(f"{lead} = {leading}, {other} = {following}", (4, 3 * lanes),
                           **{lead: leading, other: following})
    values = np.linspace(x.code_low, x.code_high, min(1 << x.bits, 16 * lanes)).astype(int)
    yield workload("all through", (2, len(values)),
                   **{lead: values[:most], other: values[:most][::-1]})
    if config.recurrent:
        yield workload("tokens as long as the loop", (6, (REVISIT - 1) * lanes))
        yield workload("a token of every channel", (2, min(most, 256 * lanes)))
        yield workload("sequences", (12, 2 * lanes),
                       starts=np.array([1, 1, 0, 0, 0, 1, 0, 1, 1, 0, 0, 0]))
        # Half-way f: what comes in is halved again and again, so that ties are rounded.
        yield workload("halves", (24, 2 * lanes), f=0)
        if config.bounded:
            yield workload("bounds, least and largest", (4, 2 * lanes),
                           b=np.resize([0, config.bound.code_high], min(2 * lanes, most)))
    else:
        yield workload("longest", (1, min(most, 256 * lanes)))
    while True:
        rows, channels = int(rng.integers(1, 9)), int(rng.integers(1, 20 * lanes))
        found = workload(f"random {rows}x{channels}", (rows, channels), corner=False)
        if config.recurrent:
            starts = (rng.random(rows) < 0.3).astype(int)
            starts[0] = 1
            found.arrays["starts"] = starts
        yield found


def _draw(config: GatingConfig, rng: np.random.Generator, name: str,
          shape: tuple[int, int]) -> np.ndarray:
    number = config.bound if name == "b" else config.x
    if name == "b" or rng.random() < 0.3:
        return rng.integers(number.code_low, number.code_high, shape, endpoint=True)
    # Mostly where the functions bend.
    x = rng.normal(0, 2.0**rng.integers(-2, 4), shape)
    return np.clip(np.rint(np.ldexp(x, config.x_fraction)), number.code_low,
                   number.code_high).astype(np.int64)


MODEL = GatingModel()
