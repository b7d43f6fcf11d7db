"""Area and clock rate: the figures of small designs that can be counted by hand."""

import json

import pytest
from amaranth import Module, Signal, signed, unsigned
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from systolith.cli import run
from systolith.fpga import devices, enables, synthesis, toolchain
from systolith.fpga.design import Design, Port
from systolith.fpga.errors import ConstraintError
from systolith.fpga.pin_shell import pin_shell
from systolith.fpga.place_route import read_report, run_nextpnr, source_name
from systolith.fpga.synthesis import synthesize
from systolith.hdl.arithmetic.multiplier import Multiplier
from systolith.hdl.bus.axi_stream import Fifo, RegisterSlice, Signature
from systolith.hdl.errors import Error
from systolith.hdl.structure.linear_array import LinearArray
from systolith.sim.simulators.errors import ToolError

SLICE_FLIP_FLOPS = 2 * (8 + 1) + 4   # two beats of data and last, valid, ready, two pointers


class Arithmetic(wiring.Component):
    """A registered product and sum, for resources beside look-up tables."""

    a: In(8)
    b: In(8)
    product: Out(16)
    total: Out(16)

    def elaborate(self, platform):
        m = Module()
        m.d.sync += [self.product.eq(self.a * self.b), self.total.eq(self.total + self.a)]
        return m


class Parity(wiring.Component):
    """XOR of neighbours: nothing that synthesis could make smaller."""

    a: In(9)
    b: Out(8)

    def elaborate(self, platform):
        m = Module()
        m.d.comb += self.b.eq(self.a[1:] ^ self.a[:-1])
        return m


class Products(wiring.Component):
    """More multipliers than an ECP5 12k has."""

    def __init__(self, count):
        self.count = count
        super().__init__({"a": In(18 * count), "p": Out(36 * count)})

    def elaborate(self, platform):
        m = Module()
        for index in range(self.count):
            factor = Signal(18, name=f"factor_{index}")
            m.d.sync += [factor.eq(self.a.word_select(index, 18)),
                         self.p.word_select(index, 36).eq(factor * factor)]
        return m


@pytest.fixture
def fresh_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("SYSTOLITH_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def register_slice():
    return Design.of(RegisterSlice(Signature(8)))


def test_design_of_a_component(register_slice):
    assert register_slice.name == "register_slice"
    assert register_slice.ports[:3] == [Port("clk", "input", 1), Port("rst", "input", 1),
                                        Port("i_data", "input", 8)]
    assert Port("o_data", "output", 8) in register_slice.ports
    assert len(register_slice.ports) == 10


def test_gates_of_exclusive_ors():
    found = synthesize(Parity(), "gates")
    assert found.cells == {"$_XOR_": 8}
    assert found.resources == {"gates": 20, "logic_gates": 20, "flip_flops": 0, "memory_bits": 0}


@pytest.mark.parametrize("device, resource", [
    ("gates", "gates"), ("gates", "flip_flops"), ("ice40-up5k", "ff"), ("ecp5-25k", "carry"),
    ("gw1nr-9", "ff"), ("gatemate-a1", "ff")])
def test_module_by_module_counts_every_occurrence(device, resource):
    five = LinearArray(Arithmetic, 5, name="part")
    one = synthesize(Arithmetic(), device).resources[resource]
    found = synthesize(five, device, by_module=True)
    assert found.resources[resource] == 5 * one > 0
    assert not any("part" in cell or "arithmetic" in cell for cell in found.cells)


def test_module_by_module_is_not_placed():
    with pytest.raises(Error, match=r"^what is synthesized module by module cannot be placed"):
        synthesize(Arithmetic(), "ecp5-25k", by_module=True, pnr=True)


@pytest.mark.parametrize("device", ["gates", "ice40-up5k", "ecp5-25k", "gw1nr-9", "gatemate-a1"])
def test_flip_flops_of_a_register_slice(register_slice, device):
    found = synthesize(register_slice, device)
    name = "flip_flops" if device == "gates" else "ff"
    assert found.resources[name] == SLICE_FLIP_FLOPS
    assert not found.excess


@pytest.mark.parametrize("device, dsp", [("ice40-up5k", 1), ("ice40-hx8k", 0), ("ecp5-25k", 1),
                                         ("gw1nr-9", 0.5), ("gatemate-a1", 1)])
def test_multipliers_and_carries(device, dsp):
    found = synthesize(Arithmetic(), device)
    assert found.resources["dsp"] == dsp
    assert found.resources["carry"] >= 7
    assert found.resources["bram"] == 0
    assert json.loads(json.dumps(found.as_dict()))["fits"] is True


@pytest.mark.parametrize("width", [14, 18])
def test_products_with_two_registers_behind_and_none_in_front(width):
    """Yosys crashes there when it packs the inner pipeline of an SB_MAC16."""
    found = synthesize(Multiplier(signed(width), unsigned(14), stages=2), "ice40-up5k")
    assert found.resources["dsp"] == (1 if width <= 16 else 2)


class Accumulator(wiring.Component):
    """A block of the source in front of an adder with a register."""

    a: In(signed(16))
    b: In(signed(16))
    total: Out(signed(32))

    def elaborate(self, platform):
        m = Module()
        m.submodules.multiply = multiply = Multiplier(
            signed(16), signed(16), stages=2, technology="ice40", operand_registers=True)
        m.d.comb += [multiply.a.eq(self.a), multiply.b.eq(self.b), multiply.b_enable.eq(1)]
        m.d.sync += self.total.eq(self.total + multiply.p)
        return m


def test_adders_behind_a_block_of_the_source_stay_outside():
    """Yosys crashes where it looks at parameters that the block does not have."""
    found = synthesize(Accumulator(), "ice40-up5k")
    assert found.resources["dsp"] == 1 and found.resources["carry"] >= 31


@pytest.mark.parametrize("device", devices.DEVICES)
def test_memories_of_look_up_tables_are_a_wish(device):
    """Families without any make such memories of something else."""
    found = synthesize(Fifo(Signature(8), 32, spread=True), device)
    family = devices.get(device).family
    if family in (devices.ECP5, devices.GOWIN):
        assert found.resources["lutram"]
    else:
        assert found.resources["bram"] or found.resources["ff"] > 32 * 9


def test_the_shell_has_a_register_for_every_port(register_slice):
    text = pin_shell(register_slice)
    inputs = 1 + 8 + 1 + 1 + 1               # rst; data, last, valid; the other side's ready
    assert f"reg  [{inputs - 1}:0] stimulus;" in text
    assert "wire [10:0] results;" in text
    assert ".i_data(stimulus[1 +: 8])" in text
    assert ".clk(clk)" in text


@pytest.mark.parametrize("device", [
    "ice40-up5k", "ice40-hx8k", "ecp5-25k",
    *(pytest.param(name, marks=pytest.mark.nightly) for name in (
        "ecp5-12k", "ecp5-45k", "ecp5-85k", "gw1nr-9", "gw2ar-18", "gatemate-a1"))])
def test_place_and_route(register_slice, device):
    found = synthesize(register_slice, device, pnr=True)
    timing = found.timing
    assert timing.fmax_mhz > 50
    assert sum(step.delay_ns for step in timing.critical_path) == pytest.approx(
        1000 / timing.fmax_mhz, rel=0.02)
    assert found.resources["ff"] == SLICE_FLIP_FLOPS           # the shell is not counted
    counted = {"logic": ("ICESTORM_LC", "TRELLIS_COMB", "LUT4", "CPE_LT"),
               "ff": ("ICESTORM_LC", "TRELLIS_FF", "DFF", "CPE_FF")}
    for resource, cells in counted.items():
        available, = {timing.placed[cell][1] for cell in cells if cell in timing.placed}
        assert available == found.capacity[resource]
    registers = max(timing.placed.get(cell, (0, 0))[0] for cell in counted["ff"])
    assert registers >= SLICE_FLIP_FLOPS + 12 + 2 * 11         # nothing was optimized away


def test_the_longest_path_has_names_of_the_source():
    path = [step.name for step in synthesize(Arithmetic(), "ice40-hx8k",
                                             pnr=True).timing.critical_path]
    assert path[-1] == "product"
    assert all("$" not in name and "SB_" not in name for name in path)


@pytest.mark.parametrize("name, source", [
    ("design.u_inner.u_lanes.gen_lane[3].u_lane.wrapped_TRELLIS_FF_Q_DI_LUT4_Z",
     "u_inner.u_lanes.gen_lane[3].u_lane.wrapped"),
    ("design.u_inner.lanes_total_TRELLIS_FF_Q_1_DI_CCU2C_S0$CCU2_COMB1", "u_inner.lanes_total"),
    ("design.u_inner.sums.0.0", "u_inner.sums"),
    ("design.slice_a_o_user[0]", "slice_a_o_user"),
    ("$flatten\\design.$auto$ff.cc:337:slice$3182", ""),
    ("stimulus_SB_DFF_Q_3_D", "stimulus"),
])
def test_source_names(name, source):
    assert source_name(name, "design.") == source


def test_report_without_clocked_paths():
    timing = read_report({"fmax": {}, "critical_paths": [], "utilization": {}}, 100, 1, "")
    assert (timing.fmax_mhz, timing.critical_path) == (0.0, ())


def test_results_are_cached(register_slice, fresh_cache, monkeypatch):
    first = synthesize(register_slice, "ice40-hx8k", pnr=True)

    def forbidden(*arguments):
        raise AssertionError("a tool ran again")

    monkeypatch.setattr(toolchain, "yosys", forbidden)
    monkeypatch.setattr(toolchain.Program, "run", forbidden)
    assert synthesize(register_slice, "ice40-hx8k", pnr=True) == first
    with pytest.raises(AssertionError):
        synthesize(register_slice, "ice40-hx8k", pnr=True, seed=2)


def test_too_large_is_said_before_place_and_route():
    with pytest.raises(ConstraintError, match=r"^products does not fit Lattice LFE5U-12F, speed "
                                              r"grade 6: it needs 29 dsp of 28$"):
        synthesize(Products(29), "ecp5-12k", pnr=True)
    assert synthesize(Products(29), "ecp5-12k").excess == "29 dsp of 28"


@pytest.mark.parametrize("said, why", [
    ("ERROR: Unable to place cell 'a', no BELs remaining to implement cell type 'SB_MAC16'",
     "Unable to place cell 'a', no BELs remaining to implement cell type 'SB_MAC16'"),
    ("ERROR: Failed to expand region (0, 0) |_> (25, 31) of 5672 ICESTORM_LCs\n0 warnings",
     "no region of it holds 5672 ICESTORM_LCs"),
    ("ERROR: no such file", None),
])
def test_too_large_is_said_after_place_and_route(said, why, tmp_path, monkeypatch):
    def run(self, arguments, folder, *, limit_s=None):
        raise ToolError(self.name, "ended in status 125", output=said)

    monkeypatch.setattr(toolchain.Program, "run", run)
    monkeypatch.setattr(enables, "check", lambda netlist, device: None)
    device = devices.get("ice40-up5k")
    with pytest.raises(ConstraintError if why else ToolError) as caught:
        run_nextpnr(toolchain.NEXTPNR["ice40"], ("--json", "x"), tmp_path, device)
    if why:
        assert str(caught.value) == f"the design does not fit {device.title}: {why}"


@pytest.mark.parametrize("blocks, common, refused", [(117, True, False), (118, True, True),
                                                     (156, False, False)])
def test_more_enables_than_wires_are_refused(blocks, common, refused, tmp_path):
    """nextpnr places the first of these, and looks for hours for a place for the second."""
    ports = {"CE0": ["1"] if common else [], "CLK0": [2]}
    cells = {f"block_{index}": {"type": "MULT18X18D", "connections": {**ports, "CE1": [index + 3]}}
             for index in range(blocks)}
    netlist = tmp_path / "netlist.json"
    netlist.write_text(json.dumps({"modules": {"top": {"cells": cells}}}))
    if not refused:
        enables.check(netlist, devices.get("ecp5-85k"))
        return
    with pytest.raises(ConstraintError, match=r"^the 118 multiplier blocks have 118 different "
                                              r"enables, and Lattice LFE5U-85F, .* for 117; "):
        enables.check(netlist, devices.get("ecp5-85k"))
    enables.check(netlist, devices.get("gw2ar-18"))      # its blocks have wires of their own


def test_wrong_devices():
    with pytest.raises(Error, match=r"^unknown device 'ecp5_25k' \(did you mean 'ecp5-25k'\?\); "
                                    r"devices are gates, ice40-up5k, ice40-hx8k, ecp5-12k, "):
        devices.get("ecp5_25k")
    with pytest.raises(Error, match=r"^gates cannot be placed and routed; choose a device$"):
        synthesize(Parity(), "gates", pnr=True)


def test_cells_of_another_family_are_refused():
    design = Design("core", "module core ();\nendmodule\n", technology="ecp5")
    with pytest.raises(Error, match=r"^core is made of ecp5 cells, which ice40-hx8k does not have; "
                                    r"technology must be generic$"):
        synthesize(design, "ice40-hx8k")
    with pytest.raises(Error, match=r"technology must be generic or gowin$"):
        synthesize(design, "gw1nr-9")
    with pytest.raises(Error, match=r"technology must be generic$"):
        synthesize(design, "gates")
    multipliers = Design("core", "module core ();\nendmodule\n", technology="ice40")
    with pytest.raises(Error, match=r"^core is made of ice40 cells, which ice40-hx8k does not "
                                    r"have; technology must be generic$"):
        synthesize(multipliers, "ice40-hx8k")


def test_missing_tools(register_slice, fresh_cache, monkeypatch):
    monkeypatch.setattr(toolchain.Program, "packaged", None)
    monkeypatch.setattr(toolchain.Program, "native", None)
    with pytest.raises(ToolError, match="yosys: not installed\nto install it: pip install pyosys"):
        synthesize(register_slice, "ice40-hx8k")
    monkeypatch.setattr(synthesis, "netlist", lambda design, device: None)
    with pytest.raises(ToolError, match=r"pip install 'systolith\[fpga\]'"):
        toolchain.NEXTPNR["ecp5"].run([], ".")


def test_a_newer_program_on_path_wins():
    assert toolchain._newer("0.71", "0.70")
    assert toolchain._newer("0.9", None)
    assert not toolchain._newer("0.9", "0.11.1.0.post826")
    assert not toolchain._newer("0.70+12", "0.70")
    assert not toolchain._newer(None, "0.70")


def test_a_failing_tool_shows_its_last_lines(fresh_cache):
    with pytest.raises(ToolError) as caught:
        synthesize(Design("broken", "module broken (\n  input  wire clk\n);\n  syntax error\n"),
                   "gates")
    assert caught.value.tool == "yosys"
    assert "ERROR" in caught.value.tail and "syntax error" in caught.value.tail


def command(capsys, *arguments):
    capsys.readouterr()
    status = run(["synth", "dot", "--set", "lanes=1", *arguments])
    return status, capsys.readouterr()


def test_command(capsys):
    status, told = command(capsys, "--device", "ice40-hx8k", "--freq", "10", "--json")
    document = json.loads(told.out)
    assert status == 0
    assert document["timing"]["fmax_mhz"] > 10
    assert document["resources"]["ff"] > 500
    status, told = command(capsys, "--device", "ice40-hx8k", "--freq", "10")
    assert status == 0 and "clock: " in told.out and "longest path" in told.out


def test_command_misses_the_clock(capsys):
    status, told = command(capsys, "--device", "ice40-hx8k", "--freq", "900")
    assert status == 1
    assert "MISSED: 900 MHz were asked for" in told.out


def test_command_refuses_wrong_devices(capsys):
    for arguments in (["--device", "x"], ["--device", "gates", "--pnr"]):
        status, told = command(capsys, *arguments)
        assert (status, told.out, len(told.err.splitlines())) == (2, "", 1)
