"""What the commands write to: tables to stdout, progress to stderr."""

import sys
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

console = Console(width=None if sys.stdout.isatty() else 120)
_stderr = Console(stderr=True)


def progress_bar(*columns: Any, counted: bool = True) -> Progress:
    """A progress bar with a description, a count and the time."""
    count = [MofNCompleteColumn()] if counted else []
    return Progress(
        TextColumn("{task.description}"), BarColumn(), *count, *columns, TimeElapsedColumn(), console=_stderr
    )
