# amaranth: UnusedElaboratable=no
"""One lane of the activation core in Amaranth's simulator against numpy."""

from itertools import islice

import numpy as np
import pytest

from systolith.hdl.activation.config import ActivationConfig
from systolith.hdl.activation.lane import ActivationLane
from systolith.sim.activation import MODEL

ELEMENTS = 40
CONFIGS = [
    {"function": "tanh", "implementation": "polynomial", "x_format": "int10"},
    {"function": "tanh", "x_format": "bf16", "y_format": "fp16"},
    {"function": "sigmoid", "implementation": "table", "x_format": "fp16", "y_format": "uint8"},
    {"function": "sigmoid", "x_format": "uint8", "y_format": "bf16"},
    {"function": "silu", "implementation": "table", "x_format": "int12", "y_format": "uint7"},
    {"function": "silu", "x_format": "bf16", "y_format": "int16", "y_fraction": 15},
    {"function": "gelu", "implementation": "polynomial", "x_format": "fp16", "y_format": "bf16"},
    {"function": "gelu", "x_format": "int32", "x_fraction": 0, "y_format": "bf16"},
    {"function": "gelu", "x_format": "int4", "x_fraction": 4, "y_format": "int32",
     "y_fraction": 32, "precision": 24},
    {"function": "exp", "implementation": "table", "x_format": "uint8", "y_format": "int16"},
    {"function": "exp", "x_format": "fp16", "y_format": "int32", "y_fraction": 30},
    {"function": "exp", "implementation": "polynomial", "x_format": "int32", "x_fraction": 3,
     "y_format": "fp16"},
    {"function": "exp", "implementation": "integer", "x_format": "int3", "x_fraction": 0,
     "y_format": "int2"},
    {"function": "exp", "implementation": "integer", "x_format": "int16", "x_fraction": 15,
     "y_format": "uint32", "y_fraction": 31},
    {"implementation": "integer", "x_format": "int16", "x_fraction": 14, "y_format": "int24"},
    {"implementation": "integer", "x_format": "int2", "x_fraction": 0, "y_format": "uint5"},
]


@pytest.mark.parametrize("values", CONFIGS, ids=str)
def test_every_format(values, evaluate):
    config = ActivationConfig.parse({"lanes": 1, **values})
    codes, expected, cases = [], [], 0
    for workload in islice(MODEL.stimulus(config, np.random.default_rng(3)), 8):
        golden = MODEL.golden(config, workload)
        codes.append(MODEL.pack(config, workload).inputs["x"].data[:ELEMENTS, 0])
        expected.append(MODEL.expect(config, workload, golden)["y"].data[:ELEMENTS, 0])
        cases += 1
    out = evaluate(ActivationLane(config), x=np.concatenate(codes))
    mask = (1 << config.y.bits) - 1
    assert cases == 8
    assert (out["y"] == np.concatenate(expected) & mask).all()
