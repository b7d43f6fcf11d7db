"""The sparse chain in numpy: golden model, driver, stimulus and cycle model."""

from collections.abc import Iterator, Mapping, Set
from dataclasses import replace

import numpy as np

from systolith.hdl.errors import Error
from systolith.hdl.formats import IntegerFormat
from systolith.hdl.formats.patterns import Pattern
from systolith.hdl.sparse_chain.config import (
    INT8,
    PATTERN_LANES,
    SCALE,
    UNIT_SCALE,
    SparseChainConfig,
)
from systolith.sim.frames import Beats
from systolith.sim.model import Arrays, Job, Model, Refusal, Workload
from systolith.sim.operands import arguments, ceil_div, elements, integers, result_dtype
from systolith.sim.sparse import PackedMatrix, QuantizedMatrix
from systolith.sim.sparse.pruning import as_array
from systolith.sim.sparse.quantizing import check_codes, check_groups, expand
from systolith.sim.sparse_chain import driver
from systolith.sim.sparse_chain.cycles import cycles
from systolith.sim.sparse_chain.stimulus import refused, stimulus

WRONG_INDICES = 3            # of each pattern that are tried at least


class SparseChainModel(Model):
    """C = A · W, W in blocks that are dense, N:M-sparse or zero.

    Arguments of a call:

    - ``a`` (M, K), int8;
    - ``w`` (K, N), int8 or int4 as ``w_format`` says: an array, a scipy.sparse matrix, or a
      :class:`PackedMatrix`;
    - ``patterns``, optional: the pattern of all blocks, as text, or a pattern byte for each, shape
      (K blocks, N blocks), for blocks of ``cells`` rows and chains · max_speedup columns. By
      default a packed matrix of such blocks keeps its own, and any other matrix gets the smallest
      pattern that holds each block. With ``weights: dense`` the core prunes to them;
    - with ``weights: quantized``, ``bits`` (K blocks, N blocks) and ``scales`` (K blocks, N blocks,
      chains), optional: then ``w`` are codes. A :class:`QuantizedMatrix` as ``w`` has all three;
      without, weights are codes of 8 bits that stand for themselves.

    The result is ``c``, shape (M, N), int32 where every sum fits, else int64.
    """

    config = SparseChainConfig

    def check(self, config: SparseChainConfig, workload: Workload) -> Workload:
        quantized = config.weights == "quantized"
        given = arguments(workload, ("a", "w"), {
            "patterns": None, **({"bits": None, "scales": None} if quantized else {})})
        w, patterns = given["w"], given["patterns"]
        bits, scales = given.get("bits"), given.get("scales")
        if (bits is None) != (scales is None):
            raise Error("bits and scales belong together: give both or none")
        block = config.cells, config.block_columns
        if quantized and isinstance(w, QuantizedMatrix) and bits is None:
            if w.codes.block != block or w.scales.shape[2] != config.chains:
                raise Error(f"w is quantized in blocks of {w.codes.block} with {w.scales.shape[2]} "
                            f"scales each; this core takes blocks of {block} with {config.chains}")
            bits, scales, w = w.bits, w.scales, w.codes
        if (patterns is None and isinstance(w, PackedMatrix)
                and w.block == block):
            patterns = w.patterns
        a = elements("a", given["a"], ("M", "K"), INT8)
        w = elements("w", as_array(w) if hasattr(w, "toarray") else w, ("K", "N"),
                     config.weight)
        if a.shape[1] != w.shape[0]:
            raise Error(f"a has {a.shape[1]} columns and w has {w.shape[0]} rows; both are K and "
                        "must be equal")
        if w.shape[0] > config.max_k:
            raise Error(f"K is {w.shape[0]}, and the activation buffer holds at most "
                        f"buffer_depth * cells = {config.max_k}")
        if config.weights == "dense" and patterns is not None:
            codes = driver.compress(config, np.zeros_like(w), patterns).patterns
        else:
            codes = driver.compress(config, w, patterns).patterns
        arrays = {"a": a, "w": w, "patterns": codes}
        if quantized:
            arrays |= _groups(config, w, codes, bits, scales)
        return replace(workload, arrays=arrays, settings={})

    def golden(self, config: SparseChainConfig, workload: Workload) -> dict[str, np.ndarray]:
        """Plain matrix product with the weights as they are after decompression, pruning and
        dequantization."""
        w = driver.packed(config, workload).toarray()
        if config.weights == "quantized":
            w = expand(w, (config.cells, config.block_columns), workload.arrays["bits"],
                       workload.arrays["scales"])
        c = workload.arrays["a"] @ w.astype(np.int64)
        return {"c": c.astype(result_dtype(config.acc)), "flags": 0}

    def pack(self, config: SparseChainConfig, workload: Workload) -> Job:
        return driver.pack(config, workload)

    def expect(self, config: SparseChainConfig, workload: Workload, outputs: Arrays,
               pad: int | None = None) -> dict[str, Beats]:
        return driver.expect(config, workload, outputs, pad)

    def unpack(self, config: SparseChainConfig, workload: Workload,
               beats: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        return driver.unpack(config, workload, beats)

    def cycles(self, config: SparseChainConfig, workload: Workload) -> int:
        return cycles(config, driver.Tiling.of(config, workload), workload.arrays["patterns"],
                      workload.arrays.get("bits"))

    def stalled_input(self, config: SparseChainConfig, workload: Workload) -> int | None:
        """Beats of weights that are put together, or pruned, first count too, in no model."""
        return 0 if config.weights == "kept" else None

    def ahead(self, config: SparseChainConfig) -> Mapping[str, int]:
        return {"a": 1, "p": 1, "w": 2}

    def filled(self, config: SparseChainConfig, workload: Workload) -> Mapping[str, int]:
        return {"a": 0, "w": 0} if config.weights == "kept" else {"a": 0}

    def length_flags(self, config: SparseChainConfig) -> Set[str]:
        """With fewer activations, blocks may lie beyond them."""
        return super().length_flags(config) | {"pattern"}

    def refused(self, config: SparseChainConfig) -> Iterator[Refusal]:
        """Rounds that there is no room for; patterns of blocks that are none, or beyond the
        activations; wrong indices; widths, or patterns, of weights that are none."""
        users = {stream.name: 1 << stream.tuser_bits for stream in config.streams}
        for rounds in range(config.max_log2_rounds + 1, users["a"]):
            yield Refusal("a_rounds", users={"a": rounds}, like={"a": config.max_log2_rounds})
        yield from self._wrong_patterns(config)
        yield from self._wrong_indices(config)
        yield from self._wrong_lengths(config)
        known = {pattern.code for pattern in config.patterns if pattern.n}
        if config.weights == "quantized":
            known = {bits | index_bits << 4 for bits in range(3, 9)
                     for index_bits in (0, *range(2, config.index_bits + 1))}
        if config.weights != "kept":
            for user in sorted({*range(users["w"])} - known):
                yield Refusal("w_format", users={"w": user})

    def _wrong_patterns(self, config: SparseChainConfig) -> Iterator[Refusal]:
        """Bytes a bit away from one that is known, and one for a block without activations; the
        block counts as one of zeros."""
        known = {pattern.code for pattern in config.patterns}
        near = {code ^ 1 << bit for code in known for bit in range(8)} - known
        first = max(config.patterns).code

        def tried(blocks: int) -> tuple[Workload, Beats, list[Beats]]:
            """A workload of so many blocks, its pattern bytes, and its weights without one."""
            shape = blocks * config.cells, config.block_columns
            workload = self.check(config, refused(config, shape, np.full((blocks, 1), first)))
            job = self.pack(config, workload)
            w = job.inputs["w"]
            frame = np.r_[0, w.last.cumsum()[:-1]]
            return workload, job.inputs["p"], [
                replace(w, data=np.where(frame[:, None] == block, 0, w.data))
                for block in range(blocks)]

        most = min(config.buffer_depth, PATTERN_LANES)
        workload, p, without = tried(most)
        for index, code in enumerate(sorted(code for code in near if code % 32)):   # not skipped
            block, codes = index % most, p.data.copy()
            codes[0, block] = code
            yield Refusal("pattern", data={"p": replace(p, data=codes)},
                          like_data={"w": without[block]}, workload=workload)
        # In place of the last block one that there are no activations for, in the same beat and in
        # the next one.
        for blocks in sorted({min(most, 2), most}):
            workload, p, without = tried(blocks)
            for place in range(blocks, 2 * PATTERN_LANES):
                codes = np.zeros(2 * PATTERN_LANES, np.int64)
                codes[[*range(blocks - 1), place]] = first
                used = codes[:place // PATTERN_LANES * PATTERN_LANES + PATTERN_LANES]
                beyond = Beats.frame(used.reshape(-1, PATTERN_LANES), int(p.user[0]))
                yield Refusal("pattern", data={"p": beyond}, like_data={"w": without[-1]},
                              workload=workload)

    def _wrong_indices(self, config: SparseChainConfig) -> Iterator[Refusal]:
        """Indices that do not follow one another, and such beyond their group, in every chain."""
        if config.weights == "dense":
            return
        rng = np.random.default_rng(0)
        shape, width = (config.cells, config.block_columns), config.weight.bits
        for pattern in config.patterns:
            if not 0 < pattern.n < pattern.m:
                continue
            workload = self.check(config, refused(config, shape, np.array([[pattern.code]])))
            beats = self.pack(config, workload).inputs["w"]
            right = beats.data
            for number in range(max(WRONG_INDICES, config.chains)):
                cell = int(rng.integers(config.cells))
                place = number % config.chains * config.cells + cell
                if pattern.n > 1:
                    following = place + (cell % pattern.n == 0)
                    wrong = right.copy()
                    rows, mask = self._index_of(config, workload, pattern, rng)
                    wrong[rows, following] = (right[rows, following] & ~mask
                                              | right[rows, following - 1] & mask)
                    yield Refusal("index_order", data={"w": replace(beats, data=wrong)},
                                  workload=workload)
                if pattern.m < config.max_m and config.weights == "kept":
                    wrong = right.copy()
                    wrong[int(rng.integers(len(right))), place] |= pattern.m << width
                    yield Refusal("index_range", data={"w": replace(beats, data=wrong)},
                                  like_data={"w": beats}, workload=workload)

    def _wrong_lengths(self, config: SparseChainConfig) -> Iterator[Refusal]:
        """Frames of weights that are not kept ones without all of the last column, which counts as
        zeros, or with one more, which is dropped."""
        if config.weights == "kept":
            return
        pattern = max(config.patterns)
        workload = self.check(config, refused(
            config, (config.cells, config.block_columns), np.array([[pattern.code]])))
        w, column = self.pack(config, workload).inputs["w"], self._column(config, workload, pattern)
        user = int(w.user[0])
        cleared = w.data.copy()
        cleared[-column:] = 0
        for missing in range(1, min(column, len(w) - column) + 1):
            yield Refusal("w_short", data={"w": Beats.frame(w.data[:-missing], user)},
                          like_data={"w": replace(w, data=cleared)}, workload=workload)
        longer = np.concatenate([w.data, w.data[-column:]])
        yield Refusal("w_long", data={"w": Beats.frame(longer, user)}, like_data={"w": w},
                      workload=workload)

    def _column(self, config: SparseChainConfig, workload: Workload, pattern: Pattern) -> int:
        """Beats of a column of each chain, in the first block."""
        if config.weights == "dense":
            return pattern.m
        return sum(ceil_div(bits, config.planes)
                   for bits in (int(workload.arrays["bits"][0, 0]), pattern.index_bits))

    def _index_of(self, config: SparseChainConfig, workload: Workload, pattern: Pattern,
                  rng: np.random.Generator) -> tuple[slice, int]:
        """Beats that hold the indices of some elements of a block, and their bits there."""
        if config.weights == "kept":
            beat = int(rng.integers(config.max_speedup * pattern.n // pattern.m))
            return slice(beat, beat + 1), -1 << config.weight.bits
        column = self._column(config, workload, pattern)
        end = 1 + column * int(rng.integers(1, config.max_speedup * pattern.n // pattern.m,
                                            endpoint=True))
        return slice(end - ceil_div(pattern.index_bits, config.planes), end), -1

    def utilization(self, config: SparseChainConfig, workload: Workload, cycles: int) -> float:
        """Products of kept weights over those that the cells offer in ``cycles``.

        A block of pattern N:M keeps N/M of its weights; the padding of the last blocks does not
        count.
        """
        codes = workload.arrays["patterns"]
        tokens, (k, n) = len(workload.arrays["a"]), workload.arrays["w"].shape
        rows = np.minimum(config.cells, k - config.cells * np.arange(codes.shape[0]))
        columns = np.minimum(config.block_columns,
                             n - config.block_columns * np.arange(codes.shape[1]))
        kept = sum(pattern.n / pattern.m * int(rows @ (codes == pattern.code) @ columns)
                   for pattern in config.patterns)
        return tokens * kept / (config.chains * config.cells * config.lanes * cycles)

    def never(self, config: SparseChainConfig, stream: str, codes: np.ndarray) -> np.ndarray:
        if stream == "c":
            return abs(codes) > config.max_k * INT8.low * config.weight.low
        if stream != "p":
            return super().never(config, stream, codes)
        return ~np.isin(codes, [0, *(pattern.code for pattern in config.patterns)])

    def stimulus(self, config: SparseChainConfig, rng: np.random.Generator) -> Iterator[Workload]:
        for workload in stimulus(config, rng):
            yield self.check(config, workload)


def _groups(config: SparseChainConfig, w: np.ndarray, patterns: np.ndarray, bits,
            scales) -> dict[str, np.ndarray]:
    """Widths and scales of checked codes."""
    if bits is None:
        bits, scales = np.full(patterns.shape, INT8.bits), np.full((1, 1, 1), UNIT_SCALE)
        scales = np.broadcast_to(scales, (*patterns.shape, config.chains))
    bits = elements("bits", bits, ("K blocks", "N blocks"), IntegerFormat(4, signed=False))
    scales = integers("scales", scales, ("K blocks", "N blocks", "chains"), 0, SCALE.high)
    check_groups(patterns, bits, scales)
    if scales.shape[2] != config.chains:
        raise Error(f"scales has {scales.shape[2]} for each block, and there are {config.chains} "
                    "chains")
    check_codes(w, (config.cells, config.block_columns), bits)
    return {"bits": bits, "scales": scales}


MODEL = SparseChainModel()
