"""The search for the largest core that a device holds."""

from itertools import islice

import numpy as np
import pytest

from systolith.bench import boards as topic
from systolith.bench import largest as largest_core
from systolith.fpga import boards, pll
from systolith.fpga import build as bitstreams
from systolith.generators import registry

FOUND = {"resources": {"lut": 1.0, "ff": 1.0, "dsp": 8.0, "bram": 1.0}, "fmax_mhz": 20.0,
         "clock_mhz": 18.0, "caveat": "", "seconds": 1.0}


def silent(message):
    pass


def search(monkeypatch, largest, builds, fmax=12, fullest=0):
    """Lanes of the ``dot`` that is found where ``largest`` fits by estimate, ``fullest`` without
    any room, and what was built."""
    asked = []

    def built(core, board, mhz, progress):
        asked.append((core.config.lanes, mhz))
        return FOUND if builds(core.config.lanes, mhz) else {"failure": "no", "fmax_mhz": fmax}

    monkeypatch.setattr(largest_core, "_may_fit",
                        lambda core, board, progress, fullest=0, tight=fullest:
                        core.config.lanes <= (tight if fullest else largest))
    monkeypatch.setattr(largest_core, "_built", built)
    found = largest_core._search("dot", "icebreaker", silent)
    return found.parameters.get("lanes", 0), asked


@pytest.mark.parametrize("largest", [0, 1, 8, 20, 64])
def test_the_largest_is_found(largest, monkeypatch):
    found, asked = search(monkeypatch, largest, lambda lanes, mhz: True)
    assert found == largest
    assert asked == ([(largest, 18)] if largest else [])


@pytest.mark.parametrize("builds, found", [(True, 1), (False, 0)])
def test_the_smallest_is_built_even_where_it_leaves_no_room(builds, found, monkeypatch):
    assert search(monkeypatch, 0, lambda lanes, mhz: builds, fmax=0, fullest=2) == (
        found, [(1, 18)])


def test_a_build_that_fails_is_followed_by_a_slower_and_then_smaller_ones(monkeypatch):
    found, asked = search(monkeypatch, 20, lambda lanes, mhz: lanes <= 8 and mhz == 12)
    assert found == 8
    assert asked == [(lanes, mhz) for lanes in (20, 4, 8, 12) for mhz in (18, 12)]


@pytest.mark.parametrize("routed", [0, 1, 2, 3, 12, 24, 28])
def test_of_those_that_may_fit_the_largest_that_is_routed_is_found(routed, monkeypatch):
    found, asked = search(monkeypatch, 28, lambda lanes, mhz: lanes <= routed, fmax=0)
    assert found == routed and len(asked) <= 5
    assert routed == 28 or min(lanes for lanes, _ in asked if lanes > routed) == next(
        size for size in largest_core._LENGTHS if size > routed)


def test_what_is_far_too_slow_or_too_large_is_not_built_with_another_clock(monkeypatch):
    found, asked = search(monkeypatch, 8, lambda lanes, mhz: lanes <= 4, fmax=0)
    assert found == 4
    assert asked == [(8, 18), (3, 18), (4, 18), (6, 18)]


def test_a_quick_run_shows_what_was_found_before(monkeypatch, tmp_path):
    monkeypatch.setenv("SYSTOLITH_CACHE", str(tmp_path))
    monkeypatch.setattr(topic, "QUICK", ())
    asked = []
    monkeypatch.setattr(topic, "built_in",
                        lambda core, board, _: asked.append((core.config.rows, board)) or 130.0)
    monkeypatch.setattr(registry, "TEMPLATES", (registry.get("systolic"), registry.get("dot"),
                                                registry.get("norm")))
    monkeypatch.setattr(largest_core, "_may_fit", lambda core, *_: core.config.lanes <= 8)
    monkeypatch.setattr(largest_core, "_built", lambda *_: FOUND)
    assert largest_core.fit_of_before("dot", "icebreaker") is None
    largest_core.fit("dot", "icebreaker", silent)
    monkeypatch.setattr(largest_core, "_built", None)    # nothing is built again
    assert largest_core.fit("dot", "icebreaker", silent).parameters["lanes"] == 8
    targets, grid = topic.tables(silent, quick=True)
    assert asked == [(4, "icebreaker"), (8, "ulx3s-45f")]
    assert [figure.reached for figure in targets.figures] == [False, False]
    row, = grid.rows
    assert row[:8] == ("Lattice iCE40UP5K (icebreaker), dot", "lanes 8", 1, 1, 8, 100, 1, 18)
    assert grid.note.startswith(f"1 of {len(largest_core.dies()) * 3} pairs of device and template")


def test_a_fit_depends_on_the_ways_to_place_and_route(monkeypatch):
    before = [largest_core.key("dot", board) for board in ("icebreaker", "ulx3s-12f")]
    monkeypatch.setitem(bitstreams.QUICK, "ice40", ("--another",))
    after = [largest_core.key("dot", board) for board in ("icebreaker", "ulx3s-12f")]
    assert before[0] != after[0] and before[1] == after[1]


def test_boards_with_the_same_device_share_a_search():
    assert sorted(name for names in largest_core.dies().values() for name in names) == sorted(
        boards.BOARDS)
    assert largest_core.dies()["ulx3s-12f"] == ("ulx3s-12f", "ulx3s-25f", "colorlight-i5",
                                                "orangecrab")


def test_operations(monkeypatch):
    monkeypatch.setattr(largest_core, "_may_fit", lambda core, *_: core.config.rows <= 2)
    monkeypatch.setattr(largest_core, "_built", lambda *_: FOUND)
    found = largest_core._search("systolic", "icebreaker", silent)
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
    found = largest_core._blocks(largest_core._core(known, values))
    assert {cell: count for cell, count in found.items() if cell in blocks} == blocks


@pytest.mark.parametrize("template", [template.name for template in registry.TEMPLATES])
def test_every_template_has_sizes_for_every_board(template):
    known = registry.get(template)
    for board in boards.BOARDS.values():
        wanted = largest_core.FASTER.get(board.name, 2) * board.clock_mhz
        assert pll.instance(board.device.family.name, board.pll, board.clock_mhz, wanted)[1]
        sizes = [largest_core._values(known, size, board) for size in largest_core.ladder(template)]
        assert sizes[0] is not None and len([size for size in sizes if size]) > 3


@pytest.mark.parametrize("template", registry.TEMPLATES, ids=lambda template: template.name)
def test_every_workload_counts_as_operations(template):
    model = template.load_model()
    for workload in islice(model.stimulus(template.config(), np.random.default_rng(1)), 40):
        assert largest_core.operations(template.name, workload) > 0
