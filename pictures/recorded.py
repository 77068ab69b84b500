"""A picture of one query of a recording."""

from typing import Any

import numpy as np

from ..cells import nearest_to_their_mean
from ..looks import Look
from ..recording import UNNAMED, Recording, listed
from .attention import draw_attention
from .figures import Figure

UNSEEN = 0.85
"""The grey of a frame of which the recording has no picture."""


def draw_look(
    recording: Recording,
    frame: int | None = None,
    object: Any = None,
    layer: int = -1,
    query: tuple[int, int] | None = None,
) -> Figure:
    """Draw where one query looked: in a `frame` (none: the last), for an `object` (none: the only one).

    `layer` counts those that were recorded, −1 the last; `query` is (row, column) of a recorded one, none: the
    one in their middle. The mean over the heads. Raises `ValueError` for what was not recorded.
    """
    if not recording.frames:
        raise ValueError("the recording has no frame")
    number = recording.frames[-1] if frame is None else frame
    look = recording.look(number, object)
    if not -len(look.layers) <= layer < len(look.layers):
        raise ValueError(f"layer is {layer}, expected one of the {len(look.layers)} that were recorded")
    index, counted = _place(look, query), look.layers[layer]
    memories = look.memory_frames or (None,) * look.num_memories
    behind = [_picture(recording, seen, look.grid) for seen in memories]
    return draw_attention(
        look.at_memory(counted).mean(axis=0)[index],
        look.grid,
        int(look.queries[index]),
        _picture(recording, number, look.grid),
        behind,
        look.num_obj_ptr_tokens,
        f"{recording.made_by.get('model', UNNAMED)}, frame {number}, object {look.object}, layer {counted}",
        [f"memory of frame {seen}" for seen in look.memory_frames or ()],
    )


def _place(look: Look, query: tuple[int, int] | None) -> int:
    if query is None:
        return nearest_to_their_mean(np.stack(np.divmod(look.queries, look.grid[1]), axis=1))
    token = query[0] * look.grid[1] + query[1]
    if token not in look.queries or not 0 <= query[1] < look.grid[1]:
        places = [f"{token // look.grid[1]},{token % look.grid[1]}" for token in look.queries.tolist()]
        raise ValueError(f"query {query[0]},{query[1]} was not recorded, expected one of {listed(places, 16)}")
    return int(np.flatnonzero(look.queries == token)[0])


def _picture(recording: Recording, number: int | None, grid: tuple[int, int]) -> np.ndarray:
    image = None if number is None else recording.images.get(number)
    return np.full((*grid, 3), UNSEEN) if image is None else image / 255
