"""Block memory with the output register that makes it fast."""

from amaranth import Const, Module, Signal, Value
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
        Whose memory blocks to take. Those of ``ecp5`` are instantiated, for as many words as one
        holds; everything else is left to synthesis, which may leave the register outside the block,
        and for ``ice40`` may not take flip-flops instead of a block.
    enables : bool
        Whether the two registers of the read port can be held.

    Members
    -------
    read_address : In
    read_data : Out(width)
        The word :attr:`latency` cycles later.
    read_enable, output_enable : In(1)
        The memory takes the word at ``read_address``; the output register takes the word that the
        memory has. Only with ``enables``, otherwise both do in every cycle.
    write_address, write_data, write_enable : In

    Timing
    ------
    A word can be read in the cycle after the one in which it is written.
    """

    latency = 2

    def __init__(self, width: int, depth: int, technology: str = "generic", *,
                 enables: bool = False):
        self.width, self.depth, self.technology = width, depth, technology
        self.enables = enables
        self.module_name = f"block_memory_{depth}x{width}" + ("_with_enables" if enables else "")
        held = {"read_enable": In(1), "output_enable": In(1)} if enables else {}
        super().__init__({
            "read_address": In(range(depth)), "read_data": Out(width), **held,
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
        attributes = {"no_rw_check": True}
        if self.technology == "ice40":
            attributes["ram_style"] = "block"
        m.submodules.words = words = Memory(shape=self.width, depth=self.depth, init=[],
                                            attrs=attributes)
        read, write = words.read_port(), words.write_port()
        data = Signal(self.width, reset_less=True)
        m.d.comb += [
            read.addr.eq(self.read_address),
            read.en.eq(self.read_enable if self.enables else 1),
            write.addr.eq(self.write_address),
            write.data.eq(self.write_data),
            write.en.eq(self.write_enable),
            self.read_data.eq(data),
        ]
        with m.If(self.output_enable if self.enables else Const(1)):
            m.d.sync += data.eq(read.data)

    def _instantiate(self, m: Module):
        enables = (self.read_enable, self.output_enable) if self.enables else (Const(1),) * 2
        for low in range(0, self.width, ecp5.MEMORY_BITS):
            bits = slice(low, min(low + ecp5.MEMORY_BITS, self.width))
            word: Value = ecp5.memory(m, f"block_{low}", self.read_address, self.write_address,
                                      self.write_data[bits], self.write_enable, enables)
            m.d.comb += self.read_data[bits].eq(word)
