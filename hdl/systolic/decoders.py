"""On the borders of the mesh: what comes in as codes travels on as operands."""

from amaranth import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from systolith.hdl.arithmetic.mac import OperandDecoder
from systolith.hdl.formats import Operand
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

    Members
    -------
    codes : In
        Lane i is ``codes[i*w +: w]``.
    operands : Out
        Likewise.
    invalid : Out(1)
        The code of a lane is NaN, Inf or illegal.

    Timing
    ------
    Combinational.
    """

    latency = 0

    def __init__(self, operand: Operand, lanes: int, side: str):
        self.operand, self.count, self.side = operand, lanes, side
        self.module_name = f"{side}_border"
        super().__init__({"codes": In(lanes * operand.format.bits),
                          "operands": Out(lanes * operand.bits), "invalid": Out(1)})

    def elaborate(self, platform):
        m = Module()
        m.submodules.lanes = lanes = LinearArray(
            lambda: OperandDecoder(self.operand), self.count // self.operand.group, name="decoder",
            module=f"{self.side}_decoders")
        m.d.comb += [
            lanes.code.eq(self.codes),
            self.operands.eq(lanes.operand),
            self.invalid.eq(lanes.invalid.any()),
        ]
        return m
