"""Pattern bytes to blocks that have weights."""

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from systolith.hdl.bus import axi_stream
from systolith.hdl.sparse_chain.config import PATTERN_LANES, SparseChainConfig
from systolith.hdl.structure.select import select_word

_LANE_BITS = (PATTERN_LANES - 1).bit_length()


class PatternScanner(wiring.Component):
    """Finds the blocks of K that are not skipped, in order, and the end of each column block.

    Blocks with N = 0 take no time of their own; a beat of nothing else takes one cycle. An end
    comes with the last block found in the last beat of the frame, or alone if that beat has none.

    Members
    -------
    p : In(axi_stream.Signature)
    valid : Out(1)
        A block, an end, or both.
    has_block, column_ends, frees : Out(1)
        There is a block; the column block ends; with it the activations are done.
    code : Out(8)
        Pattern byte of the block.
    k : Out
        Its number; without a block, that of the first one of the beat. Beyond the largest number
        of a block it stays there.
    taken : In(1)
    in_frame : Out(1)
        A frame is partly scanned.
    busy : Out(1)
        So it is, or something is to be taken.

    Timing
    ------
    One block per cycle, one cycle after its beat at the earliest.
    """

    def __init__(self, config: SparseChainConfig):
        self.config = config
        stream = config.streams[1]
        beats = -(-config.buffer_depth // PATTERN_LANES)
        self.beat_bits = (beats - 1).bit_length() + 1    # one more for what lies beyond
        super().__init__({
            "p": In(axi_stream.Signature(stream.data_bits, stream.tuser_bits)),
            "valid": Out(1), "has_block": Out(1), "column_ends": Out(1), "frees": Out(1),
            "code": Out(8), "k": Out(self.beat_bits + _LANE_BITS),
            "taken": In(1), "in_frame": Out(1), "busy": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        p = self.p
        codes = [p.data.word_select(lane, 8) for lane in range(PATTERN_LANES)]
        scanned = Signal(PATTERN_LANES)                  # blocks of this beat that are done
        beat = Signal(self.beat_bits)
        in_frame = Signal()
        held_final = Signal(reset_less=True)
        final = Signal()
        left = Signal(PATTERN_LANES)
        lowest = Signal(PATTERN_LANES)
        lane = Signal(range(PATTERN_LANES))
        found = Signal()
        emit = Signal()
        step = Signal()
        finished = Signal()
        m.d.comb += [
            left.eq(Cat(code[:5].any() for code in codes) & ~scanned),
            lowest.eq(left & (~left + 1)),
            lane.eq(Cat(Cat(lowest[i] for i in range(PATTERN_LANES) if i >> bit & 1).any()
                        for bit in range(_LANE_BITS))),
            found.eq(left.any()),
            finished.eq(left == lowest),                 # nothing behind it in this beat
            emit.eq(found | p.last),
            step.eq(p.valid & (~emit | ~self.valid | self.taken)),
            p.ready.eq(step & finished),
            final.eq(Mux(in_frame, held_final, p.user)),
            self.in_frame.eq(in_frame),
            self.busy.eq(in_frame | self.valid),
        ]
        valid = Signal()
        column_ends = Signal(reset_less=True)
        has_block = Signal(reset_less=True)
        frees = Signal(reset_less=True)
        code = Signal.like(self.code, reset_less=True)
        k = Signal.like(self.k, reset_less=True)
        m.d.comb += [
            self.valid.eq(valid),
            self.column_ends.eq(column_ends),
            self.has_block.eq(has_block),
            self.frees.eq(frees),
            self.code.eq(code),
            self.k.eq(k),
        ]
        # What lies beyond all blocks is refused, whatever its pattern is.
        lane_bits = min((self.config.buffer_depth - 1).bit_length(), _LANE_BITS)
        lane_code = select_word(m, p.data[:8 << lane_bits], lane[:lane_bits], "codes")
        with m.If(step & emit):
            m.d.sync += [
                valid.eq(1), has_block.eq(found), column_ends.eq(finished & p.last),
                frees.eq(final), code.eq(lane_code),
                k.eq(Cat(lane, beat)),
            ]
        with m.Elif(self.taken):
            m.d.sync += valid.eq(0)
        with m.If(step):
            m.d.sync += [
                scanned.eq(Mux(finished, 0, scanned | lowest)),
                in_frame.eq(~(finished & p.last)),
                held_final.eq(final),
            ]
            with m.If(finished):
                m.d.sync += beat.eq(Mux(p.last, 0, beat + ~beat[-1]))
        return m
