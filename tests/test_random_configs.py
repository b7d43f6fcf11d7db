"""Configurations that nobody chose: each must build, lint and compute what it should."""

import os
import subprocess
from pathlib import Path

import pytest
from configs import configs
from hypothesis import HealthCheck, given, seed, settings
from pyslang.driver import Driver

from systolith.generators import registry
from systolith.generators.core import elaborate, write
from systolith.hdl.errors import ConfigError
from systolith.sim.cases import draw, mismatch
from systolith.sim.simulators import verilator
from systolith.sim.simulators.core import Core
from systolith.sim.simulators.harness import Pauses

MOST_BEATS = 20_000         # of a workload: a run must end
SMALL = 9                   # largest rows, lanes, lengths of what is simulated

TEMPLATES = pytest.mark.parametrize("template", registry.TEMPLATES, ids=lambda found: found.name)


def examples(count: int):
    """The same draw in every run; Hypothesis shrinks what fails to its smallest form."""
    def apply(test):
        return seed(1)(settings(max_examples=count, deadline=None, database=None,
                                suppress_health_check=list(HealthCheck))(test))
    return apply


def lint(core, folder: Path) -> list[str]:
    """What Verilator and slang object to."""
    write(core, folder)
    sources = [str(folder / name) for name in core.files if name.endswith(".v")]
    root, program = verilator.installation()
    done = subprocess.run([program, "--lint-only", "-Wall", "--top-module", "core", *sources],
                          env={**os.environ, "VERILATOR_ROOT": str(root)}, capture_output=True,
                          text=True)
    driver = Driver()
    driver.addStandardArgs()
    listed = " ".join(f'"{source}"' for source in sources)
    assert driver.parseCommandLine(f"slang -Weverything --top core {listed}")
    assert driver.processOptions() and driver.parseAllSources()
    compilation = driver.createCompilation()
    found = [*compilation.getAllDiagnostics(), *driver.runAnalysis(compilation).getDiagnostics()]
    return [line for line in done.stderr.splitlines() if line] + [str(item.code) for item in found]


def wrong(core, folder: Path) -> str | None:
    """What first differs from the golden and the cycle model, without and with stalls."""
    write(core, folder)
    model, config = core.template.load_model(), core.config
    everywhere = {stream.name: Pauses(0.3, 0.3) for stream in config.streams}
    outputs = {stream.name: Pauses(0.05, 0.02) for stream in config.streams
               if stream.direction == "out"}
    with verilator.simulator(Core.read(folder / "core.v", folder / "core.json",
                                       core.model)) as simulator:
        for case in draw(model, config, 1, None):
            if case.beats > MOST_BEATS:
                continue
            for pauses in ({}, everywhere, outputs):
                result = simulator.run(case.job, pauses=pauses, seed=3)
                for stream in case.expected:
                    if message := mismatch(model, config, case, stream, result.beats[stream],
                                           result.beat_cycles[stream]):
                        return message
                if result.flags != case.flags:
                    return f"{case.workload.label}: flags {result.flags:#b}, not {case.flags:#b}"
                if not pauses and result.cycles != case.cycles:
                    return f"{case.workload.label}: {result.cycles} cycles, not {case.cycles}"
    return None


def check_text(template, count: int, folder: Path) -> None:
    @examples(count)
    @given(configs(template))
    def check(config):
        assert lint(elaborate(template, config, "core"), folder) == []

    check()


def check_values(template, count: int, folder: Path) -> None:
    @examples(count)
    @given(configs(template, largest=SMALL))
    def check(config):
        assert wrong(elaborate(template, config, "core"), folder) is None

    check()


@TEMPLATES
def test_any_config_lints(template, tmp_path):
    check_text(template, 2, tmp_path)


@pytest.mark.nightly
@TEMPLATES
def test_any_of_many_configs_lints(template, tmp_path):
    check_text(template, 200, tmp_path)


@pytest.mark.nightly
@TEMPLATES
def test_any_of_many_configs_computes(template, tmp_path, monkeypatch):
    monkeypatch.setenv("SYSTOLITH_CACHE", str(tmp_path / "cache"))     # nobody needs them again
    check_values(template, 20, tmp_path / "core")


def test_a_config_that_computes_wrong_is_found(tmp_path):
    template = registry.get("dot")
    core = elaborate(template, template.config.parse({"lanes": 2}), "core")
    assert wrong(core, tmp_path) is None
    write(core, tmp_path)
    text = core.verilog
    broken = text.replace("= first ? ", "= 1'b0 ? ")
    object.__setattr__(core, "verilog", broken)
    object.__setattr__(core, "files", {**core.files, "core.v": broken})
    assert broken != text and wrong(core, tmp_path)


@TEMPLATES
def test_a_value_of_the_wrong_kind_is_refused_by_name(template):
    for name in template.config.model_fields:
        for value in ("no such value", -1, 10**30, 1.5, [1], {"a": 1}):
            with pytest.raises(ConfigError, match=name):
                template.config.parse({name: value})
