"""Blocks of queries spread over threads: inside each of them PyTorch itself uses one thread."""

import functools
import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

from .tracing import is_watched

Job = TypeVar("Job")


def spread(work: Callable[[Job], None], jobs: Sequence[Job]) -> None:
    """Do every job, in as many threads as PyTorch has, without gradients; a counter sees them all in this one."""
    threads = torch.get_num_threads()

    def untracked(job: Job) -> None:
        with torch.inference_mode():
            work(job)

    if threads == 1 or len(jobs) == 1 or is_watched():
        for job in jobs:
            untracked(job)
    else:
        with _making:
            workers = _workers(threads)
        list(workers.map(untracked, jobs))


_making = threading.Lock()


@functools.cache
def _workers(threads: int) -> ThreadPoolExecutor:
    """As many threads, each of which PyTorch uses as one."""
    pool = ThreadPoolExecutor(threads, "blocks", initializer=lambda: torch.set_num_threads(1))
    started = threading.Barrier(threads)
    list(pool.map(lambda _: started.wait(), range(threads)))
    # The count belongs to each thread, but new threads take over the last one set.
    torch.set_num_threads(threads)
    return pool


def _start_anew() -> None:
    """A child process inherits the pool, but none of its threads, and perhaps a lock that was held."""
    global _making
    _making = threading.Lock()
    _workers.cache_clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_start_anew)
