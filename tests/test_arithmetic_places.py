"""The arithmetic library is the only place where a multiplier or a rounding is written: looked up
in the Verilog of every template, by what a module does."""

import ast
import importlib
import pkgutil
import re
from pathlib import Path

import pytest
from amaranth.lib import wiring
from arithmetic_places import multiplying_modules, rounding_modules

from systolith.generators import registry
from systolith.generators.core import elaborate
from systolith.hdl import arithmetic

ROOT = Path(__file__).parent.parent
MULTIPLIERS = re.compile(r"\w*(multiplier|multiply)\w*")
#: What decides about a rounding, and is for the library's own parts.
INNER = {"round_up"}


def library() -> re.Pattern[str]:
    """Names of the library's modules in a core."""
    names = []
    for found in pkgutil.iter_modules(arithmetic.__path__):
        module = importlib.import_module(f"{arithmetic.__name__}.{found.name}")
        names += [re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()
                  for name, part in vars(module).items()
                  if isinstance(part, type) and issubclass(part, wiring.Component)
                  and part.__module__ == module.__name__]
    return re.compile(rf"core_({'|'.join(names)})(_\d+)?")


LIBRARY = library()


@pytest.mark.parametrize("template", registry.TEMPLATES, ids=lambda template: template.name)
def test_only_the_library_multiplies_and_rounds(template):
    for values in template.presets.values():
        verilog = elaborate(template, template.config.parse(dict(values)), "core").verilog
        assert [name for name in multiplying_modules(verilog)
                if not MULTIPLIERS.fullmatch(name)] == []
        assert [name for name in rounding_modules(verilog) if not LIBRARY.fullmatch(name)] == []


def test_the_inside_of_roundings_stays_in_the_library():
    for path in (ROOT / "hdl").rglob("*.py"):
        if path.parent == ROOT / "hdl/arithmetic":
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom):
                assert not {name.name for name in node.names} & INNER, path


def test_names_of_the_library():
    for name in ("core_fixed_rounder", "core_float_encoder_12", "core_requantizer"):
        assert LIBRARY.fullmatch(name)
    assert not LIBRARY.fullmatch("core_norm_lane")


def module(*lines):
    return "\n".join(["module part (", "  input [7:0] x, input [9:0] w, input a, input b);",
                      *(f"  {line}" for line in lines), "endmodule", ""])


@pytest.mark.parametrize("lines", [
    ["assign p = a * b;"],
    ["wire [7:0] p = x[7:0] * {w[0], x[3:0]};"],
])
def test_a_product_elsewhere_is_found(lines):
    assert list(multiplying_modules(module(*lines))) == ["part"]
    assert list(rounding_modules(module(*lines))) == []


@pytest.mark.parametrize("lines", [
    # Half up, and to nearest even; the bits in place, behind names, behind a register.
    ["assign y = {1'd0, x[7:4]} + {4'd0, x[3]};"],
    ["assign y = {1'd0, x[7:4]} + ({4'd0, x[3]} & ({4'd0, (|x[2:0])} | {4'd0, x[4]}));"],
    ["assign kept = x[7:4];", "assign up = x[3] & ((|x[2:0]) | kept[0]);",
     "assign y = {1'd0, kept} + {4'd0, up};"],
    ["always @(posedge clk) begin", "  split <= x;", "  y <= {split[7], split[7:4]} + {4'd0, up};",
     "end", "assign up = split[3];"],
    # A half added before a shift or a cut.
    ["assign y = $signed({x[7], x} + 9'h8) >>> 3'd4;"],
    ["assign nudged = {1'd0, x} + 9'd8;", "assign y = nudged[8:4];"],
])
def test_a_rounding_elsewhere_is_found(lines):
    assert list(rounding_modules(module(*lines))) == ["part"]


@pytest.mark.parametrize("lines", [
    ["assign y = {1'd0, x[7:4]} + {1'd0, x[3:0]};"],         # two fields
    ["assign y = {1'd0, x} + {8'd0, a};"],                   # a carry
    ["assign y = {1'd0, x[7:4]} + {4'd0, w[3]};"],           # a bit of something else
    ["assign count = count + 8'd1;"],
    ["assign y = {1'd0, x} + 9'd8;"],                        # a constant, and nothing is dropped
])
def test_other_sums_are_no_roundings(lines):
    assert list(rounding_modules(module(*lines))) == []
