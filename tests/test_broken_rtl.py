"""Break the systolic core on purpose: its stimulus must show each defect."""

import pytest

from systolith.generators import registry
from systolith.generators.core import elaborate, write
from systolith.sim.cases import draw, mismatch
from systolith.sim.simulators import verilator
from systolith.sim.simulators.core import Core
from systolith.sim.simulators.errors import SimulationError
from systolith.sim.simulators.harness import Pauses

WS = {"rows": 3, "cols": 2, "acc_depth": 4}
OS = {"rows": 3, "cols": 2, "dataflow": "os"}
REQUANT = {**WS, "output": "requant"}
ONE_ROW = {"rows": 1, "cols": 2, "acc_depth": 4}         # where K tiles can follow too closely
FP8 = {"rows": 2, "cols": 2, "a_format": "fp8e4m3", "w_format": "fp8e5m2"}
FP8_OS = {**FP8, "dataflow": "os"}
BF16 = {"rows": 2, "cols": 2, "acc_depth": 3, "a_format": "bf16", "w_format": "int8"}
BF16_OS = {"rows": 2, "cols": 2, "dataflow": "os", "a_format": "bf16", "w_format": "fp8e4m3"}
PATTERNS = (
    {},
    {"a": Pauses(0.3, 0.3), "w": Pauses(0.2, 0.4), "c": Pauses(0.3, 0.2)},
    {"c": Pauses(0.05, 0.01)},                           # long enough to fill the output buffer
)

BREAKS = {
    "sum": (WS, "psum_out <= psum_in + ", "psum_out <= psum_in - "),
    "sign of a weight": (WS, "$signed(a) * $signed(b)", "a * b"),
    "weights never swapped": (WS, "if (swap_in) begin", "if (swap_in & load_in) begin"),
    "chain refilled too early": (WS, "load <= step ? reached : 3'd0", "load <= {3{step}}"),
    "new sums not started": (WS, "augend = first_out ? ", "augend = (first_out & emit_out) ? "),
    "accumulator hazard": (ONE_ROW, "hold == 2'd0", "hold != 2'd3"),
    "output buffer overrun": (WS, "(room | (~emit))", "(room | 1'b1)"),
    "overflow unnoticed": (WS | {"acc_width": 17}, "overflow_out <= overflow_in | wrapped",
                           "overflow_out <= overflow_in & wrapped"),
    "sum of the tile before": (OS, "augend = first[1] ? 28'd0", "augend = first[0] ? 28'd0"),
    "drain too fast": (OS, "& (draining == 2'd0)", ""),
    "operands without a pair": (OS, "control_issue ? ", "1'b1 ? "),
    "rounding": (REQUANT, "high_half_full = nudged", "high_half_full = ~nudged"),
    "exponent of a product": (FP8, "{2'd0, a_exponent} + {1'd0, b_exponent}",
                              "{2'd0, a_exponent} | {1'd0, b_exponent}"),
    "codes of the other operand": (FP8_OS, "control_issue & a_decoder_invalid",
                                   "control_issue & w_decoder_invalid"),
    "next pair before the sum": (BF16_OS, "& (spacing == 2'd0)", ""),
    "weights loaded before the slower wavefront": (BF16, "& (waiting == 2'd0)", ""),
    "fp32 sums of the tile before": (BF16, "add_a = first_out ? 32'd0", "add_a = 1'b0 ? 32'd0"),
    "requantizer of the column before": (REQUANT, "used <= q_out", "used <= q_in"),
}


def problems(config: dict, folder, old: str | None = None, new: str | None = None) -> list[str]:
    """What the corner cases and some random ones show, without and with stalls."""
    template = registry.get("systolic")
    core = elaborate(template, template.config.parse(config), "core")
    write(core, folder)
    verilog = folder / "core.v"
    if old is not None:
        assert old in core.verilog
        verilog.write_text(core.verilog.replace(old, new))
    found = []
    model = template.load_model()
    files = Core.read(verilog, folder / "core.json", core.model)
    with verilator.simulator(files) as simulator:
        for case in draw(model, core.config, 1, None):
            for pauses in PATTERNS:
                try:
                    result = simulator.run(case.job, pauses=pauses, patience=3000)
                except SimulationError as error:
                    found.append(str(error))
                    continue
                message = mismatch(model, core.config, case, "c", result.beats["c"],
                                   result.beat_cycles["c"])
                if message or result.flags != case.flags:
                    found.append(message or "error flags differ")
                elif not pauses and result.cycles != case.cycles:
                    found.append(f"{result.cycles} cycles instead of {case.cycles}")
                if len(found) > 3:
                    return found
    return found


@pytest.mark.parametrize("config", [WS, OS, REQUANT, WS | {"acc_width": 17}, FP8, BF16],
                         ids=repr)
def test_the_core_as_it_is(config, tmp_path):
    assert problems(config, tmp_path) == []


@pytest.mark.parametrize("name", BREAKS)
def test_a_broken_core_is_caught(name, tmp_path):
    config, old, new = BREAKS[name]
    assert problems(config, tmp_path, old, new)
