"""Which pair of planes is counted when."""

from amaranth import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from systolith.hdl.bitplane.config import BIPOLAR, TWOS_COMPLEMENT, BitplaneConfig


class PlaneCounter(wiring.Component):
    """Counts planes down to 0, most significant first.

    Parameters
    ----------
    highest : int
        Most planes.

    Members
    -------
    top : In
        Number of the most significant plane.
    single : In(1)
        It is 0.
    step : In(1)
    index : Out
        Number of the present plane.
    first, last : Out(1)
        It is the most, the least significant one.
    """

    def __init__(self, highest: int):
        self.module_name = f"plane_counter_{highest}"
        index = range(highest)
        super().__init__({"top": In(index), "single": In(1), "step": In(1), "index": Out(index),
                          "first": Out(1), "last": Out(1)})

    def elaborate(self, platform):
        m = Module()
        first = Signal(init=1)
        left = Signal.like(self.index, name="left", reset_less=True)
        none_left = Signal(reset_less=True)
        m.d.comb += [
            self.first.eq(first),
            self.index.eq(Mux(first, self.top, left)),
            self.last.eq(Mux(first, self.single, none_left)),
        ]
        with m.If(self.step):
            m.d.sync += [first.eq(self.last), left.eq(self.index - 1),
                         none_left.eq(self.index == 1)]
        return m


class PlaneSteps(wiring.Component):
    """Steps through the pairs of planes of every word, and says what the settings make of them.

    With the first plane of W the planes of A come from the stream; for the others they are read
    again from a buffer.

    Members
    -------
    issue, in_frame : In(1)
        As in :class:`systolith.hdl.structure.paired_frames.PairedFrames`; a step is a pair.
    a_bits, w_bits : In(4)
        Planes (``serial`` only, where there may be several).
    a_code, w_code : In(2)
    a_index : Out
        Number of the plane of A (``serial`` only).
    first_a, first_w, last_a, last_w : Out(1)
        The most significant plane of A, of W; the least significant ones.
    bipolar : Out(1)
    negate : Out(2)
        The most significant plane of A, of W is negative.
    settings : Out(1)
        Pulse of the error flag.
    """

    def __init__(self, config: BitplaneConfig):
        self.config = config
        members = {name: In(1) for name in ("issue", "in_frame")}
        members |= {name: Out(1) for name in ("first_a", "first_w", "last_a", "last_w", "bipolar",
                                              "settings")}
        members |= {"a_code": In(2), "w_code": In(2), "negate": Out(2)}
        if config.serial:
            members |= {f"{operand}_bits": In(4) for operand, highest in (
                ("a", config.max_a_bits), ("w", config.max_w_bits)) if highest > 1}
            members["a_index"] = Out(range(config.max_a_bits))
        super().__init__(members)

    def elaborate(self, platform):
        m = Module()
        a_bits_wrong = self._planes(m, "a", self.config.max_a_bits, self.issue)
        w_bits_wrong = self._planes(m, "w", self.config.max_w_bits, self.issue & self.last_a)
        a_signed, w_signed = (_settled(m, code == TWOS_COMPLEMENT, f"{operand}_signed")
                              for operand, code in (("a", self.a_code), ("w", self.w_code)))
        wrong = _settled(m, a_bits_wrong | w_bits_wrong | (self.a_code > BIPOLAR)
                         | (self.w_code > BIPOLAR)
                         | ((self.a_code == BIPOLAR) != (self.w_code == BIPOLAR)), "wrong")
        m.d.comb += [
            self.bipolar.eq(_settled(
                m, (self.a_code == BIPOLAR) & (self.w_code == BIPOLAR), "bipolar_codes")),
            self.negate[0].eq(self.first_a & a_signed),
            self.negate[1].eq(self.first_w & w_signed),
            self.settings.eq(self.issue & ~self.in_frame & wrong),
        ]
        return m

    def _planes(self, m: Module, operand: str, highest: int, step):
        """Count the planes of an operand; return whether their number is out of range."""
        first, last = getattr(self, f"first_{operand}"), getattr(self, f"last_{operand}")
        if not self.config.serial or highest == 1:
            m.d.comb += [first.eq(1), last.eq(1)]
            return 0
        planes = getattr(self, f"{operand}_bits")
        wrong = Signal(name=f"{operand}_bits_wrong")
        m.d.comb += wrong.eq((planes == 0) | (planes > highest))
        m.submodules[f"{operand}_counter"] = counter = PlaneCounter(highest)
        top = Mux(wrong, highest - 1, planes - 1)[:len(counter.top)]
        m.d.comb += [
            counter.top.eq(_settled(m, top, f"{operand}_top")),
            counter.single.eq(_settled(m, top == 0, f"{operand}_single")),
            counter.step.eq(step),
            first.eq(counter.first),
            last.eq(counter.last),
        ]
        if operand == "a":
            m.d.comb += self.a_index.eq(counter.index)
        return wrong


def _settled(m: Module, value, name: str) -> Signal:
    """What the registers mean, a cycle after they are written: the core is idle then."""
    register = Signal(len(value), name=name, reset_less=True)
    m.d.sync += register.eq(value)
    return register
