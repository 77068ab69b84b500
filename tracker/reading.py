"""A user's own video: frames from a folder of images or an `.npz` file, and the mask of the first frame."""

import os
import re
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float

from ..files import read_npz
from ..rules.packages import require

IMAGES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp")


def read_video(
    frames: str | os.PathLike[str], mask: str | os.PathLike[str] | None, size: int
) -> tuple[Float[np.ndarray, "T S S 3"], Bool[np.ndarray, "K S S"], tuple[int, int]]:
    """Read frames and the first frame's mask, resized to S = `size` pixels a side, and their size (H, W) before.

    `frames`: a folder of images, taken in the order of their names (2 before 10), or an `.npz` file with an array
    `frames` [T,H,W,3] (uint8, or 0…1), and perhaps `mask` [H,W] or [K,H,W], which serves where `mask` is
    none. `mask`: an image that is black but for the object. Raises `FileNotFoundError`, or `ValueError`
    naming the file that is no image, or that differs in size.
    """
    path = Path(frames)
    given = None
    if path.is_dir():
        images = _read_folder(path)
    elif path.is_file():
        images, given = _read_npz(path)
    else:
        raise FileNotFoundError(f"frames: no such file or folder: {path}")
    if mask is not None:
        given = _read_image(Path(mask), grey=True) > 0.5
    if given is None:
        raise ValueError(f"mask is none, expected the object's mask in the first frame of {path}")
    if given.ndim not in (2, 3) or not np.isin(given, (0, 1)).all():
        raise ValueError(f"mask has shape {given.shape}, expected [H,W] or [K,H,W] of 0 and 1")
    if given.shape[-2:] != images.shape[1:3]:
        raise ValueError(
            f"mask has {given.shape[-2]} × {given.shape[-1]} pixels, expected those of the frames, "
            f"{images.shape[1]} × {images.shape[2]}"
        )
    if not given.any():
        raise ValueError("mask is empty, expected at least one pixel of the object")
    if images.shape[1:3] == (size, size):
        return images, given.astype(bool).reshape(-1, size, size), (size, size)
    require("skimage", "resizing a video")
    from skimage.transform import resize

    resized = np.stack([resize(image, (size, size), anti_aliasing=True) for image in images])
    masks = given.astype(bool).reshape(-1, *given.shape[-2:])
    nearest = [resize(one, (size, size), order=0, anti_aliasing=False).astype(bool) for one in masks]
    return resized.astype(np.float32).clip(0, 1), np.stack(nearest), images.shape[1:3]


def _read_folder(folder: Path) -> Float[np.ndarray, "T H W 3"]:
    paths = sorted((path for path in folder.iterdir() if path.suffix.lower() in IMAGES), key=_by_number)
    if len(paths) < 2:
        raise ValueError(f"{folder}: has {len(paths)} image(s), expected at least two ({', '.join(IMAGES)})")
    images = [_read_image(path) for path in paths]
    for path, image in zip(paths, images, strict=True):
        if image.shape != images[0].shape:
            raise ValueError(
                f"{path}: has {image.shape[0]} × {image.shape[1]} pixels, expected those of {paths[0].name}, "
                f"{images[0].shape[0]} × {images[0].shape[1]}"
            )
    return np.stack(images)


def _by_number(path: Path) -> list[tuple[bool, int, str]]:
    """A key that sorts numbers within names as numbers."""
    parts = re.split(r"(\d+)", path.name)
    return [(part.isdigit(), int(part) if part.isdigit() else 0, part) for part in parts]


def _read_image(path: Path, grey: bool = False) -> Float[np.ndarray, "H W *c"]:
    """An image with colours 0…1, or with one channel where `grey`."""
    if not path.is_file():
        raise FileNotFoundError(f"no such file: {path}")
    require("PIL", "reading an image")
    from PIL import Image

    try:
        with Image.open(path) as image:
            if image.mode.startswith(("I", "F")):
                raise ValueError(f"{path}: has more than 8 bits a channel, expected an 8-bit image")
            return np.asarray(image.convert("L" if grey else "RGB"), np.float32) / 255
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError(f"{path}: not a readable image ({error})") from None


def _read_npz(path: Path) -> tuple[Float[np.ndarray, "T H W 3"], np.ndarray | None]:
    arrays = read_npz(path)
    if "frames" not in arrays:
        raise ValueError(f"{path}: has no array 'frames', expected frames [T,H,W,3]")
    frames = arrays["frames"]
    if frames.ndim != 4 or frames.shape[-1] != 3 or len(frames) < 2:
        raise ValueError(f"{path}: frames has shape {frames.shape}, expected [T,H,W,3] with at least two frames")
    if frames.dtype != np.uint8 and frames.dtype.kind != "f":
        raise ValueError(f"{path}: frames has dtype {frames.dtype}, expected uint8 or a floating dtype")
    if frames.dtype == np.uint8:
        return frames.astype(np.float32) / 255, arrays.get("mask")
    if not (frames.min() >= 0 and frames.max() <= 1):
        raise ValueError(
            f"{path}: frames has colours from {frames.min()} to {frames.max()}, expected 0 to 1 or uint8"
        )
    return frames.astype(np.float32), arrays.get("mask")
