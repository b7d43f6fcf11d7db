"""The table of format pairs that the systolic core takes, and what it suggests for others."""

from systolith.hdl.errors import ConfigError
from systolith.hdl.formats import (
    BF16,
    FP16,
    FP32,
    BinaryFormat,
    BipolarFormat,
    BitmodFormat,
    BlockFormat,
    FloatFormat,
    Format,
    IntegerFormat,
    PairFormat,
    TernaryFormat,
    parse_format,
)

INTEGER_BITS = range(2, 17)
NARROW_FLOAT_BITS = 8
INT8 = IntegerFormat(8, True)

OPERANDS = ("int2…int16, uint2…uint16, bipolar1…bipolar16, ternary, binary, ovp4, ovp8, a float "
            "of up to 16 bits, mx<element>, bfp<bits>, bitmod3 or bitmod4")

#: The table, a rule per line; A and W can change places.
RULES = (
    "every format with itself, with int8 and with bf16",
    "every integer and level (int, uint, bipolar, ternary, binary) with every other",
    f"every float of up to {NARROW_FLOAT_BITS} bits with every other",
    "mx<element> and bfp<bits>, of any block, with their element: fp<…> or int<bits>",
    "ovp4 with int4; bitmod3 and bitmod4 with fp16, their activations in BitMoD",
)

#: The formats by whose pairs the table is shown and verified.
LISTED = (
    "int4", "int8", "int16", "uint4", "uint8", "bipolar3", "ternary", "binary",
    "fp8e4m3", "fp8e5m2", "fp6e3m2", "fp6e2m3", "fp4e2m1", "fp8e3m4", "bf16", "fp16",
    "mxfp8e4m3", "mxfp8e5m2", "mxfp6e3m2", "mxfp6e2m3", "mxfp4e2m1", "mxint8", "bfp4", "bfp8",
    "ovp4", "ovp8", "bitmod3", "bitmod4",
)

_LEVEL = IntegerFormat | BipolarFormat | TernaryFormat | BinaryFormat


def operand_format(name: str) -> Format:
    """The format ``name``, if it can be one of A or of W.

    Raises
    ------
    ConfigError
        If there is no such format, or the core does not take it: says which is nearest.
    """
    format = parse_format(name)
    match format:
        case IntegerFormat(bits, signed) if bits not in INTEGER_BITS:
            nearest = min(max(bits, INTEGER_BITS[0]), INTEGER_BITS[-1])
            nearest = IntegerFormat(nearest, signed)
        case FloatFormat() if format == FP32:
            nearest = BF16
        case _:
            return format
    raise ConfigError(f"must be {OPERANDS}, not {name!r}; the nearest is {nearest.name!r}")


def allowed(a: Format, w: Format) -> bool:
    """Whether the table has the pair."""
    return (a == w or not {INT8, BF16}.isdisjoint((a, w))
            or (isinstance(a, _LEVEL) and isinstance(w, _LEVEL))
            or (_narrow(a) and _narrow(w))
            or partner(a) == w or partner(w) == a)


def partner(format: Format) -> Format | None:
    """The format of the elements of blocks and pairs; for bitmod, that of the activations."""
    match format:
        case BlockFormat(IntegerFormat(bits)):
            return IntegerFormat(bits, True)
        case BlockFormat(element):
            return element
        case PairFormat():
            return format.normal
        case BitmodFormat():
            return FP16
    return None


def check_pair(a: Format, w: Format) -> None:
    """Raise ``ConfigError`` unless the table has the pair: says which is nearest."""
    if allowed(a, w):
        return
    kept = [(a, w)[::step] for step in (1, -1)]
    near = [(_distance(other, new), (keep, new) if keep is a else (new, keep))
            for keep, other in kept for new in (INT8, BF16, keep, partner(keep), partner(other))
            if new is not None and allowed(keep, new)]
    _, nearest = min(near, key=lambda entry: entry[0])
    raise ConfigError(f"a_format {a.name!r} and w_format {w.name!r} are no pair that the core "
                      f"takes; the nearest is {nearest[0].name!r} with {nearest[1].name!r} "
                      "(systolith formats shows the table)")


def table() -> dict[str, list[str]]:
    """The formats of :data:`LISTED`, each with those that it goes with."""
    formats = {name: parse_format(name) for name in LISTED}
    return {name: [other for other in LISTED if allowed(format, formats[other])]
            for name, format in formats.items()}


def _narrow(format: Format) -> bool:
    return isinstance(format, FloatFormat) and format.bits <= NARROW_FLOAT_BITS


def _distance(format: Format, other: Format) -> tuple[bool, bool, int]:
    """How much of a change it is to take another format: the kind first, then the width."""
    return (isinstance(format, _LEVEL) != isinstance(other, _LEVEL),
            type(format) is not type(other), abs(format.bits - other.bits))
