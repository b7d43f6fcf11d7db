"""The arithmetic library is the only place where a multiplier is written: looked up in the Verilog
of every template."""

import re

import pytest

from systolith.generators import registry
from systolith.generators.core import elaborate

#: Modules of the library that multiply.
MULTIPLIERS = re.compile(r"\w*(multiplier|multiply)\w*")


def multiplying_modules(verilog):
    """Names of the modules whose text has a product of two values, neither of them a number."""
    for module in re.finditer(r"^module (\w+)(.*?)^endmodule", verilog, re.DOTALL | re.MULTILINE):
        code = re.sub(r"//.*|\(\*.*?\*\)|@\(\*\)|\[[^\]]*\]", "", module[2])
        if re.search(r"[\w)] \* [A-Za-z_$(]", code):
            yield module[1]


@pytest.mark.parametrize("template", registry.TEMPLATES, ids=lambda template: template.name)
def test_only_the_library_multiplies(template):
    for values in list(template.presets.values())[:2]:
        core = elaborate(template, template.config.parse(dict(values)), "core")
        assert [name for name in multiplying_modules(core.verilog)
                if not MULTIPLIERS.fullmatch(name)] == []


def test_a_product_elsewhere_is_found():
    assert list(multiplying_modules("module pe (\n  input a);\n  assign p = a * b;\nendmodule\n")) \
        == ["pe"]
