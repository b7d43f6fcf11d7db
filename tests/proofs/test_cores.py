"""The contract of whole cores."""

from dataclasses import replace

import pytest

from systolith.generators import registry
from systolith.generators.core import elaborate
from systolith.proofs import cores, engine
from systolith.signoff import formal
from systolith.signoff.rung import Options


def _core(name: str, **values):
    template = registry.get(name)
    return elaborate(template, template.config.parse(values), "core")


def _broken(core, old: str, new: str):
    text = core.files["core.v"]
    assert text.count(old) >= 1, old
    return replace(core, files={**core.files, "core.v": text.replace(old, new)})


def test_a_core_is_proven(tmp_path, monkeypatch):
    monkeypatch.setattr(formal, "PROOFS", tuple(
        proof for proof in formal.PROOFS if proof.part in ("Multiplier", "Fifo")
        and not proof.nightly))
    found = formal.run(_core("dot", lanes=1), Options(directory=tmp_path), print)
    assert found.passed, found.failures
    names = {outcome.name for outcome in found.outcomes}
    assert "Multiplier, signed(4) by signed(4), 0 stages" in names
    assert "Fifo, 2 places" not in names                 # dot has none
    assert not list(tmp_path.iterdir())


def test_a_path_through_a_core_is_found(tmp_path):
    core = _core("dot", lanes=1)
    assert cores.combinational_paths(core, tmp_path) == []
    wrong = _broken(core, "assign o_data = read_odd ? odd : even;",
                    "assign o_data = read_odd ? odd : i_data;")
    assert "s_axis_x_tdata" not in cores.combinational_paths(wrong, tmp_path)  # ends in registers
    wrong = _broken(core, "assign pop = o_valid & o_ready;",
                    "assign pop = o_valid & o_ready; assign i_ready = o_ready | full;")
    wrong = _broken(wrong, "  output reg  i_ready,", "  output wire i_ready,")
    wrong = _broken(wrong, "      i_ready <= pop", "      full <= pop")
    wrong = _broken(wrong, "      i_ready <= 1'b0;", "      full <= 1'b0;")
    wrong = _broken(wrong, "  wire push;", "  wire push;\n  reg full;")
    assert "m_axis_z_tready" in cores.combinational_paths(wrong, tmp_path)


@pytest.mark.parametrize(("old", "new"), [
    ("read_odd <= read_odd ^ pop;", "read_odd <= read_odd ^ o_valid;"),
    ("(bus_rvalid & (~bus_rready))", "(bus_rvalid & (~(bus_rready | bus_arvalid)))"),
], ids=["stream", "register port"])
def test_a_core_that_breaks_its_contract_is_refuted(old, new, tmp_path):
    wrong = _broken(_core("dot", lanes=1), old, new)
    assert engine.prove(cores.contract(wrong).graph(tmp_path), 60).status == "refuted"


@pytest.mark.nightly
@pytest.mark.parametrize("template", registry.TEMPLATES, ids=lambda template: template.name)
def test_every_template_is_proven(template, tmp_path):
    values = next(iter(template.presets.values()))
    core = elaborate(template, template.config.parse(dict(values)), "core")
    found = formal.run(core, Options(directory=tmp_path), print)
    assert found.passed, found.failures
