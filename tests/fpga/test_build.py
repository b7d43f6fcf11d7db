"""Boards, clocks, bitstreams, and what the commands say when something is wrong."""

import json

import numpy as np
import pytest

from systolith.cli import run
from systolith.fpga import boards, pll
from systolith.fpga.build import TopLevel, build
from systolith.fpga.errors import ConstraintError
from systolith.generators import registry
from systolith.generators.core import elaborate
from systolith.hdl.errors import ConfigError, Error


def core(**values):
    template = registry.get("dot")
    return elaborate(template, template.config.parse({"lanes": 1, **values}), "core")


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


@pytest.mark.parametrize("board", [
    "icebreaker", "ulx3s-25f",
    *(pytest.param(name, marks=pytest.mark.nightly) for name in boards.BOARDS
      if name not in ("icebreaker", "ulx3s-25f"))])
def test_bitstreams(board):
    built = build(core(), board)
    assert len(built.bitstream) > 50_000
    assert built.timing.fmax_mhz >= built.top.linked.link.clock_hz / 1e6
    assert json.loads(json.dumps(built.report))["board"] == board


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
        ".bin", ".json", ".pcf", ".v"]

    np.savez(tmp_path / "x.npz", x=np.arange(6).reshape(2, 3), y=np.ones((2, 3), int))
    files = ("--input", str(tmp_path / "x.npz"), "-o", str(tmp_path / "z.npz"))
    status, told = command("run", *dot, *files)
    assert status == 0
    assert np.load(tmp_path / "z.npz")["z"].ravel().tolist() == [3, 12]
    status, told = command("run", *dot, *files, "--port", str(tmp_path / "absent"))
    assert status == 3 and "is the board plugged in?" in told.err
    status, told = command("program", str(tmp_path / "x.bin"), "--board", "icebreaker")
    assert status == 2 and "x.bin is not a file" in told.err


def test_cells_of_another_family_are_refused():
    template = registry.get("systolic")
    made = elaborate(template, template.config.parse({"technology": "ecp5"}), "core")
    with pytest.raises(Error, match="core is made of ecp5 cells, which icebreaker does not have"):
        build(made, "icebreaker")
