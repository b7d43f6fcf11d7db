"""Workloads that try the systolic core: corner cases first, then random ones without end."""

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np

from systolith.hdl.formats import Format, IntegerFormat
from systolith.hdl.systolic.config import SystolicConfig
from systolith.sim.formats import Codes
from systolith.sim.model import Workload
from systolith.sim.operands import ceil_div
from systolith.sim.systolic import values
from systolith.sim.systolic.golden import INT32
from systolith.sim.systolic.operands import Operand, mantissas, on_wire, pair_axis
from systolith.sim.systolic.values import Scales, Values

#: Label, (M, K, N), values of A and values of W.
Corner = tuple[str, tuple[int, int, int], Values, Values]

MAX_BEATS = 1024                       # of the longest stream of a corner case
MAX_BEATS_ALONE = 9000                 # of one with an accumulator that shows nothing before


def stimulus(config: SystolicConfig, rng: np.random.Generator) -> Iterator[Workload]:
    """Yield corner cases of operands, then of requantization, then random workloads for ever."""
    for label, (m, k, n), a_values, w_values in _corners(config, rng):
        yield replace(_complete(config, rng, label, _operands(config, a_values, w_values, m, k, n)),
                      corner=True)
    if config.output == "requant":
        for workload in _requant_corners(config, rng):
            yield replace(workload, corner=True)
    for label, chosen in values.SCALES.items() if config.scales else ():
        block = min(config.block, MAX_BEATS // 2)
        for wild in (False, True):
            pick = values.any_code(rng) if wild else values.uniform(rng)
            yield Workload(
                f"{label} scales{', any code' if wild else ''}",
                _operands(config, pick, pick, config.rows + 1, 2 * block + 1, config.cols + 1,
                          chosen(rng)), corner=True)
    while True:
        m, k, n = _random_size(config, rng)
        a_values, w_values = (values.KINDS[rng.integers(len(values.KINDS))](rng) for _ in "aw")
        yield _complete(config, rng, f"random {m}x{k}x{n}",
                        _operands(config, a_values, w_values, m, k, n, values.any_scales(rng)))


def _operands(config: SystolicConfig, a_values: Values, w_values: Values, m: int, k: int, n: int,
              scales: Scales | None = None) -> dict[str, Operand]:
    a = (a_values(config.a_element, (m, k)) if pair_axis(config, "a") == 1
         else _transposed(a_values(config.a_element, (k, m))))
    found = {"a": a, "w": w_values(config.w_element, (k, n))}
    for name, element in config.scales:
        blocks = ceil_div(k, element.shared_by)
        shape = (m, blocks) if name == "a" else (blocks, n)
        found |= {f"{name}_{part}": array
                  for part, array in (scales or values.middle_scales)(element, shape).items()}
    return found


def _transposed(operand: Operand) -> Operand:
    return Codes(operand.array.T, operand.format) if isinstance(operand, Codes) else operand.T


# ---- sizes -----------------------------------------------------------------------------------

def _corners(config: SystolicConfig, rng: np.random.Generator
             ) -> Iterator[Corner]:
    rows, cols = config.rows, config.cols
    uniform, mixed = values.uniform(rng), values.extremes(rng)
    full = rows, rows, cols
    odd = rows + 1, 2 * rows + 1, cols + 1

    yield "1x1x1", (1, 1, 1), uniform, uniform
    yield "one full tile", full, values.ramp, values.ramp
    yield "zeros", full, values.zeros, values.zeros
    yield "ones", full, values.ones, values.ones
    yield "M = 1", (1, 2 * rows + 1, cols + 1), uniform, uniform
    # Rows that are late are near to those of the next tile of K.
    yield "M = 2", (2, 4 * rows, cols + 1), uniform, uniform
    yield "M = 3", (3, 4 * rows, cols), uniform, uniform
    yield "K = 1", (rows + 1, 1, cols + 1), uniform, uniform
    yield "N = 1", (rows + 1, 2 * rows + 1, 1), uniform, uniform
    yield "one beyond the array", odd, values.ramp, uniform
    yield "one short of the array", tuple(max(1, size - 1) for size in full), uniform, values.ramp
    yield "several full tiles", (2 * rows, 3 * rows, 2 * cols), uniform, uniform
    for label, a_values, w_values in (("A low, W low", values.lows, values.lows),
                                      ("A low, W high", values.lows, values.highs),
                                      ("A high, W low", values.highs, values.lows),
                                      ("A high, W high", values.highs, values.highs),
                                      ("extremes mixed", mixed, mixed)):
        yield label, odd, a_values, w_values
    if config.acc_depth < MAX_BEATS and config.dataflow == "ws":
        yield "M > acc_depth", (config.acc_depth + 1, rows + 1, 1), uniform, uniform
        yield "M = acc_depth", (config.acc_depth, 1, 1), uniform, uniform
    # One dot product that needs every bit of the accumulator, or as long as is practical.
    longest = min(config.max_k, MAX_BEATS)
    for label, terms, a_values, w_values in (
            ("largest product of lows", longest, values.lows, values.lows),
            ("largest sum", min(longest, 16 * rows), values.highs, values.highs),
            ("smallest sum", min(longest, 16 * rows), values.lows, values.highs)):
        yield f"{label}, K = {terms}", (1, terms, 1), a_values, w_values
    if not all(isinstance(element, IntegerFormat)
               for element in (config.a_element, config.w_element)):
        yield "every code of 8 bits", (16, 16, 16), values.ramp, values.ramp
    for name, element in (("A", config.a_element), ("W", config.w_element)):
        if not isinstance(element, IntegerFormat):
            wild, one = values.any_code(rng), values.one_special(rng)
            yield f"any code of {name}", odd, *((wild, uniform) if name == "A" else (uniform, wild))
            yield f"one special code of {name}", odd, *((one, mixed) if name == "A"
                                                        else (mixed, one))
    if config.spreads_nan("w") and config.dataflow == "ws":
        # Each tile of W has scales of its own; the next one may wait while a short one is filled.
        yield ("a special code begins the second tile", (rows, rows, 2 * cols), uniform,
               values.special_first(rng, cols))
    if not config.rounded and not config.scales:
        yield from _overflows(config)


def _overflows(config: SystolicConfig) -> Iterator[Corner]:
    """As many products as it takes to leave the range of the accumulator, in both directions."""
    for label, a_values, w_values in (("overflow", values.highs, values.highs),
                                      ("overflow downwards", values.lows, values.highs)):
        terms = overflow_terms(config, a_values, w_values)
        if terms is not None and terms <= MAX_BEATS:
            yield label, (2, terms, 2), a_values, w_values
            yield f"{label}, undone", (2, 2 * terms, 2), a_values, _second_half_zero(w_values)
        elif terms is not None and terms <= MAX_BEATS_ALONE and label == "overflow":
            yield label, (1, terms, 1), a_values, w_values


def overflow_terms(config: SystolicConfig, a_values: Values = values.highs,
                   w_values: Values = values.highs) -> int | None:
    """The K from which the sum of products of these leaves the accumulator; None if never."""
    a, w = (int(abs(mantissas(element, on_wire(chosen(element, (1, 2))))).max())
            for element, chosen in ((config.a_element, a_values), (config.w_element, w_values)))
    return config.acc.code_high // (a * w) + 2 if a * w else None


def _second_half_zero(chosen: Values) -> Values:
    def half(element: Format, shape: tuple[int, int]) -> Operand:
        operand = chosen(element, shape)
        if isinstance(operand, Codes):
            codes = operand.array.copy()
            codes[shape[0] // 2:] = values.code_of_zero(element)
            return Codes(codes, element)
        operand[shape[0] // 2:] = 0
        return operand
    return half


def _random_size(config: SystolicConfig, rng: np.random.Generator) -> tuple[int, int, int]:
    """M, K and N within three tiles or so, small ones as likely as large ones."""
    def size(tile: int) -> int:
        return int(np.exp(rng.uniform(0, np.log(3 * tile + 1))))
    inner = max(config.rows, 8, min(config.block or 0, MAX_BEATS // 3))
    return size(max(config.rows, 8)), size(inner), size(config.cols)


# ---- requantization --------------------------------------------------------------------------

def _complete(config: SystolicConfig, rng: np.random.Generator, label: str,
              operands: dict[str, Operand], **given: object) -> Workload:
    """Add what a requantizing core needs: random, but such that outputs spread over their range."""
    if config.output == "raw":
        return Workload(label, operands)
    inner, columns = operands["w"].shape
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


def _safe_zero_point(config: SystolicConfig, rng: np.random.Generator, w: Operand) -> int:
    """A zero point of A whose part of the bias leaves room for any 17-bit bias."""
    sums = mantissas(config.w_element, on_wire(w)).sum(axis=0)
    room = (INT32.high - (1 << 16)) // max(1, int(abs(sums).max()))
    low, high = max(config.a_element.low, -room), min(config.a_element.high, room)
    return int(rng.choice([low, 0, high, rng.integers(low, high, endpoint=True)]))


def _requant_corners(config: SystolicConfig, rng: np.random.Generator) -> Iterator[Workload]:
    rows, cols = config.rows, config.cols
    low, high = INT32.low, INT32.high
    out = config.out

    uniform = values.uniform(rng)

    def workload(label: str, chosen: Values = uniform, **given: object) -> Workload:
        operands = _operands(config, chosen, chosen, rows + 1, rows + 1, cols + 1)
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
    yield from _saturated(config, workload, spread)
    # The accumulators are the biases: ties of every sign and parity.
    for shift in (-1, -2, -4):
        yield workload(f"ties, shift {shift}", values.zeros, multiplier=1 << 30, shift=shift,
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
    for zero_point in (config.a_element.low, config.a_element.high):
        yield workload(f"zero point of A {zero_point}", values.small(rng), a_zero_point=zero_point)


def _saturated(config: SystolicConfig, workload: Callable[..., Workload],
               spread: Callable[..., np.ndarray]) -> Iterator[Workload]:
    """Saturated sums at a boundary of the rounding, where lower ones give a result less."""
    doubled = config.rounding == "tflite"                # rounds the doubled product first
    right = 24 if doubled else 25
    boundary, reached = (98, 49) if config.rounding == "floor" else (99, 50)     # one in halves
    # The sum times the multiplier, in units of 2^-(31 + right), is at the boundary, or just above.
    least = (boundary << 30 + right) - (doubled << 30)
    yield workload("saturated with their bias", bias=spread(INT32.high, INT32.low),
                   multiplier=spread(ceil_div(least, INT32.high), -boundary << 24),
                   shift=spread(-right, -25), a_zero_point=0, out_zero_point=1 - reached)
    for column in sorted({0, config.cols - 1}):
        bias = np.zeros(config.cols + 1, int)
        bias[column] = INT32.high
        yield workload(f"saturated in column {column} alone", values.ones, bias=bias,
                       a_zero_point=0)
    if doubled:
        # As large as a zero point can bring back into the range of the output.
        large = (1 << 16) - 1
        yield workload("saturated by a shift", values.zeros, bias=spread(INT32.high, INT32.low),
                       multiplier=spread(large, -large), shift=spread(31, 1), a_zero_point=0,
                       out_zero_point=config.out.high - large)
