"""AXI4-Stream: the signature, and the two buffers that every core needs.

Frames of beats flow under a valid/ready handshake: a beat moves in a cycle in which both are high;
``valid``, once high, and the beat with it hold until then.
"""

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from systolith.hdl.structure.late_count import LateCount
from systolith.hdl.structure.select import select_late

__all__ = ["Fifo", "RegisterSlice", "Signature"]


class Signature(wiring.Signature):
    """A stream of beats, seen from its source.

    Parameters
    ----------
    data_bits : int
        Width of ``data`` in bits.
    user_bits : int
        Width of ``user``; the member is absent where 0.

    Members
    -------
    data : Out(data_bits)
    user : Out(user_bits)
    last : Out(1)
        High on the last beat of a frame.
    valid : Out(1)
    ready : In(1)
    """

    def __init__(self, data_bits: int, user_bits: int = 0):
        self.data_bits, self.user_bits = data_bits, user_bits
        members = {"data": Out(data_bits), "last": Out(1), "valid": Out(1), "ready": In(1)}
        if user_bits:
            members["user"] = Out(user_bits)
        super().__init__(members)

    @property
    def beat_bits(self) -> int:
        """Bits of a whole beat: data, last and user."""
        return self.data_bits + 1 + self.user_bits

    def __eq__(self, other):
        return (isinstance(other, Signature) and self.data_bits == other.data_bits
                and self.user_bits == other.user_bits)

    def __repr__(self):
        return f"axi_stream.Signature({self.data_bits}, {self.user_bits})"


def side(port):
    """``last`` and ``user`` of ``port`` as one value, assignable."""
    return Cat(port.last, *([port.user] if hasattr(port, "user") else []))


def beat(port):
    """All bits of a beat of ``port`` as one value, assignable."""
    return Cat(port.data, side(port))


class RegisterSlice(wiring.Component):
    """Two places that cut every combinational path between two stream ports.

    ``o.last`` and ``o.user``, which steer what follows, come straight from registers. ``o.data``
    comes from one of two that ``o.ready`` only chooses between, so that it need not reach every bit
    of a wide beat.

    Members
    -------
    i : In(signature)
    o : Out(signature)

    Timing
    ------
    Latency 1 cycle, one beat per cycle, also right after a stall. ``i.ready`` and ``o.valid`` are
    registers.
    """

    def __init__(self, signature: Signature):
        self.signature_ = signature
        self.module_name = f"register_slice_{signature.beat_bits}"
        super().__init__({"i": In(signature), "o": Out(signature)})

    def elaborate(self, platform):
        m = Module()
        i, o = self.i, self.o
        valid = Signal()
        ready = Signal()                # also low in reset, so that no beat is lost in it
        push = Signal()
        pop = Signal()
        m.d.comb += [
            push.eq(i.valid & ready),
            pop.eq(valid & o.ready),
            o.valid.eq(valid),
            i.ready.eq(ready),
        ]
        m.d.sync += [
            valid.eq(push | (valid & ~(pop & ready))),
            ready.eq(pop | ~valid | (ready & ~push)),
        ]

        # A place that is not taken may hold anything.
        even = Signal.like(i.data, name="even", reset_less=True)
        odd = Signal.like(i.data, name="odd", reset_less=True)
        write_odd = Signal()
        read_odd = Signal()
        m.d.comb += o.data.eq(Mux(read_odd, odd, even))
        m.d.sync += [write_odd.eq(write_odd ^ push), read_odd.eq(read_odd ^ pop)]
        with m.If(ready & ~write_odd):
            m.d.sync += even.eq(i.data)
        with m.If(ready & write_odd):
            m.d.sync += odd.eq(i.data)

        control = Signal(len(side(i)), reset_less=True)
        held = Signal(len(side(i)), reset_less=True)
        m.d.comb += side(o).eq(control)
        moves = Signal()
        m.d.comb += moves.eq(pop | ~valid)
        m.d.sync += control.eq(select_late(moves, Mux(ready, side(i), held), control))
        with m.If(ready):
            m.d.sync += held.eq(side(i))
        return m


class Fifo(wiring.Component):
    """First-in first-out buffer in a block memory with a registered read.

    Parameters
    ----------
    signature : Signature
    depth : int
    spread : bool
        Keep the beats in small memories beside the logic, not in a block, whose word comes late.

    Members
    -------
    i : In(signature)
        Never stalls: ``ready`` is constantly high. Whoever writes keeps count of free places.
    o : Out(signature)
    taken : Out(1)
        A beat leaves: one place is free again from the next cycle on.

    Timing
    ------
    Latency :attr:`latency` cycles through the empty buffer, one beat per cycle. The beat at ``o``
    is the output register of the memory.
    """

    #: Cycles from a beat at ``i`` to the same beat at ``o``, with nothing in between.
    latency = 2

    def __init__(self, signature: Signature, depth: int, *, spread: bool = False):
        if depth < 2:
            raise ValueError(f"depth must be at least 2, not {depth}")
        self.signature_, self.depth, self.spread = signature, depth, spread
        self.module_name = f"fifo_{depth}x{signature.beat_bits}" + "_spread" * spread
        super().__init__({"i": In(signature), "o": Out(signature), "taken": Out(1)})

    def elaborate(self, platform):
        m = Module()
        # A word is read at the earliest in the cycle after the one in which it is written.
        m.submodules.memory = memory = Memory(shape=self.signature_.beat_bits, depth=self.depth,
                                              init=[], attrs={
            "no_rw_check": True, **({"ram_style": "distributed"} if self.spread else {})})
        write = memory.write_port()
        read = memory.read_port()

        def step(pointer):
            return Mux(pointer == self.depth - 1, 0, pointer + 1)

        write_pointer = Signal(range(self.depth))
        read_pointer = Signal(range(self.depth))
        valid = Signal()                                 # a beat is in the memory's output register
        fetch = Signal()
        any_stored = Signal()
        # Written, read not yet begun.
        stored = LateCount(m, "stored", self.i.valid, fetch, self.depth)
        m.d.comb += [
            self.i.ready.eq(1),
            any_stored.eq(stored.reaches(1)),
            write.addr.eq(write_pointer),
            write.data.eq(beat(self.i)),
            write.en.eq(self.i.valid),
            fetch.eq(any_stored & (self.o.ready | ~valid)),
            read.addr.eq(read_pointer),
            read.en.eq(fetch),
            beat(self.o).eq(read.data),
            self.o.valid.eq(valid),
            self.taken.eq(valid & self.o.ready),
        ]
        with m.If(self.i.valid):
            m.d.sync += write_pointer.eq(step(write_pointer))
        with m.If(fetch):
            m.d.sync += read_pointer.eq(step(read_pointer))
        m.d.sync += valid.eq(fetch | (valid & ~self.o.ready))
        return m
