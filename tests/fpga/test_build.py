"""Boards, clocks, bitstreams, and what the commands say when something is wrong."""

import html
import importlib
import json
import os
import threading
import tty
from contextlib import nullcontext

import browser
import numpy as np
import pytest

from systolith.cli import run
from systolith.fpga import boards, hierarchy, pll, report, toolchain
from systolith.fpga import build as bitstreams
from systolith.fpga.build import TopLevel, build
from systolith.fpga.errors import ConstraintError, CrashError, UnfinishedError
from systolith.fpga.link import host
from systolith.generators import registry
from systolith.generators.core import elaborate
from systolith.hdl.errors import ConfigError, Error
from systolith.sim.simulators.errors import ToolError


def core(**values):
    template = registry.get("dot")
    return elaborate(template, template.config.parse({"lanes": 1, **values}), "core")


@pytest.mark.parametrize("rates, tried, limit", [
    ({"quick": 60, "": 55}, ["quick"], None),
    ({"quick": 30, "": 55}, ["quick", ""], None),            # too slow
    ({"quick": 45, "": 55}, ["quick", ""], 99),              # nearly fast enough
    ({"quick": 30, "": 55}, ["quick"], 99),                  # far from it
    ({"quick": None, "": 55}, ["quick", ""], 99),            # does not fit
    ({"quick": 60, "": 55}, [""], None),                     # no quick way in this family
])
def test_the_quick_way_is_taken_only_where_it_is_fast_enough(monkeypatch, tmp_path, rates, tried,
                                                             limit):
    runs = []

    def place_and_route(program, arguments, folder, device, limit_s):
        _, way = arguments
        runs.append(way)
        if rates[way] is None:
            raise ConstraintError("too large")
        (folder / "report.json").write_text(json.dumps({
            "fmax": {"clk": {"achieved": rates[way]}}, "critical_paths": [], "utilization": {}}))

    monkeypatch.setattr(bitstreams, "run_nextpnr", place_and_route)
    ways = [("quick",), ("",)] if "quick" in tried else [("",)]
    bitstreams.route(None, ("--json",), ways, tmp_path, None, 50, limit)
    assert runs == tried


@pytest.mark.parametrize("never, limit", [({"quick"}, 99), ({"quick", ""}, 99), ({"quick"}, None)])
def test_a_way_that_does_not_end_in_time_is_followed_by_the_other(never, limit, monkeypatch,
                                                                  tmp_path):
    def place_and_route(program, arguments, folder, device, limit_s):
        runs.append(*arguments)
        if runs[-1] in never and limit_s is not None:
            raise UnfinishedError("too late")

    runs: list[str] = []
    monkeypatch.setattr(bitstreams, "run_nextpnr", place_and_route)
    with pytest.raises(UnfinishedError) if "" in never else nullcontext():
        bitstreams.route(None, (), [("quick",), ("",)], tmp_path, None, 50, limit)
    assert runs == ["quick", ""]


def test_place_and_route_that_does_not_end():
    with pytest.raises(ConstraintError, match=r"did not end within 0\.01 s of the proc"):
        build(core(), "icebreaker", seed=7001, limit_s=0.01)   # a seed that no cache has


@pytest.mark.parametrize("name, module, platform", [
    ("icebreaker", "icebreaker", "ICEBreakerPlatform"),
    ("ice40-hx8k-evn", "ice40_hx8k_b_evn", "ICE40HX8KBEVNPlatform"),
    *((f"ulx3s-{size}f", "ulx3s", f"ULX3S_{size}F_Platform") for size in (12, 25, 45, 85)),
])
def test_pins_are_those_of_amaranth_boards(name, module, platform):
    known = getattr(pytest.importorskip(f"amaranth_boards.{module}"), platform)
    board = boards.get(name)
    resources = {(entry.name, entry.number): entry for entry in known.resources}
    clock = resources[known.default_clk, 0]
    uart = {io.name: io.ios[0].names for io in resources["uart", 0].ios}
    assert clock.ios[0].names == [board.clock]
    assert clock.clock.frequency == board.clock_mhz * 1e6
    assert (uart["rx"], uart["tx"]) == ([board.rx], [board.tx])


def test_pins_of_the_orangecrab():
    known = pytest.importorskip("amaranth_boards.orangecrab_r0_2").OrangeCrabR0_2Platform
    board = boards.get("orangecrab")
    header, = known.connectors
    assert (header.mapping["0"], header.mapping["1"]) == (board.rx, board.tx)
    clock, = (entry for entry in known.resources if entry.name == known.default_clk)
    assert clock.ios[0].names == [board.clock]
    assert clock.clock.frequency == board.clock_mhz * 1e6


@pytest.mark.parametrize("board", boards.BOARDS.values(), ids=lambda board: board.name)
def test_clocks(board):
    family = board.device.family.name
    text, actual = pll.instance(family, board.pll, board.clock_mhz, board.clock_mhz)
    assert actual == board.clock_mhz and board.pll not in text
    for wanted in (2 * board.clock_mhz, 1.5 * board.clock_mhz):
        text, actual = pll.instance(family, board.pll, board.clock_mhz, wanted)
        assert abs(actual / wanted - 1) <= pll.TOLERANCE and board.pll in text
    with pytest.raises(ConfigError, match=r"the PLL cannot make 0.5 MHz of"):
        pll.instance(family, board.pll, board.clock_mhz, 0.5)


#: Of each family the one that is built fastest; GateMate's takes two minutes.
FAST = ("icebreaker", "ulx3s-25f", "tang-nano-9k", "gatemate-evb")


@pytest.mark.parametrize("board", [
    *FAST, *(pytest.param(name, marks=pytest.mark.nightly) for name in boards.BOARDS
             if name not in FAST)])
def test_bitstreams(board):
    check(build(core(), board), board)


@pytest.mark.nightly
@pytest.mark.parametrize("board, mhz", [
    ("icebreaker", 18), ("ice40-hx8k-evn", 24), ("ulx3s-85f", 50), ("tang-nano-9k", 40.5),
    ("tang-nano-20k", 54), ("gatemate-evb", 15)])
def test_bitstreams_with_a_pll(board, mhz):
    built = build(core(), board, mhz=mhz)
    check(built, board)
    assert built.top.linked.link.clock_hz == mhz * 1e6
    assert built.top.board.pll in built.synthesized.cells


def check(built, board):
    assert len(built.bitstream) > 50_000
    assert built.timing.fmax_mhz >= built.top.linked.link.clock_hz / 1e6
    assert json.loads(json.dumps(built.report))["board"] == board
    assert bool(built.timing.caveat) == (built.top.board.device.family.name == "gowin"
                                         or board == "icebreaker")
    # Modules take what the whole takes, and cells were placed in parts that there are.
    modules = built.synthesized.modules
    assert modules.resources == pytest.approx(built.resources)
    names = {part.name for part in modules.parts[0].parts} | {modules.parts[0].name}
    assert {"core_linked", "core_link", "core"} == names
    plan = report.floorplan(built)
    shown = {name for name, _ in plan.parts}
    assert "link" in shown and any(name.startswith("core") for name in shown)
    assert len(plan.tiles) > 100
    assert all(0 <= column < plan.width and 0 <= row < plan.height
               for column, row, *_ in plan.tiles)
    page = report.page(built)
    for text in (built.command, "Floorplan", "core_link", built.timing.critical_path[-1].name):
        assert html.escape(text) in page
    assert "http" not in page and "<script" not in page


@pytest.mark.parametrize("width", [360, 390, 820, 1280])
def test_the_page_in_a_browser(width, tmp_path):
    """Nothing is cut off or has to be scrolled sideways, on a phone neither."""
    shown = browser.layout(report.page(build(core(), "icebreaker")), width, tmp_path)
    assert width - 20 <= shown.width <= width and shown.height > 1000
    assert not shown.beyond and not shown.hidden


def test_the_hierarchy():
    paths = hierarchy.instances("""
module \\pe
  cell $add $1
end
module \\top
  cell \\row \\rows[0].u_row
  cell \\row \\rows[1].u_row
  cell \\SB_MAC16 \\block
end
module \\row
  cell \\pe \\u_pe
end
""", "top")
    assert paths == {"": "top", "rows[0].u_row": "row", "rows[1].u_row": "row",
                     "rows[0].u_row.u_pe": "pe", "rows[1].u_row.u_pe": "pe"}
    assert hierarchy.owner("rows[1].u_row.u_pe.sum_SB_DFF_Q", paths) == "rows[1].u_row.u_pe"
    assert hierarchy.owner("rows[1].u_row.x[3]", paths) == "rows[1].u_row"
    assert hierarchy.owner("block", paths) == ""
    tree = hierarchy.modules([("block", "SB_MAC16"), ("rows[0].u_row.u_pe.a", "SB_LUT4"),
                              ("rows[1].u_row.u_pe.a", "SB_LUT4"), ("rows[1].u_row.b", "SB_DFF")],
                             paths, boards.get("icebreaker").device.family)
    row, = tree.parts
    pe, = row.parts
    assert (row.name, row.instances, pe.name, pe.instances) == ("row", 2, "pe", 2)
    assert (pe.resources["lut"], row.resources["ff"], tree.resources["dsp"]) == (2, 1, 1)


def test_the_command_builds_it_again():
    template = registry.get("systolic")
    made = elaborate(template, template.config.parse({"rows": 2, "cols": 3, "output": "requant"}),
                     "mine")
    assert made.config.chosen() == {"rows": 2, "cols": 3, "output": "requant"}
    for preset in template.presets.values():
        config = template.config.parse(preset)
        assert template.config.parse(config.chosen()) == config


def test_a_crash_of_the_router_is_answered_with_another_seed(monkeypatch):
    module = importlib.import_module("systolith.fpga.build")
    place = module._place
    monkeypatch.setattr(module, "_place",
                        lambda *given: None if given[3] < 3 else place(*given[:3], 1, None))
    built = build(core(), "icebreaker")
    assert [(attempt.seed, bool(attempt.failure)) for attempt in built.history] == [
        (1, True), (2, True), (3, False)]
    assert "crashed" in report.page(built)
    monkeypatch.setattr(module, "_place", lambda *given: None)
    with pytest.raises(CrashError, match=r"^nextpnr-ice40: crashed with 8 seeds, the last 8$"):
        build(core(), "icebreaker")


@pytest.mark.parametrize("text, seeds", [
    ("wasm trap: call stack exhausted", 8),
    ("ERROR: Found unbound cell 'u_pe.p' of type 'CPE_FF'", 8),
    ("ERROR: cannot open netlist.json", 1),
])
def test_what_counts_as_a_crash(text, seeds, monkeypatch, tmp_path):
    def fail(*given):
        tried.append(given)
        raise ToolError("nextpnr", "ended in status 125", output=text)

    tried: list[tuple] = []
    monkeypatch.setenv("SYSTOLITH_CACHE", str(tmp_path))
    monkeypatch.setattr(bitstreams, "route", fail)
    with pytest.raises(CrashError if seeds > 1 else ToolError):
        build(core(), "icebreaker")
    assert len(tried) == seeds


def test_other_clock():
    top = TopLevel.of(core(), boards.get("icebreaker"), mhz=18)
    assert top.linked.link.clock_hz == 18_000_000
    assert "SB_PLL40_PAD" in top.verilog


def test_too_large_and_too_slow():
    template = registry.get("systolic")
    large = elaborate(template, template.config.parse({"rows": 4, "cols": 4}), "core")
    with pytest.raises(ConstraintError, match=r"^core with its link does not fit 1BitSquared "
                                              r"iCEBreaker: it needs \d+ dsp of 8$"):
        build(large, "icebreaker")
    with pytest.raises(ConstraintError, match=r"^core misses 120 MHz on 1BitSquared iCEBreaker by "
                                              r"[\d.]+ MHz \([\d.]+ MHz with seed 1\)"):
        build(core(), "icebreaker", mhz=120)


def test_commands(capsys, tmp_path):
    def command(*arguments):
        capsys.readouterr()
        status = run(arguments)
        return status, capsys.readouterr()

    dot = ("dot", "--set", "lanes=1", "--name", "core")
    status, told = command("build", *dot, "--board", "icebraker", "-o", str(tmp_path / "none"))
    assert status == 2
    assert "unknown board 'icebraker' (did you mean 'icebreaker'?); boards are" in told.err
    status, told = command("build", *dot, "--board", "icebreaker", "--freq", "120", "-o",
                           str(tmp_path / "none"))
    assert status == 1 and "misses 120 MHz" in told.err
    assert not (tmp_path / "none").exists()
    status, told = command("build", *dot, "--board", "icebreaker", "-o", str(tmp_path / "out"),
                           "--json")
    report = json.loads(told.out)
    assert status == 0 and report["timing"]["fmax_mhz"] > 12
    assert sorted(path.suffix for path in (tmp_path / "out").iterdir()) == [
        ".bin", ".html", ".json", ".pcf", ".v"]

    np.savez(tmp_path / "x.npz", x=np.arange(6).reshape(2, 3), y=np.ones((2, 3), int))
    files = ("--input", str(tmp_path / "x.npz"), "-o", str(tmp_path / "z.npz"))
    status, told = command("run", *dot, *files)
    assert status == 0
    assert np.load(tmp_path / "z.npz")["z"].ravel().tolist() == [3, 12]
    status, told = command("run", *dot, *files, "--port", str(tmp_path / "absent"))
    assert status == 3 and "is the board plugged in?" in told.err
    status, told = command("program", str(tmp_path / "x.bin"), "--board", "icebreaker")
    assert status == 2 and "x.bin is not a file" in told.err


def test_what_goes_wrong_has_its_status(monkeypatch, capsys, tmp_path):
    out = tmp_path / "none"

    def command(*arguments):
        capsys.readouterr()
        status = run(arguments)
        assert not out.exists()
        return status, capsys.readouterr().err

    building = ("build", "dot", "--set", "lanes=1", "--name", "core", "--board", "icebreaker", "-o",
                str(out))
    status, told = command(*building, "--freq", "1")
    assert (status, "the PLL cannot make 1 MHz of 12 MHz; the nearest is" in told) == (2, True)
    status, told = command("build", "systolic", "--board", "icebreaker", "-o", str(out))
    assert (status, "does not fit 1BitSquared iCEBreaker: it needs" in told) == (1, True)
    monkeypatch.setitem(toolchain.NEXTPNR, "ice40", toolchain.Program("nextpnr-x", "absent", "f"))
    status, told = command(*building)
    assert status == 3
    assert "nextpnr-x: not installed" in told and "pip install 'systolith[fpga]'" in told
    monkeypatch.setattr(toolchain, "LOADER", toolchain.Program("loader-x", "absent", "f"))
    (tmp_path / "x.bin").touch()
    status, told = command("program", str(tmp_path / "x.bin"), "--board", "icebreaker")
    assert (status, "loader-x: not installed" in told) == (3, True)


@pytest.mark.parametrize("noise, told", [
    (b"", "no answer to open the link; is the bitstream loaded, and is it this port?"),
    (b"\x05ab\0", "only garbage in answer to open the link; is the baud rate right"),
], ids=["silence", "garbage"])
def test_what_is_at_the_port(noise, told, monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(host, "TRIES", 1)
    np.savez(tmp_path / "x.npz", x=np.ones((1, 1), int), y=np.ones((1, 1), int))
    ours, theirs = os.openpty()
    tty.setraw(theirs)
    done = threading.Event()

    def chatter():
        while not done.wait(0.02):
            os.write(ours, noise)

    board = threading.Thread(target=chatter)
    board.start()
    status = run(["run", "dot", "--port", os.ttyname(theirs), "--input", str(tmp_path / "x.npz"),
                  "-o", str(tmp_path / "z.npz")])
    done.set()
    board.join()
    os.close(ours)
    os.close(theirs)
    assert status == 3 and told in capsys.readouterr().err
    assert not (tmp_path / "z.npz").exists()


def test_cells_of_another_family_are_refused():
    template = registry.get("systolic")
    made = elaborate(template, template.config.parse({"technology": "ecp5"}), "core")
    with pytest.raises(Error, match="core is made of ecp5 cells, which icebreaker does not have"):
        build(made, "icebreaker")
