"""The attention explorer: one HTML page that needs no network; point at a query and see where it looks."""

import base64
import html
import io
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Any, Protocol

import numpy as np

from ..attention_map import PARTS, compared_steps
from ..files import whole_file
from ..inputs import Inputs
from ..model import Model
from ..rules.packages import require
from .colours import HEAT, object_colour
from .outlines import outlines

MOST_OBJECTS = 4
"""Of how many objects, the first ones, the page has the attention: each takes some megabytes."""


class Look(Protocol):
    """What a frame looked at: the inputs of its memory attention, and whose memories and pointers those are."""

    @property
    def frame(self) -> int: ...
    @property
    def seen(self) -> Inputs | None: ...
    @property
    def memory_frames(self) -> tuple[int, ...]: ...
    @property
    def pointer_frames(self) -> tuple[int, ...]: ...


@dataclass(frozen=True)
class Explorer:
    """The page; a notebook shows it in place."""

    page: str = field(repr=False)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the page, whole or not at all."""
        with whole_file(path) as temporary:
            temporary.write_text(self.page, encoding="utf-8")

    def _repr_html_(self) -> str:
        return (
            f'<iframe srcdoc="{html.escape(self.page, quote=True)}" title="attention explorer" '
            'style="width: 100%; height: 640px; border: 0"></iframe>'
        )


def explore(
    model: Model,
    frames: np.ndarray,
    masks: np.ndarray,
    looks: Mapping[int, Look] | Sequence[Look],
    chosen: Sequence[int],
    title: str,
    names: Sequence[str] = (),
    aspect: float = 1.0,
) -> Explorer:
    """Make the page for a tracked video, with every object outlined; the first four show where they look.

    `frames` [T,S,S,3] in 0…1, `masks` [T,K,S,S] (or [T,S,S] for one object) as found, the `looks` of the frames
    to show by number, as the steps of a tracker, and these frames, `chosen`. `names` are the objects',
    `aspect` is the width over the height that the frames get. Queries and keys go into the page in float32 and
    the softmax is taken there, so that what is drawn are the values of `Model.attention_map`.
    """
    require("matplotlib", "the explorer")
    require("PIL", "the explorer")
    masks = masks.reshape(len(masks), -1, *masks.shape[-2:])
    objects = masks.shape[1]
    for number in chosen:
        if not 1 <= number < len(frames):
            raise ValueError(f"show has frame {number}, expected 1 to {len(frames) - 1}: frame 0 is prompted")
    shown = [_frame(model, looks[number], min(objects, MOST_OBJECTS)) for number in chosen]
    numbers = sorted({number for frame in shown for number in (frame["number"], *frame["memories"])})
    data = {
        "title": title,
        "grid": model.config.grid,
        "aspect": aspect,
        "layers": model.config.memory_attention.num_layers,
        "pointerTokens": model.config.num_pointer_tokens,
        "colours": _base64(_heat()),
        "objects": [
            {"name": names[index] if names else f"object {index + 1}", "colour": object_colour(index)}
            for index in range(objects)
        ],
        "asked": min(objects, MOST_OBJECTS),
        "frames": shown,
        "start": _middle(masks[chosen[-1], 0], model.config.grid),
        "images": {number: _png((frames[number] * 255).round()) for number in numbers},
        "outlines": {number: _png(outlines(masks[number])) for number in numbers},
    }
    # No string may end the script element that the data stand in.
    text = json.dumps(data, separators=(",", ":")).replace("</", "<\\/")
    template = files(__package__).joinpath("explorer.html").read_text(encoding="utf-8")
    return Explorer(template.replace("__DATA__", text))


def _frame(model: Model, look: Look, objects: int) -> dict[str, Any]:
    if look.seen is None:
        raise ValueError(f"frame {look.frame} was prompted and looked at nothing")
    network = model.config.memory_attention
    traced = model.trace(*look.seen)
    frame: dict[str, Any] = {
        "number": look.frame,
        "memories": look.memory_frames,
        "pointers": look.pointer_frames,
    }
    for kind in PARTS:
        compared = [compared_steps(network, layer, kind) for layer in range(network.num_layers)]
        frame[kind] = [
            [_queries_and_keys(traced[query][index], traced[key][index]) for index in range(objects)]
            for query, key in compared
        ]
    return frame


def _queries_and_keys(query: np.ndarray, key: np.ndarray) -> dict[str, Any]:
    """Those of one object, [H,N,d] and [H,M,d]."""
    return {
        "query": _base64(query.astype("<f4")),
        "key": _base64(key.astype("<f4")),
        "heads": len(query),
    }


def _middle(mask: np.ndarray, grid: tuple[int, int]) -> tuple[int, int]:
    """The cell (row, column) of the mask's pixel nearest to its middle, or the frame's where there is no mask."""
    if not mask.any():
        return grid[0] // 2, grid[1] // 2
    places = np.argwhere(mask)
    row, column = places[((places - np.median(places, axis=0)) ** 2).sum(axis=1).argmin()]
    return int(row) * grid[0] // mask.shape[0], int(column) * grid[1] // mask.shape[1]


def _base64(array: np.ndarray) -> str:
    return base64.b64encode(np.ascontiguousarray(array).tobytes()).decode()


def _heat() -> np.ndarray:
    """256 colours [256,3] (uint8), from dark to bright, that differ for the colour-blind and in print."""
    from matplotlib import colormaps

    return (colormaps[HEAT](np.arange(256))[:, :3] * 255).round().astype(np.uint8)


def _png(image: np.ndarray) -> str:
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(image.astype(np.uint8)).save(buffer, format="PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
