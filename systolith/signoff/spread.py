"""Work in many pieces: in this process, over processes of this machine, or over a Dask cluster."""

import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

from systolith.hdl.errors import Error
from systolith.signoff.rung import Options
from systolith.sim.simulators.errors import ToolError

Item = TypeVar("Item")
Value = TypeVar("Value")

#: How often a piece is given to another process after the one that had it died.
RETRIES = 3
SECONDS = 20                 # to reach a scheduler


def spread(function: Callable[[Item], Value], items: Sequence[Item], options: Options
           ) -> Iterator[tuple[int, Value]]:
    """Results of ``function`` on every item, each with the item's index, as they come.

    A piece whose process or whose machine is lost is done again by another.

    Parameters
    ----------
    function : callable
        Of the top level of a module; with its argument and its result it goes through pickle,
        unless everything runs in this process.
    items : sequence
    options : Options
        ``jobs`` and ``scheduler``.

    Raises
    ------
    Error
        If no scheduler answers at the address.
    ToolError
        If Dask is not installed, or a piece has taken down :data:`RETRIES` processes.
    """
    if options.scheduler is not None:
        yield from _over_cluster(function, items, options.scheduler)
    elif options.jobs > 1 and len(items) > 1:
        yield from _over_processes(function, items, options.jobs)
    else:
        for index, item in enumerate(items):
            yield index, function(item)


def _over_processes(function, items, jobs):
    left = dict(enumerate(items))
    # A process that dies takes its pool along, and everything the pool had not finished.
    for _ in range(RETRIES + 1):
        with ProcessPoolExecutor(min(jobs, len(left)),
                                 multiprocessing.get_context("spawn")) as pool:
            futures = {pool.submit(function, item): index for index, item in left.items()}
            try:
                for future in as_completed(futures):
                    value = future.result()
                    del left[futures[future]]
                    yield futures[future], value
            except BrokenProcessPool:
                # Its siblings may have finished in the meantime.
                for future, index in futures.items():
                    if index in left and future.done() and not future.exception():
                        del left[index]
                        yield index, future.result()
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
        if not left:
            return
    raise ToolError("python", f"a process died {RETRIES + 1} times over the same "
                              f"{len(left)} pieces of work")


def _over_cluster(function, items, address):
    try:
        from distributed import Client, KilledWorker, as_completed
    except ImportError:
        raise ToolError("dask", "not installed",
                        install="pip install 'systolith[cluster]'") from None
    try:
        client = Client(address, timeout=SECONDS, set_as_default=False)
    except (OSError, ValueError) as error:
        raise Error(f"no Dask scheduler answers at {address!r}: {error}") from None
    with client:
        futures = {client.submit(function, item, pure=False): index
                   for index, item in enumerate(items)}
        try:
            for future in as_completed(futures, loop=client.loop):
                yield futures[future], future.result()
        except KilledWorker as error:
            raise ToolError("dask", str(error)) from None
        finally:
            client.cancel(list(futures))
