"""Which tokens of a frame somebody means: by number, under a mask, or in a box."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Int

from .cells import covered_cells, nearest_to_their_mean
from .rules.numbers import is_whole_number

FOUND = "found"
"""The word for the tokens under the mask in which the object was last found."""


@dataclass(frozen=True)
class Box:
    """A box in a frame of `width` × `height` pixels; without them its sides are fractions, 0 to 1."""

    left: float
    top: float
    right: float
    bottom: float
    width: float = 1.0
    height: float = 1.0

    def __post_init__(self) -> None:
        inside = 0 <= self.left < self.right <= self.width and 0 <= self.top < self.bottom <= self.height
        if not inside:
            raise ValueError(
                f"queries is {self}, expected left < right and top < bottom, inside of 0 to width and 0 to height"
            )


def check_queries(queries: Any) -> Any:
    """Return queries that `tokens_of` takes, as NumPy has them; raises `TypeError` or `ValueError` for others.

    A number or some of them, a mask [h,w] of any size, a `Box`, or `"found"`.
    """
    if isinstance(queries, Box) or (isinstance(queries, str) and queries == FOUND):
        return queries
    numbers = _numbers(queries)
    if numbers is not None:
        return numbers
    mask = np.asarray(queries.detach().cpu() if hasattr(queries, "detach") else queries)
    if mask.ndim != 2 or mask.dtype.kind not in "bui":
        raise TypeError(
            f"queries is {type(queries).__name__} of shape {mask.shape} and dtype {mask.dtype}, expected token "
            f"numbers, a mask [h,w] of bool or whole numbers, a Box, or {FOUND!r}"
        )
    if not mask.any():
        raise ValueError(f"queries is an empty mask of shape {mask.shape}, expected at least one pixel in it")
    return mask > 0


def tokens_of(queries: Any, grid: tuple[int, int], most: int) -> Int[np.ndarray, " Q"]:
    """The tokens of a (h, w) grid that checked queries mean, in the order of the grid, numbers in their own.

    Of a mask or a box that covers more than `most` tokens, that many, spread over it. Raises `ValueError`
    for a number outside the grid.
    """
    if isinstance(queries, Box):
        covered = _box_cells(queries, grid)
    elif queries.ndim == 1:
        wrong = queries[(queries < 0) | (queries >= grid[0] * grid[1])]
        if wrong.size:
            raise ValueError(f"queries has token {wrong[0]}, expected 0 to {grid[0] * grid[1] - 1} on {grid}")
        return queries
    else:
        covered = covered_cells(queries, grid)
    return np.sort(_spread(np.argwhere(covered), most) @ (grid[1], 1))


def _spread(places: Int[np.ndarray, "n 2"], most: int) -> Int[np.ndarray, "Q 2"]:
    """At most so many of the places: the one nearest to their middle, then each as far from those as can be."""
    if len(places) <= most:
        return places
    chosen = [nearest_to_their_mean(places)]
    distance = np.full(len(places), np.inf)
    while len(chosen) < most:
        distance = np.minimum(distance, ((places - places[chosen[-1]]) ** 2).sum(axis=1))
        chosen.append(int(distance.argmax()))
    return places[chosen]


def _numbers(queries: Any) -> Int[np.ndarray, " Q"] | None:
    """Token numbers, if that is what they are."""
    if is_whole_number(queries):
        return np.array([int(queries)])
    is_list = isinstance(queries, Sequence) and not isinstance(queries, str) and len(queries) > 0
    if is_list and all(is_whole_number(number) for number in queries):
        return np.array([int(number) for number in queries])
    shape, dtype = tuple(getattr(queries, "shape", ())), str(getattr(queries, "dtype", "")).removeprefix("torch.")
    if len(shape) == 1 and shape[0] and dtype.removeprefix("u").startswith("int"):
        return np.array([int(number) for number in queries])
    return None


def _box_cells(box: Box, grid: tuple[int, int]) -> Bool[np.ndarray, "h w"]:
    """The cells whose middle is in the box; where none is, the cell of the box's own middle."""
    height, width = grid
    y = (np.arange(height) + 0.5) / height * box.height
    x = (np.arange(width) + 0.5) / width * box.width
    inside = ((y >= box.top) & (y < box.bottom))[:, None] & ((x >= box.left) & (x < box.right))
    if not inside.any():
        row = int((box.top + box.bottom) / 2 / box.height * height)
        inside[row, int((box.left + box.right) / 2 / box.width * width)] = True
    return inside
