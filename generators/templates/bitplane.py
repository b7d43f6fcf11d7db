"""Registration of the bit-plane GEMM core."""

from systolith.generators.template import Template
from systolith.hdl.bitplane.config import BitplaneConfig
from systolith.hdl.bitplane.core import BitplaneCore, latency

TEMPLATE = Template(
    name="bitplane",
    summary="GEMM of 1- to 8-bit operands from ones counted in bit planes.",
    config=BitplaneConfig,
    component=BitplaneCore,
    model="systolith.sim.bitplane:MODEL",
    latency=latency,
    reference="bipolar-INT arbitrary-precision GEMM, arXiv 2409.17870; with one bit "
              "M. Rastegari et al., XNOR-Net, ECCV 2016",
    presets={
        "serial": {"word": 16, "max_k": 256},
        "parallel": {"rows": 2, "cols": 3, "word": 9, "max_a_bits": 4, "max_w_bits": 3,
                     "planes": "parallel", "max_k": 100, "popcount_stages": 3},
        "xnor": {"rows": 3, "cols": 5, "word": 33, "max_a_bits": 1, "max_w_bits": 1,
                 "output": "scaled", "max_k": 200, "popcount_stages": 1},
        "gemv": {"rows": 1, "cols": 6, "word": 8, "max_a_bits": 8, "max_w_bits": 1, "max_k": 8},
        "small_trees": {"planes": "parallel", "rows": 1, "cols": 2, "word": 8, "max_a_bits": 2,
                        "max_w_bits": 2, "popcount_stages": 4, "max_k": 64},
        "one_plane": {"rows": 2, "cols": 2, "word": 8, "max_a_bits": 1, "max_w_bits": 4,
                      "max_k": 64},
    },
)
