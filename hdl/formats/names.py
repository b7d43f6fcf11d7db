"""From names to formats."""

import re

from systolith.hdl.errors import ConfigError
from systolith.hdl.formats.base import Format, IntegerFormat
from systolith.hdl.formats.block import (
    DEFAULT_BLOCK,
    DEFAULT_GROUP,
    BitmodFormat,
    BlockFormat,
    PairFormat,
)
from systolith.hdl.formats.floating import BF16, FP16, FP32, FloatFormat
from systolith.hdl.formats.levels import BinaryFormat, BipolarFormat, TernaryFormat

MAX_INTEGER_BITS = 64
MAX_BIPOLAR_BITS = 16
MAX_FLOAT_BITS = 16
#: Wider exponents leave the range of float64, in which golden models compute.
MAX_EXPONENT_BITS = 11
MAX_BLOCK = 1 << 16

_NAMED = {
    "bf16": BF16,
    "fp16": FP16,
    "fp32": FP32,
    "ternary": TernaryFormat(),
    "binary": BinaryFormat(),
    "ovp4": PairFormat(4),
    "ovp8": PairFormat(8),
}

#: The forms of a name, one per family.
FORMS = (
    f"int<bits> and uint<bits> (1 to {MAX_INTEGER_BITS} bits)",
    f"bipolar<bits> (1 to {MAX_BIPOLAR_BITS})",
    "ternary",
    "binary",
    f"fp<bits>e<E>m<M> (bits = 1 + E + M, up to {MAX_FLOAT_BITS})",
    "bf16",
    "fp16",
    "fp32",
    "mx<element>[/<block>] (element a float or signed integer of up to 8 bits; mxfp4)",
    "bfp<bits>[/<block>] (2 to 16)",
    "ovp4",
    "ovp8",
    "bitmod3[/<group>]",
    "bitmod4[/<group>]",
)


def parse_format(name: str) -> Format:
    """Return the format called ``name``.

    Raises
    ------
    ConfigError
        If no format has that name.
    """
    if (found := _parse(name)) is not None:
        return found
    raise ConfigError(f"unknown number format {name!r}; {_advice(name)}")


def _parse(name: str) -> Format | None:
    if name in _NAMED:
        return _NAMED[name]
    if match := re.fullmatch(r"(u?)int([1-9]\d?)", name):
        bits = int(match[2])
        return IntegerFormat(bits, signed=not match[1]) if bits <= MAX_INTEGER_BITS else None
    if match := re.fullmatch(r"bipolar([1-9]\d?)", name):
        bits = int(match[1])
        return BipolarFormat(bits) if bits <= MAX_BIPOLAR_BITS else None
    if match := re.fullmatch(r"fp([1-9]\d?)e(\d\d?)m(\d\d?)", name):
        return _float(*(int(part) for part in match.groups()))
    if match := re.fullmatch(r"(mx\w+|bfp\d+|bitmod[34])(?:/([1-9]\d*))?", name):
        size = int(match[2]) if match[2] else None
        return _shared(match[1], size) if size is None or size <= MAX_BLOCK else None
    return None


def _float(bits: int, exponent: int, fraction: int) -> FloatFormat | None:
    if bits != 1 + exponent + fraction or bits > MAX_FLOAT_BITS:
        return None
    if not 1 <= exponent <= MAX_EXPONENT_BITS:
        return None
    if bits in (4, 6):
        return FloatFormat(exponent, fraction, "finite")
    if (exponent, fraction) == (4, 3):
        return FloatFormat(exponent, fraction, "fn")
    if exponent == 1 and not fraction:             # nothing but zeros and infinities
        return None
    return FloatFormat(exponent, fraction)


def _shared(stem: str, size: int | None) -> Format | None:
    block = DEFAULT_BLOCK if size is None else size
    if stem.startswith("bitmod"):
        return BitmodFormat(int(stem[-1]), DEFAULT_GROUP if size is None else size)
    if stem.startswith("bfp"):
        bits = int(stem[3:])
        return BlockFormat.of_integers(bits, block, symmetric=False) if 2 <= bits <= 16 else None
    match _parse("fp4e2m1" if stem == "mxfp4" else stem[2:]):
        case FloatFormat() as element if element.bits <= 8:
            return BlockFormat(element, block)
        case IntegerFormat(bits, True) if 2 <= bits <= 8:
            return BlockFormat.of_integers(bits, block, symmetric=True)
    return None


def _advice(name: str) -> str:
    if "fnuz" in name.lower():
        return "FNUZ formats (one NaN in place of −0, another bias) are not supported; the OCP " \
               "formats are fp8e4m3 and fp8e5m2"
    plain = name.lower().replace("_", "").replace("-", "").replace(" ", "")
    plain = plain.replace("float", "fp").removesuffix("fn").replace("bfp16", "bf16")
    guess = {"fp8": "fp8e4m3", "fp6": "fp6e3m2", "fp4": "fp4e2m1", "mxfp8": "mxfp8e4m3",
             "mxfp6": "mxfp6e3m2"}.get(plain, plain)
    if guess != name and _parse(guess) is not None:
        return f"did you mean {guess!r}?"
    if match := re.fullmatch(r"(?:mx)?fp(\d+)e(\d+)m(\d+)", plain):
        bits, exponent, fraction = (int(part) for part in match.groups())
        if bits != 1 + exponent + fraction:
            return f"1 + {exponent} + {fraction} bits make {1 + exponent + fraction}, not {bits}"
        if not 1 <= exponent <= MAX_EXPONENT_BITS:
            return f"a float has 1 to {MAX_EXPONENT_BITS} exponent bits, not {exponent}"
    return f"formats are {', '.join(FORMS)}"
