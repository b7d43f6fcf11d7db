"""Sparse weights on the host: pruning to N:M, and the compressed format of blocks."""

from systolith.sim.sparse.packing import PackedMatrix, from_groups, pack
from systolith.sim.sparse.pruning import prune

__all__ = ["PackedMatrix", "from_groups", "pack", "prune"]
