"""The sparse chain core: streams in, chains, streams out."""

from collections.abc import Mapping

from amaranth import Cat, Const, Module, Mux, Signal
from amaranth.lib import wiring

from systolith.hdl.shell import SLICE_LATENCY, inside_signature
from systolith.hdl.sparse_chain.activations import ActivationBuffer, round_mask
from systolith.hdl.sparse_chain.chain import Chain, without_unused
from systolith.hdl.sparse_chain.config import SparseChainConfig
from systolith.hdl.sparse_chain.dequantizer import Dequantizer
from systolith.hdl.sparse_chain.drain import Drain
from systolith.hdl.sparse_chain.issue import Issue
from systolith.hdl.sparse_chain.pruner import Pruner
from systolith.hdl.sparse_chain.scanner import PatternScanner
from systolith.hdl.sparse_chain.table import PatternTable
from systolith.hdl.structure.delay import Delay, Skew
from systolith.hdl.structure.linear_array import LinearArray

#: The stage that makes elements of what is on w, where w does not have them.
STAGES = {"quantized": Dequantizer, "dense": Pruner}


class Timing:
    """When things happen, in cycles after a beat of weights is issued.

    Attributes
    ----------
    elements : int
        Its weights reach the chains.
    reduced : int
        The sums of its segments are side by side.
    added : int
        They enter the accumulators.
    stored : int
        The accumulators can be read.
    """

    def __init__(self, config: SparseChainConfig):
        self.elements = 1
        self.reduced = self.elements + Chain.reduced(config)
        self.added = self.reduced + 1
        self.stored = self.added + 1

    @property
    def emitted(self) -> int:
        """The first sum leaves the core."""
        return self.stored + 1 + SLICE_LATENCY


def latency(config: SparseChainConfig) -> Mapping[str, int | str]:
    """Latency and throughput of the core, in cycles."""
    stage = STAGES[config.weights].latency if config.weights in STAGES else 0
    return {
        "latency": SLICE_LATENCY + stage + Timing(config).emitted,
        "latency_from": "the last w beat of a column block accepted, activations loaded, to its "
                        "first c beat",
        "weights_per_cycle": f"{config.chains * config.cells} / max(rounds, w beats of each)"
                             if stage else f"{config.chains * config.cells} / rounds",
        "macs_per_cycle": config.chains * config.cells * config.lanes,
        "block_interval": f"{config.max_speedup} * N / M * rounds",
    }


class SparseChainCore(wiring.Component):
    """Multiplies activations from a buffer by streamed weights, kept ones only.

    Parameters
    ----------
    config : SparseChainConfig

    Timing
    ------
    See :class:`Timing`. A block takes max_speedup · N / M · rounds cycles; blocks, column blocks
    and frames of activations follow each other without a bubble.
    """

    def __init__(self, config: SparseChainConfig):
        self.config = config
        self.timing = Timing(config)
        super().__init__(inside_signature(config))

    def elaborate(self, platform):
        m = Module()
        config, timing = self.config, self.timing
        m.submodules.activations = buffer = ActivationBuffer(config)
        m.submodules.scanner = scanner = PatternScanner(config)
        m.submodules.pattern = pattern = PatternTable(config)
        m.submodules.issue = issue = Issue(config, len(scanner.k))
        m.submodules.drain = drain = Drain(config)
        if config.weights in STAGES:
            m.submodules.stage = stage = STAGES[config.weights](config)
            wiring.connect(m, wiring.flipped(self.w), stage.w)
            weights, bad, loading = stage.elements, stage, stage.busy
        else:
            weights, bad, loading = self.w, None, Const(0, 1)
        wiring.connect(m, wiring.flipped(self.a), buffer.a)
        wiring.connect(m, wiring.flipped(self.p), scanner.p)
        wiring.connect(m, drain.c, wiring.flipped(self.c))

        # Halves of the accumulators that are complete and not yet drained.
        owed = Signal(range(3))
        with m.If(issue.finish & ~drain.drained):
            m.d.sync += owed.eq(owed + 1)
        with m.Elif(drain.drained & ~issue.finish):
            m.d.sync += owed.eq(owed - 1)
        half = Signal()
        m.d.sync += half.eq(half ^ issue.finish)

        m.d.comb += [
            pattern.code.eq(scanner.code),
            scanner.taken.eq(issue.taken),
            issue.block_valid.eq(scanner.valid),
            issue.has_block.eq(scanner.has_block),
            issue.column_ends.eq(scanner.column_ends),
            issue.frees.eq(scanner.frees),
            issue.k.eq(scanner.k),
            issue.known.eq(pattern.known),
            issue.last_beat.eq(pattern.last_beat),
            issue.full.eq(buffer.full),
            issue.blocks.eq(buffer.blocks),
            issue.log2_rounds.eq(buffer.log2_rounds),
            issue.free.eq(owed != 2),
            issue.w_valid.eq(weights.valid),
            issue.w_last.eq(weights.last),
            issue.w_blank.eq(weights.blank if bad else 0),
            weights.ready.eq(issue.w_ready),
            buffer.address.eq(issue.address),
            buffer.let_go.eq(issue.let_go),
        ]
        chains, checked = self._chains(m, weights.data, buffer, pattern, issue, drain, half)

        m.submodules.to_drain = to_drain = Delay(1, timing.stored - 1, reset=True)
        m.submodules.to_drain_data = to_drain_data = Delay(
            1 + drain.round_bits, timing.stored - 1)
        m.d.comb += [
            to_drain.i.eq(issue.finish),
            to_drain_data.i.eq(Cat(
                issue.empty, round_mask(buffer.log2_rounds, config)[:drain.round_bits])),
            drain.done.eq(to_drain.o),
            Cat(drain.empty, drain.last_round).eq(to_drain_data.o),
            drain.sums.eq(chains.sums),
        ]

        flags = {
            "a_short": buffer.too_short, "a_long": buffer.too_long,
            "p_short": issue.p_short, "pattern": issue.pattern,
            **{f"index_{name}": checked & getattr(chains, name).any()
               for name in config.index_flags},
            "w_short": issue.w_short | bad.too_short if bad else issue.w_short,
            "w_long": issue.w_long,
        }
        if config.rounds_beyond:
            flags["a_rounds"] = buffer.too_many
        if config.weights == "quantized":
            flags["scale"] = bad.scale
        if bad:
            flags["w_format"] = bad.unknown
        m.d.comb += [
            self.flags.eq(Cat(flags[name] for name, _ in config.flags)),
            self.busy.eq(loading | buffer.loading | buffer.any_full | scanner.busy | issue.busy
                         | (owed != 0) | drain.c.valid),
            self.waiting.eq(
                ((issue.waiting | loading & ~weights.valid) & ~self.w.valid)
                | ((buffer.any_full | scanner.in_frame | weights.valid)
                   & ~scanner.valid & ~self.p.valid)
                | ((buffer.wanting | scanner.valid) & ~buffer.any_full & ~self.a.valid)),
        ]
        return m

    def _chains(self, m, elements_in, buffer, pattern, issue, drain, half):
        """The chains with what goes to all of them; and whether the flags of an index count."""
        config, timing = self.config, self.timing
        m.submodules.chains = chains = LinearArray(
            lambda: Chain(config), config.chains, name="chain",
            broadcast=without_unused(Chain.broadcast, config))

        elements = Signal.like(elements_in, name="elements", reset_less=True)
        word = Signal.like(buffer.word, name="word", reset_less=True)
        of_pattern = {name: Signal.like(getattr(pattern, name), name=name, reset_less=True)
                      for name in without_unused(("base", "follows", "mask", "beyond"), config)}
        m.d.sync += [
            elements.eq(Mux(issue.blank, 0, elements_in)),
            word.eq(buffer.word),
            *(register.eq(getattr(pattern, name)) for name, register in of_pattern.items()),
        ]
        checked = Const(0)
        if config.index_flags:
            m.submodules.checked = delay = Delay(1, timing.elements + 1, reset=True)
            m.d.comb += delay.i.eq(issue.checked)
            checked = delay.o
        if config.max_speedup > 1:
            pitch = config.cells // config.group // config.max_speedup
            m.submodules.to_starts = to_starts = Delay(
                config.max_speedup - 1, timing.elements + Chain.start_latency(config) + pitch)
            m.submodules.starts = starts = Skew(config.max_speedup - 1, 1, pitch=pitch)
            m.d.comb += [to_starts.i.eq(pattern.starts), starts.i.eq(to_starts.o),
                         chains.starts.eq(starts.o)]
        m.d.comb += [
            chains.elements.eq(elements),
            chains.word.eq(word),
            *(getattr(chains, name).eq(register) for name, register in of_pattern.items()),
            chains.read_address.eq(drain.read_address),
            chains.column.eq(drain.column),
        ]

        # Control bits travel beside the chains, to where the segments become columns.
        log2_speedup = Signal.like(pattern.log2_speedup, name="log2_speedup_reduced")
        beat = Signal.like(issue.beat, name="beat_reduced")
        first = Signal(name="first_reduced")
        address = Signal.like(chains.address, name="address_reduced")
        m.submodules.to_banks = to_banks = Delay(1, timing.reduced, reset=True)
        control = Cat(pattern.log2_speedup, issue.beat, issue.first,
                      issue.round, half)
        m.submodules.to_banks_data = to_banks_data = Delay(len(control), timing.reduced)
        enable = Signal(config.max_speedup)
        m.d.comb += [
            to_banks.i.eq(issue.issue),
            to_banks_data.i.eq(control),
            Cat(log2_speedup, beat, first, address).eq(to_banks_data.o),
            chains.log2_speedup.eq(log2_speedup),
            enable.eq(Cat(to_banks.o & ((column >> log2_speedup) == beat)
                          for column in range(config.max_speedup))),
        ]
        enable_added = Signal(config.max_speedup)
        first_added = Signal(reset_less=True)
        address_added = Signal.like(address, name="address_added", reset_less=True)
        m.d.sync += [
            enable_added.eq(enable),
            first_added.eq(first),
            address_added.eq(address),
        ]
        m.d.comb += [
            chains.enable.eq(enable_added),
            chains.first.eq(first_added),
            chains.address.eq(address_added),
        ]
        return chains, checked
