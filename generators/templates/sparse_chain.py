"""Registration of the sparse chain."""

from systolith.generators.template import Template
from systolith.hdl.sparse_chain.config import SparseChainConfig
from systolith.hdl.sparse_chain.core import SparseChainCore, latency

TEMPLATE = Template(
    name="sparse_chain",
    summary="GEMM on chains that skip pruned weights: dense, N:M, zero blocks, mixed precision.",
    config=SparseChainConfig,
    component=SparseChainCore,
    model="systolith.sim.sparse_chain:MODEL",
    latency=latency,
    reference="S. Zeng et al., FlightLLM: efficient large language model inference with a "
              "complete mapping flow on FPGAs, FPGA 2024, section 3 (configurable sparse DSP "
              "chain); arXiv 2401.03868",
    reproduces=("two MACs per multiplier", "M/N columns per cycle of an N:M block"),
    presets={
        "small": {"chains": 2, "cells": 8, "max_m": 8, "max_speedup": 4, "buffer_depth": 32},
        "plain": {"chains": 3, "cells": 4, "group": 1, "lanes": 1, "max_m": 4, "max_speedup": 4,
                  "max_tokens": 1, "buffer_depth": 4},
        "quantized": {"chains": 2, "cells": 8, "max_m": 8, "max_speedup": 2, "max_tokens": 8,
                      "buffer_depth": 8, "weights": "quantized", "planes": 2},
        "dense": {"chains": 1, "cells": 4, "group": 1, "max_m": 4, "max_speedup": 2,
                  "max_tokens": 8, "buffer_depth": 4, "weights": "dense", "w_format": "int4"},
    },
)
