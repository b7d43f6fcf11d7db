"""The search for the largest core that a board holds."""

import pytest

from systolith.bench import board_fits
from systolith.fpga import boards, pll
from systolith.generators import registry

FOUND = {"resources": {"lut": 1.0, "ff": 1.0, "dsp": 8.0, "bram": 1.0}, "fmax_mhz": 20.0,
         "clock_mhz": 18.0, "caveat": "", "seconds": 1.0}


def silent(message):
    pass


def search(monkeypatch, largest, builds):
    """Lanes of the ``dot`` that is found where ``largest`` fits by estimate, and what was built."""
    asked = []

    def built(core, board, mhz, progress):
        asked.append((core.config.lanes, mhz))
        return FOUND if builds(core.config.lanes, mhz) else None

    monkeypatch.setattr(board_fits, "_may_fit",
                        lambda core, board, progress: core.config.lanes <= largest)
    monkeypatch.setattr(board_fits, "_built", built)
    found = board_fits.fit("dot", "icebreaker", silent)
    return found and found.parameters["lanes"], asked


@pytest.mark.parametrize("largest", [0, 1, 8, 20, 64])
def test_the_largest_is_found(largest, monkeypatch):
    found, asked = search(monkeypatch, largest, lambda lanes, mhz: True)
    assert (found or 0) == largest
    assert asked == ([(largest, 18)] if largest else [])


def test_a_build_that_fails_is_followed_by_a_slower_and_then_a_smaller_one(monkeypatch):
    found, asked = search(monkeypatch, 20, lambda lanes, mhz: lanes <= 8 and mhz == 12)
    assert found == 8
    assert asked == [(lanes, mhz) for lanes in (20, 16, 12) for mhz in (18, 12)] + [
        (8, 18), (8, 12)]


def test_operations(monkeypatch):
    monkeypatch.setattr(board_fits, "_may_fit", lambda core, *_: core.config.rows <= 2)
    monkeypatch.setattr(board_fits, "_built", lambda *_: FOUND)
    found = board_fits.fit("systolic", "icebreaker", silent)
    assert (found.parameters["rows"], found.parameters["cols"]) == (2, 4)
    assert found.peak == pytest.approx(2 * 2 * 4)
    assert 0.9 * found.peak < found.sustained < found.peak


@pytest.mark.parametrize("values, blocks", [
    ({"rows": 4, "cols": 6, "technology": "ice40"}, {"SB_MAC16": 12}),
    ({"rows": 3, "cols": 5, "technology": "ecp5"}, {"MULT18X18D": 15}),
    ({"rows": 3, "cols": 5}, {}),
])
def test_blocks_are_counted_without_synthesis(values, blocks):
    known = registry.get("systolic")
    found = board_fits._blocks(board_fits._core(known, values))
    assert {cell: count for cell, count in found.items() if cell in blocks} == blocks


@pytest.mark.parametrize("template", [template.name for template in registry.TEMPLATES])
def test_every_template_has_sizes_for_every_board(template):
    known = registry.get(template)
    for board in boards.BOARDS.values():
        wanted = board_fits.FASTER.get(board.name, 2) * board.clock_mhz
        assert pll.instance(board.device.family.name, board.pll, board.clock_mhz, wanted)[1]
        sizes = [board_fits._values(known, size, board) for size in board_fits.ladder(template)]
        assert sizes[0] is not None and len([size for size in sizes if size]) > 3
