"""Repetition: many identical cells in a line, elaborated once and emitted once."""

from collections.abc import Callable, Mapping

from amaranth import Fragment, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In


class LinearArray(wiring.Component):
    """``count`` identical cells side by side: a row of PEs, a mesh of rows, a bank of memories.

    The cell is a component whose members are plain In and Out ports. Each becomes a port of the
    array under the same name:

    - a member named in ``broadcast`` is one input that every cell sees;
    - a pair ``{input: output}`` in ``chain`` runs through the line: the input of the array feeds
      one end, each output feeds the next cell's input, the output of the other end leaves;
    - any other member gets a lane per cell: cell i has bits ``[i*w +: w]``.

    Amaranth's simulator and other backends see plain submodules. The Verilog emitter elaborates
    one cell and writes a generate loop, so its time and text do not depend on ``count``.

    Parameters
    ----------
    cell : callable
        Builds a new cell.
    count : int
        Number of cells, at least 1.
    name : str
        What one cell is called in the hierarchy.
    module : str, optional
        What the array's Verilog module is called; ``<name>_array`` by default.
    chain : mapping of str to str
        Input member to the output member that continues it.
    broadcast : tuple of str
        Input members that all cells share.
    from_last : bool
        Chains start at cell ``count - 1`` and end at cell 0, instead of the other way round.
    """

    def __init__(self, cell: Callable[[], wiring.Component], count: int, *, name: str,
                 module: str | None = None, chain: Mapping[str, str] | None = None,
                 broadcast: tuple[str, ...] = (), from_last: bool = False):
        if count < 1:
            raise ValueError(f"count must be at least 1, not {count}")
        self.build_cell, self.count, self.cell_name, self.module = cell, count, name, module
        self.prototype = cell()
        self.chain, self.broadcast, self.from_last = dict(chain or {}), broadcast, from_last
        cell_members = self.prototype.signature.members
        self.widths = {name: Signal(member.shape).shape().width
                       for name, member in cell_members.items()}
        single = {*broadcast, *self.chain, *self.chain.values()}
        if unknown := single - set(cell_members):
            raise ValueError(f"the cell has no member {', '.join(sorted(unknown))}")
        self.lanes = tuple(name for name in cell_members if name not in single)
        super().__init__({
            name: member.flow(self.widths[name] * (1 if name in single else count))
            for name, member in cell_members.items()
        })

    def is_input(self, name: str) -> bool:
        """Whether the cell's member ``name`` is an input."""
        return self.prototype.signature.members[name].flow == In

    def elaborate(self, platform):
        if getattr(platform, "emits_repetition", False):
            return Fragment()
        m = Module()
        cells = [self.prototype, *(self.build_cell() for _ in range(self.count - 1))]
        for index, cell in enumerate(cells):
            m.submodules[f"{self.cell_name}_{index}"] = cell
            for name in self.broadcast:
                m.d.comb += getattr(cell, name).eq(getattr(self, name))
            for name in self.lanes:
                lane = getattr(self, name).word_select(index, self.widths[name])
                port = getattr(cell, name)
                m.d.comb += port.eq(lane) if self.is_input(name) else lane.eq(port)
        order = cells[::-1] if self.from_last else cells
        for first, then in self.chain.items():
            links = [getattr(self, first), *(getattr(cell, then) for cell in order)]
            for cell, link in zip(order, links, strict=False):
                m.d.comb += getattr(cell, first).eq(link)
            m.d.comb += getattr(self, then).eq(links[-1])
        return m


