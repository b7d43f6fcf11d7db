"""One chain: sparse multiplexers, groups of cells, reduction nodes, accumulators."""

from collections.abc import Iterable

from amaranth import Cat, Const, Module, Mux, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from systolith.hdl.arithmetic.packed_products import (
    WORD_BITS,
    ZERO,
    PackedProducts,
    high_parts,
    lane_sum,
    low_part,
    products_latency,
    products_shape,
)
from systolith.hdl.formats import IntegerFormat
from systolith.hdl.sparse_chain.config import INT8, SparseChainConfig
from systolith.hdl.structure.delay import Skew
from systolith.hdl.structure.linear_array import LinearArray
from systolith.hdl.structure.select import select_word


def without_unused(names: Iterable[str], config: SparseChainConfig) -> tuple[str, ...]:
    """Members but those for flags of an index and for segments that there are not, and for cutting
    indices that are exact."""
    needs = {"range": ("range", "beyond"), "order": ("order", "follows", "neighbor")}
    unused = {name for flag, needed in needs.items() if flag not in config.index_flags
              for name in needed}
    if config.max_speedup == 1:
        unused.add("starts")
    if config.index_exact:
        unused.add("mask")
    return tuple(name for name in names if name not in unused)


class SparseMultiplexer(wiring.Component):
    """Gives a cell its weight and, for each token, the activation that the weight's index selects.

    Members
    -------
    element : weight and index, as on the w stream.
    neighbor : index of the cell before.
    base, follows : of this cell, from the pattern table.
    mask, beyond : of the pattern.
    word : activations of the block, one cycle after ``element``.
    weight, activations : operands; activation l is at ``[8*l +: 8]``.
    range, order : the index is not below M; it is not above the one before in its group. What of
        these may happen; ``beyond`` is for the one, ``neighbor`` and ``follows`` for the other.

    Timing
    ------
    Operands :attr:`latency` cycles after ``element``; the flags in the same cycle.
    """

    latency = 2
    broadcast = ("mask", "beyond", "word")

    def __init__(self, config: SparseChainConfig):
        self.config = config
        self.cell_bits = (config.cells - 1).bit_length()
        bits = config.index_bits
        members = {
            "element": In(config.element_bits), "neighbor": In(bits),
            "base": In(self.cell_bits), "follows": In(1), "mask": In(bits), "beyond": In(bits),
            "word": In(config.lanes * config.cells * INT8.bits),
            "weight": Out(config.weight.bits), "activations": Out(config.lanes * INT8.bits),
            "range": Out(1), "order": Out(1),
        }
        super().__init__({name: members[name] for name in without_unused(members, config)})

    def elaborate(self, platform):
        m = Module()
        index = Signal(self.config.index_bits)
        place = Signal(self.config.index_bits)
        mask = (1 << len(index)) - 1 if self.config.index_exact else self.mask
        m.d.comb += [
            index.eq(self.element[len(self.weight):]),
            place.eq(index & mask),
        ]
        if "range" in self.config.index_flags:
            m.d.comb += self.range.eq((index & self.beyond).any())
        if "order" in self.config.index_flags:
            m.d.comb += self.order.eq(self.follows & (place <= (self.neighbor & mask)))
        select = Signal(self.cell_bits, reset_less=True)
        weight_selecting = Signal.like(self.weight, reset_less=True)
        weight = Signal.like(self.weight, reset_less=True)
        activations = Signal.like(self.activations, reset_less=True)
        m.d.sync += [
            select.eq(self.base | place),
            weight_selecting.eq(self.element[:len(weight)]),
            weight.eq(weight_selecting),
        ]
        for lane in range(self.config.lanes):
            block = self.word.word_select(lane, self.config.cells * INT8.bits)
            m.d.sync += activations.word_select(lane, INT8.bits).eq(
                select_word(m, block, select, f"activations_{lane}"))
        m.d.comb += [self.weight.eq(weight), self.activations.eq(activations)]
        return m


class GroupSum(wiring.Component):
    """A link of the chain: adds the products of a group of cells to those of the groups before.

    With two lanes it takes the overflow adjust: only the low parts of both lanes continue, the high
    parts are added up beside them. The reduction node puts both together again.

    Members
    -------
    products : sum of the products of the group.
    start : a segment begins here.
    word_in, word_out : chain: packed low parts (two lanes), or the sum (one lane).
    high_in, high_out : chain: high parts taken away so far, of both lanes.
    total : reduction node: sums of the segment up to this group, lane after lane.

    Timing
    ------
    ``word_out`` and ``high_out`` one cycle after their inputs, ``total`` two cycles.
    """

    chain = ("word", "high")

    def __init__(self, config: SparseChainConfig):
        self.config = config
        groups = config.cells // config.group
        self.high = IntegerFormat.holding(-2 * groups, groups).bits
        word = WORD_BITS if config.lanes == 2 else config.segment_sum.bits
        super().__init__({
            "products": In(products_shape(config.group, config.lanes)), "start": In(1),
            "word_in": In(word), "word_out": Out(word),
            "high_in": In(2 * self.high), "high_out": Out(2 * self.high),
            "total": Out(config.lanes * config.segment_sum.bits),
        })

    def elaborate(self, platform):
        m = Module()
        word = Signal.like(self.word_out, reset_less=True)
        total = Signal.like(self.total, reset_less=True)
        m.d.comb += [self.word_out.eq(word), self.total.eq(total)]
        if self.config.lanes == 1:
            m.d.sync += [
                word.eq(Mux(self.start, 0, self.word_in.as_signed()) + self.products),
                total.eq(word),
            ]
            return m

        m.d.sync += word.eq(Mux(self.start, ZERO, low_part(self.word_in)) + self.products)
        width = self.config.segment_sum.bits
        for lane in range(2):
            high = Signal(signed(self.high), name=f"high_{lane}", reset_less=True)
            before = self.high_in.word_select(lane, self.high).as_signed()
            m.d.sync += [
                high.eq(Mux(self.start, 0, before + high_parts(self.word_in)[lane])),
                total.word_select(lane, width).eq(
                    lane_sum(word, lane, high + high_parts(word)[lane])),
            ]
            m.d.comb += self.high_out.word_select(lane, self.high).eq(high)
        return m


class AccumulatorBank(wiring.Component):
    """Adds up a column over the blocks of K, one sum for each token.

    Members
    -------
    addend : sums of a segment, lane after lane.
    enable, first : there is one, one cycle later; the sums start with it.
    address : where, with ``enable``.
    read_address, sums : what is stored, in the same cycle.
    """

    broadcast = ("first", "address", "read_address")

    def __init__(self, config: SparseChainConfig):
        self.config = config
        super().__init__({
            "addend": In(config.lanes * config.segment_sum.bits), "enable": In(1),
            "first": In(1), "address": In(range(config.acc_depth)),
            "read_address": In(range(config.acc_depth)),
            "sums": Out(config.lanes * config.acc.bits),
        })

    def elaborate(self, platform):
        m = Module()
        # The next sum may need this one: the memory is read in the cycle of the addition.
        m.submodules.memory = memory = Memory(
            shape=len(self.sums), depth=self.config.acc_depth, init=[])
        write = memory.write_port()
        read = memory.read_port(domain="comb")
        drain = memory.read_port(domain="comb")
        addend = Signal.like(self.addend, reset_less=True)
        m.d.sync += addend.eq(self.addend)
        m.d.comb += [
            read.addr.eq(self.address),
            write.addr.eq(self.address),
            write.en.eq(self.enable),
            drain.addr.eq(self.read_address),
            self.sums.eq(drain.data),
        ]
        acc, segment = self.config.acc.bits, self.config.segment_sum.bits
        for lane in range(self.config.lanes):
            stored = Signal(signed(acc), name=f"stored_{lane}")
            added = Signal(signed(segment), name=f"added_{lane}")
            m.d.comb += [
                stored.eq(Mux(self.first, 0, read.data.word_select(lane, acc))),
                added.eq(addend.word_select(lane, segment)),
                write.data.word_select(lane, acc).eq(stored + added),
            ]
        return m


class Chain(wiring.Component):
    """Computes ``max_speedup`` columns, as many at a time as the pattern has.

    Members
    -------
    elements : a beat of weights and indices.
    base, follows, mask, beyond : of its pattern, from the pattern table.
    word : activations of its block, one cycle later.
    starts : of its pattern, the one of group i :meth:`start_latency` + i cycles later.
    log2_speedup : of its pattern, :attr:`reduced` cycles later.
    enable, first, address : banks that take a sum, one cycle after that.
    read_address, column : sums of one column, in the same cycle.
    sums : lane after lane.
    range, order : some index is wrong, one cycle after ``elements``; as of
        :class:`SparseMultiplexer`.
    """

    broadcast = ("base", "follows", "mask", "beyond", "word", "starts", "log2_speedup", "enable",
                 "first", "address", "read_address", "column")

    def __init__(self, config: SparseChainConfig):
        self.config = config
        cells, columns = config.cells, config.max_speedup
        self.cell_bits = (cells - 1).bit_length()
        members = {
            "elements": In(cells * config.element_bits),
            "base": In(cells * self.cell_bits), "follows": In(cells),
            "mask": In(config.index_bits), "beyond": In(config.index_bits),
            "word": In(config.lanes * cells * INT8.bits), "starts": In(columns - 1),
            "log2_speedup": In(range(max(columns.bit_length(), 2))),
            "enable": In(columns), "first": In(1), "address": In(range(config.acc_depth)),
            "read_address": In(range(config.acc_depth)), "column": In(range(max(columns, 2))),
            "sums": Out(config.lanes * config.acc.bits), "range": Out(1), "order": Out(1),
        }
        super().__init__({name: members[name] for name in without_unused(members, config)})

    @staticmethod
    def products(config: SparseChainConfig) -> PackedProducts:
        """What a group of cells is."""
        return PackedProducts(config.group, config.lanes, config.technology, config.weight.bits)

    @classmethod
    def start_latency(cls, config: SparseChainConfig) -> int:
        """Cycles from ``elements`` to the products of the first group of cells."""
        return SparseMultiplexer.latency + products_latency(
            config.group, config.lanes, config.technology)

    @classmethod
    def reduced(cls, config: SparseChainConfig) -> int:
        """Cycles from ``elements`` to the sums of all segments, side by side."""
        return cls.start_latency(config) + config.cells // config.group + 1

    def elaborate(self, platform):
        m = Module()
        config = self.config
        cells, groups, columns = config.cells, config.cells // config.group, config.max_speedup
        m.submodules.multiplexers = muxes = LinearArray(
            lambda: SparseMultiplexer(config), cells, name="multiplexer",
            broadcast=without_unused(SparseMultiplexer.broadcast, config))
        bits = config.element_bits
        indices = [self.elements[cell * bits + config.weight.bits:(cell + 1) * bits]
                   for cell in range(cells)]
        wrong = {name: Signal(name=f"wrong_{name}") for name in config.index_flags}
        m.d.comb += [
            muxes.element.eq(self.elements),
            *([muxes.neighbor.eq(Cat(indices[0], *indices[:-1]))] if "order" in wrong else []),
            *(getattr(muxes, name).eq(getattr(self, name))
              for name in without_unused(("base", "follows", "mask", "beyond", "word"), config)),
            *(getattr(self, name).eq(register) for name, register in wrong.items()),
        ]
        m.d.sync += [register.eq(getattr(muxes, name).any()) for name, register in wrong.items()]

        m.submodules.products = products = LinearArray(
            lambda: self.products(config), groups, name="group")
        m.submodules.chain = chain = LinearArray(
            lambda: GroupSum(config), groups, name="link", module="links",
            chain={f"{name}_in": f"{name}_out" for name in GroupSum.chain})
        # The first group begins a segment, whatever the pattern; others begin one where the
        # shortest segments do.
        starts = [Const(not group) for group in range(groups)]
        if columns > 1:
            starts[groups // columns::groups // columns] = self.starts
        products_bits, total_bits = len(products.total) // groups, len(chain.total) // groups
        m.submodules.skew = skew = Skew(groups, products_bits)
        m.submodules.deskew = deskew = Skew(groups, total_bits, last_first=True)
        m.d.comb += [
            products.w.eq(muxes.weight),
            products.a.eq(muxes.activations),
            skew.i.eq(products.total),
            chain.products.eq(skew.o),
            chain.start.eq(Cat(*starts)),
            chain.word_in.eq(0),
            chain.high_in.eq(0),
            deskew.i.eq(chain.total),
        ]

        m.submodules.banks = banks = LinearArray(
            lambda: AccumulatorBank(config), columns, name="bank",
            broadcast=AccumulatorBank.broadcast)
        m.d.comb += [
            banks.enable.eq(self.enable),
            banks.first.eq(self.first),
            banks.address.eq(self.address),
            banks.read_address.eq(self.read_address),
            self.sums.eq(select_word(m, banks.sums, self.column[:(columns - 1).bit_length()],
                                     "sums")),
        ]
        with m.Switch(self.log2_speedup):
            for log2_speedup in range(columns.bit_length()):
                speedup = 1 << log2_speedup
                ends = [groups // speedup * (segment + 1) - 1 for segment in range(speedup)]
                totals = [deskew.o.word_select(group, total_bits) for group in ends]
                with m.Case(log2_speedup):
                    m.d.comb += banks.addend.eq(Cat(*totals * (columns // speedup)))
        return m
