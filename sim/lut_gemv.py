"""Table-lookup matrix-vector multiply in numpy.

Algorithm: J. Wei et al., T-MAC: CPU renaissance via table lookup for low-bit LLM deployment on
edge, EuroSys 2025 (arXiv 2407.00088), section 3.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np

from systolith.hdl.errors import Error
from systolith.hdl.formats import FP16
from systolith.hdl.lut_gemv.config import (
    ENTRIES,
    GROUP,
    MAX_WEIGHT_BITS,
    TABLE_HIGH,
    LutGemvConfig,
)
from systolith.sim.formats import quantize
from systolith.sim.frames import Beats
from systolith.sim.functions.integers import round_divide
from systolith.sim.model import Arrays, Job, Model, Workload
from systolith.sim.operands import (
    OTHER_NAN,
    arguments,
    ceil_div,
    elements,
    flag_bit,
    half_floats,
    integers,
    result_dtype,
    scalar,
)

#: The sign of each of 4 activations in each stored entry.
SIGNS = np.array([[1 if entry >> bit & 1 else -1 for bit in range(GROUP)]
                  for entry in range(ENTRIES)])
#: More than a core holds from its activations to its results.
MANY_VECTORS = 100


class LutGemvModel(Model):
    """y[v] = W · a[v], W of 1 to 4 bits.

    Arguments of a call:

    - ``a`` (V, K): vectors of int8 integers, or of floats, which go to the nearest ``fp16``, halves
      to even, saturating;
    - ``w`` (M, K): integers. With ``bits`` n (4) they are −2^(n−1) to 2^(n−1) − 1, with ``bipolar``
      (False) odd ones from −(2^n − 1) to 2^n − 1.

    Exact tables give ``y`` (V, M), integers. Quantized ones give ``sums`` (V, M), int64, what
    leaves the core, and ``y`` (V, M), float64: sums · 2^−24 (``fp16`` only) / 127, and again half
    of it unless ``bipolar``, to nearest.
    """

    config = LutGemvConfig

    def check(self, config: LutGemvConfig, workload: Workload) -> Workload:
        given = arguments(workload, ("a", "w"), {"bits": MAX_WEIGHT_BITS, "bipolar": False})
        bits = scalar("bits", given["bits"], 1, MAX_WEIGHT_BITS)
        bipolar = given["bipolar"]
        if not isinstance(bipolar, bool | np.bool_):
            raise Error(f"bipolar must be true or false, not {bipolar!r}")
        if config.a_format == "int8":
            a = elements("a", given["a"], ("V", "K"), config.a)
        else:
            a = half_floats("a", given["a"], ("V", "K"))
        high = (1 << bits) - 1 if bipolar else (1 << bits - 1) - 1
        low = -high if bipolar else -(1 << bits - 1)
        w = integers("w", given["w"], ("M", "K"), low, high, f"{bits}-bit")
        if bipolar and not (w % 2).all():
            index = np.argwhere(w % 2 == 0)[0]
            raise Error(f"w must hold odd integers, as bipolar weights are, not {w[tuple(index)]} "
                        f"at [{index[0]}, {index[1]}]")
        if a.shape[1] != w.shape[1]:
            raise Error(f"a has shape {a.shape} and w has shape {w.shape}; a is (V, K), w is "
                        "(M, K), and the K must be equal")
        if a.shape[1] > config.max_k:
            raise Error(f"a has K = {a.shape[1]}, more than max_k = {config.max_k}")
        return Workload(workload.label, {"a": a, "w": w},
                        {"bits": bits, "bipolar": bool(bipolar)}, workload.corner)

    def golden(self, config: LutGemvConfig, workload: Workload) -> dict[str, np.ndarray]:
        w, bipolar = workload.arrays["w"], workload.settings["bipolar"]
        sums = _products(config, workload, w)
        flags = 0
        if config.a_format == "fp16" and not np.isfinite(workload.arrays["a"]).all():
            flags = flag_bit(config.flags, "not_finite")
        if not config.quantized:
            return {"y": sums.astype(result_dtype(config.y)), "flags": flags}
        units = TABLE_HIGH * (1 if bipolar else 2)
        y = np.ldexp(sums.astype(float) / units, FP16.lsb_exponent if config.shift_high else 0)
        return {"y": y, "sums": sums, "flags": flags}

    def pack(self, config: LutGemvConfig, workload: Workload) -> Job:
        a, w = workload.arrays["a"], workload.arrays["w"]
        bits, bipolar = workload.settings["bits"], workload.settings["bipolar"]
        if config.a_format == "fp16":
            a = quantize(FP16, a, saturate=False)
        beats = _pad(a.astype(np.int64), config.block).reshape(len(a), -1, GROUP)
        codes = _padded_codes(config, w, bits, bipolar)
        last = codes.shape[0] - 1
        w_frames = [Beats.frame(frame, bits - 1 | bipolar << 2 | (tile == last) << 3)
                    for _ in range(len(a)) for tile, frame in enumerate(_indices(config, codes,
                                                                                 bits))]
        outputs = len(a) * codes.shape[0] * config.rows
        return Job({}, {"a": Beats.join(map(Beats.frame, beats), GROUP),
                        "w": Beats.join(w_frames, config.rows)}, {"y": outputs})

    def expect(self, config: LutGemvConfig, workload: Workload, outputs: Arrays,
               pad: int | None = None) -> dict[str, Beats]:
        name = "sums" if config.quantized else "y"
        results = np.asarray(outputs[name], np.int64)
        missing = -results.shape[1] % config.rows
        if pad is None:
            bits, bipolar = workload.settings["bits"], workload.settings["bipolar"]
            idle = -((1 << bits) - 1) if bipolar else 0
            row = np.full((1, workload.arrays["w"].shape[1]), idle)
            extra = np.repeat(_products(config, workload, row), missing, axis=1)
        else:
            extra = np.full((len(results), missing), pad)
        frames = np.hstack([results, extra]).reshape(-1, config.rows, 1)
        return {"y": Beats.join(map(Beats.frame, frames), 1)}

    def unpack(self, config: LutGemvConfig, workload: Workload,
               beats: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        vectors, rows = len(workload.arrays["a"]), len(workload.arrays["w"])
        results = beats["y"].reshape(vectors, -1)[:, :rows]
        if not config.quantized:
            return {"y": results.astype(result_dtype(config.y))}
        units = TABLE_HIGH * (1 if workload.settings["bipolar"] else 2)
        exponent = FP16.lsb_exponent if config.shift_high else 0
        return {"y": np.ldexp(results.astype(float) / units, exponent), "sums": results}

    def cycles(self, config: LutGemvConfig, workload: Workload) -> int:
        vectors, inner = workload.arrays["a"].shape
        frames = ceil_div(len(workload.arrays["w"]), config.rows)
        tables = ceil_div(inner, config.block) * (config.block // GROUP)
        interval = max(config.rows, 2)
        if config.quantized:
            per_block, blocks = config.block_tables, tables // config.block_tables
            building = per_block + 11                    # the buffer, 2 for sums, 8 to quantize
            if config.shift_high:
                building += per_block + 2                # to find the exponent, and align
        else:
            per_block, blocks, building = tables, 1, 2
        lookups = workload.settings["bits"] * per_block

        block_end = next_issue = -interval
        vector_end, free = 0, [0, 0]                     # when each bank can take a vector
        for _ in range(vectors):
            start = max(vector_end + 1, free.pop(0))
            vector_end = start + tables - 1
            next_issue = max(next_issue, vector_end + building + 1)
            for _ in range(frames * blocks):
                block_end = max(next_issue + lookups - 1, block_end + interval)
                next_issue = block_end + 1
            free.append(block_end + 5)
        return block_end + config.rows + (11 if config.quantized else 9)

    def filled(self, config: LutGemvConfig, workload: Workload) -> Mapping[str, int]:
        return {"a": 0, "w": 0} if config.table == "int8" else {"w": 0}

    def utilization(self, config: LutGemvConfig, workload: Workload, cycles: int) -> float:
        """Bits of weights looked up, over those that the lanes offer in ``cycles``."""
        bits = workload.settings["bits"] * workload.arrays["w"].size * len(workload.arrays["a"])
        return bits / (GROUP * config.rows * cycles)

    def never(self, config: LutGemvConfig, stream: str, codes: np.ndarray) -> np.ndarray:
        if stream == "a" and config.a_format == "fp16":
            return codes == OTHER_NAN
        return super().never(config, stream, codes)

    def stimulus(self, config: LutGemvConfig, rng: np.random.Generator) -> Iterator[Workload]:
        rows, block = config.rows, config.block
        longest = min(config.max_k, 4 * block)

        def workload(label: str, shape: tuple[int, int, int], bits: int, bipolar: bool = False,
                     a: np.ndarray | float | None = None, extreme: bool = False) -> Workload:
            vectors, outer, inner = shape
            codes = (rng.choice([0, (1 << bits) - 1], (outer, inner)) if extreme
                     else rng.integers(0, 1 << bits, (outer, inner)))
            operand = (_random_activations(config, rng, (vectors, inner)) if a is None
                       else np.broadcast_to(a, (vectors, inner)).copy())
            return Workload(label, {"a": operand, "w": _values(codes, bits, bipolar)},
                            {"bits": bits, "bipolar": bipolar}, corner=True)

        for bits in range(1, MAX_WEIGHT_BITS + 1):
            yield workload(f"{bits} bits, one block", (1, rows, block), bits)
            yield workload(f"{bits} bits, bipolar, sizes that do not divide",
                           (2, rows + 1, min(block + 3, config.max_k)), bits, True)
        yield workload("1x1x1", (1, 1, 1), 3)
        yield workload("more vectors of one block than fit inside", (MANY_VECTORS, 1, block), 1)
        if longest < config.max_k:
            yield workload("as long as may be", (4, 1, config.max_k), 1)
        for bit in range((config.max_k // GROUP).bit_length()):
            tables = (1 << bit) + 1                      # the number of the last one has one bit
            if tables * GROUP <= config.max_k:
                yield workload(f"{tables} tables", (1, 1, tables * GROUP), 1)
        yield workload("zeros", (1, rows, longest), 4, a=0)
        yield workload("longest vector", (2, rows, longest), 2)
        largest = -128 if config.a_format == "int8" else 65504.0
        yield workload("largest activations", (1, rows, longest), 4, True, a=largest, extreme=True)
        signs = np.where(rng.random(longest) < 0.5, -1, 1)
        yield workload("largest, mixed signs", (1, 2 * rows, longest), 4, extreme=True,
                       a=signs * (127 if config.a_format == "int8" else largest))
        if config.quantized:
            # The largest sum is 254: entries of 1, 5, 9, … lie between two quotients.
            halves = np.resize([127, 127, 0, 0, 1, 0, 0, 0, 0, 5, 0, 0, 0, 0, -9, 0], longest)
            yield workload("ties of the tables", (1, rows, longest), 3, a=halves)
        if config.a_format == "fp16":
            for label, values in (("subnormals", [2.0**-24, -3 * 2.0**-24, 2.0**-15, 0.0]),
                                  ("Inf and NaN", [np.inf, 1.5, -np.inf, np.nan, -2.0]),
                                  ("wide range", [65504.0, 2.0**-24, -1.0, 2.0**-14])):
                yield workload(label, (1, rows, longest), 4, a=np.resize(values, longest))
            ties = np.resize([1024.0, 1.5, 2.5, -0.5, 3.5, 0.75], longest)
            yield workload("ties of the alignment", (1, rows, longest), 3, a=ties)
        while True:
            bits, bipolar = int(rng.integers(1, MAX_WEIGHT_BITS + 1)), bool(rng.integers(2))
            shape = (int(rng.integers(1, 4)), int(rng.integers(1, 3 * rows + 1)),
                     int(rng.integers(1, longest + 1)))
            yield replace(workload(f"random {shape[0]}x{shape[1]}x{shape[2]}, {bits} bits", shape,
                                   bits, bipolar), corner=False)


def _values(codes: np.ndarray, bits: int, bipolar: bool) -> np.ndarray:
    return 2 * codes - ((1 << bits) - 1) if bipolar else codes - (1 << bits - 1)


def _codes(w: np.ndarray, bits: int, bipolar: bool) -> np.ndarray:
    return w + ((1 << bits) - 1) >> 1 if bipolar else w + (1 << bits - 1)


def _pad(array: np.ndarray, size: int) -> np.ndarray:
    """Zero-pad the last axis to a multiple of ``size``."""
    return np.pad(array, ((0, 0), (0, -array.shape[1] % size)))


def _products(config: LutGemvConfig, workload: Workload, w: np.ndarray) -> np.ndarray:
    """What the core gives for rows ``w``, int64, shape (V, M)."""
    a, bipolar = workload.arrays["a"], workload.settings["bipolar"]
    if not config.quantized:
        return a @ w.T
    sums = np.zeros((len(a), len(w)), np.int64)
    weights = _pad(w if bipolar else 2 * w + 1, config.block)     # Σ ±2^i over the planes
    for start in range(0, weights.shape[1], config.block):
        part, exponent = _aligned(config, a[:, start:start + config.block])
        tables = part.reshape(len(a), -1, GROUP)
        largest = np.abs(tables).sum(2).max(1)
        rounded = round_divide(TABLE_HIGH * (tables @ SIGNS.T),
                               np.maximum(largest, 1)[:, None, None])
        lookups = _look_up(rounded, weights[:, start:start + config.block],
                           workload.settings["bits"])
        correction = 0 if bipolar else TABLE_HIGH * part.sum(1, keepdims=True)
        sums += lookups * largest[:, None] - correction << exponent[:, None]
    return sums


def _aligned(config: LutGemvConfig, a: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A block of vectors as integers and an exponent per vector, padded to whole blocks."""
    if config.a_format == "int8":
        return _pad(a, config.block), np.zeros(len(a), np.int64)
    a = _pad(np.where(np.isfinite(a), a, 0.0), config.block)
    largest = np.abs(a).max(1)
    # The last bit of the largest number; that of subnormals is 2^−24.
    exponent = np.maximum(np.frexp(largest)[1] - 1 - FP16.fraction_bits, FP16.lsb_exponent)
    exponent = np.where(largest == 0, FP16.lsb_exponent, exponent)
    fixed = np.rint(np.ldexp(a, -exponent[:, None])).astype(np.int64)
    return fixed, (exponent - FP16.lsb_exponent).astype(np.int64)


def _look_up(tables: np.ndarray, weights: np.ndarray, bits: int) -> np.ndarray:
    """Σ of table entries times powers of two: ``tables`` (V, G, entries), odd ``weights`` (M, 4G).

    The bits of a weight are the signs in Σ ±2^i.
    """
    whole = np.concatenate([tables, -tables[:, :, ::-1]], axis=2)
    codes = _codes(weights, bits, True).reshape(len(weights), -1, GROUP)
    total = np.zeros((len(tables), len(weights)), np.int64)
    group = np.arange(tables.shape[1])
    for plane in range(bits):
        index = ((codes >> plane & 1) << np.arange(GROUP)).sum(2)
        total += whole[:, group, index].sum(2) << plane
    return total


def _padded_codes(config: LutGemvConfig, w: np.ndarray, bits: int, bipolar: bool) -> np.ndarray:
    """Codes in frames of ``rows`` rows and whole blocks, shape (frames, rows, K padded).

    Rows of nothing have weights of 0, or the smallest where there is no 0.
    """
    codes = _pad(_codes(w, bits, bipolar), config.block)
    idle = 0 if bipolar else 1 << bits - 1
    codes = np.pad(codes, ((0, -len(codes) % config.rows), (0, 0)), constant_values=idle)
    return codes.reshape(-1, config.rows, codes.shape[1])


def _indices(config: LutGemvConfig, codes: np.ndarray, bits: int) -> Iterator[np.ndarray]:
    """Beats of each frame, shape (beats, rows): planes from the highest within each block."""
    step = config.block_tables if config.quantized else codes.shape[2] // GROUP
    for frame in codes.reshape(len(codes), config.rows, -1, step, GROUP):
        planes = frame[None] >> np.arange(bits)[::-1, None, None, None, None] & 1
        index = (planes << np.arange(GROUP)).sum(-1)     # (planes, rows, blocks, tables)
        yield index.transpose(2, 0, 3, 1).reshape(-1, config.rows)


def _random_activations(config: LutGemvConfig, rng: np.random.Generator,
                        shape: tuple[int, int]) -> np.ndarray:
    if config.a_format == "int8":
        return rng.integers(-128, 128, shape)
    return rng.normal(size=shape) * 2.0 ** rng.integers(-8, 9, shape)


MODEL = LutGemvModel()
