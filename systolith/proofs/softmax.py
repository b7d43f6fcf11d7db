"""Parts of a softmax against their specification: what is rounded away later shows here alone."""

from functools import reduce
from operator import add

from amaranth.hdl import Const, Mux, Signal, Value

from systolith.hdl.softmax.config import STEP
from systolith.hdl.softmax.power_sums import PowerRunningSum
from systolith.hdl.softmax.powers import STEP_BITS
from systolith.hdl.softmax.row_results import BeatMaximum
from systolith.proofs.harness import Edit, Harness, integer
from systolith.proofs.timing import ago, settled


def power_running_sum(component: PowerRunningSum, edit: Edit) -> Harness:
    """The largest key of a row, and the sum of its powers relative to that: each power cut when it
    is added, and the sum so far whenever a larger key comes."""
    h = Harness(component, edit)
    ports, key, lanes = h.ports, component.key, range(component.count)
    # What is known of a beat, when the maximum is, and when it is added.
    front = BeatMaximum.cycles(component.count)
    added = component.cycles(component.count) - 1

    def element(value: Value, lane: int, age: int, name: str) -> Value:
        return ago(h, value.word_select(lane, len(value) // component.count), age,
                   f"{name}_{lane}")

    in_row, top = h.register(1, "in_row"), h.register(key, "top")
    largest: Value = Const(-(1 << key.width - 1) if key.signed else 0, key)
    for lane in lanes:
        candidate = integer(element(ports.keys, lane, front, "candidate"), key.signed)
        keep = element(ports.keep, lane, front, "candidate_keep")
        largest = Mux(keep & (candidate > largest), candidate, largest)
    raised = Signal(key, name="raised")
    h.m.d.comb += raised.eq(Mux(in_row & (top > largest), top, largest))
    rise = Signal(key.width, name="rise")
    h.m.d.comb += rise.eq(raised - top)
    valid = ago(h, ports.valid, front, "valid")
    h.step(in_row, Mux(valid, ~ago(h, ports.last, front, "last"), in_row))
    h.step(top, Mux(valid, raised, top))

    total, row_top = h.register(component.total_bits, "total"), h.register(key, "row_top")
    reference = integer(ago(h, raised, added - front, "reference"), key.signed)
    weights: list[Value] = []
    for lane in lanes:
        payload = element(ports.payloads, lane, added, "payload")
        distance = Signal(key.width, name=f"distance_{lane}")
        h.m.d.comb += distance.eq(
            reference - integer(element(ports.keys, lane, added, "key"), key.signed))
        below, power = payload[:STEP_BITS], payload[STEP_BITS:]
        weight = _in_steps((power << component.config.guard) >> below, distance)
        weights.append(Mux(element(ports.keep, lane, added, "keep"), weight, 0))
    while len(weights) > 1:              # in the order in which a solver knows them again
        weights = [reduce(add, weights[index:index + 2]) for index in range(0, len(weights), 2)]
    left = Mux(ago(h, in_row, added - front, "goes_on"),
               _in_steps(total, ago(h, rise, added - front, "scaled")), 0)
    adds = ago(h, ports.valid, added, "adds")
    h.step(total, Mux(adds, (left + weights[0])[:len(total)], total))
    h.step(row_top, Mux(adds, reference, row_top))

    done = ago(h, ports.valid & ports.last, added + 1, "done")
    known = settled(h, added + 1)
    h.check("done", ~known | (ports.done == done))
    h.check("largest key", ~known | ~done | (integer(ports.top, key.signed) == row_top))
    h.check("sum", ~known | ~done | (ports.total == total))
    h.cover("a sum that does not fit one beat",
            known & done & (total > ((1 << component.total_bits) - 1) // 3))
    return h


def _in_steps(value: Value, steps: Value) -> Value:
    """``value``, shifted to the right by so many steps, which are not negative."""
    result: Value = Const(0, len(value))
    for index in range(-(-len(value) // STEP)):
        result = Mux(steps == index, value >> (index * STEP), result)
    return result
