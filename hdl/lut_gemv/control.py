"""Frames to vectors in table banks, and to lookups."""

from amaranth import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from systolith.hdl.arithmetic.steps import counter
from systolith.hdl.lut_gemv.config import LutGemvConfig
from systolith.hdl.structure.dropping import drop_rest
from systolith.hdl.structure.frame_steps import FrameSteps, connect_steps


class VectorControl(wiring.Component):
    """Takes frames of activations: whole blocks, no longer than the tables, when a bank is free.

    Members
    -------
    i_valid, i_ready, i_last
        Handshake of the activation stream.
    bank_free : In(1)
    step, fill, first, last : Out(1)
        A beat goes to the builder; it is made of zeros; it is the first, the last of a vector.
    busy, waiting : Out(1)
    too_long, too_short : Out(1)
        Pulses of the error flags; ``short`` only with quantized tables.
    """

    def __init__(self, config: LutGemvConfig):
        self.config = config
        super().__init__({
            "i_valid": In(1), "i_ready": Out(1), "i_last": In(1), "bank_free": In(1),
            "step": Out(1), "fill": Out(1), "first": Out(1), "last": Out(1),
            "busy": Out(1), "waiting": Out(1), "too_long": Out(1), "too_short": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        config = self.config
        in_vector = Signal()
        filling = Signal()
        dropping = Signal()
        count = Signal(counter(config.max_tables - 1))
        at_limit = Signal()
        whole = Signal()                                 # blocks, with this beat
        open_ = Signal()
        m.d.comb += [
            open_.eq((in_vector | self.bank_free) & ~dropping & ~filling),
            self.step.eq((open_ & self.i_valid) | filling),
            self.i_ready.eq(open_ | dropping),
            self.fill.eq(filling),
            self.first.eq(~in_vector),
            at_limit.eq(count == config.max_tables - 1),
            self.last.eq(at_limit | ((self.i_last | filling) & whole)),
            self.too_long.eq(open_ & self.i_valid & at_limit & ~self.i_last),
            self.too_short.eq(open_ & self.i_valid & self.i_last & ~whole),
            self.busy.eq(in_vector | dropping),
            self.waiting.eq((in_vector & ~filling | dropping) & ~self.i_valid),
        ]
        with m.If(self.step):
            m.d.sync += [count.eq(Mux(self.last, 0, count + 1)), in_vector.eq(~self.last)]
        if config.quantized:
            place = Signal(counter(config.block_tables - 1))
            m.d.comb += whole.eq(place == config.block_tables - 1)
            with m.If(self.step):
                m.d.sync += place.eq(Mux(whole, 0, place + 1))
            with m.If(self.too_short):
                m.d.sync += filling.eq(1)
            with m.Elif(self.last):
                m.d.sync += filling.eq(0)
        else:
            m.d.comb += whole.eq(1)
        drop_rest(m, dropping, self.too_long, self.i_valid & self.i_last)
        return m


class LookupControl(wiring.Component):
    """Issues indices: block after block, in each plane after plane, in each table after table.

    Parameters
    ----------
    config : LutGemvConfig
    interval : int
        Cycles from the end of a block to that of the next, at least.

    Members
    -------
    i_valid, i_ready, i_last, i_user
        Handshake of the weight stream.
    ready : In(1)
        There are tables of a vector.
    last_table, last_block : In
        Of a block and of the vector.
    room : In(1)
        The output buffer has room for a frame.
    issue, fill : Out(1)
        Indices enter the lanes; they are zero, for what a frame lacks.
    address : Out
        Of their table.
    first, doubles : Out(1)
        They start a block, a plane.
    ends, ends_frame : Out(1)
        They finish a block, a frame.
    block : Out
    bipolar, done : Out(1)
        The weights are bipolar; the vector is done with.
    busy, waiting : Out(1)
    too_short, too_long : Out(1)
        Pulses of the error flags.
    """

    def __init__(self, config: LutGemvConfig, interval: int):
        self.config, self.interval = config, interval
        table, block = counter(config.max_tables - 1), counter(config.max_blocks - 1)
        super().__init__({
            "i_valid": In(1), "i_ready": Out(1), "i_last": In(1), "i_user": In(4),
            "ready": In(1), "last_table": In(table), "last_block": In(block), "room": In(1),
            "issue": Out(1), "fill": Out(1), "address": Out(table),
            "first": Out(1), "doubles": Out(1), "ends": Out(1), "ends_frame": Out(1),
            "block": Out(block), "bipolar": Out(1), "done": Out(1),
            "busy": Out(1), "waiting": Out(1), "too_short": Out(1), "too_long": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.steps = steps = FrameSteps(self.interval)
        held_user = Signal(4, reset_less=True)
        user = Signal(4)
        planes = user[:2]
        plane = Signal(2)
        plane_now = Signal(2)
        table = Signal.like(self.last_table)             # within the block
        table_first = Signal(init=1)                     # it is 0
        table_last = Signal(reset_less=True)             # another one is the last
        address = Signal.like(self.address, name="address_now")
        base = Signal.like(self.address)                 # of the block
        block = Signal.like(self.block, name="block_now")

        plane_ends = Signal()
        following = Signal.like(self.address)
        connect_steps(m, steps, self)
        m.d.comb += [
            user.eq(Mux(steps.begun, held_user, self.i_user)),
            plane_now.eq(Mux(steps.begun, plane, planes)),
            plane_ends.eq(Mux(table_first, self.last_table == 0, table_last)),
            self.ends.eq(plane_ends & (plane_now == 0)),
            self.ends_frame.eq(self.ends & (block == self.last_block)),
            self.address.eq(address),
            self.doubles.eq(table_first),
            self.first.eq(table_first & (plane_now == planes)),
            self.block.eq(block),
            self.bipolar.eq(user[2]),
            self.done.eq(self.issue & self.ends_frame & user[3]),
            following.eq(Mux(self.ends_frame, 0, address + 1)),
        ]
        with m.If(self.issue):
            m.d.sync += [
                held_user.eq(user),
                table.eq(Mux(plane_ends, 0, table + 1)),
                table_first.eq(plane_ends),
                table_last.eq(table + 1 == self.last_table),
                plane.eq(Mux(self.ends, planes, plane_now - plane_ends)),
                address.eq(Mux(plane_ends & ~self.ends, base, following)),
            ]
        if self.config.max_blocks > 1:
            with m.If(self.issue & self.ends):
                m.d.sync += [block.eq(Mux(self.ends_frame, 0, block + 1)), base.eq(following)]
        return m
