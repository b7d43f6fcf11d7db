"""On the borders of the mesh: what comes in as codes travels on as operands."""

from amaranth import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from systolith.hdl.arithmetic.mac import OperandDecoder
from systolith.hdl.formats import SELECT_BITS, BitmodFormat, Operand
from systolith.hdl.structure.linear_array import LinearArray


class BorderDecoder(wiring.Component):
    """Decodes the lanes of a beat.

    Parameters
    ----------
    operand : Operand
    lanes : int
        Elements of a beat; even for pairs, which are neighbours in a beat.
    side : str
        What the lanes are, for the names of modules.
    one_group : bool
        Whether the elements of a beat belong to one group; only of bitmod.

    Members
    -------
    codes : In
        Lane i is ``codes[i*w +: w]``.
    select : In
        Which special value the group of a lane has, or that of all lanes; only of bitmod.
    operands : Out
        Likewise.
    invalid : Out
        The code of a lane, or of a pair, is NaN, Inf or illegal.

    Timing
    ------
    Combinational.
    """

    latency = 0

    def __init__(self, operand: Operand, lanes: int, side: str, *, one_group: bool = False):
        self.operand, self.count, self.side = operand, lanes, side
        self.module_name = f"{side}_border"
        self.broadcast, select = (), {}
        if isinstance(operand.format, BitmodFormat):
            self.broadcast = ("select",) if one_group else ()
            select["select"] = In(SELECT_BITS * (1 if one_group else lanes))
        super().__init__({"codes": In(lanes * operand.format.bits), **select,
                          "operands": Out(lanes * operand.bits),
                          "invalid": Out(lanes // operand.group)})

    def elaborate(self, platform):
        m = Module()
        m.submodules.lanes = lanes = LinearArray(
            lambda: OperandDecoder(self.operand), self.count // self.operand.group, name="decoder",
            module=f"{self.side}_decoders", broadcast=self.broadcast)
        if hasattr(self, "select"):
            m.d.comb += lanes.select.eq(self.select)
        m.d.comb += [
            lanes.code.eq(self.codes),
            self.operands.eq(lanes.operand),
            self.invalid.eq(lanes.invalid),
        ]
        return m
