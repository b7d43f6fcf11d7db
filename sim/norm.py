"""LayerNorm and RMSNorm in numpy."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import product
from math import ceil
from typing import Any

import numpy as np

from systolith.hdl.errors import Error
from systolith.hdl.formats import BF16, FloatFormat, IntegerFormat
from systolith.hdl.norm.config import EPSILON_FRACTION, GUARD, NormConfig
from systolith.sim.formats import decode, fixed, invalid, quantize
from systolith.sim.frames import Beats
from systolith.sim.functions import inverse
from systolith.sim.model import Arrays, Job, Model, Refusal, Workload
from systolith.sim.operands import (
    arguments,
    ceil_div,
    elements,
    flag_bit,
    numbers,
    result_dtype,
)
from systolith.sim.rounding import to_floats, to_integers

KINDS = ("layer", "rms")
TRIES = 40                   # at a number where the mantissa of its inverse root changes


class NormModel(Model):
    """y[r, i] = (x[r, i] − mean) / √(variance + epsilon) · w[i] + b[i], or without the mean.

    Arguments of a call:

    - ``x``, shape (R, L): integers, in units of 2^−x_fraction, or floats with ``x_format: bf16``,
      which are rounded to bf16;
    - ``w`` and ``b``, where the config has them: integers in units of 2^−w_fraction and
      2^−b_fraction, shape (L,), or (R, L) for parameters that differ from row to row;
    - ``kind``: ``"layer"`` (LayerNorm, the default) or ``"rms"`` (RMSNorm);
    - ``epsilon``: a number, by default 1e-5.

    The result is ``y``, shape (R, L): int32 in units of 2^−y_fraction, or float32 with
    ``y_format: bf16``.
    """

    config = NormConfig

    def check(self, config: NormConfig, workload: Workload) -> Workload:
        parameters = _parameters(config)
        given = arguments(workload, ("x", *parameters), {"kind": "layer", "epsilon": 1e-5})
        axes = ("R", "L")
        if isinstance(config.x, FloatFormat):
            x = numbers("x", given["x"], axes)
        else:
            x = elements("x", given["x"], axes, _codes_of(config.x))
        rows, length = x.shape
        if length > config.max_length:
            raise Error(f"x has rows of {length} elements; max_length is {config.max_length}")
        arrays = {"x": x}
        for name in parameters:
            value = given[name]
            if np.ndim(value) == 1:
                value = np.broadcast_to(value, (rows, np.shape(value)[0]))
            array = elements(name, value, axes, _codes_of(getattr(config, name)))
            if array.shape != x.shape:
                raise Error(f"{name} has shape {np.shape(given[name])} and x {x.shape}; {name} "
                            f"must be ({length},) or ({rows}, {length})")
            arrays[name] = array
        kind, epsilon = given["kind"], given["epsilon"]
        if kind not in KINDS:
            raise Error(f"kind must be 'layer' or 'rms', not {kind!r}")
        if isinstance(epsilon, bool) or not isinstance(epsilon, (int, float, np.number)) or not (
                0 <= epsilon < np.inf):
            raise Error(f"epsilon must be a number of at least 0, not {epsilon!r}")
        if _epsilon(config, length, epsilon) > config.epsilon.code_high:
            limit = config.epsilon.high / length**2 * 4.0**-config.x_fraction
            raise Error(f"epsilon must be at most {limit:g} for rows of {length}, not {epsilon!r}")
        return replace(workload, arrays=arrays, settings={"kind": kind, "epsilon": float(epsilon)})

    def golden(self, config: NormConfig, workload: Workload) -> dict[str, np.ndarray]:
        raised = set()
        x = _fixed(config, workload.arrays["x"], raised)
        length = x.shape[1]
        # Python integers: squares of wide rows pass 64 bits.
        wide = x.astype(object)
        total = wide.sum(axis=1)
        if workload.settings["kind"] == "rms":
            total = np.zeros_like(total)
        variance = length * (wide * wide).sum(axis=1) - total * total
        epsilon = _epsilon(config, length, workload.settings["epsilon"])
        spread = variance * (1 << EPSILON_FRACTION) + epsilon
        flat = spread == 0
        if flat.any():
            raised.add("flat")
        mantissa, exponent = inverse(config.inverse, np.where(flat, 1, spread))

        # n·x − Σx over the power of two below n·σ, rounded down; then times the mantissa, to
        # nearest.
        deviation = length * wide - total[:, None]
        left = config.precision + GUARD + EPSILON_FRACTION // 2 - exponent
        left = left[:, None].astype(object)
        scaled = deviation << np.maximum(left, 0) >> np.maximum(-left, 0)
        product = scaled.astype(np.int64) * mantissa[:, None]
        drop = config.precision + GUARD + 1
        value = (product + (1 << drop - 1)) >> drop

        lsb = -config.precision
        if "w" in workload.arrays:
            value, lsb = value * workload.arrays["w"], lsb - config.w_fraction
        if "b" in workload.arrays:
            both = min(lsb, -config.b_fraction)
            value = (value << lsb - both) + (workload.arrays["b"] << -config.b_fraction - both)
            lsb = both
        codes, saturated = _rounded(config, value, lsb)
        if saturated:
            raised.add("y_saturated")
        flags = sum(flag_bit(config.flags, name) for name in raised)
        return {"y": _values(config, codes), "flags": flags}

    def pack(self, config: NormConfig, workload: Workload) -> Job:
        x = workload.arrays["x"]
        length = x.shape[1]
        epsilon = _epsilon(config, length, workload.settings["epsilon"])
        writes = {"length": length, "center": int(workload.settings["kind"] == "layer"),
                  "epsilon_low": epsilon & 0xFFFF_FFFF}
        if config.epsilon.bits > 32:
            writes["epsilon_high"] = epsilon >> 32
        codes = {"x": quantize(BF16, x, saturate=False).astype(np.int64)
                 if config.x == BF16 else x}
        codes |= {name: workload.arrays[name] for name in _parameters(config)}
        inputs = {name: _beats(config, array) for name, array in codes.items()}
        return Job(writes, inputs, {"y": len(inputs["x"])})

    def expect(self, config: NormConfig, workload: Workload, outputs: Arrays,
               pad: int | None = None) -> dict[str, Beats]:
        y = outputs["y"]
        if y.dtype.kind == "f":
            y = quantize(BF16, y)
        return {"y": _beats(config, y.astype(np.int64), 0 if pad is None else pad)}

    def unpack(self, config: NormConfig, workload: Workload,
               beats: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        rows, length = workload.arrays["x"].shape
        return {"y": _values(config, beats["y"].reshape(rows, -1)[:, :length])}

    def cycles(self, config: NormConfig, workload: Workload) -> int:
        rows, length = workload.arrays["x"].shape
        return (rows + 1) * ceil_div(length, config.lanes) + _latency(config) - 1

    def filled(self, config: NormConfig, workload: Workload) -> Mapping[str, int]:
        return {stream.name: 0 for stream in config.streams if stream.name in "wb"}

    def paired(self, config: NormConfig) -> Mapping[str, str]:
        return {stream.name: f"{stream.name}_differs" for stream in config.streams
                if stream.name in "wb"}

    def refused(self, config: NormConfig) -> Iterator[Refusal]:
        """Lengths of 0, and beyond the longest."""
        bits = next(register.fields[0].bits for register in config.registers
                    if register.name == "length")
        yield Refusal("length_bad", {"length": 0}, like={"length": 1})
        for length in sorted({config.max_length + 1, *(1 << bit for bit in range(bits))}):
            if config.max_length < length < 1 << bits:
                yield Refusal("length_bad", {"length": length},
                              like={"length": config.max_length})

    def ignored(self, config: NormConfig, workload: Workload) -> Arrays:
        """Lanes beyond the row; what they hold of b they give."""
        nothing = _beats(config, np.zeros(workload.arrays["x"].shape, bool), True).data
        return {stream.name: nothing for stream in config.streams if stream.name in "xw"}

    def utilization(self, config: NormConfig, workload: Workload, cycles: int) -> float:
        """Elements of the rows over those that the lanes could take in ``cycles``."""
        return workload.arrays["x"].size / (config.lanes * cycles)

    def never(self, config: NormConfig, stream: str, codes: np.ndarray) -> np.ndarray:
        if stream != "y" or not isinstance(config.y, FloatFormat):
            return super().never(config, stream, codes)
        magnitudes = codes & ~config.y.sign_code
        return magnitudes > config.y.high_code - (not config.y_overflows)

    def stimulus(self, config: NormConfig, rng: np.random.Generator) -> Iterator[Workload]:
        for workload in _stimulus(config, rng):
            yield self.check(config, workload)


# ---- numbers ---------------------------------------------------------------------------------

def _parameters(config: NormConfig) -> tuple[str, ...]:
    return {"none": (), "weight": ("w",), "weight_bias": ("w", "b")}[config.affine]


def _codes_of(number: IntegerFormat) -> IntegerFormat:
    return IntegerFormat(number.bits, number.signed)


def _epsilon(config: NormConfig, length: int, epsilon: float) -> int:
    """epsilon · n² in the units of the register, rounded up: it never becomes 0."""
    return ceil(epsilon * length**2 * 4.0**config.x_fraction * 2.0**EPSILON_FRACTION)


def _epsilon_unit(config: NormConfig, length: int) -> float:
    """What the last bit of the register is worth."""
    return 2.0**-EPSILON_FRACTION * 4.0**-config.x_fraction / length**2


def _fixed(config: NormConfig, x: np.ndarray, raised: set[str]) -> np.ndarray:
    """x as integers, and what happened on the way."""
    if not isinstance(config.x, FloatFormat):
        return x
    codes = quantize(config.x, x, saturate=False)
    bad = invalid(config.x, codes)
    values = np.where(bad, 0, decode(config.x, codes))
    integers = fixed(config.fixed, quantize(config.fixed, values))
    if bad.any():
        raised.add("invalid")
    if (np.rint(np.ldexp(values, config.x_fraction)) != integers).any():
        raised.add("x_saturated")
    return integers


def _rounded(config: NormConfig, value: np.ndarray, lsb: int) -> tuple[np.ndarray, bool]:
    """Codes of value · 2^lsb, to nearest, halves to even, and whether any was out of range."""
    if isinstance(config.y, FloatFormat):
        exact = to_floats(value, lsb)
        return quantize(config.y, exact), bool((np.abs(exact) > config.y.high).any())
    return to_integers(config.y, value, lsb)


def _values(config: NormConfig, codes: np.ndarray) -> np.ndarray:
    if isinstance(config.y, FloatFormat):
        return decode(config.y, codes).astype(np.float32)
    return codes.astype(result_dtype(_codes_of(config.y)))


def _beats(config: NormConfig, rows: np.ndarray, pad: int = 0) -> Beats:
    missing = -rows.shape[1] % config.lanes
    padded = np.pad(rows, ((0, 0), (0, missing)), constant_values=pad)
    return Beats.join([Beats.frame(row.reshape(-1, config.lanes)) for row in padded], config.lanes)


# ---- cycles ----------------------------------------------------------------------------------

def _latency(config: NormConfig) -> int:
    """Cycles from the last accepted beat of a row to its first accepted beat of y."""
    slices, buffer, product = 1, 2, 2
    entry = 4 if config.x == BF16 else 1
    sums = product + (config.lanes - 1).bit_length() + 1
    degree = config.inverse.segments.degree
    root = 4 + 3 + (3 * degree + 1 if degree else 0)         # normalize; table; polynomial
    statistics = sums + product + 2 + root
    normalize = product + 1 + 2 + product + 1                # center, shift, scale
    affine = 0 if config.affine == "none" else product + 1
    rounding = 5 if config.y == BF16 else 1
    return (slices + entry + statistics + buffer + normalize + affine + rounding + buffer + slices)


# ---- stimulus --------------------------------------------------------------------------------

def _stimulus(config: NormConfig, rng: np.random.Generator) -> Iterator[Workload]:
    lanes, longest = config.lanes, min(config.max_length, 64 * config.lanes)

    def parameters(shape: tuple[int, int]) -> dict[str, np.ndarray]:
        drawn = {}
        for name in _parameters(config):
            number = getattr(config, name)
            # Mostly weights near one, so that y stays in range.
            high = min(number.code_high, 2 << -number.lsb_exponent)
            drawn[name] = rng.integers(-high, high, shape, endpoint=True)
        return drawn

    def workload(label: str, x: np.ndarray, *, corner: bool = True, kind: str = "layer",
                 epsilon: float | None = None, **given: Any) -> Workload:
        if epsilon is None:
            epsilon = 4.0**-config.x_fraction / 8
        limit = config.epsilon.high / x.shape[1]**2 * 4.0**-config.x_fraction
        settings = {"kind": kind, "epsilon": min(epsilon, limit / 2)}
        return Workload(label, {"x": x, **parameters(x.shape), **given}, settings, corner=corner)

    yield workload("one element", _draw(config, rng, (1, 1)))
    yield workload("more rows of one beat than fit inside",
                   _draw(config, rng, (150, min(lanes, longest))))
    yield workload("one beyond a beat", _draw(config, rng, (5, min(lanes + 1, longest))),
                   kind="rms")
    yield workload("longest, more rows than fit inside", _draw(config, rng, (6, longest)))
    if longest < config.max_length:
        yield workload("as long as may be", _draw(config, rng, (2, config.max_length)))
        yield workload("as long as may be, both ends",
                       np.resize(_ends(config), (1, config.max_length)))
    yield workload("longest, low ends", np.full((1, longest), _ends(config)[0]), kind="rms")
    yield workload("longest, both ends", np.resize(_ends(config), (2, longest)))
    one_hot = np.zeros((2, longest), _draw(config, rng, (1, 1)).dtype)
    one_hot[0, -1], one_hot[1, 0] = _ends(config)
    yield workload("one-hot", one_hot)
    yield workload("zeros, no epsilon", np.zeros_like(one_hot), epsilon=0, kind="rms")
    yield workload("constant, no epsilon", np.full_like(one_hot, _ends(config)[1]), epsilon=0)
    # Both terms of the variance are as large as may be, and their difference as small.
    low, high = _ends(config)
    nearly = np.full((2, config.max_length), [[high], [low]])
    # To the next number of the format.
    step = high * 2.0**-(config.x.fraction_bits + 1) if isinstance(config.x, FloatFormat) else 1
    nearly[0, 0] -= step
    nearly[1, -1] += step
    yield workload("all but constant", nearly, epsilon=0)
    # The least spread, and every low bit of epsilon beside it.
    least = np.zeros((12, min(longest, 2)), one_hot.dtype)
    least[:, 0] = 2.0**-config.x_fraction if isinstance(config.x, FloatFormat) else 1
    unit = _epsilon_unit(config, least.shape[1])
    for bit in range(min(EPSILON_FRACTION + 2, config.epsilon.bits)):
        yield workload(f"least spread and bit {bit} of epsilon", least, epsilon=unit * 2**bit)
    yield workload("largest epsilon", _draw(config, rng, (2, longest)), epsilon=1e30)
    if _parameters(config):
        for what in ("low", "high"):
            extreme = {name: np.full((2, longest), getattr(getattr(config, name), f"code_{what}"))
                       for name in _parameters(config)}
            yield workload(f"{what}est parameters", one_hot, **extreme)
        yield workload("parameters of zero", one_hot, **{
            name: np.zeros((2, longest), np.int64) for name in _parameters(config)})
        # y from its last bit on.
        halved = (high / 2.0**np.arange(max(longest // 2, 1))).astype(one_hot.dtype)
        every = np.r_[halved, -halved if low < 0 else halved][None, :longest]
        yield workload("smallest parameters, every magnitude", every, kind="rms", **{
            name: np.ones(every.shape, np.int64) for name in _parameters(config)})
        for lane in range(min(lanes, longest)):
            one = (np.arange(lanes) == lane)[None, :longest].astype(int)
            single = {name: one * getattr(config, name).code_high for name in _parameters(config)}
            yield workload(f"lane {lane} alone saturates", one * _ends(config)[1], **single)
    if isinstance(config.x, FloatFormat):
        x = _draw(config, rng, (3, longest))
        x[0, :1], x[1, -1:], x[2, :2] = np.nan, -np.inf, (1e30, -1e-30)[:min(2, longest)]
        yield workload("no numbers", x)
        for lane, value in product(range(min(lanes, longest)), (np.nan, np.inf)):
            alone = np.ones((1, min(lanes, longest)))
            alone[0, lane] = value
            yield workload(f"{value} in lane {lane} alone", alone)
        yield workload("largest numbers", np.resize([config.x.high, config.x.low], (1, longest)))
        # How large they count shows beside others alone.
        beside = rng.uniform(low, high, (4, longest))
        beside[:2, -1], beside[2:, -1] = config.x.high, config.x.low
        yield workload("largest numbers beside others", beside)
        yield workload("tiny", np.ldexp(_draw(config, rng, (2, longest)), -config.x_fraction))
    while True:
        if rng.random() < 0.2:
            bits = rng.uniform(0, rng.choice([EPSILON_FRACTION, config.epsilon.bits]))
            yield workload(f"least spread and {bits:.1f} bits of epsilon", least, corner=False,
                           epsilon=unit * 2.0**bits)
        if rng.random() < 0.3:
            bits = max(longest.bit_length() - int(rng.integers(1, 4)), 0)
            x, kind = _draw(config, rng, (1, 1 << bits)), KINDS[rng.integers(2)]
            for level in _level_spreads(config, rng, x, kind):
                yield workload(f"level spread of {x.size}", x, corner=False, kind=kind,
                               epsilon=level)
        # Short rows as often as long ones; as many as are two of the longest.
        length = round(min(config.max_length, 256 * lanes) ** rng.random())
        shape = int(rng.integers(1, max(2, 2 * longest // length) + 1)), length
        kind = KINDS[rng.integers(2)]
        x, what = _draw(config, rng, shape), "random"
        if rng.random() < 0.2:
            x, what = _nearly_constant(config, rng, shape), "nearly constant"
        yield workload(f"{what} {kind} {shape[0]}x{shape[1]}", x, corner=False, kind=kind,
                       epsilon=float(rng.choice([0, 1e-5, 1e-2])))


def _ends(config: NormConfig) -> tuple[float, float]:
    """The lowest and the highest x whose row does not saturate."""
    if isinstance(config.x, FloatFormat):
        high = 2.0 ** (config.fixed_bits - 2 - config.x_fraction)
        return -high, high
    return config.x.code_low, config.x.code_high


def _draw(config: NormConfig, rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    low, high = _ends(config)
    if isinstance(config.x, FloatFormat):
        scale = 2.0**rng.integers(-config.x_fraction, 3)
        return np.clip(rng.normal(rng.normal(), 1, shape) * scale, low, high)
    if rng.random() < 0.5:
        return rng.integers(low, high, shape, endpoint=True)
    width = (high - low) / 8 * 2.0**-rng.integers(0, config.x.bits)    # down to constant rows
    return np.clip(np.rint(rng.normal((low + high) / 2, width, shape)), low, high).astype(np.int64)


def _level_spreads(config: NormConfig, rng: np.random.Generator, x: np.ndarray, kind: str
                   ) -> Iterator[float]:
    """Of epsilon, with which the spread has zeros alone below the bits that the inverse root looks
    at, or ones alone but for the last bits: one bit more or less, anywhere below, carries to them,
    and changes the root. ``x`` is a row of a power of two of elements; there may be none for it."""
    length = x.size
    wide = _fixed(config, x, set()).astype(object)
    total = wide.sum() if kind == "layer" else 0
    spread = (length * (wide * wide).sum() - total * total) << EPSILON_FRACTION
    seen = config.inverse.fraction_bits
    lowest, highest = max(int(spread).bit_length(), seen + 1), config.epsilon.bits
    if lowest >= highest:
        return
    place = int(rng.integers(lowest, highest))
    levels = np.array([(1 << seen) + int(number) << place - seen
                       for number in rng.integers(1 << seen, size=TRIES)], object)
    below, above = (inverse(config.inverse, number) for number in (levels - 1, levels))
    for level in levels[(below[0] != above[0]) | (below[1] != above[1])][:1]:
        for less in (0, 1 << EPSILON_FRACTION):
            yield (level - spread - less) * _epsilon_unit(config, length)


def _nearly_constant(config: NormConfig, rng: np.random.Generator, shape: tuple[int, int]
                     ) -> np.ndarray:
    """Rows of two numbers side by side: nearly all of Σx² is (Σx)²/n, so that its last bits
    count."""
    low, high = _ends(config)
    number = rng.uniform(low, high, (shape[0], 1)) * 2.0**-rng.integers(0, config.x.bits)
    other = rng.integers(2, size=shape)
    if isinstance(config.x, FloatFormat):
        return number * (1 + other * 2.0**-config.x.fraction_bits)
    return np.clip(np.rint(number).astype(np.int64) + other, low, high)

MODEL = NormModel()
