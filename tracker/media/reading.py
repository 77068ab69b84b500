"""A user's own video at the tracker's size, and the objects of its first frame."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Shaped

from ...files import check_size
from .frames import Frame, Frames, open_frames
from .images import MAX_PIXELS
from .masks import Objects, check_room, objects_of, read_mask, white_is_one
from .resizing import resize, resize_mask

MAX_FRAMES = 3600
"""The most frames of a video, two minutes at thirty a second: 0.7 GB at the tracker's size."""


class Video(NamedTuple):
    """A video at S = the tracker's size, and as it was given.

    `frames` with colours 0…1; `masks` of the objects in the first frame; `given`, the same masks with the
    frames' own H × W pixels, and their labels; `source`, where the frames can be read again at full size.
    """

    frames: Float[np.ndarray, "T S S 3"]
    masks: Bool[np.ndarray, "K S S"]
    given: Objects
    source: Frames

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the frames as they were given."""
        return self.given.size


def read_video(
    frames: str | os.PathLike[str],
    mask: str | os.PathLike[str] | None,
    size: int,
    objects: Sequence[int] | None = None,
    every: int = 1,
    max_pixels: int = MAX_PIXELS,
    max_frames: int = MAX_FRAMES,
) -> Video:
    """Read frames and the first frame's objects, resized to S = `size` pixels a side as they are read.

    `frames`: a folder of images, a video (mp4, mov, …), an animation (gif) or TIFF, or an `.npz` file with an
    array `frames` [T,H,W,3] (uint8, or 0…1), and perhaps `mask`, [H,W] of labels or [K,H,W] of 0 and 1, which
    serves where `mask` is none. `mask`: an image as `masks.labels_of` understands it. `objects`: the labels to
    track, all where none. Every `every`th frame is taken. Raises `FileNotFoundError`, or `ValueError` naming
    the file that is no image, has more than `max_pixels`, or differs in size.
    """
    path = Path(frames)
    source, array = open_frames(path, None if mask is None else Path(mask), every, max_pixels)
    if mask is not None:
        given = objects_of(read_mask(Path(mask), max_pixels), objects, str(mask))
    elif array is not None:
        given = objects_of_array(array, objects)
    else:
        raise ValueError(f"mask is none, expected the object's mask in the first frame of {path}")
    images = (
        _colours(resize(frame.image, (size, size)), frame.image.dtype)
        for frame in _counted(source, given.masks.shape, size, max_frames)
    )
    resized = np.fromiter(images, np.dtype((np.float32, (size, size, 3))))
    if len(resized) < 2:
        raise ValueError(
            f"{path}: has {len(resized)} frame(s), expected at least two: one to show, one to track in"
        )
    return Video(resized, np.stack([resize_mask(one, (size, size)) for one in given.masks]), given, source)


def _counted(source: Frames, masks: tuple[int, ...], side: int, max_frames: int) -> Iterator[Frame]:
    """The frames, checked against the masks' size before the work and against too many of them."""
    count, *size = masks
    for index, frame in enumerate(source):
        if frame.image.shape[:2] != tuple(size):
            raise ValueError(
                f"mask has {size[0]} × {size[1]} pixels, expected those of the frames, "
                f"{frame.image.shape[0]} × {frame.image.shape[1]}"
            )
        if index == max_frames:
            raise ValueError(
                f"{source.where}: has more than {max_frames} frames, expected at most that many (raised by "
                f"max_frames; every, now {source.every}, takes fewer)"
            )
        # Kept are its colours, and a logit and a pixel of a mask for each object.
        check_size(
            (index + 1) * side**2 * (12 + 5 * count),
            f"{source.where}: {index + 1} or more frames with {count} object(s) "
            f"(every, now {source.every}, takes fewer)",
        )
        yield frame


def _colours(image: Float[np.ndarray, "S S 3"], dtype: np.dtype) -> Float[np.ndarray, "S S 3"]:
    return (image / 255 if dtype == np.uint8 else image).clip(0, 1)


def objects_of_array(mask: Shaped[np.ndarray, "..."], objects: Sequence[int] | None) -> Objects:
    """The objects of an array: labels [H,W], or masks of 0 and 1 (or 255) [K,H,W], which have labels 1 … K."""
    whole = mask.dtype.kind in "bui" or (mask.dtype.kind == "f" and bool((mask == np.round(mask)).all()))
    if mask.ndim not in (2, 3) or mask.size == 0 or not whole or mask.min() < 0:
        raise ValueError(
            f"mask has shape {mask.shape} and dtype {mask.dtype}, expected labels [H,W] (whole numbers), "
            "or [K,H,W] of 0 and 1"
        )
    if mask.max() >= 2**31:
        raise ValueError(f"mask has values up to {mask.max()}, expected less than 2³¹")
    if mask.ndim == 2:
        return objects_of(white_is_one(mask.astype(np.int64)), objects)
    if len(np.unique(mask[mask != 0])) > 1:
        raise ValueError(f"mask has values up to {mask.max()}, expected [K,H,W] of 0 and 1, or labels [H,W]")
    labels = tuple(range(1, len(mask) + 1)) if objects is None else tuple(sorted(set(objects)))
    for label in labels:
        if not 1 <= label <= len(mask):
            raise ValueError(f"object is {label}, expected 1 to {len(mask)}, the masks in the file")
        if not mask[label - 1].any():
            raise ValueError(f"mask is empty for object {label}, expected at least one pixel of the object")
    check_room(len(labels), mask.shape[1:], "mask")
    return Objects(mask[[label - 1 for label in labels]] != 0, labels)
