"""Registration of the streaming dot product."""

from systolith.generators.template import Template
from systolith.hdl.dot.config import LATENCY, DotConfig
from systolith.hdl.dot.dot import Dot

TEMPLATE = Template(
    name="dot",
    summary="Streaming dot product: the example in the documentation.",
    config=DotConfig,
    component=Dot,
    model="systolith.sim.dot:MODEL",
    latency=lambda config: {"latency": LATENCY, "beats_per_cycle": 1,
                            "cycles": f"frames * ceil(length / {config.lanes}) + {LATENCY}"},
    reference="textbook multiply-accumulate; no paper",
    presets={
        "int8": {},
        "one_lane": {"lanes": 1, "x_format": "uint8", "y_format": "int4"},
        "narrow": {"lanes": 3, "acc_width": 12},
    },
    unreachable=(("toggle", r"\w+ (m_axis_z_tlast|slice_z_o_last|o_last|control|held):1->0",
                  "every beat of z is the last of its frame"),),
)
