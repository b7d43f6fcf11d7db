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
)
