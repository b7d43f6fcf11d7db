"""Every preset of every template: the regression that `systolith verify` runs, on two
simulators."""

import pytest

from systolith.generators import registry
from systolith.generators.core import elaborate, write
from systolith.sim.cases import draw
from systolith.sim.simulators import regression

PRESETS = [(template.name, preset) for template in registry.TEMPLATES
           for preset in template.presets]
ALL_TESTS = {"without_stalls", "random_stalls", "back_to_back", "reset_in_frames", "bad_traffic",
             "registers", "counters"}


@pytest.fixture
def core_of(tmp_path):
    """Generate a preset into a folder; gives the core and the paths of Verilog and manifest."""
    def make(template_name: str, preset: str):
        template = registry.get(template_name)
        config = template.config.parse(dict(template.presets[preset]))
        core = elaborate(template, config, f"{template_name}_{preset}")
        write(core, tmp_path / "core")
        return core, tmp_path / "core" / f"{core.name}.v", tmp_path / "core" / f"{core.name}.json"
    return make


@pytest.mark.parametrize("template, preset", PRESETS, ids=["-".join(pair) for pair in PRESETS])
def test_preset(core_of, tmp_path, verified, template, preset):
    core, verilog, manifest = core_of(template, preset)
    report = regression.verify(verilog, manifest, core.model, directory=tmp_path / "out")
    assert not [f"{check.name} under {check.simulator}: {check.message}"
                for check in report.failures]
    assert {check.name for check in report.checks
            if check.simulator == "verilator"} == ALL_TESTS
    assert len(report.simulators) == 2
    model = core.template.load_model()
    cases = draw(model, core.config, regression.DEFAULT_SEED, None)
    for simulator in report.simulators:
        done = [check for check in report.checks if check.simulator == simulator]
        assert all(check.frames for check in done
                   if check.name in ("without_stalls", "random_stalls"))
        count = len(cases) if simulator != "icarus" else len(
            draw(model, core.config, regression.DEFAULT_SEED, None, regression.ICARUS_BEATS))
        verified(template, preset, simulator, count, sum(check.cycles for check in done))
