"""A whole core: the contract of its streams and of its register port.

Memories and multipliers are cut out: what they give is free. So the proof covers whatever they
could give, the core as it is included, and does not depend on their sizes.
"""

from collections.abc import Callable
from pathlib import Path

from amaranth.hdl import Cat

from systolith.fpga import toolchain
from systolith.fpga.design import Design
from systolith.generators.core import GeneratedCore
from systolith.proofs.harness import Flow, Harness, flow, holds, source_keeps_contract


def contract(core: GeneratedCore, edit: Callable[[str], str] = lambda text: text) -> Harness:
    """Beats that a core offers hold until they are taken; so do its responses on AXI4-Lite.

    Whoever feeds it keeps to the same, and takes beats when it likes. Neither memories nor products
    make a difference.
    """
    text = "\n".join(body for name, body in core.files.items() if name.endswith(".v"))
    h = Harness(Design(core.name, text), edit)
    h.cut = ("$mem_v2", "$mul")
    for stream in core.config.streams:
        pins = flow(h, stream.prefix, pins=True)
        if stream.direction == "in":
            source_keeps_contract(h, stream.name, pins)
        else:
            h.check(f"{stream.prefix} holds", holds(h, stream.name, pins))
            h.cover(f"{stream.prefix} gives a beat", pins.moves)
    p = h.ports
    for channel, parts in (("aw", ("awaddr",)), ("w", ("wdata", "wstrb")), ("ar", ("araddr",)),
                           ("b", ("bresp",)), ("r", ("rdata", "rresp"))):
        bus = Flow(Cat(*(getattr(p, f"s_axil_{part}") for part in parts)),
                   getattr(p, f"s_axil_{channel}valid"), getattr(p, f"s_axil_{channel}ready"))
        if channel in "br":
            h.check(f"s_axil {channel} holds", holds(h, f"axil_{channel}", bus))
            h.cover(f"s_axil {channel} answers", bus.moves)
        else:
            source_keeps_contract(h, f"axil_{channel}", bus)
    return h


def combinational_paths(core: GeneratedCore, folder: Path) -> list[str]:
    """Inputs from which a path without a register leads to some output.

    Every output of a core starts at a register, so there are none.
    """
    folder.mkdir(parents=True, exist_ok=True)
    reads = []
    for name, text in core.files.items():
        if name.endswith(".v"):
            (folder / name).write_text(text)
            reads.append(f"read_verilog {name}")
    toolchain.yosys((*reads, f"hierarchy -check -top {core.name}", "proc", "flatten", "opt_clean",
                     "memory -nomap", "simplemap", "dfflegalize -cell $_DFF_P_ x", "opt_clean",
                     # Back from the outputs, through everything that is no flip-flop.
                     "select -set behind o:* %ci*:-$_DFF_P_",
                     "tee -q -o paths.txt select -list @behind i:* %i"), folder)
    found = (folder / "paths.txt").read_text().split()
    return sorted({line.partition("/")[2] for line in found if "/" in line})
