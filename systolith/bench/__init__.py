"""The project's own figures, measured here and now: what `systolith bench` prints.

A topic is a module of this package with ``tables(progress, *, quick)``, which yields
:class:`~systolith.bench.results.Table`, :class:`~systolith.bench.results.Grid` and
:class:`~systolith.bench.results.Plot` as they are measured.
"""

from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from types import MappingProxyType

from systolith.bench import findings
from systolith.bench.results import Part, Progress
from systolith.hdl.config import did_you_mean
from systolith.hdl.errors import Error

#: What can be measured, and what each topic tells.
TOPICS: Mapping[str, str] = MappingProxyType({
    "systolic": "utilization, generation, builds and simulated clock rates of the GEMM core",
    "formats": "gates, cells, latency and accumulator of every number format",
    "primitives": "clock rates of multiplier blocks, and of whole systolic cores made of them",
    "sparse_chain": "utilization and speed-up by pattern, digits with pruned and quantized "
                    "weights, break-even with a dense array",
    "bitserial": "products per cycle, area of PEs, clock rates, digits by type of the weights",
    "low_precision": "the engines for weights of a few bits on one product: cycles, area, "
                     "net changes, error; digits; a whole layer",
    "softmax": "errors against float64, exponentials, traffic, an attention over digits",
    "softmax_area": "area, clock rate, error and throughput of every softmax algorithm",
    "activation": "errors by function and implementation; in a full run also area and clock rate, "
                  "of norm too",
    "link": "efficiency of the host link",
    "boards": "the largest core of each template that fits a board",
    "signoff": "every template on the whole verification ladder: mutants, proofs, netlists, upsets",
})


def run(topics: Sequence[str], progress: Progress, *, quick: bool = False,
        checkout: Path | None = None) -> Iterator[tuple[str, list[Part]]]:
    """Measure topics, all of them if none is named, one after the other.

    Parameters
    ----------
    progress : callable
        Gets a line on each step that begins.
    quick : bool
        Leave out what takes many minutes.
    checkout : Path, optional
        Whose findings need not be searched again.

    Raises
    ------
    Error
        If there is no such topic.
    """
    for topic in topics:
        if topic not in TOPICS:
            raise Error(f"unknown topic {topic!r}{did_you_mean(topic, TOPICS)}; topics are "
                        f"{', '.join(TOPICS)}")
    for topic in dict.fromkeys(topics or TOPICS):
        module = import_module(f"systolith.bench.{topic}")
        if checkout:
            findings.recall(topic, module, checkout)
        yield topic, list(module.tables(progress, quick=quick))
