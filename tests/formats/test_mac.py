"""Multiply-accumulate units against exact fractions and numpy's float32."""

from fractions import Fraction

import numpy as np
import pytest
from amaranth.hdl import Fragment
from amaranth.sim import Simulator

from systolith.hdl.arithmetic.mac import (
    ExactMac,
    ExactProduct,
    OperandDecoder,
    RoundedMac,
    RoundedProduct,
)
from systolith.hdl.formats import FloatFormat, Operand, PairFormat, parse_format, product_format
from systolith.sim.formats import decode, invalid, pair_terms, quantize

ELEMENTS = ["int4", "uint5", "bipolar3", "ternary", "binary", "fp8e4m3", "fp8e5m2", "fp8e3m4",
            "fp6e3m2", "fp6e2m3", "fp4e2m1", "fp8e7m0", "fp8e1m6"]


def take_apart(operand, word):
    """Factor, exponent, Inf and NaN of an operand's code, by its documented layout."""
    factor = word & (1 << operand.term.bits) - 1
    if operand.term.signed and factor >> operand.term.bits - 1:
        factor -= 1 << operand.term.bits
    rest = word >> operand.term.bits
    exponent = rest & (1 << operand.exponent_bits) - 1
    rest >>= operand.exponent_bits
    return (factor, exponent, *((rest & 1, rest >> 1) if operand.specials else (0, 0)))


def codes_of(element):
    return np.arange(1 << element.bits)


@pytest.mark.parametrize("name", [*ELEMENTS, "fp12e5m6"])
@pytest.mark.parametrize("specials", [False, True])
def test_every_code_decodes_to_its_value(name, specials, evaluate):
    element = parse_format(name)
    operand = Operand.of(element, keep_specials=specials)
    codes = codes_of(element)
    out = evaluate(OperandDecoder(operand), code=codes)
    values = decode(element, codes)
    np.testing.assert_array_equal(invalid(element, codes), out["invalid"])
    for word, value in zip(out["operand"].tolist(), values.tolist(), strict=True):
        factor, exponent, inf, nan = take_apart(operand, word)
        if operand.specials and not np.isfinite(value):
            assert (inf, nan) == (np.isinf(value), np.isnan(value))
            assert np.isnan(value) or np.sign(factor) == np.sign(value)
            continue
        number = Fraction(factor) * Fraction(2) ** (exponent + element.lsb_exponent)
        assert number == (Fraction(value) if np.isfinite(value) else 0)
    if name not in ("bipolar3", "binary"):                 # which have no zero
        assert out["operand"][0] == 0


@pytest.mark.parametrize("name", ["ovp4", "ovp8"])
def test_pairs_decode_to_their_terms(name, evaluate):
    element = parse_format(name)
    operand = Operand.of(element)
    half = np.arange(1 << element.bits)
    rng = np.random.default_rng(1)
    pairs = np.stack([part.ravel() for part in np.meshgrid(half, half)], axis=1)
    if name == "ovp8":
        marked = pairs[(pairs == element.identifier).any(axis=1)]
        pairs = np.concatenate([marked, pairs[rng.integers(len(pairs), size=1000)]])
    out = evaluate(OperandDecoder(operand), code=pairs[:, 0] + (pairs[:, 1] << element.bits))
    terms = pair_terms(element, pairs)
    np.testing.assert_array_equal(terms.illegal[:, 0], out["invalid"])
    for place in range(2):
        words = out["operand"] >> place * operand.bits & (1 << operand.bits) - 1
        got = [take_apart(operand, word)[:2] for word in words.tolist()]
        wanted = np.stack([terms.integer[:, place], terms.exponent[:, place]], axis=1)
        assert got == list(map(tuple, wanted.tolist()))


def words_of(evaluate, operand, codes):
    return evaluate(OperandDecoder(operand), code=codes)["operand"]


@pytest.mark.parametrize("a_name, b_name", [("fp8e4m3", "fp8e5m2"), ("fp4e2m1", "uint5"),
                                            ("fp6e3m2", "ternary"), ("fp8e7m0", "fp6e2m3")])
@pytest.mark.parametrize("stages", [0, 3])
def test_exact_products(a_name, b_name, stages, evaluate):
    a_element, b_element = parse_format(a_name), parse_format(b_name)
    rng = np.random.default_rng(2)
    a, b = (rng.integers(1 << element.bits, size=300) for element in (a_element, b_element))
    operands = Operand.of(a_element), Operand.of(b_element)
    out = evaluate(ExactProduct(*operands, stages), a=words_of(evaluate, operands[0], a),
                   b=words_of(evaluate, operands[1], b))
    unit = Fraction(2) ** (a_element.lsb_exponent + b_element.lsb_exponent)
    for x, y, product in zip(decode(a_element, a), decode(b_element, b), out["product"],
                             strict=True):
        finite = np.isfinite(x) and np.isfinite(y)
        assert product * unit == (Fraction(x.item()) * Fraction(y.item()) if finite else 0)


@pytest.mark.parametrize("a_name, b_name", [
    ("bf16", "bf16"), ("fp16", "fp8e5m2"), ("fp16e11m4", "fp16e11m4"), ("uint16", "bf16"),
    ("fp8e1m6", "fp8e7m0"), ("ternary", "fp8e6m1")])
@pytest.mark.parametrize("stages", [0, 2, 5])
def test_rounded_products(a_name, b_name, stages, evaluate):
    elements = parse_format(a_name), parse_format(b_name)
    rng = np.random.default_rng(3)
    codes = [rng.integers(1 << element.bits, size=500) for element in elements]
    for element, drawn in zip(elements, codes, strict=True):
        if isinstance(element, FloatFormat):
            special = [0, element.sign_code, element.high_code, element.inf_code, element.nan_code]
            special = [code for code in special if code is not None]
            drawn[:30] = rng.choice(special, 30)
    operands = [Operand.of(element, keep_specials=True) for element in elements]
    out = evaluate(RoundedProduct(*operands, stages),
                   **{name: words_of(evaluate, operand, drawn)
                      for name, operand, drawn in zip("ab", operands, codes, strict=True)})
    x, y = (decode(element, drawn).astype(float)
            for element, drawn in zip(elements, codes, strict=True))
    with np.errstate(all="ignore"):
        expected = (x * y).astype(np.float32)
    got = out["product"].astype(np.uint32)
    wanted = np.where(np.isnan(expected), 0x7FC00000, expected.view(np.uint32))
    # Zeros have no sign as factors; as terms of a sum that starts from +0 it makes no difference.
    same = (got == wanted) | ((got << 1 == 0) & (wanted << 1 == 0))
    assert same.all()


def accumulate(mac, rows, outputs):
    """Drive a MAC row by row; gives the outputs named, a tuple for each cycle."""
    seen = []

    async def testbench(ctx):
        for row in rows:
            for name, value in row.items():
                ctx.set(getattr(mac, name), value)
            await ctx.tick()
            seen.append(tuple(ctx.get(getattr(mac, name)) for name in outputs))

    simulator = Simulator(Fragment.get(mac, None))
    simulator.add_clock(1e-6)
    simulator.add_testbench(testbench)
    simulator.run()
    return seen


@pytest.mark.parametrize("stages", [1, 2, 4])
def test_exact_mac_wraps_and_says_so(stages, evaluate):
    element = parse_format("fp6e3m2")
    operand = Operand.of(element)
    acc = product_format(element, element, 8)
    mac = ExactMac(operand, operand, acc, stages)
    assert (mac.latency, mac.interval) == (stages, 1)
    high = words_of(evaluate, operand, np.array([element.high_code]))[0]
    low = words_of(evaluate, operand, np.array([element.high_code | element.sign_code]))[0]
    sums = [(8, high, high), (3, high, low), (9, high, low), (2, high, high)]
    rows = [{"a": int(a), "b": int(b), "first": k == 0} for terms, a, b in sums
            for k in range(terms)]
    seen = accumulate(mac, rows + [{"a": 0, "b": 0, "first": 0}] * stages, ["total", "wrapped"])
    unit = 2.0 ** acc.lsb_exponent
    ends = np.cumsum([terms for terms, _, _ in sums]) - 1 + stages - 1
    got = [seen[end] for end in ends]
    square = 28 * 28 / unit
    assert got[0] == (8 * square, 0) and got[1] == (-3 * square, 0) and got[3] == (2 * square, 0)
    assert got[2] == (-9 * square + (0 if -9 * square >= acc.code_low else 1 << acc.bits),
                      int(-9 * square < acc.code_low))


@pytest.mark.parametrize("product_stages, add_stages", [(0, 1), (1, 4), (3, 8)])
def test_rounded_mac_keeps_its_sum_between_pairs(product_stages, add_stages, evaluate):
    element = parse_format("bf16")
    operand = Operand.of(element, keep_specials=True)
    mac = RoundedMac(operand, operand, product_stages, add_stages)
    assert (mac.latency, mac.interval) == (product_stages + add_stages, add_stages)
    rng = np.random.default_rng(5)
    values = rng.normal(size=(2, 12)) * 2.0 ** rng.integers(-6, 6, (2, 12))
    codes = quantize(element, values)
    a, b = (words_of(evaluate, operand, row).tolist() for row in codes)
    rows, total = [], np.float32(0)
    for k in range(12):
        idle = add_stages - 1 + int(rng.integers(3))
        rows += [{"a": a[k], "b": b[k], "valid": 1, "first": k == 0},
                 *[{"a": a[0], "b": b[0], "valid": 0, "first": 1}] * idle]
        x, y = (np.float32(decode(element, row)[k]) for row in codes)
        total = total + x * y
    seen = accumulate(mac, rows + [{"valid": 0}] * mac.latency, ["total"])
    assert seen[-1][0] == total.view(np.uint32)


def test_an_operand_says_how_it_is_kept():
    assert [Operand.of(parse_format(name)).has_exponent for name in
            ("int16", "bipolar8", "fp4e2m1", "fp6e2m3", "fp6e3m2", "fp8e4m3", "ovp4")] == [
                False, False, False, False, True, True, True]
    assert Operand.of(PairFormat(4)).group == 2
    assert Operand.of(parse_format("fp8e4m3"), keep_specials=True).bits == 5 + 4 + 2


def test_units_of_a_sum_are_those_of_its_products():
    operand = Operand.of(parse_format("fp8e4m3"))
    with pytest.raises(ValueError, match=r"^the sum must be in units of 2\*\*-18, not 2\*\*0$"):
        ExactMac(operand, operand, parse_format("int32"), 1)
