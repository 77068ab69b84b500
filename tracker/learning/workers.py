"""Processes that find the gradients of the parts of a step at the same time."""

import os
import signal
import threading
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context, parent_process
from typing import Any, Self

import torch

from ...weights import Weights
from .recipe import Recipe
from .unrolled import Part, Unrolled

_unrolled: Unrolled
"""Of a worker: its own copy of the tracker."""


class Workers:
    """So many processes, each with a tracker of its own, that end with the `with` block or with this process."""

    def __init__(self, unrolled: Unrolled, count: int) -> None:
        self.unrolled = unrolled
        # A process that is forked from one that has threads can wait for them in vain.
        begins = (unrolled.recipe, unrolled.values())
        self.pool = ProcessPoolExecutor(count, get_context("spawn"), _begin, begins)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: Any) -> None:
        self.pool.shutdown(cancel_futures=True)

    def parts(self, step: int) -> list[Part]:
        """All parts of a step, with the parameters as they are now."""
        values, count = self.unrolled.values(), self.unrolled.recipe.parts(step)
        return list(self.pool.map(_part, [step] * count, range(count), [values] * count))


def _begin(recipe: Recipe, weights: Weights) -> None:
    global _unrolled
    # An interrupt is for the process that writes the checkpoint.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _unrolled = Unrolled(recipe, weights)


def _end_with_parent() -> None:
    """A process that was killed tells its workers nothing."""
    parent = parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _part(step: int, part: int, values: Weights) -> Part:
    _unrolled.take({name: torch.from_numpy(value) for name, value in values.items()})
    return _unrolled.part(step, part)
