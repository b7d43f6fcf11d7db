"""The exercise finds what the models do not allow, in every part of a core."""

from dataclasses import replace

import numpy as np
import pytest

from systolith.generators import registry
from systolith.generators.core import elaborate, write
from systolith.hdl.interface import Field, Register
from systolith.sim.registers import SLVERR, RegisterModel
from systolith.sim.simulators import cxxrtl, verilator
from systolith.sim.simulators.core import Core
from systolith.sim.simulators.exercise import Exercise
from systolith.sim.simulators.exercise.counters import writable
from systolith.sim.simulators.harness import Simulator


def written(tmp_path, name: str, values: dict) -> Core:
    template = registry.get(name)
    core = elaborate(template, template.config.parse(dict(values)), "core")
    write(core, tmp_path)
    return Core.read(tmp_path / "core.v", tmp_path / "core.json", core.model)


@pytest.fixture
def dot(tmp_path):
    return written(tmp_path, "dot", {"lanes": 2})


def problem(files: Core, tmp_path, *changes) -> str | None:
    text = files.sources[0].read_text()
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    if changes:
        broken = tmp_path / "broken.v"
        broken.write_text(text)
        files = replace(files, sources=(broken,))
    with Simulator(files, verilator.build(writable(files, tmp_path))) as simulator:
        return Exercise(files, 1).first_problem(simulator)


def test_a_right_core_passes(dot, tmp_path):
    assert problem(dot, tmp_path) is None


@pytest.mark.parametrize(("change", "step"), [
    (("word_1_0 + {15'd0, count_2}", "word_1_0"), "counters"),
    (("assign write_mask = {", "assign write_mask = 32'hFFFF_FFFF | {"), "counters"),
    (("full_to_1 <= &word_0_16;", "full_to_1 <= &(word_0_16 | 16'h0100);"), "counters"),
    (("    if (bus_awvalid & bus_awready) begin\n      write_address",
      "    if (bus_awvalid) begin\n      write_address"), "overlapping accesses"),
    (("      i_ready <= 1'b0;\n      write_odd", "      i_ready <= 1'b1;\n      write_odd"),
     "resets in frames"),
], ids=["no carry", "strobes ignored", "a carry too early", "next address taken early",
        "ready in a reset"])
def test_a_broken_core_is_found(dot, tmp_path, change, step):
    assert problem(dot, tmp_path, change).startswith(f"{step}: ")


def test_a_bubble_behind_a_pause_is_found(tmp_path):
    files = written(tmp_path, "activation", {})
    change = "(stored_risen ? (stored >= 5'd2) : (stored >= 5'd3))", "1'b0"
    found = problem(files, tmp_path, change)
    assert "cycles with" in found and "of pauses, and" in found


@pytest.mark.parametrize(("change", "late"), [
    (("waiting = control_waiting | ", "waiting = "), "a"),
    (("(~loader_full) & control_idle & ", "(~loader_full) & (~control_busy) & "), "w"),
    ((" | emission_waiting", ""), "q"),
], ids=["activations", "weights between tiles", "parameters"])
def test_cycles_lost_to_a_late_beat_that_are_not_told_are_found(tmp_path, change, late):
    files = written(tmp_path, "systolic", {"rows": 2, "cols": 3, "output": "requant"})
    found = problem(files, tmp_path, change)
    assert found.startswith("late beats: ") and f" of {late}, " in found


def test_a_core_that_looks_at_what_is_not_valid_is_found(tmp_path):
    files = written(tmp_path, "systolic", {"rows": 2, "cols": 2})
    change = "(~(dropping & a_valid & a_last))", "(~(dropping & a_last))"
    found = problem(files, tmp_path, change)
    assert found.startswith("going on: ") and "behind a long longest frame of a" in found


def test_a_frame_unlike_the_one_it_comes_with_is_told(tmp_path):
    files = written(tmp_path, "softmax", {"algorithm": "integer", "store": "replay"})
    # A row of one beat may have three when it comes again.
    change = "before_ == 6'd0), before_}", "before_ == 6'd0), before_ | {(before_ == 0), 1'b0}}"
    assert problem(files, tmp_path, change).startswith("unlike frames: flag replay_differs is not "
                                                       "raised with a frame of replay of 3 beats")


def test_a_core_that_is_late_after_a_reset_is_found(tmp_path):
    files = written(tmp_path, "ternary", {})
    change = "draining <= 3'd0;", "draining <= 3'd4;"
    assert problem(files, tmp_path, change).startswith("right after resets: '1x1x1': cycles: ")


def test_a_flag_on_its_way_into_a_reset_is_found(tmp_path):
    files = written(tmp_path, "bitserial", {"rows": 1, "cols": 1, "group": 16, "a_format": "int8"})
    change = "      coded <= 1'b0;\n      bad_code <= 1'b0;\n", "      coded <= 1'b0;\n"
    assert problem(files, tmp_path, change).startswith("resets in frames: errors after a reset: ")


@pytest.mark.parametrize("flag", ["zero_scale", "short"])
def test_a_flag_that_a_reset_does_not_clear_is_found(tmp_path, flag):
    files = written(tmp_path, "bitserial", {"rows": 1, "cols": 1, "group": 16, "a_format": "int8"})
    change = f"      flag_{flag} <= 1'b0;\n", ""
    step = "wrong frames" if flag == "short" else "frames"
    assert problem(files, tmp_path, change).startswith(f"resets in {step}: errors after a reset: ")


def test_codes_where_a_frame_is_filled_up_are_found(tmp_path):
    files = written(tmp_path, "bitserial", {"rows": 1, "cols": 1, "group": 16, "a_format": "int8"})
    change = "codes <= control_fill ? 32'd0 : w_data;", "codes <= w_data | {32{control_fill}};"
    found = problem(files, tmp_path, change)
    assert "without the last beat of a frame of a: flags are " in found


def test_a_cycle_more_where_a_frame_is_filled_up_is_found(tmp_path):
    files = written(tmp_path, "systolic", {"rows": 2, "cols": 2})
    found = problem(files, tmp_path,
                    ("(reached == 2'd2) & (filling | too_short)", "ends & filling"))
    assert "without the last beat of a frame of w: counter cycles_busy is " in found


def test_a_code_of_the_frame_behind_one_that_is_filled_up_is_found(tmp_path):
    files = written(tmp_path, "systolic", {"rows": 3, "cols": 2, "a_format": "mxfp8e4m3/3",
                                           "w_format": "mxfp8e4m3/3"})
    found = problem(files, tmp_path, ("wants = free & (~filling)", "wants = free"),
                    ("i_ready = wants | dropping", "i_ready = (free & (~filling)) | dropping"))
    assert "without the end of a frame of w: c is not what it is with 0 there" in found


def test_a_frame_that_begins_without_room_for_its_results_is_found(tmp_path):
    files = written(tmp_path, "systolic", {"rows": 2, "cols": 2})
    assert problem(files, tmp_path, ("(room & may_emit) | (~a_user[1])",
                                     "(room & may_emit) | a_user[1]"))


@pytest.mark.parametrize("old, new", [
    ("(dropping & (~(dropping & a_valid & a_last)))", "1'b0"),
    ("fresh = a_user[0] | (~sum_open)", "fresh = a_user[0]")], ids=["rest of a frame", "no sum"])
def test_frames_that_are_out_of_order_are_found(tmp_path, old, new):
    assert problem(written(tmp_path, "systolic", {"rows": 2, "cols": 2, "acc_depth": 4}),
                   tmp_path, (old, new))


def test_waiting_while_a_frame_is_filled_up_is_found(tmp_path):
    files = written(tmp_path, "topn", {})
    found = problem(files, tmp_path, ("(in_frame & (~filling) & go)", "(in_frame & go)"))
    assert "without the last beat of a frame of x: counter stalled_input is " in found


def test_what_counts_as_waiting_with_all_input_there_is_found(tmp_path):
    files = written(tmp_path, "sparse_chain", registry.get("sparse_chain").presets["quantized"])
    found = problem(files, tmp_path, (")) & (~w_valid)) | (", "))) | ("))
    assert "stalled_input counts " in found and " with all input there" in found


def test_what_is_kept_of_a_frame_that_came_alone_is_found(tmp_path):
    files = written(tmp_path, "sparse_chain", registry.get("sparse_chain").presets["dense"])
    change = "assign busy = in_frame | valid;", "assign busy = 1'b0;"
    assert problem(files, tmp_path, change).startswith("going on: ")


@pytest.mark.parametrize("name, values, change, event", [
    ("dot", {"lanes": 2}, ("drop_x <= y_last & (~x_last)", "drop_x <= 1'b0"),
     "a long frame of x"),
    ("systolic", {}, ("(dropping & (~(dropping & a_valid & a_last)))", "dropping"),
     "a long last frame with tuser 0x2 of a"),
], ids=["nothing is dropped", "too much is dropped"])
def test_a_core_that_drops_wrongly_does_not_go_on(name, values, change, event, tmp_path):
    files, event = written(tmp_path, name, values), f"goes on after {event}"
    broken = tmp_path / "broken.v"
    broken.write_text(files.sources[0].read_text().replace(*change))
    for core, goes_on in (files, True), (replace(files, sources=(broken,)), False):
        with Simulator(core, verilator.build(core)) as simulator:
            found = Exercise(core, 1).first_problem(simulator, {event})
        assert (found is None) == goes_on and (goes_on or event in found)


PRESETS = [(template, preset) for template in registry.TEMPLATES for preset in template.presets]


@pytest.mark.parametrize("template, preset", [
    pytest.param(template, preset, id=f"{template.name}-{preset}",
                 marks=[] if preset == list(template.presets)[-1] else pytest.mark.nightly)
    for template, preset in PRESETS])
def test_presets(template, preset, tmp_path):
    files = written(tmp_path, template.name, template.presets[preset])
    assert problem(files, tmp_path) is None


def test_a_model_without_writable_counters_still_runs(dot):
    exercise = Exercise(dot, 1)
    with cxxrtl.simulator(dot) as simulator:
        assert exercise.first_problem(simulator) is None
        assert not simulator.deposit("core.u_count_frames", "word_0_0", 1)
    assert "counters wrap" not in exercise.events
    assert {"a reset in a frame", "frames back to back"} <= exercise.events


def test_register_model():
    model = RegisterModel([
        Register("setting", 0x80, "rw", (Field("value", 4, 8, "", reset=3),), ""),
        Register("action", 0x84, "wo", (Field("go", 0, 1, ""),), ""),
        Register("fixed", 0x88, "ro", (Field("value", 0, 32, "", reset=7),), "")])
    assert model.read(0x80) == (0, 0x30)
    assert model.write(0x80, 0xFFFF_FFFF, 0b0001) == 0
    assert model.read(0x82) == (0, 0xF0)
    model.write(0x80, 0, 0b0010)
    assert model.read(0x80) == (0, 0xF0)
    assert model.write(0x88, 1, 15) == 0 and model.read(0x88) == (0, 7)
    assert model.write(0x84, 1, 15) == 0 and model.read(0x84) == (0, 0)
    assert model.write(0x8C, 1, 15) == SLVERR and model.read(0x8C) == (SLVERR, 0)
    model.reset()
    assert model.read(0x80) == (0, 0x30)


def test_cases_are_the_same_every_time(dot):
    first, second = (Exercise(dot, 5).cases for _ in range(2))
    assert [case.workload.label for case in first] == [case.workload.label for case in second]
    assert all(np.array_equal(a.job.inputs["x"].data, b.job.inputs["x"].data)
               for a, b in zip(first, second, strict=True))
