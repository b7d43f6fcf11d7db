"""Block memory with the output register that makes it fast."""

from amaranth import Module, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from systolith.hdl.primitives import ecp5


class BlockMemory(wiring.Component):
    """Memory with one write and one read port, its output registered.

    What is read from a place while it is being written is undefined.

    Parameters
    ----------
    width : int
        Bits of a word.
    depth : int
        Words, at least 2.
    technology : str
        Whose memory blocks to instantiate, for as many words as one block holds; ``generic`` and
        deeper memories are left to synthesis, which may leave the register outside the block.

    Members
    -------
    read_address : In
    read_data : Out(width)
        The word :attr:`latency` cycles later.
    write_address, write_data, write_enable : In

    Timing
    ------
    A word can be read in the cycle after the one in which it is written.
    """

    latency = 2

    def __init__(self, width: int, depth: int, technology: str = "generic"):
        self.width, self.depth, self.technology = width, depth, technology
        self.module_name = f"block_memory_{depth}x{width}"
        super().__init__({
            "read_address": In(range(depth)), "read_data": Out(width),
            "write_address": In(range(depth)), "write_data": In(width), "write_enable": In(1),
        })

    def elaborate(self, platform):
        m = Module()
        if self.technology == "ecp5" and self.depth <= ecp5.MEMORY_DEPTH:
            self._instantiate(m)
        else:
            self._infer(m)
        return m

    def _infer(self, m: Module):
        m.submodules.words = words = Memory(shape=self.width, depth=self.depth, init=[],
                                            attrs={"no_rw_check": True})
        read, write = words.read_port(), words.write_port()
        data = Signal(self.width, reset_less=True)
        m.d.comb += [
            read.addr.eq(self.read_address),
            read.en.eq(1),
            write.addr.eq(self.write_address),
            write.data.eq(self.write_data),
            write.en.eq(self.write_enable),
            self.read_data.eq(data),
        ]
        m.d.sync += data.eq(read.data)

    def _instantiate(self, m: Module):
        for low in range(0, self.width, ecp5.MEMORY_BITS):
            bits = slice(low, min(low + ecp5.MEMORY_BITS, self.width))
            word: Value = ecp5.memory(m, f"block_{low}", self.read_address, self.write_address,
                                      self.write_data[bits], self.write_enable)
            m.d.comb += self.read_data[bits].eq(word)
