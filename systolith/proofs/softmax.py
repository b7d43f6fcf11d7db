"""Parts of a softmax against their specification: what is rounded away later shows here alone."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add

from amaranth.hdl import Const, Mux, Shape, Signal, Value

from systolith.hdl.arithmetic.piecewise import coefficients
from systolith.hdl.softmax.config import STEP, SoftmaxConfig
from systolith.hdl.softmax.passes import split
from systolith.hdl.softmax.power_sums import OnlineSum, PowerRunningSum
from systolith.hdl.softmax.powers import (
    STEP_BITS,
    exponential_parameters,
    key_shape,
    power_latency,
)
from systolith.hdl.softmax.records import (
    RowInverse,
    inverse_parameters,
    lowest_exponent,
    row_record,
    shift_bits,
)
from systolith.hdl.softmax.row_results import BeatMaximum
from systolith.proofs.arithmetic import inverted, on_curve
from systolith.proofs.harness import Edit, Harness, integer
from systolith.proofs.timing import ago, settled


def power_running_sum(component: PowerRunningSum, edit: Edit) -> Harness:
    """The largest key of a row, and the sum of its powers relative to that."""
    h = Harness(component, edit)
    ports, key = h.ports, component.key
    powers = [_Power(integer(ports.keys.word_select(lane, key.width), key.signed),
                     ports.payloads.word_select(lane, component.payload_bits),
                     ports.keep[lane]) for lane in range(component.count)]
    late = component.cycles(component.count)
    row = _sum_of_row(h, component.config, powers, ports.valid, ports.last, late)
    known = settled(h, late)
    h.check("done", ~known | (ports.done == row.done))
    h.check("largest key", ~known | ~row.done | (integer(ports.top, key.signed) == row.top))
    h.check("sum", ~known | ~row.done | (ports.total == row.total))
    h.cover("a sum that does not fit one beat",
            known & row.done & (row.total > ((1 << component.total_bits) - 1) // 3))
    return h


def row_inverse(component: RowInverse, edit: Edit) -> Harness:
    """The inverse of the sum of a row, lowered, beside its top."""
    h, config = Harness(component, edit), component.config
    late = component.cycles(config)
    done, top, total = (ago(h, getattr(h.ports, name), late, name)
                        for name in ("done", "top", "total"))
    known = settled(h, late)
    h.check("done", ~known | (h.ports.record_valid == done))
    h.check("record", ~known | (total == 0)
            | (h.ports.record == _inverse_record(h, config, top, total)))
    h.cover("of the largest sum", known & total.all())
    return h


def online_sum(component: OnlineSum, edit: Edit) -> Harness:
    """The record of the sum of the powers of a row; its beats pass through."""
    h, config = Harness(component, edit), component.config
    ports, powered = h.ports, power_latency(config)
    scale = h.constant(len(ports.scale), "scale")
    h.drive("scale", scale)
    valid, last, beat = (ago(h, getattr(ports, name), powered, name)
                         for name in ("valid", "last", "beat"))
    logits, keep = split(config, beat)
    powers = [_power(h, config, logits.word_select(lane, config.logit.bits), scale, keep[lane])
              for lane in range(config.lanes)]
    kind = row_record(config)
    recorded = kind.cycles(config)
    row = _sum_of_row(h, config, powers, valid, last, PowerRunningSum.cycles(config.lanes))
    known = settled(h, component.timing(config).record)
    total = ago(h, row.total, recorded, "recorded_total")
    done = ago(h, row.done, recorded, "recorded")
    h.check("passes through", (ports.o_valid == ports.valid) & (ports.o_last == ports.last)
            & (ports.o_beat == ports.beat))
    h.check("done", ~known | (ports.record_valid == done))
    if kind is RowInverse:               # nothing is said of logarithms
        record = _inverse_record(h, config, ago(h, row.top, recorded, "recorded_top"), total)
        h.check("record", ~known | ~done | (total == 0) | (ports.record == record))
    h.cover("a record", known & done & (total != 0))
    return h


@dataclass(frozen=True)
class _Power:
    """Key, payload, and whether an element counts."""

    key: Value
    payload: Value
    keep: Value


@dataclass(frozen=True)
class _Row:
    """A row is through; its largest key, and its sum."""

    done: Value
    top: Value
    total: Value


def _power(h: Harness, config: SoftmaxConfig, logit: Value, scale: Value, keep: Value) -> _Power:
    """2^(logit · scale) as the multiple of STEP above its exponent, and what it is below that."""
    parameters = exponential_parameters(config)
    z = Signal(Shape(parameters.source.bits, parameters.source.signed), name="z")
    h.m.d.comb += z.eq(integer(logit, config.logit.signed) * scale)
    drop = -parameters.source.lsb_exponent - parameters.fraction_bits
    exponent = z >> drop + parameters.fraction_bits
    rows = coefficients(lambda u: 2.0**u, parameters.segments)
    mantissa = on_curve(h, parameters.segments, rows, z[drop:][:parameters.fraction_bits])
    key = Signal(key_shape(config), name="key")
    payload = Signal(STEP_BITS + len(mantissa), name="payload")
    below = Signal(STEP_BITS, name="below")
    h.m.d.comb += [
        key.eq((exponent + (STEP - 1)) >> STEP_BITS),
        below.eq(key * STEP - exponent),
        payload.eq(below | mantissa << STEP_BITS),
    ]
    return _Power(key, payload, keep)


def _sum_of_row(h: Harness, config: SoftmaxConfig, powers: Sequence[_Power], valid: Value,
                last: Value, late: int) -> _Row:
    """The largest key of a row, and the sum of its powers relative to that, ``late`` cycles later:
    each power cut when it is added, and the sum so far whenever a larger key comes."""
    key = key_shape(config)
    # What is known of a beat, when the maximum is, and when it is added.
    front = BeatMaximum.cycles(len(powers))
    added = late - 1

    in_row, top = h.register(1, "in_row"), h.register(key, "top")
    largest: Value = Const(-(1 << key.width - 1) if key.signed else 0, key)
    for power in powers:
        candidate = ago(h, power.key, front, "candidate")
        keep = ago(h, power.keep, front, "candidate_keep")
        largest = Mux(keep & (candidate > largest), candidate, largest)
    raised = Signal(key, name="raised")
    h.m.d.comb += raised.eq(Mux(in_row & (top > largest), top, largest))
    rise = Signal(key.width, name="rise")
    h.m.d.comb += rise.eq(raised - top)
    counts = ago(h, valid, front, "valid")
    h.step(in_row, Mux(counts, ~ago(h, last, front, "last"), in_row))
    h.step(top, Mux(counts, raised, top))

    total, row_top = h.register(config.total_bits, "total"), h.register(key, "row_top")
    reference = ago(h, raised, added - front, "reference")
    weights: list[Value] = []
    for power in powers:
        payload = ago(h, power.payload, added, "payload")
        distance = Signal(key.width, name="distance")
        h.m.d.comb += distance.eq(reference - ago(h, power.key, added, "key"))
        below, mantissa = payload[:STEP_BITS], payload[STEP_BITS:]
        weight = _in_steps((mantissa << config.guard) >> below, distance)
        weights.append(Mux(ago(h, power.keep, added, "keep"), weight, 0))
    while len(weights) > 1:              # in the order in which a solver knows them again
        weights = [reduce(add, weights[index:index + 2]) for index in range(0, len(weights), 2)]
    left = Mux(ago(h, in_row, added - front, "goes_on"),
               _in_steps(total, ago(h, rise, added - front, "scaled")), 0)
    adds = ago(h, valid, added, "adds")
    h.step(total, Mux(adds, (left + weights[0])[:len(total)], total))
    h.step(row_top, Mux(adds, reference, row_top))
    return _Row(ago(h, valid & last, late, "done"), row_top, total)


def _inverse_record(h: Harness, config: SoftmaxConfig, top: Value, total: Value) -> Signal:
    """Of a sum that is not 0: the mantissa of its inverse, lowered, its exponent above the lowest,
    and the top."""
    mantissa, exponent = inverted(h, inverse_parameters(config), total)
    mantissa_bits, exponent_bits = len(mantissa) - 1, shift_bits(config)
    record = Signal(RowInverse.bits(config), name="record")
    h.m.d.comb += record.eq(
        (mantissa - (mantissa >> config.precision - 3))[:mantissa_bits]
        | (exponent - lowest_exponent(config))[:exponent_bits] << mantissa_bits
        | top.as_unsigned() << mantissa_bits + exponent_bits)
    return record


def _in_steps(value: Value, steps: Value) -> Value:
    """``value``, shifted to the right by so many steps, which are not negative."""
    result: Value = Const(0, len(value))
    for index in range(-(-len(value) // STEP)):
        result = Mux(steps == index, value >> (index * STEP), result)
    return result
