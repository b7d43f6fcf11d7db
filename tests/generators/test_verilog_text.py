"""The text of emitted cores: clean under three linters, always the same, small at any size."""

import hashlib
import os
import re
import subprocess
import sys
import time

import pytest
from amaranth import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from systolith.generators import registry
from systolith.generators.core import elaborate
from systolith.generators.verilog import EmitError, emit
from systolith.signoff import lint

CONFIGS = {
    **{f"{template.name}-{preset}": (template.name, dict(values))
       for template in registry.TEMPLATES for preset, values in template.presets.items()},
    "primes": ("systolic", {"rows": 13, "cols": 7, "dataflow": "os"}),
    "norm-of-one": ("norm", {"lanes": 2, "max_length": 1, "x_format": "uint2", "x_fraction": 0,
                             "affine": "none"}),
    "requant-odd": ("systolic", {"rows": 3, "cols": 5, "a_format": "int3", "w_format": "uint11",
                                 "output": "requant", "out_format": "uint5",
                                 "rounding": "half_up"}),
}


def core_of(template: str, values: dict, name: str = "core"):
    chosen = registry.get(template)
    return elaborate(chosen, chosen.config.parse(values), name)


@pytest.mark.parametrize("key", CONFIGS)
def test_linters_find_nothing(key, tmp_path):
    assert lint.warnings(core_of(*CONFIGS[key]), tmp_path) == []


@pytest.mark.parametrize("old, new, found", [
    (r"26'd0", "25'd0", {"verilator": "WIDTH"}),
    (r"\n  assign (\w+) = .*;", "", {"slang": "UndrivenPort", "yosys": "no driver"}),
    (r"\nendmodule", "\n  endmodul", {"verilator": "syntax error", "slang": "Expected",
                                      "yosys": "syntax error"}),
])
def test_linters_would_find_something(old, new, found, tmp_path):
    broken = tmp_path / "core.v"
    text = core_of("dot", {}).verilog
    broken.write_text(re.sub(old, new, text, count=1))
    for tool, expected in found.items():
        assert expected in "\n".join(lint.CHECKS[tool]("core", [broken])), tool


@pytest.mark.parametrize("key", ["systolic-os_requant", "dot-int8"])
def test_names_are_plain_and_modules_unique(key):
    text = core_of(*CONFIGS[key]).verilog
    code = re.sub(r"//.*", "", text)
    assert "\\" not in code and not re.search(r"\$(?!signed\b|unsigned\b)", code)
    modules = re.findall(r"^module (\w+)", code, re.M)
    assert len(modules) == len(set(modules))
    assert len(modules) == code.count("endmodule")


def test_same_bytes_in_every_process():
    program = ("import hashlib, sys; sys.path.insert(0, '')\n"
               "from systolith.generators import registry\n"
               "from systolith.generators.core import elaborate\n"
               "t = registry.get('systolic')\n"
               "c = elaborate(t, t.config.parse({'rows': 5, 'output': 'requant'}), 'core')\n"
               "print(hashlib.sha256(c.verilog.encode()).hexdigest())")
    sums = {subprocess.run([sys.executable, "-c", program], capture_output=True, text=True,
                           check=True, env={**os.environ, "PYTHONHASHSEED": seed}).stdout.strip()
            for seed in ("0", "1", "77")}
    here = core_of("systolic", {"rows": 5, "output": "requant"}).verilog
    assert sums == {hashlib.sha256(here.encode()).hexdigest()}


@pytest.mark.parametrize(("rows", "cols", "seconds", "kilobytes"), [
    (64, 64, 3, 90), (256, 256, 10, 250), (251, 239, 10, 250), (1, 256, 10, 250),
    (256, 1, 10, 250)])
def test_large_cores_are_small_text(rows, cols, seconds, kilobytes):
    started = time.process_time()                    # other processes do not count
    core = core_of("systolic", {"rows": rows, "cols": cols})
    assert time.process_time() - started < seconds
    assert len(core.verilog) < 1000 * kilobytes
    assert len(core.manifest["modules"]) <= 80
    pes = next(module for module in core.manifest["modules"]
               if module["name"].endswith("weight_stationary_pe"))
    assert pes["instances"] == rows * cols


@pytest.mark.parametrize("word", ["table", "short"])     # of Verilog, and of C++
def test_keywords_name_nothing(word):
    class Part(wiring.Component):
        def __init__(self, port):
            self.port = port
            super().__init__({port: In(1), "o": Out(1)})

        def elaborate(self, platform):
            m = Module()
            inside = Signal(name=word)
            m.d.sync += [inside.eq(getattr(self, self.port)), self.o.eq(inside)]
            return m

    assert re.search(rf"\breg +{word}_;", emit(Part("x"), name="part").text)
    with pytest.raises(EmitError, match=rf"^Part has a port called {word}, a keyword of "):
        emit(Part(word), name="part")
