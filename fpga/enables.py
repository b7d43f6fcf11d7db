"""Whether the multiplier blocks of an ECP5 can be placed with the enables that they have.

Four neighbouring blocks share four wires for enables. nextpnr does not say that too many blocks
want one of their own: it looks for places for hours.
"""

import json
from pathlib import Path

from systolith.fpga.devices import ECP5, Device
from systolith.fpga.errors import ConstraintError

BLOCK = "MULT18X18D"
BLOCKS, WIRES = 4, 4                     # that are neighbours, and what they share
ENABLES = tuple(f"CE{index}" for index in range(WIRES))


def check(netlist: Path, device: Device) -> None:
    """Refuse a flat netlist, a file of Yosys's JSON, with more enables than there are wires.

    Raises
    ------
    ConstraintError
    """
    if device.family is not ECP5:
        return
    modules = json.loads(netlist.read_text())["modules"]
    blocks = [cell["connections"] for module in modules.values()
              for cell in module.get("cells", {}).values() if cell["type"] == BLOCK]
    each = [{bit for name in ENABLES for bit in block.get(name, ())} for block in blocks]
    common = set.intersection(*each) if each else set()
    own = len(set().union(*each) - common)
    wires = device.capacity["dsp"] // BLOCKS * (WIRES - len(common))
    if own > wires:
        raise ConstraintError(
            f"the {len(blocks)} multiplier blocks have {own} different enables, and {device.title} "
            f"has wires for {wires}; blocks with their operand registers outside need none (of "
            "systolic: mac_stages of 4 or more)")
