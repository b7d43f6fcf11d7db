"""Workloads that try the systolic core: corner cases first, then random ones without end."""

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np

from systolith.hdl.formats import IntegerFormat
from systolith.hdl.systolic.config import SystolicConfig
from systolith.sim.model import Workload
from systolith.sim.systolic.golden import INT32

Values = Callable[[IntegerFormat, tuple[int, int]], np.ndarray]

MAX_BEATS = 1024                       # of the longest stream of a corner case


def stimulus(config: SystolicConfig, rng: np.random.Generator) -> Iterator[Workload]:
    """Yield corner cases of operands, then of requantization, then random workloads for ever."""
    for label, (m, k, n), a_values, w_values in _corners(config, rng):
        operands = {"a": a_values(config.a, (m, k)), "w": w_values(config.w, (k, n))}
        yield replace(_complete(config, rng, label, operands), corner=True)
    if config.output == "requant":
        for workload in _requant_corners(config, rng):
            yield replace(workload, corner=True)
    while True:
        m, k, n = _random_size(config, rng)
        a_values, w_values = (_VALUES[rng.integers(len(_VALUES))](rng) for _ in "aw")
        operands = {"a": a_values(config.a, (m, k)), "w": w_values(config.w, (k, n))}
        yield _complete(config, rng, f"random {m}x{k}x{n}", operands)


# ---- values of an operand --------------------------------------------------------------------

def _lows(fmt: IntegerFormat, shape: tuple[int, int]) -> np.ndarray:
    return np.full(shape, fmt.low)


def _highs(fmt: IntegerFormat, shape: tuple[int, int]) -> np.ndarray:
    return np.full(shape, fmt.high)


def _ones(fmt: IntegerFormat, shape: tuple[int, int]) -> np.ndarray:
    return np.ones(shape, np.int64)


def _zeros(fmt: IntegerFormat, shape: tuple[int, int]) -> np.ndarray:
    return np.zeros(shape, np.int64)


def _ramp(fmt: IntegerFormat, shape: tuple[int, int]) -> np.ndarray:
    """Different values next to each other, so that a swapped lane or beat shows."""
    return np.arange(shape[0] * shape[1]).reshape(shape) % (fmt.high - fmt.low + 1) + fmt.low


def _uniform(rng: np.random.Generator) -> Values:
    return lambda fmt, shape: rng.integers(fmt.low, fmt.high, shape, endpoint=True)


def _extremes(rng: np.random.Generator) -> Values:
    """The ends of the range, mixed."""
    return lambda fmt, shape: rng.choice([fmt.low, fmt.high], shape)


def _sparse(rng: np.random.Generator) -> Values:
    return lambda fmt, shape: _uniform(rng)(fmt, shape) * (rng.random(shape) < 0.2)


def _small(rng: np.random.Generator) -> Values:
    return lambda fmt, shape: rng.integers(max(fmt.low, -2), min(fmt.high, 2), shape, endpoint=True)


_VALUES = (_uniform, _uniform, _extremes, _sparse, _small)


# ---- sizes -----------------------------------------------------------------------------------

def _corners(config: SystolicConfig, rng: np.random.Generator
             ) -> Iterator[tuple[str, tuple[int, int, int], Values, Values]]:
    """Yield label, (M, K, N), values of A and values of W."""
    rows, cols = config.rows, config.cols
    uniform, mixed = _uniform(rng), _extremes(rng)
    full = rows, rows, cols
    odd = rows + 1, 2 * rows + 1, cols + 1

    yield "1x1x1", (1, 1, 1), uniform, uniform
    yield "one full tile", full, _ramp, _ramp
    yield "zeros", full, _zeros, _zeros
    yield "ones", full, _ones, _ones
    yield "M = 1", (1, 2 * rows + 1, cols + 1), uniform, uniform
    yield "K = 1", (rows + 1, 1, cols + 1), uniform, uniform
    yield "N = 1", (rows + 1, 2 * rows + 1, 1), uniform, uniform
    yield "one beyond the array", odd, _ramp, uniform
    yield "one short of the array", tuple(max(1, size - 1) for size in full), uniform, _ramp
    yield "several full tiles", (2 * rows, 3 * rows, 2 * cols), uniform, uniform
    for label, a_values, w_values in (("A low, W low", _lows, _lows),
                                      ("A low, W high", _lows, _highs),
                                      ("A high, W low", _highs, _lows),
                                      ("A high, W high", _highs, _highs),
                                      ("extremes mixed", mixed, mixed)):
        yield label, odd, a_values, w_values
    if 2 * (config.acc_depth + 1) <= MAX_BEATS and config.dataflow == "ws":
        yield "M > acc_depth", (config.acc_depth + 1, rows + 1, 1), uniform, uniform
        yield "M = acc_depth", (config.acc_depth, 1, 1), uniform, uniform
    # One dot product that needs every bit of the accumulator, or as long as is practical.
    longest = min(config.max_k, MAX_BEATS)
    for label, terms, a_values, w_values in (
            ("largest product of lows", longest, _lows, _lows),
            ("largest sum", min(longest, 16 * rows), _highs, _highs),
            ("smallest sum", min(longest, 16 * rows), _lows, _highs)):
        yield f"{label}, K = {terms}", (1, terms, 1), a_values, w_values
    # As many products as it takes to leave the range of the accumulator, in both directions.
    for label, a_values, w_values in (("overflow", _highs, _highs),
                                      ("overflow downwards", _lows, _highs)):
        product = abs(int(a_values(config.a, (1, 1))[0, 0]) * int(w_values(config.w, (1, 1))[0, 0]))
        terms = config.acc.high // max(1, product) + 2
        if product and terms <= MAX_BEATS:
            yield label, (2, terms, 2), a_values, w_values
            yield f"{label}, undone", (2, 2 * terms, 2), a_values, _second_half_zero(w_values)


def _second_half_zero(values: Values) -> Values:
    def half(fmt: IntegerFormat, shape: tuple[int, int]) -> np.ndarray:
        array = values(fmt, shape)
        array[shape[0] // 2:] = 0
        return array
    return half


def _random_size(config: SystolicConfig, rng: np.random.Generator) -> tuple[int, int, int]:
    """M, K and N within three tiles or so, small ones as likely as large ones."""
    def size(tile: int) -> int:
        return int(np.exp(rng.uniform(0, np.log(3 * tile + 1))))
    return size(max(config.rows, 8)), size(max(config.rows, 8)), size(config.cols)


# ---- requantization --------------------------------------------------------------------------

def _complete(config: SystolicConfig, rng: np.random.Generator, label: str,
              operands: dict[str, np.ndarray], **given: object) -> Workload:
    """Add what a requantizing core needs: random, but such that outputs spread over their range."""
    if config.output == "raw":
        return Workload(label, operands)
    columns, inner = operands["w"].shape[1], operands["w"].shape[0]
    typical = config.product.bits - 2 + (inner.bit_length() + 1) // 2
    shift = config.out.bits - typical + rng.integers(-2, 3, columns)
    settings = {
        "a_zero_point": _safe_zero_point(config, rng, operands["w"]),
        "out_zero_point": int(rng.integers(config.out.low, config.out.high, endpoint=True)),
    }
    arrays = {
        **operands,
        "multiplier": rng.integers(1 << 30, 1 << 31, columns) * rng.choice([1, 1, -1], columns),
        "shift": shift.clip(-31, 31),
        "bias": rng.integers(-1 << 16, 1 << 16, columns),
    }
    for name, value in given.items():
        (arrays if name in ("bias", "multiplier", "shift") else settings)[name] = value
    return Workload(label, arrays, settings)


def _safe_zero_point(config: SystolicConfig, rng: np.random.Generator, w: np.ndarray) -> int:
    """A zero point of A whose part of the bias leaves room for any 17-bit bias."""
    room = (INT32.high - (1 << 16)) // max(1, int(abs(w.sum(axis=0)).max()))
    low, high = max(config.a.low, -room), min(config.a.high, room)
    return int(rng.choice([low, 0, high, rng.integers(low, high, endpoint=True)]))


def _requant_corners(config: SystolicConfig, rng: np.random.Generator) -> Iterator[Workload]:
    rows, cols = config.rows, config.cols
    low, high = INT32.low, INT32.high
    out = config.out

    uniform = _uniform(rng)

    def workload(label: str, values: Values = uniform, **given: object) -> Workload:
        operands = {"a": values(config.a, (rows + 1, rows + 1)),
                    "w": values(config.w, (rows + 1, cols + 1))}
        return _complete(config, rng, label, operands, **given)

    def spread(*values: int) -> np.ndarray:
        return np.resize(values, cols + 1)

    for shift in (-31, -30, -1, 0, 1, 30, 31):
        for multiplier in (low, -1, 0, 1, high):
            yield workload(f"multiplier {multiplier}, shift {shift}", multiplier=multiplier,
                           shift=shift, bias=spread(0, 1, -1), a_zero_point=0)
    for label, multiplier in (("high", high), ("low", low), ("half", 1 << 30)):
        yield workload(f"bias at its ends, multiplier {label}", bias=spread(low, high),
                       multiplier=multiplier, shift=spread(0, -1, 31, -31), a_zero_point=0)
    # The accumulators are the biases: ties of every sign and parity.
    for shift in (-1, -2, -4):
        yield workload(f"ties, shift {shift}", _zeros, multiplier=1 << 30, shift=shift,
                       bias=spread(1, -1, 3, -3, 5, -5, 7, -7, 2, -2, 6, -6), out_zero_point=0)
    yield workload("every column its own scale", bias=rng.integers(low, high, cols + 1),
                   multiplier=rng.integers(low, high, cols + 1, endpoint=True),
                   shift=rng.integers(-31, 31, cols + 1, endpoint=True), a_zero_point=0)
    middle = (out.low + out.high) // 2
    for label, bounds in (("one value", (middle, middle)), ("narrow", (middle, middle + 1)),
                          ("inverted", (out.high, out.low)),
                          ("inverted by one", (middle + 1, middle))):
        yield workload(f"clamp {label}", clamp_low=bounds[0], clamp_high=bounds[1])
    yield workload("ReLU", clamp_low=middle, out_zero_point=middle)
    for zero_point in (-1 << 16, (1 << 16) - 1, out.low, out.high):
        yield workload(f"output zero point {zero_point}", out_zero_point=zero_point)
    for zero_point in (config.a.low, config.a.high):
        yield workload(f"zero point of A {zero_point}", _small(rng), a_zero_point=zero_point)
