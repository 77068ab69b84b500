"""The photographs that scikit-image ships, which of them are never seen in training, and those of others."""

from functools import cache
from pathlib import Path

import numpy as np
from jaxtyping import Float

from ...pictures.photographs import read_photograph
from ..media.images import colours, images_in, opened, upright

HELD_OUT = ("chelsea.png", "coffee.png", "gravel.png", "ihc.png", "motorcycle_left.png", "rocket.jpg")
TRAINING = (
    "astronaut.png",
    "brick.png",
    "camera.png",
    "cell.png",
    "clock_motion.png",
    "coins.png",
    "grass.png",
    "hubble_deep_field.jpg",
    "moon.png",
    "page.png",
    "retina.jpg",
    "text.png",
)
SHORTER_SIDE = 240
FEWEST = 6
"""A clip takes each of its textures from another photograph."""


def photographs_of(folder: Path) -> tuple[str, ...]:
    """The photographs of a folder, by path.

    Raises `FileNotFoundError` without the folder, and `ValueError` for fewer than `FEWEST`.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"photographs: no such folder: {folder}")
    # Whole paths: a bare name would be one of scikit-image's own.
    found = sorted(str(path) for path in images_in(folder.resolve()) if path.is_file())
    if len(found) < FEWEST:
        raise ValueError(f"photographs: {folder} has {len(found)} images, expected {FEWEST} or more")
    return tuple(found)


@cache
def photograph(name: str) -> Float[np.ndarray, "H W 3"]:
    """Read a file, or one of scikit-image's own: colours 0…1 (float32), grey as three equal channels.

    It is reduced by a whole factor while its shorter side keeps `SHORTER_SIDE` pixels, and repeated by
    mirroring where it has fewer. Raises `ModuleNotFoundError` without scikit-image, and `ValueError` for a file
    that is no image of 8 bits.
    """
    path = Path(name)
    image = read_photograph(name) if path.name == name else _read(path)
    image = np.repeat(image[..., None], 3, axis=2) if image.ndim == 2 else image[..., :3]
    factor = max(1, min(image.shape[:2]) // SHORTER_SIDE)
    height, width = image.shape[0] // factor, image.shape[1] // factor
    blocks = image[: height * factor, : width * factor].reshape(height, factor, width, factor, 3)
    image = blocks.mean(axis=(1, 3))
    missing = [(0, max(0, SHORTER_SIDE - side)) for side in image.shape[:2]]
    return np.pad(image, [*missing, (0, 0)], mode="symmetric")


def _read(path: Path) -> Float[np.ndarray, "H W 3"]:
    with opened(path) as image:
        return colours(path, upright(path, image)).astype(np.float32) / 255
