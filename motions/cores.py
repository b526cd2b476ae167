"""Work on many clips, shared among all cores."""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

TOGETHER = 32  # items that one process takes at a time


def workers() -> int:
    """As many as this process may use cores, which may be fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def on_all_cores[Item, Made](function: Callable[[Item], Made], items: Sequence[Item]) -> Iterator[Made]:
    """function(item) of each, in order, by processes that are begun for it: worth it for seconds of work and more.

    function, items and what is made must be picklable. What one raises is raised here. One core needs no processes.
    """
    if workers() == 1:
        yield from map(function, items)
        return
    with ProcessPoolExecutor(workers(), mp_context=get_context("spawn")) as pool:  # forked ones would inherit JAX's locks
        yield from pool.map(function, items, chunksize=TOGETHER)
