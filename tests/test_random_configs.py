"""Configurations that nobody chose: each must build, lint and compute what it should; and requests
that are wrong must be refused in words."""

from pathlib import Path

import pytest

from systolith.generators import registry
from systolith.generators.core import elaborate, write
from systolith.hdl.errors import ConfigError
from systolith.signoff import malformed, random_configs
from systolith.signoff.random_configs import Draw, Ledger, drawn, examine, wrong
from systolith.signoff.rung import Options

TEMPLATES = pytest.mark.parametrize("template", registry.TEMPLATES, ids=lambda found: found.name)


def failures(template, count: int, folder: Path, **options) -> list[str]:
    result = examine(template, count, Options(directory=folder, **options), lambda message: None)
    return [outcome.message for outcome in result.failures]


@TEMPLATES
def test_any_config_lints(template, tmp_path, monkeypatch):
    monkeypatch.setattr(random_configs, "SHARE_SIMULATED", 10**9)
    monkeypatch.setattr(random_configs, "wrong", lambda core, folder: None)
    assert failures(template, 2, tmp_path) == []


@pytest.mark.nightly
@TEMPLATES
def test_any_of_many_configs_lints_and_computes(template, tmp_path, monkeypatch):
    """2,002 configurations over all templates, 209 of them simulated."""
    monkeypatch.setenv("SYSTOLITH_CACHE", str(tmp_path / "cache"))     # nobody needs them again
    assert failures(template, 182, tmp_path) == []


@TEMPLATES
def test_malformed_requests_are_refused_in_words(template):
    found = malformed.campaign(template, 60, seed=2)
    assert found.problems == [] and found.refused >= 60


@pytest.mark.nightly
@TEMPLATES
def test_many_malformed_requests_are_refused_in_words(template):
    """10,010 over all templates."""
    found = malformed.campaign(template, 910, seed=1)
    assert found.problems == [] and found.refused >= 910


def test_a_traceback_and_half_an_output_are_found(monkeypatch):
    from systolith import cli

    monkeypatch.setattr(cli, "run", lambda arguments: 70)
    assert "status 70" in malformed.campaign(registry.get("dot"), 5, seed=1).problems[0]

    def half(arguments):
        target = Path(arguments[3])
        target.mkdir()
        (target / "core.v").touch()
        return 2

    monkeypatch.setattr(cli, "run", half)
    assert "half an output" in malformed.campaign(registry.get("dot"), 5, seed=1).problems[0]


def test_draws_differ_and_repeat():
    template = registry.get("dot")
    first = drawn(template, 12, 3, small=True)
    assert len({config.config_hash for config in first}) == 12
    assert first == drawn(template, 12, 3, small=True) != drawn(template, 12, 4, small=True)


def test_a_run_goes_on_where_it_stopped(tmp_path, monkeypatch):
    template = registry.get("dot")
    monkeypatch.setattr(random_configs, "wrong", lambda core, folder: None)
    monkeypatch.setattr(random_configs.lint, "warnings", lambda core, folder: [])
    assert failures(template, 3, tmp_path) == []
    ledger = tmp_path / random_configs.LEDGER
    lines = ledger.read_text().splitlines()
    assert len(lines) == 3
    ledger.write_text("\n".join(lines[:2]) + "\n" + lines[2][:20])      # killed while writing
    examined = []
    monkeypatch.setattr(random_configs.lint, "warnings",
                        lambda core, folder: examined.append(core) or [])
    assert failures(template, 3, tmp_path) == []
    assert len(examined) == 1
    draw = Draw("dot", {}, False)
    Ledger(ledger).add(draw, "key")
    assert Ledger(ledger).key(draw) == "key"


def test_a_failure_shrinks(tmp_path, monkeypatch):
    template = registry.get("dot")
    monkeypatch.setattr(random_configs.lint, "warnings", lambda core, folder: (
        ["too wide"] if core.config.lanes >= 5 else []))
    message, = failures(template, 12, tmp_path)
    assert '"lanes": 5,' in message and message.endswith("too wide")


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
