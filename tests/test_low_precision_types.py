"""Every data type of the engines for weights of a few bits: verified, and among the stimulus."""

from itertools import product

import numpy as np
import pytest

from systolith.generators import registry
from systolith.generators.core import elaborate, write
from systolith.hdl.bitserial.config import TYPES
from systolith.sim.cases import draw, mismatch, work_out
from systolith.sim.model import Workload
from systolith.sim.simulators import cxxrtl, regression, verilator
from systolith.sim.simulators.core import Core
from systolith.sim.simulators.harness import Pauses

ENGINES = ("bitserial", "bitplane", "lut_gemv", "ternary")
PRESETS = [(name, preset) for name in ENGINES for preset in registry.get(name).presets]
#: Flags that frames of a wrong length or settings out of range raise: bad traffic, not numbers.
TRAFFIC = ("_long", "_short", "short", "settings")


def combinations(template, fixed, **choices):
    """Ids and values of every combination of choices."""
    for values in product(*choices.values()):
        chosen = dict(zip(choices, values, strict=True))
        yield pytest.param(template, fixed | chosen,
                           id="-".join([template, *map(str, values)]))


#: All formats, codes and roundings that are chosen when a core is built.
BUILDS = [
    *combinations("bitserial", {"rows": 1, "cols": 2, "group": 16}, a_format=("fp16", "int8"),
                  special_decode=("lod", "naf")),
    *combinations("bitserial", {"rows": 2, "cols": 1, "group": 16, "a_format": "fp16"},
                  rounding=("trunc", "rne"), mask_zero_lanes=(False, True)),
    *combinations("bitplane", {"rows": 2, "cols": 2, "word": 8, "max_k": 40, "max_a_bits": 8,
                               "max_w_bits": 8},
                  planes=("serial", "parallel"), output=("raw", "scaled")),
    *combinations("bitplane", {"rows": 2, "cols": 2, "word": 8, "max_k": 40, "max_a_bits": 1,
                               "max_w_bits": 1},
                  planes=("serial", "parallel"), output=("raw", "scaled")),
    *combinations("lut_gemv", {"rows": 2, "max_k": 24}, a_format=("int8",), table=("exact",)),
    *combinations("lut_gemv", {"rows": 2, "act_group": 8, "max_k": 24}, a_format=("int8", "fp16"),
                  table=("int8",)),
    *combinations("ternary", {"rows": 2, "word": 20, "max_k": 60}, packing=("base3", "2bit"),
                  a_format=("int8", "int16"), output=("raw", "scaled")),
]


@pytest.mark.nightly
@pytest.mark.parametrize("name, values", BUILDS)
def test_every_type_of_a_build_is_verified(name, values, tmp_path):
    template = registry.get(name)
    core = elaborate(template, template.config.parse(values), "core")
    write(core, tmp_path)
    report = regression.verify(tmp_path / "core.v", tmp_path / "core.json", core.model,
                               directory=tmp_path / "out")
    assert not [f"{check.name} under {check.simulator}: {check.message}"
                for check in report.failures]
    assert len(report.simulators) == 2
    assert {"without_stalls", "random_stalls"} <= {check.name for check in report.checks}


@pytest.fixture(params=["verilator", "cxxrtl"])
def simulator(request, tmp_path):
    """Compiles a core of a template for one of two simulators."""
    engine = {"verilator": verilator, "cxxrtl": cxxrtl}[request.param]

    def make(name, values):
        template = registry.get(name)
        core = elaborate(template, template.config.parse(values), "core")
        write(core, tmp_path)
        return engine.simulator(Core.read(tmp_path / "core.v", tmp_path / "core.json", core.model))
    return make


def bitplane_formats():
    for a, w in product(range(1, 9), repeat=2):
        for kinds in product(("int", "uint"), repeat=2):
            yield f"{kinds[0]}{a}", f"{kinds[1]}{w}"
        yield f"bipolar{a}", f"bipolar{w}"


@pytest.mark.nightly
@pytest.mark.parametrize("planes", ["serial", "parallel"])
def test_every_pair_of_formats_of_bit_planes(simulator, planes):
    """All 320 of one core, against plain products of integers, with stalls and without."""
    from systolith.hdl.formats import BipolarFormat, parse_format

    rng = np.random.default_rng(1)
    values = {"rows": 2, "cols": 2, "word": 8, "max_k": 24, "planes": planes}
    with simulator("bitplane", values) as running:
        model, config = running.core.model, running.core.config
        for a_format, w_format in bitplane_formats():
            operands = {}
            for operand, format, shape in (("a", a_format, (3, 19)), ("w", w_format, (19, 3))):
                number = parse_format(format)
                codes = rng.integers(0, 1 << number.bits, shape)
                codes.flat[:2] = 0, (1 << number.bits) - 1
                if isinstance(number, BipolarFormat):
                    operands[operand] = 2 * codes - (1 << number.bits) + 1
                else:
                    operands[operand] = codes - (1 << number.bits - 1 if number.signed else 0)
            case = work_out(model, config, Workload(
                f"{a_format} by {w_format}", operands,
                {"a_format": a_format, "w_format": w_format}))
            np.testing.assert_array_equal(case.golden["c"], operands["a"] @ operands["w"])
            check(running, case)


@pytest.mark.nightly
@pytest.mark.parametrize("a_format", ["fp16", "int8"])
def test_every_type_after_every_other_in_the_groups_of_a_row(simulator, a_format):
    rng = np.random.default_rng(2)
    group, count = 16, len(TYPES)
    order = [kind for pair in product(range(count), repeat=2) for kind in pair]
    values = {"rows": 2, "cols": 2, "group": group, "a_format": a_format}
    with simulator("bitserial", values) as running:
        model, config = running.core.model, running.core.config
        codes = np.concatenate([
            rng.integers(-1 << TYPES[kind].format.bits - 1, 1 << TYPES[kind].format.bits - 1,
                         (3, group)) if not TYPES[kind].mixture else
            rng.integers(0, 1 << TYPES[kind].format.bits, (3, group)) for kind in order], axis=1)
        a = rng.integers(-128, 128, (3, codes.shape[1]))
        check(running, work_out(model, config, Workload("types", {
            "a": a / 7 if a_format == "fp16" else a, "w": codes,
            "types": [TYPES[kind].name for kind in order],
            "scales": rng.integers(-128, 128, (3, len(order))),
            "select": rng.integers(0, 4, (3, len(order)))})))


def check(running, case):
    """A case without stalls, with pauses everywhere, and with a slow reader."""
    config = running.core.config
    for pauses in ({}, {stream.name: Pauses(0.3, 0.3) for stream in config.streams},
                   {stream.name: Pauses(0.05, 0.02) for stream in config.streams
                    if stream.direction == "out"}):
        result = running.run(case.job, pauses=pauses, seed=5)
        assert not [message for stream in case.expected if (message := mismatch(
            running.core.model, config, case, stream, result.beats[stream],
            result.beat_cycles[stream]))]
        assert result.flags == case.flags
        assert pauses or result.cycles == case.cycles


@pytest.mark.parametrize("name, preset", PRESETS, ids=["-".join(pair) for pair in PRESETS])
def test_the_stimulus_of_a_preset_has_all_types_and_bad_numbers(name, preset):
    """What `verify` runs on both simulators, with stalls, is all that run-time settings allow."""
    template = registry.get(name)
    config = template.config.parse(dict(template.presets[preset]))
    cases = [case.workload for case in draw(template.load_model(), config, 1, None)]
    model = template.load_model()
    raised = 0
    for case in cases:
        raised |= model.golden(config, case)["flags"]
    missing = [flag for bit, (flag, _) in enumerate(config.flags)
               if not raised >> bit & 1 and not flag.endswith(TRAFFIC)]
    assert missing == []
    HAS_ALL[name](config, cases)


def has_all_of_bitserial(config, cases):
    types = np.unique(np.concatenate([np.ravel(case.arrays["types"]) for case in cases]))
    assert types.tolist() == list(range(8))                  # three of them are none
    a = [case.arrays["a"] for case in cases]
    assert any((block == 0).all() for block in a)
    assert any(array.shape[1] % config.group for array in a)
    if config.a_format == "fp16":
        values = np.concatenate([array.ravel() for array in a])
        assert np.isnan(values).any() and np.isinf(values).any()
        assert ((values != 0) & (np.abs(values) < 2.0**-14)).any()     # subnormal


def has_all_of_bitplane(config, cases):
    used = {(case.settings["a_format"], case.settings["w_format"]) for case in cases}
    for kind in ("int", "uint", "bipolar"):
        assert (f"{kind}{config.max_a_bits}", f"{kind}{config.max_w_bits}") in used
    assert any(case.arrays["a"].shape[1] % config.word for case in cases)
    assert any(case.arrays["a"].shape[1] == config.max_k for case in cases)


def has_all_of_lut_gemv(config, cases):
    used = {(case.settings["bits"], case.settings["bipolar"]) for case in cases}
    assert used == set(product((1, 2, 3, 4), (False, True)))
    a = [case.arrays["a"] for case in cases]
    assert any((vector == 0).all() for array in a for vector in array)
    assert any(array.shape[1] % config.act_group for array in a)
    if config.a_format == "fp16":
        values = np.concatenate([array.ravel() for array in a])
        assert not np.isfinite(values).all()
        assert ((values != 0) & (np.abs(values) < 2.0**-14)).any()


def has_all_of_ternary(config, cases):
    packed = [case.arrays["packed"] for case in cases if "packed" in case.arrays]
    assert np.unique(np.concatenate([each.ravel() for each in packed])).size == 256
    assert any((case.arrays["a"] == 0).all() for case in cases)
    assert any(case.arrays["a"].shape[1] % config.word for case in cases)


HAS_ALL = {"bitserial": has_all_of_bitserial, "bitplane": has_all_of_bitplane,
           "lut_gemv": has_all_of_lut_gemv, "ternary": has_all_of_ternary}
