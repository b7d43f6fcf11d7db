"""The normalization template."""

from systolith.generators.template import Template
from systolith.hdl.norm.config import NormConfig
from systolith.hdl.norm.core import NormCore, latency

TEMPLATE = Template(
    name="norm",
    summary="LayerNorm and RMSNorm of rows in one reading pass.",
    config=NormConfig,
    component=NormCore,
    model="systolith.sim.norm:MODEL",
    latency=latency,
    reference="J. L. Ba et al., Layer normalization, arXiv 1607.06450; B. Zhang and R. Sennrich, "
              "Root mean square layer normalization, NeurIPS 2019; one reading pass as in Edge-MoE "
              "(R. Sarkar et al., ICCAD 2023)",
    presets={
        "int8": {},
        "bf16": {"lanes": 2, "max_length": 40, "x_format": "bf16", "x_fraction": 12,
                 "y_format": "bf16", "affine": "weight"},
        "fixed": {"lanes": 3, "max_length": 100, "x_format": "int12", "x_fraction": 8,
                  "y_format": "int16", "y_fraction": 11, "affine": "none"},
        "one_lane": {"lanes": 1, "max_length": 20, "x_format": "uint8", "y_format": "bf16",
                     "w_format": "int8", "w_fraction": 6, "b_fraction": 24, "precision": 5},
    },
)
