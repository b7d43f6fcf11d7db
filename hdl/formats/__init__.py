"""Number formats by name: what a bit pattern means, without saying how to compute with it."""

from systolith.hdl.formats.base import Format, IntegerFormat, product_format
from systolith.hdl.formats.block import (
    SCALE_BIAS,
    SCALE_BITS,
    SCALE_NAN,
    SELECT_BITS,
    BitmodFormat,
    BlockFormat,
    PairFormat,
)
from systolith.hdl.formats.floating import BF16, FP16, FP32, FloatFormat
from systolith.hdl.formats.levels import BinaryFormat, BipolarFormat, TernaryFormat
from systolith.hdl.formats.names import FORMS, MAX_INTEGER_BITS, parse_format
from systolith.hdl.formats.operand import Operand

__all__ = [
    "BF16",
    "FORMS",
    "FP16",
    "FP32",
    "MAX_INTEGER_BITS",
    "SCALE_BIAS",
    "SCALE_BITS",
    "SCALE_NAN",
    "SELECT_BITS",
    "BinaryFormat",
    "BipolarFormat",
    "BitmodFormat",
    "BlockFormat",
    "FloatFormat",
    "Format",
    "IntegerFormat",
    "Operand",
    "PairFormat",
    "TernaryFormat",
    "parse_format",
    "product_format",
]
