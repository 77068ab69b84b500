"""What modules of others need to be told: SAM 2's own memory attention takes no grid."""

from collections.abc import Callable
from typing import Any

from torch import nn

from .memory_attention import MemoryAttention


def grid_for(attention: Callable[..., Any], grid: tuple[int, int] | None) -> tuple[int, int] | None:
    """The grid to give to an attention; none where a module of others finds it, as it expects a square."""
    theirs = isinstance(attention, nn.Module) and not isinstance(attention, MemoryAttention)
    return None if grid is not None and grid[0] == grid[1] and theirs else grid
