"""The build cache: compiled models by content.

It lives in ``$SYSTOLITH_CACHE``, else in ``$XDG_CACHE_HOME/systolith``, else in
``~/.cache/systolith``. An entry is the directory ``<kind>/<key>``, where the key is the SHA-256 of
everything the build read. It appears under that name only when complete, and never changes.
"""

import fcntl
import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from systolith.hdl.errors import Error


def root() -> Path:
    """Where the cache is; the directory may not exist yet."""
    if chosen := os.environ.get("SYSTOLITH_CACHE"):
        return Path(chosen).expanduser().absolute()
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "systolith"


def key(*parts: str | bytes) -> str:
    """SHA-256 over ``parts``; moving a byte from one part to the next changes it."""
    digest = hashlib.sha256()
    for part in parts:
        octets = part.encode() if isinstance(part, str) else part
        digest.update(len(octets).to_bytes(8, "little") + octets)
    return digest.hexdigest()


def entry(kind: str, name: str, build: Callable[[Path], None]) -> Path:
    """Return the directory of an entry, building it where it is missing.

    Parameters
    ----------
    kind : str
        What it is: ``"verilator"``, ``"runtime"``, …
    name : str
        From :func:`key`.
    build : callable
        Fills the empty directory that it is given. If it raises, nothing remains. Of several
        processes that ask for the same entry one builds, and the others wait for it.

    Raises
    ------
    Error
        If the cache directory cannot be written.
    """
    place = root() / kind / name
    if place.is_dir():
        return place
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        with _locked(root() / "lock", fcntl.LOCK_SH), \
             _locked(place.with_suffix(".lock"), fcntl.LOCK_EX):
            if not place.is_dir():
                scratch = Path(tempfile.mkdtemp(prefix=f"{name[:16]}.", dir=place.parent))
                try:
                    build(scratch)
                    scratch.rename(place)
                finally:
                    shutil.rmtree(scratch, ignore_errors=True)
    except (PermissionError, FileExistsError, NotADirectoryError) as error:
        raise Error(f"cannot write the build cache {root()}: {error.strerror}; set SYSTOLITH_CACHE "
                    "to a directory that can be written") from None
    return place


def size() -> int:
    """Bytes in the cache."""
    return sum(path.lstat().st_size for owned in _owned() for path in (owned, *owned.rglob("*"))
               if path.is_file())


def clean() -> int:
    """Remove every entry, waiting for builds that run; returns the bytes that this freed.

    Only what :func:`entry` makes is removed, so that a cache set to a directory with other files in
    it leaves those alone.
    """
    if not root().is_dir():
        return 0
    with _locked(root() / "lock", fcntl.LOCK_EX):
        freed = size()
        for path in _owned():
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()
    return freed


def _owned() -> list[Path]:
    """Entries, their locks, and what builds that were killed left behind."""
    return [path for path in root().glob("*/*")
            if re.fullmatch(r"[0-9a-f]{64}(\.lock)?|[0-9a-f]{16}\.\w{8}", path.name)]


@contextmanager
def _locked(path: Path, mode: int) -> Iterator[None]:
    with path.open("a") as file:
        fcntl.flock(file, mode)
        yield
