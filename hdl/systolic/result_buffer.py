"""The end of the core: results of the wavefront wait here, and leave as whole beats."""

from typing import ClassVar

from amaranth import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from systolith.hdl.bus import axi_stream
from systolith.hdl.structure.block_memory import BlockMemory
from systolith.hdl.structure.delay import Delay
from systolith.hdl.structure.linear_array import LinearArray
from systolith.hdl.structure.select import select_late


class ResultLane(wiring.Component):
    """The results of the columns of a PE: a memory that is written in the wavefront.

    Members
    -------
    value : In(width)
        A result.
    write_in, write_out, address_in, address_out
        With ``value``: keep it there. One cycle from lane to lane.
    read_address, read_enable, output_enable, read_data
        Of the :class:`~systolith.hdl.structure.block_memory.BlockMemory`, for all lanes at once.
    """

    chain: ClassVar = {"write_in": "write_out", "address_in": "address_out"}
    broadcast = ("read_address", "read_enable", "output_enable")

    def __init__(self, width: int, depth: int, technology: str):
        self.width, self.depth, self.technology = width, depth, technology
        super().__init__({
            "value": In(width), "read_data": Out(width),
            "write_in": In(1), "write_out": Out(1),
            "address_in": In(range(depth)), "address_out": Out(range(depth)),
            "read_address": In(range(depth)), "read_enable": In(1), "output_enable": In(1),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.words = words = BlockMemory(self.width, self.depth, self.technology,
                                                 enables=True)
        write = Signal()
        address = Signal.like(self.address_in, reset_less=True)
        m.d.sync += [write.eq(self.write_in), address.eq(self.address_in)]
        m.d.comb += [
            self.write_out.eq(write),
            self.address_out.eq(address),
            words.write_data.eq(self.value),
            words.write_enable.eq(self.write_in),
            words.write_address.eq(self.address_in),
            words.read_address.eq(self.read_address),
            words.read_enable.eq(self.read_enable),
            words.output_enable.eq(self.output_enable),
            self.read_data.eq(words.read_data),
        ]
        return m


class ResultBuffer(wiring.Component):
    """First-in first-out buffer whose lanes are filled one after the other, the last one first.

    A memory per lane takes its results when the wavefront has them, so that they need no registers
    to wait for those of the other lanes.

    Parameters
    ----------
    lanes : int
    width : int
        Bits of a lane.
    depth : int
        Beats, at least 2.
    technology : str
        Whose memory blocks to instantiate.

    Members
    -------
    values : In(lanes * width)
        Lane i of a beat ``lanes - 1 - i`` cycles after the last lane.
    write : In(1)
        The last lane has its part of a beat. Whoever writes keeps count of free places.
    last : In(1)
        It is the last beat of a frame.
    o : Out(axi_stream.Signature(lanes * width))
    taken : Out(1)
        A beat leaves: one place is free again from the next cycle on.

    Timing
    ------
    Latency :attr:`latency` cycles from lane 0 of a beat through the empty buffer, one beat per
    cycle. The beat at ``o`` is the output registers of the memories.
    """

    #: Cycles from lane 0 of a beat to the beat at ``o``, with nothing in between.
    latency = 1 + BlockMemory.latency

    def __init__(self, lanes: int, width: int, depth: int, technology: str = "generic"):
        if depth < 2:
            raise ValueError(f"depth must be at least 2, not {depth}")
        self.lanes, self.width, self.depth, self.technology = lanes, width, depth, technology
        self.module_name = f"result_buffer_{depth}x{lanes}x{width}"
        super().__init__({
            "values": In(lanes * width), "write": In(1), "last": In(1),
            "o": Out(axi_stream.Signature(lanes * width)), "taken": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.lanes = lanes = LinearArray(
            lambda: ResultLane(self.width, self.depth, self.technology), self.lanes,
            name="result_lane", chain=ResultLane.chain, broadcast=ResultLane.broadcast,
            from_last=True)
        m.submodules.lasts = lasts = BlockMemory(
            1, self.depth, self.technology, enables=True)

        def step(pointer):
            return Mux(pointer == self.depth - 1, 0, pointer + 1)[:len(pointer)]

        written = Signal()                               # in all lanes
        if self.lanes > 1:
            m.submodules.to_lane_0 = to_lane_0 = Delay(1, self.lanes - 1, reset=True)
            m.d.comb += [to_lane_0.i.eq(self.write), written.eq(to_lane_0.o)]
        else:
            m.d.comb += written.eq(self.write)

        write_pointer = Signal(range(self.depth))
        read_pointer = Signal(range(self.depth))
        stored = Signal(range(self.depth + 1))           # written, read not yet begun
        any_stored = Signal()
        in_memory = Signal()                             # a beat is in the latches of the memories
        valid = Signal()                                 # a beat is in their output registers
        advance = Signal()
        follow = Signal()
        fetch = Signal()
        m.d.comb += [
            advance.eq(self.o.ready | ~valid),
            follow.eq(advance | ~in_memory),
            fetch.eq(any_stored & follow),
            lanes.value.eq(self.values),
            lanes.write_in.eq(self.write),
            lanes.address_in.eq(write_pointer),
            lasts.write_data.eq(self.last),
            lasts.write_enable.eq(self.write),
            lasts.write_address.eq(write_pointer),
            self.o.data.eq(lanes.read_data),
            self.o.last.eq(lasts.read_data),
            self.o.valid.eq(valid),
            self.taken.eq(valid & self.o.ready),
        ]
        for memory in lanes, lasts:
            m.d.comb += [
                memory.read_address.eq(read_pointer),
                memory.read_enable.eq(follow),
                memory.output_enable.eq(advance),
            ]
        with m.If(self.write):
            m.d.sync += write_pointer.eq(step(write_pointer))
        # `fetch` comes late: it chooses between what is counted either way.
        more = Signal.like(stored)
        less = Signal.like(stored)
        m.d.comb += [more.eq(stored + written), less.eq(stored + written - 1)]
        m.d.sync += [
            read_pointer.eq(select_late(fetch, step(read_pointer), read_pointer)),
            in_memory.eq(select_late(follow, any_stored, in_memory)),
            valid.eq(select_late(advance, in_memory, valid)),
            any_stored.eq(written | (stored[1:] != 0) | (stored[0] & ~fetch)),
            stored.eq(select_late(fetch, less, more)),
        ]
        return m
