"""Readable Verilog-2005 from Amaranth components.

The emitter prints the statement tree as its author wrote it: an ``If`` stays an ``if``, a register
stays one ``always`` block, names stay. Identical modules appear once; a
:class:`systolith.hdl.structure.linear_array.LinearArray` becomes a generate loop. Every part of an
expression is sized explicitly, so linters find nothing to widen or truncate.

Supported is what the library uses: one clock domain ``sync`` with a synchronous reset, the
operators of Amaranth but division, memories with synchronous or asynchronous reads, instances.
"""

from systolith.generators.verilog.emit import Emitted, EmittedModule, emit
from systolith.generators.verilog.expressions import EmitError

__all__ = ["EmitError", "Emitted", "EmittedModule", "emit"]
