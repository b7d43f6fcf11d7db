"""Registration of the systolic GEMM core."""

from systolith.generators.template import Template
from systolith.hdl.systolic.config import SystolicConfig
from systolith.hdl.systolic.core import SystolicCore
from systolith.hdl.systolic.timing import latency

TEMPLATE = Template(
    name="systolic",
    summary="GEMM of integers, floats or blocks on a systolic mesh, weight- or output-stationary.",
    config=SystolicConfig,
    component=SystolicCore,
    model="systolith.sim.systolic:MODEL",
    latency=latency,
    reference="H. T. Kung, Why systolic architectures?, IEEE Computer 15(1), 1982; requantization: "
              "B. Jacob et al., Quantization and training of neural networks for efficient "
              "integer-arithmetic-only inference, CVPR 2018",
    reproduces=("PE utilization of at least 99 % on 256 x 256 x 256 int8 with 16 x 16 PEs",),
    presets={
        "ws": {},
        "os": {"dataflow": "os"},
        "ws_requant": {"output": "requant"},
        "os_requant": {"dataflow": "os", "output": "requant", "rounding": "rne"},
        "single_pe": {"rows": 1, "cols": 1},
        "single_pe_os": {"rows": 1, "cols": 1, "dataflow": "os", "mac_stages": 1},
        "row": {"rows": 1, "cols": 7, "output": "requant", "rounding": "floor"},
        "column_os": {"rows": 7, "cols": 1, "dataflow": "os", "output": "requant",
                      "rounding": "half_up"},
        "shallow": {"rows": 3, "cols": 11, "acc_depth": 1, "mac_stages": 1},
        "narrow": {"rows": 2, "cols": 5, "a_format": "int2", "w_format": "uint2", "max_k": 16,
                   "acc_depth": 5, "mac_stages": 4},
        "wide_os": {"rows": 5, "cols": 3, "dataflow": "os", "a_format": "int16",
                    "w_format": "int16", "max_k": 1 << 24, "mac_stages": 3},
        "unsigned": {"rows": 4, "cols": 9, "a_format": "uint8", "w_format": "uint8",
                     "acc_depth": 7},
        "mixed_requant": {"rows": 4, "cols": 9, "a_format": "uint8", "w_format": "int4",
                          "output": "requant", "out_format": "uint8", "acc_depth": 3},
        "overflowing": {"rows": 3, "cols": 3, "acc_width": 14, "max_k": 1},
        "overflowing_os": {"rows": 3, "cols": 4, "dataflow": "os", "a_format": "uint16",
                           "w_format": "uint16", "acc_width": 20, "output": "requant",
                           "out_format": "int16"},
        "widest": {"rows": 13, "cols": 2, "a_format": "int16", "w_format": "int16",
                   "acc_width": 64, "output": "requant", "rounding": "rne",
                   "out_format": "int16"},
        "fp8_os": {"rows": 2, "cols": 2, "dataflow": "os", "a_format": "fp8e5m2",
                   "w_format": "fp8e5m2", "mac_stages": 3},
        "bf16": {"rows": 3, "cols": 2, "a_format": "bf16", "w_format": "bf16", "acc_depth": 8},
        "ovp_os": {"rows": 2, "cols": 4, "dataflow": "os", "a_format": "ovp8", "w_format": "bf16",
                   "add_stages": 3},
        "mx": {"rows": 2, "cols": 2, "a_format": "mxfp4/4", "w_format": "mxfp4/4", "acc_depth": 5},
        "bitmod_os": {"rows": 2, "cols": 2, "dataflow": "os", "w_format": "bitmod4/4"},
        "ecp5": {"rows": 3, "cols": 2, "a_format": "uint8", "w_format": "int4",
                 "acc_width": 40, "output": "requant", "technology": "ecp5"},
        "ecp5_os": {"rows": 2, "cols": 3, "dataflow": "os", "w_format": "uint9",
                    "mac_stages": 4, "technology": "ecp5"},
        "ice40_pairs": {"rows": 3, "cols": 4, "max_k": 16, "acc_width": 20, "acc_depth": 5,
                        "technology": "ice40"},
        "ecp5_packed": {"rows": 2, "cols": 6, "w_format": "int4", "acc_depth": 4,
                        "mac_stages": 3, "technology": "ecp5"},
    },
)
