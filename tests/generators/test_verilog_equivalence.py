"""Components of the library, printed by the emitter, equal what Amaranth's back end prints."""

import pytest
from amaranth.hdl import signed, unsigned

from systolith.hdl.arithmetic.multiplier import Multiplier
from systolith.hdl.bus import axi_stream
from systolith.hdl.bus.credits import Credits
from systolith.hdl.dot.config import DotConfig
from systolith.hdl.dot.dot import Dot
from systolith.hdl.shell import EventCounter
from systolith.hdl.structure.block_memory import BlockMemory
from systolith.hdl.structure.delay import Delay, Skew
from systolith.hdl.structure.linear_array import LinearArray
from systolith.hdl.systolic import control, lanes, pe
from systolith.hdl.systolic.config import SystolicConfig
from systolith.hdl.systolic.core import SystolicCore
from systolith.hdl.systolic.mesh import mesh
from systolith.hdl.systolic.requantizers import ParameterLoader
from systolith.hdl.systolic.result_buffer import ResultBuffer

SMALL = {"rows": 2, "cols": 2, "a_format": "int2", "w_format": "uint3", "max_k": 4, "acc_depth": 3}
WS = SystolicConfig.parse(SMALL)
OS = SystolicConfig.parse({**SMALL, "dataflow": "os", "acc_depth": 512})

COMPONENTS = {
    "register slice": lambda: axi_stream.RegisterSlice(axi_stream.Signature(3, 1)),
    "fifo": lambda: axi_stream.Fifo(axi_stream.Signature(3, 1), 3),
    "counter": EventCounter,
    "delay": lambda: Delay(3, 2),
    "delay with reset": lambda: Delay(3, 3, reset=True),
    "skew": lambda: Skew(5, 2),
    "skew, last first": lambda: Skew(3, 2, last_first=True),
    "multiplier": lambda: Multiplier(signed(3), unsigned(2), 1),
    "multiplier with registers": lambda: Multiplier(signed(3), unsigned(2), 1,
                                                    operand_registers=True, held="ab"),
    "block memory": lambda: BlockMemory(3, 5),
    "block memory with enables": lambda: BlockMemory(3, 5, enables=True),
    "result buffer": lambda: ResultBuffer(2, 2, 3),
    "line": lambda: LinearArray(lambda: Delay(2, 1), 3, name="delay", chain={"i": "o"}),
    "line from the last": lambda: LinearArray(lambda: Delay(2, 1), 3, name="delay",
                                              chain={"i": "o"}, from_last=True),
    "lanes": lambda: LinearArray(lambda: Delay(2, 1), 3, name="delay"),
    "weight-stationary pe": lambda: pe.WeightStationaryPE(WS),
    "output-stationary pe": lambda: pe.OutputStationaryPE(OS),
    "mesh": lambda: mesh(WS),
    "accumulator lane": lambda: lanes.AccumulatorLane(WS),
    "drain lane": lambda: lanes.DrainLane(OS),
    "chain loader": lambda: control.ChainLoader(2, 3),
    "weight-stationary control": lambda: control.WeightStationaryControl(WS, 3),
    "output-stationary control": lambda: control.OutputStationaryControl(OS, OS.rows),
    "drain control": lambda: control.DrainControl(3),
    "credits": lambda: Credits(5, 2),
    "parameter loader": lambda: ParameterLoader(2, 6),
    "dot": lambda: Dot(DotConfig.parse({"lanes": 2, "x_format": "int2", "y_format": "uint2",
                                        "max_beats": 2})),
    "core": lambda: SystolicCore(WS),
}


@pytest.mark.parametrize("name", COMPONENTS)
def test_component(prover, name):
    prover.prove(COMPONENTS[name], steps=8)


@pytest.mark.parametrize(("name", "old", "new"), [
    ("drain control", "shift[0]", "shift[1]"),
    ("credits", "left_risen ? 3'd1 : 3'd0", "left_risen ? 3'd0 : 3'd0"),
    ("register slice", "read_odd ? odd", "write_odd ? odd"),
    ("line from the last", "i_links[(i_ + 1)*2 +: 2]", "i_links[i_*2 +: 2]"),
])
def test_a_changed_component_is_refuted(prover, name, old, new):
    def change(text):
        assert old in text
        return text.replace(old, new)

    prover.refute(COMPONENTS[name], change, steps=8)
