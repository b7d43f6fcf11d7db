"""The parts of the bit-serial core in Amaranth's simulator."""

from fractions import Fraction

import numpy as np
import pytest
from amaranth.hdl import Module, Signal
from amaranth.sim import Simulator

from systolith.hdl.arithmetic.alignment import AlignedAdder, RoundingShifter
from systolith.hdl.bitserial.config import TYPES, BitserialConfig
from systolith.hdl.bitserial.control import GroupSequencer
from systolith.hdl.bitserial.encoder import TermEncoder, two_terms
from systolith.sim.bitserial import golden


def clock(part, inputs, outputs):
    """Set inputs cycle by cycle (a dict for each); gives the outputs named, a tuple per cycle."""
    seen = []

    async def testbench(ctx):
        for values in inputs:
            for name, value in values.items():
                ctx.set(getattr(part, name), value)
            await ctx.delay(1e-9)
            seen.append(tuple(ctx.get(getattr(part, name)) for name in outputs))
            await ctx.tick()

    m = Module()
    m.submodules.part = part
    ticking = Signal()                                   # some parts are combinational
    m.d.sync += ticking.eq(~ticking)
    simulator = Simulator(m)
    simulator.add_clock(1e-6)
    simulator.add_testbench(testbench)
    simulator.run()
    return seen


def divide(value, distance, rounding):
    exact = Fraction(value) / (1 << distance)
    return exact.__floor__() if rounding == "trunc" else round(exact)


@pytest.mark.parametrize("rounding", ["trunc", "rne"])
@pytest.mark.parametrize("width, most", [(5, 7), (4, 3), (6, 31)])
def test_every_shift(width, most, rounding):
    cases = [(word, amount) for word in range(-1 << width - 1, 1 << width - 1)
             for amount in range(most + 1)
             # Rounded up, the largest number does not fit; cores never shift it by so little.
             if divide(word, amount, rounding) < 1 << width - 1]
    seen = clock(RoundingShifter(width, most, rounding),
                 [{"word": word, "amount": amount} for word, amount in cases], ["floor", "up"])
    assert [floor + up for floor, up in seen] == [divide(*case, rounding) for case in cases]


@pytest.mark.parametrize("rounding", ["trunc", "rne"])
def test_narrow_results_of_shifts(rounding):
    cases = [(word, amount) for word in range(-512, 512) for amount in range(8)
             if -8 <= divide(word, amount, rounding) < 8]
    seen = clock(RoundingShifter(10, 7, rounding, 4),
                 [{"word": word, "amount": amount} for word, amount in cases], ["floor", "up"])
    # What is rounded up from below the range wraps twice.
    assert [(floor + up + 8) % 16 - 8 for floor, up in seen] == [
        divide(*case, rounding) for case in cases]


@pytest.mark.parametrize("rounding, stages", [("trunc", 0), ("rne", 0), ("rne", 5)])
def test_sums_of_aligned_numbers(rounding, stages):
    rng = np.random.default_rng(1)
    bits, limits = 6, (64, 500)
    cases = [tuple(int(rng.integers(low, high + 1)) for low, high in (
        (-limits[0], limits[0]), (0, 31), (-limits[1], limits[1]), (0, 31))) for _ in range(2000)]
    cases += [(a, 3, b, e) for a in (-64, 64) for b in (-500, 500) for e in (2, 3, 4)]
    part = AlignedAdder(8, 10, 6, bits, 8, sum(limits), rounding, stages)
    steps = [dict(zip(("a", "a_exponent", "b", "b_exponent"), case, strict=True))
             for case in cases] + [{}] * stages
    seen = clock(part, steps, ["total", "total_exponent"])[stages:]
    for (a, a_exponent, b, b_exponent), got in zip(cases, seen, strict=True):
        exponent = max(a_exponent, b_exponent)
        total = (divide(a, exponent - a_exponent, rounding)
                 + divide(b, exponent - b_exponent, rounding))
        excess = max(0, abs(total).bit_length() - bits)
        assert got == (divide(total, excess, rounding), exponent + excess)


@pytest.mark.parametrize("decode", ["lod", "naf"])
@pytest.mark.parametrize("number, kind", list(enumerate(TYPES)), ids=str)
def test_encoder_gives_the_terms_of_the_model(number, kind, decode):
    specials = range(-32, 32) if kind.mixture else [0]
    codes = [kind.format.special_code] if kind.mixture else []
    cases = [(code, special) for special in specials for code in codes]
    cases += [(code, 10) for code in range(256)]
    steps = [{"code": code, "kind": number, "index": index, "special": special & 63}
             for code, special in cases for index in range(kind.terms)]
    seen = clock(TermEncoder(decode), steps + steps[-1:],
                 ["term", "bad_code", "bad_special"])[TermEncoder.latency:]
    codes, specials = (np.array(column) for column in zip(*cases, strict=True))
    terms = golden.encode(number, codes[:, None], specials, decode == "naf")
    words = terms.present + (terms.exponent << 1) + (terms.sign.astype(int) << 3)
    assert [term for term, _, _ in seen] == words.ravel().tolist()
    assert [bool(bad) for _, bad, _ in seen[::kind.terms]] == terms.bad_code.ravel().tolist()
    assert [bool(bad) for *_, bad in seen[::kind.terms]] == terms.bad_special.ravel().tolist()


def test_two_terms():
    assert two_terms(14, "lod") is None and two_terms(14, "naf") == (-2, 16)
    assert two_terms(11, "naf") is None
    assert two_terms(12, "naf") == (4, 8)                # a sum where there is one


@pytest.mark.parametrize("rows, interval, stages", [(1, 8, 1), (3, 8, 6), (10, 10, 5)])
def test_groups_follow_as_closely_as_they_may(rows, interval, stages):
    config = BitserialConfig.parse({"rows": rows, "group": 32})
    ends = [3 + interval * group for group in range(4)]
    steps = [{"ends": cycle in ends, "tile_first": cycle == ends[0],
              "tile_ends": cycle == ends[-1]} for cycle in range(ends[-1] + rows + 19 + stages)]
    seen = clock(GroupSequencer(config, 5, stages), steps,
                 ["load", "fresh", "multiply", "deliver", "row", "start_sum", "write",
                  "write_row", "valid", "last"])
    for group, end in enumerate(ends):
        assert [cycle for cycle in range(end, end + interval) if seen[cycle + 4][0]] == [end]
        assert [seen[end + 5 + bit][1:4] for bit in range(8)] == [
            (bit == 0, 1, bit == 7) for bit in range(8)]
        for row in range(rows):
            read, add, write = (seen[end + 12 + row + step] for step in (0, 1, 1 + stages))
            assert read[4] == row and add[5] == (group == 0)
            assert write[6:] == (1, row, group == 3, row == rows - 1)
    assert sum(row[8] for row in seen) == rows
