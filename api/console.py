"""What the commands write to: tables to stdout, progress to stderr."""

import sys
from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

T = TypeVar("T")

# Without markup: a name may have brackets.
console = Console(width=None if sys.stdout.isatty() else 120, markup=False, emoji=False)
stderr = Console(stderr=True, markup=False, emoji=False)


def progress_bar(*columns: Any, counted: bool = True) -> Progress:
    """A progress bar with a description, a count and the time."""
    count = [MofNCompleteColumn()] if counted else []
    described = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        *count,
        *columns,
        TimeElapsedColumn(),
    )
    return Progress(*described, console=stderr, transient=True, disable=not stderr.is_terminal)


def counted(items: Sequence[T], description: str, show: bool) -> Iterator[T]:
    """The items one by one, under a progress bar if it is to be shown."""
    with progress_bar() as progress:
        task = progress.add_task(description, total=len(items), visible=show)
        for item in items:
            yield item
            progress.advance(task)
