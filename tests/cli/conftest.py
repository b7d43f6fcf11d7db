import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))              # for toy, which its manifests name as a module

import toy as toy_template  # noqa: E402

from systolith.generators import registry  # noqa: E402


@dataclass
class Outcome:
    status: int
    out: str
    err: str

    @property
    def document(self):
        return json.loads(self.out)


@pytest.fixture
def toy(monkeypatch, tmp_path):
    """The toy as the only template, in an empty working directory."""
    monkeypatch.setattr(registry, "TEMPLATES", (toy_template.TEMPLATE,))
    for name, module in toy_template.modules().items():
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SYSTOLITH_DEBUG", raising=False)
    return toy_template


@pytest.fixture
def systolith(toy, capsys):
    """Run a command line in this process."""
    from systolith.cli import run

    def call(*arguments):
        capsys.readouterr()
        status = run([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        assert "Traceback" not in captured.out + captured.err
        return Outcome(status, captured.out, captured.err)

    return call


@pytest.fixture
def program(tmp_path):
    """Run a command line as a process of its own."""
    def call(*arguments, env=None, **options):
        command = [sys.executable, str(HERE / "toy.py"), *map(str, arguments)]
        done = subprocess.run(command, cwd=tmp_path, env={**os.environ, **(env or {})},
                              text=True, capture_output=True, timeout=60, check=False, **options)
        return Outcome(done.returncode, done.stdout, done.stderr)

    return call


@pytest.fixture
def spec(tmp_path):
    """Write a spec file; returns its name."""
    def write(text, name="spec.yaml"):
        (tmp_path / name).write_bytes(text if isinstance(text, bytes) else text.encode())
        return name

    return write
