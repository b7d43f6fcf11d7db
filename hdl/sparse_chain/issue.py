"""Which weights meet which activations in a cycle."""

from amaranth import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from systolith.hdl.sparse_chain.activations import round_mask
from systolith.hdl.sparse_chain.config import PATTERN_LANES, SparseChainConfig
from systolith.hdl.structure.dropping import drop_rest


class Issue(wiring.Component):
    """Goes through the blocks: for each beat of weights all rounds of tokens.

    A w frame that ends early is completed with zeros, one that is too long loses its rest. A block
    that cannot be computed is skipped together with a w frame.

    Members
    -------
    block_valid, has_block, column_ends, frees, k : In
        From the scanner.
    taken : Out(1)
    known, last_beat : In
        Of the pattern of the block.
    full, blocks, log2_rounds : In
        Of the activations.
    free : In(1)
        The accumulators of the column block may be written.
    w_valid, w_last, w_ready :
        Handshake of the weights.
    w_blank : In(1)
        This beat of them is nothing but the end of a bad frame, which is flagged elsewhere.
    issue : Out(1)
        The chains get a beat, one round of it.
    address : Out
        Of the activations.
    round, beat : Out
    first : Out(1)
        It is of the first block of a column block: the sums start from zero.
    blank, checked : Out(1)
        Its weights are zero instead of those at w; its indices are to be checked.
    finish, empty, let_go : Out(1)
        The column block is complete with this cycle; none of its blocks was issued; the
        activations are not needed any more.
    busy, waiting : Out(1)
        The rest of a frame of weights is being dropped; weights are wanted and not there.
    p_short, pattern, w_short, w_long : Out(1)
        Pulses of error flags.
    """

    def __init__(self, config: SparseChainConfig, k_bits: int):
        self.config = config
        depth, speedup = config.buffer_depth, config.max_speedup
        super().__init__({
            "block_valid": In(1), "has_block": In(1), "column_ends": In(1), "frees": In(1),
            "k": In(k_bits), "taken": Out(1),
            "known": In(1), "last_beat": In(range(max(speedup, 2))),
            "full": In(1), "blocks": In(range(depth + 1)),
            "log2_rounds": In(range(config.max_log2_rounds + 1)), "free": In(1),
            "w_valid": In(1), "w_last": In(1), "w_blank": In(1), "w_ready": Out(1),
            "issue": Out(1), "address": Out((depth - 1).bit_length()),
            "round": Out(config.max_log2_rounds), "beat": Out(range(max(speedup, 2))),
            "first": Out(1), "blank": Out(1), "checked": Out(1),
            "finish": Out(1), "empty": Out(1), "let_go": Out(1), "busy": Out(1),
            "waiting": Out(1),
            "p_short": Out(1), "pattern": Out(1), "w_short": Out(1), "w_long": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        round_now = Signal.like(self.round)
        beat = Signal.like(self.beat)
        fresh = Signal(init=1)
        filling = Signal()
        dropping = Signal()

        go = Signal()                                    # all but weights is there
        usable = Signal()
        compute = Signal()
        discard = Signal()
        last_round = Signal()
        beat_ends = Signal()
        block_ends = Signal()
        early = Signal()
        m.d.comb += [
            go.eq(self.block_valid & self.full & self.free),
            usable.eq(self.known & (self.k < self.blocks)),
            compute.eq(go & self.has_block & usable & ~dropping),
            discard.eq(go & self.has_block & ~usable & ~dropping),
            self.issue.eq(compute & (self.w_valid | filling)),
            last_round.eq(round_now == round_mask(self.log2_rounds, self.config)),
            beat_ends.eq(self.issue & last_round),
            block_ends.eq(beat_ends & (beat == self.last_beat)),
            self.w_ready.eq(dropping | discard | (compute & last_round & ~filling)),
            self.pattern.eq(discard & self.w_valid & self.w_last),
            early.eq(beat_ends & ~filling & self.w_last & ~block_ends),
            self.w_short.eq(early & ~self.w_blank),
            self.w_long.eq(block_ends & ~filling & ~self.w_last),
            self.taken.eq(block_ends | self.pattern | (go & ~self.has_block)),
            self.finish.eq(self.taken & self.column_ends),
            self.let_go.eq(self.finish & self.frees),
            self.empty.eq(fresh & ~block_ends),
            self.p_short.eq(self.finish & (
                (self.k[(PATTERN_LANES - 1).bit_length():] + 1) * PATTERN_LANES < self.blocks)),
            self.busy.eq(dropping),
            self.waiting.eq((compute & ~filling | discard | dropping) & ~self.w_valid),
            self.address.eq((self.k << self.log2_rounds) | round_now),
            self.round.eq(round_now),
            self.beat.eq(beat),
            self.first.eq(fresh),
            self.blank.eq(filling | self.w_blank),
            self.checked.eq(self.issue & ~self.blank & (round_now == 0)),
        ]
        with m.If(self.issue):
            m.d.sync += round_now.eq(Mux(last_round, 0, round_now + 1))
        with m.If(beat_ends):
            m.d.sync += beat.eq(Mux(block_ends, 0, beat + 1))
        with m.If(self.finish):
            m.d.sync += fresh.eq(1)
        with m.Elif(block_ends):
            m.d.sync += fresh.eq(0)
        with m.If(block_ends):
            m.d.sync += filling.eq(0)
        with m.Elif(early):
            m.d.sync += filling.eq(1)
        drop_rest(m, dropping, self.w_long, self.w_valid & self.w_last)
        return m
