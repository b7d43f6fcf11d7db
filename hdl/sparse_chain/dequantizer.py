"""Quantized weights of 3 to 8 bits to int8, in front of the chains."""

from amaranth import Cat, Module, Signal, signed, unsigned
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from systolith.hdl.arithmetic.multiplier import Multiplier
from systolith.hdl.arithmetic.rounding import FixedRounder
from systolith.hdl.bus import axi_stream
from systolith.hdl.formats import IntegerFormat
from systolith.hdl.sparse_chain.config import INT8, QUANTIZED_BITS, SCALE, SparseChainConfig
from systolith.hdl.sparse_chain.gather import ElementSource, Gather
from systolith.hdl.structure.linear_array import LinearArray

#: The code of full scale is worth the scale: 2^-7 of it for each unit of an int8 code.
FRACTION = INT8.bits - 1


class DequantizingCell(wiring.Component):
    """Gathers a code and an index, and multiplies the code by its scale.

    The code comes from its low bits up and is shifted in from above, so that in the end it fills
    the high bits of eight, whatever its width. Its product with the scale is rounded half up to
    int8, and saturates.

    Members
    -------
    planes : bits of the code, or of the index.
    code_step, first : they belong to the code; they are its lowest.
    index_step : they belong to the index, one bit for each place in it.
    multiply, round : the product register, and the register of the element, take the next.
    scale : unsigned; UNIT_SCALE leaves an int8 code as it is.
    element : weight and index.
    """

    broadcast = ("code_step", "first", "index_step", "multiply", "round", "scale")

    def __init__(self, config: SparseChainConfig):
        self.config = config
        self.index_steps = -(-config.index_bits // config.planes)
        super().__init__({
            "planes": In(config.planes), "code_step": In(1), "first": In(1),
            "index_step": In(self.index_steps), "multiply": In(1), "round": In(1),
            "scale": In(SCALE.bits), "element": Out(config.element_bits),
        })

    def elaborate(self, platform):
        m = Module()
        planes, index_bits = self.config.planes, self.config.index_bits
        code = Signal(signed(INT8.bits), reset_less=True)
        index = Signal(index_bits, reset_less=True)
        with m.If(self.code_step):
            kept = code[planes:] & ~self.first.replicate(INT8.bits - planes)
            # All planes of an index come behind all of its code.
            m.d.sync += [code.eq(Cat(kept, self.planes).as_signed()), index.eq(0)]
        for step in range(self.index_steps):
            part = index[step * planes:(step + 1) * planes]
            with m.If(self.index_step[step]):
                m.d.sync += part.eq(self.planes)

        m.submodules.multiplier = multiplier = Multiplier(
            signed(INT8.bits), unsigned(SCALE.bits), 0, self.config.technology)
        product = Signal(multiplier.shape, reset_less=True)
        index_beside = Signal(index_bits, reset_less=True)
        m.submodules.rounder = rounder = FixedRounder(
            IntegerFormat(len(product), True), IntegerFormat(INT8.bits, True, FRACTION), "half_up")
        element = Signal.like(self.element, reset_less=True)
        m.d.comb += [
            multiplier.a.eq(code),
            multiplier.b.eq(self.scale),
            rounder.value.eq(product),
            self.element.eq(element),
        ]
        with m.If(self.multiply):
            m.d.sync += [product.eq(multiplier.p), index_beside.eq(index)]
        with m.If(self.round):
            m.d.sync += element.eq(Cat(rounder.result, index_beside))
        return m


class DequantizingChain(wiring.Component):
    """The cells for one chain, and their scale.

    Members
    -------
    planes : of all its cells.
    head : they carry the scale, in the low bits.
    zero_scale : that scale is zero.
    code_step, first, index_step, multiply, round : of :class:`DequantizingCell`.
    elements : weights and indices.
    """

    broadcast = ("head", "code_step", "first", "index_step", "multiply", "round")

    def __init__(self, config: SparseChainConfig):
        self.config = config
        self.cells = LinearArray(lambda: DequantizingCell(config), config.cells,
                                 name="dequantizing_cell", broadcast=DequantizingCell.broadcast)
        members = self.cells.signature.members
        super().__init__({
            "planes": members["planes"], "head": In(1), "zero_scale": Out(1),
            **{name: members[name] for name in self.broadcast if name != "head"},
            "elements": members["element"],
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.cells = cells = self.cells
        scale = Signal(SCALE.bits, reset_less=True)
        given = self.planes[:SCALE.bits]
        with m.If(self.head):
            m.d.sync += scale.eq(given)
        m.d.comb += [
            cells.planes.eq(self.planes),
            cells.scale.eq(scale),
            *(getattr(cells, name).eq(getattr(self, name))
              for name in self.broadcast if name != "head"),
            self.elements.eq(cells.element),
            self.zero_scale.eq(given == 0),
        ]
        return m


class Dequantizer(wiring.Component):
    """Expands frames of quantized weights.

    Members
    -------
    w : In(axi_stream.Signature)
    elements : Out(ElementSource)
    busy : Out(1)
    too_short, unknown, scale : Out(1)
        Pulses of the flags w_short, w_format and scale.

    Timing
    ------
    An element beat is at ``elements`` :attr:`latency` cycles after the last of its beats; they
    follow each other as fast as their beats come.
    """

    latency = 3

    def __init__(self, config: SparseChainConfig):
        self.config = config
        stream = next(stream for stream in config.streams if stream.name == "w")
        super().__init__({
            "w": In(axi_stream.Signature(stream.data_bits, stream.tuser_bits)),
            "elements": Out(ElementSource(config)), "busy": Out(1),
            "too_short": Out(1), "unknown": Out(1), "scale": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        config = self.config
        widths = range(config.index_bits + 1)
        code_steps = {bits: -(-bits // config.planes) for bits in QUANTIZED_BITS}
        index_steps = {bits: -(-bits // config.planes) for bits in widths if bits != 1}
        m.submodules.gather = gather = Gather(
            config, max(code_steps.values()) + max(index_steps.values()), header=True)
        m.submodules.chains = chains = LinearArray(
            lambda: DequantizingChain(config), config.chains, name="dequantizing_chain",
            broadcast=DequantizingChain.broadcast)
        wiring.connect(m, wiring.flipped(self.w), gather.w)

        # Where an element changes from code to index, and where it ends.
        bits, index_bits = gather.user[:4], gather.user[4:]
        code_end = Signal(range(max(code_steps.values()) + 1))
        index_count = Signal(range(max(index_steps.values()) + 1))
        for field, count, table in ((bits, code_end, code_steps),
                                    (index_bits, index_count, index_steps)):
            with m.Switch(field):
                for value, steps in table.items():
                    with m.Case(value):
                        m.d.comb += count.eq(steps)
        bits_known = Signal()
        index_known = Signal()
        m.d.comb += [
            bits_known.eq(code_end != 0),
            index_known.eq(Cat(index_bits == value for value in index_steps).any()),
            gather.known.eq(bits_known & index_known),
            gather.last_place.eq(code_end + index_count - 1),
        ]

        in_code = Signal()
        index_place = Signal.like(gather.place)
        m.d.comb += [
            in_code.eq(gather.place < code_end),
            index_place.eq(gather.place - code_end),
            chains.planes.eq(self.w.data),
            chains.head.eq(gather.head),
            chains.first.eq(gather.place == 0),
            chains.code_step.eq(gather.step & in_code),
            chains.index_step.eq(Cat(gather.step & ~in_code & (index_place == step)
                                     for step in range(max(index_steps.values())))),
        ]

        valid = [Signal(name=f"{name}_valid") for name in ("product", "element")]
        last = [Signal(name=f"{name}_last", reset_less=True) for name in ("product", "element")]
        blank = [Signal(name=f"{name}_blank", reset_less=True) for name in ("product", "element")]
        moves = [Signal(name=f"{name}_moves") for name in ("product", "element")]
        before = ((gather.complete, gather.last, gather.blank), (valid[0], last[0], blank[0]))
        m.d.comb += [
            moves[1].eq(~valid[1] | self.elements.ready),
            moves[0].eq(~valid[0] | moves[1]),
            gather.taken.eq(gather.complete & moves[0]),
            chains.multiply.eq(moves[0]),
            chains.round.eq(moves[1]),
        ]
        for stage in range(2):
            with m.If(moves[stage]):
                m.d.sync += [valid[stage].eq(before[stage][0]), last[stage].eq(before[stage][1]),
                             blank[stage].eq(before[stage][2])]
        m.d.comb += [
            self.elements.valid.eq(valid[1]),
            self.elements.last.eq(last[1]),
            self.elements.blank.eq(blank[1]),
            self.elements.data.eq(chains.elements),
            self.busy.eq(gather.busy | Cat(valid).any()),
            self.too_short.eq(gather.too_short),
            self.unknown.eq(gather.unknown),
            self.scale.eq(gather.head & gather.known & chains.zero_scale.any()),
        ]
        return m
