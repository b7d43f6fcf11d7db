"""Every algorithm, function and format of softmax and activation: the whole regression on both
simulators, with stalls."""

from itertools import cycle

import pytest

from systolith.generators import registry
from systolith.generators.core import elaborate, write
from systolith.hdl.softmax.config import REAL
from systolith.sim.simulators import regression


def softmaxes():
    """Algorithms and formats; stores, masks and lanes take turns."""
    formats = (("int8", "uint8"), ("uint6", "uint10"), ("int12", "bf16"), ("bf16", "uint8"),
               ("bf16", "bf16"), ("fp16", "fp16"), ("fp16", "bf16"))
    logarithms = (("int8", "int8"), ("bf16", "int12"), ("fp16", "fp16"), ("int16", "bf16"))
    places = cycle([("chip", True, 3), ("replay", False, 2), ("chip", False, 1),
                    ("replay", True, 4), ("chip", True, 2)])
    for algorithm in (*REAL, "base2", "integer", "ibert"):
        pairs = [(pair, "probability") for pair in formats] + [(pair, "log") for pair in logarithms]
        for (in_format, out_format), output in pairs if algorithm in REAL else pairs[:2] * 2:
            store, mask, lanes = next(places)
            yield {"algorithm": algorithm, "in_format": in_format, "out_format": out_format,
                   "output": output, "additive_mask": mask, "lanes": lanes, "max_length": 14,
                   "store": "replay" if algorithm == "single_pass" else store}


def activations():
    """Functions, implementations and formats."""
    formats = (("int8", "int8"), ("int8", "bf16"), ("bf16", "int8"), ("bf16", "bf16"),
               ("fp16", "fp16"))
    for function in ("gelu", "silu", "sigmoid", "tanh", "exp"):
        for implementation in ("table", "piecewise", "polynomial", "integer"):
            if implementation == "integer" and function not in ("gelu", "exp"):
                continue
            for x_format, y_format in formats[:1] if implementation == "integer" else formats:
                yield {"function": function, "implementation": implementation, "lanes": 2,
                       "x_format": x_format, "y_format": y_format}


CASES = [("softmax", values) for values in softmaxes()] + \
    [("activation", values) for values in activations()]


@pytest.mark.nightly
@pytest.mark.parametrize("template, values", CASES, ids=lambda value: value if isinstance(
    value, str) else "-".join(map(str, value.values())))
def test_any_algorithm_and_format(template, values, tmp_path):
    found = registry.get(template)
    core = elaborate(found, found.config.parse(values), template)
    write(core, tmp_path)
    report = regression.verify(tmp_path / f"{template}.v", tmp_path / f"{template}.json",
                               core.model, directory=tmp_path / "out",
                               tests=("without_stalls", "random_stalls", "bad_traffic"))
    assert not [f"{check.name} under {check.simulator}: {check.message}"
                for check in report.failures]
    assert len(report.simulators) == 2
