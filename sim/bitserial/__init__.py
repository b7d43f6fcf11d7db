"""The bit-serial core in numpy: golden model, driver, stimulus and cycle model."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from systolith.hdl.bitserial.config import (
    EXPONENT_BITS,
    LANES,
    SPECIAL,
    SPECIALS,
    TYPE_BITS,
    TYPES,
    BitserialConfig,
)
from systolith.hdl.errors import Error
from systolith.hdl.formats import FP16
from systolith.sim.bitserial import golden
from systolith.sim.bitserial.stimulus import stimulus
from systolith.sim.formats import quantize
from systolith.sim.frames import Beats
from systolith.sim.model import Arrays, Job, Model, Refusal, Workload
from systolith.sim.operands import (
    OTHER_NAN,
    arguments,
    ceil_div,
    elements,
    flag_bit,
    half_floats,
    integers,
)

NAMES = tuple(kind.name for kind in TYPES)


class BitserialModel(Model):
    """y = A · Wᵀ, W of groups along K that each have a type and, per row, a scale.

    Arguments of a call:

    - ``a`` (T, K): floats, which go to the nearest ``fp16``, halves to even, saturating, or
      integers of ``int8``;
    - ``w`` (N, K): integers of int8, int6 or int5, codes of bitmod4 or bitmod3;
    - ``types`` ("int8"): int8, int6, int5, bitmod4 or bitmod3, one for all groups or one for each;
      numbers 0 to 4 stand for the same, 5 to 7 for none;
    - ``scales`` (1), (N, groups): int8, what the weights of a group are multiplied by;
    - ``select`` (0), (N, groups): 0 to 3, which special value a group uses;
    - ``bitmod4_special`` (5, −5, 8, −8), ``bitmod3_special`` (3, −3, 6, −6): the special values,
      multiples of 0.5;
    - ``channels`` (1), (N,): the second level of scales, which the driver multiplies by.

    The result is ``sums`` (T, N), int64, what leaves the core, and ``y`` (T, N), float64, what it
    is worth times channels. Of ``fp16`` activations sums are mantissa · 128 + exponent, worth
    mantissa · 2^(exponent + lsb_exponent); of ``int8`` activations they are exact, in units of 0.5.
    """

    config = BitserialConfig

    def check(self, config: BitserialConfig, workload: Workload) -> Workload:
        defaults = {"types": "int8", "scales": 1, "select": 0, "channels": 1.0,
                    **{f"{kind.name}_special": kind.format.special_values
                       for kind in TYPES if kind.mixture}}
        given = arguments(workload, ("a", "w"), defaults)
        a = (elements("a", given["a"], ("T", "K"), config.a) if config.exact
             else half_floats("a", given["a"], ("T", "K")))
        w = integers("w", given["w"], ("N", "K"), -128, 255)
        if a.shape[1] != w.shape[1]:
            raise Error(f"a has shape {a.shape} and w has shape {w.shape}; a is (T, K), w is "
                        "(N, K), and the K must be equal")
        groups = ceil_div(a.shape[1], config.group)
        arrays = {
            "a": a, "w": w & 255, "types": _types(given["types"], groups),
            "scales": _per_group("scales", given["scales"], len(w), groups, -128, 127),
            "select": _per_group("select", given["select"], len(w), groups, 0, SPECIALS - 1),
            "channels": _channels(given["channels"], len(w)),
        }
        for name in defaults:
            if name.endswith("_special"):
                arrays[name] = _specials(name, given[name])
        return Workload(workload.label, arrays, {}, workload.corner)

    def golden(self, config: BitserialConfig, workload: Workload) -> dict[str, np.ndarray]:
        arrays = workload.arrays
        words, raised = _words(config, workload, arrays["a"], arrays["w"], arrays["scales"],
                               arrays["select"])
        return {**_results(config, workload, words),
                "flags": sum(flag_bit(config.flags, name) for name in raised)}

    def pack(self, config: BitserialConfig, workload: Workload) -> Job:
        arrays = workload.arrays
        a = _pad(arrays["a"], config.rows, config.group)
        if not config.exact:
            a = quantize(FP16, a, saturate=False)
        w = _pad(arrays["w"], config.cols, config.group)
        scales = _pad(arrays["scales"], config.cols, 1, fill=1)
        group = (scales & 255) + (_pad(arrays["select"], config.cols, 1) << 8)
        a_frames = [Beats.frame(tile) for tile in _lanes(a, config.rows)]
        w_frames = [Beats.frame(tile) for tile in _lanes(w, config.cols)]
        s_frames = [[Beats.frame(tile[None, :, index], int(kind))
                     for index, kind in enumerate(arrays["types"])]
                    for tile in group.reshape(-1, config.cols, group.shape[1])]
        per_tile = len(a_frames)
        return Job(
            {f"{kind.name}_special_{index}": int(value) & (1 << SPECIAL.bits) - 1
             for kind in TYPES if kind.mixture
             for index, value in enumerate(2 * arrays[f"{kind.name}_special"])},
            {"a": Beats.join(a_frames * len(w_frames), config.rows * LANES),
             "w": Beats.join([frame for frame in w_frames for _ in range(per_tile)],
                             config.cols * LANES),
             "s": Beats.join([beat for tile in s_frames for _ in range(per_tile)
                              for beat in tile], config.cols)},
            {"y": len(w_frames) * per_tile * config.rows})

    def expect(self, config: BitserialConfig, workload: Workload, outputs: Arrays,
               pad: int | None = None) -> dict[str, Beats]:
        arrays = workload.arrays
        words = np.asarray(outputs["sums"], np.int64)
        rows, columns = -words.shape[0] % config.rows, -words.shape[1] % config.cols
        padded = np.pad(words, ((0, rows), (0, columns)),
                        constant_values=0 if pad is None else pad)
        if pad is None:
            # Activations of 0 for all columns, and weights of 0 for all rows.
            inner, groups = arrays["a"].shape[1], len(arrays["types"])
            none, one = np.zeros((1, inner), np.int64), np.ones((1, groups), np.int64)
            if rows:
                row, _ = _words(config, workload, none, arrays["w"], arrays["scales"],
                                arrays["select"])
                padded[words.shape[0]:, :words.shape[1]] = row
            if columns:
                a = np.pad(arrays["a"], ((0, rows), (0, 0)))
                column, _ = _words(config, workload, a, none, one, 0 * one)
                padded[:, words.shape[1]:] = column
        tiles = padded.reshape(-1, config.rows, padded.shape[1] // config.cols, config.cols)
        frames = tiles.transpose(2, 0, 1, 3).reshape(-1, config.rows, config.cols)
        return {"y": Beats.join(map(Beats.frame, frames), config.cols)}

    def unpack(self, config: BitserialConfig, workload: Workload,
               beats: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        tokens, channels = len(workload.arrays["a"]), len(workload.arrays["w"])
        tiles = beats["y"].reshape(-1, ceil_div(tokens, config.rows), config.rows, config.cols)
        words = tiles.transpose(1, 2, 0, 3).reshape(-1, tiles.shape[0] * config.cols)
        return _results(config, workload, words[:tokens, :channels])

    def cycles(self, config: BitserialConfig, workload: Workload) -> int:
        tiles = (ceil_div(len(workload.arrays["a"]), config.rows)
                 * ceil_div(len(workload.arrays["w"]), config.cols))
        return tiles * config.beats * int(_terms(workload).sum()) + config.rows + (
            19 if config.exact else 23)                  # fp16 sums over groups take 5 cycles

    def filled(self, config: BitserialConfig, workload: Workload) -> Mapping[str, int]:
        """Of floats, activations beside weights of 0 may count: their exponents do."""
        return {"a": 0, "w": 0} if config.exact or config.mask_zero_lanes else {"a": 0}

    def units(self, config: BitserialConfig, workload: Workload) -> Mapping[str, int]:
        return dict.fromkeys("aw", config.group // LANES)

    def refused(self, config: BitserialConfig) -> Iterator[Refusal]:
        """Types that are none."""
        return (Refusal("bad_type", users={"s": kind}, like={"s": 0})
                for kind in range(len(TYPES), 1 << TYPE_BITS))

    def utilization(self, config: BitserialConfig, workload: Workload, cycles: int) -> float:
        """Terms of the weights over those that the PEs take in ``cycles``."""
        inner = workload.arrays["a"].shape[1]
        terms = np.repeat(_terms(workload), config.group)[:inner].sum()
        useful = len(workload.arrays["a"]) * len(workload.arrays["w"]) * int(terms)
        return useful / (LANES * config.rows * config.cols * cycles)

    def never(self, config: BitserialConfig, stream: str, codes: np.ndarray) -> np.ndarray:
        """Exponents are those of activations, at least 1, unless zeros are masked."""
        if stream == "a" and not config.exact:
            return codes == OTHER_NAN
        if stream == "y" and not config.exact and not config.mask_zero_lanes:
            return codes == 0
        return super().never(config, stream, codes)

    def stimulus(self, config: BitserialConfig, rng: np.random.Generator) -> Iterator[Workload]:
        return stimulus(config, rng)


def _types(value: Any, groups: int) -> np.ndarray:
    """Numbers of the types of all groups."""
    listed = np.atleast_1d(np.asarray(value))
    if listed.dtype.kind == "U":
        for name in listed.ravel():
            if name not in NAMES:
                raise Error(f"unknown type {str(name)!r}; types are {', '.join(NAMES)}")
        listed = np.array([NAMES.index(name) for name in listed.ravel()])
    listed = integers("types", listed, ("groups",), 0, (1 << TYPE_BITS) - 1)
    if len(listed) not in (1, groups):
        raise Error(f"types has {len(listed)} values and K has {groups} groups; give one for each, "
                    "or a single one")
    return np.broadcast_to(listed, groups).copy()


def _per_group(name: str, value: Any, channels: int, groups: int, low: int,
               high: int) -> np.ndarray:
    if np.ndim(value) == 0:
        return np.full((channels, groups), int(integers(name, value, (), low, high)))
    array = integers(name, value, ("N", "groups"), low, high)
    if array.shape != (channels, groups):
        raise Error(f"{name} must be of shape {(channels, groups)}, one for each row of w and "
                    f"group of K, or a single one, not of shape {array.shape}")
    return array


def _channels(value: Any, channels: int) -> np.ndarray:
    array = np.asarray(value)
    if array.dtype.kind not in "fiu" or array.shape not in ((), (channels,)):
        raise Error(f"channels must be {channels} numbers, one for each row of w, or a single one, "
                    f"not {array.dtype} of shape {array.shape}")
    return np.broadcast_to(array.astype(float), channels).copy()


def _specials(name: str, value: Any) -> np.ndarray:
    array = np.asarray(value)
    if array.shape != (SPECIALS,) or array.dtype.kind not in "fiu":
        raise Error(f"{name} must be {SPECIALS} numbers, not {array.dtype} of shape {array.shape}")
    doubled = 2 * array.astype(float)
    if ((doubled != np.rint(doubled)) | (doubled < SPECIAL.low) | (doubled > SPECIAL.high)).any():
        raise Error(f"{name} must hold multiples of 0.5, {SPECIAL.low / 2} to {SPECIAL.high / 2}, "
                    f"not {array.tolist()}")
    return doubled / 2


def _words(config: BitserialConfig, workload: Workload, a: np.ndarray, w: np.ndarray,
           scales: np.ndarray, select: np.ndarray) -> tuple[np.ndarray, set[str]]:
    """What leaves the core for rows ``a`` and ``w``, and the flags raised."""
    kinds = workload.arrays["types"]
    tables = {number: (2 * workload.arrays[f"{kind.name}_special"]).astype(np.int64)
              for number, kind in enumerate(TYPES) if kind.mixture}
    special = np.zeros(select.shape, np.int64)
    for group, number in enumerate(kinds):
        if number in tables:
            special[:, group] = tables[number][select[:, group]]
    operands = _pad(a, 1, config.group), _pad(w, 1, config.group), kinds, scales, special
    if config.exact:
        return golden.exact_sums(config, *operands)
    mantissa, exponent, raised = golden.sums(config, *operands)
    return (mantissa << EXPONENT_BITS) + exponent, raised


def _results(config: BitserialConfig, workload: Workload,
             words: np.ndarray) -> dict[str, np.ndarray]:
    if config.exact:
        mantissa, exponent = words, config.lsb_exponent
    else:
        mantissa = words >> EXPONENT_BITS
        exponent = (words & (1 << EXPONENT_BITS) - 1) + config.lsb_exponent
    y = np.ldexp(mantissa.astype(float), exponent) * workload.arrays["channels"]
    return {"y": y, "sums": words}


def _terms(workload: Workload) -> np.ndarray:
    """Terms of the weights of each group."""
    return np.array([TYPES[number if number < len(TYPES) else golden.FALLBACK].terms
                     for number in workload.arrays["types"]])


def _pad(array: np.ndarray, rows: int, columns: int, fill: int = 0) -> np.ndarray:
    """Pad a matrix to multiples of ``rows`` and ``columns``."""
    return np.pad(array, ((0, -array.shape[0] % rows), (0, -array.shape[1] % columns)),
                  constant_values=fill)


def _lanes(matrix: np.ndarray, rows: int) -> np.ndarray:
    """Tiles of ``rows`` rows as beats of 4 columns of each: (tiles, beats, 4 · rows)."""
    tiles = matrix.astype(np.int64).reshape(-1, rows, matrix.shape[1] // LANES, LANES)
    return tiles.transpose(0, 2, 1, 3).reshape(len(tiles), -1, rows * LANES)


MODEL = BitserialModel()
