"""A user's own annotated clip, to measure the tracker on: frames, and the mask of each object in every one."""

import os

import numpy as np
from jaxtyping import Bool, Float

from ..files import read_npz
from .learning.data import Clip
from .media.frames import check_array
from .media.resizing import resize, resize_mask
from .media.video import check_video


def read_annotated(path: str | os.PathLike[str], size: int) -> Clip:
    """Read an `.npz` file with `frames` [T,H,W,3] and `masks` [T,H,W] or [T,K,H,W], resized to S = `size`.

    `frames` are uint8, or 0…1; `masks` 0 and 1. Raises `FileNotFoundError`, `TypeError` or `ValueError` for
    arrays that are missing or do not fit, and for an object that is not in the first frame.
    """
    arrays = read_npz(path)
    for name, shape in (("frames", "[T,H,W,3]"), ("masks", "[T,H,W] or [T,K,H,W]")):
        if name not in arrays:
            raise ValueError(f"{path}: has no array {name!r}, expected {name} {shape}")
    frames, masks = arrays["frames"], arrays["masks"]
    check_array(frames, path)
    if masks.ndim not in (3, 4) or (len(masks), *masks.shape[-2:]) != frames.shape[:3]:
        length, height, width, _ = frames.shape
        raise ValueError(
            f"{path}: masks has shape {masks.shape}, expected [{length},{height},{width}] or [{length},K,"
            f"{height},{width}], one for each of the frames"
        )
    if not np.isin(masks, (0, 1)).all():
        raise ValueError(f"{path}: masks has values besides 0 and 1, expected one mask for each object")
    masks = masks.astype(bool).reshape(len(masks), -1, *masks.shape[-2:])
    if frames.shape[1:3] != (size, size):
        frames, masks = _resized(frames, masks, size)
    try:
        checked, _ = check_video(list(frames), masks[0], size)
    except (TypeError, ValueError) as error:
        raise type(error)(f"{path}: {error}") from None
    return Clip(checked, masks)


def _resized(
    frames: np.ndarray, masks: Bool[np.ndarray, "T K H W"], size: int
) -> tuple[Float[np.ndarray, "T S S 3"], Bool[np.ndarray, "T K S S"]]:
    scale = 255 if frames.dtype == np.uint8 else 1
    # What the resizing rounds beyond 0 and 1 is cut off.
    images = [(resize(frame, (size, size)) / scale).clip(0, 1) for frame in frames]
    flat = [resize_mask(mask, (size, size)) for mask in masks.reshape(-1, *masks.shape[-2:])]
    return np.stack(images), np.stack(flat).reshape(*masks.shape[:2], size, size)
