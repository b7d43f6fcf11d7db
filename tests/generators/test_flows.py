"""Files for FuseSoC, Vivado, Quartus and LiteX: written all or not at all, and read by tools."""

import ast
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from systolith.cli import run
from systolith.generators import registry
from systolith.generators.core import elaborate, write
from systolith.generators.flows import FLOWS, with_flows
from systolith.hdl.errors import Error
from systolith.sim.simulators import verilator


def core(template="dot", **values):
    known = registry.get(template)
    return elaborate(known, known.config.parse(values), "my_core")


def made(folder, flow, *, of=None):
    write(with_flows(of or core(lanes=2), [flow]), folder)
    return folder


def test_what_generate_writes(tmp_path, capsys):
    status = run(["generate", "dot", "--name", "my_core", "-o", str(tmp_path), "--with",
                  "fusesoc,vivado, quartus,litex", "--json"])
    files = {Path(path).name for path in json.loads(capsys.readouterr().out)["files"]}
    assert status == 0
    assert {"my_core.core", "my_core_vivado.tcl", "my_core_quartus.tcl",
            "my_core_litex.py"} <= files == {path.name for path in tmp_path.iterdir()}
    # They are replaced like everything else that was generated, but not if they are someone else's.
    again = ["generate", "dot", "--name", "my_core", "-o", str(tmp_path), "--with", "fusesoc"]
    assert run(again) == 0
    (tmp_path / "my_core.core").write_text("CAPI=2:\nname: mine\n")
    before = (tmp_path / "my_core.v").stat().st_mtime_ns
    assert run([*again, "--set", "lanes=8"]) == 2
    assert "my_core.core exists and was not written by Systolith" in capsys.readouterr().err
    assert (tmp_path / "my_core.v").stat().st_mtime_ns == before


def test_what_is_refused(tmp_path, capsys):
    assert run(["generate", "dot", "--with", "fusesock", "-o", str(tmp_path / "none")]) == 2
    assert ("unknown flow 'fusesock' (did you mean 'fusesoc'?); flows are fusesoc, vivado, "
            "quartus, litex") in capsys.readouterr().err
    assert not (tmp_path / "none").exists()
    with pytest.raises(Error, match=r"^my_core is made of ecp5 cells, which Vivado does not know; "
                                    r"technology must be generic or xilinx7$"):
        with_flows(core("systolic", technology="ecp5"), ["vivado"])
    with pytest.raises(Error, match=r"which Quartus does not know; technology must be generic$"):
        with_flows(core("systolic", technology="xilinx7", rows=2, cols=2), ["quartus"])


@pytest.mark.parametrize("template", [template.name for template in registry.TEMPLATES])
def test_every_template_has_them(template, tmp_path):
    known = registry.get(template)
    made = with_flows(elaborate(known, known.config.parse({}), "my_core"), FLOWS)
    wrapper = ast.parse(made.files["my_core_litex.py"])
    call, = (node for node in ast.walk(wrapper) if isinstance(node, ast.Call)
             and getattr(node.func, "id", "") == "Instance")
    joined = {word.arg.partition("_")[2] for word in call.keywords}
    verilog = made.verilog[made.verilog.index("module my_core ("):]
    declared = {line.split()[-1].rstrip(",") for line in verilog[:verilog.index(");")].splitlines()
                if line.split()[:1] in (["input"], ["output"])}
    assert joined == declared


#: What Vivado and Quartus know, as far as the scripts use it: commands that print their words.
STUBS = """\
foreach name {create_project read_verilog synth_design create_clock get_ports opt_design
  place_design phys_opt_design route_design report_utilization report_timing_summary
  write_checkpoint project_new set_global_assignment set_instance_assignment execute_flow
  project_close
  get_timing_paths} {
  proc $name {args} "puts \\"$name \\$args\\"; return $name"
}
proc get_property {args} { return SLACK_OF_STUB }
rename package real_package
proc package {args} {}
set quartus(args) $argv
"""


@pytest.mark.skipif(shutil.which("tclsh") is None, reason="no tclsh: Tcl scripts were not run")
@pytest.mark.parametrize("flow, slack, status, called", [
    ("vivado", "0.5", 0, ["read_verilog {0}/my_core.v", "write_checkpoint -force my_core.dcp",
                          "create_clock -name clk -period 5 get_ports"]),
    ("vivado", "-0.5", 1, ["route_design"]),
    ("quartus", "", 0, ["set_global_assignment -name VERILOG_FILE {0}/my_core.v",
                        "execute_flow -compile", "project_close"]),
])
def test_scripts_run(flow, slack, status, called, tmp_path):
    script = made(tmp_path / "core", flow) / f"my_core_{flow}.tcl"
    stubs = STUBS.replace("SLACK_OF_STUB", slack)
    (tmp_path / "run.tcl").write_text(f"{stubs}\nsource {script}\n")
    arguments = ["part", "5"] if flow == "vivado" else ["Arria 10", "device", "5"]
    # info script must be that of the sourced file, as it is when the tools source it.
    done = subprocess.run(["tclsh", "run.tcl", *arguments], cwd=tmp_path, text=True,
                          capture_output=True, check=False)
    assert done.returncode == status, done.stderr
    for line in called:
        assert line.format(script.parent) in done.stdout
    if flow == "quartus":
        assert (tmp_path / "my_core.sdc").read_text() == (
            "create_clock -name clk -period 5 [get_ports clk]\n")


def program(folder, name, text):
    """Put a program on the PATH that FuseSoC gets."""
    path = folder / "bin" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)


def fusesoc(folder, target):
    root, verilator_bin = verilator.installation()
    program(folder, "verilator",
            f'#!/bin/sh\nVERILATOR_ROOT={root} exec {verilator_bin} "$@"\n')
    environment = {**os.environ, "XDG_CONFIG_HOME": str(folder / "config"),
                   "PATH": f"{folder / 'bin'}:{Path(sys.executable).parent}:{os.environ['PATH']}"}
    return subprocess.run(
        [sys.executable, "-m", "fusesoc.main", "--cores-root", str(folder / "core"), "run",
         "--build-root", "build", "--target", target, "my_core"], cwd=folder,
        env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)


@pytest.mark.parametrize("of", [
    ("dot", {"lanes": 2}), ("systolic", {"rows": 2, "cols": 2, "technology": "ecp5"})],
    ids=["dot", "ecp5"])
def test_fusesoc_lints(of, tmp_path):
    made(tmp_path / "core", "fusesoc", of=core(of[0], **of[1]))
    done = fusesoc(tmp_path, "lint")
    assert done.returncode == 0, done.stdout
    assert "%Warning" not in done.stdout and "my_core.v" in "".join(
        path.read_text() for path in tmp_path.glob("build/**/*.vc"))
    verilog = tmp_path / "core/my_core.v"
    verilog.write_text(verilog.read_text().replace("endmodule", "wire nothing;\nendmodule", 1))
    assert fusesoc(tmp_path, "lint").returncode != 0


#: Yosys for FuseSoC where there is none that reads Tcl: tclsh reads it, pyosys does it.
YOSYS = """\
#!{python}
import subprocess, sys
script = sys.argv[-1].split()[-1]
stub = 'proc yosys args {{}}; proc unknown args {{ puts $args }}; '
lines = subprocess.run(["tclsh"], input=stub + "source " + script, text=True, check=True,
                       stdout=subprocess.PIPE).stdout.replace("{{", "").replace("}}", "")
open("script.ys", "w").write(lines)
from pyosys import libyosys
libyosys.run_pass("script script.ys", libyosys.Design())
"""


@pytest.mark.skipif(shutil.which("tclsh") is None, reason="no tclsh: FuseSoC did not run Yosys")
@pytest.mark.parametrize("of, cell", [
    (("dot", {"lanes": 2}), "MULT18X18D"),
    (("systolic", {"rows": 2, "cols": 2, "technology": "ice40"}), "SB_MAC16"),
], ids=["dot", "ice40"])
def test_fusesoc_synthesizes(of, cell, tmp_path):
    made(tmp_path / "core", "fusesoc", of=core(of[0], **of[1]))
    program(tmp_path, "yosys", YOSYS.format(python=sys.executable))
    done = fusesoc(tmp_path, "synth")
    assert done.returncode == 0, done.stdout
    netlist, = tmp_path.glob("build/**/*.json")
    cells = json.loads(netlist.read_text())["modules"]["my_core"]["cells"].values()
    assert cell in {entry["type"] for entry in cells}
