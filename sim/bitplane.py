"""The bit-plane GEMM core in numpy: golden model, driver, stimulus and cycle model."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from systolith.hdl.bitplane.config import (
    BIPOLAR,
    SCALE,
    TWOS_COMPLEMENT,
    UNSIGNED,
    BitplaneConfig,
)
from systolith.hdl.errors import ConfigError, Error
from systolith.hdl.formats import BipolarFormat, IntegerFormat, parse_format
from systolith.sim.formats import decode, encode
from systolith.sim.frames import Beats
from systolith.sim.model import Arrays, Job, Model, Refusal, Workload
from systolith.sim.operands import arguments, ceil_div, elements, integers, per_column, result_dtype
from systolith.sim.planes import bit_planes, in_words

SLICE = 1                      # register slice at a port
BUFFER = 2                     # output buffer, when empty
MULTIPLIER = 2                 # of a scale
MAX_PAIRS = 2048               # of planes in one workload of the stimulus

Format = IntegerFormat | BipolarFormat


@dataclass(frozen=True)
class Operand:
    """How the elements of an operand become planes.

    Attributes
    ----------
    format : IntegerFormat or BipolarFormat
        What the caller named.
    planes : IntegerFormat or BipolarFormat
        What the core sees: with planes in parallel, the same values in as many bits as it has.
    """

    format: Format
    planes: Format

    @classmethod
    def of(cls, config: BitplaneConfig, name: str, highest: int) -> "Operand":
        format = parse_format(name)
        bits = format.bits if config.serial else highest
        wide = (BipolarFormat(bits) if isinstance(format, BipolarFormat)
                else IntegerFormat(bits, format.signed))
        return cls(format, wide)

    @property
    def code(self) -> int:
        """Value of the register that says what the codes mean."""
        if isinstance(self.planes, BipolarFormat):
            return BIPOLAR
        return TWOS_COMPLEMENT if self.planes.signed else UNSIGNED

    @property
    def padding(self) -> int:
        """Value of code 0, which stands in rows and columns beyond the matrices."""
        return int(decode(self.planes, np.zeros(1, np.uint8))[0])


class BitplaneModel(Model):
    """C = A · W, or C = A · W · scale, in tiles of an array.

    Arguments of a call:

    - ``a`` (M, K) and ``w`` (K, N): integers, values (not codes) of ``a_format`` and ``w_format``;
    - ``a_format`` and ``w_format``: names of formats, ``int<bits>``, ``uint<bits>`` or
      ``bipolar<bits>``, of at most ``max_a_bits`` and ``max_w_bits``; ``int`` of that many bits by
      default. Both or neither are bipolar;
    - with ``output: scaled`` also ``scale``, uint16, (N,) or one for all columns.

    The result is ``c``, shape (M, N): int32 where every value of the output format fits, else
    int64.
    """

    config = BitplaneConfig

    def check(self, config: BitplaneConfig, workload: Workload) -> Workload:
        required = ("a", "w", "scale") if config.output == "scaled" else ("a", "w")
        given = arguments(workload, required, {"a_format": f"int{config.max_a_bits}",
                                               "w_format": f"int{config.max_w_bits}"})
        formats = {name: _format(f"{name}_format", given[f"{name}_format"], highest)
                   for name, highest in (("a", config.max_a_bits), ("w", config.max_w_bits))}
        bipolar = [isinstance(format, BipolarFormat) for format in formats.values()]
        if bipolar[0] != bipolar[1]:
            raise Error(f"a_format {formats['a']} and w_format {formats['w']} do not go together: "
                        "both are bipolar, or neither; bipolar<n> values also are int<n + 1> "
                        "values")
        arrays = {name: _values(name, given[name], axes, formats[name])
                  for name, axes in (("a", ("M", "K")), ("w", ("K", "N")))}
        (_, k), (rows, columns) = arrays["a"].shape, arrays["w"].shape
        if k != rows:
            raise Error(f"a has {k} columns and w has {rows} rows; both are K and must be equal")
        if k > config.max_k:
            raise Error(f"K is {k} and must be at most max_k = {config.max_k}")
        if config.output == "scaled":
            arrays["scale"] = per_column("scale", given["scale"], columns, SCALE.low, SCALE.high)
        settings = {f"{name}_format": format.name for name, format in formats.items()}
        return Workload(workload.label, arrays, settings, workload.corner)

    def golden(self, config: BitplaneConfig, workload: Workload) -> dict[str, np.ndarray]:
        product = workload.arrays["a"] @ workload.arrays["w"]
        return {"c": (product * workload.arrays.get("scale", 1)).astype(result_dtype(config.out)),
                "flags": 0}

    def pack(self, config: BitplaneConfig, workload: Workload) -> Job:
        tiling = _Tiling.of(config, workload)
        a, w = tiling.a, tiling.w
        a_frames = _frames(config, encode(a.planes, workload.arrays["a"]), a.planes.bits,
                           config.rows)
        w_frames = _frames(config, encode(w.planes, workload.arrays["w"]).T, w.planes.bits,
                           config.cols)
        inputs = {"a": Beats.join(a_frames * tiling.n_tiles, 0),
                  "w": Beats.join([frame for frame in w_frames for _ in a_frames], 0)}
        if config.output == "scaled":
            scales = _padded(workload.arrays["scale"], tiling.n_tiles * config.cols, 0)
            inputs["s"] = Beats.join([Beats.frame(beat.reshape(1, -1))
                                      for beat in scales.reshape(tiling.n_tiles, -1)
                                      for _ in a_frames], config.cols)
        writes = {"a_code": a.code, "w_code": w.code, "offset": 0}
        if a.code == BIPOLAR:
            writes["offset"] = tiling.k * a.planes.high * w.planes.high
        if config.serial:
            writes |= {f"{operand}_bits": bits for operand, bits, highest in (
                ("a", a.planes.bits, config.max_a_bits),
                ("w", w.planes.bits, config.max_w_bits)) if highest > 1}
        return Job(writes, inputs, {"c": tiling.tiles * config.rows})

    def expect(self, config: BitplaneConfig, workload: Workload, outputs: Arrays,
               pad: int | None = None) -> dict[str, Beats]:
        tiling, arrays = _Tiling.of(config, workload), workload.arrays
        rows, columns = tiling.m_tiles * config.rows, tiling.n_tiles * config.cols
        if pad is None:
            a = _padded(arrays["a"], rows, tiling.a.padding)
            w = _padded(arrays["w"].T, columns, tiling.w.padding).T
            c = a @ w
            if config.output == "scaled":
                c *= _padded(arrays["scale"], columns, 0)
        else:
            c = np.full((rows, columns), pad, np.int64)
        c[:tiling.m, :tiling.n] = outputs["c"]
        beats = c.reshape(rows, tiling.n_tiles, -1).swapaxes(0, 1).reshape(-1, config.cols)
        last = np.arange(len(beats)) % config.rows == config.rows - 1
        return {"c": Beats(beats, last, np.zeros(len(beats), np.uint64))}

    def unpack(self, config: BitplaneConfig, workload: Workload,
               beats: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        tiling = _Tiling.of(config, workload)
        tiles = beats["c"].reshape(tiling.n_tiles, -1, config.cols)
        c = tiles.swapaxes(0, 1).reshape(tiles.shape[1], -1)[:tiling.m, :tiling.n]
        return {"c": c.astype(result_dtype(config.out))}

    def cycles(self, config: BitplaneConfig, workload: Workload) -> int:
        tiling = _Tiling.of(config, workload)
        # Cycle 0 is that of the first accepted beat; the control sees it one later. `end` is when
        # the pair that finishes a tile is issued. The first scale must be there before.
        end = max(SLICE + tiling.length - 1, SLICE + (config.output == "scaled"))
        end += (tiling.tiles - 1) * max(tiling.length, config.rows)
        return end + config.rows - 1 + self.behind_issue(config) + 1

    def behind_issue(self, config: BitplaneConfig) -> int:
        """Cycles from the issue of a tile's last pair of planes to its first row at the port."""
        sums = 1 + (config.max_a_bits > 1) + (config.max_w_bits > 1) if config.serial else 2
        finish = 1 + (MULTIPLIER if config.output == "scaled" else 0)
        return 2 + config.popcount_stages + sums + 1 + finish + BUFFER + SLICE

    def stalled_input(self, config: BitplaneConfig, workload: Workload) -> int | None:
        """Sums that wait for their scales count too, in no model."""
        return 0 if config.output != "scaled" else None

    def filled(self, config: BitplaneConfig, workload: Workload) -> Mapping[str, int]:
        """A word whose planes come one after the other, the highest first."""
        if not config.serial:
            return {}
        return {name: 0 for name, planes in self.units(config, workload).items() if planes > 1}

    def units(self, config: BitplaneConfig, workload: Workload) -> Mapping[str, int]:
        formats = workload.settings["a_format"], workload.settings["w_format"]
        highest = config.max_a_bits, config.max_w_bits
        return {name: Operand.of(config, *given).planes.bits
                for name, *given in zip("aw", formats, highest, strict=True)}

    def refused(self, config: BitplaneConfig) -> Iterator[Refusal]:
        """Codes that are none, bipolar ones on one side only, and numbers of planes."""
        right = {"a_code": UNSIGNED, "w_code": UNSIGNED}
        for one, other in (("a_code", "w_code"), ("w_code", "a_code")):
            for code, beside in ((3, UNSIGNED), (3, TWOS_COMPLEMENT), (BIPOLAR, UNSIGNED),
                                 (BIPOLAR, TWOS_COMPLEMENT)):
                yield Refusal("settings", {one: code, other: beside}, like={one: UNSIGNED})
        highest = {"a_bits": config.max_a_bits, "w_bits": config.max_w_bits}
        for register in config.registers:
            if (most := highest.get(register.name)) is not None:
                for planes in (0, *range(most + 1, 1 << register.fields[0].bits)):
                    yield Refusal("settings", {**right, register.name: planes},
                                  like={register.name: most})

    def never(self, config: BitplaneConfig, stream: str, codes: np.ndarray) -> np.ndarray:
        if stream != "c" or config.output == "scaled":
            return super().never(config, stream, codes)
        most = config.max_k * ((1 << config.max_a_bits) - 1) * ((1 << config.max_w_bits) - 1)
        return abs(codes) > most

    def utilization(self, config: BitplaneConfig, workload: Workload, cycles: int) -> float:
        """Products of bits of the operands over those that the PEs offer in ``cycles``."""
        tiling = _Tiling.of(config, workload)
        pairs = tiling.a.format.bits * tiling.w.format.bits
        offered = config.rows * config.cols * config.word * config.a_planes * config.w_planes
        return tiling.m * tiling.k * tiling.n * pairs / (offered * cycles)

    def stimulus(self, config: BitplaneConfig, rng: np.random.Generator) -> Iterator[Workload]:
        for workload in _stimulus(config, rng):
            yield self.check(config, workload)


@dataclass(frozen=True)
class _Tiling:
    """How a product is cut into frames; tiles run n outermost, then m.

    ``length`` is the number of pairs of planes that a tile takes.
    """

    m: int
    k: int
    n: int
    m_tiles: int
    n_tiles: int
    length: int
    a: Operand
    w: Operand

    @classmethod
    def of(cls, config: BitplaneConfig, workload: Workload) -> "_Tiling":
        (m, k), n = workload.arrays["a"].shape, workload.arrays["w"].shape[1]
        a = Operand.of(config, workload.settings["a_format"], config.max_a_bits)
        w = Operand.of(config, workload.settings["w_format"], config.max_w_bits)
        pairs = a.planes.bits * w.planes.bits if config.serial else 1
        return cls(m, k, n, ceil_div(m, config.rows), ceil_div(n, config.cols),
                   pairs * ceil_div(k, config.word), a, w)

    @property
    def tiles(self) -> int:
        return self.m_tiles * self.n_tiles


def _format(argument: str, name: Any, highest: int) -> Format:
    try:
        format = parse_format(name) if isinstance(name, str) else None
    except ConfigError:
        format = None
    if not isinstance(format, IntegerFormat | BipolarFormat) or format.bits > highest:
        raise Error(f"{argument} must be int<bits>, uint<bits> or bipolar<bits> of 1 to {highest} "
                    f"bits, not {name!r}")
    return format


def _values(name: str, value: Any, axes: tuple[str, ...], format: Format) -> np.ndarray:
    if isinstance(format, IntegerFormat):
        return elements(name, value, axes, format)
    array = integers(name, value, axes, format.low, format.high, format.name)
    if (array % 2 == 0).any():
        index = np.unravel_index(np.argmax(array % 2 == 0), array.shape)
        raise Error(f"{name} must hold {format} values, which are odd, not {array[index]} at "
                    f"[{', '.join(map(str, index))}]")
    return array


def _frames(config: BitplaneConfig, codes: np.ndarray, bits: int, tile: int) -> list[Beats]:
    """One frame for every ``tile`` of the rows of ``codes``, shape (rows, K)."""
    codes = _padded(codes, ceil_div(len(codes), tile) * tile, 0)
    words = in_words(bit_planes(codes, bits), config.word)
    words = words.reshape(bits, -1, tile, *words.shape[2:])      # plane, tile, row, t, e
    if config.serial:
        beats = words[::-1].transpose(1, 3, 0, 2, 4)             # tile, t, plane, row, e
    else:
        beats = words.transpose(1, 3, 2, 0, 4)                   # tile, t, row, plane, e
    lanes = words[0, 0, :, 0].size * (1 if config.serial else bits)
    return [Beats.frame(frame.reshape(-1, lanes)) for frame in beats]


def _padded(array: np.ndarray, rows: int, value: int) -> np.ndarray:
    """``array`` with rows of ``value`` appended."""
    pad = [(0, rows - len(array))] + [(0, 0)] * (array.ndim - 1)
    return np.pad(array.astype(np.int64), pad, constant_values=value)


def _stimulus(config: BitplaneConfig, rng: np.random.Generator) -> Iterator[Workload]:
    families = ("int", "uint", "bipolar")

    def operand(shape: tuple[int, int], name: str, kind: str) -> np.ndarray:
        format = parse_format(name)
        if kind in ("low", "high"):
            return np.full(shape, getattr(format, kind))
        if kind == "extremes":
            return rng.choice([format.low, format.high], shape)
        values = decode(format, np.arange(1 << format.bits))
        if kind == "ramp":
            return np.resize(values, shape)
        return rng.choice(values, shape)

    def workload(label: str, size: tuple[int, int, int], a_format: str, w_format: str,
                 a: str = "uniform", w: str = "uniform", *, corner: bool = True,
                 scale: np.ndarray | int | None = None) -> Workload:
        (m, k, n) = size
        arrays = {"a": operand((m, k), a_format, a), "w": operand((k, n), w_format, w)}
        if config.output == "scaled":
            arrays["scale"] = (rng.integers(0, SCALE.high, n, endpoint=True) if scale is None
                               else np.full(n, scale))
        return Workload(f"{label}, {a_format} x {w_format}", arrays,
                        {"a_format": a_format, "w_format": w_format}, corner)

    def formats(family: str, other: str | None = None, a_bits: int = config.max_a_bits,
                w_bits: int = config.max_w_bits) -> tuple[str, str]:
        return f"{family}{a_bits}", f"{other or family}{w_bits}"

    rows, cols, word = config.rows, config.cols, config.word
    full = rows, min(word, config.max_k), cols
    odd = rows + 1, min(2 * word + 1, config.max_k), cols + 1
    for family in families:
        yield workload("1x1x1", (1, 1, 1), *formats(family))
        yield workload("one bit", odd, *formats(family, None, 1, 1))
        yield workload("one beyond the array", odd, *formats(family), "ramp", "ramp")
        for a in ("low", "high"):
            for w in ("low", "high"):
                yield workload(f"A {a}, W {w}", full, *formats(family), a, w, scale=SCALE.high)
    yield workload("extremes", odd, *formats("int", "uint"), "extremes", "extremes")
    yield workload("extremes", odd, *formats("uint", "int"), "extremes", "extremes")
    yield workload("several tiles", (3 * rows, full[1], 2 * cols), *formats("int", None, 1, 1))
    for a_bits, w_bits in {(1, config.max_w_bits), (config.max_a_bits, 1),
                           (-(-config.max_a_bits // 2), -(-config.max_w_bits // 2))}:
        for family in families:
            yield workload("fewer bits", odd, *formats(family, None, a_bits, w_bits))
    # One sum that needs every bit of the accumulator, with as many planes as are practical.
    pairs = config.max_a_bits * config.max_w_bits if config.serial else 1
    words = min(config.max_words, max(1, MAX_PAIRS // pairs))
    longest = min(config.max_k, words * word)
    for family, w in (("uint", "high"), ("bipolar", "low"), ("bipolar", "high"), ("int", "low")):
        yield workload(f"longest, K = {longest}", (1, longest, 1), *formats(family), w, w,
                       scale=SCALE.high)
    while True:
        bits = [int(rng.integers(1, highest, endpoint=True))
                for highest in (config.max_a_bits, config.max_w_bits)]
        family = str(rng.choice(families))
        other = family if family == "bipolar" else str(rng.choice(families[:2]))
        most = min(3 * word, config.max_k)
        m, k, n = (int(rng.integers(1, size, endpoint=True))
                   for size in (2 * rows + 1, most, 2 * cols + 1))
        yield workload(f"random {m}x{k}x{n}", (m, k, n), *formats(family, other, *bits),
                       corner=False)


MODEL = BitplaneModel()
