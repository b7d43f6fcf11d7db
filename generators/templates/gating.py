"""Registration of the gating core."""

from systolith.generators.template import Template
from systolith.hdl.gating.config import GatingConfig
from systolith.hdl.gating.core import GatingCore, latency

TEMPLATE = Template(
    name="gating",
    summary="Gated recurrence (MLGRU) and gated linear units (SwiGLU), element by element.",
    config=GatingConfig,
    component=GatingCore,
    model="systolith.sim.gating:MODEL",
    latency=latency,
    reference="R.-J. Zhu et al., Scalable MatMul-free language modeling, arXiv 2406.02528, section "
              "3.3; N. Shazeer, GLU variants improve transformer, arXiv 2002.05202",
    presets={
        "mlgru": {"max_channels": 200},
        "bounded": {"lanes": 3, "max_channels": 64, "x_format": "int8", "x_fraction": 4,
                    "y_format": "int12", "lower_bound": "stream", "precision": 8,
                    "implementation": "table"},
        "saturating": {"lanes": 1, "max_channels": 9, "x_format": "int10", "x_fraction": 2,
                       "y_format": "int6", "y_fraction": 3},
        "glu": {"unit": "glu", "lanes": 2},
        "glu_int8": {"unit": "glu", "lanes": 3, "x_format": "int8", "x_fraction": 4,
                     "y_format": "int8", "implementation": "polynomial"},
    },
)
