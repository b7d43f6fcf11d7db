"""What every pass over the rows looks like from outside, and what passes are made of.

A pass is a datapath without an enable. Beats of rows enter, possibly with a record: what earlier
passes found out about their row. Beats leave for the store in front of the next pass, or for the
output, and a record of each row follows.
"""

from dataclasses import dataclass

from amaranth import Cat, Module
from amaranth.lib.wiring import In, Out

from systolith.hdl.softmax.config import SoftmaxConfig
from systolith.hdl.structure.delay import Delay


@dataclass(frozen=True)
class Latency:
    """Cycles that a pass takes.

    Attributes
    ----------
    beat : int
        From a beat at the input to the beat at the output.
    record : int
        From the last beat of a row at the input to the record of the row; at least ``beat``. 0 in
        the last pass, which has none.
    """

    beat: int
    record: int = 0


def pass_members(beat_bits: int, row_bits: int, out_bits: int, record_bits: int) -> dict:
    """Members of a pass.

    Members
    -------
    valid, last : In(1)
    beat : In(beat_bits)
        The elements of a beat, and which of them count, as whoever sends it puts it together.
    row : In(row_bits)
        Record of the row; absent in the first pass.
    o_valid, o_last, o_beat : Out
        The beat for the next pass, or for the output.
    record_valid, record : Out
        Absent in the last pass.
    """
    members = {"valid": In(1), "last": In(1), "beat": In(beat_bits),
               "o_valid": Out(1), "o_last": Out(1), "o_beat": Out(out_bits)}
    if row_bits:
        members["row"] = In(row_bits)
    if record_bits:
        members |= {"record_valid": Out(1), "record": Out(record_bits)}
    return members


def logit_beat_bits(config: SoftmaxConfig) -> int:
    """Width of a beat of logits, each with a bit that says whether it counts."""
    return config.lanes * (config.logit.bits + 1)


def split(config: SoftmaxConfig, beat):
    """Logits and the bits that say which count, of a beat of logits."""
    data_bits = config.lanes * config.logit.bits
    return beat[:data_bits], beat[data_bits:]


def delayed(m: Module, name: str, cycles: int, value, *, reset: bool = False):
    """``value`` some cycles later."""
    if not cycles:
        return value
    m.submodules[f"delay_{name}"] = line = Delay(len(value), cycles, reset=reset)
    m.d.comb += line.i.eq(value)
    return line.o.as_signed() if value.shape().signed else line.o


def control(m: Module, name: str, cycles: int, valid, last):
    """``valid`` and ``last`` some cycles later; a reset clears them."""
    both = delayed(m, name, cycles, Cat(valid, last), reset=True)
    return both[0], both[1]
