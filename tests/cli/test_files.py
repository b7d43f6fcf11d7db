"""What generate writes: manifest, register map, resolved config; all of it or nothing."""

import hashlib
import json
import shutil
import subprocess

import jsonschema
import pytest
from systemrdl import RDLCompiler
from systemrdl.node import FieldNode, RegNode

from systolith.generators import core as cores
from systolith.generators import registers
from systolith.generators.manifest import schema
from systolith.generators.names import ascii_text
from systolith.hdl.errors import Error

SUFFIXES = (".v", ".json", ".yaml", ".rdl", ".h", ".md", "_instance.vh")


@pytest.fixture
def core(toy):
    return cores.elaborate(toy.TEMPLATE, toy.ToyConfig(), "adder")


def tree(folder):
    return {path.relative_to(folder): path.read_bytes()
            for path in sorted(folder.rglob("*")) if path.is_file()}


def test_manifest_fits_its_schema(core):
    jsonschema.Draft202012Validator.check_schema(schema())
    jsonschema.validate(core.manifest, schema())
    assert core.manifest["sha256"] == hashlib.sha256(core.files["adder.v"].encode()).hexdigest()
    assert core.manifest["config_hash"] == core.config.config_hash
    assert core.manifest["streams"][0] == {
        "name": "x", "direction": "in", "prefix": "s_axis_x", "lanes": 4, "tdata_bits": 32,
        "element": {"format": "int8", "bits": 8, "signed": True, "lsb_exponent": 0},
        "tuser": [{"name": "first", "lsb": 0, "bits": 1, "doc": "First frame."}],
        "frame": "Any number of x[i]."}
    assert core.manifest["registers"][-1]["offset"] == 0x84


def test_schema_refuses_what_is_missing_or_unknown(core):
    for change in ({"schema": 2}, {"extra": 1}, {"sha256": "short"}, {"modules": []}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate({**core.manifest, **change}, schema())
    for key in core.manifest:
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate({k: v for k, v in core.manifest.items() if k != key}, schema())


def test_texts_are_reproducible_and_name_nothing_local(core, toy, tmp_path):
    again = cores.elaborate(toy.TEMPLATE, toy.ToyConfig(), "adder")
    assert dict(again.files) == dict(core.files)
    assert list(core.files) == [f"adder{suffix}" for suffix in SUFFIXES]
    for text in core.files.values():
        assert str(tmp_path) not in text
        assert text.endswith("\n")
    assert all(core.files[f"adder{suffix}"].isascii() for suffix in (".v", ".rdl", ".h"))


def test_resolved_config_gives_the_same_bytes(systolith, tmp_path):
    assert systolith("generate", "toy", "--set", "lanes=7", "--set", "label='yes: no\"'",
                     "--name", "adder", "-o", "first").status == 0
    assert systolith("generate", "first/adder.yaml", "-o", "second").status == 0
    assert tree(tmp_path / "first") == tree(tmp_path / "second")


def test_header_cannot_be_left(systolith, tmp_path):
    label = r'--set=label="\nendmodule\n`include \"x\""'
    assert systolith("generate", "toy", label, "-o", "out").status == 0
    lines = (tmp_path / "out/toy.v").read_text().splitlines()
    assert [line for line in lines if "include" in line] == [
        '//   label  = "\\nendmodule\\n`include \\"x\\""']


def test_system_rdl_compiles(core, tmp_path):
    path = tmp_path / "map.rdl"
    path.write_text(core.files["adder.rdl"])
    compiler = RDLCompiler()
    compiler.compile_file(str(path))
    found = {}
    for register in compiler.elaborate().top.children():
        assert isinstance(register, RegNode)
        found[register.inst_name] = (register.absolute_address, {
            field.inst_name: (field.lsb, field.width, field.get_property("reset"),
                              field.is_sw_readable, field.is_sw_writable,
                              field.get_property("onwrite") is not None)
            for field in register.children() if isinstance(field, FieldNode)})
    access = {"ro": (True, False, False), "rw": (True, True, False), "w1c": (True, True, True),
              "wo": (False, True, False)}
    assert found == {
        register.name: (register.offset, {
            field.name: (field.lsb, field.bits, registers.reset(field), *access[register.access])
            for field in register.fields})
        for register in registers.register_map(core.config)}


@pytest.mark.parametrize("flags", [["-x", "c", "-std=c99"], ["-x", "c++", "-std=c++11"]])
def test_c_header_compiles_and_says_what_the_map_says(core, tmp_path, flags):
    checks = []
    for register in registers.register_map(core.config):
        macro = f"ADDER_{register.name.upper()}"
        checks.append(f"{macro}_OFFSET == {register.offset}")
        for field in register.fields:
            own = f"{macro}_{field.name.upper()}"
            checks += [f"{own}_SHIFT == {field.lsb}", f"{own}_MASK == {registers.mask(field)}u",
                       f"{own}_RESET == {registers.reset(field)}u"]
    source = "\n".join(['#include "adder.h"', '#include "adder.h"', "int main(void) {",
                        *(f"    if (!({check})) return 1;" for check in checks),
                        "    return 0;", "}", ""])
    (tmp_path / "adder.h").write_text(core.files["adder.h"])
    (tmp_path / "main.c").write_text(source)
    compiler = shutil.which("g++" if "c++" in flags else "gcc") or pytest.skip("no compiler")
    subprocess.run([compiler, *flags, "-Wall", "-Wextra", "-Werror", "-pedantic", "main.c", "-o",
                    "main"], cwd=tmp_path, check=True)
    subprocess.run([tmp_path / "main"], check=True)


def test_page_escapes_cells(core):
    page = core.files["adder.md"]
    assert ("| 7:0 | `low` | -10 | Smallest; a \"quote\", a */ and a \\|. Two's complement. |"
            in page)
    rows = [line for line in page.splitlines() if line.startswith("|")]
    assert {line.replace("\\|", "").count("|") for line in rows} == {5}


def test_instance_names_every_port(core, toy):
    text = core.files["adder_instance.vh"]
    names = [port.name for port in cores.ports(toy.Shell(core.config, None))]
    assert names[:2] == ["clk", "rst"]
    assert "s_axil_awaddr" in names
    for name in names:
        assert f"    .{name}({name})" in text
        assert any(line.startswith("wire") and line.endswith(f" {name};")
                   for line in text.splitlines())
    assert "wire [31:0] s_axis_x_tdata;" in text
    assert text.endswith(")\n);\n")


def test_empty_flag_register_still_compiles(toy, tmp_path, monkeypatch):
    monkeypatch.setattr(toy.ToyConfig, "flags", ())
    (tmp_path / "map.rdl").write_text(registers.system_rdl(toy.ToyConfig(), "adder"))
    compiler = RDLCompiler()
    compiler.compile_file(str(tmp_path / "map.rdl"))
    compiler.elaborate()


def test_ascii_text():
    assert ascii_text("int2…int16, 8 × 8,\n π ≤ é") == "int2...int16, 8 x 8, <= e"


def test_regenerating_replaces_and_leaves_the_rest_alone(core, toy, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out/notes.txt").write_text("mine")
    cores.write(core, tmp_path / "out")
    other = cores.elaborate(toy.TEMPLATE, toy.ToyConfig(lanes=9), "adder")
    assert cores.write(other, tmp_path / "out") == [tmp_path / "out" / name for name in other.files]
    assert tree(tmp_path / "out") == {
        path.relative_to(tmp_path / "out"): text for path, text in [
            *((tmp_path / "out" / name, text.encode()) for name, text in other.files.items()),
            (tmp_path / "out/notes.txt", b"mine")]}


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("content", ["", "mine", "{}", "[1]", "// not Generated by Systolith\n"])
def test_foreign_file_is_left_alone(core, tmp_path, suffix, content):
    (tmp_path / f"adder{suffix}").write_text(content)
    before = tree(tmp_path)
    with pytest.raises(Error, match=f"adder{suffix} exists and was not written by Systolith"):
        cores.write(core, tmp_path)
    assert tree(tmp_path) == before


def test_links_and_directories_in_the_way(core, tmp_path):
    (tmp_path / "target").write_text("// Generated by Systolith 0\n")
    (tmp_path / "adder.v").symlink_to("target")
    with pytest.raises(Error, match=r"adder\.v exists and is not a regular file"):
        cores.write(core, tmp_path)
    (tmp_path / "adder.v").unlink()
    (tmp_path / "adder.h").mkdir()
    with pytest.raises(Error, match=r"adder\.h exists and is not a regular file"):
        cores.write(core, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["adder.h", "target"]


@pytest.mark.parametrize("directory", ["file", "file/below", "x" * 300, "dangling"])
def test_directory_that_cannot_be(systolith, tmp_path, directory):
    (tmp_path / "file").write_text("mine")
    (tmp_path / "dangling").symlink_to("nowhere/at/all")
    outcome = systolith("generate", "toy", "-o", directory)
    assert (outcome.status, outcome.out) == (2, "")
    assert len(outcome.err.splitlines()) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["dangling", "file"]


@pytest.mark.parametrize("failing", range(14))
@pytest.mark.parametrize("old", [True, False])
def test_failure_half_way_is_undone(core, toy, tmp_path, monkeypatch, failing, old):
    """The disk fills up, or a rename fails, at every point in turn."""
    folder = tmp_path / "deep" / "out"
    if old:
        cores.write(cores.elaborate(toy.TEMPLATE, toy.ToyConfig(lanes=9), "adder"), folder)
    before = tree(tmp_path)
    calls = 0

    def breaking(function):
        def call(self, *arguments, **options):
            nonlocal calls
            calls += 1
            if calls == failing + 1:
                raise OSError(28, "No space left on device")
            return function(self, *arguments, **options)
        return call

    monkeypatch.setattr(cores.Path, "write_text", breaking(cores.Path.write_text))
    monkeypatch.setattr(cores.Path, "rename", breaking(cores.Path.rename))
    with pytest.raises(Error, match=r"No space left on device; nothing was written$"):
        cores.write(core, folder)
    assert tree(tmp_path) == before
    assert folder.exists() == old
    assert not list(tmp_path.rglob(".adder-*"))


def test_manifest_is_json_with_the_literal_keys(core):
    assert set(json.loads(core.files["adder.json"])) >= {
        "schema", "name", "template", "config", "config_hash", "clock", "reset", "streams",
        "registers", "latency", "modules", "technology", "reference", "tools", "sha256"}
