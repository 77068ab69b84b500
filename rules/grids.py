"""What counts as a valid grid of tokens, and how many memory frames the keys over it are."""

import math
import operator
from typing import Any

from .numbers import is_whole_number


def check_grid(grid: Any, name: str = "grid") -> tuple[int, int]:
    """Return a pair of whole numbers as a tuple of ints, or raise `TypeError` naming the argument."""
    pair = tuple(grid) if hasattr(grid, "__len__") and not isinstance(grid, str) else ()
    whole = [int(side) for side in pair if is_whole_number(side)]
    if len(pair) != 2 or len(whole) != 2:
        raise TypeError(f"{name} is {grid!r}, expected a pair of whole numbers")
    return whole[0], whole[1]


def grid_of(num_tokens: int, grid: tuple[int, int] | None, feat_sizes: tuple[int, int]) -> tuple[int, int]:
    """The (h, w) of `num_tokens` tokens: `grid` if given, else `feat_sizes` (w, h) if it fits, else a square.

    Raises `ValueError` where none of them has that many tokens.
    """
    if grid is not None:
        height, width = check_grid(grid)
        if height < 1 or width < 1 or height * width != num_tokens:
            raise ValueError(f"grid {tuple(grid)} has {height * width} tokens, expected {num_tokens}")
        return height, width
    width, height = feat_sizes
    if height * width == num_tokens:
        return height, width
    # A compiler takes the root of a number, not of its symbol.
    side = math.isqrt(operator.index(num_tokens))
    if side * side == num_tokens:
        return side, side
    raise ValueError(
        f"{num_tokens} query tokens are neither feat_sizes {tuple(feat_sizes)} nor a square: give the grid (h, w)"
    )


def frames_of_keys(num_rotated: int, num_queries: int, rope_k_repeat: bool) -> int:
    """How many memory frames the rotated keys are: each has one key per query token.

    Raises `ValueError` where they are no whole number, or more than one without `rope_k_repeat`.
    """
    if num_rotated % num_queries:
        raise ValueError(
            f"{num_rotated} rotated keys are no whole multiple of the {num_queries} query tokens; "
            "num_obj_ptr_tokens says how many keys at the end have no place in the image"
        )
    frames = num_rotated // num_queries
    if frames > 1 and not rope_k_repeat:
        raise ValueError(
            f"{num_rotated} rotated keys for {num_queries} query tokens need rope_k_repeat, "
            "which is off: expected as many rotated keys as query tokens"
        )
    return frames
