"""What is proven, at which sizes."""

from functools import partial

from amaranth.hdl import Shape, signed, unsigned

from systolith.hdl.arithmetic.alignment import AlignedAdder, RoundingShifter
from systolith.hdl.arithmetic.config import InverseParameters, Segments
from systolith.hdl.arithmetic.division import Divider
from systolith.hdl.arithmetic.inverse import Inverse
from systolith.hdl.arithmetic.multiplier import Multiplier
from systolith.hdl.arithmetic.piecewise import Piecewise
from systolith.hdl.arithmetic.popcount import Popcount
from systolith.hdl.arithmetic.rounding import FixedRounder, FloatEncoder, SteppedRounder
from systolith.hdl.arithmetic.shifting import LeadingZeros, Shifter
from systolith.hdl.arithmetic.square_root import SquareRoot
from systolith.hdl.bus.axi_lite import RegisterBank
from systolith.hdl.bus.axi_stream import Fifo, RegisterSlice, Signature
from systolith.hdl.bus.credits import Credits
from systolith.hdl.formats import FloatFormat, IntegerFormat
from systolith.hdl.interface import Field, Register, Stream
from systolith.hdl.link.buffers import InputBuffer, OutputBuffer
from systolith.hdl.norm.statistics import RowStatistics
from systolith.hdl.shell import EventCounter
from systolith.hdl.softmax.power_sums import OnlineSum, PowerRunningSum
from systolith.hdl.softmax.records import RowInverse
from systolith.hdl.structure.block_memory import BlockMemory
from systolith.hdl.structure.delay import Delay
from systolith.hdl.structure.linear_array import LinearArray
from systolith.hdl.structure.paired_frames import PairedFrames, TileRows
from systolith.hdl.structure.reduction import Reduction
from systolith.hdl.systolic.config import SystolicConfig
from systolith.hdl.systolic.float_lanes import RoundedAccumulatorLane
from systolith.hdl.systolic.lanes import AccumulatorLane, DrainLane
from systolith.hdl.systolic.requantizers import ParameterLoader, RequantizerLane
from systolith.hdl.systolic.result_buffer import ResultBuffer, ResultLane
from systolith.proofs import accumulators, arithmetic, buses, norm, parameters, softmax
from systolith.proofs.proof import Proof, Specification

#: What a component of a class owes.
SPECIFICATIONS: dict[type, Specification] = {
    RegisterSlice: buses.register_slice,
    Fifo: buses.fifo,
    Credits: buses.credits,
    EventCounter: buses.event_counter,
    Delay: buses.delay,
    BlockMemory: buses.block_memory,
    TileRows: buses.tile_rows,
    PairedFrames: buses.paired_frames,
    InputBuffer: buses.input_buffer,
    OutputBuffer: buses.output_buffer,
    RegisterBank: buses.register_bank,
    Multiplier: arithmetic.multiplier,
    Divider: arithmetic.divider,
    SquareRoot: arithmetic.square_root,
    Piecewise: arithmetic.piecewise,
    Inverse: arithmetic.inverse,
    Popcount: arithmetic.popcount,
    LeadingZeros: arithmetic.leading_zeros,
    Shifter: arithmetic.shifter,
    RoundingShifter: arithmetic.rounding_shifter,
    AlignedAdder: arithmetic.aligned_adder,
    FixedRounder: arithmetic.rounder,
    SteppedRounder: arithmetic.rounder,
    FloatEncoder: arithmetic.float_encoder,
    Reduction: arithmetic.reduction,
    PowerRunningSum: softmax.power_running_sum,
    RowInverse: softmax.row_inverse,
    OnlineSum: softmax.online_sum,
    RowStatistics: norm.row_statistics,
    AccumulatorLane: accumulators.accumulator_lane,
    RoundedAccumulatorLane: accumulators.rounded_accumulator_lane,
    ParameterLoader: parameters.parameter_loader,
    ResultBuffer: accumulators.result_buffer,
}

#: The same for arrays of cells of a class.
ARRAYS: dict[type, Specification] = {
    AccumulatorLane: accumulators.wavefront_lanes,
    RoundedAccumulatorLane: accumulators.wavefront_lanes,
    DrainLane: accumulators.wavefront_lanes,
    RequantizerLane: accumulators.wavefront_lanes,
    ResultLane: accumulators.result_lanes,
}


def specification_of(component: object) -> Specification | None:
    """What a component owes; None where that was not said."""
    if isinstance(component, LinearArray):
        return ARRAYS.get(type(component.prototype))
    return SPECIFICATIONS.get(type(component))


def _proof(make: partial, size: str, breaks: tuple[tuple[str, str], ...] = (), *,
           nightly: bool = False) -> Proof:
    return Proof(make, size, SPECIFICATIONS[make.func], breaks, nightly)


def _bytes(name: str, direction: str, bits: int) -> Stream:
    return Stream(name, direction, 1, IntegerFormat(bits, False), "")


def _rounder(bits: int, drop: int, target: int, rounding: str) -> partial:
    return partial(FixedRounder, IntegerFormat(bits, True, 0), IntegerFormat(target, True, drop),
                   rounding)


def _multiplier(a: Shape, b: Shape, stages: int, technology: str = "generic") -> partial:
    return partial(Multiplier, a, b, stages, technology)


#: A register of every kind, fields with gaps between them.
_BANK = (
    Register("info", 0x00, "ro", (Field("low", 0, 3, ""), Field("high", 30, 2, "")), ""),
    Register("setting", 0x04, "rw", (Field("value", 6, 4, "", reset=5), Field("on", 31, 1, "")),
             ""),
    Register("action", 0x08, "wo", (Field("go", 1, 2, ""),), ""),
    Register("errors", 0x80, "w1c", (Field("first", 0, 1, ""), Field("second", 9, 2, "")), ""),
)

PROOFS: tuple[Proof, ...] = (
    _proof(partial(RegisterSlice, Signature(3)), "3 bits and last", (
        ("read_odd ^ pop", "read_odd ^ o_valid"),
        ("(i_ready & (~push))", "i_ready"),
        ("push | (o_valid & (~(pop & i_ready)))", "push | (o_valid & (~pop))"),
        ("(i_ready ? i_last : held)", "i_last"))),
    _proof(partial(RegisterSlice, Signature(2, 2)), "2 bits, last and 2 bits of user", (
        ("i_ready ? {i_user, i_last} : held", "{i_user, i_last}"),)),
    _proof(partial(Fifo, Signature(2), 2), "2 places", (
        ("write_en = i_valid;", "write_en = i_valid & o_ready;"),
        ("(o_ready | (~o_valid));", "1'b1;"))),
    _proof(partial(Fifo, Signature(2), 3), "3 places", (
        ("(read_pointer == 2'd2)", "(read_pointer == 2'd3)"),)),
    _proof(partial(Fifo, Signature(2), 5), "5 places", (
        ("stored_fallen <= fetch;", "stored_fallen <= o_ready;"),), nightly=True),
    _proof(partial(Credits, 4, 2), "4 places by 2", (
        ("left_fallen ? (left_risen ? 3'd7 : 3'd6)", "left_fallen ? (left_risen ? 3'd6 : 3'd6)"),
        ("left_fallen <= reserve;", "left_fallen <= 1'b0;"))),
    _proof(partial(Credits, 3, 3), "3 places by 3", (
        ("left <= 2'd3;", "left <= 2'd2;"),)),
    _proof(partial(Credits, 7, 1), "7 places by 1", (
        ("left <= 3'd7;", "left <= 3'd6;"),)),
    _proof(partial(EventCounter, 2), "words of 2 bits", (
        ("happened & will_be_full;", "happened & full;"),
        ("word_1_0 + {1'd0, count_1}", "word_1_0"))),
    _proof(partial(EventCounter, 3), "words of 3 bits", (
        ("count_0 ? (word_0_0 == 3'd5)", "count_0 ? (word_0_0 == 3'd6)"),)),
    _proof(partial(Delay, 2, 3), "2 bits by 3", (
        ("o = line[5:4];", "o = line[4:3];"),)),
    _proof(partial(Delay, 1, 2, reset=True), "1 bit by 2, with reset", (
        ("line <= 2'd0;", "line <= 2'd1;"),)),
    _proof(partial(BlockMemory, 2, 4), "4 words of 2 bits", (
        ("words[write_addr]", "words[signature_addr]"),)),
    _proof(partial(AccumulatorLane, SystolicConfig.parse({
        "rows": 1, "cols": 1, "a_format": "int2", "w_format": "int2", "acc_width": 4,
        "acc_depth": 3})), "3 sums of 4 bits", (
        ("first_in ? 4'd0", "1'b0 ? 4'd0"),
        ("overflow_in | (valid_in &", "overflow_in | (1'b1 &"),
        ("valid_out <= valid_in;", "valid_out <= ~valid_in;"),
        ("write_enable(valid_in)", "write_enable(1'b1)"))),
    _proof(partial(RoundedAccumulatorLane, SystolicConfig.parse({
        "rows": 1, "cols": 1, "a_format": "fp4e2m1", "w_format": "fp4e2m1", "acc_depth": 2})),
        "2 sums", (
        ("overflow_in | (valid_in & (&total[30:23]))", "overflow_in | (&total[30:23])"),
        ("(&total[30:23])", "(&total[30:24])"))),
    _proof(partial(ResultBuffer, 2, 1, 3), "3 beats of 2 lanes", (
        ("follow = advance | (~in_memory)", "follow = advance"),
        ("write_pointer == 2'd2", "write_pointer == 2'd3"),
        ("any_stored <= written |", "any_stored <="))),
    _proof(partial(ResultBuffer, 1, 1, 2), "2 beats of a lane", (
        ("(written ? stored : less)", "less"),)),
    _proof(partial(TileRows, 3, 2), "3 rows, 2 cycles", (
        ("(row == 2'd2)", "(row == 2'd1)"),)),
    _proof(partial(TileRows, 1, 1), "1 row, 1 cycle", (
        ("line <= i;", "line <= 1'b0;"),)),
    _proof(partial(PairedFrames, 3, 3), "3 rows, up to 3 words", (
        ("draining <= 2'd2;", "draining <= 2'd1;"),
        ("in_frame <= ~finish;", "in_frame <= 1'b1;"))),
    _proof(partial(PairedFrames, 1, 4), "1 row, up to 4 words", (
        ("a_dropping <= 1'b1;", "a_dropping <= 1'b0;"),)),
    _proof(partial(PairedFrames, 2, 3, single=True), "2 rows, up to 3 words of one step", (
        ("finish ? 2'd0 : (word + 2'd1)", "word + 2'd1"),)),
    _proof(partial(InputBuffer, _bytes("x", "in", 16), 8), "8 bytes, beats of 16 bits", (
        # As it was: a byte on its way when everything is forgotten still counts.
        ("(~o_tvalid) & (~clear)", "(~o_tvalid)"),)),
    _proof(partial(OutputBuffer, _bytes("x", "out", 8), 8), "8 bytes, beats of 8 bits", (
        ("due = waiting != 4'd0;", "due = waiting > 4'd1;"),), nightly=True),
    _proof(partial(RegisterBank, _BANK), "a register of every kind", (
        ("bus_bvalid <= 1'b1;", "bus_bvalid <= bus_bready;"),
        ("errors_second_sticky & (~errors_second_cleared)", "errors_second_sticky"),
        ("bus_rresp <= known ? 2'd0 : 2'd2;", "bus_rresp <= 2'd0;"),
        ("taken_0 | taken_1", "taken_0"),
        ("read_decoded & (~read_taken)", "read_decoded"),
        ("read_taken & ((~bus_rvalid) | bus_rready)", "read_taken & (~bus_rvalid)"))),
    _proof(_multiplier(signed(4), signed(4), 0), "signed(4) by signed(4), 0 stages", (
        ("$signed(a) * $signed(b)", "$signed(a) * $signed({1'b0, b})"),)),
    _proof(_multiplier(unsigned(4), signed(3), 1), "unsigned(4) by signed(3), 1 stages", (
        ("{{2{b[2]}}, b}", "{2'd0, b}"),)),
    _proof(_multiplier(unsigned(5), unsigned(4), 2), "unsigned(5) by unsigned(4), 2 stages", (
        ("a * {1'd0, b}", "a[3:0] * {1'd0, b}"),)),
    *(_proof(_multiplier(signed(4), signed(3), 2, technology),
             f"signed(4) by signed(3) in a block of {technology}", nightly=True)
      for technology in ("ecp5", "ice40", "gowin", "xilinx7")),
    _proof(partial(Divider, 4, 3, 1), "4 bits by 3, one per stage", (
        ("difference_0[2:0] : joined_0[2:0]", "joined_0[2:0] : joined_0[2:0]"),)),
    _proof(partial(Divider, 5, 3, 2), "5 bits by 3, two per stage", (
        ("stages_digits = {1'd0, dividend}", "stages_digits = {dividend, 1'd0}"),)),
    _proof(partial(SquareRoot, 6, 1), "6 bits", (
        ("{root, 2'd1}", "{root, 2'd0}"),)),
    _proof(partial(SquareRoot, 7, 2), "7 bits, two per stage", (
        ("stages_digits = {1'd0, x}", "stages_digits = {x, 1'd0}"),)),
    _proof(partial(Piecewise, lambda v: 3 * v * (1 - v), Segments(
        IntegerFormat(4, True, -4), IntegerFormat(4, False, -4), -6, 6, 2, guard=1)),
        "lines of 4 inputs", (("8'd1", "8'd0"),)),
    _proof(partial(Inverse, InverseParameters(6, 3)), "6 bits", (
        ("place <= 3'd5 - count;", "place <= 3'd4 - count;"),)),
    _proof(partial(Inverse, InverseParameters(7, 4, root=True)), "the root of 7 bits",
           nightly=True),
    _proof(partial(Popcount, 7), "7 bits", (
        ("level_2[1] ^ level_2[2] ^ level_2[3]", "level_2[1] ^ level_2[2]"),)),
    _proof(partial(Popcount, 10, 2), "10 bits, 2 stages", (
        ("total <= sum;", "total <= sum | 4'd1;"),)),
    _proof(partial(LeadingZeros, 7), "7 bits", (
        ("zero_1_3 ? count_1_2 : count_1_3", "zero_1_3 ? count_1_3 : count_1_2"),)),
    _proof(partial(LeadingZeros, 9, 1), "9 bits, a stage", nightly=True),
    _proof(partial(Shifter, 6, 5, left=True), "6 bits to the left", (
        ("lost_1_0 | (amount[1] & (|word_1_0[5:4]))", "lost_1_0"),)),
    _proof(partial(Shifter, 5, 7, left=False), "5 bits to the right", (
        ("{2'd0, word_1_0[4:2]}", "{2'd0, word_1_0[3:1]}"),)),
    _proof(partial(RoundingShifter, 5, 9, "rne"), "5 bits by up to 9, rne", (
        ("half_4 & (sticky_4 | floor[0])", "half_4 & sticky_4"),)),
    _proof(partial(RoundingShifter, 6, 3, "trunc", 4), "6 bits to 4, trunc"),
    _proof(partial(AlignedAdder, 4, 5, 3, 4, 5, 20, "rne"), "4 bits and 5, rne", (
        ("a_up | b_up", "a_up"),)),
    _proof(partial(AlignedAdder, 4, 5, 3, 4, 5, 20, "trunc", 2, 5), "4 bits and 5, 2 stages",
           nightly=True),
    _proof(_rounder(7, 3, 3, "rne"), "7 bits to 3, rne", (
        ("{4'd0, wide[3]}", "{4'd0, 1'b1}"),)),
    _proof(_rounder(7, 3, 3, "half_away"), "7 bits to 3, half_away", (
        ("(~wide[6])", "1'b1"),)),
    _proof(_rounder(7, 3, 3, "toward_zero"), "7 bits to 3, toward_zero", (
        ("({4'd0, wide[2]} | {4'd0, below})", "{4'd0, below}"),)),
    *(_proof(_rounder(7, drop, 3, rounding), f"7 bits to 3, {rounding}, {drop} fewer", nightly=True)
      for rounding in ("rne", "half_away", "half_up", "toward_zero", "floor", "ceiling")
      for drop in (-1, 0, 1, 2)),
    _proof(partial(FixedRounder, IntegerFormat(7, True, 0), IntegerFormat(4, False, 2), "rne"),
           "7 bits to 4 unsigned ones", nightly=True),
    _proof(partial(FixedRounder, IntegerFormat(7, True, 0), IntegerFormat(4, True, 2), "rne",
                        symmetric=True, reach=(-64, 20)), "7 bits to 4, symmetric", nightly=True),
    _proof(partial(SteppedRounder, IntegerFormat(7, True, 0), IntegerFormat(3, True, 2)),
           "7 bits to 3", nightly=True),
    _proof(partial(FloatEncoder, FloatFormat(3, 2), 6, range(-6, 1)), "6 bits to 3 and 2", (
        ("| sticky", "| 1'b0"),)),
    *(_proof(partial(FloatEncoder, FloatFormat(exponents, 2, specials), 6, range(-4, 2), stages,
                     rounding, saturate=saturate), f"6 bits to {exponents} and 2, {specials}, "
             f"{rounding}", nightly=True)
      for exponents, specials, stages, rounding, saturate in (
          (2, "ieee", 0, "half_away", False), (3, "fn", 2, "rne", False),
          (2, "fn", 0, "rne", True), (3, "finite", 0, "rne", False),
          (2, "ieee", 4, "toward_zero", False), (2, "ieee", 1, "rne", True))),
    _proof(partial(FloatEncoder, FloatFormat(4, 3), 3, range(-4, 2), specials=frozenset(),
                   bounded=True), "3 bits to 4 and 3, bounded", nightly=True),
    _proof(partial(Reduction, 3, signed(3), "max"), "maximum of 3 signed numbers", (
        ("{b[2], b} - {a[2], a}", "{1'b0, b} - {1'b0, a}"),)),
    _proof(partial(Reduction, 3, signed(3), "sum"), "sum of 3 signed numbers", (
        ("{a[2], a} + {b[2], b}", "{a[2], a} + {1'b0, b}"),)),
)
