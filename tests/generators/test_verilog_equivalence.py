"""Every component of the library, printed by the emitter, equals what Amaranth's back end prints."""


from amaranth.hdl import signed, unsigned

from systolith.hdl.arithmetic.multiplier import Multiplier
from systolith.hdl.bus import axi_stream
from systolith.hdl.shell import Counter64
from systolith.hdl.structure.delay import Delay, Skew
from systolith.hdl.systolic.config import SystolicConfig
from systolith.hdl.systolic.core import SystolicCore


def test_a(prover):
    prover.prove(lambda: axi_stream.RegisterSlice(axi_stream.Signature(3, 1)), Counter64,
        lambda: axi_stream.Fifo(axi_stream.Signature(3, 1), 3),
        lambda: Delay(3, 2), lambda: Delay(3,3,reset=True), lambda: Skew(5, 2), lambda: Multiplier(signed(3), unsigned(2), 1),  steps=8)

def test_core(prover):
    c=SystolicConfig(rows=2,cols=2,a_format="int2",w_format="int3",max_k=4,acc_depth=3)
    prover.prove(lambda: SystolicCore(c), steps=8)
