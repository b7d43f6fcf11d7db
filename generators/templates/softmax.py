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
    reference="online: T. Dao et al., FlashAttention, NeurIPS 2022; two_pass: M. Dukhan and "
              "A. Ablavatski, The two-pass softmax algorithm, 2020; single_pass: R. Sarkar et al., "
              "Edge-MoE, ICCAD 2023; base2: J. R. Stevens et al., Softermax: Hardware/software "
              "co-design of an efficient softmax for transformers, DAC 2021; integer: G. Islamoglu "
              "et al., ITA: An energy-efficient attention and softmax accelerator for quantized "
              "transformers, ISLPED 2023; ibert: S. Kim et al., I-BERT: Integer-only BERT "
              "quantization, ICML 2021",
    presets={
        "online": {"max_length": 64},
        "two_pass": {"algorithm": "two_pass", "lanes": 3, "max_length": 20, "in_format": "uint6",
                     "precision": 9, "out_format": "uint10"},
        "three_pass": {"algorithm": "three_pass", "lanes": 2, "max_length": 24, "in_format":
                       "int12", "in_fraction": 5, "precision": 14, "additive_mask": True},
        "single_pass": {"algorithm": "single_pass", "lanes": 1, "max_length": 12,
                        "store": "replay", "precision": 12, "in_format": "fp16",
                        "additive_mask": True},
        "bf16": {"lanes": 2, "max_length": 24, "in_format": "bf16", "out_format": "bf16"},
        "log": {"algorithm": "three_pass", "lanes": 2, "max_length": 12, "in_format": "bf16",
                "output": "log", "out_format": "int12", "out_fraction": 6, "store": "replay"},
        "integer": {"algorithm": "integer", "max_length": 64},
        "integer_serial": {"algorithm": "integer", "lanes": 3, "max_length": 20, "dividers": 2,
                           "step_shift": 0, "in_format": "uint6", "additive_mask": True},
        "base2": {"algorithm": "base2", "max_length": 64},
        "base2_narrow": {"algorithm": "base2", "lanes": 3, "max_length": 40, "in_format": "uint7",
                         "in_fraction": 0, "precision": 9, "sum_integer": 3, "sum_fraction": 4,
                         "out_format": "uint6", "store": "replay"},
        "ibert": {"algorithm": "ibert", "lanes": 2, "max_length": 20, "dividers": 2,
                  "additive_mask": True},
        "integer_replay": {"algorithm": "integer", "lanes": 1, "max_length": 16,
                           "store": "replay", "step_shift": 2, "out_format": "uint5"},
    },
)
