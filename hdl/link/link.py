"""The device's end of the host link, around the ports of any core."""

from collections.abc import Sequence

from amaranth import Cat, Const, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from systolith.hdl.bus import axi_lite
from systolith.hdl.interface import Stream
from systolith.hdl.link.buffers import InputBuffer, OutputBuffer
from systolith.hdl.link.config import (
    MAX_PAYLOAD,
    MAX_STREAMS,
    PROTOCOL,
    Kind,
    LinkConfig,
    inputs,
    outputs,
)
from systolith.hdl.link.packets import PacketReceiver, PacketSender
from systolith.hdl.link.uart import UartReceiver, UartTransmitter
from systolith.hdl.shell import pin_signature

RESET_CYCLES = 4             # that an OPEN packet resets the core for


class RegisterAccess(wiring.Component):
    """One access to the registers of a core at a time, over AXI4-Lite.

    Members
    -------
    start : In(1)
    write : In(1)
        What it is; ``address`` and ``data`` must hold until ``done``.
    address : In(12)
    data : In(32)
    done : Out(1)
        High for a cycle at the end.
    value : Out(32)
        What the last read gave.
    refused : Out(1)
        The last access ended in an error response.
    bus : Out(axi_lite.Signature())
    """

    def __init__(self):
        super().__init__({
            "start": In(1), "write": In(1), "address": In(axi_lite.ADDRESS_BITS), "data": In(32),
            "done": Out(1), "value": Out(32), "refused": Out(1), "bus": Out(axi_lite.Signature()),
        })

    def elaborate(self, platform):
        m = Module()
        bus = self.bus
        m.d.comb += [
            bus.awaddr.eq(self.address), bus.araddr.eq(self.address), bus.wdata.eq(self.data),
            bus.wstrb.eq(0b1111), bus.awprot.eq(0), bus.arprot.eq(0),
            bus.bready.eq(1), bus.rready.eq(1), self.done.eq(bus.bvalid | bus.rvalid),
        ]
        for valid, ready, opens in ((bus.awvalid, bus.awready, self.write),
                                    (bus.wvalid, bus.wready, self.write),
                                    (bus.arvalid, bus.arready, ~self.write)):
            with m.If(self.start & opens):
                m.d.sync += valid.eq(1)
            with m.Elif(ready):
                m.d.sync += valid.eq(0)
        with m.If(bus.bvalid):
            m.d.sync += self.refused.eq(bus.bresp != axi_lite.OKAY)
        with m.If(bus.rvalid):
            m.d.sync += [self.refused.eq(bus.rresp != axi_lite.OKAY), self.value.eq(bus.rdata)]
        return m


class Link(wiring.Component):
    """Streams and registers of a core over a UART: the device's end of docs/link.md.

    Parameters
    ----------
    config : LinkConfig
    streams : sequence of Stream
        Of the core.

    Members
    -------
    rx, tx
        The line.
    restart : Out(1)
        Resets the core; high for :data:`RESET_CYCLES` cycles when the host opens the link.
    m_axis_<stream>, s_axis_<stream>
        To the inputs of the core, and from its outputs.
    m_axil : Out(axi_lite.Signature())
    """

    def __init__(self, config: LinkConfig, streams: Sequence[Stream]):
        self.config, self.inputs, self.outputs = config, inputs(streams), outputs(streams)
        if max(len(self.inputs), len(self.outputs)) > MAX_STREAMS:
            raise ValueError(f"a link carries at most {MAX_STREAMS} streams in each direction")
        members = {"rx": In(1), "tx": Out(1), "restart": Out(1)}
        members |= {f"m_axis_{s.name}": Out(pin_signature(s)) for s in self.inputs}
        members |= {f"s_axis_{s.name}": In(pin_signature(s)) for s in self.outputs}
        super().__init__({**members, "m_axil": Out(axi_lite.Signature())})

    def elaborate(self, platform):
        m = Module()
        divisor = self.config.divisor
        m.submodules.receiver = receiver = UartReceiver(divisor)
        m.submodules.transmitter = transmitter = UartTransmitter(divisor)
        m.submodules.incoming = incoming = PacketReceiver()
        m.submodules.outgoing = outgoing = PacketSender()
        m.d.comb += [
            receiver.rx.eq(self.rx),
            incoming.data.eq(receiver.data),
            incoming.valid.eq(receiver.valid),
            transmitter.data.eq(outgoing.data),
            transmitter.valid.eq(outgoing.valid),
            outgoing.ready.eq(transmitter.ready),
            self.tx.eq(transmitter.tx),
        ]
        replies = [
            self._open(m, incoming),
            self._registers(m, incoming),
            *(self._input(m, incoming, outgoing, index, stream)
              for index, stream in enumerate(self.inputs)),
            *(self._output(m, incoming, outgoing, index, stream)
              for index, stream in enumerate(self.outputs)),
        ]
        self._reply(m, outgoing, replies)
        return m

    def _open(self, m: Module, incoming):
        """OPEN resets everything; the answer tells what is here, and which OPEN it answers."""
        opened = Signal()
        nonce = Signal(16)
        due = Signal(name="hello_due")
        told = Signal(name="hello_told")
        cycles = Signal(range(RESET_CYCLES + 1), init=RESET_CYCLES)
        m.d.comb += [opened.eq(incoming.done & (incoming.kind == Kind.OPEN)),
                     self.restart.eq(cycles != 0)]
        with m.If(opened):
            m.d.sync += [nonce.eq(incoming.argument), due.eq(1), cycles.eq(RESET_CYCLES)]
        with m.Else():
            with m.If(self.restart):
                m.d.sync += cycles.eq(cycles - 1)
            with m.If(told):
                m.d.sync += due.eq(0)
        hello = [PROTOCOL, len(self.inputs), len(self.outputs),
                 *(self.config.buffer_of(stream).bit_length() - 1
                   for stream in (*self.inputs, *self.outputs))]
        return due, told, Kind.OPEN, 0, nonce, len(hello), [Const(byte, 8) for byte in hello]

    def _registers(self, m: Module, incoming):
        """Register accesses. A write that comes again is answered again, but not done again."""
        m.submodules.registers = access = RegisterAccess()
        wiring.connect(m, access.bus, wiring.flipped(self.m_axil))
        data = Signal(32)
        index = Signal(4)
        fresh = Signal(init=1)                           # no access since the link was opened
        busy = Signal(name="register_busy")
        due = Signal(name="register_due")
        told = Signal(name="register_told")
        asked = Signal()
        writes = Signal()
        again = Signal()
        m.d.comb += [
            writes.eq(incoming.kind == Kind.WRITE_REGISTER),
            asked.eq(incoming.done & ~busy & (writes | (incoming.kind == Kind.READ_REGISTER))),
            again.eq(writes & ~fresh & (incoming.index == index)),
            access.start.eq(asked & ~again),
            access.data.eq(data),
        ]
        with m.If(told):
            m.d.sync += due.eq(0)
        with m.If(incoming.payload_valid & writes):
            m.d.sync += data.eq(Cat(data, incoming.payload)[8:])
        write = Signal(name="register_write")
        address = Signal(axi_lite.ADDRESS_BITS)
        m.d.comb += [access.write.eq(Mux(access.start, writes, write)),
                     access.address.eq(address)]
        with m.If(asked):
            m.d.sync += [index.eq(incoming.index), fresh.eq(0), write.eq(writes),
                         address.eq(incoming.argument), busy.eq(~again)]
            with m.If(again):
                m.d.sync += due.eq(1)
        with m.If(busy & access.done):
            m.d.sync += [busy.eq(0), due.eq(1)]
        with m.If(self.restart):
            m.d.sync += [fresh.eq(1), busy.eq(0), due.eq(0)]
        value = [access.value.word_select(byte, 8) for byte in range(4)]
        return (due, told, Mux(write, Kind.WRITE_REGISTER, Kind.READ_REGISTER), index,
                access.refused, Mux(write, 0, 4), value)

    def _input(self, m: Module, incoming, outgoing, index: int, stream: Stream):
        m.submodules[f"input_{stream.name}"] = buffer = InputBuffer(
            stream, self.config.buffer_of(stream))
        wiring.connect(m, buffer.o, wiring.flipped(getattr(self, f"m_axis_{stream.name}")))
        told = Signal(name=f"{stream.name}_told")
        m.d.comb += [
            buffer.clear.eq(self.restart),
            buffer.selected.eq((incoming.kind == Kind.WRITE) & (incoming.index == index)),
            buffer.argument.eq(incoming.argument),
            buffer.payload.eq(incoming.payload),
            buffer.payload_valid.eq(incoming.payload_valid),
            buffer.done.eq(incoming.done),
            buffer.dropped.eq(incoming.dropped),
            buffer.told.eq(told),
        ]
        limit = Signal(16, name=f"{stream.name}_limit")  # as told, should it move meanwhile
        with m.If(told):
            m.d.sync += limit.eq(buffer.limit)
        # What was taken is told along with the next news, or when nothing else is to be sent.
        due = buffer.due | (buffer.taken & ~outgoing.busy)
        return (due, told, Kind.STATUS, index, buffer.position, 2,
                [limit[:8], limit[8:]])

    def _output(self, m: Module, incoming, outgoing, index: int, stream: Stream):
        m.submodules[f"output_{stream.name}"] = buffer = OutputBuffer(
            stream, self.config.buffer_of(stream))
        wiring.connect(m, wiring.flipped(getattr(self, f"s_axis_{stream.name}")), buffer.i)
        told = Signal(name=f"{stream.name}_told")
        here = Signal(name=f"{stream.name}_here")
        rewind = Signal(name=f"{stream.name}_rewind")
        m.d.comb += [
            rewind.eq(incoming.kind == Kind.REWIND),
            here.eq(incoming.done & (incoming.index == index)
                    & (rewind | (incoming.kind == Kind.ACK))),
            buffer.clear.eq(self.restart),
            buffer.acknowledge.eq(here),
            buffer.rewind.eq(rewind),
            buffer.argument.eq(incoming.argument),
            buffer.start.eq(told),
            buffer.fetch.eq(outgoing.fetch),
        ]
        return buffer.due, told, Kind.DATA, index, buffer.position, buffer.length, buffer.data

    def _reply(self, m: Module, outgoing, replies):
        """Send what is due, the first of ``replies`` first.

        Each is (due, told, kind, index, argument, length, payload); a payload is one byte that
        follows ``fetch``, or a list of bytes. While a packet is on the line no short packet of data
        is put together: it could still grow.
        """
        chosen = Signal(range(len(replies)))
        ready = Signal(len(replies))
        for number, (due, *_, length, payload) in enumerate(replies):
            if not isinstance(payload, list):
                due = due & (~outgoing.busy | (length == MAX_PAYLOAD))
            m.d.comb += ready[number].eq(due)
        m.d.comb += outgoing.start.eq(ready.any() & outgoing.idle)
        for number, (_, told, kind, index, argument, length, _) in enumerate(replies):
            branch = m.If if number == 0 else m.Elif
            with branch(ready[number]):
                m.d.comb += [
                    told.eq(outgoing.idle), outgoing.kind.eq(kind), outgoing.index.eq(index),
                    outgoing.argument.eq(argument), outgoing.length.eq(length),
                ]
                with m.If(outgoing.idle):
                    m.d.sync += chosen.eq(number)
        with m.Switch(chosen):
            for number, (*_, payload) in enumerate(replies):
                with m.Case(number):
                    if not isinstance(payload, list):
                        m.d.comb += outgoing.payload.eq(payload)
                        continue
                    with m.Switch(outgoing.count):
                        for place, byte in enumerate(payload):
                            with m.Case(place):
                                m.d.comb += outgoing.payload.eq(byte)
