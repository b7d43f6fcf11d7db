"""Netlists of boards in place of the RTL, behind a pseudo-terminal; models of the cells."""

import re
import shutil
from dataclasses import replace

import numpy as np
import pytest

import systolith
from systolith import simulation
from systolith.fpga import board_netlist, boards
from systolith.fpga.build import TOP, TopLevel
from systolith.fpga.unpacked import core_from_bitstream
from systolith.generators import registry
from systolith.generators.core import elaborate
from systolith.hdl.errors import Error
from systolith.sim.cases import draw
from systolith.sim.simulators import board as simulated
from systolith.sim.simulators.errors import ToolError

DOT = registry.get("dot")


def made(board, mhz=None):
    core = elaborate(DOT, DOT.config.parse({"lanes": 1}), "core")
    return TopLevel.of(core, boards.get(board), mhz=mhz)


def products(top, text):
    """What the host program gets from a board with this top level, and what it should get."""
    link = top.linked.link
    port = simulated.BoardPort(simulated.TopLevel(TOP, text, "pin_clk", "pin_rx", "pin_tx", True),
                               link.clock_hz, link.divisor)
    x, y = np.random.default_rng(1).integers(-128, 128, (2, 4, 25))
    with simulated.PseudoTerminal(port) as terminal:
        core = systolith.load("dot", lanes=1, name="core", backend=f"serial:{terminal.path}")
        z = core(x=x, y=y)["z"].ravel()
        core.close()
    return z.tolist(), (x * y).sum(axis=1).tolist()


@pytest.mark.parametrize("board, mhz", [
    ("icebreaker", None),
    *(pytest.param(*entry, marks=pytest.mark.nightly) for entry in (
        ("icebreaker", 18), ("ice40-hx8k-evn", None), ("ulx3s-25f", None), ("ulx3s-25f", 50)))])
def test_the_netlist_does_what_the_rtl_does(board, mhz, verified):
    top = made(board, mhz)
    found = board_netlist.of_board(top)
    assert set(found.cells) & {"SB_LUT4", "LUT4"} and set(found.cells) & {"SB_RAM40_4K", "DP16KD"}
    assert (mhz is None) == (top.board.pll not in found.cells)
    got, wanted = products(top, found.text)
    assert got == wanted
    verified("dot", f"netlist on {board}", "verilator")


@pytest.mark.nightly
@pytest.mark.parametrize("board, old, new", [
    ("icebreaker", ".BOTOUTPUT_SELECT(2'h3)", ".BOTOUTPUT_SELECT(2'h2)"),
    ("ulx3s-25f", "latch <= past;", "latch <= past ^ 36'd1;")], ids=["multiplier", "memory"])
def test_a_wrong_cell_is_caught(board, old, new):
    top = made(board)
    text = board_netlist.of_board(top).text
    assert text.count(old) == 1
    broken = text.replace(old, new)
    try:
        got, wanted = products(top, broken)
    except ToolError:
        return
    assert got != wanted


def test_models_of_cells():
    models = board_netlist.cell_models(["SB_DFFE", "SB_LUT4"], "ice40")
    assert re.findall(r"^module (\w+)", models, re.M) == ["SB_DFFE", "SB_LUT4"]
    assert "`" not in models and "specify" not in models
    # What a cell is made of comes along; ours where Yosys knows no more than the ports.
    models = board_netlist.cell_models(["TRELLIS_DPR16X4", "MULT18X18D", "CCU2C"], "ecp5")
    assert set(re.findall(r"^module (\w+)", models, re.M)) == {
        "TRELLIS_DPR16X4", "MULT18X18D", "CCU2C", "LUT2", "LUT4"}
    with pytest.raises(KeyError, match="no simulation model of NOTHING"):
        board_netlist.cell_models(["NOTHING"], "ecp5")


@pytest.mark.nightly
@pytest.mark.skipif(shutil.which("icebox_vlog") is None, reason="no icebox_vlog, which comes with "
                    "fpga-icestorm of Debian: bitstreams were not read back")
def test_the_bitstream_does_what_the_rtl_does(verified):
    core = elaborate(DOT, DOT.config.parse({"lanes": 1}), "core")
    text = core_from_bitstream(core)
    read_back = replace(core, verilog=text, files={**core.files, "core.v": text})
    model, done = DOT.load_model(), 0
    with simulation.compiled(read_back) as simulator:
        for case in draw(model, core.config, 1, None):
            result = simulator.run(case.job)
            for name, beats in case.expected.items():
                assert np.array_equal(result.beats[name].data, beats.data)
                assert np.array_equal(result.beats[name].last, beats.last)
            assert (result.flags, result.cycles) == (case.flags, case.cycles)
            done += 1
    verified("dot", "bitstream of an HX8K", "verilator", done)
    memories = elaborate(registry.get("systolic"), registry.get("systolic").config.parse(
        {"rows": 1, "cols": 1}), "core")
    with pytest.raises(Error, match=r"^icebox_vlog does not know the blocks in core: SB_RAM40_4K$"):
        core_from_bitstream(memories)
