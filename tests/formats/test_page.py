"""Formats as plain data, and the page that is written from it."""

import json
from pathlib import Path

import numpy as np
import pytest

from systolith.generators import formats_page
from systolith.hdl.formats import parse_format
from systolith.sim.formats import decode, describe

ROOT = Path(__file__).parents[2]


def test_page_is_up_to_date():
    assert (ROOT / "docs/formats.md").read_text() == formats_page.page(), (
        "write docs/formats.md anew from systolith.generators.formats_page.page()")


@pytest.mark.parametrize("name", [*formats_page.SECTIONS, "int64", "fp5e4m0", "fp7e6m0", "fp3e1m1"])
def test_data_is_json(name):
    data = describe(parse_format(name))
    assert json.loads(json.dumps(data, allow_nan=False)) == data
    assert data["name"] == name
    assert len(data["values"]) == (1 << data["bits"] if data["bits"] <= 8 else 0)


def test_value_table():
    format = parse_format("fp8e4m3")
    rows = describe(format)["values"]
    values = decode(format, np.arange(256))
    shown = [float(row["value"]) for row in rows]
    assert np.array_equal(shown, values, equal_nan=True)
    assert rows[0x7F] == {"code": 127, "bits": "01111111", "value": "NaN"}
    assert describe(parse_format("fp8e5m2"))["values"][0xFC]["value"] == "-Inf"
    assert describe(parse_format("ternary"))["values"][2]["value"] == "illegal"
    rows = describe(parse_format("ovp4"))["values"]
    assert rows[8] == {"code": 8, "bits": "1000", "value": "victim", "outlier": "illegal"}
    assert rows[15] == {"code": 15, "bits": "1111", "value": -1, "outlier": -96}
    assert describe(parse_format("bitmod4"))["values"][8]["value"] == "special value"


def test_special_codes_are_listed():
    def specials(name):
        return {row["code"]: row["meaning"] for row in describe(parse_format(name))["specials"]}

    assert specials("fp8e4m3") == {
        "00000000": "+0", "10000000": "−0", "01111111": "NaN (the one that operations give)",
        "11111111": "NaN"}
    assert specials("fp8e5m2") == {
        "00000000": "+0", "10000000": "−0", "01111100": "+Inf", "11111100": "−Inf",
        "01111110": "NaN (the one that operations give)",
        "s11111, any fraction but 0": "NaN (6 codes)"}
    assert specials("fp5e4m0") == {
        "00000": "+0", "10000": "−0", "01111": "+Inf", "11111": "−Inf"}
