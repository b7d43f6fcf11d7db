"""The text of emitted cores: clean under two linters, always the same, small at any size."""

import hashlib
import os
import re
import subprocess
import sys
import time

import pytest
from pyslang.driver import Driver

from systolith.generators import registry
from systolith.generators.core import elaborate
from systolith.sim.simulators import verilator

CONFIGS = {
    **{f"{template.name}-{preset}": (template.name, dict(values))
       for template in registry.TEMPLATES for preset, values in template.presets.items()},
    "primes": ("systolic", {"rows": 13, "cols": 7, "dataflow": "os"}),
    "requant-odd": ("systolic", {"rows": 3, "cols": 5, "a_format": "int3", "w_format": "uint11",
                                 "output": "requant", "out_format": "uint5",
                                 "rounding": "half_up"}),
}


def core_of(template: str, values: dict, name: str = "core"):
    chosen = registry.get(template)
    return elaborate(chosen, chosen.config.parse(values), name)


@pytest.mark.parametrize("key", CONFIGS)
def test_two_linters_find_nothing(key, tmp_path):
    sources = [tmp_path / name for name in core_of(*CONFIGS[key]).files if name.endswith(".v")]
    for source in sources:
        source.write_text(core_of(*CONFIGS[key]).files[source.name])
    root, program = verilator.installation()
    done = subprocess.run([program, "--lint-only", "-Wall", "--top-module", "core", *sources],
                          env={**os.environ, "VERILATOR_ROOT": str(root)},
                          capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")

    driver = Driver()
    driver.addStandardArgs()
    listed = " ".join(f'"{source}"' for source in sources)
    assert driver.parseCommandLine(f"slang -Weverything --top core {listed}")
    assert driver.processOptions() and driver.parseAllSources()
    compilation = driver.createCompilation()
    found = [*compilation.getAllDiagnostics(), *driver.runAnalysis(compilation).getDiagnostics()]
    assert [str(item.code) for item in found] == []


def test_a_linter_would_find_something(tmp_path):
    text = core_of("dot", {}).verilog
    broken = tmp_path / "core.v"
    broken.write_text(re.sub(r"26'd0", "25'd0", text, count=1))
    root, program = verilator.installation()
    done = subprocess.run([program, "--lint-only", "-Wall", "--top-module", "core", broken],
                          env={**os.environ, "VERILATOR_ROOT": str(root)},
                          capture_output=True, text=True)
    assert done.returncode and "WIDTH" in done.stderr


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
