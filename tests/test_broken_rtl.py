"""Break cores on purpose: the stimulus of their template must show each defect."""

import pytest

from systolith.generators import registry
from systolith.generators.core import GeneratedCore, elaborate, write
from systolith.sim.cases import draw, mismatch
from systolith.sim.simulators import verilator
from systolith.sim.simulators.core import Core
from systolith.sim.simulators.errors import SimulationError
from systolith.sim.simulators.harness import Pauses

WS = {"rows": 3, "cols": 2, "acc_depth": 4}
OS = {"rows": 3, "cols": 2, "dataflow": "os"}
PACKED = {"rows": 2, "cols": 4, "w_format": "int4", "acc_depth": 4, "technology": "ecp5"}
REQUANT = {**WS, "output": "requant"}
NORM = {"template": "norm", "lanes": 2, "max_length": 11, "x_format": "bf16", "x_fraction": 8,
        "affine": "none"}
ONE_ROW = {"rows": 1, "cols": 2, "acc_depth": 4}         # where K tiles can follow too closely
FP8 = {"rows": 2, "cols": 2, "a_format": "fp8e4m3", "w_format": "fp8e5m2"}
FP8_OS = {**FP8, "dataflow": "os"}
BF16 = {"rows": 2, "cols": 2, "acc_depth": 3, "a_format": "bf16", "w_format": "int8"}
BF16_OS = {"rows": 2, "cols": 2, "dataflow": "os", "a_format": "bf16", "w_format": "fp8e4m3"}
MX = {"rows": 2, "cols": 2, "acc_depth": 3, "a_format": "mxfp8e4m3/3", "w_format": "mxfp8e4m3/3"}
MX_OS = {"rows": 2, "cols": 2, "dataflow": "os", "a_format": "mxfp8e4m3/3", "w_format": "int8"}
BITMOD = {"rows": 2, "cols": 2, "w_format": "bitmod4/3"}
TABLES = {"template": "lut_gemv", "a_format": "fp16", "table": "int8", "rows": 2, "act_group": 8,
          "max_k": 24}
BITPLANE = {"template": "bitplane", "rows": 2, "cols": 2, "word": 8, "max_a_bits": 3,
            "max_w_bits": 2, "max_k": 40}
GELU = {"template": "activation", "lanes": 2}
I_EXP = {"template": "activation", "lanes": 1, "function": "exp", "implementation": "integer"}
SERIAL = {"template": "bitserial", "rows": 2, "cols": 1, "group": 16}
SERIAL_INT8 = {**SERIAL, "a_format": "int8", "acc_width": 32}
TERNARY = {"template": "ternary", "rows": 2, "word": 5, "a_lanes": 1, "max_k": 20,
           "a_format": "int16", "output": "scaled"}

MLGRU = {"template": "gating", "lanes": 2, "max_channels": 20, "y_format": "int8",
         "x_format": "int8", "lower_bound": "stream"}
GLU = {"template": "gating", "unit": "glu", "lanes": 1, "x_format": "int8"}

BREAKS = {
    "sum": (WS, "psum_out <= psum_in + ", "psum_out <= psum_in - "),
    "sign of a weight": (WS, "$signed(a_held) * $signed(held_b)", "a_held * held_b"),
    "borrow of a packed product": (PACKED, "assign carry = ", "assign carry = 1'b0 & "),
    "weights never swapped": (WS, ".b_enable(swap_in)", ".b_enable(swap_in & load_in)"),
    "chain refilled too early": (WS, "load <= reached & {3{step}}", "load <= {3{step}}"),
    "last weights not waited for": (WS, "full = full_2 | (reached[0] & i_valid)",
                                    "full = full_2 | reached[0]"),
    "beat before its first column": (WS, "written = to_lane_0_o", "written = write"),
    "new sums not started": (WS, "augend <= first_in ? ", "augend <= (first_in & valid_in) ? "),
    "accumulator hazard": (ONE_ROW, "(~held)", "(~hold[0])"),
    "output buffer overrun": (WS, ".room(places_enough)", ".room(1'b1)"),
    "overflow unnoticed": (WS | {"acc_width": 17}, "overflow_in | (valid_in & ",
                           "overflow_in & (valid_in & "),
    "sum of the tile before": (OS, "augend = first[1] ? 28'd0", "augend = first[0] ? 28'd0"),
    "drain too fast": (OS, "((~last) | (draining == 2'd0))", "1'b1"),
    "operands without a pair": (OS, "control_issue ? ", "1'b1 ? "),
    "rounding": (REQUANT, "high_2 <= nudged[63:31]", "high_2 <= ~nudged[63:31]"),
    "exponent of a product": (FP8, "{2'd0, a_exponent} + {1'd0, b_exponent}",
                              "{2'd0, a_exponent} | {1'd0, b_exponent}"),
    "codes of the other operand": (FP8_OS, "control_issue & (|a_decoder_invalid)",
                                   "control_issue & (|w_decoder_invalid)"),
    "next pair before the sum": (BF16_OS, "& (~(spacing != 2'd0))", ""),
    "weights loaded before the slower wavefront": (BF16, "& (waiting == 2'd0)", ""),
    "fp32 sums of the tile before": (BF16, "augend <= first_in ? 32'd0", "augend <= 1'b0 ? 32'd0"),
    "scale of a column missing": (MX, "{1'd0, scales[7:0]} + {1'd0, scales[15:8]}",
                                  "{1'd0, scales[7:0]}"),
    "scales of the tile before": (MX, ".pop(begins_o)", ".pop(1'b0)"),
    "an element of NaN forgotten": (MX, "w_wrong <= (loader_at_first ? 2'd0 : w_wrong) | ",
                                    "w_wrong <= "),
    "sums of two blocks in one": (MX_OS, "place == 2'd2", "place == 2'd3"),
    "scale of the row before": (MX_OS, "scalers_a_scale_in = a_scales",
                                "scalers_a_scale_in = scale_queue_o[7:0]"),
    "special value of the group before": (BITMOD, "loader_at_first ? w_scale_reader_data",
                                          "1'b0 ? w_scale_reader_data"),
    "requantizer of the column before": (REQUANT, "used <= q_out", "used <= q_in"),
    "tie of a table entry": (TABLES, "{7'd0, quotient_7[0]}", "8'd1"),
    "sums of two blocks in the drain chain": (TABLES | {"act_group": 4}, "(draining == 1'b0) & ",
                                              ""),
    "product not aligned to the sum": (SERIAL, "b_distance = a_above[6] ? 6'd0 : a_above[5:0]",
                                       "b_distance = 6'd0"),
    "running sum a bit too narrow": (SERIAL, "assign wide = wide_shifted[23:0];",
                                     "assign wide = {wide_shifted[22], wide_shifted[22:0]};"),
    "magnitude of a power of two": (SERIAL, "power ? (bits_over + 4'd1)", "power ? bits_over"),
    "overflow of a column": (SERIAL_INT8, "total[32] ^ total[31]", "total[32] ^ total[32]"),
    "digits in units of 1": (SERIAL_INT8, "dot} << digit_2", "dot} << (digit_2 & 3'd6)"),
    "sign of a scale": (SERIAL, "negative ? (~sum_total) : sum_total", "sum_total"),
    "all planes alike": (TABLES, "doubles_s1 ? (total << 1'b1) : total", "total"),
    "norm: mean of the wrong sign": (NORM, "by_length_p} - ", "by_length_p} + "),
    "norm: sums not started anew": (NORM, "first <= valid_beside_o[1]", "first <= 1'b0"),
    "norm: buffers overrun": (NORM, "left_fallen <= reserve;", "left_fallen <= 1'b0;"),
    "ternary: a negative without its carry": (TERNARY, "carry_2 <= carry_1", "carry_2 <= 1'b0"),
    "ternary: illegal bytes as weights": (TERNARY, "code >= 8'd243", "code >= 8'd244"),
    "ternary: largest of the vector before": (TERNARY, "beside_o[1] ? 16'd0 : largest_now",
                                              "largest_now"),
    "activation: limit of another element": (GELU, "beside_o[6:0]", "x[6:0]"),
    "activation: difference of the wrong sign": (GELU, "3'd0}} - {4'd0, difference}",
                                                 "3'd0}} + {4'd0, difference}"),
    "activation: buffer overrun": (GELU, "left_fallen <= reserve;", "left_fallen <= 1'b0;"),
    "activation: exp of positive integers": (I_EXP, "$signed(8'd0)) ? (-taken) : 8'd0",
                                             "$signed(8'd0)) ? (-taken) : taken"),
    "gating: next token before the states": (MLGRU, "may_begin = left == 3'd0",
                                             "may_begin = left <= 3'd6"),
    "gating: states of the sequence before": (MLGRU, "fresh ? 16'd0 : read_data", "read_data"),
    "gating: bound left out": (MLGRU, " + ({6'd0, bound_later_o} << 3'd5)", ""),
    "gating: what comes in weighted as the state": (MLGRU, "rest = 6'd32 - bounded",
                                                    "rest = bounded"),
    "gating: another channel's factor": (GLU, ".b(u_later_o)", ".b(u)"),
    "sign of the top plane": (BITPLANE, "^ {5{negate[0]}}), negate[0]}", "), 1'b0}"),
    "planes read again in the wrong order": (BITPLANE, "kept[read_addr]", "kept[read_addr ^ 1]"),
    "differences not doubled": (BITPLANE, "(total << 1'b1)", "total"),
}

SOFTMAX = {"template": "softmax", "lanes": 2, "max_length": 12, "precision": 9}
THREE_PASS = {**SOFTMAX, "algorithm": "three_pass"}
FLOAT_SOFTMAX = {**SOFTMAX, "precision": 11, "in_format": "bf16", "out_format": "bf16"}
LOG_SOFTMAX = {**SOFTMAX, "output": "log", "out_format": "int9", "out_fraction": 5}
ITA = {"template": "softmax", "algorithm": "integer", "lanes": 2, "max_length": 12}
ITA_SERIAL = {**ITA, "lanes": 3, "max_length": 6, "dividers": 2}
IBERT = {**ITA, "algorithm": "ibert", "dividers": 1}
REPLAYED = {**ITA, "algorithm": "ibert", "store": "replay"}

#: The same of softmax, whose stimulus is long.
NIGHTLY_BREAKS = {
    "softmax: maximum of the row before": (ITA, "(in_row & raised_term[8])", "raised_term[8]"),
    "softmax: sum not halved": (ITA, "row_exact >> delay_row_extra_o", "row_exact"),
    "softmax: half not rounded up": (ITA, " + {3'd0, wide[4]}", ""),
    "softmax: row store overrun": (ITA, ".room(reader_room)", ".room(1'b1)"),
    "softmax: divider of the row before": (ITA_SERIAL, "turn <= {turn[0], turn[1]}",
                                           "turn <= turn"),
    "softmax: inverse without its margin": (
        SOFTMAX, "inverse_mantissa[9:0] - {5'd0, inverse_mantissa[10:6]}", "inverse_mantissa[9:0]"),
    "softmax: sum of the row before": (THREE_PASS, "(in_row ? total : 27'd0)", "total"),
    "softmax: parabola without its bend": (IBERT, "{1'd0, exp_b} - {3'd0, divider_remainder}",
                                           "{1'd0, exp_b}"),
    "softmax: maximum without its mask": (ITA_SERIAL, "o <= keep ? x : ", "o <= keep ? x : x | "),
    "softmax: NaN of the row before": (FLOAT_SOFTMAX, "odd_seen <= ", "odd_seen <= odd_seen | "),
    "softmax: bits below the float forgotten": (FLOAT_SOFTMAX, "encode_sticky = ",
                                                "encode_sticky = 1'b0 & "),
    "softmax: logarithm not limited": (LOG_SOFTMAX, "over = ", "over = 1'b0 & "),
    "softmax: replayed rows before their record": (REPLAYED, "room & records_known", "room"),
}


def patterns(config):
    """No pauses, pauses everywhere, and of outputs such that fill the output buffer."""
    yield {}
    yield {stream.name: Pauses(0.2, 0.4) if stream.name == "w" else Pauses(0.3, 0.3)
           for stream in config.streams}
    yield {stream.name: Pauses(0.05, 0.01) for stream in config.streams
           if stream.direction == "out"}


def _core(values: dict) -> GeneratedCore:
    values = dict(values)
    template = registry.get(values.pop("template", "systolic"))
    return elaborate(template, template.config.parse(values), "core")


def problems(values: dict, folder, old: str | None = None, new: str | None = None) -> list[str]:
    """What the corner cases and some random ones show, without and with stalls."""
    core = _core(values)
    write(core, folder)
    verilog = folder / "core.v"
    if old is not None:
        assert old in core.verilog
        verilog.write_text(core.verilog.replace(old, new))
    found = []
    model = core.template.load_model()
    files = Core.read(verilog, folder / "core.json", core.model)
    with verilator.simulator(files) as simulator:
        for case in draw(model, core.config, 1, None):
            for pauses in patterns(core.config):
                try:
                    result = simulator.run(case.job, pauses=pauses, patience=3000)
                except SimulationError as error:
                    found.append(str(error))
                    continue
                message = next(filter(None, (
                    mismatch(model, core.config, case, stream, result.beats[stream],
                             result.beat_cycles[stream]) for stream in case.expected)), None)
                if message or result.flags != case.flags:
                    found.append(message or "error flags differ")
                elif not pauses and result.cycles != case.cycles:
                    found.append(f"{result.cycles} cycles instead of {case.cycles}")
                if len(found) > 3:
                    return found
    return found


@pytest.mark.parametrize("values", [WS, OS, REQUANT, WS | {"acc_width": 17}, TABLES, NORM, BITPLANE,
                                    SERIAL, SERIAL_INT8, FP8, BF16, MX, BITMOD, I_EXP,
                                    TERNARY, MLGRU, GLU], ids=repr)
def test_the_core_as_it_is(values, tmp_path):
    assert problems(values, tmp_path) == []


@pytest.mark.nightly
@pytest.mark.parametrize("values", [SOFTMAX, THREE_PASS, FLOAT_SOFTMAX, LOG_SOFTMAX, ITA,
                                    ITA_SERIAL, IBERT, REPLAYED], ids=repr)
def test_softmax_as_it_is(values, tmp_path):
    assert problems(values, tmp_path) == []


def test_every_break_is_of_text_that_there_is():
    """Those of the nightly run, too, which would be noticed late otherwise."""
    cores: dict[str, str] = {}
    for name, (values, old, _) in (BREAKS | NIGHTLY_BREAKS).items():
        if repr(values) not in cores:
            cores[repr(values)] = _core(values).verilog
        assert old in cores[repr(values)], name


@pytest.mark.parametrize("name", [
    *BREAKS, *(pytest.param(name, marks=pytest.mark.nightly) for name in NIGHTLY_BREAKS)])
def test_a_broken_core_is_caught(name, tmp_path):
    values, old, new = (BREAKS | NIGHTLY_BREAKS)[name]
    assert problems(values, tmp_path, old, new)
