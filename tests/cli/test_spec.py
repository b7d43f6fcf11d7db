"""Spec files and --set: what is taken, and one message for everything that is not."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from systolith import marked_yaml
from systolith.hdl.errors import Error

GOOD = "template: toy\nname: adder\nconfig:\n  lanes: 8\n  limits: {low: -3, high: 3}\n"


def message(outcome):
    """The one message of a refused request, without the program's name."""
    assert outcome.status == 2
    assert outcome.out == ""
    lines = outcome.err.splitlines()
    assert len(lines) == 1
    return lines[0].removeprefix("systolith: ")


@pytest.fixture
def refused(systolith, spec, tmp_path):
    """What a spec file, or settings, are refused with; nothing is written."""
    def call(text, *arguments):
        source = "toy" if text is None else spec(text)
        before = sorted(tmp_path.rglob("*"))
        outcome = systolith("generate", source, *arguments)
        assert sorted(tmp_path.rglob("*")) == before
        return message(outcome)

    return call


def test_file_and_settings(systolith, spec):
    outcome = systolith("generate", spec(GOOD), "--set", "lanes=2", "--set", "limits.low=-5",
                        "--set", "addend=7", "--set", "addend=8", "--json")
    assert outcome.status == 0
    assert outcome.document["name"] == "adder"
    assert outcome.document["config"] == {
        "lanes": 2, "addend": 8, "mode": "wrap", "width": None, "label": "toy",
        "limits": {"low": -5, "high": 3}}


def test_name_option_wins(systolith, spec):
    outcome = systolith("generate", spec(GOOD), "--name", "other", "--json")
    assert outcome.document["name"] == "other"


def test_template_wins_over_file(systolith, spec):
    spec(GOOD, "toy")
    assert systolith("generate", "toy", "--json").document["name"] == "toy"
    assert systolith("generate", "./toy", "--json").document["name"] == "adder"


@pytest.mark.parametrize("text, expected", [
    ("template: toy\nconfig:\n  lane: 8\n",
     "spec.yaml:3:3: unknown parameter 'lane' (did you mean 'lanes'?); parameters are "
     "lanes, addend, "
     "mode, width, label, limits"),
    ("template: toy\nconfig:\n  lanes:   0\n", "spec.yaml:3:12: lanes must be at least 1, not 0"),
    ("template: toy\nconfig: {lanes: 1000000000}\n",
     "spec.yaml:2:17: lanes must be at most 256, not 1000000000"),
    ("template: toy\nconfig: {lanes: 1e9}\n",
     "spec.yaml:2:17: lanes must be an integer, not 1000000000.0"),
    ("template: toy\nconfig: {width: -8}\n", "spec.yaml:2:17: width must be at least 8, not -8"),
    ("template: toy\nconfig: {lanes: '8'}\n", "spec.yaml:2:17: lanes must be an integer, not '8'"),
    ("template: toy\nconfig: {lanes: true}\n",
     "spec.yaml:2:17: lanes must be an integer, not True"),
    ("template: toy\nconfig: {lanes: null}\n",
     "spec.yaml:2:17: lanes must be an integer, not None"),
    ("template: toy\nconfig: {mode: no}\n",
     "spec.yaml:2:16: mode must be 'wrap' or 'clamp', not 'no'"),
    ("template: toy\nconfig:\n  limits:\n    low: -999\n",
     "spec.yaml:4:10: limits.low must be at least -128, not -999"),
    ("template: toy\nconfig:\n  lanes: 0\n  mode: x\n",
     "spec.yaml:3:10: lanes must be at least 1, not 0; "
     "spec.yaml:4:9: mode must be 'wrap' or 'clamp', not 'x'"),
    ("template: toy\nconfig: {lanes: 13}\n", "spec.yaml:2:9: lanes must not be 13 with this toy"),
    ("template: toi\n", "spec.yaml:1:11: unknown template 'toi'; templates are toy"),
    ("template: 5\n", "spec.yaml:1:11: template must be a name, not 5; templates are toy"),
    ("name: x\n", "spec.yaml:1:1: the key 'template' is missing; templates are toy"),
    ("template: toy\nconfg: {}\n",
     "spec.yaml:2:1: unknown key 'confg' (did you mean 'config'?); keys are template, "
     "name, harden, config"),
    ("template: toy\nconfig: [1]\n", "spec.yaml:2:9: config must be a mapping of parameters"),
    ("- toy\n", "spec.yaml:1:1: must be a mapping with the keys template, name, harden, config; "
                "this is a list"),
    ("toy",
     "spec.yaml:1:1: must be a mapping with the keys template, name, harden, config; "
     "this is a single value"),
    ("", "spec.yaml:1:1: must be a mapping with the keys template, name, harden, config; "
         "this is empty"),
    ("template: toy\ntemplate: toy\n",
     "spec.yaml:2:1: the key 'template' is repeated; it is first set on line 1"),
    ("template: toy\nconfig:\n  lanes: 1\n  lanes: 2\n",
     "spec.yaml:4:3: the key 'lanes' is repeated; it is first set on line 3"),
    ("template: !!python/object/apply:os.system [ls]\n",
     "spec.yaml:1:11: tags such as 'tag:yaml.org,2002:python/object/apply:os.system' are not taken "
     "here"),
    ("template: !x toy\n", "spec.yaml:1:11: tags such as '!x' are not taken here"),
    ("template: &a toy\nname: *a\n",
     "spec.yaml:1:11: anchors and aliases are not taken here; write the value out"),
    ("template: toy\nconfig: {<<: {lanes: 3}}\n",
     "spec.yaml:2:10: unknown parameter '<<'; parameters are lanes, addend, mode, width, label, "
     "limits"),
    ("? [a]\n: b\n", "spec.yaml:1:3: a key must be a word, not a list or a mapping"),
    ("[" * 5000, "spec.yaml:1:17: nested more than 16 levels deep"),
    ("template: toy\nconfig: " + "{a: " * 5000, "spec.yaml:2:69: nested more than 16 levels deep"),
    ("template: toy\n---\ntemplate: toy\n",
     "spec.yaml:2:1: but found another document"),
    ("template: [toy\n", "spec.yaml:2:1: expected ',' or ']', but got '<stream end>'"),
    ("a: c: d\n", "spec.yaml:1:5: mapping values are not allowed here"),
    (b"template: toy\n\x00\n", "spec.yaml:2:1: the character '\\x00' is not allowed"),
    (b"template: toy\nname: \xff\xfe\n", "spec.yaml:2:7: the byte 0xff is not UTF-8 text"),
    ("template: toy\nconfig: {lanes: " + "9" * 5000 + "}\n",
     "spec.yaml:2:17: a number of 5000 characters; at most 40 are taken"),
    ("template: toy\nconfig: {lanes: 1e999}\n", "spec.yaml:2:17: 1e999 is too large for a number"),
    ('template: "\\UFFFFFFFF"\n', "spec.yaml:1:1: a number or an escape sequence is out of range"),
    ("template: toy\n" + "#" * 70000, "spec.yaml: has 70014 bytes; a spec file has at most 65536"),
    ("template: toy\nname: wire\n",
     "spec.yaml:2:7: a core cannot be called 'wire', which is a keyword of Verilog or "
     "SystemVerilog"),
    ("template: toy\nname: ../up\n",
     "spec.yaml:2:7: a core cannot be called '../up'; a name is a letter or underscore, then "
     "letters, digits and underscores, 64 characters at most"),
    ("template: toy\nname: null\n",
     "spec.yaml:2:7: a core cannot be called None; a name is a letter or underscore, then letters, "
     "digits and underscores, 64 characters at most"),
])
def test_refused_file(refused, text, expected):
    assert refused(text) == expected


@pytest.mark.parametrize("setting, expected", [
    ("lanes", "must have the form key=value, with dots between nested keys"),
    ("=3", "must have the form key=value, with dots between nested keys"),
    ("limits..low=3", "must have the form key=value, with dots between nested keys"),
    ("lanes=0", "lanes must be at least 1, not 0"),
    ("lane=1", "unknown parameter 'lane' (did you mean 'lanes'?); parameters are lanes, addend, "
               "mode, width, label, limits"),
    ("lanes.x=1", "lanes must be an integer, not {'x': 1}"),
    ("limits.low=x", "limits.low must be an integer, not 'x'"),
    ("lanes=[1, 2]", "the value must be a single number, word, true, false or null; lists and "
                     "mappings go into a spec file"),
    ("lanes={", "the value is not a YAML scalar: expected the node content, but found "
                "'<stream end>'"),
    ("lanes=!!int 3",
     "the value is not a YAML scalar: tags such as 'tag:yaml.org,2002:int' are not "
                      "taken here"),
])
def test_refused_setting(refused, setting, expected):
    assert refused(None, "--set", setting) == f"--set {setting}: {expected}"


def test_setting_inside_a_value(refused):
    assert refused(None, "--set", "lanes=3", "--set", "lanes.x=1") == (
        "--set lanes.x=1: 'lanes' holds a single value, not parameters of its own")


@pytest.mark.parametrize("name", ["", "1a", "a-b", "a b", "a\n", "ä", "a;b", "$(id)", "a/b", "..",
                                  "a'b", "x" * 65, "module", "logic", "always_comb"])
def test_refused_name(refused, name):
    assert "a core cannot be called" in (text := refused(None, "--name", name)) or "65" in text


def test_neither_template_nor_file(systolith):
    assert message(systolith("generate", "toi")) == (
        "'toi' is neither a template (did you mean 'toy'?) nor a file that exists; "
        "templates are toy")
    assert message(systolith("generate", "a\x00b")).startswith("'a\\x00b' is neither")
    assert message(systolith("generate", "x" * 5000)).startswith(f"'{'x' * 77}...' is neither")


def test_directory_and_pipe_instead_of_a_file(systolith, tmp_path):
    import os

    (tmp_path / "dir").mkdir()
    assert message(systolith("generate", "dir")) == (
        "dir: is a directory; a spec is a template's name or a YAML file")
    os.mkfifo(tmp_path / "pipe")
    assert message(systolith("generate", "pipe")) == (
        "pipe: is not a regular file; a spec is a template's name or a YAML file")


def test_unreadable_file(systolith, spec, monkeypatch):
    from pathlib import Path

    def refuse(self):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", refuse)
    assert message(systolith("generate", spec(GOOD))) == (
        "spec.yaml: cannot be read: Permission denied")


def test_problems_as_json(systolith, spec):
    outcome = systolith("generate", spec("template: toy\nconfig:\n  lanes: 0\n"), "--set", "mode=x",
                        "--json")
    assert outcome.status == 2
    assert outcome.document["error"]["problems"] == [
        {"message": "lanes must be at least 1, not 0", "file": "spec.yaml", "line": 3,
         "column": 10},
        {"message": "mode must be 'wrap' or 'clamp', not 'x'", "setting": "mode=x"}]


@pytest.mark.parametrize("text, value", [
    ("8", 8), ("0x1F", 31), ("0o17", 15), ("010", 10), ("-3", -3), ("2.5", 2.5), ("1e3", 1000.0),
    ("true", True), ("yes", "yes"), ("on", "on"), ("1:30", "1:30"), ("2001-99-99", "2001-99-99"),
    ("~", None), ("", None), ("null", None), ("'8'", "8"), (".inf", ".inf"), ("1_000", "1_000"),
])
def test_scalars_are_those_of_the_core_schema(text, value):
    document = marked_yaml.parse(text)
    assert document.value == value
    assert type(document.value) is type(value)


def _mutations(base):
    """``base`` with some bytes deleted, doubled, replaced or inserted."""
    interesting = st.sampled_from([b"!", b"&a", b"*a", b"%", b"{", b"[", b"- ", b"? ", b": ", b"|",
                                   b">", b'"', b"'", b"\t", b"\x00", b"\xff", b"\n---\n", b"\\U",
                                   b"<<", b"=", b"~", b"9" * 50, b"\xef\xbb\xbf", b"\r", b"@", b"`",
                                   b"\xc2\x85", b"\xe2\x80\xa8", b"!!binary ", b"%YAML 9.9\n"])
    edit = st.tuples(st.integers(0, len(base)), st.integers(0, 6),
                     st.one_of(interesting, st.binary(max_size=6)))

    def apply(edits):
        text = base
        for place, cut, put in edits:
            text = text[:place] + put + text[place + cut:]
        return text

    return st.lists(edit, min_size=1, max_size=5).map(apply)


@settings(max_examples=400, deadline=None,
          suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.one_of(_mutations(GOOD.encode()), st.binary(max_size=200)))
def test_mutated_files_are_taken_or_refused(toy, tmp_path, content):
    from systolith.spec import resolve

    (tmp_path / "mutant.yaml").write_bytes(content)
    try:
        resolve("mutant.yaml")
    except Error as error:
        text = str(error)
        assert text.isprintable(), text
        assert "mutant.yaml" in text
