"""The sparse chain in numpy: golden model, driver, stimulus and cycle model."""

from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np

from systolith.hdl.errors import Error
from systolith.hdl.sparse_chain.config import INT8, SparseChainConfig
from systolith.sim.frames import Beats
from systolith.sim.model import Arrays, Job, Model, Workload
from systolith.sim.operands import arguments, elements, result_dtype
from systolith.sim.sparse import PackedMatrix
from systolith.sim.sparse.pruning import as_array
from systolith.sim.sparse_chain import driver
from systolith.sim.sparse_chain.cycles import cycles
from systolith.sim.sparse_chain.stimulus import stimulus


class SparseChainModel(Model):
    """C = A · W, W in blocks that are dense, N:M-sparse or zero.

    Arguments of a call:

    - ``a`` (M, K), int8;
    - ``w`` (K, N), int8: an array, a scipy.sparse matrix, or a :class:`PackedMatrix`;
    - ``patterns``, optional: the pattern of all blocks, as text, or a pattern byte for each, shape
      (K blocks, N blocks), for blocks of ``cells`` rows and chains · max_speedup columns. By
      default a packed matrix of such blocks keeps its own, and any other matrix gets the smallest
      pattern that holds each block.

    The result is ``c``, shape (M, N), int32 where every sum fits, else int64.
    """

    config = SparseChainConfig

    def check(self, config: SparseChainConfig, workload: Workload) -> Workload:
        given = arguments(workload, ("a", "w"), {"patterns": None})
        w, patterns = given["w"], given["patterns"]
        if (patterns is None and isinstance(w, PackedMatrix)
                and w.block == (config.cells, config.block_columns)):
            patterns = w.patterns
        a = elements("a", given["a"], ("M", "K"), INT8)
        w = elements("w", as_array(w) if hasattr(w, "toarray") else w, ("K", "N"), INT8)
        if a.shape[1] != w.shape[0]:
            raise Error(f"a has {a.shape[1]} columns and w has {w.shape[0]} rows; both are K and "
                        "must be equal")
        if w.shape[0] > config.max_k:
            raise Error(f"K is {w.shape[0]}, and the activation buffer holds at most "
                        f"buffer_depth * cells = {config.max_k}")
        packed = driver.compress(config, w, patterns)
        return replace(workload, arrays={"a": a, "w": w, "patterns": packed.patterns}, settings={})

    def golden(self, config: SparseChainConfig, workload: Workload) -> dict[str, np.ndarray]:
        """Plain matrix product with the decompressed weights."""
        packed = driver.packed(config, workload)
        c = workload.arrays["a"] @ packed.toarray().astype(np.int64)
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
        return cycles(config, driver.Tiling.of(config, workload), workload.arrays["patterns"])

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

    def stimulus(self, config: SparseChainConfig, rng: np.random.Generator) -> Iterator[Workload]:
        for workload in stimulus(config, rng):
            yield self.check(config, workload)


MODEL = SparseChainModel()
