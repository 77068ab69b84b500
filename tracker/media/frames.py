"""A user's frames, read one at a time: from a folder of images, a video, an animation, or an `.npz` file."""

import itertools
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Shaped

from ...files import read_npz
from .clips import VIDEOS, clip_rate, read_clip
from .images import IMAGES, MAX_PIXELS, colours, images_in, opened, pages, upright

STILL_RATE = 10.0
"""Frames a second, where the frames do not say."""


class Frame(NamedTuple):
    """One frame: its name, and its colours, uint8 or 0…1."""

    name: str
    image: Shaped[np.ndarray, "H W 3"]


@dataclass(frozen=True)
class Frames:
    """Frames that can be read again and again, each time from the file: no more than one is held.

    `read` starts from the first one; every `every`th is taken. `rate`: frames a second, of those that are taken.
    """

    where: Path
    read: Callable[[], Iterator[Frame]]
    rate: float = STILL_RATE
    every: int = 1

    def __iter__(self) -> Iterator[Frame]:
        """The frames in their order. Raises `ValueError` naming the first that is broken or differs in size."""
        first = None
        for frame in itertools.islice(self.read(), 0, None, self.every):
            first = first or (frame.name, frame.image.shape)
            if frame.image.shape != first[1]:
                raise ValueError(
                    f"{self.where}: {frame.name} has {frame.image.shape[0]} × {frame.image.shape[1]} pixels, "
                    f"expected those of {first[0]}, {first[1][0]} × {first[1][1]}"
                )
            yield frame


def open_frames(
    path: Path, mask: Path | None = None, every: int = 1, max_pixels: int = MAX_PIXELS
) -> tuple[Frames, np.ndarray | None]:
    """The frames of a folder or a file, and the array `mask` of an `.npz` file, or the first of its `masks`.

    In a folder, files that are hidden, no images, or the `mask` are passed over; the others are taken in the
    order of their names (2 before 10). Raises `FileNotFoundError`, or `ValueError` for what has no frames.
    """
    if every < 1:
        raise ValueError(f"every is {every}, expected 1 or more")
    suffix = path.suffix.lower()
    given, rate = None, STILL_RATE
    if path.is_dir():
        read: Callable[[], Iterator[Frame]] = partial(_folder, _images_in(path, mask), max_pixels)
    elif not path.is_file():
        raise FileNotFoundError(f"frames: no such file or folder: {path}")
    elif suffix == ".npz":
        arrays = _arrays(path)
        read, given = partial(_array, arrays["frames"]), _given(arrays)
    elif suffix in VIDEOS:
        rate = clip_rate(path) or STILL_RATE
        read = partial(_clip, path, max_pixels)
    elif suffix in IMAGES:
        read = partial(_pages, path, max_pixels)
    else:
        raise ValueError(f"{path}: expected a folder of images, or a file {', '.join(('.npz', *VIDEOS, *IMAGES))}")
    return Frames(path, read, rate / every, every), given


def array_frames(name: str, frames: Shaped[np.ndarray, "T H W 3"]) -> Frames:
    """Frames that are in memory already."""
    return Frames(Path(name), partial(_array, frames))


def _images_in(folder: Path, mask: Path | None) -> list[Path]:
    paths = [
        path
        for path in images_in(folder)
        if not (mask is not None and mask.exists() and os.path.samefile(path, mask))
    ]
    if len(paths) < 2:
        raise ValueError(f"{folder}: has {len(paths)} image(s), expected at least two ({', '.join(IMAGES)})")
    return sorted(paths, key=_by_number)


def _by_number(path: Path) -> list[tuple[bool, int, str]]:
    """A key that sorts numbers within names as numbers."""
    parts = re.split(r"(\d+)", path.name)
    return [(part.isdecimal(), int(part) if part.isdecimal() else 0, part) for part in parts]


def _folder(paths: list[Path], max_pixels: int) -> Iterator[Frame]:
    for path in paths:
        with opened(path, max_pixels) as image:
            yield Frame(path.name, colours(path, upright(path, image)))


def _pages(path: Path, max_pixels: int) -> Iterator[Frame]:
    """The frames of an animation, or the pages of a TIFF file."""
    with opened(path, max_pixels) as image:
        for number, page in enumerate(pages(path, image, max_pixels)):
            yield Frame(f"{number:05d}", colours(path, upright(path, page)))


def _clip(path: Path, max_pixels: int) -> Iterator[Frame]:
    for number, image in enumerate(read_clip(path, max_pixels)):
        yield Frame(f"{number:05d}", image)


def _array(frames: Shaped[np.ndarray, "T H W 3"]) -> Iterator[Frame]:
    for number, image in enumerate(frames):
        yield Frame(f"{number:05d}", image)


def _given(arrays: dict[str, np.ndarray]) -> np.ndarray | None:
    """The mask of the first frame; an annotated clip has one for every frame."""
    masks = arrays.get("masks")
    return arrays.get("mask") if masks is None or masks.ndim < 3 or "mask" in arrays else masks[0]


def _arrays(path: Path) -> dict[str, np.ndarray]:
    arrays = read_npz(path)
    if "frames" not in arrays:
        raise ValueError(f"{path}: has no array 'frames', expected frames [T,H,W,3]")
    check_array(arrays["frames"], path)
    return arrays


def check_array(frames: np.ndarray, path: str | os.PathLike[str]) -> None:
    """Raise `ValueError` unless an array holds two or more frames [T,H,W,3], uint8 or 0…1."""
    if frames.ndim != 4 or frames.shape[-1] != 3 or len(frames) < 2 or 0 in frames.shape:
        raise ValueError(f"{path}: frames has shape {frames.shape}, expected [T,H,W,3] with at least two frames")
    if frames.dtype != np.uint8 and frames.dtype.kind != "f":
        raise ValueError(f"{path}: frames has dtype {frames.dtype}, expected uint8 or a floating dtype")
    if frames.dtype == np.uint8 and frames.max() == 1:
        raise ValueError(
            f"{path}: frames has dtype uint8 and colours up to 1, expected up to 255, or floats 0 to 1"
        )
    if frames.dtype.kind == "f" and not (frames.min() >= 0 and frames.max() <= 1):
        raise ValueError(
            f"{path}: frames has colours from {frames.min()} to {frames.max()}, expected 0 to 1 or uint8"
        )
