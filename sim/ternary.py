"""Ternary matrix-vector multiply in numpy.

Weights and activations as in R.-J. Zhu et al., Scalable MatMul-free language modeling, arXiv
2406.02528: weights −1, 0, 1; activations of int8, or quantized to it by the largest magnitude of
their vector.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from systolith.hdl.errors import Error
from systolith.hdl.ternary.config import (
    QUANTIZED_HIGH,
    SCALE,
    SHIFT,
    WEIGHTS,
    ZERO_BYTE,
    TernaryConfig,
)
from systolith.sim.frames import Beats
from systolith.sim.functions.integers import round_divide
from systolith.sim.model import Arrays, Job, Model, Refusal, Workload
from systolith.sim.operands import (
    arguments,
    ceil_div,
    elements,
    flag_bit,
    integers,
    result_dtype,
)

#: Mantissas of scales, from the half of it on.
SCALE_END = 1 << SCALE.bits


class TernaryModel(Model):
    """y[v] = W · a[v], W of −1, 0 and 1.

    Arguments of a call:

    - ``a`` (V, K): vectors of integers; those of int16 are quantized: ⌊a · 127 / max |a| + 1/2⌋,
      halves to even, 0 where all are 0;
    - either ``w`` (M, K), integers −1 to 1, or ``packed`` (M, ceil(K / weights in a byte)), bytes:
      weights of illegal ones are 0;
    - ``scaled`` only: ``scale``, a number, or one for each row (M,) the same for the rows of a
      frame, ``rows`` of them. It is rounded to 15 bits.

    Results:

    - raw, int8: ``y`` (V, M), integers;
    - raw, int16: ``sums`` (V, M), int64, of quantized activations, times max |a|; ``y`` (V, M),
      float64: sums / 127;
    - scaled: ``y`` (V, M), integers of int16: scale times these, to nearest, halves to even,
      saturating.
    """

    config = TernaryConfig

    def check(self, config: TernaryConfig, workload: Workload) -> Workload:
        defaults = {"w": None, "packed": None} | ({"scale": None} if config.scaled else {})
        given = arguments(workload, ("a",), defaults)
        a = elements("a", given["a"], ("V", "K"), config.a)
        inner, per_byte = a.shape[1], WEIGHTS[config.packing]
        if inner > config.max_k:
            raise Error(f"a has K = {inner}, more than max_k = {config.max_k}")
        if (given["w"] is None) == (given["packed"] is None):
            raise Error("give either w or packed")
        if given["packed"] is None:
            w = integers("w", given["w"], ("M", "K"), -1, 1, "ternary")
            if w.shape[1] != inner:
                raise Error(f"a has shape {a.shape} and w has shape {w.shape}; a is (V, K), w is "
                            "(M, K), and the K must be equal")
            weights = {"w": w}
        else:
            packed = integers("packed", given["packed"], ("M", "bytes"), 0, 255, "byte")
            if packed.shape[1] != ceil_div(inner, per_byte):
                raise Error(f"packed has {packed.shape[1]} bytes in a row; K = {inner} takes "
                            f"{ceil_div(inner, per_byte)}")
            weights = {"packed": packed}
        settings = {}
        if config.scaled:
            (w,) = weights.values()
            scale = _scales(given["scale"], len(w), config)
            if np.ndim(scale):
                weights["scale"] = scale
            else:
                settings["scale"] = float(scale)
        return Workload(workload.label, {"a": a, **weights}, settings, workload.corner)

    def golden(self, config: TernaryConfig, workload: Workload) -> dict[str, np.ndarray]:
        a = workload.arrays["a"]
        packed = _packed(config, workload)
        bad = _illegal(config, packed).any()
        w = unpack(config.packing, packed)[:, :a.shape[1]]
        flags = flag_bit(config.flags, "illegal") if bad else 0
        largest = np.abs(a).max(1, keepdims=True)
        if config.quantized:
            a = round_divide(QUANTIZED_HIGH * a, np.maximum(largest, 1))
        sums = a @ w.T * (largest if config.quantized else 1)
        if config.scaled:
            mantissa, shift = _in_frames(config, workload, len(w))
            rows = np.arange(len(w)) // config.rows
            products = sums * mantissa[rows]
            y = round_divide(products, np.left_shift(1, 31 - shift[rows]))
            y = np.clip(y, config.y.code_low, config.y.code_high)
            return {"y": y.astype(result_dtype(config.y)), "flags": flags}
        if config.quantized:
            return {"y": sums / QUANTIZED_HIGH, "sums": sums, "flags": flags}
        return {"y": sums.astype(result_dtype(config.y)), "flags": flags}

    def pack(self, config: TernaryConfig, workload: Workload) -> Job:
        a = workload.arrays["a"]
        packed = _in_words(config, workload)
        a = np.pad(a, ((0, 0), (0, -a.shape[1] % config.a_lanes)))
        zero = pack(config.packing, np.zeros((1, 1), np.int64))[0, 0]
        packed = np.pad(packed, ((0, -len(packed) % config.rows), (0, 0)), constant_values=zero)
        # Frames, rows, words, bytes to frames, words, rows, bytes.
        frames = packed.reshape(-1, config.rows, packed.shape[1] // config.word_bytes,
                                config.word_bytes).swapaxes(1, 2)
        frames = frames.reshape(len(frames), -1, config.rows * config.word_bytes)
        users = np.zeros(len(frames), np.int64)
        if config.scaled:
            mantissa, shift = _in_frames(config, workload, len(packed))
            users |= mantissa << 1 | (shift & (1 << SHIFT.bits) - 1) << 1 + SCALE.bits
        users[-1] |= 1
        w_beats = Beats.join([Beats.frame(frame, user) for frame, user in zip(
            frames, users.tolist(), strict=True)], frames.shape[2])
        return Job({}, {
            "a": Beats.join([Beats.frame(row.reshape(-1, config.a_lanes)) for row in a],
                            config.a_lanes),
            "w": Beats.join([w_beats] * len(a), frames.shape[2]),
        }, {"y": len(a) * len(packed)})

    def expect(self, config: TernaryConfig, workload: Workload, outputs: Arrays,
               pad: int | None = None) -> dict[str, Beats]:
        name = "sums" if config.quantized and not config.scaled else "y"
        results = np.asarray(outputs[name], np.int64)
        padded = np.pad(results, ((0, 0), (0, -results.shape[1] % config.rows)),
                        constant_values=0 if pad is None else pad)
        return {"y": Beats.join(map(Beats.frame, padded.reshape(-1, config.rows, 1)), 1)}

    def unpack(self, config: TernaryConfig, workload: Workload,
               beats: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        vectors = len(workload.arrays["a"])
        rows = len(_packed(config, workload))
        results = beats["y"].reshape(vectors, -1)[:, :rows]
        if config.quantized and not config.scaled:
            return {"y": results / QUANTIZED_HIGH, "sums": results}
        return {"y": results.astype(result_dtype(config.y))}

    def cycles(self, config: TernaryConfig, workload: Workload) -> int:
        vectors, inner = workload.arrays["a"].shape
        frames = ceil_div(len(_packed(config, workload)), config.rows)
        beats, words = ceil_div(inner, config.a_lanes), ceil_div(inner, config.word)
        reduction = (config.a_lanes - 1).bit_length()
        finishing = 7 if config.scaled else 2 if config.quantized else 0
        tree = ceil_div((config.word - 1).bit_length(), 2)

        block_end = next_issue = -config.rows
        loaded, next_start, free = 0, 0, [0, 0]          # when each bank can take a vector
        for _ in range(vectors):
            end = max(next_start, free.pop(0)) + beats - 1
            loaded = end + reduction + 10 + beats if config.quantized else end
            next_start = loaded + 1
            next_issue = max(next_issue, loaded + 1)
            for _ in range(frames):
                block_end = max(next_issue + words - 1, block_end + config.rows)
                next_issue = block_end + 1
            free.append(block_end + 1)
        return block_end + config.rows + tree + finishing + 8

    def filled(self, config: TernaryConfig, workload: Workload) -> Mapping[str, int]:
        return {"a": 0, "w": ZERO_BYTE[config.packing]}

    def refused(self, config: TernaryConfig) -> Iterator[Refusal]:
        """A byte of each row that holds no weights."""
        workload = self.check(config, Workload("refused", {
            "a": np.full((1, config.word), config.a.code_high),
            "w": np.ones((config.rows, config.word), np.int64),
            **({"scale": np.ones(config.rows)} if config.scaled else {})}))
        right = self.pack(config, workload).inputs["w"]
        for row in range(config.rows):
            illegal, like = right.data.copy(), right.data.copy()
            place = 0, row * config.word_bytes
            illegal[place] = {"base3": 255, "2bit": 0b10}[config.packing]
            like[place] = ZERO_BYTE[config.packing]
            yield Refusal("illegal", data={"w": replace(right, data=illegal)},
                          like_data={"w": replace(right, data=like)}, workload=workload)

    def utilization(self, config: TernaryConfig, workload: Workload, cycles: int) -> float:
        """Weights of the product over those that the lanes offer in ``cycles``."""
        a = workload.arrays["a"]
        return a.size * len(_packed(config, workload)) / (config.rows * config.word * cycles)

    def stimulus(self, config: TernaryConfig, rng: np.random.Generator) -> Iterator[Workload]:
        rows, word = config.rows, config.word
        longest = min(config.max_k, 4 * word)

        def workload(label: str, shape: tuple[int, int, int], **given: Any) -> Workload:
            vectors, outer, inner = shape
            a = rng.integers(config.a.code_low, config.a.code_high + 1, (vectors, inner))
            if rng.random() < 0.3:
                a >>= int(rng.integers(1, config.a.bits))
            arrays = {"a": a}
            if "packed" not in given:
                arrays["w"] = rng.integers(-1, 2, (outer, inner))
            if config.scaled:
                reach = 2.0**15 / (inner**0.5 * max(np.abs(given.get("a", a)).max(), 1))
                if rng.random() < 0.3:
                    reach *= 2.0**-rng.integers(1, 12)
                scales = np.minimum(reach * rng.uniform(0.1, 1.5, ceil_div(outer, rows)), 2.0**14)
                arrays["scale"] = np.repeat(scales, rows)[:outer]
            for name, value in given.items():
                arrays[name] = (np.broadcast_to(value, (vectors, inner)) if name == "a" else
                                np.broadcast_to(value, (outer, inner)) if name == "w" else value)
            return self.check(config, Workload(label, arrays, {}, corner=True))

        yield workload("1x1x1", (1, 1, 1))
        yield workload("one word", (1, rows, word))
        yield workload("sizes that do not divide", (2, rows + 1, min(word + 3, config.max_k)))
        yield workload("vectors of one word", (5, 1, word))
        yield workload("longest vector", (3, 2 * rows, longest))
        if longest < config.max_k:
            yield workload("as long as may be", (2, 1, config.max_k))
        yield workload("zeros", (1, rows, longest), a=0)
        yield workload("weights of zero", (1, rows, longest), w=0)
        for label, a in (("lowest", config.a.code_low), ("highest", config.a.code_high)):
            yield workload(f"{label} activations added", (1, rows, longest), a=a, w=1)
            yield workload(f"{label} activations subtracted", (1, rows, longest), a=a, w=-1)
        row_bytes = ceil_div(longest, WEIGHTS[config.packing])
        every = np.resize(np.arange(256), (ceil_div(256, row_bytes), row_bytes))
        yield workload("every byte", (1, len(every), longest), packed=every)
        if config.quantized:
            # Halves: 127 · a / max |a| lies between two integers.
            yield workload("ties of the quantizer", (1, rows, longest),
                           a=np.resize([254, 1, 3, -1, -3, 5, 127], longest))
            # Its magnitude alone has a bit more than that of any other.
            for outer, inner in ((rows, longest), (rows + 1, min(word + 1, longest))):
                beside = rng.integers(config.a.code_low, config.a.code_high + 1, (4, inner))
                beside[:, -1] = config.a.code_low
                yield workload(f"lowest beside others, {inner}", (4, outer, inner), a=beside)
        if config.scaled:
            for scale in (0.0, 2.0**-46, 2.0**-20, 2.0**14):
                yield workload(f"scale {scale:g}", (1, rows, word), scale=scale)
            yield workload("ties of the rounding", (1, 2 * rows, word), a=_ties(config, word),
                           scale=0.5)
        while True:
            shape = (int(rng.integers(1, 4)), int(rng.integers(1, 4 * rows + 1)),
                     int(rng.integers(1, longest + 1)))
            yield replace(workload(f"random {shape[0]}x{shape[1]}x{shape[2]}", shape), corner=False)


def pack(packing: str, w: np.ndarray) -> np.ndarray:
    """Weights (M, K) of −1, 0, 1 in bytes (M, ceil(K / weights in a byte)), int64; zeros beyond K.

    ``base3``: Σ (t[i] + 1) · 3^i over five; ``2bit``: four codes, the first in the lowest bits,
    0 as 00, 1 as 01, −1 as 11.
    """
    count = WEIGHTS[packing]
    w = np.pad(w, ((0, 0), (0, -w.shape[1] % count))).reshape(len(w), -1, count)
    if packing == "base3":
        return ((w + 1) * 3 ** np.arange(count)).sum(2)
    return ((w & 3) << 2 * np.arange(count)).sum(2)


def unpack(packing: str, packed: np.ndarray) -> np.ndarray:
    """The weights of :func:`pack`, and 0 for illegal bytes or codes."""
    count = WEIGHTS[packing]
    digits = packed[:, :, None]
    if packing == "base3":
        w = digits // 3 ** np.arange(count) % 3 - 1
        w = np.where(digits < 3**count, w, 0)
    else:
        w = np.array([0, 1, 0, -1])[digits >> 2 * np.arange(count) & 3]
    return w.reshape(len(packed), -1)


def _illegal(config: TernaryConfig, packed: np.ndarray) -> np.ndarray:
    if config.packing == "base3":
        return packed >= 3 ** WEIGHTS["base3"]
    return packed & ~packed << 1 & 0xAA != 0


def _packed(config: TernaryConfig, workload: Workload) -> np.ndarray:
    """Bytes (M, …) of the weights."""
    arrays = workload.arrays
    return arrays["packed"] if "packed" in arrays else pack(config.packing, arrays["w"])


def _in_words(config: TernaryConfig, workload: Workload) -> np.ndarray:
    """Bytes (M, …) of whole words. Beyond K are ones, which must make no difference."""
    arrays = workload.arrays
    if "packed" in arrays:
        one = pack(config.packing, np.ones((1, WEIGHTS[config.packing]), np.int64))[0, 0]
        packed = arrays["packed"]
        return np.pad(packed, ((0, 0), (0, -packed.shape[1] % config.word_bytes)),
                      constant_values=one)
    w = arrays["w"]
    return pack(config.packing, np.pad(w, ((0, 0), (0, -w.shape[1] % config.word)),
                                       constant_values=1))


def _scales(value: Any, rows: int, config: TernaryConfig) -> np.ndarray:
    """The scale, or one for each row."""
    if value is None:
        raise Error("argument 'scale' is missing; output is 'scaled'")
    try:
        scale = np.asarray(value, float)
    except (TypeError, ValueError):
        raise Error(f"scale must be a number, or one for each row, not {value!r}") from None
    if scale.ndim > 1 or (scale.ndim and len(scale) != rows):
        raise Error(f"scale must be a number or have shape ({rows},), not {scale.shape}")
    allowed = (scale == 0) | ((scale >= 2.0**-46) & (scale <= 2.0**14))
    if not allowed.all():
        raise Error(f"scale must be 0, or from 2^-46 to 2^14, not {scale[~allowed].flat[0]:g}")
    if scale.ndim:
        first = scale[np.arange(rows) // config.rows * config.rows]
        if (scale != first).any():
            row = int(np.argmax(scale != first))
            raise Error(f"scale must be the same for the {config.rows} rows of a frame, not "
                        f"{first[row]:g} at [{row // config.rows * config.rows}] and "
                        f"{scale[row]:g} at [{row}]")
    return scale


def _in_frames(config: TernaryConfig, workload: Workload,
               rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Mantissa and shift of the scale of every frame: mantissa · 2^(shift − 31)."""
    scale = workload.arrays.get("scale", workload.settings.get("scale"))
    scale = np.broadcast_to(scale, (rows,)) if np.ndim(scale) == 0 else np.asarray(scale)
    factor = scale[::config.rows] / (QUANTIZED_HIGH if config.quantized else 1)
    fraction, exponent = np.frexp(factor)
    mantissa = np.rint(fraction * SCALE_END).astype(np.int64)
    full = mantissa == SCALE_END
    mantissa, exponent = np.where(full, mantissa >> 1, mantissa), exponent + full
    shift = exponent.astype(np.int64) + 31 - SCALE.bits
    # Smaller mantissas where the shift ends.
    mantissa = np.where(shift < -31, mantissa >> np.minimum(-31 - shift, SCALE.bits), mantissa)
    return mantissa, np.clip(shift, -31, 31)


def _ties(config: TernaryConfig, count: int) -> np.ndarray:
    """Odd numbers whose halves are exact; quantized ones remain so only by chance."""
    return np.resize([1, -1, 3, -3, 5, 0, 0, 127], count)


MODEL = TernaryModel()
