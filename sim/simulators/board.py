"""A simulated board: the top level that becomes its bitstream, with a UART on its pins."""

import ctypes
import os
import random
import select
import shutil
import threading
import tty
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from systolith.sim.simulators import cache, tools, verilator

SOURCE = Path(__file__).with_name("board.cpp")
_ROOM = 4096


@dataclass(frozen=True)
class TopLevel:
    """Verilog of a board's top level, and the names of its pins.

    A ``netlist`` has so many cells that it is compiled without optimization: that takes a third of
    the time, and the model is a few times slower.
    """

    name: str
    verilog: str
    clock: str = "clk"
    rx: str = "rx"
    tx: str = "tx"
    netlist: bool = False

    def library(self) -> Path:
        """Compile it, or find it compiled."""
        text = f"""\
#include "Vtop.h"
struct Model {{
    VerilatedContext context;
    Vtop top{{&context}};
    void eval() {{ top.eval(); }}
}};
#define CLK model.top.{self.clock}
#define RX model.top.{self.rx}
#define TX model.top.{self.tx}
"""

        def make(folder: Path) -> None:
            (folder / "adapter.h").write_text(text)
            shutil.copy(SOURCE, folder)
            with TemporaryDirectory(prefix="systolith-") as place:
                source = Path(place, f"{self.name}.v")
                source.write_text(self.verilog)
                objects = verilator.compile_sources(
                    self.name, [source], folder, [folder / SOURCE.name],
                    optimize="-O0" if self.netlist else verilator.OPTIMIZE_FAST)
            tools.link([*objects, verilator.runtime(trace=False)], folder / "board.so", shared=True)
            verilator.keep(folder, "board.so")

        key = cache.key(*verilator.identity(), self.name, self.verilog, text, str(self.netlist),
                        SOURCE.read_bytes())
        return cache.entry("board", key, make) / "board.so"


class BoardPort:
    """The UART of a simulated board, as a port of the host's end; its clock is simulated time.

    Parameters
    ----------
    top : TopLevel
    clock_hz, divisor : int
        Of the clock at the pin, and cycles of a bit.
    damage : float
        Chance that a byte is lost, changed or doubled, in either direction.
    seed : int
        Of the damage.
    """

    def __init__(self, top: TopLevel, clock_hz: int, divisor: int, *, damage: float = 0,
                 seed: int = 1):
        self.name = f"simulated board {top.name}"
        self.clock_hz, self.divisor = clock_hz, divisor
        self.damage, self._random = damage, random.Random(seed)
        self.damaged = 0
        self.carried = [0, 0]                # bytes to and from the board
        self._end = 0                        # the last cycle, once it is closed
        self._library = _load(top.library())
        self._board = self._library.board_new(divisor)

    def write(self, octets: bytes) -> None:
        """Queue bytes for the line."""
        octets = self._spoil(octets)
        self.carried[0] += len(octets)
        self._library.board_send(self._board, octets, len(octets))

    def read(self, seconds: float) -> bytes:
        """Run until a byte comes, and no longer than ``seconds`` of the board's time."""
        byte = 10 * self.divisor
        left = max(int(seconds * self.clock_hz), byte)
        while left > 0:
            got = self.run(min(left, 4 * byte))
            left -= 4 * byte
            if got:
                return self._spoil(got)
        return b""

    def run(self, cycles: int) -> bytes:
        """Run so many cycles and return the bytes that came, undamaged."""
        buffer = ctypes.create_string_buffer(_ROOM)
        count = self._library.board_run(self._board, cycles, buffer, _ROOM)
        octets = buffer.raw[:count]
        self.carried[1] += len(octets)
        return octets

    @property
    def cycle(self) -> int:
        """Cycles so far."""
        return self._library.board_cycle(self._board) if self._board else self._end

    def clock(self) -> float:
        """Seconds of the board's time."""
        return self.cycle / self.clock_hz

    def close(self) -> None:
        """Free the model."""
        if self._board:
            self._end = self.cycle
            self._library.board_delete(self._board)
            self._board = None

    def _spoil(self, octets: bytes) -> bytes:
        if not self.damage:
            return octets
        out = bytearray()
        for octet in octets:
            if self._random.random() < self.damage:
                self.damaged += 1
                out += self._random.choice((b"", bytes([octet ^ 1 << self._random.randrange(8)]),
                                            bytes([octet, octet])))
            else:
                out.append(octet)
        return bytes(out)


class PseudoTerminal:
    """A simulated board behind a pseudo-terminal: any program can open :attr:`path`."""

    def __init__(self, port: BoardPort):
        self._port = port
        self._master, self._slave = os.openpty()
        tty.setraw(self._slave)
        self.path = os.ttyname(self._slave)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._bridge, daemon=True)

    def __enter__(self) -> "PseudoTerminal":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        for file in (self._master, self._slave):
            os.close(file)
        self._port.close()

    def _bridge(self) -> None:
        quiet = 0
        while not self._stop.is_set():
            # A board that has nothing to do runs slower than its clock says.
            ready, _, _ = select.select([self._master], [], [], 0.002 if quiet > 100 else 0)
            if ready:
                self._port.write(os.read(self._master, 1024))
            octets = self._port.run(40 * self._port.divisor)
            quiet = 0 if ready or octets else quiet + 1
            if octets:
                os.write(self._master, octets)


def _load(path: Path) -> ctypes.CDLL:
    library = ctypes.CDLL(str(path))
    handle, wide = ctypes.c_void_p, ctypes.c_uint64
    for name, result, arguments in (
            ("new", handle, (wide,)), ("delete", None, (handle,)),
            ("send", None, (handle, ctypes.c_char_p, wide)),
            ("run", wide, (handle, wide, ctypes.c_char_p, wide)), ("cycle", wide, (handle,))):
        function = getattr(library, f"board_{name}")
        function.restype, function.argtypes = result, list(arguments)
    return library


__all__: Sequence[str] = ["BoardPort", "PseudoTerminal", "TopLevel"]
