"""Pictures of waveforms."""

from dataclasses import replace
from xml.etree import ElementTree

import pytest

from systolith.generators import registry
from systolith.generators.core import elaborate
from systolith.signoff import rtl, waveform
from systolith.signoff.rung import Options

VCD = """\
$timescale 1ps $end
$scope module top $end
$var wire 1 ! clk $end
$var wire 1 " tvalid $end
$var wire 12 # tdata [11:0] $end
$scope module inner $end
$var wire 1 $ tvalid $end
$upscope $end
$upscope $end
$enddefinitions $end
#0
0"
1$
b10 #
#2
1"
#4
b111111111111 #
#6
0"
"""


def test_samples_are_what_an_edge_sees(tmp_path):
    path = tmp_path / "a.vcd"
    path.write_text(VCD)
    found = waveform.read_vcd(path, ["tvalid", "tdata", "absent"], 1, 9, 2)
    assert found == {"tvalid": ["0", "1", "1", "0"],
                     "tdata": ["000000000010"] * 2 + ["111111111111"] * 2}
    assert waveform.read_vcd(path, ["tvalid"], -3, 1, 2) == {"tvalid": ["x", "x"]}


def test_the_picture_is_xml_and_marks_the_cycle():
    text = waveform.draw({"a<b": ["0", "1", "x"], "w": ["0001", "0001", "1111"]}, 5, 6, "x & y")
    root = ElementTree.fromstring(text)
    texts = [element.text for element in root.iter() if element.tag.endswith("text")]
    assert {"x & y", "a<b", "1", "f", "5"} <= set(texts)
    mark, = (element for element in root.iter() if element.get("class") == "mark")
    assert float(mark.get("x")) == waveform.LEFT + waveform.CYCLE


@pytest.mark.nightly
def test_a_mismatch_is_drawn_where_it_is(tmp_path):
    template = registry.get("dot")
    core = elaborate(template, template.config.parse({"lanes": 1}), "core")
    broken = core.verilog.replace("= first ? ", "= 1'b0 ? ")
    assert broken != core.verilog
    core = replace(core, verilog=broken, files={**core.files, "core.v": broken})
    result = rtl.run(core, Options(directory=tmp_path, simulator="verilator"), print)
    assert result.status == "failed"
    check = next(check for check in result.details["checks"] if check["name"] == "without_stalls")
    picture, = (path for path in result.files if path.name == "rtl.verilator.without_stalls.svg")
    assert "without_stalls" in picture.read_text()
    wave, = tmp_path.glob("*.vcd")
    samples = waveform.read_vcd(
        wave, ["m_axis_z_tvalid", "m_axis_z_tready", "m_axis_z_tdata"], check["time"] - 1,
        check["time"], 2)
    assert samples["m_axis_z_tvalid"] == samples["m_axis_z_tready"] == ["1"]
    got = int(check["message"].partition(" got ")[2].partition(" ")[0])
    bits = samples["m_axis_z_tdata"][0][-core.config.z.bits:]
    assert int(bits, 2) == got % (1 << core.config.z.bits)
