"""The models of cores that stream rows through: drivers give arrays back, stimulus raises every
flag that good traffic can."""

from itertools import islice

import numpy as np
import pytest

from systolith.generators import registry


def made(template, values):
    """A model and a config."""
    found = registry.get(template)
    return found.load_model(), found.config.parse(values)


@pytest.mark.parametrize("template, values", [
    ("activation", {}),
    ("activation", {"lanes": 3, "x_format": "bf16", "y_format": "fp16"}),
    ("norm", {}),
    ("norm", {"lanes": 3, "x_format": "bf16", "affine": "weight"}),
    ("softmax", {"max_length": 50}),
    ("softmax", {"max_length": 50, "lanes": 3, "additive_mask": True}),
    ("softmax", {"max_length": 50, "lanes": 1, "store": "replay"}),
    ("softmax", {"max_length": 20, "lanes": 3, "additive_mask": True, "in_format": "bf16",
                 "out_format": "fp16", "algorithm": "three_pass", "store": "replay"}),
    ("softmax", {"max_length": 20, "output": "log", "out_format": "int8"}),
    ("softmax", {"max_length": 20, "algorithm": "ibert", "in_fraction": 1}),
], ids=str)
def test_beats_give_the_arrays_back(template, values):
    model, config = made(template, values)
    for workload in islice(model.stimulus(config, np.random.default_rng(2)), 30):
        result = model.golden(config, workload)
        job = model.pack(config, workload)
        beats = model.expect(config, workload, result)["y"]
        assert len(beats) == job.outputs["y"]
        for name in job.inputs:
            assert len(beats) == len(job.inputs[name])
            np.testing.assert_array_equal(beats.last, job.inputs[name].last)
        back = model.unpack(config, workload, {"y": beats.data})["y"]
        np.testing.assert_array_equal(back, result["y"])
        assert back.dtype == result["y"].dtype


#: Flags that only bad traffic raises.
TRAFFIC = {"row_short", "row_long", "length_bad", "w_differs", "b_differs", "mask_differs",
           "replay_differs"}


@pytest.mark.parametrize("template, values", [
    ("activation", {"x_format": "bf16", "y_fraction": 6}),
    ("activation", {"function": "exp", "implementation": "integer", "y_fraction": 7}),
    ("norm", {"x_format": "bf16", "x_fraction": 8}),
    ("softmax", {"algorithm": "base2", "max_length": 256, "sum_integer": 3}),
    ("softmax", {"in_format": "bf16", "output": "log", "out_format": "int6",
                 "additive_mask": True}),
], ids=str)
def test_stimulus_raises_every_flag_that_good_traffic_can(template, values):
    model, config = made(template, values)
    seen = 0
    for workload in islice(model.stimulus(config, np.random.default_rng(2)), 40):
        seen |= model.golden(config, workload)["flags"]
    missing = {name for bit, (name, _) in enumerate(config.flags) if not seen >> bit & 1}
    assert missing <= TRAFFIC
