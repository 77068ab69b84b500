"""How a caller listens to the steps of a memory attention: by their names, which every backend shares."""

from collections.abc import Callable
from typing import Any

Record = Callable[[str, Any], Any]
"""Called with a step's name and output; returns the output."""


def unrecorded(name: str, value: Any) -> Any:
    """Listen to nothing."""
    return value


def under(record: Record, prefix: str) -> Record:
    """Listen with `prefix.` before every name."""
    if record is unrecorded:
        return unrecorded
    return lambda name, value: record(f"{prefix}.{name}", value)
