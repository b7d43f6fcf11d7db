"""The digits demo on a simulated board, through the program that drives a real one."""

import json
from importlib.resources import files
from types import SimpleNamespace

import numpy as np
import pytest

from systolith import spec
from systolith.cli import run
from systolith.demo import digits as demo
from systolith.demo.quantize import quantize_network
from systolith.fpga import board_netlist, boards
from systolith.fpga.build import TOP, TopLevel
from systolith.generators.core import elaborate
from systolith.running import Core
from systolith.sim.simulators import board as simulated

SPEC = str(files(demo.__package__).joinpath("digits.yaml"))
SMALL = ("--set", "rows=4", "--set", "cols=4", "--set", "acc_depth=64")

pytestmark = pytest.mark.nightly


class Program:
    """A core that is called as ``systolith run SPEC --port PORT --input … -o …``."""

    def __init__(self, port, settings, folder, capsys):
        self.words = ["run", SPEC, *settings, "--port", port, "--json"]
        self.folder, self.capsys = folder, capsys

    def __call__(self, **arguments):
        given, results = self.folder / "x.npz", self.folder / "y.npz"
        np.savez(given, **arguments)
        self.capsys.readouterr()
        status = run([*self.words, "--input", str(given), "-o", str(results)])
        said = self.capsys.readouterr()
        assert status == 0, said.err or said.out
        told = json.loads(said.out)
        assert told["flags"] == [] and told["counters"]["cycles_busy"] == told["cycles"]
        self.last = SimpleNamespace(cycles=told["cycles"], utilization=0.0)
        with np.load(results) as found:
            return dict(found)


@pytest.mark.parametrize("level, settings, images", [
    ("rtl", (), 40), ("netlist", SMALL, 4)])
def test_digits(level, settings, images, tmp_path, capsys, verified):
    known = demo.load_digits()
    layers = quantize_network(demo.train(known), known.train)
    request = spec.resolve(SPEC, settings[1::2], None)
    top = TopLevel.of(elaborate(request.template, request.config, request.name),
                      boards.get("ulx3s-85f"))
    text = top.verilog if level == "rtl" else board_netlist.of_board(top).text
    link = top.linked.link
    port = simulated.BoardPort(simulated.TopLevel(TOP, text, "pin_clk", "pin_rx", "pin_tx",
                                                  level == "netlist"),
                               link.clock_hz, link.divisor)
    golden = demo.run(Core(request, "golden"), layers, known.test[:images])
    with simulated.PseudoTerminal(port) as terminal:
        program = Program(terminal.path, settings, tmp_path, capsys)
        runs = demo.run(program, layers, known.test[:images])
    assert demo.differences(golden, runs, cycles=False) == []
    assert all(got.cycles > want.cycles for want, got in zip(golden, runs, strict=True))
    verified("systolic", f"digits on a simulated board, {level}", "verilator", len(layers))
