"""Arrays to beats of the systolic core and back: tiling, padding, packing."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from systolith.hdl.systolic.config import SystolicConfig
from systolith.sim.frames import Beats
from systolith.sim.model import Arrays, Job, Workload
from systolith.sim.operands import ceil_div
from systolith.sim.systolic.golden import columns, computed, on_wire_again, requantize, result
from systolith.sim.systolic.operands import (
    in_whole_tiles,
    on_wire,
    per_step,
    scale_words,
    tiles_per_block,
)

FIRST, LAST = 1, 2                     # tuser of an a frame (ws)
SETTINGS = ("out_zero_point", "clamp_low", "clamp_high")


@dataclass(frozen=True)
class Tiling:
    """How a product is cut into frames; tiles run n outermost, then m, then k.

    Attributes
    ----------
    m, k, n : int
        Sizes of the product; k with the zeros that fill blocks up to whole K tiles.
    m_tile, k_tile, n_tile : int
        Sizes of a full tile.
    frame_rows : int array, shape (m tiles,)
        Beats of the c frame of every M tile.
    """

    m: int
    k: int
    n: int
    m_tile: int
    k_tile: int
    n_tile: int
    frame_rows: np.ndarray

    @classmethod
    def of(cls, config: SystolicConfig, workload: Workload) -> "Tiling":
        """The tiling of a checked workload."""
        (m, k), n = workload.arrays["a"].shape, workload.arrays["w"].shape[1]
        if config.dataflow == "ws":
            m_tile, k_tile = config.acc_depth, config.rows
            if config.scales:
                whole, rest = divmod(k, config.block)
                k = (whole * tiles_per_block(config) + ceil_div(rest, k_tile)) * k_tile
            frame_rows = np.minimum(m_tile, m - np.arange(0, m, m_tile))
        else:
            m_tile, k_tile = config.rows, k
            frame_rows = np.full(ceil_div(m, m_tile), m_tile)
        return cls(m, k, n, m_tile, k_tile, config.cols, frame_rows)

    @property
    def m_tiles(self) -> int:
        return len(self.frame_rows)

    @property
    def k_tiles(self) -> int:
        return ceil_div(self.k, self.k_tile)

    @property
    def n_tiles(self) -> int:
        return ceil_div(self.n, self.n_tile)

    @property
    def c_rows(self) -> int:
        """Beats of c for one N tile."""
        return int(self.frame_rows.sum())


def pack(config: SystolicConfig, workload: Workload) -> Job:
    """Tile and pad the operands of a checked workload into beats."""
    tiling = Tiling.of(config, workload)
    pack_operands = _pack_ws if config.dataflow == "ws" else _pack_os
    inputs = pack_operands(config, tiling, *(
        in_whole_tiles(config, on_wire(workload.arrays[name]), axis)
        for name, axis in (("a", 1), ("w", 0))))
    for name, _ in config.scales:
        words = scale_words(config, workload, name)
        pack_scales = _pack_a_scales if name == "a" else _pack_w_scales
        inputs[f"{name}_scale"] = pack_scales(config, tiling, words)
    writes = {}
    if config.output == "requant":
        inputs["q"] = _pack_q(tiling, workload)
        writes = {name: workload.settings[name] for name in SETTINGS}
    return Job(writes, inputs, {"c": tiling.n_tiles * tiling.c_rows})


def expect(config: SystolicConfig, workload: Workload, outputs: Arrays,
           pad: int | None = None) -> dict[str, Beats]:
    """Beats that carry ``outputs``; lanes that carry nothing hold ``pad``, or what zeros give."""
    tiling = Tiling.of(config, workload)
    shape = tiling.c_rows, tiling.n_tiles * tiling.n_tile
    if pad is not None:
        c = np.full(shape, pad, np.int64)
    elif config.pads_count:
        c, _ = computed(config, workload)
    elif config.output == "raw":
        c = np.zeros(shape, np.int64 if config.acc.bits <= 64 else object)
    else:
        c, _ = requantize(config, workload, np.zeros(shape, np.int64),
                          *columns(workload, shape[1]))
    c[:tiling.m, :tiling.n] = on_wire_again(config, outputs["c"])
    beats = c.reshape(tiling.c_rows, tiling.n_tiles, -1).swapaxes(0, 1).reshape(-1, tiling.n_tile)
    return {"c": _frames(beats, np.tile(tiling.frame_rows, tiling.n_tiles))}


def unpack(config: SystolicConfig, workload: Workload,
           beats: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Put c beats, shape (beats, cols), together into C, shape (M, N)."""
    tiling = Tiling.of(config, workload)
    tiles = beats["c"].reshape(tiling.n_tiles, tiling.c_rows, tiling.n_tile)
    c = tiles.swapaxes(0, 1).reshape(tiling.c_rows, -1)[:tiling.m, :tiling.n]
    return result(config, c)


def _pack_ws(config: SystolicConfig, tiling: Tiling, a: np.ndarray,
             w: np.ndarray) -> dict[str, Beats]:
    m_tiles, k_tiles, n_tiles = tiling.m_tiles, tiling.k_tiles, tiling.n_tiles
    rows, cols = config.rows, config.cols
    blocks = _padded(a, tiling.m, k_tiles * rows).reshape(tiling.m, k_tiles, rows)
    data = np.concatenate([blocks[m:m + tiling.m_tile].swapaxes(0, 1).reshape(-1, rows)
                           for m in range(0, tiling.m, tiling.m_tile)])
    user = np.zeros(k_tiles, np.uint64)
    user[0] |= FIRST
    user[-1] |= LAST
    w_rows = tiling.k if config.lacks_zero else k_tiles * rows
    lengths = np.minimum(rows, w_rows - np.arange(0, w_rows, rows))
    weights = _padded(w, w_rows, n_tiles * cols)
    weights = weights.reshape(-1, n_tiles, cols).swapaxes(0, 1)
    return {
        "a": _frames(np.tile(data, (n_tiles, 1)),
                     np.tile(np.repeat(tiling.frame_rows, k_tiles), n_tiles),
                     np.tile(user, m_tiles * n_tiles)),
        "w": _frames(weights.repeat(m_tiles, axis=0).reshape(-1, cols),
                     np.tile(lengths, n_tiles * m_tiles)),
    }


def _pack_os(config: SystolicConfig, tiling: Tiling, a: np.ndarray,
             w: np.ndarray) -> dict[str, Beats]:
    m_tiles, n_tiles, k = tiling.m_tiles, tiling.n_tiles, tiling.k
    lengths = np.full(n_tiles * m_tiles, k)
    columns = _padded(a, m_tiles * config.rows, k).reshape(m_tiles, config.rows, k).swapaxes(1, 2)
    weights = _padded(w, k, n_tiles * config.cols)
    weights = weights.reshape(k, n_tiles, config.cols).swapaxes(0, 1)
    return {
        "a": _frames(np.tile(columns, (n_tiles, 1, 1)).reshape(-1, config.rows), lengths),
        "w": _frames(weights.repeat(m_tiles, axis=0).reshape(-1, config.cols), lengths),
    }


def _pack_a_scales(config: SystolicConfig, tiling: Tiling, words: np.ndarray) -> Beats:
    if config.dataflow == "ws":
        each = per_step(config, words, 1, tiling.k_tiles)
        data = np.concatenate([each[m:m + tiling.m_tile].T.reshape(-1, 1)
                               for m in range(0, tiling.m, tiling.m_tile)])
        return _frames(np.tile(data, (tiling.n_tiles, 1)),
                       np.tile(np.repeat(tiling.frame_rows, tiling.k_tiles), tiling.n_tiles))
    blocks = words.shape[1]
    each = _padded(words, tiling.m_tiles * config.rows, blocks)
    each = each.reshape(tiling.m_tiles, config.rows, blocks).swapaxes(1, 2)
    return _frames(np.tile(each, (tiling.n_tiles, 1, 1)).reshape(-1, config.rows),
                   np.full(tiling.n_tiles * tiling.m_tiles, blocks))


def _pack_w_scales(config: SystolicConfig, tiling: Tiling, words: np.ndarray) -> Beats:
    if config.dataflow == "ws":
        words = per_step(config, words, 0, tiling.k_tiles)
    steps = len(words)
    each = _padded(words, steps, tiling.n_tiles * config.cols)
    each = each.reshape(steps, tiling.n_tiles, config.cols).swapaxes(0, 1)
    each = each.repeat(tiling.m_tiles, axis=0).reshape(-1, config.cols)
    frame = 1 if config.dataflow == "ws" else steps
    return _frames(each, np.full(len(each) // frame, frame))


def _pack_q(tiling: Tiling, workload: Workload) -> Beats:
    each = np.stack(columns(workload, tiling.n_tiles * tiling.n_tile), axis=1)
    each = each.reshape(tiling.n_tiles, -1)
    return _frames(each.repeat(tiling.m_tiles, axis=0).reshape(-1, 3),
                   np.full(tiling.n_tiles * tiling.m_tiles, tiling.n_tile))


def _padded(matrix: np.ndarray, rows: int, cols: int) -> np.ndarray:
    """Zeros of shape (rows, cols) with ``matrix`` in the corner."""
    out = np.zeros((rows, cols), np.int64)
    out[:matrix.shape[0], :matrix.shape[1]] = matrix
    return out


def _frames(data: np.ndarray, lengths: np.ndarray, user: np.ndarray | None = None) -> Beats:
    """Cut beats into frames of the given lengths, with one ``user`` for each."""
    last = np.zeros(len(data), bool)
    last[lengths.cumsum() - 1] = True
    users = np.zeros(len(data), np.uint64) if user is None else user.repeat(lengths)
    return Beats(data, last, users)
