"""Every pair of formats that the systolic core takes, RTL against the golden model."""

from itertools import islice

import numpy as np
import pytest

from systolith.generators import registry
from systolith.generators.core import elaborate, write
from systolith.hdl.formats import parse_format
from systolith.hdl.systolic.pairs import LISTED, allowed, table
from systolith.sim.cases import mismatch, work_out
from systolith.sim.simulators import verilator
from systolith.sim.simulators.core import Core
from systolith.sim.simulators.harness import Pauses

MINIFLOATS = [parse_format(f"fp{bits}e{exponent}m{bits - 1 - exponent}").name
              for bits in range(3, 9) for exponent in range(1, bits)]
STALLS = {"a": Pauses(0.3, 0.3), "w": Pauses(0.2, 0.4), "c": Pauses(0.3, 0.2),
          "a_scale": Pauses(0.3, 0.4), "w_scale": Pauses(0.2, 0.3)}

#: A pair of every kind: levels, floats narrow and wide, integers with floats, outliers, fp32.
SAMPLE = [("ternary", "bipolar3", "ws"), ("fp4e2m1", "fp8e4m3", "os"), ("int8", "fp6e3m2", "ws"),
          ("ovp4", "ovp4", "os"), ("fp16", "int8", "os"), ("mxfp8e5m2/4", "mxfp8e5m2/4", "ws"),
          ("mxfp4/5", "fp4e2m1", "os"), ("bitmod4/3", "bitmod4/3", "ws")]


def agrees(a_format, w_format, dataflow, folder, cases=34, **values):
    """Run corner cases and random ones without and with stalls; gives the config."""
    template = registry.get("systolic")
    config = template.config.parse({"rows": 2, "cols": 2, "a_format": a_format,
                                    "w_format": w_format, "dataflow": dataflow, **values})
    core = elaborate(template, config, "core")
    write(core, folder)
    model = template.load_model()
    with verilator.simulator(Core.read(folder / "core.v", folder / "core.json",
                                       core.model)) as simulator:
        for workload in islice(model.stimulus(config, np.random.default_rng(1)), cases):
            case = work_out(model, config, workload)
            for pauses in ({}, STALLS):
                streams = {stream.name for stream in config.streams}
                result = simulator.run(case.job, pauses={name: pause for name, pause in
                                                         pauses.items() if name in streams})
                assert mismatch(model, config, case, "c", result.beats["c"],
                                result.beat_cycles["c"]) is None
                assert result.flags == case.flags, case.workload.label
                assert pauses or result.cycles == case.cycles, case.workload.label
    return config


def agrees_with_every_sum(a_format, w_format, dataflow, folder, **values):
    """With the accumulator that the pair gets, and in fp32 where it could have that too."""
    config = agrees(a_format, w_format, dataflow, folder, **values)
    if config.float_sums and not config.rounded:
        agrees(a_format, w_format, dataflow, folder, accumulator="fp32", **values)


@pytest.mark.parametrize("a_format, w_format, dataflow", SAMPLE, ids=lambda part: part)
def test_a_sample_of_pairs(a_format, w_format, dataflow, tmp_path):
    agrees(a_format, w_format, dataflow, tmp_path)


@pytest.mark.nightly
@pytest.mark.parametrize("dataflow", ["ws", "os"])
@pytest.mark.parametrize("a_format", LISTED)
def test_every_pair_of_the_table(a_format, dataflow, tmp_path):
    for w_format in table()[a_format]:
        agrees_with_every_sum(a_format, w_format, dataflow, tmp_path, rows=4)


#: Formats that the rules of the table take, beside those it lists.
OTHERS = [*(f"{sign}int{bits}" for sign in ("", "u") for bits in range(2, 17)),
          *(f"bipolar{bits}" for bits in range(1, 17)), "binary", "ternary", *MINIFLOATS,
          *(f"fp{bits}e{exponent}m{bits - 1 - exponent}" for bits in range(9, 17)
            for exponent in range(1, min(bits, 12))),
          *(f"mx{element}/{block}" for element in MINIFLOATS for block in (1, 4, 7)),
          *(f"bfp{bits}/{block}" for bits in range(2, 17) for block in (1, 3, 32)),
          *(f"bitmod{bits}/{block}" for bits in (3, 4) for block in (2, 128)), "ovp4", "ovp8"]


@pytest.mark.nightly
@pytest.mark.parametrize("seed", range(8))
def test_any_pairs_that_the_rules_take(seed, tmp_path):
    rng = np.random.default_rng(seed)
    formats = [parse_format(name) for name in OTHERS]
    pairs = [(a, w) for a in formats for w in formats if allowed(a, w)]
    for a, w in rng.choice(np.array(pairs, dtype=object), 12, replace=False):
        agrees_with_every_sum(a.name, w.name, rng.choice(["ws", "os"]), tmp_path,
                              rows=int(rng.choice([2, 4])))


@pytest.mark.nightly
@pytest.mark.parametrize("dataflow", ["ws", "os"])
@pytest.mark.parametrize("format", ["mxfp8e5m2", "bfp8", "bitmod4"])
@pytest.mark.parametrize("rows, block", [(1, 1), (1, 3), (2, 1), (3, 7), (4, 8), (5, 3)])
def test_every_fit_of_blocks_and_mesh(format, rows, block, dataflow, tmp_path):
    for partner in (f"{format}/{block}", "int8", "bf16"):
        agrees(f"{format}/{block}", partner, dataflow, tmp_path, rows=rows, cols=3)


@pytest.mark.nightly
@pytest.mark.parametrize("a_format", MINIFLOATS)
def test_every_pair_of_minifloats(a_format, tmp_path):
    for index, w_format in enumerate(MINIFLOATS):
        agrees(a_format, w_format, ("ws", "os")[index % 2], tmp_path)


@pytest.mark.nightly
@pytest.mark.parametrize("mac_stages", [1, 2, 3, 4])
@pytest.mark.parametrize("add_stages", range(1, 8))
@pytest.mark.parametrize("dataflow", ["ws", "os"])
def test_every_depth_of_fp32_sums(dataflow, add_stages, mac_stages, tmp_path):
    agrees("bf16", "fp8e4m3", dataflow, tmp_path, rows=3, mac_stages=mac_stages,
           add_stages=add_stages)
