"""A linear array as a module with a generate loop."""

from typing import TYPE_CHECKING

from amaranth.hdl import Fragment

from systolith.generators.verilog.modules import (
    Module,
    Target,
    instance_text,
    port_list,
    port_signals,
)
from systolith.hdl.structure.linear_array import LinearArray

if TYPE_CHECKING:
    from systolith.generators.verilog.emit import Library


class RepetitionPrinter:
    """A linear array as a generate loop."""

    def __init__(self, library: "Library", array: LinearArray):
        Fragment.get(array, Target())                   # counts as elaborated
        cell = library.add(array.prototype)
        self.children = [(cell, array.count)]
        self.needs = cell.needs
        self.cells = frozenset()
        self.ports = [port for port, _ in port_signals(array)]
        arrangement = f"{array.count} of {cell.name} in a line"
        if array.chain:
            arrangement += ", the last first" if array.from_last else ", the first first"
        self.doc_lines = [f"{arrangement}."]
        self.body = port_list(self.needs, self.ports) + self._loop(array, cell)

    @staticmethod
    def _loop(array: LinearArray, cell: Module) -> str:
        count, lines, connections = array.count, [], {}
        label = array.cell_name
        counter = "i"
        while counter in array.signature.members:        # a port may have that name
            counter += "_"

        def lane(name: str, width: int, index: str) -> str:
            if count == 1 and name in array.lanes:
                return name
            if width == 1:
                return f"{name}[{index}]"
            return f"{name}[{f'({index})' if ' ' in index else index}*{width} +: {width}]"

        for port in cell.ports:
            if port.name in array.broadcast:
                connections[port.name] = port.name
            elif port.name in array.lanes:
                connections[port.name] = lane(port.name, port.width, counter)
        for first, then in array.chain.items():
            width = array.widths[first]
            if not width:
                continue
            links = f"{first}_links"
            lines.append(f"  wire [{(count + 1) * width - 1}:0] {links};\n")
            start, end = (count, 0) if array.from_last else (0, count)
            here, next_ = counter, f"{counter} + 1"
            into, out = (next_, here) if array.from_last else (here, next_)

            def bits(index: int, width=width, links=links) -> str:
                low, high = index * width, (index + 1) * width - 1
                return f"{links}[{low}]" if width == 1 else f"{links}[{high}:{low}]"

            lines.append(f"  assign {bits(start)} = {first};\n  assign {then} = {bits(end)};\n")
            connections[first] = lane(links, width, into)
            connections[then] = lane(links, width, out)
        loop = f"{counter} = 0; {counter} < {count}; {counter} = {counter} + 1"
        lines.append(f"  genvar {counter};\n  generate\n    for ({loop}) begin : gen_{label}\n")
        lines.append(instance_text(cell, label, connections, indent="      "))
        lines.append("    end\n  endgenerate\n")
        return "".join(lines)
