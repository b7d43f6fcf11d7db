"""Registration of the bit-serial core."""

from systolith.generators.template import Template
from systolith.hdl.bitserial.config import BitserialConfig
from systolith.hdl.bitserial.core import BitserialCore, latency

TEMPLATE = Template(
    name="bitserial",
    summary="Matrix multiply with bit-serial weights, fp16 or int8 activations, a type per group.",
    config=BitserialConfig,
    component=BitserialCore,
    model="systolith.sim.bitserial:MODEL",
    latency=latency,
    reference="Y. Chen et al., BitMoD: bit-serial mixture-of-datatype LLM acceleration, HPCA 2025, "
              "arXiv 2411.11745",
    reproduces=("multiply-accumulates per cycle and PE: 1 int8, 4/3 int6, 2 of 4 and 3 bits",
                "a group of 128 weights of 4 or 3 bits in 64 cycles, scaling hidden"),
    presets={
        "trunc": {"rows": 2, "cols": 3, "group": 16},
        "rne": {"rows": 3, "cols": 2, "group": 20, "rounding": "rne", "special_decode": "naf"},
        "int8": {"rows": 2, "cols": 2, "group": 16, "a_format": "int8", "acc_width": 32},
        "masked": {"rows": 1, "cols": 1, "group": 16, "mask_zero_lanes": True, "guard": 0,
                   "rounding": "rne"},
    },
)
