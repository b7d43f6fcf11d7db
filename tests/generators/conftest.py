"""Proofs that the emitter and Amaranth's own back end print the same circuit."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from amaranth.back import rtlil
from amaranth.hdl import Value
from amaranth.hdl._ir import PortDirection
from amaranth.lib import wiring
from amaranth.lib.wiring import In

from systolith.generators.verilog import emit

# Cycles are counted from a state of zeros; `rst` is high in the first and free in all others.
PROOF = """
read_rtlil {name}.il
read_verilog {name}.v
setattr -mod -unset top *
hierarchy -check
proc
flatten
memory_map
setattr -unset init w:*
{ports}
miter -equiv -flatten -make_assert -make_outputs gold gate miter
hierarchy -top miter
chformal -lower
async2sync
dffunmap
wreduce
opt_expr
opt_merge -share_all
opt_merge -share_all
opt_merge -share_all
opt_clean
sat -verify -prove-asserts -show-inputs -show-outputs {sequence} miter
log PROVED {name}
design -reset
"""


def rtlil_of(component: wiring.Component) -> str:
    """Amaranth's own RTLIL, its ports named as the emitter names them."""
    ports = {}
    for path, member, value in component.signature.flatten(component):
        value = Value.cast(value)
        if len(value):
            direction = PortDirection.Input if member.flow == In else PortDirection.Output
            ports["_".join(map(str, path))] = (value, direction)
    return rtlil.convert(component, name="gold", ports=ports, emit_src=False)


class Prover:
    """Proves components printed by both back ends equal, many in one run of Yosys."""

    rtlil_of = staticmethod(rtlil_of)

    def __init__(self, folder: Path):
        self.folder = folder

    def pair(self, build: Callable[[], wiring.Component],
             change: Callable[[str], str] = str) -> tuple[str, str]:
        """RTLIL of one instance, and the Verilog of another passed through ``change``."""
        text = emit(build(), name="gate").text
        changed = change(text)
        assert change is str or changed != text
        return rtlil_of(build()), changed

    def run(self, pairs: Iterable[tuple[str, str]], steps: int | None = None
            ) -> subprocess.CompletedProcess:
        """Prove each pair equal: all inputs (``steps=None``) or all sequences of that many."""
        script = []
        for index, (gold, gate) in enumerate(pairs):
            name = f"pair_{index}"
            (self.folder / f"{name}.il").write_text(gold)
            (self.folder / f"{name}.v").write_text(gate)
            unused = [port for port in ("clk", "rst") if f"input  wire {port}" not in gate
                      and "wire width 1 input" in gold and f" \\{port}\n" in gold]
            ports = "\n".join(f"delete -port gold/w:{port}" for port in unused)
            reset = "-set-at 1 in_rst 1" if "input  wire rst" in gate else ""
            sequence = f"-set-init-zero -prove-skip 1 -seq {steps} {reset}" if steps else ""
            script.append(PROOF.format(name=name, ports=ports, sequence=sequence))
        (self.folder / "proof.ys").write_text("".join(script))
        program = ("from pyosys import libyosys as ys; "
                   "ys.run_pass('script proof.ys', ys.Design())")
        return subprocess.run([sys.executable, "-c", program], cwd=self.folder, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
                              env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)})

    def prove(self, *builds: Callable[[], wiring.Component], steps: int | None = None) -> None:
        """Fail unless every component is proven."""
        self.prove_pairs([self.pair(build) for build in builds], steps)

    def prove_pairs(self, pairs: list[tuple[str, str]], steps: int | None = None) -> None:
        result = self.run(pairs, steps)
        proved = result.stdout.count("SAT proof finished - no model found: SUCCESS!")
        if result.returncode or proved != len(pairs):
            pytest.fail(f"pair {proved} of {len(pairs)} is not proven equal; its Verilog:\n"
                        f"{pairs[min(proved, len(pairs) - 1)][1][-3000:]}\n"
                        + "\n".join(result.stdout.splitlines()[-60:]))

    def refute(self, build: Callable[[], wiring.Component], change: Callable[[str], str],
               steps: int | None = None) -> None:
        """Fail unless the changed text is shown to be different."""
        result = self.run([self.pair(build, change)], steps)
        assert result.returncode and "proof did fail" in result.stdout, result.stdout[-2000:]


@pytest.fixture
def prover(tmp_path):
    return Prover(tmp_path)
