"""The attention explorer: one HTML page that needs no network; point at a query and see where it looks."""

import html
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Any

import numpy as np

from ..files import whole_file
from ..looks import Look
from ..recording import Recording, listed
from ..rules.packages import require
from .colours import HEAT, object_colour
from .outlines import outlines
from .packed import packed_look, packed_size, png, to_base64

MOST_OBJECTS = 4
"""Of how many objects, the first ones, the page has the attention: each takes some megabytes."""

LARGEST_PAGE = 9_000_000
"""Bytes of heat in a page; where there is more, it is drawn on a coarser grid."""


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
    recording: Recording, title: str = "", frames: Sequence[int] | None = None, names: Sequence[str] = ()
) -> Explorer:
    """Make the page of a recording: its `frames` (none: all), and where the first four objects looked in them.

    Behind the heat are the recording's own small pictures (`add_images`), where it has some. `names` are those
    of the outlined objects, where they are not the recording's. Shares of attention are exact; the heat, which
    is the mean over the heads, is rounded to one of 256 steps of the largest of its row, and drawn on a coarser
    grid where the page would be larger than 9 MB. Raises `ValueError` for a frame that was not recorded, and for
    more frames than fit.
    """
    require("matplotlib", "the explorer")
    require("PIL", "the explorer")
    chosen = sorted(set(recording.frames if frames is None else frames))
    if not chosen:
        raise ValueError(f"frames has none, expected some of those that were recorded: {listed(recording.frames)}")
    asked = list(recording.objects[:MOST_OBJECTS])
    looks = {number: recording.looks_at(number) for number in chosen}
    images = {number: png(image) for number, image in _needed(recording.images, looks)}
    outlined_masks = {number: png(outlines(masks)) for number, masks in _needed(recording.masks, looks)}
    room = LARGEST_PAGE - sum(map(len, (*images.values(), *outlined_masks.values())))
    shown = _fitting([[looks[number].get(name) for name in asked] for number in chosen], room)
    outlined = max([len(masks) for masks in recording.masks.values()] + [len(asked)])
    called = [*names] or [_called(name) for name in asked]
    called += [f"object {index + 1}" for index in range(len(called), outlined)]
    data = {
        "title": title or f"Where {recording.made_by.get('model', 'the model')} looks",
        "aspect": _aspect(recording, looks[chosen[-1]]),
        "colours": to_base64(_heat()),
        "objects": [{"name": name, "colour": object_colour(index)} for index, name in enumerate(called)],
        "asked": len(asked),
        "frames": [{"number": number, "looks": each} for number, each in zip(chosen, shown, strict=True)],
        "layer": next(iter(looks[chosen[-1]].values())).layer_on_memory,
        "start": _middle(recording.masks.get(chosen[-1])),
        "images": images,
        "outlines": outlined_masks,
    }
    # No string may end the script element that the data stand in.
    text = json.dumps(data, separators=(",", ":")).replace("</", "<\\/")
    template = files(__package__).joinpath("explorer.html").read_text(encoding="utf-8")
    return Explorer(template.replace("__DATA__", text))


def _fitting(frames: list[list[Look | None]], room: int) -> list[list[dict[str, Any] | None]]:
    """The looks of each frame, packed on the finest grid on which their heat takes no more than `room` bytes."""
    coarser, longest = (
        1,
        max((max(look.grid) for looks in frames for look in looks if look is not None), default=1),
    )
    while True:
        packed = [[packed_look(look, coarser) for look in looks] for looks in frames]
        size = packed_size(packed)
        if size <= room:
            return packed
        if coarser >= longest:
            raise ValueError(
                f"frames are {len(frames)}, which take {size / 1e6:.1f} MB on the coarsest grid, where "
                f"{max(room, 0) / 1e6:.1f} MB are left: show fewer"
            )
        coarser *= 2


def _called(name: str) -> str:
    return f"object {name}" if name.isdecimal() else name


def _needed(pictures: Any, looks: Any) -> list[tuple[int, np.ndarray]]:
    """The pictures of the frames that are shown or looked at."""
    numbers = set(looks)
    for found in looks.values():
        numbers.update(number for look in found.values() for number in look.memory_frames or ())
    return [(number, picture) for number, picture in pictures.items() if number in numbers]


def _aspect(recording: Recording, looks: Any) -> float:
    """Width over height of the frames, or of their grid."""
    sides = [image.shape[:2] for image in recording.images.values()]
    height, width = sides[0] if sides else next(iter(looks.values())).grid
    return width / height


def _middle(masks: np.ndarray | None) -> tuple[float, float]:
    """Where the mask's pixel nearest to its middle is, as parts of height and width; else the frame's middle."""
    if masks is None or not masks[0].any():
        return 0.5, 0.5
    places = np.argwhere(masks[0])
    place = places[((places - np.median(places, axis=0)) ** 2).sum(axis=1).argmin()]
    row, column = (place + 0.5) / masks.shape[1:]
    return float(row), float(column)


def _heat() -> np.ndarray:
    """256 colours [256,3] (uint8), from dark to bright, that differ for the colour-blind and in print."""
    from matplotlib import colormaps

    return (colormaps[HEAT](np.arange(256))[:, :3] * 255).round().astype(np.uint8)
