"""Number codecs in numpy: what a code means and how a number is rounded, independent of the RTL."""

from systolith.sim.formats.blocks import decode_blocks, quantize_blocks
from systolith.sim.formats.codes import Codes
from systolith.sim.formats.describe import describe
from systolith.sim.formats.elements import code_dtype, decode, encode, fixed, invalid, quantize
from systolith.sim.formats.groups import decode_groups, quantize_groups, quantize_scales
from systolith.sim.formats.pairs import Terms, decode_pairs, pair_terms, quantize_pairs

__all__ = [
    "Codes",
    "Terms",
    "code_dtype",
    "decode",
    "decode_blocks",
    "decode_groups",
    "decode_pairs",
    "describe",
    "encode",
    "fixed",
    "invalid",
    "pair_terms",
    "quantize",
    "quantize_blocks",
    "quantize_groups",
    "quantize_pairs",
    "quantize_scales",
]
