"""Dense weights to the pattern of their block, in front of the chains."""

from amaranth import Cat, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from systolith.hdl.bus import axi_stream
from systolith.hdl.sparse_chain.config import SparseChainConfig
from systolith.hdl.sparse_chain.gather import ElementSource, Gather
from systolith.hdl.structure.linear_array import LinearArray
from systolith.hdl.topn.config import TopNConfig
from systolith.hdl.topn.core import StackControl, TopNStack


class PruningChain(wiring.Component):
    """The stacks for one chain, as many as there are groups in a beat of elements.

    A beat of a pattern N:M has cells / N groups, so the first stack may have to keep as many as
    the largest N and most of them one.

    Members
    -------
    x : an element of each group.
    step, place, last_rank, occupied, insert, full : of :class:`TopNStack`.
    take, taken_rank : the groups are complete; their number of entries less one.
    elements : weights and indices, one cycle later.
    """

    broadcast = ("step", "place", "last_rank", "occupied", "insert", "full", "take",
                 "taken_rank")

    def __init__(self, config: SparseChainConfig):
        self.config = config
        self.kept = sorted({pattern.n for pattern in config.patterns if pattern.n})
        self.stacks = stack_config(config, self.kept[-1])
        entries = self.stacks.max_n
        rank = range(max(entries, 2))
        super().__init__({
            "x": In(config.prune_lanes * config.weight.bits), "step": In(1),
            "place": In(config.index_bits), "last_rank": In(rank),
            "occupied": In(self.stacks.ranked), "insert": In(entries - 1), "full": In(1),
            "take": In(1), "taken_rank": In(rank),
            "elements": Out(config.cells * config.element_bits),
        })

    def entries(self, lane: int) -> int:
        """The largest N of which a beat has a group in this lane."""
        return max(n for n in self.kept if lane < self.config.cells // n)

    def elaborate(self, platform):
        m = Module()
        config, bits = self.config, self.config.weight.bits
        kept = []
        for entries in reversed(self.kept):
            lanes = [lane for lane in range(config.prune_lanes) if self.entries(lane) == entries]
            if not lanes:
                continue
            part = LinearArray(lambda n=entries: TopNStack(stack_config(config, n)), len(lanes),
                               name="stack", module=f"stacks_of_{entries}",
                               broadcast=TopNStack.broadcast)
            m.submodules[f"stacks_of_{entries}"] = part
            m.d.comb += [
                part.x.eq(self.x[lanes[0] * bits:(lanes[-1] + 1) * bits]),
                part.step.eq(self.step), part.place.eq(self.place), part.full.eq(self.full),
                part.last_rank.eq(self.last_rank), part.occupied.eq(self.occupied),
                part.insert.eq(self.insert),
            ]
            kept += [part.kept.word_select(lane, entries * config.element_bits)
                     for lane in range(len(lanes))]

        elements = Signal.like(self.elements, reset_less=True)
        chosen = Signal.like(self.elements)
        with m.Switch(self.taken_rank):
            for n in self.kept:
                with m.Case(n - 1):
                    m.d.comb += chosen.eq(Cat(
                        kept[lane][:n * config.element_bits] for lane in range(config.cells // n)))
        with m.If(self.take):
            m.d.sync += elements.eq(chosen)
        m.d.comb += self.elements.eq(elements)
        return m


class Pruner(wiring.Component):
    """Prunes frames of dense weights, each to its pattern.

    Members
    -------
    w : In(axi_stream.Signature)
    elements : Out(ElementSource)
    busy : Out(1)
    too_short, unknown : Out(1)
        Pulses of the flags w_short and w_format.

    Timing
    ------
    An element beat is at ``elements`` :attr:`latency` cycles after the last of its M beats; M
    cycles later the next one can be.
    """

    latency = 2

    def __init__(self, config: SparseChainConfig):
        self.config = config
        stream = next(stream for stream in config.streams if stream.name == "w")
        super().__init__({
            "w": In(axi_stream.Signature(stream.data_bits, stream.tuser_bits)),
            "elements": Out(ElementSource(config)), "busy": Out(1),
            "too_short": Out(1), "unknown": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        config = self.config
        patterns = [pattern for pattern in config.patterns if pattern.n]
        m.submodules.gather = gather = Gather(config, config.max_m, header=False)
        m.submodules.chains = chains = LinearArray(
            lambda: PruningChain(config), config.chains, name="pruning_chain",
            broadcast=PruningChain.broadcast)
        m.submodules.control = control = StackControl(chains.prototype.stacks)
        wiring.connect(m, wiring.flipped(self.w), gather.w)

        # The pattern stays while the last element of its frame waits to go on.
        last_rank = Signal.like(control.last_rank)
        gathered_rank = Signal.like(control.last_rank, reset_less=True)
        with m.Switch(gather.user):
            for pattern in patterns:
                with m.Case(pattern.code):
                    m.d.comb += [gather.known.eq(1), gather.last_place.eq(pattern.m - 1),
                                 last_rank.eq(pattern.n - 1)]
        with m.If(gather.step):
            m.d.sync += gathered_rank.eq(last_rank)

        valid = Signal()
        last = Signal(reset_less=True)
        blank = Signal(reset_less=True)
        moves = Signal()
        m.d.comb += [
            moves.eq(~valid | self.elements.ready),
            gather.taken.eq(gather.complete & moves),
            control.place.eq(gather.place),
            control.last_rank.eq(last_rank),
            chains.x.eq(self.w.data),
            chains.step.eq(gather.step),
            chains.place.eq(gather.place),
            chains.last_rank.eq(last_rank),
            chains.taken_rank.eq(gathered_rank),
            chains.occupied.eq(control.occupied),
            chains.insert.eq(control.insert),
            chains.full.eq(control.full),
            chains.take.eq(gather.taken),
            self.elements.valid.eq(valid),
            self.elements.last.eq(last),
            self.elements.blank.eq(blank),
            self.elements.data.eq(chains.elements),
            self.busy.eq(gather.busy | valid),
            self.too_short.eq(gather.too_short),
            self.unknown.eq(gather.unknown),
        ]
        with m.If(moves):
            m.d.sync += [valid.eq(gather.complete), last.eq(gather.last), blank.eq(gather.blank)]
        return m


def stack_config(config: SparseChainConfig, entries: int) -> TopNConfig:
    """Stacks that keep at most so many weights of a group."""
    return TopNConfig.parse({"lanes": 1, "x_format": config.w_format, "max_m": config.max_m,
                             "max_n": entries})
