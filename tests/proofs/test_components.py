"""Every proof holds, is about something, and fails for what is broken."""

from dataclasses import replace

import pytest

from systolith.hdl.norm.config import NormConfig
from systolith.hdl.norm.statistics import RowStatistics
from systolith.hdl.softmax.config import SoftmaxConfig
from systolith.hdl.softmax.power_sums import OnlineSum, PowerRunningSum
from systolith.hdl.softmax.records import RowInverse
from systolith.hdl.structure.linear_array import LinearArray
from systolith.hdl.systolic.config import SystolicConfig
from systolith.hdl.systolic.lanes import AccumulatorLane, DrainLane
from systolith.hdl.systolic.requantizers import ParameterLoader, RequantizerLane
from systolith.hdl.systolic.result_buffer import ResultLane
from systolith.proofs import engine
from systolith.proofs.engine import Verdict
from systolith.proofs.proof import Answer, Proof, broken, prove
from systolith.proofs.registry import PROOFS, SPECIFICATIONS, specification_of

SOFTMAX = SoftmaxConfig.parse({"lanes": 2, "max_length": 4, "in_format": "uint2", "precision": 8})

NORM = NormConfig.parse({"lanes": 2, "max_length": 3, "x_format": "int4", "y_format": "int4"})

#: The few that also run outside of the night.
QUICK = {"RegisterSlice, 3 bits and last", "Fifo, 2 places", "Credits, 4 places by 2",
         "EventCounter, words of 2 bits", "RegisterBank, a register of every kind",
         "FixedRounder, 7 bits to 3, rne"}

BREAKS = [(proof, index) for proof in PROOFS for index in range(len(proof.breaks))]


def _marked(proof: Proof, *rest, index: int = 0):
    quick = proof.name in QUICK and index == 0
    return pytest.param(proof, *rest, id="-".join([proof.name, *map(str, rest)]),
                        marks=() if quick else pytest.mark.nightly)


@pytest.mark.parametrize("proof", [_marked(proof) for proof in PROOFS])
def test_component_is_proven(proof, tmp_path):
    answer = prove(proof, tmp_path)
    assert answer.message is None
    assert answer.verdict.status == "proven" and answer.checks


@pytest.mark.parametrize(("proof", "index"), [_marked(proof, index, index=index)
                                              for proof, index in BREAKS])
def test_broken_component_is_refuted(proof, index, tmp_path):
    assert broken(proof, index, tmp_path).status == "refuted"


def owes(component, old, new, status, tmp_path):
    """A component, broken or not, against its specification; which is about something."""
    harness = specification_of(component)(component, _edit(old, new))
    assert engine.prove(harness.graph(tmp_path), 60).status == status
    if not old:
        covers = specification_of(component)(component, _edit(old, new)).graph(
            tmp_path / "covers", covers=True)
        assert engine.search(covers, 12, 60).status == "refuted"


@pytest.mark.parametrize(("old", "new", "status"), [
    ("", "", "proven"),
    (".write_in(write_in_links[i + 1])", ".write_in(1'b1)", "refuted"),
    (".address_in(address_in_links[(i + 1)*2 +: 2])", ".address_in(address_in)", "refuted")])
def test_what_lanes_of_results_owe(old, new, status, tmp_path):
    component = LinearArray(lambda: ResultLane(2, 3, "generic"), 3, name="result_lane",
                            chain=ResultLane.chain, broadcast=ResultLane.broadcast, from_last=True)
    owes(component, old, new, status, tmp_path)


@pytest.mark.parametrize(("lane", "old", "new", "status"), [
    (DrainLane, "", "", "proven"),
    (DrainLane, ".overflow_out(overflow_in_links[i])", ".overflow_out()", "refuted"),
    (AccumulatorLane, "", "", "proven"),
    (AccumulatorLane, ".overflow_in(overflow_in_links[i + 1])", ".overflow_in(1'b0)", "refuted"),
    (AccumulatorLane, "first_out = first_in_links[0]", "first_out = first_in_links[1]",
     "refuted"),
    (RequantizerLane, "", "", "proven"),
    (RequantizerLane, ".valid_in(valid_in_links[i + 1])", ".valid_in(1'b0)", "refuted")])
def test_what_lanes_of_a_wavefront_owe(lane, old, new, status, tmp_path):
    config = SystolicConfig.parse({"rows": 1, "cols": 3, "a_format": "int2", "w_format": "int2",
                                   "acc_width": 4, "acc_depth": 2})
    component = LinearArray(lambda: lane(config), 3, name="lane", chain=lane.chain,
                            broadcast=getattr(lane, "broadcast", ()), from_last=True)
    owes(component, old, new, status, tmp_path)


@pytest.mark.parametrize(("component", "old", "new", "status"), [
    (PowerRunningSum(SOFTMAX, 2), "", "", "bounded"),
    (PowerRunningSum(SOFTMAX, 2), "total <= ((total &", "total <= ((~total &", "refuted"),
    (PowerRunningSum(SOFTMAX, 2), "+ {1'd0, sum_o};", "+ {1'd0, sum_o[20:1], 1'b0};", "refuted"),
    (ParameterLoader(2, 4), "", "", "bounded"),
    (ParameterLoader(2, 4), "filling ? 70'd0", "filling ? 70'd4096", "refuted"),
    (ParameterLoader(2, 4), "count == 1'b1", "1'b1", "refuted"),
    (ParameterLoader(2, 4), "q_valid & q_last", "1'b0", "refuted")])
def test_what_a_few_cycles_show(component, old, new, status, tmp_path):
    """Not proven without bound; it is there for mutants of parts, which are looked for in few
    cycles."""
    specification = SPECIFICATIONS[type(component)]
    found = engine.search(specification(component, _edit(old, new)).graph(tmp_path), 11, 60)
    assert found.status == status
    if status == "bounded":
        assert found.depth == 11
        covers = specification(component, _edit(old, new)).graph(tmp_path, covers=True)
        assert engine.search(covers, 14, 60).status == "refuted"


@pytest.mark.parametrize("output", ["probability", "log"])
def test_a_sum_is_recorded_as_either(output, tmp_path):
    part = OnlineSum(SoftmaxConfig.parse({"lanes": 1, "max_length": 4, "in_format": "uint2",
                                          "precision": 8, "output": output,
                                          "out_format": {"log": "int8"}.get(output, "uint8")}))
    harness = SPECIFICATIONS[OnlineSum](part, lambda text: text)
    assert engine.simulate(harness.graph(tmp_path), 20).status == "open"
    covers = SPECIFICATIONS[OnlineSum](part, lambda text: text).graph(tmp_path, covers=True)
    assert engine.simulate(covers, 20).status == "refuted"


@pytest.mark.parametrize(("part", "old", "new", "status"), [
    (RowInverse, "", "", "open"),
    (RowInverse, "inverse_mantissa[8:0] - {", "inverse_mantissa[8:0] + {", "refuted"),
    (OnlineSum, "", "", "open"),
    (OnlineSum, ".done(running_done)", ".done()", "refuted"),
    (OnlineSum, "o_beat = beat", "o_beat = ~beat", "refuted"),
    (RowStatistics, "", "", "open"),
    (RowStatistics, "total_squares <= (first ?", "total_squares <= (1'b0 ?", "refuted"),
    (RowStatistics, "centered = center ?", "centered = 1'b1 ?", "refuted")])
def test_what_random_inputs_show_of_a_row(part, old, new, status, tmp_path):
    config = NORM if part is RowStatistics else SOFTMAX
    harness = SPECIFICATIONS[part](part(config), _edit(old, new))
    assert engine.simulate(harness.graph(tmp_path), 20).status == status
    if not old:
        again = SPECIFICATIONS[part](part(config), _edit(old, new))
        covers = again.graph(tmp_path, covers=True)
        assert engine.simulate(covers, 20).status == "refuted"


@pytest.mark.parametrize(("old", "new", "status"), [
    ("", "", "bounded"),
    # Eight places of a carry are not for random inputs.
    ("+ {1'd0, epsilon}", "+ {1'd0, epsilon ^ {9'd0, &epsilon[17:10], 8'd0}}", "refuted")])
def test_what_a_carry_hides_in_a_spread(old, new, status, tmp_path):
    harness = SPECIFICATIONS[RowStatistics](RowStatistics(NORM), _edit(old, new))
    graph = harness.graph(tmp_path, ("reciprocal root of a row of one 1",))
    assert engine.search(graph, 21, 60).status == status


def _edit(old, new):
    def edit(text: str) -> str:
        assert old in text
        return text.replace(old, new)

    return edit


def test_a_search_goes_on_behind_a_cycle_that_takes_too_long(monkeypatch, tmp_path):
    asked = []

    def answer(graph, command, method, seconds):
        asked.append(command)
        stuck = Verdict("bounded", 7, method, seconds, 3)
        return stuck if len(asked) == 1 else Verdict("refuted", 9, method, 1, 3)

    monkeypatch.setattr(engine, "_abc", answer)
    graph = tmp_path / "circuit.aig"
    graph.write_bytes(b"aig 4 1 3 1 0\n2\n2\n2\n8\n")
    assert engine.search(graph, 20, 5).status == "refuted"
    assert [command.partition("bmc3 ")[2] for command in asked] == ["-S 0 -F 20 -T 5",
                                                                   "-S 8 -F 20 -T 5"]


def test_a_search_in_nothing_ends_at_once(monkeypatch, tmp_path):
    monkeypatch.setattr(engine, "_abc", None)
    graph = tmp_path / "circuit.aig"
    graph.write_bytes(b"aig 1 1 0 1 0\n0\n")
    assert engine.search(graph, 20, 5) == Verdict("bounded", 20, "constant", 0.0, 0)


def test_names_are_unique_and_controls_exist():
    names = [proof.name for proof in PROOFS]
    assert len(set(names)) == len(names)
    assert set(names) >= QUICK
    # Every kind of component is broken at some size.
    assert {proof.part for proof in PROOFS if proof.breaks} >= {
        proof.part for proof in PROOFS} - {"SteppedRounder"}


def test_a_refuted_proof_names_what_fails(tmp_path):
    slice_ = PROOFS[0]

    def specification(component, edit):
        return slice_.specification(component, lambda text: text.replace(
            "(i_ready ? i_last : held)", "i_last"))

    answer = prove(Proof(slice_.make, "broken", specification), tmp_path)
    assert answer.verdict.status == "refuted"
    assert "beats in order and unchanged" in answer.failed
    assert "no beat lost" not in answer.failed
    assert "does not hold: " in answer.message


def test_a_proof_in_vain_does_not_pass():
    impossible = Verdict("bounded", 40, "BMC", 1.0, 3)
    proven = Verdict("proven", None, "IC3", 1.0, 3)
    answer = Answer(PROOFS[0], proven, ("a",), (), impossible)
    assert "in vain" in answer.message
    undecided = Answer(PROOFS[0], Verdict("open", None, "IC3", 9.0, 3), ("a",), (), impossible)
    assert undecided.message == "not proven in 9 s"


def test_a_break_must_fit_the_text(tmp_path):
    proof = replace(PROOFS[0], breaks=(("no such text", ""),))
    with pytest.raises(ValueError, match="occurs 0 times"):
        broken(proof, 0, tmp_path)
