"""Registration of the online pruning unit."""

from systolith.generators.template import Template
from systolith.hdl.topn.config import TopNConfig
from systolith.hdl.topn.core import TopN, latency

TEMPLATE = Template(
    name="topn",
    summary="Online N:M pruning: the N largest of every M elements, with indices in order.",
    config=TopNConfig,
    component=TopN,
    model="systolith.sim.topn:MODEL",
    latency=latency,
    reference="C. Fang et al., Efficient N:M sparse DNN training using algorithm, architecture, "
              "and dataflow co-design, IEEE TCAD 2023 (sparse online reduction engine); "
              "arXiv 2309.13015",
    reproduces=("M cycles per group and lane",),
    presets={
        "int8": {"lanes": 3},
        "all": {"lanes": 2, "x_format": "int3", "max_m": 8, "max_n": 8},
    },
)
