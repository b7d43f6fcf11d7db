"""The shell: what turns the inside of a template into a core with AXI4 ports and registers."""

from amaranth import Cat, Const, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from systolith.hdl.arithmetic.steps import signal_of
from systolith.hdl.bus import axi_lite, axi_stream
from systolith.hdl.config import CoreConfig
from systolith.hdl.interface import COUNTERS, Stream, common_registers

#: Cycles that the register slice of the shell adds to every stream.
SLICE_LATENCY = 1

#: Bits of the adders of counters.
_PIECE_BITS = 16


def stream_signature(stream: Stream) -> axi_stream.Signature:
    """The stream as the inside of a core sees it: without padding."""
    return axi_stream.Signature(stream.data_bits, stream.tuser_bits)


def pin_signature(stream: Stream) -> wiring.Signature:
    """The stream at the pins of a core, named as in the AMBA specification."""
    members = {"tdata": Out(stream.tdata_bits), "tvalid": Out(1), "tready": In(1), "tlast": Out(1)}
    if stream.tuser_bits:
        members["tuser"] = Out(stream.tuser_bits)
    return wiring.Signature(members)


def inside_signature(config: CoreConfig) -> wiring.Signature:
    """Members that the shell asks of the inside of a core.

    Members
    -------
    <stream> : In or Out(axi_stream.Signature)
        One per stream of the config.
    reg_<register> : In
        The value of each ``rw`` register of the template's own.
    busy : Out(1)
        A frame is half received, or results are on their way; without a gap from the first beat
        taken to the last beat given.
    waiting : Out(1)
        The inside could go on, but for an input beat.
    flags : Out
        Pulses, one bit per error flag of the config.
    """
    members = {}
    for stream in config.streams:
        flow = In if stream.direction == "in" else Out
        members[stream.name] = flow(stream_signature(stream))
    for register in config.registers:
        if register.access == "rw":
            field, = register.fields
            members[f"reg_{register.name}"] = In(field.bits)
    members |= {"busy": Out(1), "waiting": Out(1), "flags": Out(len(config.flags))}
    return wiring.Signature(members)


class EventCounter(wiring.Component):
    """Event counter of two words, read one after the other.

    Parameters
    ----------
    word_bits : int
        Width of a word; the counter is twice as wide.

    Members
    -------
    happened : In(1)
    clear : In(1)
    latch : In(1)
        The low word is being read: keep the high word that belongs to it.
    low, high : Out(word_bits)
        ``low`` counts an event in the second cycle after it.
    """

    def __init__(self, word_bits: int = 32):
        self.word_bits = word_bits
        super().__init__({"happened": In(1), "clear": In(1), "latch": In(1),
                          "low": Out(word_bits), "high": Out(word_bits)})

    def elaborate(self, platform):
        m = Module()
        # In pieces, so that no carry chain is long, and counted a cycle late: so a register tells
        # every piece whether it counts, and no reader sees a carry that is still on its way.
        bits = min(self.word_bits, _PIECE_BITS)
        first, *upper = pieces = [
            Signal(min(bits, self.word_bits - low), name=f"word_{word}_{low}")
            for word in range(2) for low in range(0, self.word_bits, bits)]
        value = Cat(*pieces)
        counts = [Signal(name=f"count_{index}") for index in range(len(pieces))]
        # `full` tells that the first piece is full, `almost` that one count is missing. Its upper
        # bits have been what they are for some counts when the lower three are 0b101, and those of
        # all pieces above it when it is full: so they may be looked at some cycles before.
        full = Signal()
        almost = Signal()
        low, high = first[:3], first[3:]
        high_full = Signal(init=1 if not len(high) else 0)
        if len(high):
            m.d.sync += high_full.eq(high.all())
        will_be_full = signal_of(m, Mux(counts[0], almost, full), "will_be_full")
        will_be_almost = signal_of(
            m, Mux(counts[0], (low == (1 << len(low)) - 3) & high_full, almost), "will_be_almost")
        carries = [self.happened, self.happened & will_be_full]
        below = Const(1)
        for index, piece in enumerate(upper[:-1], start=1):
            below_full = Signal(name=f"full_to_{index}")
            m.d.sync += below_full.eq(below & piece.all())
            carries.append(carries[1] & below_full)
            below = below_full
        with m.If(self.clear):
            m.d.sync += [*(piece.eq(0) for piece in pieces), *(count.eq(0) for count in counts),
                         full.eq(0), almost.eq(0)]
        with m.Else():
            m.d.sync += [full.eq(will_be_full), almost.eq(will_be_almost),
                         *(piece.eq(piece + count)
                           for piece, count in zip(pieces, counts, strict=True)),
                         *(count.eq(carry) for count, carry in zip(counts, carries, strict=True))]
        m.d.comb += self.low.eq(value[:self.word_bits])
        with m.If(self.latch):
            m.d.sync += self.high.eq(value[self.word_bits:])
        return m


class Core(wiring.Component):
    """A complete core: the inside of a template behind register slices, counters and registers.

    Parameters
    ----------
    config : CoreConfig
    inside : wiring.Component
        With the members of :func:`inside_signature`.

    Members
    -------
    s_axis_<stream>, m_axis_<stream>
        AXI4-Stream ports, data zero-padded to whole bytes.
    s_axil : In(axi_lite.Signature())
        Registers: the common ones, then the template's own.

    Timing
    ------
    Every stream passes one register slice, :data:`SLICE_LATENCY` cycles, so that no path leads from
    one port to another without a register.
    """

    def __init__(self, config: CoreConfig, inside: wiring.Component):
        self.config, self.inside = config, inside
        members = {}
        for stream in config.streams:
            flow = In if stream.direction == "in" else Out
            members[stream.prefix] = flow(pin_signature(stream))
        members["s_axil"] = In(axi_lite.Signature())
        super().__init__(members)

    def elaborate(self, platform):
        m = Module()
        config = self.config
        m.submodules.inner = inside = self.inside
        common = common_registers(config.config_hash, config.flags)
        m.submodules.registers = bank = axi_lite.RegisterBank((*common, *config.registers))
        wiring.connect(m, wiring.flipped(self.s_axil), bank.bus)

        moving, stalled, finished = [], [], []
        for stream in config.streams:
            pins = getattr(self, stream.prefix)
            signature = stream_signature(stream)
            m.submodules[f"slice_{stream.name}"] = piece = axi_stream.RegisterSlice(signature)
            if stream.direction == "in":
                _from_pins(m, pins, piece.i, stream)
                wiring.connect(m, piece.o, getattr(inside, stream.name))
                moving += [pins.tvalid & pins.tready, piece.o.valid]
            else:
                wiring.connect(m, getattr(inside, stream.name), piece.i)
                _to_pins(m, piece.o, pins, stream)
                moving.append(pins.tvalid)
                stalled.append(pins.tvalid & ~pins.tready)
                finished.append(pins.tvalid & pins.tready & pins.tlast)

        # Counted one cycle late, which keeps the counters off the paths of the handshakes.
        busy = Signal()
        waiting = Signal()
        waiting_output = Signal()
        frame = Signal()
        m.d.sync += [
            busy.eq(Cat(*moving).any() | inside.busy),
            waiting.eq(inside.waiting),
            waiting_output.eq(Cat(*stalled).any()),
            frame.eq(Cat(*finished).any()),
        ]
        events = {"cycles_busy": busy, "stalled_input": busy & waiting,
                  "stalled_output": waiting_output, "frames": frame}
        for name, _ in COUNTERS:
            m.submodules[f"count_{name}"] = counter = EventCounter()
            m.d.comb += [
                counter.happened.eq(events[name]),
                counter.clear.eq(bank.control_clear_counters),
                counter.latch.eq(getattr(bank, f"{name}_low_read")),
                getattr(bank, f"{name}_low_value").eq(counter.low),
                getattr(bank, f"{name}_high_value").eq(counter.high),
            ]
        for register in common:
            if register.name in ("magic", "version", "config_hash"):
                m.d.comb += getattr(bank, f"{register.name}_value").eq(register.fields[0].reset)
        m.d.comb += bank.status_busy.eq(busy)
        # A cycle late too: flags come from deep in a datapath.
        for bit, (name, _) in enumerate(config.flags):
            flag = Signal(name=f"flag_{name}")
            m.d.sync += flag.eq(inside.flags[bit])
            m.d.comb += getattr(bank, f"errors_{name}").eq(flag)
        for register in config.registers:
            if register.access == "rw":
                field, = register.fields
                m.d.comb += getattr(inside, f"reg_{register.name}").eq(
                    getattr(bank, f"{register.name}_{field.name}"))
        return m


def _from_pins(m: Module, pins, port, stream: Stream):
    m.d.comb += [
        port.data.eq(pins.tdata[:stream.data_bits]),
        port.last.eq(pins.tlast),
        port.valid.eq(pins.tvalid),
        pins.tready.eq(port.ready),
    ]
    if stream.tuser_bits:
        m.d.comb += port.user.eq(pins.tuser)


def _to_pins(m: Module, port, pins, stream: Stream):
    m.d.comb += [
        pins.tdata.eq(Cat(port.data, Const(0, stream.tdata_bits - stream.data_bits))),
        pins.tlast.eq(port.last),
        pins.tvalid.eq(port.valid),
        port.ready.eq(pins.tready),
    ]
    if stream.tuser_bits:
        m.d.comb += pins.tuser.eq(port.user)
