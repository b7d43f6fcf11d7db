"""Registration of the ternary matrix-vector core."""

from systolith.generators.template import Template
from systolith.hdl.ternary.config import TernaryConfig
from systolith.hdl.ternary.core import Ternary, latency

TEMPLATE = Template(
    name="ternary",
    summary="Matrix-vector multiply with weights -1, 0, 1: additions and subtractions only.",
    config=TernaryConfig,
    component=Ternary,
    model="systolith.sim.ternary:MODEL",
    latency=latency,
    reference="R.-J. Zhu et al., Scalable MatMul-free language modeling, arXiv 2406.02528",
    presets={
        "base3": {"max_k": 400},
        "2bit": {"packing": "2bit", "rows": 3, "word": 8, "a_lanes": 2, "max_k": 64,
                 "output": "scaled"},
        "bitlinear": {"rows": 4, "word": 15, "a_lanes": 3, "a_format": "int16",
                      "output": "scaled", "max_k": 90},
        "one_row": {"rows": 1, "word": 5, "a_lanes": 1, "a_format": "int16", "max_k": 20},
    },
)
