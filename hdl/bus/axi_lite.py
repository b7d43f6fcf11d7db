"""AXI4-Lite: the signature, and the register bank that every core has."""

from collections.abc import Sequence
from functools import reduce
from operator import or_

from amaranth import Cat, Const, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from systolith.hdl.interface import Field, Register

ADDRESS_BITS = 12
OKAY, SLVERR = 0, 2


class Signature(wiring.Signature):
    """An AXI4-Lite port with 32-bit data, seen from the manager. Members are called as in the
    AMBA specification, in lower case.

    Parameters
    ----------
    address_bits : int
    """

    def __init__(self, address_bits: int = ADDRESS_BITS):
        super().__init__({
            "awaddr": Out(address_bits), "awprot": Out(3), "awvalid": Out(1), "awready": In(1),
            "wdata": Out(32), "wstrb": Out(4), "wvalid": Out(1), "wready": In(1),
            "bresp": In(2), "bvalid": In(1), "bready": Out(1),
            "araddr": Out(address_bits), "arprot": Out(3), "arvalid": Out(1), "arready": In(1),
            "rdata": In(32), "rresp": In(2), "rvalid": In(1), "rready": Out(1),
        })


class RegisterBank(wiring.Component):
    """Registers behind an AXI4-Lite port.

    Parameters
    ----------
    registers : sequence of Register

    Members
    -------
    bus : In(Signature())
    <register>_<field>
        ``ro``: In, what is read. ``rw``: Out, what was written. ``wo``: Out, high for a cycle
        when a one is written. ``w1c``: In, sets the sticky bit that is read.
    <register>_read : Out(1)
        Of ``ro`` registers: high in the cycle in which the value is taken.

    Timing
    ------
    A read is answered four cycles after its address: the address is decoded, the value is taken,
    the value is put on the bus, each in a cycle of its own. A write is answered three cycles after
    its address, or two after its data if these come later. An address without a register answers
    SLVERR, reads zero and ignores writes.
    """

    def __init__(self, registers: Sequence[Register]):
        self.registers = tuple(registers)
        ports = {"bus": In(Signature())}
        for register in self.registers:
            flow = In if register.access in ("ro", "w1c") else Out
            for field in register.fields:
                ports[f"{register.name}_{field.name}"] = flow(field.bits)
            if register.access == "ro":
                ports[f"{register.name}_read"] = Out(1)
        super().__init__(ports)

    def elaborate(self, platform):
        m = Module()
        write, write_address, data, mask = self._write_channel(m)
        take, read, read_address = self._read_channel(m)
        count = len(self.registers)
        reads = Signal(count, reset_less=True)           # which register an address means
        writes = Signal(count, reset_less=True)
        writing = Signal()      # a cycle late; address and data stay until then
        words = []
        for index, register in enumerate(self.registers):
            word = register.offset >> 2
            m.d.sync += [reads[index].eq(read_address == word),
                         writes[index].eq(write_address == word)]
            here = Signal(name=f"write_{register.name}")
            if register.access == "ro":
                m.d.comb += getattr(self, f"{register.name}_read").eq(take & reads[index])
            else:
                m.d.comb += here.eq(writing & writes[index])
            value = _word(register, [self._field(m, register, field, here, data, mask)
                                     for field in register.fields])
            words.append(Mux(reads[index], value, 0))
        # Two halves, each of which is a wide gate; they meet on the way to the bus.
        taken = [Signal(32, name=f"taken_{half}", reset_less=True) for half in range(2)]
        known = Signal(reset_less=True)
        with m.If(take):
            m.d.sync += [known.eq(reads.any()),
                         *(half.eq(reduce(or_, words[start::2], Const(0, 32)))
                           for start, half in enumerate(taken))]
        with m.If(read):
            m.d.sync += [self.bus.rdata.eq(taken[0] | taken[1]),
                         self.bus.rresp.eq(Mux(known, OKAY, SLVERR))]
        with m.If(write):
            m.d.sync += self.bus.bresp.eq(Mux(writes.any(), OKAY, SLVERR))
        m.d.sync += writing.eq(write)
        return m

    def _write_channel(self, m: Module):
        """Take address and data in any order; ``write`` is high for a cycle with both."""
        bus = self.bus
        address = Signal(ADDRESS_BITS - 2, name="write_address", reset_less=True)
        data = Signal(32, name="write_data", reset_less=True)
        strobe = Signal(4, name="write_strobe", reset_less=True)
        has_address = Signal()
        has_data = Signal()
        write = Signal()
        decoded = Signal(name="write_decoded")
        m.d.comb += write.eq(decoded & has_data & (~bus.bvalid | bus.bready))
        m.d.sync += decoded.eq(has_address & ~write)
        with m.If(bus.awvalid & bus.awready):
            m.d.sync += [address.eq(bus.awaddr[2:]), has_address.eq(1), bus.awready.eq(0)]
        with m.Elif(write | ~has_address):
            m.d.sync += [has_address.eq(0), bus.awready.eq(1)]
        with m.If(bus.wvalid & bus.wready):
            m.d.sync += [data.eq(bus.wdata), strobe.eq(bus.wstrb), has_data.eq(1),
                         bus.wready.eq(0)]
        with m.Elif(write | ~has_data):
            m.d.sync += [has_data.eq(0), bus.wready.eq(1)]
        with m.If(write):
            m.d.sync += bus.bvalid.eq(1)
        with m.Elif(bus.bready):
            m.d.sync += bus.bvalid.eq(0)
        mask = Signal(32, name="write_mask")
        m.d.comb += mask.eq(Cat(bit.replicate(8) for bit in strobe))
        return write, address, data, mask

    def _read_channel(self, m: Module):
        """Take an address; ``take`` is high for a cycle with it, then ``read`` for one."""
        bus = self.bus
        address = Signal(ADDRESS_BITS - 2, name="read_address", reset_less=True)
        has_address = Signal(name="has_read")
        decoded = Signal(name="read_decoded")
        taken = Signal(name="read_taken")
        take = Signal()
        read = Signal()
        m.d.comb += [
            take.eq(decoded & ~taken),
            read.eq(taken & (~bus.rvalid | bus.rready)),
        ]
        m.d.sync += [
            decoded.eq(has_address & ~read),
            taken.eq((take | taken) & ~read),
        ]
        with m.If(bus.arvalid & bus.arready):
            m.d.sync += [address.eq(bus.araddr[2:]), has_address.eq(1), bus.arready.eq(0)]
        with m.Elif(read | ~has_address):
            m.d.sync += [has_address.eq(0), bus.arready.eq(1)]
        # Not a condition, which would become a clock enable, and that a net of its own.
        m.d.sync += bus.rvalid.eq(read | (bus.rvalid & ~bus.rready))
        return take, read, address

    def _field(self, m: Module, register: Register, field: Field, here, data, mask):
        """Make the storage of a field; return what a read of it gives."""
        port = getattr(self, f"{register.name}_{field.name}")
        bits = slice(field.lsb, field.lsb + field.bits)
        name = f"{register.name}_{field.name}"
        match register.access:
            case "rw":
                stored = Signal(field.bits, name=f"{name}_stored",
                                init=field.reset & ((1 << field.bits) - 1))
                with m.If(here):
                    m.d.sync += stored.eq((data[bits] & mask[bits]) | (stored & ~mask[bits]))
                m.d.comb += port.eq(stored)
                return stored
            case "wo":
                m.d.comb += port.eq(data[bits] & mask[bits] & here.replicate(field.bits))
                return Const(0, field.bits)
            case "w1c":
                sticky = Signal(field.bits, name=f"{name}_sticky")
                cleared = Signal(field.bits, name=f"{name}_cleared")
                m.d.comb += cleared.eq(data[bits] & mask[bits] & here.replicate(field.bits))
                m.d.sync += sticky.eq((sticky & ~cleared) | port)
                return sticky
        return port


def _word(register: Register, values: Sequence) -> Cat:
    """32 bits with the fields of a register in their places, zeros elsewhere."""
    parts, position = [], 0
    for field, value in sorted(zip(register.fields, values, strict=True), key=lambda x: x[0].lsb):
        parts += [Const(0, field.lsb - position), value]
        position = field.lsb + field.bits
    return Cat(*parts)
