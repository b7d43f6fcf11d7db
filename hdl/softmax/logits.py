"""From what streams carry to logits in the core: floats to fixed point, masks added."""

from amaranth import Cat, Module, Shape, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from systolith.hdl.arithmetic.fixing import FloatToFixed
from systolith.hdl.arithmetic.rounding import saturate
from systolith.hdl.arithmetic.steps import shape
from systolith.hdl.formats import IntegerFormat
from systolith.hdl.softmax.config import SoftmaxConfig
from systolith.hdl.softmax.passes import control, delayed
from systolith.hdl.structure.linear_array import LinearArray

#: What a logit can be besides a number in range, in the order of the bits of ``odd``.
ODDITIES = ("nan", "infinite", "x_saturated")


def logit_latency(config: SoftmaxConfig) -> int:
    """Cycles of a :class:`LogitStage`."""
    return FloatToFixed.latency * config.float_in + config.additive_mask


class LogitLane(wiring.Component):
    """One logit: brought to fixed point where it is a float, and its mask added, saturating.

    A mask of the lowest logit, or below, excludes the element, and so does a logit of −Inf.

    Members
    -------
    x : In
        As on the stream.
    mask : In
        Likewise; only with an additive mask.
    x_keep : In(1)
        The element counts, as far as is known.
    logit : Out
    keep : Out(1)
        It counts.
    odd : Out
        An element that counts, or its mask, was one of :data:`ODDITIES`; only of floats.

    Timing
    ------
    Latency :func:`logit_latency` cycles, one logit per cycle.
    """

    def __init__(self, config: SoftmaxConfig):
        self.config = config
        stream = Shape(config.x.bits, config.x.signed and not config.float_in)
        members = {"x": In(stream), "x_keep": In(1), "logit": Out(shape(config.logit)),
                   "keep": Out(1)}
        if config.additive_mask:
            members["mask"] = In(stream)
        if config.float_in:
            members["odd"] = Out(len(ODDITIES))
        super().__init__(members)

    def elaborate(self, platform):
        m = Module()
        config = self.config
        x, keep, odd = self.x, self.x_keep, None
        mask = self.mask if config.additive_mask else None
        if config.float_in:
            keep = delayed(m, "keep", FloatToFixed.latency, keep)
            x, x_part = self._fixed(m, "x", x)
            keep = keep & ~(x_part.inf & x[-1])
            nan, infinite = x_part.nan, x_part.inf & ~x[-1]
            if mask is not None:
                mask, mask_part = self._fixed(m, "mask", mask)
                nan, infinite = nan | mask_part.nan, infinite | (mask_part.inf & ~mask[-1])
            odd = Cat(nan, infinite, x_part.saturated)
        if mask is not None:
            keep = keep & (mask != config.logit.low)
            x = self._added(m, x, mask)
        if odd is not None:
            odd = Cat(bit & keep for bit in odd)
        outputs = {"logit": x, "keep": keep} | ({} if odd is None else {"odd": odd})
        for name, value in outputs.items():
            output = getattr(self, name)
            if mask is not None:
                register = Signal.like(output, name=f"{name}_masked", reset_less=True)
                m.d.sync += register.eq(value)
                value = register
            m.d.comb += output.eq(value)
        return m

    def _fixed(self, m: Module, name: str, code):
        """A float in fixed point, and what converted it."""
        config = self.config
        target = IntegerFormat(config.logit.bits, True, -config.in_fraction)
        m.submodules[f"{name}_fixed"] = part = FloatToFixed(config.x, target, infinities=True)
        m.d.comb += part.code.eq(code)
        return part.value, part

    def _added(self, m: Module, x, mask):
        limited, _ = saturate(m, x + mask, self.config.logit, "limited")
        return limited


class LogitStage(wiring.Component):
    """The logits of a beat.

    Members
    -------
    valid, last : In(1)
    x, mask : In
        Lanes as on the streams; ``mask`` only with an additive mask.
    x_keep : In(lanes)
    o_valid, o_last, logits, keep : Out
    odd : Out
        Which of :data:`ODDITIES` are among the elements that count; only of floats.

    Timing
    ------
    Latency :func:`logit_latency` cycles, at least one, one beat per cycle.
    """

    def __init__(self, config: SoftmaxConfig):
        self.config = config
        lanes, data_bits = config.lanes, config.lanes * config.x.bits
        members = {"valid": In(1), "last": In(1), "x": In(data_bits), "x_keep": In(lanes),
                   "o_valid": Out(1), "o_last": Out(1), "logits": Out(lanes * config.logit.bits),
                   "keep": Out(lanes)}
        if config.additive_mask:
            members["mask"] = In(data_bits)
        if config.float_in:
            members["odd"] = Out(len(ODDITIES))
        super().__init__(members)

    def elaborate(self, platform):
        m = Module()
        config = self.config
        m.submodules.lanes = lanes = LinearArray(
            lambda: LogitLane(config), config.lanes, name="lane")
        valid, last = control(m, "control", logit_latency(config), self.valid, self.last)
        m.d.comb += [
            lanes.x.eq(self.x),
            lanes.x_keep.eq(self.x_keep),
            self.o_valid.eq(valid),
            self.o_last.eq(last),
            self.logits.eq(lanes.logit),
            self.keep.eq(lanes.keep),
        ]
        if config.additive_mask:
            m.d.comb += lanes.mask.eq(self.mask)
        if config.float_in:
            count = len(ODDITIES)
            m.d.comb += [self.odd[bit].eq(Cat(lanes.odd[lane * count + bit]
                                              for lane in range(config.lanes)).any() & valid)
                         for bit in range(count)]
        return m
