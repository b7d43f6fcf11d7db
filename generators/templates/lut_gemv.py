"""Registration of the table-lookup matrix-vector core."""

from systolith.generators.template import Template
from systolith.hdl.lut_gemv.config import LutGemvConfig
from systolith.hdl.lut_gemv.core import LutGemv, latency

TEMPLATE = Template(
    name="lut_gemv",
    summary="Matrix-vector multiply by table lookup, weights of 1 to 4 bits.",
    config=LutGemvConfig,
    component=LutGemv,
    model="systolith.sim.lut_gemv:MODEL",
    latency=latency,
    reference="J. Wei et al., T-MAC: CPU renaissance via table lookup for low-bit LLM deployment "
              "on edge, EuroSys 2025, arXiv 2407.00088",
    reproduces=("cycles linear in the bits of a weight",
                "a quarter of the table storage of plain fp16 tables"),
    presets={
        "exact": {"max_k": 256},
        "fp16": {"a_format": "fp16", "table": "int8", "rows": 3, "act_group": 12, "max_k": 48},
        "one_row": {"rows": 1, "table": "int8", "act_group": 8, "max_k": 40, "technology": "ecp5"},
    },
)
