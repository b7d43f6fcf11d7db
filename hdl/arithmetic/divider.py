"""Unsigned integer division, one bit of the quotient per step."""

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from systolith.hdl.structure.delay import Delay
from systolith.hdl.structure.linear_array import LinearArray


class DividerStep(wiring.Component):
    """One step of restoring division, registered.

    The state holds the remainder above, and below it the bits of the numerator that are still to
    come; each step shifts one of them out and a bit of the quotient in.

    Parameters
    ----------
    divisor_bits, quotient_bits : int

    Members
    -------
    state_in, state_out : divisor_bits + quotient_bits bits
    divisor_in, divisor_out : divisor_bits bits

    Timing
    ------
    Latency 1 cycle.
    """

    def __init__(self, divisor_bits: int, quotient_bits: int):
        self.divisor_bits, self.quotient_bits = divisor_bits, quotient_bits
        state = divisor_bits + quotient_bits
        super().__init__({"state_in": In(state), "divisor_in": In(divisor_bits),
                          "state_out": Out(state), "divisor_out": Out(divisor_bits)})

    def elaborate(self, platform):
        m = Module()
        partial = Signal(self.divisor_bits + 1)
        difference = Signal(self.divisor_bits + 2)
        fits = Signal()
        remainder = Signal(self.divisor_bits)
        state = Signal.like(self.state_out, name="state", reset_less=True)
        divisor = Signal.like(self.divisor_out, name="divisor", reset_less=True)
        m.d.comb += [
            partial.eq(self.state_in[self.quotient_bits - 1:]),
            difference.eq(partial - self.divisor_in),
            fits.eq(~difference[-1]),
            remainder.eq(Mux(fits, difference, partial)),
            self.state_out.eq(state),
            self.divisor_out.eq(divisor),
        ]
        m.d.sync += [
            state.eq(Cat(fits, self.state_in[:self.quotient_bits - 1], remainder)),
            divisor.eq(self.divisor_in),
        ]
        return m


class _Divider(wiring.Component):
    """Members and widths that both dividers share."""

    def __init__(self, numerator_bits: int, divisor_bits: int, quotient_bits: int, tag_bits: int,
                 **more):
        if not 1 <= quotient_bits <= numerator_bits <= divisor_bits + quotient_bits:
            raise ValueError(f"a quotient of {quotient_bits} bits does not come from "
                             f"{numerator_bits} by {divisor_bits} bits")
        self.numerator_bits, self.divisor_bits = numerator_bits, divisor_bits
        self.quotient_bits, self.tag_bits = quotient_bits, tag_bits
        if tag_bits:
            more |= {"i_tag": In(tag_bits), "o_tag": Out(tag_bits)}
        super().__init__({
            "i_valid": In(1), "numerator": In(numerator_bits), "divisor": In(divisor_bits),
            "o_valid": Out(1), "quotient": Out(quotient_bits), **more})


class PipelinedDivider(_Divider):
    """Quotient of two unsigned integers, rounded down; a new one every cycle.

    Parameters
    ----------
    numerator_bits, divisor_bits : int
    quotient_bits : int
        The quotient must fit: numerator < divisor · 2^quotient_bits, otherwise it has no meaning.
    tag_bits : int
        Of what goes along with each division; ``i_tag`` and ``o_tag`` are absent where 0.

    Members
    -------
    i_valid, numerator, divisor, i_tag : In
    o_valid, quotient, o_tag : Out

    Timing
    ------
    Latency ``quotient_bits`` cycles, one quotient per cycle.
    """

    def __init__(self, numerator_bits: int, divisor_bits: int, quotient_bits: int,
                 tag_bits: int = 0):
        super().__init__(numerator_bits, divisor_bits, quotient_bits, tag_bits)
        self.latency = quotient_bits

    def elaborate(self, platform):
        m = Module()
        m.submodules.steps = steps = LinearArray(
            lambda: DividerStep(self.divisor_bits, self.quotient_bits), self.quotient_bits,
            name="step", chain={"state_in": "state_out", "divisor_in": "divisor_out"})
        m.submodules.valid = valid = Delay(1, self.latency, reset=True)
        m.d.comb += [
            steps.state_in.eq(self.numerator),
            steps.divisor_in.eq(self.divisor),
            valid.i.eq(self.i_valid),
            self.o_valid.eq(valid.o),
            self.quotient.eq(steps.state_out[:self.quotient_bits]),
        ]
        if self.tag_bits:
            m.submodules.tag = tag = Delay(self.tag_bits, self.latency)
            m.d.comb += [tag.i.eq(self.i_tag), self.o_tag.eq(tag.o)]
        return m


class SerialDivider(_Divider):
    """Quotient of two unsigned integers, rounded down, by one subtractor.

    Parameters and the bound on the quotient are those of :class:`PipelinedDivider`.

    Members
    -------
    i_valid, numerator, divisor, i_tag : In
        Only while ``i_ready``.
    i_ready : Out(1)
    o_valid : Out(1)
        High for one cycle.
    quotient, o_tag : Out
        Zero unless ``o_valid``.

    Timing
    ------
    Latency ``quotient_bits`` cycles; ``i_ready`` is high again in the last of them.
    """

    def __init__(self, numerator_bits: int, divisor_bits: int, quotient_bits: int,
                 tag_bits: int = 0):
        super().__init__(numerator_bits, divisor_bits, quotient_bits, tag_bits, i_ready=Out(1))
        self.latency = quotient_bits

    def elaborate(self, platform):
        m = Module()
        m.submodules.step = step = DividerStep(self.divisor_bits, self.quotient_bits)
        left = Signal(range(self.quotient_bits))         # steps that are not yet begun
        done = Signal()
        m.d.comb += [
            self.i_ready.eq(left == 0),
            step.state_in.eq(Mux(self.i_valid, self.numerator, step.state_out)),
            step.divisor_in.eq(Mux(self.i_valid, self.divisor, step.divisor_out)),
            self.o_valid.eq(done),
            self.quotient.eq(Mux(done, step.state_out[:self.quotient_bits], 0)),
        ]
        with m.If(self.i_valid):
            m.d.sync += left.eq(self.quotient_bits - 1)
        with m.Elif(left != 0):
            m.d.sync += left.eq(left - 1)
        if self.quotient_bits == 1:
            m.d.sync += done.eq(self.i_valid)
        else:
            m.d.sync += done.eq(left == 1)
        if self.tag_bits:
            tag = Signal(self.tag_bits, reset_less=True)
            with m.If(self.i_valid):
                m.d.sync += tag.eq(self.i_tag)
            m.d.comb += self.o_tag.eq(Mux(done, tag, 0))
        return m


class DividerBank(_Divider):
    """Serial dividers that take turns.

    Parameters
    ----------
    count : int
        Number of dividers; the others are those of :class:`PipelinedDivider`.

    Members
    -------
    i_valid, numerator, divisor, i_tag : In
    i_ready : Out(1)
        The divider whose turn it is is free.
    o_valid, quotient, o_tag : Out
        In the order of the inputs.

    Timing
    ------
    Latency ``quotient_bits`` cycles; ``count`` quotients in that many cycles, at most one per
    cycle.
    """

    def __init__(self, count: int, numerator_bits: int, divisor_bits: int, quotient_bits: int,
                 tag_bits: int = 0):
        super().__init__(numerator_bits, divisor_bits, quotient_bits, tag_bits, i_ready=Out(1))
        self.dividers, self.latency = count, quotient_bits

    def elaborate(self, platform):
        m = Module()
        m.submodules.units = units = LinearArray(
            lambda: SerialDivider(self.numerator_bits, self.divisor_bits, self.quotient_bits,
                                  self.tag_bits),
            self.dividers, name="divider",
            broadcast=("numerator", "divisor", *(["i_tag"] if self.tag_bits else [])))
        turn = Signal(self.dividers, init=1)             # one hot
        m.d.comb += [
            self.i_ready.eq((units.i_ready & turn).any()),
            units.i_valid.eq(Mux(self.i_valid & self.i_ready, turn, 0)),
            units.numerator.eq(self.numerator),
            units.divisor.eq(self.divisor),
            self.o_valid.eq(units.o_valid.any()),
            self.quotient.eq(_any_lane(units.quotient, self.quotient_bits)),
        ]
        if self.tag_bits:
            m.d.comb += [
                units.i_tag.eq(self.i_tag),
                self.o_tag.eq(_any_lane(units.o_tag, self.tag_bits)),
            ]
        with m.If(self.i_valid & self.i_ready):
            m.d.sync += turn.eq(turn.rotate_left(1))
        return m


def _any_lane(lanes, width: int):
    """The one lane that is not zero."""
    value = lanes[:width]
    for start in range(width, len(lanes), width):
        value = value | lanes[start:start + width]
    return value
