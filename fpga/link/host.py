"""A session with a board: registers and streams of its core over the link of docs/link.md."""

from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Self

import numpy as np

from systolith.fpga.errors import ConstraintError
from systolith.fpga.link.packets import Packet, SegmentReader, Splitter, to_segments
from systolith.fpga.link.ports import Port
from systolith.hdl.config import CoreConfig
from systolith.hdl.errors import Error
from systolith.hdl.interface import COUNTERS, MAGIC, VERSION, Register, common_registers
from systolith.hdl.link.config import MAX_PAYLOAD, PROTOCOL, Kind, inputs, outputs
from systolith.sim.frames import Beats
from systolith.sim.model import Job
from systolith.sim.simulators.errors import ToolError
from systolith.sim.simulators.harness import Result

ANSWER = 0.25                # seconds until something is sent again, at first
TRIES = 7                    # each waits twice as long as the one before, up to
LONGEST = 16                 # times as long as the first, or 4 times as the board was found to need
SLOWEST = 240                # times the first wait, that a board may need
EASE = 0.95                  # by which a wait shrinks with what comes soon
SHORTEST = 30                # bytes of payload that a bad line brings packets down to


class WrongCoreError(ConstraintError):
    """Another core answers than the one that was asked for."""


class _Sending:
    """An input stream: bytes, the first one not acknowledged, the first one to send next.

    Where nothing came for long, one packet is sent again and nothing more until there is news: all
    at once would delay a slow board further. From then on it goes on with what is to be sent next,
    or, if the board was only late, with what was not ``sent`` before.
    """

    def __init__(self, octets: bytes, size: int):
        self.octets, self.modulus = octets, 2 * size
        self.base = self.next = self.sent = 0
        self.limit = size
        self.rewound = -1
        self.probing = False
        self.twice = 0           # packets sent again that the board may have had

    def probe(self) -> None:
        """Send no more than a packet, from the first byte on that is not acknowledged."""
        self.sent = max(self.sent, self.next)
        self.next, self.rewound = self.base, -1
        self.probing = True
        self.twice += 1

    def move(self, base: int) -> bool:
        """Bytes before ``base`` arrived; whether it is late news of what was sent before."""
        late = self.probing and base > self.next
        self.probing &= base == self.base
        self.base = base
        self.next = max(self.sent if late else self.next, base)
        return late

    def unwrap(self, position: int, near: int) -> int:
        """The place in the stream that a position modulo twice the buffer means, from near on."""
        return near + (position - near) % self.modulus

    @property
    def done(self) -> bool:
        return self.base == len(self.octets)


class _Receiving:
    """An output stream: what has come, and what of it is acknowledged."""

    def __init__(self, reader: SegmentReader, total: int, size: int):
        self.reader, self.total, self.size = reader, total, size
        self.place = self.acknowledged = 0
        self.rewound = -1

    @property
    def done(self) -> bool:
        return self.reader.beats >= self.total


class Session:
    """A core on a board.

    Parameters
    ----------
    port : Port
    config : CoreConfig
        Of the core that must be there.
    name : str
        Of the core, for messages.
    patience : float
        Seconds until something is sent again, at first.

    Raises
    ------
    ToolError
        From every method, if nothing answers.
    WrongCoreError
        If another core answers: nothing but registers was touched.

    Attributes
    ----------
    resent : int
        Packets that had to be sent again, and requests to send again.
    """

    def __init__(self, port: Port, config: CoreConfig, name: str, patience: float = ANSWER):
        self.port, self.config, self.name = port, config, name
        self.patience = patience
        common = common_registers(config.config_hash, config.flags)
        self._registers = {entry.name: entry for entry in (*common, *config.registers)}
        self._inputs, self._outputs = inputs(config.streams), outputs(config.streams)
        self._splitter = Splitter()
        self._sequence = 0
        self._nonce = 0
        self._sizes: list[int] = []
        self._positions: dict[str, int] = {}
        self._payload = MAX_PAYLOAD                      # halved by every loss, then growing again
        self._wait = patience                            # that this board needs
        self._late = False                               # it has only taken its time
        self.resent = 0
        self.reset()
        self._check_core()

    def close(self) -> None:
        """Free the port."""
        self.port.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self.close()

    def reset(self) -> None:
        """Open the link anew: the core is reset, whatever is in its buffers is lost."""
        self._nonce = (self._nonce + 1) % (1 << 16)
        opening = Packet(Kind.OPEN, argument=self._nonce)
        hello = self._ask(opening, lambda packet: packet.kind == Kind.OPEN
                          and packet.argument == self._nonce, "to open the link", flush=True)
        told = hello.payload
        if not told or told[0] != PROTOCOL:
            raise ToolError("link", f"{self.port.name}: the board speaks version "
                                    f"{told[0] if told else '?'} of the link, not {PROTOCOL}")
        if (told[1], told[2]) != (len(self._inputs), len(self._outputs)):
            raise WrongCoreError(
                f"{self.port.name} holds another core: it has {told[1]} streams in and {told[2]} "
                f"out, {self.name} has {len(self._inputs)} and {len(self._outputs)}; load the "
                f"bitstream of {self.name}")
        self._sizes = [1 << bits for bits in told[3:]]
        self._positions = {stream.name: 0 for stream in self.config.streams}

    def write(self, register: str, value: int) -> None:
        """Write a register; ``value`` may be negative."""
        self._access(Kind.WRITE_REGISTER, register, (value & 0xFFFF_FFFF).to_bytes(4, "little"))

    def read(self, register: str) -> int:
        """Read a register, as an unsigned word."""
        return int.from_bytes(self._access(Kind.READ_REGISTER, register).payload, "little")

    def read_counter(self, name: str) -> int:
        """Read one of the 64-bit counters."""
        low = self.read(f"{name}_low")
        return self.read(f"{name}_high") << 32 | low

    def run(self, job: Job) -> Result:
        """Run a job to its last output beat.

        Cycles are those of the core's own counter. They include those in which the core waited for
        the link, so they say how long the job took, not how long the core needs.
        """
        try:
            return self._run(job)
        except BaseException:
            self._positions = {}                         # a reset, before anything else is sent
            raise

    def _run(self, job: Job) -> Result:
        if not self._positions or any(self._positions.values()):
            self.reset()
        self.write("control", 1)
        if self.config.flags:
            self.write("errors", (1 << len(self.config.flags)) - 1)
        for name, value in job.writes.items():
            self.write(name, value)
        beats = self._stream(job)
        counters = {name: self.read_counter(name) for name, _ in COUNTERS}
        frames = sum(part.frames for part in beats.values())
        if counters["frames"] != frames:
            raise ToolError("board", f"{self.name} gave {counters['frames']} frames, not {frames}")
        when = {name: np.zeros(len(part), np.uint64) for name, part in beats.items()}
        return Result(beats, when, counters["cycles_busy"], counters, self.read("errors"),
                      paused=0)

    def _stream(self, job: Job) -> Mapping[str, Beats]:
        """Send all inputs and collect all outputs."""
        sizes = iter(self._sizes)
        sending = [_Sending(to_segments(stream, job.inputs[stream.name]), next(sizes))
                   for stream in self._inputs]
        receiving = [_Receiving(SegmentReader(stream), job.outputs[stream.name], next(sizes))
                     for stream in self._outputs]
        turn, wait, tries = 0, self._wait, 0
        self._positions = {stream.name: 1 for stream in self.config.streams}
        heard = self.port.clock()
        deadline = heard + wait
        while not all(part.done for part in (*sending, *receiving)):
            for offset in range(len(sending)):           # the streams take turns
                index = (turn + offset) % len(sending)
                if self._send_some(index, sending[index]):
                    turn = index + 1
                    break
            else:
                offset = len(sending)
            # Look for answers between packets; wait for one where nothing can be sent.
            idle = offset == len(sending)
            moved = False
            for packet in self._splitter.feed(self.port.read(
                    max(0.0, deadline - self.port.clock()) if idle else 0.0)):
                moved |= self._take(packet, sending, receiving)
            if moved:
                pause, heard = self.port.clock() - heard, self.port.clock()
                if not tries or self._late:
                    self._learn(pause)
                wait, tries, self._late = self._wait, 0, False
                self._payload = min(MAX_PAYLOAD, self._payload + SHORTEST // 2)
                deadline = heard + wait
            elif self.port.clock() >= deadline:
                tries += 1
                if tries > TRIES:
                    raise self._silent("to go on", sending, receiving)
                wait = self._longer(wait)
                deadline = self.port.clock() + wait
                self._prod(sending, receiving)
        beats = {}
        for index, part in enumerate(receiving):
            self._send(Packet(Kind.ACK, index, part.place % (2 * part.size)))
            if part.reader.beats > part.total:
                raise ToolError("board", f"{self.name} gave {part.reader.beats} beats of "
                                         f"{part.reader.stream.name}, not {part.total}")
            beats[part.reader.stream.name] = part.reader.result()
        return beats

    def _learn(self, pause: float) -> None:
        """A board that takes its time is not asked again so soon."""
        self._wait = min(max(self.patience, 2 * pause, EASE * self._wait), SLOWEST * self.patience)

    def _longer(self, wait: float) -> float:
        """The next wait where nothing came."""
        return min(2 * wait, max(LONGEST * self.patience, 4 * self._wait))

    def _send_some(self, index: int, part: _Sending) -> bool:
        if part.probing and part.next > part.base:
            return False
        end = min(part.limit, len(part.octets), part.next + self._payload)
        # A short packet only at the end: room comes in quarters of the buffer.
        if end <= part.next or (end < len(part.octets) and part.next > part.base
                                and end - part.next < min(self._payload, part.modulus // 8)):
            return False
        self._send(Packet(Kind.WRITE, index, part.next % part.modulus,
                          part.octets[part.next:end]))
        part.next = end
        return True

    def _take(self, packet: Packet, sending: list[_Sending], receiving: list[_Receiving]) -> bool:
        """Act on a packet; whether it was news."""
        if packet.kind == Kind.STATUS and packet.index < len(sending) and len(packet.payload) == 2:
            part = sending[packet.index]
            base = part.unwrap(packet.argument, part.base)
            if base > len(part.octets) or base - part.base > part.modulus // 2:
                return False
            news = base > part.base
            limit = part.unwrap(int.from_bytes(packet.payload, "little"), base)
            news |= limit > part.limit
            if not news and part.twice:
                part.twice -= 1
            elif not news and base < part.next and base != part.rewound and part.limit == limit:
                # It expects what was sent already, and heard something since: a packet was lost.
                part.rewound, part.next = base, base
                self.resent += 1
                self._payload = max(SHORTEST, self._payload // 2)
            self._late |= part.move(base)
            part.limit = max(part.limit, limit)
            return news
        if packet.kind == Kind.DATA and packet.index < len(receiving):
            part = receiving[packet.index]
            if packet.argument != part.place % (2 * part.size):
                if part.rewound != part.place:           # one is missing; ask once
                    part.rewound = part.place
                    self._rewind(packet.index, part)
                return False
            part.reader.feed(packet.payload)
            part.place += len(packet.payload)
            if part.place - part.acknowledged >= part.size // 4:
                part.acknowledged = part.place
                self._send(Packet(Kind.ACK, packet.index, part.place % (2 * part.size)))
            return True
        return False

    def _prod(self, sending: list[_Sending], receiving: list[_Receiving]) -> None:
        """Nothing came for long: send again what is not acknowledged, ask again for the rest."""
        self._send_raw(b"\0")
        self._payload = max(SHORTEST, self._payload // 2)
        for index, part in enumerate(sending):
            if not part.done:
                self.resent += 1
                part.probe()
                if part.limit <= part.base:              # no room as far as is known: ask
                    self._send(Packet(Kind.WRITE, index, part.base % part.modulus))
        for index, part in enumerate(receiving):
            if not part.done:
                part.rewound = -1
                self._rewind(index, part)

    def _rewind(self, index: int, part: _Receiving) -> None:
        self.resent += 1
        part.acknowledged = part.place
        self._send(Packet(Kind.REWIND, index, part.place % (2 * part.size)))

    def _check_core(self) -> None:
        found = {name: self.read(name) for name in ("magic", "version", "config_hash")}
        wanted = {"magic": MAGIC, "version": VERSION,
                  "config_hash": int(self.config.config_hash[:8], 16)}
        for name, what in (("magic", "no core of Systolith"),
                           ("version", "a core with another register map"),
                           ("config_hash", "a core with other parameters")):
            if found[name] != wanted[name]:
                raise WrongCoreError(f"{self.port.name} holds {what}: its register {name} reads "
                                f"0x{found[name]:08X}, that of {self.name} 0x{wanted[name]:08X}; "
                                f"load the bitstream of {self.name}")

    def _register(self, name: str) -> Register:
        if name not in self._registers:
            raise Error(f"{self.name} has no register {name!r}; registers are "
                        f"{', '.join(self._registers)}")
        return self._registers[name]

    def _access(self, kind: Kind, name: str, payload: bytes = b"") -> Packet:
        register = self._register(name)
        self._sequence = (self._sequence + 1) % 16
        wanted = 0 if payload else 4
        answer = self._ask(Packet(kind, self._sequence, register.offset, payload),
                           lambda packet: (packet.kind, packet.index, len(packet.payload))
                           == (kind, self._sequence, wanted), f"to an access of {name}")
        if answer.argument:
            raise ToolError("board", f"{self.name}: error response to an access of {name}")
        return answer

    def _ask(self, packet: Packet, fits: Callable[[Packet], bool], what: str, *,
             flush: bool = False) -> Packet:
        """Send until an answer comes."""
        wait, asked = self._wait, self.port.clock()
        damaged = self._splitter.damaged
        for attempt in range(TRIES + 1):
            if attempt or flush:
                self._send_raw(b"\0")                    # ends whatever the board thinks it hears
            self.resent += attempt > 0
            self._send(packet)
            deadline = self.port.clock() + wait
            while (left := deadline - self.port.clock()) > 0:
                for answer in self._splitter.feed(self.port.read(left)):
                    if fits(answer):
                        self._learn(self.port.clock() - asked)
                        return answer
            wait = self._longer(wait)
        if self._splitter.damaged > damaged:
            raise ToolError("link", f"{self.port.name}: only garbage in answer {what}; is the "
                                    "baud rate right, and is it this board?")
        raise ToolError("link", f"{self.port.name}: no answer {what}; is the bitstream loaded, and "
                                "is it this port?")

    def _silent(self, what: str, sending, receiving) -> ToolError:
        owed = [f"{stream.name} took {part.base} of {len(part.octets)} bytes"
                for stream, part in zip(self._inputs, sending, strict=True) if not part.done]
        owed += [f"{part.reader.stream.name} gave {part.reader.beats} of {part.total} beats"
                 for part in receiving if not part.done]
        return ToolError("link", f"{self.port.name}: no answer {what}; {', '.join(owed)}")

    def _send(self, packet: Packet) -> None:
        self._send_raw(packet.encode())

    def _send_raw(self, octets: bytes) -> None:
        self.port.write(octets)
