"""Which formats the systolic core takes, and what it suggests for others."""

from systolith.hdl.errors import ConfigError
from systolith.hdl.formats import (
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

#: The formats of A and of W: any of them with any.
OPERANDS = ("int2…int16, uint2…uint16, bipolar1…bipolar16, ternary, binary, ovp4, ovp8, or a float "
            "of up to 16 bits")


def operand_format(name: str) -> Format:
    """The format ``name``, if it can be one of A or of W.

    Raises
    ------
    ConfigError
        If there is no such format, or the core does not take it: says which is nearest.
    """
    format = parse_format(name)
    match format:
        case IntegerFormat(bits) if bits in INTEGER_BITS:
            return format
        case BipolarFormat() | TernaryFormat() | BinaryFormat() | PairFormat():
            return format
        case FloatFormat() if format != FP32:
            return format
    raise ConfigError(f"must be {OPERANDS}, not {name!r}; the nearest is {_nearest(format)!r}")


def _nearest(format: Format) -> str:
    match format:
        case IntegerFormat(bits, signed):
            nearest = min(max(bits, INTEGER_BITS[0]), INTEGER_BITS[-1])
            return IntegerFormat(nearest, signed).name
        case BlockFormat(element):
            return element.name
        case BitmodFormat(bits):
            return "fp4e2m1" if bits == 4 else "int4"
    return "bf16"
