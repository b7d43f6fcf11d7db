"""Registration of the systolic GEMM core."""

from systolith.generators.template import Template
from systolith.hdl.systolic.config import SystolicConfig
from systolith.hdl.systolic.core import SystolicCore, latency

TEMPLATE = Template(
    name="systolic",
    summary="Integer GEMM on a systolic mesh, weight- or output-stationary.",
    config=SystolicConfig,
    component=SystolicCore,
    model="systolith.sim.systolic:MODEL",
    latency=latency,
    reference="H. T. Kung, Why systolic architectures?, IEEE Computer 15(1), 1982; requantization: "
              "B. Jacob et al., Quantization and training of neural networks for efficient "
              "integer-arithmetic-only inference, CVPR 2018",
    reproduces=("PE utilization of at least 99 % on 256 x 256 x 256 int8 with 16 x 16 PEs",),
    presets={
        "ws_8x8_int8": {},
        "os_8x8_int8": {"dataflow": "os"},
    },
)
