"""What the tracker accepts as a video and as the masks of its first frame."""

import contextlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float


def check_video(
    frames: Sequence[Any], masks: Any, size: int
) -> tuple[Float[np.ndarray, "T S S 3"], Float[np.ndarray, "K S S"]]:
    """Return frames with colours 0…1 and masks of 0 and 1 (float32), S = `size`.

    Raises `TypeError` or `ValueError`, naming the argument and the frame or the object, unless there are
    two or more images of that size and a mask for each object that is not empty.
    """
    if (
        isinstance(frames, str | bytes | dict)
        or not hasattr(frames, "__len__")
        or getattr(frames, "shape", None) == ()
    ):
        raise TypeError(f"frames is {type(frames).__name__}, expected a sequence of images [{size},{size},3]")
    if len(frames) < 2:
        raise ValueError(f"frames has {len(frames)} frame(s), expected at least two: one to show, one to track in")
    images = [check_image(frame, index, size, prompted=index == 0) for index, frame in enumerate(frames)]
    # A long video is not copied.
    whole = frames if isinstance(frames, np.ndarray) and frames.dtype == np.float32 else np.stack(images)
    return whole, check_masks(masks, size)


def check_image(frame: Any, index: int, size: int, prompted: bool = False) -> Float[np.ndarray, "S S 3"]:
    """Return one frame with colours 0…1 (float32); raises as `check_video`.

    A `prompted` one shows the object, and must have more than the two darkest of 256 greys.
    """
    expected = f"[{size},{size},3]"
    image = _plain(frame, f"frames[{index}]", expected)
    if image.dtype != np.uint8 and image.dtype.kind != "f":
        raise TypeError(f"frames[{index}] has dtype {image.dtype}, expected uint8 or a floating dtype")
    if image.shape != (size, size, 3):
        raise ValueError(f"frames[{index}] has shape {image.shape}, expected {expected}")
    if prompted and image.dtype == np.uint8 and image.max() == 1:
        raise ValueError(
            f"frames[{index}] has dtype uint8 and colours up to 1, expected up to 255, or floats 0 to 1"
        )
    if image.dtype == np.uint8:
        return image.astype(np.float32) / 255
    if not (image.min() >= 0 and image.max() <= 1):
        raise ValueError(f"frames[{index}] has colours from {image.min()} to {image.max()}, expected 0 to 1")
    return image.astype(np.float32, copy=False)


def check_masks(masks: Any, size: int) -> Float[np.ndarray, "K S S"]:
    """Return the masks of a frame's objects, as 0 and 1 (float32); raises as `check_video`."""
    if masks is None:
        raise TypeError(f"masks is None, expected the object's mask [{size},{size}] in the first frame")
    given = _plain(masks, "masks", f"[{size},{size}] or [K,{size},{size}]")
    if given.dtype.kind not in "buif":
        raise TypeError(f"masks has dtype {given.dtype}, expected bool, or numbers 0 and 1")
    if given.ndim not in (2, 3) or given.shape[-2:] != (size, size) or len(given) == 0:
        raise ValueError(f"masks has shape {given.shape}, expected [{size},{size}] or [K,{size},{size}]")
    given = given.reshape(-1, size, size)
    if not np.isin(given, (0, 1)).all():
        raise ValueError(
            "masks has values besides 0 and 1, expected bool, or numbers 0 and 1 "
            "(masks.objects_of makes a mask of each label)"
        )
    empty = np.flatnonzero(~given.any(axis=(1, 2)))
    if len(empty):
        raise ValueError(f"masks is empty for object {empty[0]}, expected at least one pixel of each object")
    return given.astype(np.float32)


def check_prompt(mask: Any, size: int, may_be_empty: bool) -> Float[np.ndarray, "S S"]:
    """Return one object's mask of 0 and 1 (float32). Raises `TypeError` or `ValueError` unless it is one."""
    if mask is None:
        raise TypeError(f"mask is None, expected the object's mask [{size},{size}]")
    given = _plain(mask, "mask", f"[{size},{size}]")
    if given.dtype.kind not in "buif":
        raise TypeError(f"mask has dtype {given.dtype}, expected bool, or numbers 0 and 1")
    if given.shape != (size, size):
        raise ValueError(f"mask has shape {given.shape}, expected [{size},{size}], one object's")
    if not np.isin(given, (0, 1)).all():
        raise ValueError("mask has values besides 0 and 1, expected bool, or numbers 0 and 1")
    if not given.any() and not may_be_empty:
        raise ValueError("mask is empty, expected at least one pixel of an object that is prompted nowhere else")
    return given.astype(np.float32)


def _plain(value: Any, name: str, expected: str) -> np.ndarray:
    """The value as an array; `TypeError` for a tensor on a GPU, a ragged list, or an array that hides values."""
    if not isinstance(value, np.ma.MaskedArray):
        with contextlib.suppress(RuntimeError, TypeError, ValueError):
            return np.asarray(value)
    raise TypeError(f"{name} is {type(value).__name__}, expected an array {expected} that NumPy can read")
