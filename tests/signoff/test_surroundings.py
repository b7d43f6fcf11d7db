"""Parts of a core are used as their specifications assume, and mutants are equal where they are."""

from types import SimpleNamespace

import pytest

from systolith.generators import registry
from systolith.generators.core import elaborate
from systolith.generators.verilog import emit
from systolith.hdl.bus.axi_stream import Fifo, Signature
from systolith.hdl.bus.credits import Credits
from systolith.proofs import buses
from systolith.signoff import formal, surroundings
from tests.signoff.verdicts import cells_of, said


def test_what_is_different_where_no_user_may_go_is_equal(tmp_path):
    """With eight places, eight are never free when one more comes free: whether 8 is at least 7
    makes no difference then; whether 8 is at least 8 does without that."""
    component = Credits(8, 1)
    text = emit(component, name="credits").text
    (tmp_path / "credits.v").write_text(text)
    number = next(number for number, line in enumerate(text.splitlines(), 1)
                  if "left_at_least_8 <= left_fallen" in line)
    lines = [f"mutate -mode const0 -module credits -cell {cell} -port A -portbit 3"
             for cell in cells_of(tmp_path, "credits")
             if cell.startswith(f"$ge$credits.v:{number}$")]
    core = SimpleNamespace(name="credits")
    equal = [line for line in lines if surroundings.same(
        core, tmp_path, ["credits.v"], "credits", component, line)]
    assert len(lines) == 2 and len(equal) == 1
    assert said(tmp_path, "credits", equal[0]) == "DIFFERENT"


def never_freed(component, edit):
    h = buses.credits(component, edit)
    h.assume(~h.ports.freed)
    return h


@pytest.mark.parametrize("specification, right", [(buses.credits, True), (never_freed, False)])
def test_the_exercise_shows_how_a_part_is_used(specification, right, tmp_path, monkeypatch):
    template = registry.get("activation")
    core = elaborate(template, template.config.parse({"lanes": 1}), "core")
    module, component = next((name, part) for name, part in formal.components(core).items()
                             if isinstance(part, Credits))
    monkeypatch.setattr(surroundings, "specification_of", lambda component: specification)
    problem = surroundings.problem(core, tmp_path, module, component, 1, None)
    assert (problem is None) == right


def test_what_the_solver_chooses_cannot_be_seen():
    fifo = Fifo(Signature(3), 2)
    harness = buses.fifo(fifo, lambda text: text)       # follows a beat that the solver picks
    assert harness.watcher() is None
