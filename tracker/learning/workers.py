"""Processes that find the gradients of the parts of a step at the same time."""

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from multiprocessing import get_context, parent_process
from typing import Any, Self

import torch

from ...weights import Weights
from .recipe import Recipe
from .unrolled import Part, Unrolled

_unrolled: Unrolled | None = None
"""Of a worker, from its first part on: its own copy of the tracker."""


class Workers:
    """So many processes, each with a tracker of its own, that end with the `with` block or with this process."""

    def __init__(self, unrolled: Unrolled, count: int) -> None:
        self.unrolled = unrolled
        # A process that is forked from one that has threads can wait for them in vain.
        self.pool = ProcessPoolExecutor(count, get_context("spawn"), _begin)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: Any) -> None:
        self.pool.shutdown(cancel_futures=True)

    def parts(self, step: int) -> list[Part]:
        """All parts of a step, with the parameters as they are now.

        Raises `ChildProcessError` where a worker has ended, perhaps for want of memory.
        """
        recipe, values = self.unrolled.recipe, self.unrolled.values()
        try:
            with _born_without_interrupts():
                found = self.pool.map(partial(_part, recipe, values, step), range(recipe.parts(step)))
            return list(found)
        except BrokenProcessPool:
            raise ChildProcessError(
                f"a worker ended at step {step + 1}, perhaps for want of memory; what was saved can be gone on "
                "with, by one worker too"
            ) from None


@contextlib.contextmanager
def _born_without_interrupts() -> Iterator[None]:
    """Processes that start within are never interrupted: that is for the one that writes the checkpoint."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _begin() -> None:
    # Where they cannot be born so.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """End this worker when its parent has ended, however that was."""
    parent = parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _part(recipe: Recipe, values: Weights, step: int, part: int) -> Part:
    global _unrolled
    if _unrolled is None:
        _unrolled = Unrolled(recipe, values)
    else:
        _unrolled.take({name: torch.from_numpy(value) for name, value in values.items()})
    return _unrolled.part(step, part)
