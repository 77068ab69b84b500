"""Images and masks at another size, in NumPy alone: linear, and aligned to the centres of the pixels."""

from functools import lru_cache

import numpy as np
from jaxtyping import Bool, Float


def resize(
    image: Float[np.ndarray, "H W *c"], size: tuple[int, int], dtype: type[np.floating] = np.float32
) -> Float[np.ndarray, "h w *c"]:
    """The image at h × w pixels: linear interpolation where it grows, a mean over the neighbours where it shrinks.

    Pixel i covers the interval i … i + 1 of both images, so nothing is shifted. Beyond its borders the image
    is mirrored: a constant stays constant, and shrinking by whole numbers keeps the mean.
    """
    rows, columns = (resampling_matrix(*lengths).astype(dtype) for lengths in zip(image.shape, size, strict=False))
    flat = image.astype(dtype, copy=False).reshape(len(image), -1)
    shrunk = (rows @ flat).reshape(len(rows), *image.shape[1:])
    if image.ndim == 2:
        return shrunk @ columns.T
    return columns @ shrunk


# The frames of a video all have one size.
@lru_cache(maxsize=16)
def resampling_matrix(length: int, to: int) -> Float[np.ndarray, "to length"]:
    """How much each of `length` pixels in a line gives to each of `to` pixels: a triangle about its centre.

    The triangle reaches one pixel of the coarser line each way, as in Pillow's and PyTorch's antialiasing.
    """
    scale = length / to
    reach = max(1.0, scale)
    centres = (np.arange(to) + 0.5) * scale - 0.5
    margin = int(np.ceil(reach))
    places = np.arange(-margin, length + margin)
    weights = np.maximum(0, 1 - np.abs(places - centres[:, None]) / reach)
    weights /= weights.sum(axis=1, keepdims=True)
    mirrored = places % (2 * length)
    mirrored = np.minimum(mirrored, 2 * length - 1 - mirrored)
    matrix = np.zeros((length, to))
    np.add.at(matrix, mirrored, weights.T)
    return matrix.T


def resize_mask(mask: Bool[np.ndarray, "H W"], size: tuple[int, int]) -> Bool[np.ndarray, "h w"]:
    """The pixels of which more than half is under the mask; where no pixel is, the fullest.

    A mask that is not empty stays so, however small the object.
    """
    cover = resize(mask, size, np.float64)
    return cover > (min(0.5, cover.max() - 1e-9) if mask.any() else 0.5)


def resize_logits(logits: Float[np.ndarray, "K S S"], size: tuple[int, int]) -> Float[np.ndarray, "K H W"]:
    """Logits at another size; thresholded at zero, they are masks with sharp outlines."""
    resized = np.empty((len(logits), *size), np.float32)
    for index, one in enumerate(logits):
        resized[index] = resize(one, size)
    return resized
