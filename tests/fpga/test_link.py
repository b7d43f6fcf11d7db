"""The host's end of the link against the RTL of the device's end, on a simulated board."""

import binascii
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import systolith
from systolith.cli import run
from systolith.fpga import boards
from systolith.fpga.build import TOP
from systolith.fpga.build import TopLevel as Top
from systolith.fpga.link import host
from systolith.fpga.link.host import Session, WrongCoreError
from systolith.fpga.link.packets import Packet, SegmentReader, Splitter, decode, to_segments
from systolith.fpga.link.ports import SerialPort
from systolith.generators import registry
from systolith.generators.core import elaborate
from systolith.hdl.errors import Error
from systolith.hdl.formats import parse_format
from systolith.hdl.interface import MAGIC, Stream
from systolith.hdl.link.config import MAX_PAYLOAD, PROTOCOL, Kind, LinkConfig
from systolith.sim.cases import draw, work_out
from systolith.sim.frames import Beats
from systolith.sim.model import Workload
from systolith.sim.simulators import verilator
from systolith.sim.simulators.board import BoardPort, PseudoTerminal, TopLevel
from systolith.sim.simulators.core import Core
from systolith.sim.simulators.errors import ToolError

BAUD = 3_000_000
PATIENCE = 0.005             # of the board's time; no byte of it waits longer
BYTES = st.binary(max_size=MAX_PAYLOAD)
DOT = registry.get("dot")
CONFIG = DOT.config.parse({"lanes": 4})
MODEL = DOT.load_model()


@pytest.fixture(scope="session")
def top():
    return Top.of(elaborate(DOT, CONFIG, "core"), boards.get("icebreaker"), baud=BAUD)


def simulated(top, text=None):
    return TopLevel("board_top", text or top.verilog, "pin_clk", "pin_rx", "pin_tx")


def port_of(top, text=None, **options):
    link = top.linked.link
    port = BoardPort(simulated(top, text), link.clock_hz, link.divisor, **options)
    port.run(1000)                                       # configured long ago
    return port


def wrong(session, case):
    result = session.run(case.job)
    return [name for name, beats in case.expected.items()
            if not (np.array_equal(result.beats[name].data, beats.data)
                    and np.array_equal(result.beats[name].last, beats.last))] + (
        [] if result.flags == case.flags else ["flags"])


@given(st.integers(0, 15), st.integers(0, 15), st.integers(0, 65535), BYTES)
def test_packets(kind, index, argument, payload):
    packet = Packet(kind, index, argument, payload)
    line = packet.encode()
    assert line[-1] == 0 and 0 not in line[:-1]
    assert len(line) == len(payload) + 8
    assert decode(line[:-1]) == packet
    assert list(Splitter().feed(b"\x07\0" + line + line[1:])) == [packet]


def test_crc_is_the_published_one():
    assert binascii.crc_hqx(b"123456789", 0xFFFF) == 0x29B1
    line = Packet(0, 0, 1, b"").encode()
    assert line == bytes.fromhex("01 01 02 01 03 b7 f1 00")


@given(BYTES, st.data())
def test_one_damaged_byte_is_noticed(payload, data):
    line = Packet(1, 2, 3, payload).encode()[:-1]
    place = data.draw(st.integers(0, len(line) - 1))
    bit = 1 << data.draw(st.integers(0, 7))
    for damaged in (line[:place] + line[place + 1:], line[:place + 1] + line[place:],
                    line[:place] + bytes([line[place] ^ bit]) + line[place + 1:]):
        assert damaged == line or list(Splitter().feed(damaged + b"\0")) == []


@given(st.lists(st.integers(1, 300), min_size=1, max_size=4))
def test_segments(lengths):
    stream = Stream("z", "out", 3, parse_format("int12"), "")
    data = np.arange(3 * sum(lengths)).reshape(-1, 3) % 2048
    last = np.zeros(len(data), bool)
    last[np.cumsum(lengths) - 1] = True
    beats = Beats(data, last, np.zeros(len(data), np.uint64))
    octets = to_segments(stream, beats)
    reader = SegmentReader(stream)
    for start in range(0, len(octets), 7):
        reader.feed(octets[start:start + 7])
    result = reader.result()
    assert np.array_equal(result.data, data) and np.array_equal(result.last, last)


def test_every_corner_case_over_the_link(top, verified):
    with Session(port_of(top), CONFIG, "core", PATIENCE) as session:
        cases = [case for case in draw(MODEL, CONFIG, 1, None) if case.beats < 600]
        assert len(cases) > 5
        for case in cases:
            assert wrong(session, case) == []
        assert session.resent == 0
    verified("dot", "over the link", "verilator", len(cases))


def damaged(top, seed, text=None):
    """What is wrong with three calls over a bad line, and the session."""
    port = port_of(top, text, damage=0.005, seed=seed)
    found = []
    with Session(port, CONFIG, "core", PATIENCE) as session:
        rng = np.random.default_rng(seed)
        for _ in range(3):
            x, y = rng.integers(-128, 128, (2, 3, 200))
            found += wrong(session, work_out(MODEL, CONFIG, Workload("", {"x": x, "y": y})))
    return found, session


@pytest.mark.parametrize("seed", [1, 2])
def test_damaged_bytes_do_no_harm(top, seed):
    found, session = damaged(top, seed)
    assert found == []
    assert session.port.damaged > 8 and session.resent > 3


def test_efficiency(top):
    with Session(port_of(top), CONFIG, "core", PATIENCE) as session:
        x, y = np.random.default_rng(1).integers(-128, 128, (2, 4, 1200))
        case = work_out(MODEL, CONFIG, Workload("large", {"x": x, "y": y}))
        start = session.port.cycle
        assert wrong(session, case) == []
        cycles = session.port.cycle - start
        best = 10 * session.port.divisor * (x.size + y.size)
        assert best / cycles >= 0.9


class SlowBoard(BoardPort):
    """As the host sees a board that takes so many times as long for everything."""

    times = 1

    def read(self, seconds):
        return super().read(seconds / self.times)

    def clock(self):
        return super().clock() * self.times


@pytest.mark.parametrize("times, efficiency", [(10, 0.8), (300, 0.8)])
def test_a_slow_board_is_not_flooded(top, times, efficiency):
    link = top.linked.link
    port = SlowBoard(simulated(top), link.clock_hz, link.divisor)
    port.run(1000)
    port.times = times
    with Session(port, CONFIG, "core", PATIENCE) as session:
        x, y = np.random.default_rng(1).integers(-128, 128, (2, 4, 1200))
        start = port.cycle
        assert wrong(session, work_out(MODEL, CONFIG, Workload("large", {"x": x, "y": y}))) == []
        assert 10 * port.divisor * (x.size + y.size) > efficiency * (port.cycle - start)


@pytest.mark.parametrize("old, new", [
    ("& (crc_crc == 16'd0)", ""),                        # damage unnoticed
    ("argument == {6'd0, head}", "argument != 16'd65535"),   # lost packets unnoticed
], ids=["crc", "position"])
def test_a_broken_link_is_caught(top, old, new, monkeypatch):
    assert old in top.verilog
    monkeypatch.setattr(host, "TRIES", 4)
    try:
        found, _ = damaged(top, 1, top.verilog.replace(old, new))
    except ToolError:
        return
    assert found


def test_another_core_is_refused(top):
    other = DOT.config.parse({"lanes": 4, "max_beats": 255})
    with pytest.raises(WrongCoreError, match=r"holds a core with other parameters: its register "
                                        r"config_hash reads 0x[0-9A-F]{8}, that of mine 0x"):
        Session(port_of(top), other, "mine")


def test_another_core_at_the_port(top, tmp_path, capsys):
    np.savez(tmp_path / "x.npz", x=np.ones((1, 4), int), y=np.ones((1, 4), int))
    with PseudoTerminal(port_of(top)) as terminal:
        assert run(["run", "dot", "--set", "lanes=4", "--set", "max_beats=255", "--name", "mine",
                    "--port", terminal.path, "--input", str(tmp_path / "x.npz"), "-o",
                    str(tmp_path / "z.npz")]) == 1
    assert "load the bitstream of mine" in capsys.readouterr().err
    assert not (tmp_path / "z.npz").exists()


class Silent:
    """A port at which nothing answers, or only noise."""

    name = "nothing"

    def __init__(self, noise=b""):
        self.noise, self.now = noise, 0.0

    def write(self, octets):
        pass

    def read(self, seconds):
        self.now += seconds + 0.001
        return self.noise

    def clock(self):
        return self.now

    def close(self):
        pass


def test_nothing_and_garbage():
    with pytest.raises(ToolError, match="nothing: no answer to open the link; is the bitstream"):
        Session(Silent(), CONFIG, "core")
    with pytest.raises(ToolError, match="only garbage in answer to open the link; is the baud"):
        Session(Silent(b"\x05ab\0"), CONFIG, "core")


def test_no_port():
    with pytest.raises(ToolError, match=r"absent cannot be opened .*is the board plugged in"):
        SerialPort("absent", BAUD)
    with pytest.raises(Error, match=r"unknown backend 'serial:'; backends are 'sim', 'golden', "):
        systolith.load("dot", backend="serial:")


def test_the_host_program_through_a_pseudo_terminal(top):
    with PseudoTerminal(port_of(top)) as terminal:
        core = systolith.load("dot", lanes=4, name="core", backend=f"serial:{terminal.path}")
        x, y = np.random.default_rng(1).integers(-128, 128, (2, 3, 20))
        assert np.array_equal(core(x=x, y=y)["z"].ravel(), (x * y).sum(axis=1))
        assert core.last.counters["frames"] == 3
        core.close()


@pytest.mark.nightly
@pytest.mark.filterwarnings("ignore")
def test_an_independent_uart_at_the_pins(top, tmp_path, monkeypatch):
    from cocotb_tools.runner import get_runner

    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    pytest.importorskip("cocotbext.uart")
    link, core = top.linked.link, top.linked.core
    source = tmp_path / f"{TOP}.v"
    source.write_text(top.verilog)
    build = verilator.build_cocotb(Core(TOP, (source,), source, core.model, core.config),
                                   trace=False)
    names = ("magic", "config_hash", "errors")
    offsets = {entry["name"]: entry["offset"] for entry in core.manifest["registers"]}
    told = {"clock_hz": link.clock_hz, "baud": int(link.real_baud),
            "offsets": [offsets[name] for name in names], "result": str(tmp_path / "found.json")}
    get_runner("verilator").test(
        test_module="uart_peer", hdl_toplevel=TOP, hdl_toplevel_lang="verilog", build_dir=build,
        test_dir=tmp_path, results_xml=str(tmp_path / "results.xml"),
        extra_env={"UART_PEER": json.dumps(told)})
    found = json.loads((tmp_path / "found.json").read_text())
    sizes = [9, 9, 9]                                    # log2 of 512 bytes
    assert found["hello"] == [Kind.OPEN, 0x1234, PROTOCOL, 2, 1, *sizes]
    assert found["registers"] == [MAGIC, int(CONFIG.config_hash[:8], 16), 0]
    assert found["damaged"] == 0


def test_link_parameters():
    with pytest.raises(Error, match=r"baud must be at most 3000000, a quarter of the clock, not"):
        LinkConfig.parse({"clock_hz": 12_000_000, "baud": 4_000_000})
    with pytest.raises(Error, match=r"baud must divide the clock of 12000000 Hz to within 2%"):
        LinkConfig.parse({"clock_hz": 12_000_000, "baud": 2_200_000})
