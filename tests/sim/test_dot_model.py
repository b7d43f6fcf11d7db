"""The dot-product model against plain integers."""

import re
from itertools import islice

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from systolith.hdl.dot.config import DotConfig
from systolith.hdl.errors import ConfigError, Error
from systolith.sim.dot import MODEL
from systolith.sim.model import Workload


@st.composite
def calls(draw):
    config = DotConfig.parse({
        "lanes": draw(st.integers(1, 5)), "acc_width": draw(st.integers(4, 63)),
        "x_format": draw(st.sampled_from(["int2", "uint3", "int8", "uint16"])),
        "y_format": draw(st.sampled_from(["uint2", "int5", "int16"]))})
    shape = draw(st.integers(1, 4)), draw(st.integers(1, 17))

    def operand(element):
        row = st.lists(st.integers(element.low, element.high), min_size=shape[1], max_size=shape[1])
        return draw(st.lists(row, min_size=shape[0], max_size=shape[0]))

    return config, operand(config.x), operand(config.y)


def wrap(value, element):
    value %= 1 << element.bits
    return value - (1 << element.bits) if value > element.high else value


@given(calls())
def test_sums_beat_by_beat(call):
    """Consume the packed beats one by one, and compare with the result on whole arrays."""
    config, x, y = call
    workload = MODEL.check(config, Workload("", {"x": x, "y": y}))
    job, result = MODEL.pack(config, workload), MODEL.golden(config, workload)
    sums, acc, overflow = [], 0, False
    x_beats, y_beats = job.inputs["x"], job.inputs["y"]
    np.testing.assert_array_equal(x_beats.last, y_beats.last)
    for a, b, last in zip(x_beats.data.tolist(), y_beats.data.tolist(), x_beats.last, strict=True):
        exact = acc + sum(p * q for p, q in zip(a, b, strict=True))
        acc = wrap(exact, config.z)
        overflow |= acc != exact
        if last:
            sums.append(acc)
            acc = 0
    assert sums == result["z"].tolist()
    assert sums == [wrap(sum(p * q for p, q in zip(*rows, strict=True)), config.z)
                    for rows in zip(x, y, strict=True)]
    assert result["flags"] == (1 if overflow else 0)
    beats = MODEL.expect(config, workload, result)["z"]
    assert job.outputs["z"] == len(beats) == beats.frames
    unpacked = MODEL.unpack(config, workload, {"z": beats.data})["z"]
    np.testing.assert_array_equal(result["z"], unpacked)
    assert unpacked.dtype == result["z"].dtype


def test_automatic_width_holds_the_largest_sum_and_no_less_would():
    config = DotConfig.parse({"lanes": 4, "max_beats": 8, "x_format": "uint8", "y_format": "uint8"})
    assert config.acc_width == 8 + 8 + 5
    flags = [MODEL.golden(config, workload)["flags"] for workload
             in islice(MODEL.stimulus(config, np.random.default_rng(0)), 8)]
    assert not any(flags)
    narrower = DotConfig.parse({**config.model_dump(), "acc_width": 20})
    full = {name: np.full((1, 32), 255) for name in "xy"}
    assert MODEL.golden(narrower, MODEL.check(narrower, Workload("", full)))["flags"] == 1


def test_resolved_config_is_stable():
    config = DotConfig.parse({"lanes": 3})
    again = DotConfig.parse(config.model_dump())
    assert (again, again.config_hash) == (config, config.config_hash)


def test_stimulus_overflows_where_it_can():
    config = DotConfig.parse({"acc_width": 18})
    labels = {workload.label: MODEL.golden(config, workload)["flags"] for workload
              in islice(MODEL.stimulus(config, np.random.default_rng(0)), 20)}
    assert labels["overflow"] == 1 and labels["one element"] == 0


def test_utilization_and_cycles():
    config = DotConfig.parse({"lanes": 4})
    ones = np.ones((3, 10), int)
    workload = MODEL.check(config, Workload("", {"x": ones, "y": ones}))
    cycles = MODEL.cycles(config, workload)
    assert cycles == 3 * 3 + 4
    assert MODEL.utilization(config, workload, cycles) == 30 / (4 * 13)


@pytest.mark.parametrize("arrays, message", [
    ({"x": [[1, 2]], "y": [[1]]},
     "x has shape (1, 2) and y has shape (1, 1); both are (F, L) and must be equal"),
    ({"x": [1, 2], "y": [[1]]}, "x must be an array of shape (F, L), not of shape (2,)"),
    ({"x": [[128]], "y": [[1]]}, "x must hold int8 values, -128 to 127, not 128 at [0, 0]"),
    ({"x": [[1]], "z": [[1]]}, "unknown argument 'z'; arguments are x, y"),
])
def test_messages(arrays, message):
    with pytest.raises(Error, match=f"^{re.escape(message)}$"):
        MODEL.check(DotConfig.parse({}), Workload("", arrays))


@pytest.mark.parametrize("values, message", [
    ({"lanes": 0}, "lanes must be at least 1, not 0"),
    ({"x_format": "int17"}, "x_format: must be int2…int16 or uint2…uint16, not 'int17'"),
    ({"acc_width": 64, "x_format": "uint8", "y_format": "uint8"},
     "acc_width must be at most 63 for unsigned sums, not 64"),
])
def test_config_messages(values, message):
    with pytest.raises(ConfigError, match=f"^{re.escape(message)}$"):
        DotConfig.parse(values)


@pytest.mark.parametrize("formats", [("int8", "int8"), ("uint8", "int4"), ("int2", "uint8"),
                                     ("uint4", "uint4")])
def test_the_stimulus_ends_at_both_ends_of_the_sum(formats):
    config = DotConfig.parse({"lanes": 3, "acc_width": 13, "x_format": formats[0],
                              "y_format": formats[1]})
    found = {int(value) for workload in islice(
        MODEL.stimulus(config, np.random.default_rng(1)), 30) if workload.label.startswith("z = ")
        for value in MODEL.golden(config, workload)["z"]}
    assert found == {config.z.low, config.z.high} - {0}
