"""Sparse weights on the host: pruning to N:M, the compressed format of blocks, quantized codes."""

from systolith.sim.sparse.packing import PackedMatrix, from_groups, pack
from systolith.sim.sparse.pruning import prune
from systolith.sim.sparse.quantizing import QuantizedMatrix, quantize

__all__ = ["PackedMatrix", "QuantizedMatrix", "from_groups", "pack", "prune", "quantize"]
