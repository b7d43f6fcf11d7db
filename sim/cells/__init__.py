"""What the blocks of FPGAs do, as Verilog that any simulator reads.

Written from the vendors' public documentation, and only as far as :mod:`systolith.hdl.primitives`
uses the blocks: a setting outside of that does not elaborate.
"""

from collections.abc import Iterable
from importlib.resources import files


def models(cells: Iterable[str]) -> str:
    """Verilog of these cells, in alphabetical order.

    Raises
    ------
    KeyError
        If there is no model of a cell.
    """
    texts = []
    for cell in sorted(set(cells)):
        path = files(__name__).joinpath(f"{cell}.v")
        if not path.is_file():
            raise KeyError(f"no simulation model of {cell}")
        texts.append(path.read_text("utf-8"))
    return "\n".join(texts)
