"""The photographs that scikit-image ships, and which of them are never seen in training."""

from functools import cache

import numpy as np
from jaxtyping import Float

from ...pictures.photographs import read_photograph

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


@cache
def photograph(name: str) -> Float[np.ndarray, "H W 3"]:
    """Read one photograph from scikit-image's own folder: colours 0…1 (float32), grey as three equal channels.

    It is reduced by a whole factor while its shorter side keeps `SHORTER_SIDE` pixels, and repeated by
    mirroring where it has fewer. Raises `ModuleNotFoundError` without scikit-image.
    """
    image = read_photograph(name)
    image = np.repeat(image[..., None], 3, axis=2) if image.ndim == 2 else image[..., :3]
    factor = max(1, min(image.shape[:2]) // SHORTER_SIDE)
    height, width = image.shape[0] // factor, image.shape[1] // factor
    blocks = image[: height * factor, : width * factor].reshape(height, factor, width, factor, 3)
    image = blocks.mean(axis=(1, 3))
    missing = [(0, max(0, SHORTER_SIDE - side)) for side in image.shape[:2]]
    return np.pad(image, [*missing, (0, 0)], mode="symmetric")
