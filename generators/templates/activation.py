"""The activation template."""

from systolith.generators.template import Template
from systolith.hdl.activation.config import ActivationConfig
from systolith.hdl.activation.core import ActivationCore, latency

TEMPLATE = Template(
    name="activation",
    summary="GELU, SiLU, sigmoid, tanh and exp: tables, lines, parabolas, integer polynomials.",
    config=ActivationConfig,
    component=ActivationCore,
    model="systolith.sim.activation:MODEL",
    latency=latency,
    reference="R. Sarkar et al., Edge-MoE, ICCAD 2023 (GELU as a table of the difference to ReLU); "
              "S. Kim et al., I-BERT: Integer-only BERT quantization, ICML 2021 (integer "
              "polynomials)",
    reproduces=("GELU within 9.7e-5 from a table of 177 entries (Edge-MoE)",
                "integer GELU within 0.018, integer exp within 1.9e-3 (I-BERT)"),
    presets={
        "int8": {},
        "edge_moe": {"lanes": 2, "x_format": "int32", "x_fraction": 22, "y_format": "int32",
                     "y_fraction": 22, "segments": 176, "segment_fraction": 5,
                     "fit": "endpoints", "precision": 22},
        "bf16": {"lanes": 2, "function": "silu", "implementation": "polynomial",
                 "x_format": "bf16", "y_format": "bf16"},
        "sigmoid": {"lanes": 3, "function": "sigmoid", "implementation": "table",
                    "x_format": "int12", "x_fraction": 8, "y_format": "uint8"},
        "exp": {"lanes": 1, "function": "exp", "x_format": "bf16", "y_format": "bf16"},
        "i_gelu": {"lanes": 1, "implementation": "integer"},
        "i_exp": {"lanes": 2, "function": "exp", "implementation": "integer",
                  "x_format": "int10", "x_fraction": 6, "y_format": "uint9", "y_fraction": 8},
    },
)
