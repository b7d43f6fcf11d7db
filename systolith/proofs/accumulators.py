"""Memories behind a systolic array against their specification: no workload that a driver would run
comes to the end of the widest accumulators, nor fills the buffer of results to the brim."""

from collections.abc import Mapping
from functools import reduce
from operator import or_

from amaranth.hdl import Cat, Mux, Signal, Value

from systolith.hdl.formats import FP32
from systolith.hdl.structure.linear_array import LinearArray
from systolith.hdl.systolic.float_lanes import RoundedAccumulatorLane
from systolith.hdl.systolic.lanes import AccumulatorLane
from systolith.hdl.systolic.result_buffer import ResultBuffer
from systolith.proofs.buses import counted_places
from systolith.proofs.harness import Edit, Harness, flow, holds, integer
from systolith.proofs.timing import ago, settled

#: What tells of a sum on its way: sums of every lane that it passes may join.
JOINED = ("overflow_in", "saturated_in")


def accumulator_lane(component: AccumulatorLane, edit: Edit) -> Harness:
    """A place of the memory, picked by the solver, holds the sum that was last kept there, and the
    next sum of its row starts from that; what does not fit is told while there is a sum, whatever
    it started from. What comes from the lane before goes to the next one a cycle later."""
    h = Harness(component, edit)
    p, config = h.ports, component.config
    after = settled(h, component.lead + component.latency + 1)
    _handed_on(h, component.chain, after)
    place = h.constant(len(p.read_address_in), "place")
    h.assume(place < max(config.sum_depth, 2))
    word, known = h.register(config.acc.bits, "word"), h.register(1, "known")
    kept = p.valid_in & (p.write_address_in == place)
    h.step(word, Mux(kept, p.total, word))
    h.step(known, known | kept)
    read = known & (p.read_address_in == place) & ~kept

    def added(value: Value, age: int, name: str) -> Value:
        return integer(ago(h, value, age, name), config.acc.signed)

    late = component.latency
    fresh = ago(h, p.first_in, late, "first")
    augend = Mux(fresh, 0, added(word, component.lead + late, "augend"))
    psum = integer(ago(h, p.psum, late, "psum"), config.tile_sum.signed)
    exact = Signal((augend + psum).shape(), name="exact")
    h.m.d.comb += exact.eq(augend + psum)
    total = integer(p.total, config.acc.signed)
    certain = after & (fresh | ago(h, read, component.lead + late, "read"))
    h.check("the sum is the one kept, and the next", ~certain | (
        p.total == exact[:config.acc.bits]))
    # Whatever was added to: it takes too long to come to the ends of a wide sum.
    before = Signal(total.shape(), name="before")
    h.m.d.comb += before.eq(total - psum)
    beyond = p.valid_in & (before + psum != total)
    h.check("what does not fit is told", ~after | (p.overflow_out == (
        ago(h, p.overflow_in, 1, "overflow") | ago(h, beyond, 1, "beyond"))))
    h.cover("a sum is read again", Cat(certain, ~fresh, total != 0).all())
    h.cover("a sum does not fit", certain & beyond)
    return h


def rounded_accumulator_lane(component: RoundedAccumulatorLane, edit: Edit) -> Harness:
    """Of a lane with floats: a sum that is not finite is told. What comes from the lane before goes
    to the next one a cycle later. The adder has tests of its own."""
    h = Harness(component, edit)
    p, after = h.ports, settled(h, 1)
    _handed_on(h, component.chain, after)
    beyond = p.valid_in & p.total[FP32.fraction_bits:-1].all()
    h.check("what is not finite is told", ~after | (p.overflow_out == (
        ago(h, p.overflow_in, 1, "overflow") | ago(h, beyond, 1, "beyond"))))
    h.cover("a sum is not finite", beyond)
    return h


def _handed_on(h: Harness, chain: Mapping[str, str], after: Value):
    for before, then in chain.items():
        if before not in JOINED:
            h.check(f"{then} follows", ~after | (
                getattr(h.ports, then) == ago(h, getattr(h.ports, before), 1, then)))


def wavefront_lanes(component: LinearArray, edit: Edit) -> Harness:
    """What the first of the chain is told leaves the last one as many cycles later as there are
    lanes. A sum that did not fit stays told: it may be joined by others on its way. Parameters are
    no part of the wavefront, they move as they are loaded; what memories hold makes no difference.
    """
    h = Harness(component, edit)
    h.cut = ("$mem_v2",)
    p, lanes = h.ports, component.count
    after = settled(h, lanes)
    for before, then in component.prototype.chain.items():
        if before == "q_in":
            continue
        told, left = ago(h, getattr(p, before), lanes, before), getattr(p, then)
        h.check(f"{then} follows", ~after | (
            ~told | left if before in JOINED else left == told))
        h.cover(f"{then} is told", after & told.any())
    return h


def result_lanes(component: LinearArray, edit: Edit) -> Harness:
    """A word of the memory of a lane, both picked by the solver, reads as it was last written; what
    is written is said to the last lane, and to each one before it a cycle later."""
    h = Harness(component, edit)
    p, count, width = h.ports, component.count, component.widths["value"]
    lane, place = h.constant(range(count), "lane"), h.constant(len(p.read_address), "place")
    h.assume(place < component.prototype.depth)
    h.assume(lane < count)
    writes: list[Value] = [p.write_in]
    addresses: list[Value] = [p.address_in]
    for index in range(count):
        writes.append(h.past(writes[-1], f"write_{index}"))
        addresses.append(h.past(addresses[-1], f"address_{index}"))
    h.check("the last write leaves", p.write_out == writes[-1])
    here = reduce(or_, ((lane == index) & writes[count - 1 - index]
                        & (addresses[count - 1 - index] == place) for index in range(count)))
    word, known = h.register(width, "word"), h.register(1, "known")
    h.step(word, Mux(here, p.value.word_select(lane, width), word))
    h.step(known, known | here)
    # Through the latch of the memory, and its output register.
    due, want = known & (p.read_address == place) & ~here, Value.cast(word)
    for name, enable in (("latched", p.read_enable), ("out", p.output_enable)):
        next_due, next_want = h.register(1, name), h.register(width, f"{name}_word")
        h.step(next_due, Mux(enable, due, next_due))
        h.step(next_want, Mux(enable, want, next_want))
        due, want = next_due, next_want
    h.check("reads what was written", ~due | (p.read_data.word_select(lane, width) == want))
    h.cover("a word is read", due & want.all())
    return h


def result_buffer(component: ResultBuffer, edit: Edit) -> Harness:
    """As many places as its depth, of which the writer keeps count by ``taken``. A beat that is in
    all lanes is offered as soon as it may be, never a bubble; the last of a frame stays so."""
    h, depth = Harness(component, edit), component.depth
    p, o = h.ports, flow(h, "o")
    h.check("a beat stays until it is taken", holds(h, "o", o))
    inside = counted_places(h, p.write, o, depth, component.lanes - 1 + component.latency)
    lasts = h.register(depth, "lasts")
    left = Mux(o.moves, lasts >> 1, lasts)
    h.step(lasts, (left | ((p.write & p.last) << (inside - o.moves)[:len(inside)]))[:depth])
    h.check("the last of a frame stays so", ~o.valid | (p.o_last == lasts[0]))
    h.cover("full, and a beat leaves", (inside == depth) & o.moves)
    return h
