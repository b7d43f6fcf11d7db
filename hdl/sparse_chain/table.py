"""What each pattern means for the cells of a chain."""

from amaranth import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from systolith.hdl.formats.patterns import Pattern
from systolith.hdl.sparse_chain.config import SparseChainConfig


class PatternTable(wiring.Component):
    """Decodes a pattern byte, combinationally.

    A segment is the cells of one column: cell i of a chain is cell i mod S of its segment of S
    cells, and there place r of group g.

    Members
    -------
    code : In(8)
    known : Out(1)
        It is a pattern that was built in, and not N = 0; the other outputs mean something.
    log2_speedup : Out
        Columns that a chain computes at a time.
    last_beat : Out
        Beats of a block, less one.
    base : Out
        For each cell, where its group begins among the activations of the block; in a dense block
        where its activation is.
    mask, beyond : Out
        Bits of an index that select within the group; bits that must be zero.
    follows : Out
        For each cell: its index must be above that of the cell before.
    starts : Out
        For each place but the first where the shortest segments begin: one of this pattern does.
        Not with ``max_speedup`` 1.
    """

    def __init__(self, config: SparseChainConfig):
        self.config = config
        self.cell_bits = (config.cells - 1).bit_length()
        members = {
            "code": In(8), "known": Out(1),
            "log2_speedup": Out(range(max(config.max_speedup.bit_length(), 2))),
            "last_beat": Out(range(max(config.max_speedup, 2))),
            "base": Out(config.cells * self.cell_bits),
            "mask": Out(config.index_bits), "beyond": Out(config.index_bits),
            "follows": Out(config.cells),
        }
        if config.max_speedup > 1:
            members["starts"] = Out(config.max_speedup - 1)
        super().__init__(members)

    def elaborate(self, platform):
        m = Module()
        config = self.config
        with m.Switch(self.code):
            for pattern in config.patterns:
                if pattern.n:
                    with m.Case(pattern.code):
                        m.d.comb += [self.known.eq(1), *(
                            getattr(self, name).eq(value)
                            for name, value in self._entry(pattern).items())]
        return m

    def _entry(self, pattern: Pattern) -> dict[str, int]:
        cells, width, columns = self.config.cells, self.cell_bits, self.config.max_speedup
        segment = cells // pattern.speedup
        dense = pattern.n == pattern.m
        places = [cell % segment for cell in range(cells)]
        bases = places if dense else [place // pattern.n * pattern.m for place in places]
        mask = 0 if dense else pattern.m - 1
        entry = {
            "log2_speedup": pattern.speedup.bit_length() - 1,
            "last_beat": columns // pattern.speedup - 1,
            "base": sum(base << cell * width for cell, base in enumerate(bases)),
            "mask": mask,
            "beyond": 0 if dense else (1 << self.config.index_bits) - 1 & ~mask,
            "follows": 0 if dense else sum(1 << cell for cell in range(cells)
                                           if cell % pattern.n),
        }
        if columns > 1:
            pitch = columns // pattern.speedup
            entry["starts"] = sum(1 << place - 1 for place in range(pitch, columns, pitch))
        return entry
