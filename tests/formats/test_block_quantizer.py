# amaranth: UnusedElaboratable=no
"""Blocks quantized in Amaranth against the golden codec."""

import numpy as np
import pytest

from systolith.hdl.arithmetic.block_quantizer import BlockElement, BlockQuantizer, SharedScale
from systolith.hdl.formats import BF16, FP16, FP32, SCALE_NAN, FloatFormat, parse_format
from systolith.hdl.structure.reduction import Reduction
from systolith.sim.formats import decode, quantize, quantize_blocks

MX = ["mxfp8e4m3", "mxfp8e5m2", "mxfp6e3m2", "mxfp6e2m3", "mxfp4", "mxint8", "bfp4", "bfp8"]
OTHERS = [*(f"mxfp{bits}e{e}m{bits - 1 - e}" for bits in range(3, 9) for e in range(1, bits)),
          *(f"mxint{bits}" for bits in range(2, 9)), *(f"bfp{bits}" for bits in range(2, 17))]


def pack(codes, bits):
    """Rows of codes, the first in the low bits."""
    return sum(codes[:, index].astype(object) << bits * index for index in range(codes.shape[1]))


def unpack(words, bits, count):
    return np.stack([words >> bits * index & (1 << bits) - 1 for index in range(count)], -1)


def blocks(source, size, count, seed):
    """Codes of numbers: any; of like size; with ties of short formats; subnormals; not finite."""
    rng = np.random.default_rng(seed)
    any_codes = rng.integers(0, 1 << source.bits, (count, size))
    bits = source.fraction_bits
    mask = (1 << source.exponent_bits) - 1 << bits
    field = rng.integers(0, 1 << source.exponent_bits, (count, 1))
    like = np.clip(field - rng.integers(0, 12, (count, size)), 0, (1 << source.exponent_bits) - 2)
    like = any_codes & ~mask | like << bits
    ties = like & ~((1 << np.minimum(rng.integers(0, bits + 2, (count, size)), bits)) - 1)
    small = any_codes & ~mask | rng.integers(0, 3, (count, size)) << bits
    small &= ~(rng.integers(0, 2, (count, 1)) * ((1 << bits >> 1) << 1))
    zeros = np.where(rng.random((count, size)) < 0.7, 0, ties)
    rest = np.zeros((4, size), int)
    rest[1] = source.sign_code
    rest[2, 0] = source.high_code
    rest[3, -1] = source.high_code + 1
    return np.concatenate([any_codes, like, ties, small, zeros, rest])


def check(evaluate, name, source, size, count, rounding="rne", seed=1):
    format = parse_format(f"{name}/{size}")
    numbers = blocks(source, size, count, seed)
    codes, scales = quantize_blocks(format, decode(source, numbers), rounding)
    part = BlockQuantizer(format, source, rounding)
    out = evaluate(part, numbers=pack(numbers, source.bits))
    assert (out["scale"] == scales[:, 0]).all()
    assert (unpack(out["codes"], format.bits, size) == codes).all()
    assert (scales == SCALE_NAN).any() and (scales == 0).any()


@pytest.mark.parametrize("name, source, size, rounding", [
    *((name, FP32, 4, "rne") for name in MX), ("mxfp4", BF16, 32, "rne"),
    ("mxint8", FP16, 5, "half_away"), ("bfp8", FP16, 1, "toward_zero"),
    ("bfp3", FloatFormat(11, 4), 3, "rne"), ("mxfp8e4m3", FP16, 2, "half_away"),
    ("mxfp8e5m2", FloatFormat(3, 2), 2, "rne"), ("mxfp8e7m0", BF16, 2, "toward_zero")], ids=str)
def test_blocks(name, source, size, rounding, evaluate_compiled):
    check(evaluate_compiled, name, source, size, 800, rounding)


@pytest.mark.nightly
@pytest.mark.parametrize("name", OTHERS)
def test_every_format_of_blocks(name, evaluate_compiled):
    for source, rounding in ((FP32, "rne"), (BF16, "half_away"), (FP16, "toward_zero"),
                             (FloatFormat(11, 4), "rne"), (FloatFormat(4, 3), "rne")):
        check(evaluate_compiled, name, source, 3, 3000, rounding, seed=2)


@pytest.mark.parametrize("source", [FP16, BF16], ids=str)
@pytest.mark.parametrize("name", ["mxfp4", "mxint8"])
def test_every_number_alone(name, source, evaluate_compiled):
    format = parse_format(f"{name}/1")
    numbers = np.arange(1 << source.bits)
    codes, scales = quantize_blocks(format, decode(source, numbers)[:, None])
    out = evaluate_compiled(BlockQuantizer(format, source), numbers=numbers)
    assert (out["scale"] == scales[:, 0]).all()
    assert (out["codes"] == codes[:, 0]).all()


def test_card_12(evaluate):
    """The block of MXFP4 that the format cards work out by hand."""
    numbers = quantize(FP32, np.array([0.1, -0.75, 3.2, 6.1, 0, -2.4, 1, 0.3]))
    format = parse_format("mxfp4/8")
    out = evaluate(BlockQuantizer(format, FP32), numbers=pack(numbers[None], 32))
    assert out["scale"].tolist() == [127]
    assert unpack(out["codes"], 4, 8).tolist() == [[0x0, 0xA, 0x5, 0x7, 0x0, 0xC, 0x2, 0x1]]


@pytest.mark.parametrize("size", [1, 2, 5, 32])
@pytest.mark.parametrize("name", ["mxfp4", "mxint8"])
def test_latency_is_that_of_its_parts(name, size):
    format = parse_format(f"{name}/{size}")
    part = BlockQuantizer(format, FP32)
    assert part.scale_latency == Reduction.cycles(size) + SharedScale.latency
    assert part.latency == part.scale_latency + BlockElement(format, FP32).latency
