"""The closing list of the suite counts what passed, over all processes."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

SUITE = """
import pytest

@pytest.mark.parametrize("simulator", ["verilator", "cxxrtl"])
@pytest.mark.parametrize("config", ["ws_8x8", "os_3x5"])
def test_agrees(verified, simulator, config):
    verified("systolic", config, simulator, workloads=10, cycles=1000)
    verified("systolic", config, simulator, workloads=2)

def test_fails(verified):
    verified("systolic", "ws_8x8", "verilator", workloads=500)
    assert False

def test_plain():
    pass
"""


def run(folder: Path, *arguments: str) -> str:
    for name in ("conftest.py", "compiled.py"):
        shutil.copy(Path(__file__).with_name(name), folder)
    (folder / "test_suite.py").write_text(SUITE)
    return subprocess.run([sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *arguments],
                          cwd=folder, capture_output=True, text=True).stdout


def cells(output: str, start: str) -> list[str]:
    line, = (line for line in output.splitlines() if re.match(rf"[│ ]+{start}\b", line))
    return [cell.strip() for cell in line.split("│") if cell.strip()]


def test_summary_adds_up_what_passed(tmp_path):
    output = run(tmp_path, "-n", "2")
    assert cells(output, "systolic +│ os_3x5") == ["systolic", "os_3x5", "12", "12"]
    assert cells(output, "systolic +│ ws_8x8") == ["systolic", "ws_8x8", "12", "12"]
    assert cells(output, "all") == ["all", "2 configurations", "24", "24"]
    assert "clock cycles" in output and "2,000" in output


def test_nothing_verified_prints_nothing(tmp_path):
    assert "golden model" not in run(tmp_path, "-k", "plain")
