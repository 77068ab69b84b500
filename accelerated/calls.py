"""Calls that SAM 2's own modules understand too."""

from typing import Any

from ..rules.record import unrecorded


def options(**given: Any) -> dict[str, Any]:
    """Only what differs from its default: SAM 2's modules know no `grid` and no `record`."""
    return {name: value for name, value in given.items() if value is not unrecorded and value not in (0, None)}
