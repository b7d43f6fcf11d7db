"""The build cache, also under parallel use."""

import multiprocessing
import os
import time
from pathlib import Path

import pytest

from systolith.hdl.errors import Error
from systolith.sim.simulators import cache

KEY = cache.key("something")


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    monkeypatch.setenv("SYSTOLITH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def _slow_entry(log):
    def build(folder: Path) -> None:
        with Path(log).open("a") as file:
            file.write("built\n")
        time.sleep(0.2)
        (folder / "product").write_text("done")

    product = cache.entry("kind", KEY, build) / "product"
    if product.read_text() != "done":
        raise SystemExit(1)


def test_parallel_builders_share_one_build(tmp_path):
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_slow_entry, args=(str(tmp_path / "log"),))
                 for _ in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * 4
    assert (tmp_path / "log").read_text() == "built\n"


def test_failed_build_leaves_nothing(place):
    def build(folder):
        (folder / "half").write_text("")
        raise RuntimeError("no")

    with pytest.raises(RuntimeError, match=r"^no$"):
        cache.entry("kind", KEY, build)
    assert [path.name for path in (place / "kind").iterdir() if path.is_dir()] == []
    cache.entry("kind", KEY, lambda folder: (folder / "whole").write_text(""))
    assert (place / "kind" / KEY / "whole").exists()


def test_clean_leaves_other_files_alone(place):
    cache.entry("kind", KEY, lambda folder: (folder / "product").write_bytes(bytes(1000)))
    (place / "kind" / "mine").write_text("keep")
    assert cache.size() == 1000
    assert cache.clean() == 1000
    assert cache.size() == 0
    assert (place / "kind" / "mine").exists()
    assert not (place / "kind" / KEY).exists()


def test_location(monkeypatch, tmp_path):
    monkeypatch.delenv("SYSTOLITH_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache.root() == tmp_path / "systolith"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache.root() == tmp_path / ".cache" / "systolith"


def test_unwritable_location(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SYSTOLITH_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(Error, match=r"^cannot write the build cache .*set SYSTOLITH_CACHE"):
        cache.entry("kind", KEY, lambda folder: None)


def test_key_separates_parts():
    assert cache.key("ab", "c") != cache.key("a", "bc")
    assert len({cache.key(os.urandom(4)) for _ in range(8)}) == 8
