"""What long searches found: kept in the build cache, and from machine to machine in the checkout.

A finding is a JSON document under the key of everything that it depends on. A topic that searches
for many hours names its findings; a run with a checkout knows those that an earlier run has written
there, so it goes on where that one was broken off.
"""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from systolith.hdl.errors import Error
from systolith.sim.simulators import cache

FILE = "found.json"          # of an entry in the build cache
FOLDER = Path("docs/figures/found")

Document = dict[str, Any]


@runtime_checkable
class Searching(Protocol):
    """A topic with findings."""

    FINDINGS: str            # kind of their entries in the build cache

    def keys(self) -> Mapping[str, str]:
        """Of its findings, by what people call them."""
        ...


def find(kind: str, key: str, search: Callable[[Path], Document]) -> Document:
    """A finding, searched if it is not known; ``search`` may leave other files in the folder."""
    def make(folder: Path) -> None:
        (folder / FILE).write_text(json.dumps(search(folder)))

    return json.loads((cache.entry(kind, key, make) / FILE).read_text())


def known(kind: str, key: str) -> Document | None:
    """A finding, None where it was not searched yet."""
    place = cache.root() / kind / key / FILE
    return json.loads(place.read_text()) if place.exists() else None


def recall(topic: str, module: object, root: Path) -> None:
    """Put into the build cache what a checkout has, as far as it holds for what is there now.

    Raises
    ------
    Error
        If the file in the checkout is damaged.
    """
    path = root / FOLDER / f"{topic}.json"
    if not isinstance(module, Searching) or not path.exists():
        return
    try:
        kept = {found["key"]: found["found"] for found in json.loads(path.read_text()).values()}
    except (ValueError, KeyError, TypeError, AttributeError):
        raise Error(f"{path} does not hold findings: restore it, or remove it to search everything "
                    "again") from None
    for key in module.keys().values():
        if key in kept:
            find(module.FINDINGS, key, lambda folder, key=key: kept[key])


def keep(topic: str, module: object, root: Path) -> list[Path]:
    """Write into a checkout what is known; returns the file, in a list that is empty where the
    topic has no findings."""
    if not isinstance(module, Searching):
        return []
    documents = {name: {"key": key, "found": found}
                 for name, key in module.keys().items()
                 if (found := known(module.FINDINGS, key)) is not None}
    path = root / FOLDER / f"{topic}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(documents, indent=1) + "\n")
    return [path]
