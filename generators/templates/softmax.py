"""Registration of the softmax core."""

from systolith.generators.template import Template
from systolith.hdl.softmax.config import SoftmaxConfig
from systolith.hdl.softmax.core import SoftmaxCore, latency

TEMPLATE = Template(
    name="softmax",
    summary="Softmax of rows of logits, streaming, by an algorithm of choice.",
    config=SoftmaxConfig,
    component=SoftmaxCore,
    model="systolith.sim.softmax:MODEL",
    latency=latency,
    reference="integer: G. Islamoglu et al., ITA: An energy-efficient attention and softmax "
              "accelerator for quantized transformers, ISLPED 2023",
    presets={
        "integer": {"max_length": 64},
        "integer_serial": {"lanes": 3, "max_length": 20, "dividers": 2, "step_shift": 0,
                           "in_format": "uint6", "additive_mask": True},
        "integer_replay": {"lanes": 1, "max_length": 16, "store": "replay", "step_shift": 2,
                           "out_format": "uint5"},
    },
)
